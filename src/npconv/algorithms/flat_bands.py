"""What `npconv.algorithms.flat` computes together, and how much memory that takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from npconv.algorithms.protocol import DType
from npconv.flat import BAND_BYTES, Flat, lay, most_flat
from npconv.problem import ConvProblem, Direction

# A band has so many outputs at least, if there are, because BLAS lays out the kernel again for
# each, and in the kernel's gradient its product is added to that of the bands before.
FEWEST = 512
MOST_PHASES = 64  # of an input's gradient under a stride: each takes some calls


class Step(NamedTuple):
    """How many images, groups, and rows of outputs are computed together."""

    images: int
    groups: int
    rows: int


@lru_cache(maxsize=128)
def layout(problem: ConvProblem, direction: Direction, dtype: DType) -> tuple[Flat, Step]:
    """Lay images out flat, and cut them into bands."""
    flat = lay(problem.axes)
    return flat, _step(problem, flat, direction, dtype)


def _step(problem: ConvProblem, flat: Flat, direction: Direction, dtype: DType) -> Step:
    room, unit = BAND_BYTES // dtype.itemsize, unit_of(problem)
    row, rows = flat.row, flat.out[0]
    one = problem.C * flat.channel + unit * rows * row + _product(problem, direction)
    several = room // one
    if several:
        groups = min(several, problem.G)
        return Step(several // groups if groups == problem.G else 1, groups, rows)
    return Step(1, 1, max(room // (unit * row), -(-FEWEST // row)))


def unit_of(problem: ConvProblem) -> int:
    """Elements that one output takes: its column and itself, in every direction."""
    return problem.C * problem.taps + problem.K


def _product(problem: ConvProblem, direction: Direction) -> int:
    """Elements of one product in the kernel's gradient, and of its sum over images."""
    kernel = problem.K * problem.C * problem.taps
    return 2 * kernel if direction is Direction.KERNEL_GRAD else 0


def held_by(problem: ConvProblem, direction: Direction, dtype: DType) -> int:
    """Bound the elements that all this takes: `_step`, with bounds for what is laid out."""
    first, *others = [most_flat(axis) for axis in problem.axes]
    unit, room, image = unit_of(problem), BAND_BYTES // dtype.itemsize, math.prod(others)
    image *= problem.C * first + 1
    # A band's rows are of one of the parts that a stride makes.
    row = math.prod(-(-most_flat(axis) // axis.stride) for axis in problem.axes[1:])
    product = _product(problem, direction)
    one = image + unit * problem.axes[0].out * row + product
    band = max(room, unit * min(row + FEWEST, row * problem.axes[0].out))
    return min(problem.N * problem.G * one, max(room, image + band + product))


def parts(problem: ConvProblem, step: Step) -> Iterator[tuple[slice, slice]]:
    """Give the images and groups of one step after the other."""
    for g in range(0, problem.G, step.groups):
        for n in range(0, problem.N, step.images):
            yield (
                slice(n, min(n + step.images, problem.N)),
                slice(g, min(g + step.groups, problem.G)),
            )


def turns(problem: ConvProblem) -> bool:
    """Whether the input's gradient turns the kernel round, and does not add up columns.

    To turn an element takes as long as five copies to a column, or one addition. A turned kernel
    reads a column for each input, or, under a stride, for as many as there are outputs, in phases.
    """
    K, C, outputs, inputs = problem.K, problem.C, problem.pixels, math.prod(problem.size)
    phases = math.prod(axis.stride for axis in problem.axes)
    columns, adding = (outputs, 20) if phases > 1 else (inputs, 9)
    gains = problem.taps == 1 or 10 * K * C + 2 * K * columns < adding * C * outputs
    return gains and phases <= MOST_PHASES
