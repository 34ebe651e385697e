"""Which tiles Winograd's transforms work on, and how many of them at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from npconv.algorithms.protocol import DType
from npconv.algorithms.winograd_matrices import (
    BY_TILE,
    F_1_1,
    F_2_3,
    F_4_3,
    Filtering,
    Matrix,
    numbers,
)
from npconv.axis import Axis
from npconv.problem import Array, ConvProblem, Direction
from npconv.tiled import Chunk, chunks, fitting

# What a chunk's arrays may take, about, and more for a few tiles of many channels: BLAS lays out
# the kernel again for each chunk, which takes as long as to multiply it with so many tiles. With
# less of it all would stay in the second-level cache; but threads whose steps take less than a
# tenth of a millisecond wait for each other's turn at the interpreter.
CHUNK_BYTES, ENOUGH_TILES = 7 * 2**19, 56
# Channels whose kernel gradient is summed together: at ``t*t`` elements each they are many.
CHANNELS_IN, CHANNELS_OUT = 128, 128


def windows(problem: ConvProblem) -> int:
    """Count the axes along which there is something to transform."""
    return problem.kernel.count(3)


def _widest(axis: Axis) -> Filtering:
    return F_4_3 if axis.kernel == 3 else F_1_1


def choose_filters(problem: ConvProblem, direction: Direction) -> list[Filtering]:
    """Choose the filtering of each axis by what is written along it.

    Beyond two outputs, tiles of 4 never take more products than tiles of 2.
    """
    written = problem.size if direction is Direction.INPUT_GRAD else problem.out
    return [
        F_2_3 if axis.kernel == 3 and count <= F_2_3.m else _widest(axis)
        for axis, count in zip(problem.axes, written, strict=True)
    ]


def filters_of(problem: ConvProblem, elements: Sequence[int]) -> list[Filtering]:
    """Find the filterings that `elements` gave ``elements`` of."""
    left = iter(elements)
    return [BY_TILE[next(left)] if axis.kernel == 3 else F_1_1 for axis in problem.axes]


def elements(filters: Sequence[Filtering]) -> list[int]:
    """Elements of a transform along each axis with a window."""
    return [f.t for f in filters if f.t > 1]


def dense(matrices: Sequence[Matrix], dtype: DType) -> Array:
    """Join the transforms of all axes in one matrix, its rows in the order of `elements`."""
    windows = [numbers(matrix, dtype) for matrix in matrices if len(matrix) > 1]
    if len(windows) == 1:
        return windows[0]
    first, second = windows
    rows, columns = len(first) * len(second), first.shape[1] * second.shape[1]
    joined: Array = np.einsum("ar,bs->abrs", first, second).reshape(rows, columns)
    return joined


def tile_counts(problem: ConvProblem, filters: Sequence[Filtering]) -> list[int]:
    """Count the tiles along each axis."""
    return [-(-axis.out // f.m) for axis, f in zip(problem.axes, filters, strict=True)]


def cut_chunks(
    problem: ConvProblem, filters: Sequence[Filtering], dtype: DType
) -> Iterator[tuple[slice, Chunk]]:
    """Walk over images, some at a time, and the chunks they are computed in."""
    pieces, together = _cut(problem, tuple(f.t for f in filters), dtype)
    for n in range(0, problem.N, together):
        for chunk in pieces:
            yield slice(n, min(n + together, problem.N)), chunk


@lru_cache(maxsize=128)
def _cut(
    problem: ConvProblem, elements: tuple[int, ...], dtype: DType
) -> tuple[tuple[Chunk, ...], int]:
    filters = [BY_TILE[t] for t in elements]
    most, together = largest_chunk(problem, filters, dtype)
    return chunks(problem.axes, [f.m for f in filters], elements, most), together


def largest_chunk(
    problem: ConvProblem, filters: Sequence[Filtering], dtype: DType
) -> tuple[tuple[int, ...], int]:
    """Say how many tiles along each axis are a chunk, and of how many images."""
    most = most_tiles(problem, filters, dtype)
    all_of_them = tile_counts(problem, filters)
    counts = fitting(all_of_them, most)
    whole = list(counts) == all_of_them
    return counts, max(1, min(problem.N, most // max(1, math.prod(counts)))) if whole else 1


def most_tiles(problem: ConvProblem, filters: Sequence[Filtering], dtype: DType) -> int:
    """Say how many tiles may be a chunk."""
    one = _working(problem, filters) * dtype.itemsize
    return max(1, CHUNK_BYTES // one, min(ENOUGH_TILES, 2 * CHUNK_BYTES // one))


def _working(problem: ConvProblem, filters: Sequence[Filtering]) -> int:
    """Elements of working arrays for each tile, roughly: `Cost.workspace` bounds all of them."""
    t, m = math.prod(f.t for f in filters), math.prod(f.m for f in filters)
    channels = problem.C + problem.K
    return max(1, problem.G * (t * channels + m * max(problem.C, problem.K)))


def blocks(problem: ConvProblem) -> Iterator[tuple[slice, slice]]:
    """Walk over channels ``(K, C)`` of a kernel's gradient that are summed together."""
    K, C = largest_block(problem)
    for c in range(0, problem.C, C):
        for k in range(0, problem.K, K):
            yield slice(k, min(k + K, problem.K)), slice(c, min(c + C, problem.C))


def largest_block(problem: ConvProblem) -> tuple[int, int]:
    """Say how many output and input channels, of each group, these are."""
    return (
        max(1, min(problem.K, CHANNELS_OUT // max(1, problem.G))),
        max(1, min(problem.C, CHANNELS_IN // max(1, problem.G))),
    )
