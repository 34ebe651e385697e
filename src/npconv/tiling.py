"""How a problem is cut so that its working arrays stay under the workspace limit.

A tile is a smaller `ConvProblem`: fewer images, fewer groups, a block of channels, a band
of positions with pads of its own. The cut depends on one image's problem and the limit,
never on the batch or on threads, so an image's bits do not depend on its company.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

from npconv.algorithms.protocol import Algorithm, DType
from npconv.axis import Axis
from npconv.problem import ConvProblem, Direction

# Several images or groups go into one tile up to this size; larger tiles leave the cache.
CACHE_BYTES = 2 * 2**20


@dataclass(frozen=True, slots=True)
class Cut:
    """How many of each a tile has at most.

    ``positions`` are those of what a tile writes (outputs, or inputs for the input
    gradient); for the kernel gradient those of the outputs whose terms it adds.
    """

    images: int
    groups: int
    K: int
    C: int
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Groups and channels whose part of the kernel is packed, and used, together."""

    groups: slice
    K: slice
    C: slice

    def problem(self, whole: ConvProblem) -> ConvProblem:
        """Restrict a problem to this block."""
        return whole.part(
            N=whole.N,
            G=_length(self.groups),
            K=_length(self.K),
            C=_length(self.C),
            axes=whole.axes,
        )


@dataclass(frozen=True, slots=True)
class Tile:
    """Images and positions of one tile of a block, and the smaller problem they pose."""

    problem: ConvProblem
    images: slice
    inputs: tuple[slice, ...]
    outputs: tuple[slice, ...]


def blocks(problem: ConvProblem, cut: Cut) -> Iterator[Block]:
    """Walk over the blocks in their fixed order."""
    for g, k, c in product(
        _pieces(problem.G, cut.groups),
        _pieces(problem.K, cut.K),
        _pieces(problem.C, cut.C),
    ):
        yield Block(slice(*g), slice(*k), slice(*c))


def tiles(block: ConvProblem, direction: Direction, cut: Cut) -> Iterator[Tile]:
    """Walk over the tiles of a block's problem in their fixed order."""
    bands = [
        list(_bands(axis, direction, extent))
        for axis, extent in zip(block.axes, cut.positions, strict=True)
    ]
    for (n0, n1), *band in product(_pieces(block.N, cut.images), *bands):
        axes, inputs, outputs = zip(*band, strict=True)
        problem = block.part(N=n1 - n0, G=block.G, K=block.K, C=block.C, axes=axes)
        yield Tile(problem, slice(n0, n1), inputs, outputs)


def _bands(axis: Axis, direction: Direction, extent: int) -> Iterator[tuple[Axis, slice, slice]]:
    """Cut one axis along what is written; the other side follows from the geometry."""
    if direction is Direction.INPUT_GRAD:
        for inputs in _pieces(axis.size, extent):
            outputs = axis.read_by(*inputs)
            yield axis.tile(outputs, inputs), slice(*inputs), slice(*outputs)
    else:
        for outputs in _pieces(axis.out, extent):
            inputs = axis.reads(*outputs)
            yield axis.tile(outputs, inputs), slice(*inputs), slice(*outputs)


def _pieces(count: int, extent: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, max(extent, 1)):
        yield start, min(start + extent, count)
    if not count:
        yield 0, 0


def _length(part: slice) -> int:
    return int(part.stop - part.start)


# ---- finding the cut --------------------------------------------------------------------


