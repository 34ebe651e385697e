"""Panels of tiles: gathered and transformed, multiplied, transformed back.

A panel's transformed input V lies element by element of the tiles, tile by tile, channels
side by side; so do its products M.
"""

from __future__ import annotations

from typing import Any

from npconv.algorithms.winograd_matrices import Matrix
from npconv.compiled.blocks import BIAS, FLAGS, OUT, SCRATCH
from npconv.compiled.front_end import helper
from npconv.compiled.kernels.lanes import Lanes
from npconv.compiled.kernels.memory import get_int, store_shared
from npconv.compiled.kernels.winograd_parts import (
    AHEAD,
    Filters,
    any_block_product,
    fill_zeros,
    first_lanes,
    tile_in,
    tile_out,
)
from npconv.compiled.kernels.winograd_pixels import turn_in, turn_out
from npconv.compiled.kernels.winograd_watch import Watch, nothing
from npconv.compiled.registers import block_rows
from npconv.compiled.winograd_words import WORDS


@helper
def odd_lines(nbytes: int) -> Any:
    """See `npconv.compiled.winograd.odd_lines`."""
    return ((nbytes + 63) // 64 | 1) * 64


@helper
def own_memory(block: int, worker: int) -> Any:
    """Where a thread's own memory begins."""
    own = get_int(block, WORDS.own) + worker * get_int(block, WORDS.own_bytes)
    return get_int(block, SCRATCH) + own


@helper
def place(block: int, tile: int) -> Any:
    """Say where a tile lies: image, row and column of tiles, and how many follow in its row."""
    rows, columns = get_int(block, WORDS.rows), get_int(block, WORDS.columns)
    image, rest = tile // get_int(block, WORDS.an_image), tile % get_int(block, WORDS.an_image)
    band, rest = rest // (rows * columns), rest % (rows * columns)
    row, column = rest // columns, rest % columns
    return image, row, band * columns + column, columns - column


@helper
def bounds(block: int, panel: int) -> Any:
    """Give a panel's group and its first tile, and the one behind its last."""
    panels = get_int(block, WORDS.panels)
    first = get_int(block, WORDS.first) + panel % panels * get_int(block, WORDS.panel)
    stop = min(first + get_int(block, WORDS.panel), get_int(block, WORDS.tiles))
    return panel // panels, first, stop


def row_layer(lanes: Lanes) -> Any:
    """Make the function that turns a piece of one row of some channels."""
    turn, zeros = turn_in(lanes), fill_zeros(lanes)
    count, nbytes = lanes.count, lanes.nbytes

    @helper
    def lay(
        x: int, of_channel: int, of_pixel: int, last: int, width: int, start: int, pixels: int,
        to: int,
    ) -> None:  # fmt: skip
        """Lay ``pixels`` pixels from ``start`` on, zeros where there are none.

        Vectors begin with the first pixel that is there: so fewer of them hold a row and its
        padding, and mostly they lie within lines of the cache.
        """
        j = min(max(0, -start), pixels)
        zeros(to, j)
        while j < pixels and start + j < width:
            stop = min(count, width - start - j)
            turn(x + (start + j) * of_pixel, of_channel, of_pixel, last, stop, to + j * nbytes)
            j += count
        if j < pixels:
            zeros(to + j * nbytes, pixels - j)

    return lay


def transformer(
    lanes: Lanes, h: Matrix, w: Matrix, m_h: int, m_w: int, watch: Watch = nothing
) -> Any:
    """Make the function that transforms tiles by these matrices, in steps of ``m``."""
    fill = strip_filler(lanes, len(h[0]), m_h, watch.look)
    one, judge = tile_in(lanes, h, w), watch.judge
    nbytes, t_h, beyond = lanes.nbytes, len(h[0]), len(w[0]) - m_w

    @helper
    def transform(block: int, panel: int, c: int, stop_c: int, v: int, worker: int) -> None:
        """Transform vectors ``c .. stop_c - 1`` of a panel's channels."""
        group, first, stop = bounds(block, panel)
        strip = own_memory(block, worker) + get_int(block, WORDS.strip)
        of_slot = get_int(block, WORDS.strip_row)
        v_tile, v_element = get_int(block, WORDS.v_tile), get_int(block, WORDS.v_element)
        for channels in range(c, stop_c):
            log = begun = own_memory(block, worker)  # where products will be
            tile = first
            while tile < stop:
                image, row, column, run = place(block, tile)
                # The last rows of the tiles above are the first of these.
                whole = run == get_int(block, WORDS.columns)
                known = row > 0 and whole and tile - run >= first
                run = min(run, stop - tile)
                start, pixels = m_w * column - get_int(block, WORDS.left), m_w * run + beyond
                log = fill(
                    block, group, image, channels, row, known, start, pixels, strip, log,
                )  # fmt: skip
                to = v + (tile - first) * v_tile + channels * nbytes
                for i in range(run):
                    from_ = strip + i * m_w * nbytes
                    one(from_, of_slot, m_h * row % t_h, to + i * v_tile, v_element)
                tile += run
                if tile == stop or tile % get_int(block, WORDS.an_image) == 0:
                    judge(block, group, image, channels, begun, log)
                    begun = log

    return transform


def strip_filler(lanes: Lanes, t_h: int, m_h: int, look: Any) -> Any:
    """Make the function that lays the rows of one row of tiles, in turn, into a strip."""
    lay, zeros, count = row_layer(lanes), fill_zeros(lanes), lanes.count

    @helper
    def fill(
        block: int, group: int, image: int, channels: int,
        row: int, known: int, start: int, pixels: int, strip: int, log: int,
    ) -> Any:  # fmt: skip
        """Lay rows of some channels of an image that are not known already."""
        height, width = get_int(block, WORDS.H), get_int(block, WORDS.W)
        of_channel, of_pixel = get_int(block, WORDS.x_channel), get_int(block, WORDS.x_pixel)
        last = min(count, get_int(block, WORDS.C) - channels * count) - 1
        x = get_int(block, get_int(block, WORDS.operand)) + get_int(block, WORDS.x_at)
        x += group * get_int(block, WORDS.x_group) + channels * count * of_channel
        x += image * get_int(block, WORDS.x_image)
        for i in range(t_h - m_h if known else 0, t_h):
            h = m_h * row + i - get_int(block, WORDS.top)
            slot = strip + (m_h * row + i) % t_h * get_int(block, WORDS.strip_row)
            if h < 0 or h >= height:
                zeros(slot, pixels)
                continue
            here = x + h * get_int(block, WORDS.x_row)
            lay(here, of_channel, of_pixel, last, width, start, pixels, slot)
            # Rows that also belong to the tiles above have been seen with these.
            if row == 0 or i >= t_h - m_h:
                log = look(block, group, channels, last, h, start, pixels, slot, log)
        return log

    return fill


def multiplier(lanes: Lanes, f: Filters) -> Any:
    """Make the function that multiplies a panel by a block of the kernels."""
    product, most = any_block_product(lanes, block_rows()), block_rows()
    back = _back(lanes, f)
    nbytes, item, elements = lanes.nbytes, lanes.itemsize, f.elements

    @helper
    def multiply(block: int, panel: int, k: int, v: int, worker: int) -> None:
        """Multiply a panel by block ``k`` of the kernels, and transform back."""
        group, first, stop = bounds(block, panel)
        m, C = own_memory(block, worker), get_int(block, WORDS.C)
        width = get_int(block, WORDS.block)
        v_tile, m_tile = get_int(block, WORDS.v_tile), get_int(block, WORDS.m_tile)
        u = get_int(block, get_int(block, WORDS.u_in)) + get_int(block, WORDS.u)
        u += group * get_int(block, WORDS.u_group) + k * elements * odd_lines(width * C * nbytes)
        k += get_int(block, WORDS.first_block)
        vectors = min(width, get_int(block, WORDS.vectors) - k * width)
        of_element = odd_lines(vectors * C * nbytes)
        pieces = -(-(stop - first) // most)
        for element in range(elements):
            for j in range(0, vectors, 2):
                pair = min(2, vectors - j)
                b = u + element * of_element + j * C * nbytes
                to = m + element * get_int(block, WORDS.m_element) + j * nbytes
                a = v + element * get_int(block, WORDS.v_element)
                # What is multiplied next is called while all pieces go by, or not much before.
                of_line = pair * nbytes
                called, of_call = b + C * of_line, -(-of_line // pieces)
                if pieces == 1:
                    called = b + AHEAD * of_line
                for i in range(pieces):
                    r = (stop - first) * i // pieces
                    rows = (stop - first) * (i + 1) // pieces - r
                    product(
                        rows, pair, a + r * v_tile, v_tile, item, b, of_line,
                        to + r * m_tile, m_tile, C,
                        called + i * C * of_call, of_call,
                    )  # fmt: skip
        for j in range(vectors):
            back(block, group, first, stop, k * width + j, m + j * nbytes, worker)

    return multiply


def _back(lanes: Lanes, f: Filters) -> Any:
    one, turn, lend = tile_out(lanes, f), turn_out(lanes), first_lanes(lanes)
    count, nbytes, item = lanes.count, lanes.nbytes, lanes.itemsize
    m_h, m_w = f.h.m, f.w.m
    across = max(m_w, count)  # pixels of a row of tiles that are written together

    @helper
    def back(
        block: int, group: int, first: int, stop: int, vector: int, m: int, worker: int
    ) -> None:
        """Transform a panel's products with one vector of output channels back."""
        K, P, Q = get_int(block, WORDS.K), get_int(block, WORDS.P), get_int(block, WORDS.Q)
        channel, of_channel = vector * count, get_int(block, WORDS.y_channel)
        last = min(count, K - channel) - 1
        pixels = own_memory(block, worker) + get_int(block, WORDS.pixels)
        bias = pixels + m_h * across * nbytes
        adds, of_pixel = get_int(block, WORDS.adds), get_int(block, WORDS.y_pixel)
        lend(0 if adds else get_int(block, BIAS), (group * K + channel) * item, last, bias)
        y = get_int(block, OUT) + get_int(block, WORDS.y_at)
        y += group * get_int(block, WORDS.y_group) + channel * of_channel
        m_tile, m_element = get_int(block, WORDS.m_tile), get_int(block, WORDS.m_element)
        flags = get_int(block, FLAGS)
        tile = first
        while tile < stop:
            image, row, column, run = place(block, tile)
            run = min(run, across // m_w, stop - tile)
            doubt = 0
            for i in range(run):
                of = m + (tile - first + i) * m_tile
                doubt |= one(of, m_element, bias, pixels + i * m_w * nbytes, across * nbytes)
            here = y + image * get_int(block, WORDS.y_image) + column * m_w * of_pixel
            here += m_h * row * get_int(block, WORDS.y_row)
            there = min(run * m_w, Q - column * m_w)
            for i in range(min(m_h, P - m_h * row)):
                for j in range(0, there, count):
                    of = pixels + (i * across + j) * nbytes
                    to, some = here + j * of_pixel, min(count, there - j)
                    doubt |= turn(of, to, of_channel, of_pixel, last, some, adds)
                here += get_int(block, WORDS.y_row)
            if doubt and flags:
                store_shared(flags, image, 1)
            tile += run

    return back
