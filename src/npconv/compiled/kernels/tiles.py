"""Tiles of sums, filled with blocks as large as registers hold, and smaller ones at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npconv.compiled.front_end import helper
from npconv.compiled.kernels.blocks_of_sums import broadcast_block, shifted_block
from npconv.compiled.kernels.memory import call_lines
from npconv.compiled.kernels.rows import row_fill
from npconv.compiled.kernels.vectors import Vectors
from npconv.compiled.kernels.words import DEPTH
from npconv.compiled.registers import HEIGHTS, accumulators


def shifted_tile(v: Vectors) -> Callable[..., None]:
    """Fill a tile of 8 rows or fewer with one block, or a few where none is as wide.

    What it is given is the sum of terms from ``low`` on; those from ``first`` on are added.
    """
    held = accumulators()
    walks: list[Any] = []
    for rows in HEIGHTS:
        most = max(1, min(6, held // rows))
        widths = {n for n in (most, 3, 2, 1) if n <= most}
        walks.append(helper(_across(v, {n: shifted_block(v, rows, n) for n in widths}, rows)))
    # Few registers do not hold eight; nobody asks.
    eight, six, four, three, two, one = walks
    zero, lanes, item = row_fill(v), v.lanes, v.itemsize

    def fill(
        band: int, bases: int, steps: int, packed: int, tile: int, apart: int,
        vectors: int, low: int, first: int, depth: int, height: int,
    ) -> None:  # fmt: skip
        if not depth:
            for k in range(height):
                zero(tile + item * k * apart, vectors * lanes)
        elif height == 8:
            eight(band, bases, steps, packed, tile, apart, vectors, low, first, depth)
        elif height == 6:
            six(band, bases, steps, packed, tile, apart, vectors, low, first, depth)
        elif height == 4:
            four(band, bases, steps, packed, tile, apart, vectors, low, first, depth)
        elif height == 3:
            three(band, bases, steps, packed, tile, apart, vectors, low, first, depth)
        elif height == 2:
            two(band, bases, steps, packed, tile, apart, vectors, low, first, depth)
        else:
            one(band, bases, steps, packed, tile, apart, vectors, low, first, depth)

    return fill


def _across(v: Vectors, blocks: dict[int, Any], rows: int) -> Callable[..., None]:
    most, item = max(blocks), v.itemsize
    vector = v.lanes * item
    many, one = blocks[most], blocks[1]
    three, two = (blocks.get(n, many) for n in (3, 2))  # that many are never left of fewer
    # A vector alone would wait for each of its sums: 4 are two pairs then, and 5 are 3 and 2.
    uneven = most + 1 if most in (3, 4) else 0

    def across(
        band: int, bases: int, steps: int, packed: int, tile: int, stride: int,
        vectors: int, low: int, first: int, depth: int,
    ) -> None:  # fmt: skip
        # Pieces begin at the same terms wherever the sums do, so that their bits are the same.
        begin, end = first - first % DEPTH, first + depth
        for piece in range(begin, end, DEPTH):
            t = max(first, piece)
            some, at_t, onto = min(piece + DEPTH, end) - t, steps + 8 * t, t - low
            w = packed + item * (t - first) * rows
            j = 0
            while vectors - j >= most and vectors - j != uneven:
                many(band, bases + 8 * j, at_t, w, tile + j * vector, stride, some, onto)
                j += most
            if vectors - j == 4:
                two(band, bases + 8 * j, at_t, w, tile + j * vector, stride, some, onto)
                j += 2
            if vectors - j >= 3:
                three(band, bases + 8 * j, at_t, w, tile + j * vector, stride, some, onto)
                j += 3
            if vectors - j >= 2:
                two(band, bases + 8 * j, at_t, w, tile + j * vector, stride, some, onto)
                j += 2
            if vectors - j >= 1:
                one(band, bases + 8 * j, at_t, w, tile + j * vector, stride, some, onto)

    return across


def broadcast_tile(v: Vectors) -> Callable[..., None]:
    """Fill a tile with blocks of as many rows as registers hold; fewer for the last ones.

    As much of the packed factor as it reads is called beforehand from ``ahead`` on, unless 0.
    """
    L, item = v.lanes, v.itemsize
    held = accumulators()
    blocks = [
        {rows: broadcast_block(v, rows, n) for rows in (min(8, held // n), 4, 2, 1)}
        for n in (1, 2, 3, 4)
        if held // n >= 4
    ]
    # A machine with few registers has no blocks four vectors wide.
    walks: list[Any] = [helper(_walk(v, each)) for each in blocks]
    walk_one, walk_two, walk_three, walk_four = (*walks, walks[-1])[:4]

    def fill(
        band: int, bases: int, steps: int, packed: int, tile: int,
        pixels: int, depth: int, width: int, onto: int, ahead: int,
    ) -> None:  # fmt: skip
        row = item * width
        if width == 4 * L:
            walk_four(band, bases, steps, packed, tile, pixels, depth, row, onto, ahead)
        elif width == 3 * L:
            walk_three(band, bases, steps, packed, tile, pixels, depth, row, onto, ahead)
        elif width == 2 * L:
            walk_two(band, bases, steps, packed, tile, pixels, depth, row, onto, ahead)
        else:
            walk_one(band, bases, steps, packed, tile, pixels, depth, row, onto, ahead)

    return fill


def _walk(v: Vectors, blocks: dict[int, Any]) -> Callable[..., None]:
    most = max(blocks)
    many, four, two, one = blocks[most], blocks[4], blocks[2], blocks[1]

    def walk(
        band: int, bases: int, steps: int, packed: int, tile: int,
        pixels: int, depth: int, row: int, onto: int, ahead: int,
    ) -> None:  # fmt: skip
        i, share = 0, depth * row * most // pixels if ahead else 0
        while pixels - i >= most:
            call_lines(ahead, share)
            ahead += share
            many(band, bases + 8 * i, steps, packed, tile + i * row, depth, onto)
            i += most
        if pixels - i >= 4:
            four(band, bases + 8 * i, steps, packed, tile + i * row, depth, onto)
            i += 4
        if pixels - i >= 2:
            two(band, bases + 8 * i, steps, packed, tile + i * row, depth, onto)
            i += 2
        if pixels - i >= 1:
            one(band, bases + 8 * i, steps, packed, tile + i * row, depth, onto)

    return walk
