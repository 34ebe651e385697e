"""Direct summation of one band of outputs: its inputs gathered, multiplied, written.

A part is a band of an image and a group, with some of the output channels. What it does
follows from the part's number and from tables made when planning
(`npconv.compiled.direct`), never from who computes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

from npconv.compiled.blocks import BIAS, FIRST, FLAGS, OUT, SCRATCH, SECOND
from npconv.compiled.kernels.blocks_of_sums import broadcast_block, shifted_block
from npconv.compiled.kernels.gather import gather_for, place
from npconv.compiled.kernels.memory import get_int, getter, put_int, stack_words
from npconv.compiled.kernels.pack import finite_row, pieces_of_rows
from npconv.compiled.kernels.rows import row_add, row_fill, row_spread, square
from npconv.compiled.kernels.vectors import Vectors
from npconv.compiled.kernels.words import (
    ALL_COLUMNS,
    ALL_ROWS,
    BAND_BYTES,
    BASES,
    BLOCK_COUNT,
    BLOCK_VECTORS,
    BLOCKS,
    BLOCKS_A_CHUNK,
    CHANNELS,
    CHUNKS,
    COLUMN_PIECES,
    COLUMNS,
    DEPTH,
    GROUPS,
    IN_PLACE,
    LAST_BASES,
    OF_PHASE,
    OUT_CHANNELS,
    PACKED,
    PACKED_GROUP,
    PARTS,
    PHASE_WORDS,
    PHASES,
    PIECE_AT,
    ROW_PIECES,
    ROWS,
    RUN,
    RUN_STEP,
    SOURCES,
    TERM_OFFSETS,
    TERMS,
    TOGETHER,
    W_GROUP,
    W_ROW,
    WORKER_BYTES,
    X_GROUP,
    X_IMAGE,
    Y_CHANNEL,
    Y_COLUMN,
    Y_GROUP,
    Y_IMAGE,
    Y_PLANE,
    Y_ROW,
    Y_START,
)  # fmt: skip
from npconv.compiled.registers import HEIGHTS, accumulators


def make(mode: str, dtype: str) -> Callable[..., None]:
    """Make the kernel that broadcasts numbers of the image, or the one that shifts it."""
    v = Vectors(dtype)
    sums: Any = njit(_broadcast_sums(v) if mode == "broadcast" else _shifted_sums(v))
    of_phase: Any = njit(_of_phase(v, sums))

    def direct(block: int, part: int, worker: int) -> None:
        band = get_int(block, SCRATCH) + worker * get_int(block, WORKER_BYTES)
        tile, piece = band + get_int(block, BAND_BYTES), band + get_int(block, PIECE_AT)
        parts, G = get_int(block, PARTS), get_int(block, GROUPS)
        image, rest = part // parts, part % parts
        n, g = image // G, image % G
        phase = get_int(block, PHASES)
        while rest >= get_int(phase, OF_PHASE):
            rest -= get_int(phase, OF_PHASE)
            phase += 8 * PHASE_WORDS * get_int(phase, TOGETHER)
        for _ in range(get_int(phase, TOGETHER)):
            of_phase(block, phase, n, g, rest, band, tile, piece)
            phase += 8 * PHASE_WORDS

    return direct


def _of_phase(v: Vectors, sums: Any) -> Callable[..., None]:
    gather: Any = njit(gather_for(v))
    place_of: Any = njit(place)
    item, size = v.itemsize, v.outside.itemsize

    def of_phase(
        block: int, phase: int, n: int, g: int, rest: int, band: int, tile: int, piece: int
    ) -> None:
        """Compute some channels of band ``rest`` of a phase of a group of an image."""
        chunks, across = get_int(phase, CHUNKS), get_int(phase, COLUMN_PIECES)
        chunk, rest = rest % chunks, rest // chunks
        column, rest = rest % across * get_int(phase, COLUMNS), rest // across
        down = get_int(phase, ROW_PIECES)
        row, plane = rest % down * get_int(phase, ROWS), rest // down
        rows = min(get_int(phase, ROWS), get_int(phase, ALL_ROWS) - row)
        columns = min(get_int(phase, COLUMNS), get_int(phase, ALL_COLUMNS) - column)
        x = get_int(block, FIRST) + size * (
            n * get_int(block, X_IMAGE) + g * get_int(block, X_GROUP)
        )
        if get_int(phase, IN_PLACE):
            tile, band = band, x + size * place_of(block, phase, plane, row, column)
        else:
            gather(block, phase, x, plane, row, column, band, 0, get_int(block, CHANNELS))
        y = get_int(block, OUT) + size * (
            n * get_int(block, Y_IMAGE)
            + g * get_int(block, Y_GROUP)
            + get_int(phase, Y_START)
            + plane * get_int(phase, Y_PLANE)
            + row * get_int(phase, Y_ROW)
            + column * get_int(phase, Y_COLUMN)
        )
        w = get_int(block, SECOND)
        if get_int(phase, SOURCES):
            w += size * g * get_int(block, W_GROUP)
        else:
            w += item * (g * get_int(block, PACKED_GROUP) + get_int(phase, PACKED))
        bias = get_int(block, BIAS)
        if bias:
            bias += item * g * get_int(block, OUT_CHANNELS)
        first = chunk * get_int(phase, BLOCKS_A_CHUNK)
        stop = min(first + get_int(phase, BLOCKS_A_CHUNK), get_int(phase, BLOCK_COUNT))
        sums(block, phase, band, tile, piece, w, bias, y, rows, columns, first, stop)

    return of_phase


def _broadcast_sums(v: Vectors) -> Callable[..., None]:
    """Vectors run along output channels; a tile ``(pixels, channels)`` is written transposed."""
    fill: Any = njit(broadcast_tile(v))
    write: Any = njit(_write_columns(v))
    zero, item, pack = row_fill(v), v.itemsize, njit(_packed_piece(v))

    def sums(
        block: int, phase: int, band: int, tile: int, piece: int, w: int, bias: int, y: int,
        rows: int, columns: int, first: int, stop: int,
    ) -> None:  # fmt: skip
        T, bases = get_int(phase, TERMS), get_int(phase, BASES)
        if columns < get_int(phase, COLUMNS):
            bases = get_int(phase, LAST_BASES)
        steps, blocks = get_int(phase, TERM_OFFSETS), get_int(block, BLOCKS)
        for b in range(first, stop):
            start, width = get_int(blocks, 2 * b), get_int(blocks, 2 * b + 1)
            for t in range(0, T, DEPTH):
                packed, depth = w + item * (start * T + t * width), min(DEPTH, T - t)
                if get_int(phase, SOURCES):
                    pack(block, phase, w, piece, start, width, t, depth)
                    packed = piece
                fill(band, bases, steps + 8 * t, packed, tile, rows * columns, depth, width, t)
            if not T:
                zero(tile, rows * columns * width)
            write(block, phase, tile, bias, y, start, width, rows, columns)

    return sums


def _packed_piece(v: Vectors) -> Callable[..., None]:
    """Pack a few terms of a block, that it reads next and nobody else does.

    The first of FLAGS becomes 1 if they are not finite.
    """
    write, size, check = pieces_of_rows(v), v.outside.itemsize, finite_row(v, outside=False)

    def pack(
        block: int, phase: int, w: int, piece: int, start: int, width: int, first: int, depth: int
    ) -> None:
        apart, there = get_int(block, W_ROW), get_int(block, OUT_CHANNELS) - start
        write(
            piece, width, w + size * start * apart, apart, there, first, depth,
            get_int(phase, SOURCES), get_int(phase, RUN), get_int(phase, RUN_STEP),
        )  # fmt: skip
        if get_int(block, FLAGS) and not check(piece, depth * width):
            put_int(get_int(block, FLAGS), 0, 1)

    return pack


def _write_columns(v: Vectors) -> Callable[..., None]:
    """Write a tile ``(pixels, channels)`` of some output channels of a band."""
    write, turn, spread = square(v, writes=True), square(v), row_spread(v)
    L, item, size, get = v.lanes, v.itemsize, v.outside.itemsize, getter(v.dtype)
    corner = stack_words(L * L * item // 8)

    def columns_of(
        block: int, phase: int, tile: int, bias: int, y: int,
        start: int, width: int, rows: int, columns: int,
    ) -> None:  # fmt: skip
        apart, along = get_int(block, Y_CHANNEL), get_int(phase, Y_COLUMN)
        stop = min(start + width, get_int(block, OUT_CHANNELS))
        if along == 1 and get_int(phase, Y_ROW) == columns:  # rows follow each other
            rows, columns = 1, rows * columns
        for row in range(rows):
            for k in range(start, stop, L):
                count, number = min(L, stop - k), bias + item * k if bias else 0
                there = y + size * (row * get_int(phase, Y_ROW) + k * apart)
                here = tile + item * (row * columns * width + k - start)
                if along == 1:
                    for q in range(0, columns, L):
                        write(
                            there + size * q, apart, here + item * q * width, width,
                            min(L, columns - q), count, number,
                        )  # fmt: skip
                else:
                    square_at = corner()
                    for q in range(0, columns, L):
                        some = min(L, columns - q)
                        turn(square_at, L, here + item * q * width, width, some, count, 0)
                        for i in range(count):
                            spread(
                                there + size * (i * apart + q * along), along,
                                square_at + item * i * L, some, get(number, i) if number else 0,
                            )  # fmt: skip

    return columns_of


def _shifted_sums(v: Vectors) -> Callable[..., None]:
    """Vectors run along rows of outputs; a tile ``(channels, pixels)`` is a block wide.

    What a tile reads of the band stays in the first cache while all output channels go by.
    """
    L, item = v.lanes, v.itemsize
    fill: Any = njit(_shifted_tile(v))
    write: Any = njit(_write_rows(v))
    add, get, is_same = row_add(v), getter(v.dtype), v.outside.dtype == v.dtype

    def sums(
        block: int, phase: int, band: int, tile: int, piece: int, w: int, bias: int, y: int,
        rows: int, columns: int, first: int, stop: int,
    ) -> None:  # fmt: skip
        T, bases = get_int(phase, TERMS), get_int(phase, BASES)
        if columns < get_int(phase, COLUMNS):
            bases = get_int(phase, LAST_BASES)
        steps, blocks = get_int(phase, TERM_OFFSETS), get_int(block, BLOCKS)
        across, along, apart = (
            (columns + L - 1) // L,
            get_int(phase, Y_COLUMN),
            get_int(block, Y_CHANNEL),
        )
        most = get_int(block, BLOCK_VECTORS)
        for j in range(0, rows * across, most):
            vectors, at_j = min(most, rows * across - j), bases + 8 * j
            row, q = j // across, j % across * L
            in_place = is_same and along == 1 and q + vectors * L <= columns
            there = y + item * (row * get_int(phase, Y_ROW) + q)
            # In place, a few terms of all channels at a time, that the band's stay in the cache.
            depth = DEPTH if in_place and T else max(T, 1)
            for t in range(0, max(T, 1), depth):
                some = min(depth, T - t)
                for b in range(first, stop):
                    start, height = get_int(blocks, 2 * b), get_int(blocks, 2 * b + 1)
                    packed = w + item * (start * T + t * height)
                    if in_place:
                        to = there + item * start * apart
                        fill(band, at_j, steps, packed, to, apart, vectors, t, some, height)
                        # The bias is added while they are hot.
                        for k in range(height if bias and t + some == T else 0):
                            here = to + item * k * apart
                            add(here, here, vectors * L, get(bias, start + k))
                    else:
                        fill(band, at_j, steps, packed, tile, vectors * L, vectors, t, some, height)
                        write(block, phase, tile, bias, y, start, height, j, vectors, columns)

    return sums


def _write_rows(v: Vectors) -> Callable[..., None]:
    """Write a tile whose vectors are those from number ``j`` on of a band."""
    write, get = row_spread(v), getter(v.dtype)
    L, item, size = v.lanes, v.itemsize, v.outside.itemsize

    def rows(
        block: int, phase: int, tile: int, bias: int, y: int,
        start: int, height: int, j: int, vectors: int, columns: int,
    ) -> None:  # fmt: skip
        across, along = (columns + L - 1) // L, get_int(phase, Y_COLUMN)
        i = 0
        while i < vectors:
            row, q = (j + i) // across, (j + i) % across * L
            run = min(vectors - i, across - (j + i) % across)  # of this row of outputs
            count = min(run * L, columns - q)
            place = y + size * (row * get_int(phase, Y_ROW) + q * along)
            for k in range(height):
                number = get(bias, start + k) if bias else 0
                there = place + size * (start + k) * get_int(block, Y_CHANNEL)
                here = tile + item * (k * vectors + i) * L
                write(there, along, here, count, number)
            i += run

    return rows


def _shifted_tile(v: Vectors) -> Callable[..., None]:
    """Fill a tile of 8 rows or fewer with one block, or a few where none is as wide."""
    held = accumulators()
    walks: list[Any] = []
    for rows in HEIGHTS:
        widths = {min(6, max(3, held // rows)), 3, 2, 1}
        walks.append(njit(_across(v, {n: shifted_block(v, rows, n) for n in widths}, rows)))
    # Few registers do not hold eight or six; nobody asks.
    eight, six, four, three, two, one = walks
    zero, lanes, item = row_fill(v), v.lanes, v.itemsize

    def fill(
        band: int, bases: int, steps: int, packed: int, tile: int, apart: int,
        vectors: int, first: int, depth: int, height: int,
    ) -> None:  # fmt: skip
        if not depth:
            for k in range(height):
                zero(tile + item * k * apart, vectors * lanes)
        elif height == 8:
            eight(band, bases, steps, packed, tile, apart, vectors, first, depth)
        elif height == 6:
            six(band, bases, steps, packed, tile, apart, vectors, first, depth)
        elif height == 4:
            four(band, bases, steps, packed, tile, apart, vectors, first, depth)
        elif height == 3:
            three(band, bases, steps, packed, tile, apart, vectors, first, depth)
        elif height == 2:
            two(band, bases, steps, packed, tile, apart, vectors, first, depth)
        else:
            one(band, bases, steps, packed, tile, apart, vectors, first, depth)

    return fill


def _across(v: Vectors, blocks: dict[int, Any], rows: int) -> Callable[..., None]:
    most, item = max(blocks), v.itemsize
    vector = v.lanes * item
    many, three, two, one = blocks[most], blocks[3], blocks[2], blocks[1]

    def across(
        band: int, bases: int, steps: int, packed: int, tile: int, stride: int,
        vectors: int, first: int, depth: int,
    ) -> None:  # fmt: skip
        for t in range(first, first + depth, DEPTH):
            some, at_t = min(DEPTH, first + depth - t), steps + 8 * t
            w = packed + item * (t - first) * rows
            j = 0
            while vectors - j >= most:
                many(band, bases + 8 * j, at_t, w, tile + j * vector, stride, some, t)
                j += most
            if vectors - j >= 3:
                three(band, bases + 8 * j, at_t, w, tile + j * vector, stride, some, t)
                j += 3
            if vectors - j >= 2:
                two(band, bases + 8 * j, at_t, w, tile + j * vector, stride, some, t)
                j += 2
            if vectors - j >= 1:
                one(band, bases + 8 * j, at_t, w, tile + j * vector, stride, some, t)

    return across


def broadcast_tile(v: Vectors) -> Callable[..., None]:
    """Fill a tile with blocks of as many rows as registers hold; fewer for the last ones."""
    L, item = v.lanes, v.itemsize
    held = accumulators()
    blocks = [
        {rows: broadcast_block(v, rows, n) for rows in (min(8, held // n), 4, 2, 1)}
        for n in (1, 2, 3, 4)
        if held // n >= 4
    ]
    # A machine with few registers has no blocks four vectors wide.
    walks: list[Any] = [njit(_walk(v, each)) for each in blocks]
    walk_one, walk_two, walk_three, walk_four = (*walks, walks[-1])[:4]

    def fill(
        band: int, bases: int, steps: int, packed: int, tile: int,
        pixels: int, depth: int, width: int, onto: int,
    ) -> None:  # fmt: skip
        row = item * width
        if width == 4 * L:
            walk_four(band, bases, steps, packed, tile, pixels, depth, row, onto)
        elif width == 3 * L:
            walk_three(band, bases, steps, packed, tile, pixels, depth, row, onto)
        elif width == 2 * L:
            walk_two(band, bases, steps, packed, tile, pixels, depth, row, onto)
        else:
            walk_one(band, bases, steps, packed, tile, pixels, depth, row, onto)

    return fill


def _walk(v: Vectors, blocks: dict[int, Any]) -> Callable[..., None]:
    most = max(blocks)
    many, four, two, one = blocks[most], blocks[4], blocks[2], blocks[1]

    def walk(
        band: int, bases: int, steps: int, packed: int, tile: int,
        pixels: int, depth: int, row: int, onto: int,
    ) -> None:  # fmt: skip
        i = 0
        while pixels - i >= most:
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
