"""The kernel's gradient by Winograd's filtering: products summed over tiles, transformed back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npconv.compiled.blocks import FLAGS, OUT, SCRATCH
from npconv.compiled.front_end import helper
from npconv.compiled.kernels.lanes import Lanes
from npconv.compiled.kernels.memory import get_int, store_shared
from npconv.compiled.kernels.winograd_parts import (
    AHEAD,
    Filters,
    any_block_product,
    filters,
)
from npconv.compiled.kernels.winograd_taps import kernel_back
from npconv.compiled.registers import block_rows
from npconv.compiled.winograd_words import GRADIENT


def make(dtype: str, tile: str) -> Callable[..., None]:
    """Make the step that multiplies transformed inputs and gradients of a chunk of tiles."""
    lanes, f = Lanes(dtype), filters(tile)
    multiply, back = _multiply(lanes, f), _back(lanes, f)

    def gradient(block: int, part: int, worker: int) -> None:
        """Do a block of output channels and some vectors of input channels."""
        column_parts = get_int(block, GRADIENT.column_parts)
        row_parts = get_int(block, GRADIENT.row_parts)
        column, rest = part % column_parts, part // column_parts
        k = rest % row_parts * get_int(block, GRADIENT.rows)
        c = column * get_int(block, GRADIENT.columns)
        rows = min(get_int(block, GRADIENT.rows), get_int(block, GRADIENT.K) - k)
        u = get_int(block, GRADIENT.own) + worker * get_int(block, GRADIENT.own_bytes)
        u += get_int(block, SCRATCH)
        if rows > 0:
            multiply(block, rest // row_parts, k, c, rows, u)
            back(block, rest // row_parts, k, c, rows, u)

    return gradient


def _multiply(lanes: Lanes, f: Filters) -> Any:
    product, most = any_block_product(lanes, block_rows()), block_rows()
    count, nbytes, item, elements = lanes.count, lanes.nbytes, lanes.itemsize, f.elements

    @helper
    def multiply(block: int, group: int, k: int, c: int, rows: int, u: int) -> None:
        """Sum over the tiles of the chunk, for each element of a tile."""
        v = get_int(block, SCRATCH) + get_int(block, GRADIENT.v) + c * nbytes
        v += group * get_int(block, GRADIENT.v_group)
        m = get_int(block, SCRATCH) + get_int(block, GRADIENT.m) + k * item
        m += group * get_int(block, GRADIENT.m_group)
        v_tile, m_tile = get_int(block, GRADIENT.v_tile), get_int(block, GRADIENT.m_tile)
        u_row, tiles = get_int(block, GRADIENT.u_row), get_int(block, GRADIENT.tiles)
        all_columns = -(-get_int(block, GRADIENT.C) // count)
        columns = min(get_int(block, GRADIENT.columns), all_columns - c)
        pieces = -(-rows // most)
        for element in range(elements):
            a = m + element * get_int(block, GRADIENT.m_element)
            b = v + element * get_int(block, GRADIENT.v_element)
            to = u + element * get_int(block, GRADIENT.u_element)
            for j in range(0, columns, 2):
                for i in range(pieces):
                    r = rows * i // pieces
                    product(
                        rows * (i + 1) // pieces - r, min(2, columns - j), a + r * item, item,
                        m_tile, b + j * nbytes, v_tile, to + r * u_row + j * nbytes, u_row, tiles,
                        b + j * nbytes + AHEAD * v_tile, v_tile,
                    )  # fmt: skip

    return multiply


def _back(lanes: Lanes, f: Filters) -> Any:
    one, count, nbytes = kernel_back(lanes, f), lanes.count, lanes.nbytes

    @helper
    def back(block: int, group: int, k: int, c: int, rows: int, u: int) -> None:
        """Transform the sums back, and add them to the gradient or write them there."""
        C, adds = get_int(block, GRADIENT.C), get_int(block, GRADIENT.adds)
        columns = min(get_int(block, GRADIENT.columns), -(-C // count) - c)
        dw = get_int(block, OUT) + group * get_int(block, GRADIENT.w_group)
        dw += get_int(block, GRADIENT.at)
        of_kernel, doubt = get_int(block, GRADIENT.of_kernel), 0
        of_row, of_tap = get_int(block, GRADIENT.of_row), get_int(block, GRADIENT.of_tap)
        for i in range(rows):
            for j in range(columns):
                first = (c + j) * count
                of = u + i * get_int(block, GRADIENT.u_row) + j * nbytes
                to = dw + ((k + i) * C + first) * of_kernel
                last = min(count, C - first) - 1
                doubt |= one(
                    of, get_int(block, GRADIENT.u_element), to, of_kernel, of_row, of_tap, last,
                    adds,
                )  # fmt: skip
        flags = get_int(block, FLAGS)
        if doubt and flags:
            store_shared(flags, 0, 1)

    return back
