"""What is done to each channel over batch and space, by the compiled engine.

Arrays are ``(N, C, *spatial)`` whose spatial axes lie in one piece; images and channels may
lie anywhere. All else is NumPy's.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from npconv.compiled import why_missing
from npconv.compiled.prepared import Prepared, step
from npconv.problem import Array
from npconv.settings import current_settings

# Rows of fewer numbers are not for vectors, and fewer in all not worth a call, or a second
# thread that may have to wake.
FEW, FEW_IN_ALL, FEW_FOR_TWO = 8, 2**11, 2**17
# About so many numbers make a part of the work. To begin and end a row takes as long as so many.
PART, A_ROW = 2**15, 64


class Lie(NamedTuple):
    """How an array lies: its sizes, and strides in elements of images and channels."""

    N: int
    C: int
    S: int
    n: int
    c: int


def lie_of(shape: tuple[int, ...], strides: tuple[int, ...], dtype: Any) -> Lie | None:
    """Say how ``(N, C, *spatial)`` lies; None where it is not for these kernels."""
    (N, C, *space), (n, c, *steps), item = shape, strides, dtype.itemsize
    S = math.prod(space)
    if dtype.char not in "fd" or not dtype.isnative or S < FEW or N * C * S < FEW_IN_ALL:
        return None
    apart = item
    for size, stride in zip(space[::-1], steps[::-1], strict=True):
        if size != 1 and stride != apart:
            return None
        apart *= size
    return None if n % item or c % item else Lie(N, C, S, n // item, c // item)


def threads() -> int:
    """Say how many threads may be used; 0 where another engine is asked for."""
    settings = current_settings()
    return 0 if settings.engine != "compiled" or why_missing() else settings.threads


def sums(a: Array) -> Array | None:
    """Add up every channel of ``(N, C, *spatial)``, in float64; None where it cannot serve."""
    found = _sums_of(a, together=True)
    if found is None:
        return None
    total: Array = found[0] if len(found) == 1 else found.sum(axis=0)
    return total


def sums_of_images(a: Array) -> Array | None:
    """Add up every channel of every image, likewise: ``(N, C)``."""
    return _sums_of(a, together=False)


def _sums_of(a: Array, *, together: bool) -> Array | None:
    """Give a row of channels' sums for every image, or every few."""
    run = _sums(a.shape, a.strides, a.dtype, threads(), together)
    if run is None or not a.flags.aligned:
        return None
    found = np.empty(run.shape)
    run.prepared.run(a, None, found)
    return found


class _Run(NamedTuple):
    prepared: Prepared
    shape: tuple[int, int]


@lru_cache(maxsize=256)
def _sums(
    shape: tuple[int, ...], strides: tuple[int, ...], dtype: Any, threads: int, together: bool
) -> _Run | None:
    lie = lie_of(shape, strides, dtype) if threads else None
    if lie is None:
        return None
    chunk = max(1, PART // lie.S) if together else 1
    rows = -(-lie.N // chunk)
    many, count = max(1, PART // (chunk * lie.S)), rows * lie.C
    words = (many, count, lie.N, chunk, lie.C, lie.S, lie.n, lie.c)
    one = step(("channels", dtype.name), words, -(-count // many))
    few = lie.N * lie.C * (lie.S + A_ROW) < FEW_FOR_TWO
    return _Run(Prepared.of((one,), 0, 1 if few else threads), (rows, lie.C))
