"""Sums in streams: the terms of a kernel's gradient cut into a few sums that threads share.

How many there are follows from the problem alone, and they are added up in their order. So
the bits do not depend on who has formed them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from npconv.compiled.prepared import Step, Strides, step
from npconv.compiled.registers import sum_bytes
from npconv.problem import Array, ConvProblem

# How many streams there are at most, and bytes of all their sums.
MOST_STREAMS, MOST_BYTES = 8, 3 * 2**19
ROWS = 2**13  # numbers of the result that a part adds up


def streams(problem: ConvProblem, itemsize: int, pieces: int) -> int:
    """Say into how many sums so many pieces go: 1 where there is little to share."""
    kernel = problem.G * problem.K * problem.C * problem.taps * itemsize
    return max(1, min(MOST_STREAMS, pieces, MOST_BYTES // max(kernel, 1)))


def nbytes(problem: ConvProblem, itemsize: int, count: int) -> int:
    """Count the bytes of so many sums; a single one is formed where it belongs."""
    kernel = problem.G * problem.K * problem.C * problem.taps * itemsize
    return count * kernel if count > 1 else 0


def places_of(problem: ConvProblem, w: Strides) -> tuple[Array, bool]:
    """Say where the terms of a row of the kernel lie, and whether they lie in order."""
    _, _, channel, *taps = w
    places = np.arange(problem.C) * channel
    for stride, size in zip(taps, problem.kernel, strict=True):
        places = np.add.outer(places, np.arange(size) * stride)
    places = np.ascontiguousarray(places.ravel())
    return places, bool((places == np.arange(places.size)).all())


def add_up(
    problem: ConvProblem, dtype: str, count: int, at: int, w: Strides, *, first: int = 0,
    adds: bool = False,
) -> Step:  # fmt: skip
    """Prepare to add up sums ``(G, K, C, *kernel)`` that begin ``at`` bytes in scratch.

    The result's ``first`` element lies behind others; ``adds`` says that it is added to what
    is there.
    """
    places, in_order = places_of(problem, w)
    places, in_order = places + first, in_order and not first
    terms, rows = problem.C * problem.taps, problem.G * problem.K
    each = max(1, ROWS // max(terms, 1))
    words: Sequence[int] = [
        rows, problem.K, terms, each, w[0], w[1], places.ctypes.data, in_order,
        at, rows * terms * sum_bytes(dtype), count, adds,
    ]  # fmt: skip
    return step(("partial_sums", dtype), words, -(-rows // each), (places,))
