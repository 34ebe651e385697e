"""The kernel's gradient by direct summation, over bands of outputs in their fixed order.

The product of `npconv.compiled.kernels.direct` with its roles exchanged: the sum is over
outputs, rows are the terms of a forward sum, and vectors run along output channels, for
which a band of the outputs' gradient is transposed. Where input and gradient are read alike,
they may be exchanged: then all that is said here of one is true of the other. A part is a
group, some input channels and a few blocks of output channels, over all images, or over a
stream of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npconv.compiled.blocks import OUT, SCRATCH
from npconv.compiled.front_end import helper
from npconv.compiled.kernels.gather import gather_for, place
from npconv.compiled.kernels.memory import call_lines, get_int, getter, setter
from npconv.compiled.kernels.rows import row_copy, row_fill, square
from npconv.compiled.kernels.tiles import broadcast_tile
from npconv.compiled.kernels.vectors import Vectors
from npconv.compiled.kernels.words import (
    ALL_COLUMNS,
    ALL_ROWS,
    BAND_BYTES,
    BASES,
    BLOCK_COUNT,
    BLOCKS,
    BLOCKS_A_PART,
    CHANNELS,
    CHUNK_CHANNELS,
    CHUNKS,
    COLUMN_PIECES,
    COLUMNS,
    DEPTH,
    IMAGES,
    IN_ORDER,
    IN_PLACE,
    LAST_BASES,
    OUT_CHANNELS,
    PANEL_BYTES,
    PHASES,
    PLANES_OUT,
    ROW_PIECES,
    ROWS,
    STREAMS,
    SUMS,
    SUMS_AT,
    SUMS_ROW,
    TAPS,
    TERM_OFFSETS,
    W_GROUP,
    W_ROW,
    W_TERMS,
    WORKER_BYTES,
    X_CHANNEL,
    X_GROUP,
    X_IMAGE,
    X_OPERAND,
    Y_CHANNEL,
    Y_COLUMN,
    Y_GROUP,
    Y_IMAGE,
    Y_OPERAND,
    Y_PLANE,
    Y_ROW,
)  # fmt: skip

NEAR = 2**20  # bytes of an image's gradient: as many, about, are still near a core


def make(dtype: str) -> Callable[..., None]:
    """Make the kernel."""
    v = Vectors(dtype)
    add: Any = helper(_add_piece(v))
    write: Any = helper(_write(v))
    keep: Any = helper(_keep(v))
    zero, item = row_fill(v), v.itemsize

    def gradient(block: int, part: int, worker: int) -> None:
        band = get_int(block, SCRATCH) + worker * get_int(block, WORKER_BYTES)
        tiles = band + get_int(block, BAND_BYTES) + get_int(block, PANEL_BYTES)
        phase, streams = get_int(block, PHASES), get_int(block, STREAMS)
        count, each = get_int(phase, BLOCK_COUNT), get_int(block, BLOCKS_A_PART)
        groups, chunks = (count + each - 1) // each, get_int(phase, CHUNKS)
        stream, rest = part % streams, part // streams
        first, rest = rest % groups * each, rest // groups
        stop, chunk, g = min(first + each, count), rest % chunks, rest // chunks
        channel = chunk * get_int(block, CHUNK_CHANNELS)
        channels = min(get_int(block, CHUNK_CHANNELS), get_int(block, CHANNELS) - channel)
        terms = channels * get_int(block, TAPS)
        pieces = get_int(block, IMAGES) * get_int(phase, PLANES_OUT)
        pieces *= get_int(phase, COLUMN_PIECES) * get_int(phase, ROW_PIECES)
        begin, end = stream * pieces // streams, (stream + 1) * pieces // streams
        single = streams == 1 and end - begin == 1
        for piece in range(begin, end):
            add(block, g, piece, piece - begin, channel, channels, first, stop, band, single)
        sums = get_int(block, SCRATCH) + get_int(block, SUMS_AT) + stream * get_int(block, SUMS)
        blocks = get_int(block, BLOCKS)
        for b in range(first, first if single else stop):
            start, width = get_int(blocks, 2 * b), get_int(blocks, 2 * b + 1)
            tile = tiles + item * terms * (start - get_int(blocks, 2 * first))
            if begin == end:
                zero(tile, terms * width)
            if streams == 1:
                write(block, g, channel * get_int(block, TAPS), terms, start, width, tile)
            else:
                keep(block, g, channel, terms, start, width, tile, sums)

    return gradient


def _add_piece(v: Vectors) -> Callable[..., None]:
    """Add what one band of outputs gives to tiles of some blocks; or write it, the first time.

    What the band reads is gathered once for all of them. If it is a ``single`` one, what it
    gives goes where it belongs.
    """
    gather: Any = helper(gather_for(v))
    place_of: Any = helper(place)
    multiply: Any = helper(_multiply(v))
    size = v.outside.itemsize

    def add(
        block: int, g: int, piece: int, onto: int,
        channel: int, channels: int, first: int, stop: int, band: int, single: bool,
    ) -> None:  # fmt: skip
        panel, phase = band + get_int(block, BAND_BYTES), get_int(block, PHASES)
        across, down = get_int(phase, COLUMN_PIECES), get_int(phase, ROW_PIECES)
        plane, i = piece // (across * down), piece % (across * down)
        n, plane = plane // get_int(phase, PLANES_OUT), plane % get_int(phase, PLANES_OUT)
        row, column = i // across * get_int(phase, ROWS), i % across * get_int(phase, COLUMNS)
        rows = min(get_int(phase, ROWS), get_int(phase, ALL_ROWS) - row)
        columns = min(get_int(phase, COLUMNS), get_int(phase, ALL_COLUMNS) - column)
        x = get_int(block, get_int(block, X_OPERAND)) + size * (
            n * get_int(block, X_IMAGE) + g * get_int(block, X_GROUP)
        )
        if get_int(phase, IN_PLACE):
            x += size * channel * get_int(block, X_CHANNEL)
            band = x + size * place_of(block, phase, plane, row, column)
        else:
            gather(block, phase, x, plane, row, column, band, channel, channels)
        dy = get_int(block, get_int(block, Y_OPERAND)) + size * (
            n * get_int(block, Y_IMAGE)
            + g * get_int(block, Y_GROUP)
            + plane * get_int(phase, Y_PLANE)
            + row * get_int(phase, Y_ROW)
            + column * get_int(phase, Y_COLUMN)
        )
        multiply(
            block, g, dy, band, panel, rows, columns, onto, channel, channels, first, stop, single
        )

    return add


def _multiply(v: Vectors) -> Callable[..., None]:
    """Multiply a band with its outputs' gradient, block by block of their channels.

    Sums that belong to the result go there a few terms at a time, out of the first cache.
    """
    fill: Any = helper(broadcast_tile(v))
    turn: Any = helper(_turn(v))
    write: Any = helper(_write(v))
    zero, item = row_fill(v), v.itemsize

    def multiply(
        block: int, g: int, dy: int, band: int, panel: int, rows: int, columns: int, onto: int,
        channel: int, channels: int, first: int, stop: int, single: bool,
    ) -> None:  # fmt: skip
        phase, blocks, taps = get_int(block, PHASES), get_int(block, BLOCKS), get_int(block, TAPS)
        whole = columns == get_int(phase, COLUMNS)
        steps = get_int(phase, BASES) if whole else get_int(phase, LAST_BASES)
        tile, terms = panel + get_int(block, PANEL_BYTES), channels * taps
        some = DEPTH if single else terms
        for b in range(first, stop):
            start, width = get_int(blocks, 2 * b), get_int(blocks, 2 * b + 1)
            behind = start + width > get_int(block, OUT_CHANNELS)
            if behind and (onto == 0 or stop - first > 1):
                # Lanes behind the last channel are zeros, or the sums there might take long.
                zero(panel, get_int(block, PANEL_BYTES) // item)
            turn(block, phase, dy, panel, start, width, rows, columns)
            for t in range(0, terms, some):
                count, offsets = min(some, terms - t), get_int(phase, TERM_OFFSETS) + 8 * t
                fill(band, offsets, steps, panel, tile, count, rows * columns, width, onto, 0)
                if single:
                    write(block, g, channel * taps + t, count, start, width, tile)
            tile += item * terms * width

    return multiply


def _turn(v: Vectors) -> Callable[..., None]:
    """Transpose some channels of a band of the outputs' gradient: ``(outputs, channels)``."""
    transpose, get, put = square(v, reads=True), v.outside.getter, setter(v.dtype)
    L, item, size = v.lanes, v.itemsize, v.outside.itemsize

    def turn(
        block: int, phase: int, dy: int, panel: int, start: int, width: int, rows: int, columns: int
    ) -> None:
        along, apart = get_int(phase, Y_COLUMN), get_int(block, Y_CHANNEL)
        lines, length = rows, columns
        dy += size * start * apart
        if along == 1 and get_int(phase, Y_ROW) == columns:  # rows follow each other
            lines, length = 1, rows * columns
        there = min(width, get_int(block, OUT_CHANNELS) - start)
        following = columns if get_int(phase, COLUMN_PIECES) > 1 else rows * get_int(phase, Y_ROW)
        far = size * abs(apart) * get_int(block, OUT_CHANNELS) > NEAR
        for row in range(lines):
            source, to = (
                dy + size * row * get_int(phase, Y_ROW),
                panel + item * row * length * width,
            )
            for k in range(0, there, L):
                if along == 1:
                    # No processor guesses where so many channels lie: the next band's are called.
                    for i in range(k, min(k + L, there) if far else k):
                        call_lines(source + size * (i * apart + following), size * length)
                    for q in range(0, length, L):
                        transpose(
                            to + item * (q * width + k), width,
                            source + size * (k * apart + q), apart,
                            min(L, there - k), min(L, length - q), 0,
                        )  # fmt: skip
                else:
                    for q in range(length):
                        for i in range(k, min(k + L, there)):
                            put(to, q * width + i, get(source, i * apart + q * along))

    return turn


