"""A kernel packed for direct summation: in the order in which blocks of sums read it."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from npconv.compiled.direct import layout
from npconv.compiled.direct_kernel import RawKernel, sources
from npconv.compiled.prepared import Prepared, Strides, is_finite, step
from npconv.compiled.registers import SUMS, sum_bytes
from npconv.numbers import DType
from npconv.problem import Array, ConvProblem


def packed_numbers(problem: ConvProblem, itemsize: int) -> int:
    """Count the numbers of the packed kernel."""
    return math.prod((problem.G, layout(problem, itemsize).packed))


def packs_as_it_reads(problem: ConvProblem, itemsize: int) -> bool:
    """Whether a kernel that is not kept is best packed piece by piece: nothing reads it twice."""
    return problem.N == 1 and layout(problem, itemsize).once


def skips(problem: ConvProblem, itemsize: int) -> bool:
    """Whether elements of the kernel are left out beside padding."""
    how = layout(problem, itemsize)
    return how.skips or how.trims


@lru_cache(maxsize=1024)
def packer(
    problem: ConvProblem,
    turned: bool,
    dtype: DType,
    strides: tuple[int, ...],
    threads: int,
    *,
    keep: bool,
) -> Callable[[Array], Array | None]:
    """Make what packs a kernel of these strides, in bytes, with all that does not change.

    What is made gives the kernel itself where the run packs it; and None where there is nothing
    to multiply, or where the kernel is not finite and has to be: if it is turned, or if some of
    it is left out beside padding.
    """
    posed, name = problem.turned if turned else problem, dtype.name
    each = sum_bytes(name)
    if not problem.products:
        return _nothing
    if not (keep or problem.spreads) and packs_as_it_reads(posed, each):
        return np.ascontiguousarray
    lies = tuple(stride // dtype.itemsize for stride in strides)
    packing = prepare_packing(posed, turned, name, lies, threads)
    count, sums = packed_numbers(posed, each), np.dtype(SUMS.get(name, name))
    looks = turned and dtype.kind != "i"
    # An element that meets padding alone may not be packed; but it is a term.
    leaves_out = not turned and (problem.spreads or skips(problem, each))

    def pack(kernel: Array) -> Array | None:
        if leaves_out and not is_finite(kernel, threads):
            return None
        packed = np.empty(count, sums)
        doubt = np.zeros(1, np.int64) if looks else None
        packing.run(kernel, None, packed, flags=doubt)
        return packed if doubt is None or not doubt[0] else None

    return pack


def _nothing(_: Array) -> None:
    return None


def prepare_packing(
    problem: ConvProblem, turned: bool, dtype: str, w: Strides, threads: int
) -> Prepared:
    """Prepare to pack a kernel ``(G, K, C, *kernel)`` for a forward problem.

    ``turned`` says that the kernel is one whose channels are to be exchanged, and its
    elements turned round.
    """
    how, kernel = layout(problem, sum_bytes(dtype)), RawKernel(w, turned)
    kept, rows, packed = [], [], 0
    for piece in how.pieces:
        found = sources(problem, piece.phase, kernel, how.trims)
        kept.append(found.places)
        rows += [found.places.size, found.places.ctypes.data, found.run, found.step, packed]
        packed += how.packed_of(piece)
    table = np.array([len(how.pieces), *rows], np.int64)
    blocks = np.array(how.blocks, np.int64).ravel()
    constants = [
        len(how.blocks), blocks.ctypes.data, table.ctypes.data,
        *kernel.rows, how.packed, problem.K,
    ]  # fmt: skip
    parts = problem.G * len(how.pieces) * len(how.blocks)
    one = step(("pack", "rows", dtype), constants, parts, kept=(table, blocks, *kept))
    return Prepared.of((one,), 0, threads)
