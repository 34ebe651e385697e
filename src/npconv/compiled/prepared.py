"""A run prepared when planning: which kernels, with what constants, in how many parts.

What is left to a call is to say where the arrays lie. So a small convolution costs little
more than its arithmetic.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from npconv.compiled.blocks import data_offset
from npconv.compiled.machine_code import address_of
from npconv.compiled.team import MOST_WORKERS, team
from npconv.problem import Array
from npconv.scratch import LINES, Scratch

FINITE_PART = 2**16  # numbers that a thread looks at in one go

_word_at = ctypes.c_size_t.from_address

# How arrays lie, in elements: one number for each axis of the inner layout.
Strides = tuple[int, ...]


class Step(NamedTuple):
    """One kernel, run over all its parts before the next step begins."""

    kernel: int
    constants: Array
    parts: int
    kept: tuple[Array, ...]  # tables whose addresses are among the constants


class Prepared(NamedTuple):
    """Steps, and the bytes of working memory that all of them share, from a cache line on.

    ``judges`` says that they find out whether they may serve: then ``flags`` is where a 0
    stands, which becomes 1 if they may not.
    """

    steps: tuple[Step, ...]
    orders: tuple[tuple[Array, int], ...]  # a step's words, and how many help
    scratch: int
    judges: bool

    @classmethod
    def of(
        cls, steps: Sequence[Step], scratch: int, threads: int, *, judges: bool = False
    ) -> Prepared:
        """Prepare steps for up to so many threads, the caller's among them."""
        orders = []
        for each in steps:
            some = max(1, min(threads, each.parts, MOST_WORKERS + 1))
            words = (each.kernel, each.parts, some, len(each.constants), *each.constants)
            orders.append((np.array(words, np.int64), some - 1))
        return cls(tuple(steps), tuple(orders), scratch, judges)

    def run(
        self,
        first: Array | None,
        second: Array | None,
        out: Array | None,
        bias: Array | None = None,
        scratch: Array | None = None,
        flags: Array | None = None,
    ) -> None:
        """Run on arrays; what they are of is the steps' affair."""
        here, brought = team(), (first, second, out, bias, scratch, flags)
        for words, helpers in self.orders:
            if helpers:
                here.wake(helpers)
            here.lead((here.words, words, None, brought))


def step(
    kernel: Sequence[str], constants: Sequence[Any], parts: int, kept: Sequence[Array] = ()
) -> Step:
    """Prepare a step; ``kernel`` names a module of `npconv.compiled.kernels` and a variant."""
    words = np.array([int(c) for c in constants], np.int64)
    return Step(address_of(*kernel), words, parts, tuple(kept))


def strides_of(array: Array) -> Strides:
    """Give strides in elements."""
    item = array.itemsize
    return tuple([stride // item for stride in array.strides])


def address(array: Array) -> int:
    """Say where an array begins."""
    return _word_at(id(array) + data_offset()).value


def from_a_line(memory: Array) -> Array:
    """View bytes of memory from their first cache line on."""
    return memory[-address(memory) % LINES :]


@contextmanager
def written(
    out: Array, dtype: np.dtype[Any], scratch: Scratch, *, in_rows: bool = False
) -> Iterator[Array]:
    """Lend an array to write ``out`` through: itself, or one of the dtype of the sums.

    ``in_rows`` asks that its rows lie in one piece each.
    """
    can = lies_in_rows(out) if in_rows else out.flags.aligned
    if out.dtype == dtype and can:
        yield out
        return
    result = scratch.array("result", out.shape, dtype)
    yield result
    out[...] = result


def usable(array: Array) -> Array:
    """Give an array that machine code can read: where it is not aligned, a copy."""
    return array if array.flags.aligned else array.copy()


def lies_in_rows(array: Array) -> bool:
    """Whether machine code can read an array row by row: each lies in one piece."""
    return array.flags.aligned and (array.shape[-1] == 1 or array.strides[-1] == array.itemsize)


def in_rows(array: Array, role: str, scratch: Scratch) -> Array:
    """Give an array whose rows lie in one piece each: itself, if they do."""
    if lies_in_rows(array):
        return array
    copy = scratch.array(role, array.shape, array.dtype)
    copy[...] = array
    return copy


def run(
    prepared: Prepared,
    first: Array,
    second: Array | None,
    out: Array,
    bias: Array | None,
    scratch: Scratch,
    flags: Array | None = None,
) -> None:
    """Run on arrays, with working memory from ``scratch``."""
    memory = scratch.array("compiled", (prepared.scratch + LINES,), np.uint8)
    prepared.run(first, second, out, bias, from_a_line(memory), flags)


def is_finite(array: Array, threads: int) -> bool:
    """Whether there is no NaN and no Inf in an array."""
    dtype = array.dtype
    if dtype.char not in "fd" or not dtype.isnative or not array.flags.c_contiguous:
        return bool(np.isfinite(array).all())
    doubt = np.zeros(1, np.int64)
    _looking(dtype, array.size, threads).run(array, None, None, flags=doubt)
    return not doubt[0]


@lru_cache(maxsize=256)
def _looking(dtype: np.dtype[Any], count: int, threads: int) -> Prepared:
    """Prepare to look at so many numbers, and to mark it if one is not finite."""
    parts = -(-count // FINITE_PART)
    one = step(("pack", "finite", dtype.name), (FINITE_PART, count), parts)
    return Prepared.of((one,), 0, threads)
