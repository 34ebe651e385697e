"""Pairs of elements that an algorithm multiplies although no result holds them.

See `npconv.trust` for what becomes of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, product
from typing import NamedTuple, TypeAlias

from npconv.axis import Axis
from npconv.padding import padded_problem
from npconv.problem import ConvProblem, Direction

Box: TypeAlias = tuple[slice, ...]

# Elements along each axis of what is looked at in one go.
PIECE = 64
# Outputs of small images that are looked at together.
TOGETHER = 2**11


class Strays(NamedTuple):
    """Where an algorithm's strays come from.

    Attributes
    ----------
    boxes
        Gives ranges of the input whose elements meet more of the kernel than the result
        holds. A function, because an input may be too large to list them for a plan.
    box_size
        Most elements in one of them.
    norms
        Whether a transform mixes all of a box, so that its strays go by the box's root mean
        square (times ``scale``) and the kernel's norm, not by the largest elements.
    scale
        What a box's norm is multiplied by.
    """

    boxes: Callable[[], Iterator[Box]]
    box_size: int
    norms: bool = False
    scale: float = 1.0


def frame(axes: Sequence[Axis]) -> Strays:
    """Give the elements that do not meet the whole kernel: all that is of their lattices."""
    read = [axis.reads(0, axis.out) for axis in axes]
    inside = [
        (
            max(lo, -(-(a.reach - 1 - a.low) // a.input_dilation)),
            min(hi, ((a.out - 1) * a.stride - a.low) // a.input_dilation + 1),
        )
        for a, (lo, hi) in zip(axes, read, strict=True)
    ]
    if any(lo >= hi for lo, hi in inside):
        return _in_pieces([read])
    strips: list[list[tuple[int, int]]] = []
    for i, ((lo, hi), (first, stop)) in enumerate(zip(read, inside, strict=True)):
        strips += [
            [*inside[:i], strip, *read[i + 1 :]]
            for strip in ((lo, first), (stop, hi))
            if strip[0] < strip[1]
        ]
    return _in_pieces(strips)


def _in_pieces(boxes: list[list[tuple[int, int]]]) -> Strays:
    sizes = [math.prod(min(PIECE, hi - lo) for lo, hi in box) for box in boxes]
    return Strays(partial(_all_pieces, boxes), max(sizes, default=0))


def _all_pieces(boxes: list[list[tuple[int, int]]]) -> Iterator[Box]:
    return chain.from_iterable(map(pieces, boxes))


def pieces(ranges: Iterable[tuple[int, int]]) -> Iterator[Box]:
    """Cut a box into small ones."""
    spread = [
        [slice(i, min(i + PIECE, stop)) for i in range(start, stop, PIECE)]
        for start, stop in ranges
    ]
    return product(*spread)


def images_at_once(problem: ConvProblem) -> int:
    """Say how many images a check of a kernel's gradient looks at together: a few small ones."""
    if problem.padding_mode != "zeros":
        return 1
    return max(1, min(TOGETHER // max(problem.pixels, 1), max(problem.N, 1)))


def check_bytes(problem: ConvProblem, direction: Direction, strays: Strays | None) -> int:
    """Bound the bytes of working arrays that the checks of `npconv.trust` take."""
    weights, inner = 3 * problem.G * problem.K * problem.C, padded_problem(problem)
    if strays is None:
        few = images_at_once(problem)
        looked_at = 4 * few * math.prod(min(PIECE, axis.out) for axis in inner.axes)
        looked_at += few * problem.G * (problem.K + 2 * problem.C)
        if problem.padding_mode != "zeros":  # the padded input is gathered piece by piece
            piece = math.prod(min(PIECE, axis.size) for axis in inner.axes)
            looked_at += 3 * problem.G * problem.C * piece
        return 8 * (weights + looked_at)
    if direction is Direction.INPUT_GRAD:
        inner = inner.turned
    columns = inner.G * (3 * inner.C + inner.K) * strays.box_size
    return 8 * (weights + columns + 4 * inner.C * inner.taps)
