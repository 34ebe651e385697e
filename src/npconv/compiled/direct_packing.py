"""A kernel packed for direct summation: in the order in which blocks of sums read it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from npconv.compiled.direct import layout
from npconv.compiled.phases import RANK, axes_of
from npconv.compiled.prepared import Prepared, Strides, address, step
from npconv.compiled.registers import SUMS, sum_bytes
from npconv.numbers import DType
from npconv.problem import Array, ConvProblem


def packed_numbers(problem: ConvProblem, itemsize: int) -> int:
    """Count the numbers of the packed kernel."""
    return math.prod((problem.G, layout(problem, itemsize).packed))


@lru_cache(maxsize=1024)
def packer(
    problem: ConvProblem, turned: bool, dtype: DType, strides: tuple[int, ...], threads: int
) -> Callable[[Array], Array | None]:
    """Make what packs a kernel of these strides, in bytes, with all that does not change.

    What is made gives None for a kernel that is turned, and not finite.
    """
    posed, name = problem.turned if turned else problem, dtype.name
    lies = tuple(stride // dtype.itemsize for stride in strides)
    packing = prepare_packing(posed, turned, name, lies, threads)
    count, sums = packed_numbers(posed, sum_bytes(name)), np.dtype(SUMS.get(name, name))
    looks = turned and dtype.kind != "i"

    def pack(kernel: Array) -> Array | None:
        packed = np.empty(count, sums)
        doubt = np.zeros(1, np.int64) if looks else None
        packing.run(kernel, None, packed, None, 0, address(doubt))
        return packed if doubt is None or not doubt[0] else None

    return pack


def prepare_packing(
    problem: ConvProblem, turned: bool, dtype: str, w: Strides, threads: int
) -> Prepared:
    """Prepare to pack a kernel ``(G, K, C, *kernel)`` for a forward problem.

    ``turned`` says that the kernel is one whose channels are to be exchanged, and its
    elements turned round.
    """
    how = layout(problem, sum_bytes(dtype))
    group, row, channel, *taps = w
    if turned:
        row, channel = channel, row
    taps = [0] * (RANK - problem.rank) + taps
    sizes = [axis.kernel for axis in axes_of(problem)]
    kept, rows, packed = [], [], 0
    for piece in how.pieces:
        offsets: Array = np.zeros(1, np.int64)
        for axis, stride, size in zip(piece.phase.axes, taps, sizes, strict=True):
            places = np.array(axis.taps, np.int64)
            places = size - 1 - places if turned else places
            offsets = np.add.outer(offsets, places * stride)
        sources = np.add.outer(np.arange(problem.C) * channel, offsets.ravel()).ravel()
        kept.append(sources)
        run, along = _runs(sources, [sources.size, offsets.size])
        rows += [sources.size, sources.ctypes.data, run, along, packed]
        packed += how.packed_of(piece)
    table = np.array([len(how.pieces), *rows], np.int64)
    blocks = np.array(how.blocks, np.int64).ravel()
    constants = [
        len(how.blocks), blocks.ctypes.data, table.ctypes.data,
        group, row, how.packed, problem.K,
    ]  # fmt: skip
    parts = problem.G * len(how.pieces) * len(how.blocks)
    one = step(("pack", "rows", dtype), constants, parts, kept=(table, blocks, *kept))
    return Prepared((one,), 0, threads)


def _runs(sources: Array, lengths: Sequence[int]) -> tuple[int, int]:
    """Find runs of places that are equally far apart: how long they are, and how far apart."""
    for length in lengths if sources.size else ():
        steps = np.diff(sources.reshape(-1, length))
        if steps.size and (steps == steps.flat[0]).all():
            return length, int(steps.flat[0])
    return 1, 1
