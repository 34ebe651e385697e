"""Direct summation of one band of outputs: its inputs gathered, multiplied, written.

A part is a band of an image and a group, with some of the output channels. What it does
follows from the part's number and from tables made when planning
(`npconv.compiled.direct_words`), never from who computes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npconv.compiled.blocks import BIAS, FIRST, FLAGS, OUT, SCRATCH, SECOND
from npconv.compiled.front_end import helper
from npconv.compiled.kernels.direct_parts import bias_alone, packed_terms
from npconv.compiled.kernels.gather import gather_for, place
from npconv.compiled.kernels.memory import (
    call_lines,
    fetch_to_write,
    get_int,
    getter,
    put_int,
    stack_words,
)
from npconv.compiled.kernels.pack import finite_row, pieces_of_rows
from npconv.compiled.kernels.rows import row_add, row_spread, square
from npconv.compiled.kernels.tiles import broadcast_tile, shifted_tile
from npconv.compiled.kernels.vectors import Vectors
from npconv.compiled.kernels.words import (
    A_PIECE,
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
    SEEN,
    SOURCES,
    TERM_OFFSETS,
    TERMS,
    TILE_BASES,
    TILE_STEPS,
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
from npconv.compiled.registers import CACHE_LINE


def make(mode: str, dtype: str) -> Callable[..., None]:
    """Make the kernel that broadcasts numbers of the image, or the one that shifts it."""
    v = Vectors(dtype)
    sums: Any = helper(_broadcast_sums(v) if mode == "broadcast" else _shifted_sums(v))
    of_phase: Any = helper(_of_phase(v, sums))

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
    gather: Any = helper(gather_for(v))
    place_of: Any = helper(place)
    alone: Any = helper(bias_alone(v))
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
        y = get_int(block, OUT) + size * (
            n * get_int(block, Y_IMAGE)
            + g * get_int(block, Y_GROUP)
            + get_int(phase, Y_START)
            + plane * get_int(phase, Y_PLANE)
            + row * get_int(phase, Y_ROW)
            + column * get_int(phase, Y_COLUMN)
        )
        bias = get_int(block, BIAS)
        if bias:
            bias += item * g * get_int(block, OUT_CHANNELS)
        first = chunk * get_int(phase, BLOCKS_A_CHUNK)
        stop = min(first + get_int(phase, BLOCKS_A_CHUNK), get_int(phase, BLOCK_COUNT))
        if not get_int(phase, TERMS):
            alone(block, phase, bias, y, rows, columns, first, stop)
            return
        x = get_int(block, FIRST) + size * (
            n * get_int(block, X_IMAGE) + g * get_int(block, X_GROUP)
        )
        if get_int(phase, IN_PLACE):
            tile, band = band, x + size * place_of(block, phase, plane, row, column)
        else:
            gather(block, phase, x, plane, row, column, band, 0, get_int(block, CHANNELS))
        w = get_int(block, SECOND)
        if get_int(phase, SOURCES):
            w += size * g * get_int(block, W_GROUP)
        else:
            w += item * (g * get_int(block, PACKED_GROUP) + get_int(phase, PACKED))
        sums(block, phase, band, tile, piece, w, bias, y, row, rows, columns, first, stop)

    return of_phase


def _broadcast_sums(v: Vectors) -> Callable[..., None]:
    """Vectors run along output channels; a tile ``(pixels, channels)`` is written transposed."""
    fill: Any = helper(broadcast_tile(v))
    write: Any = helper(_write_columns(v))
    item, pack = v.itemsize, helper(_packed_piece(v))
    call: Any = helper(_call_piece(v))

    def sums(
        block: int, phase: int, band: int, tile: int, piece: int, w: int, bias: int, y: int,
        top: int, rows: int, columns: int, first: int, stop: int,
    ) -> None:  # fmt: skip
        T, bases, most = get_int(phase, TERMS), get_int(phase, BASES), get_int(phase, A_PIECE)
        if columns < get_int(phase, COLUMNS):
            bases = get_int(phase, LAST_BASES)
        steps, blocks = get_int(phase, TERM_OFFSETS), get_int(block, BLOCKS)
        for b in range(first, stop):
            start, width = get_int(blocks, 2 * b), get_int(blocks, 2 * b + 1)
            for t in range(0, T, most):
                packed, depth = w + item * (start * T + t * width), min(most, T - t)
                ahead = 0 if get_int(phase, SOURCES) else packed + item * depth * width
                if get_int(phase, SOURCES):
                    pack(block, phase, w, piece, start, width, t, depth)
                    packed = piece
                    if t + depth < T:
                        call(block, phase, w, start, width, t + depth, min(most, T - t - depth))
                    elif b + 1 < stop:
                        after = get_int(blocks, 2 * b + 2), get_int(blocks, 2 * b + 3)
                        call(block, phase, w, after[0], after[1], 0, min(most, T))
                fill(
                    band, bases, steps + 8 * t, packed, tile, rows * columns,
                    depth, width, t, ahead,
                )  # fmt: skip
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


def _call_piece(v: Vectors) -> Callable[..., None]:
    """Call the terms of a block that are packed next into the second cache."""
    size = v.outside.itemsize

    def call(
        block: int, phase: int, w: int, start: int, width: int, first: int, depth: int
    ) -> None:
        apart, sources = get_int(block, W_ROW), get_int(phase, SOURCES)
        rows = max(0, min(width, get_int(block, OUT_CHANNELS) - start))
        run, step = get_int(phase, RUN), get_int(phase, RUN_STEP)
        w += size * start * apart
        if abs(step) > 1 and apart == 1:
            for t in range(first, first + depth):
                call_lines(w + size * get_int(sources, t), size * rows)
            return
        t = first
        while t < first + depth:
            some = min(run - t % run, first + depth - t)
            source = w + size * (get_int(sources, t) - (0 if step > 0 else some - 1))
            for i in range(rows):
                call_lines(source + size * i * apart, size * some)
            t += some

    return call


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
    fill: Any = helper(shifted_tile(v))
    write: Any = helper(_write_rows(v))
    pack: Any = helper(packed_terms(v))
    add, get, is_same = row_add(v), getter(v.dtype), v.outside.dtype == v.dtype

    def sums(
        block: int, phase: int, band: int, tile: int, piece: int, w: int, bias: int, y: int,
        top: int, rows: int, columns: int, first: int, stop: int,
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
        most, seen = get_int(block, BLOCK_VECTORS), get_int(phase, SEEN) + 16 * top
        j, vectors, all_vectors = 0, 0, rows * across
        while j < all_vectors:
            vectors, at_j = min(most, all_vectors - j), bases + 8 * j
            if most > 2 and all_vectors - j == most + 1:
                vectors -= 1  # a last vector alone would wait for each of its sums
            row, q = j // across, j % across * L
            in_place = is_same and along == 1 and q + vectors * L <= columns
            there = y + item * (row * get_int(phase, Y_ROW) + q)
            # What the last row sees begins first, what the first one sees ends last.
            low = get_int(seen, 2 * ((j + vectors - 1) // across))
            high = max(low, get_int(seen, 2 * row + 1))
            # In place, a few terms of all channels at a time, that the band's stay in the cache.
            depth = DEPTH if in_place else T + 1
            begin = low - low % depth
            for piece_of in range(begin, max(high, begin + 1), depth):
                t = max(low, piece_of)
                some = min(piece_of + depth, high) - t
                read, starts, from_start = band, at_j, steps
                if in_place and get_int(phase, IN_PLACE) and get_int(block, TILE_BASES):
                    read, starts = piece, get_int(block, TILE_BASES)
                    from_start = get_int(block, TILE_STEPS) - 8 * t
                    pack(piece, most, band, at_j, vectors, steps + 8 * t, some)
                for b in range(first, stop):
                    start, height = get_int(blocks, 2 * b), get_int(blocks, 2 * b + 1)
                    packed = w + item * (start * T + t * height)
                    if in_place:
                        to = there + item * start * apart
                        if b + 1 < stop:
                            following = to + item * height * apart
                            call_rows(following, item * apart, height, item * vectors * L)
                        fill(
                            read, starts, from_start, packed, to, apart, vectors,
                            low, t, some, height,
                        )  # fmt: skip
                        # The bias is added while they are hot.
                        for k in range(height if bias and t + some == high else 0):
                            here = to + item * k * apart
                            add(here, here, vectors * L, get(bias, start + k))
                    else:
                        fill(
                            band, at_j, steps, packed, tile, vectors * L, vectors,
                            low, t, some, height,
                        )  # fmt: skip
                        write(block, phase, tile, bias, y, start, height, j, vectors, columns)
            j += vectors

    return sums


@helper
def call_rows(to: int, apart: int, rows: int, nbytes: int) -> Any:
    """Call rows into the cache that are written next: no processor guesses lines so far apart."""
    for k in range(rows):
        for line in range(0, nbytes, CACHE_LINE):
            fetch_to_write(to + k * apart + line)


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
