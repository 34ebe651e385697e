"""How a problem is cut so that its working arrays stay under the workspace limit.

A tile is a smaller `ConvProblem`: fewer images, fewer groups, a block of channels, a band
of positions with pads of its own. The cut depends on one image's problem and the limit,
never on the batch or on threads, so an image's bits do not depend on its company.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache, partial
from itertools import product
from typing import NamedTuple

from npconv.axis import Axis
from npconv.padding import Run, padded_problem, runs
from npconv.problem import ConvProblem, Direction

_zip = partial(zip, strict=True)

# So many tiles are remembered for the next call.
FEW = 64


class Cut(NamedTuple):
    """How many of each a tile has at most.

    ``positions`` are those of what a tile writes (outputs, or inputs for the input
    gradient); for the kernel gradient those of the outputs whose terms it adds.
    """

    images: int
    groups: int
    K: int
    C: int
    positions: tuple[int, ...]


class Block(NamedTuple):
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


class Tile(NamedTuple):
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


def parts(problem: ConvProblem, cut: Cut) -> Iterator[tuple[Block, ConvProblem]]:
    """Walk over the blocks, each with its problem over padded inputs; a few are remembered."""
    return iter(_few_parts(problem, cut) or _walk_parts(problem, cut))


@lru_cache(maxsize=512)
def _few_parts(problem: ConvProblem, cut: Cut) -> tuple[tuple[Block, ConvProblem], ...]:
    counts = map(_count, (problem.G, problem.K, problem.C), (cut.groups, cut.K, cut.C))
    return tuple(_walk_parts(problem, cut)) if math.prod(counts) <= FEW else ()


def _walk_parts(problem: ConvProblem, cut: Cut) -> Iterator[tuple[Block, ConvProblem]]:
    inner = padded_problem(problem)
    return ((block, block.problem(inner)) for block in blocks(problem, cut))


def tiles(block: ConvProblem, direction: Direction, cut: Cut) -> Iterator[Tile]:
    """Walk over the tiles of a block's problem in their fixed order; a few are remembered."""
    return iter(_few(block, direction, cut) or _walk(block, direction, cut))


def number_of_tiles(block: ConvProblem, direction: Direction, cut: Cut) -> int:
    """Count the tiles of a block's problem."""
    spread = block.size if direction is Direction.INPUT_GRAD else block.out
    return math.prod(map(_count, (block.N, *spread), (cut.images, *cut.positions)))


@lru_cache(maxsize=512)
def _few(block: ConvProblem, direction: Direction, cut: Cut) -> tuple[Tile, ...]:
    few = number_of_tiles(block, direction, cut) <= FEW
    return tuple(_walk(block, direction, cut)) if few else ()


def _walk(block: ConvProblem, direction: Direction, cut: Cut) -> Iterator[Tile]:
    bands = [
        list(_bands(axis, direction, extent))
        for axis, extent in zip(block.axes, cut.positions, strict=True)
    ]
    for (n0, n1), *band in product(_pieces(block.N, cut.images), *bands):
        axes, inputs, outputs = zip(*band, strict=True)
        problem = block.part(N=n1 - n0, G=block.G, K=block.K, C=block.C, axes=axes)
        yield Tile(problem, slice(n0, n1), inputs, outputs)


def gradient_tiles(
    block: ConvProblem, unpadded: ConvProblem, cut: Cut
) -> Iterator[tuple[Tile, list[tuple[Tile, tuple[Run, ...]]]]]:
    """Walk over tiles of an input gradient, each with the pieces to add up in it.

    ``block`` is the problem over the padded input. With zeros a tile is its only piece.
    Where padding repeated the input, each piece is a box of the padded gradient, and runs
    that say where it belongs.
    """
    if unpadded.padding_mode == "zeros":
        for tile in tiles(block, Direction.INPUT_GRAD, cut):
            yield tile, [(tile, ())]
        return
    spread = [_pieces(axis.size, extent) for axis, extent in _zip(unpadded.axes, cut.positions)]
    for (n0, n1), *ranges in product(_pieces(block.N, cut.images), *spread):
        inputs = tuple(slice(*piece) for piece in ranges)
        found = [
            list(runs(axis, unpadded.padding_mode, place, extent))
            for axis, place, extent in _zip(unpadded.axes, inputs, cut.positions)
        ]
        yield (
            Tile(block, slice(n0, n1), inputs, ()),
            [_box(block, slice(n0, n1), chosen) for chosen in product(*found)],
        )


def _box(
    block: ConvProblem, images: slice, chosen: tuple[Run, ...]
) -> tuple[Tile, tuple[Run, ...]]:
    """Pose the problem of one box of padded positions, a run along each axis."""
    inputs = [(run.start, run.stop) for run in chosen]
    outputs = [axis.read_by(*piece) for axis, piece in _zip(block.axes, inputs)]
    axes = tuple(axis.tile(o, i) for axis, o, i in _zip(block.axes, outputs, inputs))
    problem = block.part(N=_length(images), G=block.G, K=block.K, C=block.C, axes=axes)
    sides = (tuple(slice(*piece) for piece in side) for side in (inputs, outputs))
    return Tile(problem, images, *sides), chosen


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


def _count(number: int, extent: int) -> int:
    return max(1, -(-number // max(extent, 1)))


def _length(part: slice) -> int:
    return int(part.stop - part.start)