def _write(v: Vectors) -> Callable[..., None]:
    """Write a tile ``(terms, channels)`` where it belongs in the kernel."""
    transpose, copy = square(v, writes=True), row_copy(v, writes=True)
    get, put = getter(v.dtype), v.outside.setter
    L, item, size = v.lanes, v.itemsize, v.outside.itemsize

    def write(
        block: int, g: int, first: int, terms: int, start: int, width: int, tile: int
    ) -> None:
        apart = get_int(block, W_ROW)
        dw = get_int(block, OUT) + size * (g * get_int(block, W_GROUP) + start * apart)
        there = min(width, get_int(block, OUT_CHANNELS) - start)
        if get_int(block, IN_ORDER):
            for k in range(0, there, L):
                for t in range(0, terms, L):
                    transpose(
                        dw + size * (k * apart + first + t), apart,
                        tile + item * (t * width + k), width,
                        min(L, terms - t), min(L, there - k), 0,
                    )  # fmt: skip
            return
        places = get_int(block, W_TERMS) + 8 * first
        for t in range(terms):
            if apart == 1:
                copy(dw + size * get_int(places, t), tile + item * t * width, there)
            else:
                for k in range(there):
                    value = get(tile, t * width + k)
                    put(dw, k * apart + get_int(places, t), value)

    return write


def _keep(v: Vectors) -> Callable[..., None]:
    """Write a tile to where a stream's sums of the whole kernel lie in one piece."""
    transpose, copy, L, item = square(v), row_copy(v), v.lanes, v.itemsize

    def keep(
        block: int, g: int, channel: int, terms: int, start: int, width: int, tile: int, sums: int
    ) -> None:
        K, apart = get_int(block, OUT_CHANNELS), get_int(block, SUMS_ROW)
        there, first = min(width, K - start), channel * get_int(block, TAPS)
        sums += item * g * K * get_int(block, CHANNELS) * get_int(block, TAPS)
        if apart == 1:  # input and outputs' gradient are exchanged
            for t in range(terms):
                copy(sums + item * ((first + t) * K + start), tile + item * t * width, there)
            return
        to = sums + item * (start * apart + first)
        for k in range(0, there, L):
            for t in range(0, terms, L):
                transpose(
                    to + item * (k * apart + t), apart, tile + item * (t * width + k), width,
                    min(L, terms - t), min(L, there - k), 0,
                )  # fmt: skip

    return keep
