"""Pairs of elements that an algorithm multiplies although no result holds them.

See `npconv.trust` for what becomes of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import NamedTuple, TypeAlias

from npconv.axis import Axis
from npconv.padding import padded_problem
from npconv.problem import ConvProblem, Direction

Box: TypeAlias = tuple[slice, ...]

# Elements along each axis of what is looked at in one go.
PIECE = 64


class Strays(NamedTuple):
    """Where an algorithm's strays come from.

    Attributes
    ----------
    boxes
        Ranges of the input whose elements meet more of the kernel than the result holds.
    norms
        Whether a transform mixes all of a box, so that its strays go by the box's root mean
        square (times ``scale``) and the kernel's norm, not by the largest elements.
    scale
        What a box's norm is multiplied by.
    """

    boxes: tuple[Box, ...]
    norms: bool = False
    scale: float = 1.0


def frame(axes: Sequence[Axis]) -> Strays:
    """Give the elements that do not meet the whole kernel; without stride and dilation."""
    read = [axis.reads(0, axis.out) for axis in axes]
    inside = [
        (max(lo, a.reach - 1 - a.low), min(hi, a.out - a.low))
        for a, (lo, hi) in zip(axes, read, strict=True)
    ]
    if any(lo >= hi for lo, hi in inside):
        return Strays(tuple(pieces(read)))
    boxes: list[Box] = []
    for i, ((lo, hi), (first, stop)) in enumerate(zip(read, inside, strict=True)):
        for strip in ((lo, first), (stop, hi)):
            if strip[0] < strip[1]:
                boxes += pieces([*inside[:i], strip, *read[i + 1 :]])
    return Strays(tuple(boxes))


def pieces(ranges: Iterable[tuple[int, int]]) -> Iterator[Box]:
    """Cut a box into small ones."""
    spread = [
        [slice(i, min(i + PIECE, stop)) for i in range(start, stop, PIECE)]
        for start, stop in ranges
    ]
    return product(*spread)


def check_bytes(problem: ConvProblem, direction: Direction, strays: Strays | None) -> int:
    """Bound the bytes of working arrays that the checks of `npconv.trust` take."""
    weights, inner = 3 * problem.G * problem.K * problem.C, padded_problem(problem)
    if strays is None:
        looked_at = 4 * math.prod(min(PIECE, axis.out) for axis in inner.axes)
        if problem.padding_mode != "zeros":  # the padded input is gathered piece by piece
            piece = math.prod(min(PIECE, axis.size) for axis in inner.axes)
            looked_at += 3 * problem.G * problem.C * piece
        return 8 * (weights + looked_at)
    if direction is Direction.INPUT_GRAD:
        inner = inner.turned
    sizes = [math.prod(part.stop - part.start for part in box) for box in strays.boxes]
    columns = inner.G * (3 * inner.C + inner.K) * max(sizes, default=0)
    return 8 * (weights + columns + 4 * inner.C * inner.taps)