def find_cut(
    algorithm: Algorithm,
    problem: ConvProblem,
    direction: Direction,
    dtype: DType,
    limit: int,
) -> tuple[Cut | None, int]:
    """Find the largest worthwhile tile under ``limit`` bytes, for any number of images.

    Returns the cut and the bytes its tiles need; the cut is None where even the smallest
    tile needs more, and then the bytes are the smallest limit that works.
    """
    whole = _numbers(_whole(problem, direction))

    def bytes_of(cut: list[int]) -> int:
        return tile_bytes(algorithm, problem, direction, dtype, _cut(cut))

    def grow(i: int, limit: int) -> bool:
        """Raise number i of the cut as far as it fits; say whether that is all of it."""
        fitting = _largest(whole[i], lambda n: bytes_of([*cut[:i], n, *cut[i + 1 :]]) <= limit)
        cut[i] = max(cut[i], fitting)
        if cut[i]:  # make the pieces about equal
            cut[i] = -(-whole[i] // -(-whole[i] // cut[i])) if whole[i] else cut[i]
        return cut[i] >= whole[i]

    images, groups, K, C, *positions = range(len(whole))
    cut = _numbers(_smallest(problem, direction))
    if bytes_of(cut) <= limit:
        # Channels first, as every band needs them all, but leave half of the room to bands;
        # then whole rows before many rows; `all` stops at the first axis that is cut.
        channels_whole = grow(K, limit // 2) and grow(C, limit // 2)
        if all(grow(i, limit) for i in reversed(positions)) and channels_whole:
            small = min(limit, CACHE_BYTES)
            if grow(groups, small):
                # Every further image takes the same again, so there is no need to search.
                one, two = bytes_of(cut), bytes_of([2, *cut[1:]])
                cut[images] = 1 + max(0, small - one) // max(two - one, 1)
        return _cut(cut), bytes_of(cut)
    return None, bytes_of(cut)


def tile_bytes(
    algorithm: Algorithm,
    problem: ConvProblem,
    direction: Direction,
    dtype: DType,
    cut: Cut,
) -> int:
    """Bound the bytes of working arrays that tiles of this cut take.

    Operands are cast to ``dtype`` tile by tile; whether they need it is not known to a
    plan, so the copies always count. The kernel gradient has an accumulator besides.
    """
    axes = []
    for axis, extent in zip(problem.axes, cut.positions, strict=True):
        outputs, inputs = extent, extent
        if direction is Direction.INPUT_GRAD:
            span = (extent - 1) * axis.input_dilation + axis.reach
            outputs = min(axis.out, (span - 1) // axis.stride + 1)
        else:
            span = (extent - 1) * axis.stride + axis.reach
            inputs = min(axis.size, (span - 1) // axis.input_dilation + 1)
        axes.append(axis.tile((0, outputs), (0, inputs)))
    tile = problem.part(N=cut.images, G=cut.groups, K=cut.K, C=cut.C, axes=tuple(axes))
    x = tile.N * tile.G * tile.C * math.prod(tile.size)
    y = tile.N * tile.G * tile.K * tile.pixels
    w = tile.G * tile.K * tile.C * tile.taps
    bias = tile.G * tile.K
    copies = {
        Direction.FORWARD: x + w + bias,
        Direction.INPUT_GRAD: y + w,
        Direction.KERNEL_GRAD: x + y + w,
    }[direction]
    return algorithm.cost(tile, direction, dtype).workspace + copies * dtype.itemsize


def _smallest(problem: ConvProblem, direction: Direction) -> Cut:
    """One of everything, but for the channels that are summed over."""
    K = problem.K if direction is Direction.INPUT_GRAD else min(1, problem.K)
    C = problem.C if direction is Direction.FORWARD else min(1, problem.C)
    return Cut(1, 1, K, C, (1,) * problem.rank)


def _whole(problem: ConvProblem, direction: Direction) -> Cut:
    positions = problem.size if direction is Direction.INPUT_GRAD else problem.out
    return Cut(1, problem.G, problem.K, problem.C, positions)


def _numbers(cut: Cut) -> list[int]:
    return [cut.images, cut.groups, cut.K, cut.C, *cut.positions]


def _cut(numbers: list[int]) -> Cut:
    images, groups, K, C, *positions = numbers
    return Cut(images, groups, K, C, tuple(positions))


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """Find the largest number up to ``most`` that fits, or 0; fitting is monotone."""
    if fits(most):  # as nearly always
        return most
    best, above = 0, most
    while above - best > 1:
        middle = (best + above) // 2
        if fits(middle):
            best = middle
        else:
            above = middle
    return best
