"""Where Winograd's tiles lie: along which axes, of which plain problems, in which pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from npconv.algorithms.winograd_matrices import BY_TILE, F_1_1, F_2_3, F_4_2, F_4_3, Filtering
from npconv.axis import Axis
from npconv.compiled.prepared import Strides
from npconv.lattices import Lattice, Part, Taps, classes, parts
from npconv.problem import ConvProblem

# Kernel elements along an axis that are transformed together: more would cost accuracy.
LONGEST = 3
# Numbers of a transformed kernel that a cache keeps, and products that take as long as it takes
# to read one of a larger kernel from memory.
KEPT, READING = 3 * 2**20, 14


def tile_places(problem: ConvProblem) -> tuple[int, int]:
    """Say along which two axes there are tiles: the last, and one before; -1 for none."""
    last = problem.rank - 1
    windows = [i for i in range(last) if problem.axes[i].kernel > 1]
    return (windows[-1] if windows else last - 1), last


def tile_axes(problem: ConvProblem) -> tuple[Axis, Axis]:
    """Give the two axes along which there are tiles; one of size 1 where there is but one."""
    h, w = tile_places(problem)
    return (problem.axes[h] if h >= 0 else Axis(1, 1)), problem.axes[w]


def filtering(kernel: int, out: int) -> Filtering:
    """Choose how to filter along an axis: tiles of 4 outputs take fewest products.

    But where there are two outputs at most; kernels of 2 have hardly ever so few.
    """
    if kernel == 1:
        return F_1_1
    if kernel == 2:
        return F_4_2
    return F_2_3 if out <= F_2_3.m else F_4_3


def filterings(kernel: Sequence[int], out: Sequence[int], places: Sequence[int]) -> list[Filtering]:
    """Choose along the two axes with tiles; -1 is one of size 1."""
    return [filtering(kernel[i], out[i]) if i >= 0 else F_1_1 for i in places]


def small_tile(channels: int, filters: Sequence[Filtering], columns: int) -> tuple[int, ...] | None:
    """Give a tile of 2 outputs instead of 4 where to read the kernel would take longest.

    A small image has few tiles to multiply with each number of a kernel that comes from memory,
    and for smaller tiles a kernel has fewer numbers. What a cut may change has no say, or bits
    would depend on it, and so on the batch: as many output channels as there are input channels
    are assumed, and as many rows as columns.
    """
    small = [F_2_3 if each is F_4_3 else each for each in filters]

    def work(chosen: Sequence[Filtering]) -> int:
        tiles = math.prod(-(-columns // each.m) for each in chosen if each is not F_1_1)
        return math.prod(each.t for each in chosen) * max(tiles, READING)

    numbers = channels**2 * math.prod(each.t for each in filters)
    if numbers <= KEPT or work(filters) <= work(small):
        return None
    return tuple(each.t for each in small)


def together(problem: ConvProblem) -> tuple[int, ...]:
    """Say how many kernel elements along each axis are transformed together at most."""
    tiled = tile_places(problem)
    return tuple(LONGEST if i in tiled else 1 for i in range(problem.rank))


def plain_parts(problem: ConvProblem) -> tuple[Part, ...]:
    """Cut a forward problem into plain ones that have tiles along two axes."""
    return parts(problem, together(problem))


class SubKernel(NamedTuple):
    """Kernel elements of a class along each axis, and the plain problems they are the kernel of."""

    taps: tuple[Taps, ...]
    tile: tuple[int, int]  # elements of a tile along the two axes
    parts: tuple[Part, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Count its elements along each axis."""
        return tuple(taps.number for taps in self.taps)

    @property
    def elements(self) -> int:
        """Count its elements."""
        return math.prod(self.sizes)


@lru_cache(maxsize=1024)
def sub_kernels(problem: ConvProblem, tile: tuple[int, ...] | None = None) -> tuple[SubKernel, ...]:
    """Cut the kernel of a forward problem: in an order that no cut of the axes changes.

    ``tile`` is that of the first one, as it was packed; from there follow all others.
    """
    found: list[SubKernel] = []
    all_parts, everywhere = plain_parts(problem), map(classes, problem.axes, together(problem))
    outputs = [
        max((part.problem.axes[i].out for part in all_parts), default=0)
        for i in range(problem.rank)
    ]
    for taps in product(*everywhere):
        sizes = tuple(each.number for each in taps)
        plain = problem._replace(axes=tuple(Axis(size, size) for size in sizes))
        places = tile_places(plain)
        if not found:
            filters = filterings(sizes, outputs, places)
            tile = tile or small_tile(problem.C, filters, outputs[-1])
            for i, t in zip(places, tile or (), strict=False):
                outputs[i] = BY_TILE[t].m
        t_h, t_w = (each.t for each in filterings(sizes, outputs, places))
        here = tuple(part for part in all_parts if part.taps == taps)
        found.append(SubKernel(taps, (t_h, t_w), here))
    return tuple(found)


class Picture(NamedTuple):
    """A plain problem along the two axes with tiles: at one position of all other axes.

    There the kernel has one element. ``x`` and ``y`` are strides, ``x_at`` and ``y_at`` where
    inputs and outputs begin, in elements; of the whole problem there, too.
    """

    problem: ConvProblem
    x: Strides
    y: Strides
    x_at: int
    y_at: int
    is_there: bool  # whether there are inputs at all
    whole: ConvProblem
    whole_x: Strides
    whole_at: int
    tap: int  # the first of the whole kernel's elements that are met here


def pictures(whole: ConvProblem, part: Part, x: Strides, y: Strides) -> list[Picture]:
    """Walk over the positions of the axes without tiles; strides are those of the whole."""
    tiled = tile_places(whole)
    problem, (of_x, x_at), (of_y, y_at) = part.problem, _on(part.read, x), _on(part.written, y)
    others = [i for i in range(problem.rank) if i not in tiled]
    begins = sum(part.read[i].first * x[3 + i] for i in others)
    tap = sum(part.taps[i].first * math.prod(whole.kernel[i + 1 :]) for i in others)
    found = []
    for place in product(*(range(problem.axes[i].out) for i in others)):
        seen = [p - problem.axes[i].low for p, i in zip(place, others, strict=True)]
        there = all(0 <= t < problem.axes[i].size for t, i in zip(seen, others, strict=True))
        at = sum(t * of_x[3 + i] for t, i in zip(seen, others, strict=True)) if there else 0
        to = sum(p * of_y[3 + i] for p, i in zip(place, others, strict=True))
        found.append(
            Picture(problem, of_x, of_y, x_at + at, y_at + to, there, whole, x, begins + at, tap)
        )
    return found


def _on(lattices: Sequence[Lattice], strides: Strides) -> tuple[Strides, int]:
    """Give the strides from element to element of lattices, and where they begin."""
    spatial = list(zip(lattices, strides[3:], strict=True))
    apart = (each.apart * stride for each, stride in spatial)
    return (*strides[:3], *apart), sum(each.first * stride for each, stride in spatial)


def in_bytes(problem: ConvProblem, strides: Strides, item: int) -> tuple[int, int, int, int, int]:
    """Keep strides of images, groups, channels, rows and pixels."""
    image, group, channel, *spatial = strides
    h, w = tile_places(problem)
    row = spatial[h] if h >= 0 else 0
    return image * item, group * item, channel * item, row * item, spatial[w] * item


def taps_in_bytes(
    problem: ConvProblem, kernel: SubKernel, item: int, *, turned: bool = False
) -> tuple[int, int, int]:
    """Say where in the kernel the first of these elements lies, the next row's and the next."""
    strides = [math.prod(problem.kernel[i + 1 :]) * item for i in range(problem.rank)]
    first = [taps.first for taps in kernel.taps]
    if turned:  # counted from the other end
        first = [
            whole - 1 - taps.first - (size - 1) * taps.apart
            for whole, taps, size in zip(problem.kernel, kernel.taps, kernel.sizes, strict=True)
        ]
    of = [taps.apart * stride for taps, stride in zip(kernel.taps, strides, strict=True)]
    h, w = tile_places(problem._replace(axes=tuple(Axis(size, size) for size in kernel.sizes)))
    row = of[h] if h >= 0 and kernel.sizes[h] > 1 else kernel.sizes[w] * of[w]
    return sum(i * stride for i, stride in zip(first, strides, strict=True)), row, of[w]
