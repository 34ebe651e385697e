"""What a band of outputs reads, copied from the image into slots: padding becomes zeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

from npconv.compiled.kernels.memory import fetch, get_int, setter
from npconv.compiled.kernels.rows import row_copy, row_fill, row_window
from npconv.compiled.kernels.vectors import Vectors

# The words of a block and of a phase that this reads: as in `npconv.compiled.kernels.words`.
from npconv.compiled.kernels.words import (
    COLUMN_INPUTS,
    COLUMN_SLOTS,
    COLUMN_STEP,
    HEIGHT,
    IS_RANGE,
    PLANE_INPUTS,
    PLANE_SLOTS,
    PLANE_STEP,
    PLANES,
    ROW_INPUTS,
    ROW_SLOTS,
    ROW_STEP,
    WIDTH,
    X_CHANNEL,
    X_COLUMN,
    X_PLANE,
    X_ROW,
)
from npconv.compiled.registers import CACHE_LINE

SHORT = 256  # bytes of a row that is taken as a whole, padding and all


def gather_for(v: Vectors) -> Callable[..., None]:
    """Make ``(block, phase, x, plane, row, column, band, channel, channels)``."""
    window, long_row = row_window(v), njit(_long_row(v))
    fill, get, put = row_fill(v), v.outside.getter, setter(v.dtype)
    item, lanes, size = v.itemsize, v.lanes, v.outside.itemsize

    def gather(
        block: int, phase: int, x: int, plane: int, row: int, column: int, band: int,
        channel: int, channels: int,
    ) -> None:  # fmt: skip
        """Copy what the outputs from ``(plane, row, column)`` on read of some channels."""
        planes, rows, width = (
            get_int(phase, PLANE_SLOTS),
            get_int(phase, ROW_SLOTS),
            get_int(phase, COLUMN_SLOTS),
        )
        plane_inputs, row_inputs = get_int(phase, PLANE_INPUTS), get_int(phase, ROW_INPUTS)
        column_inputs = get_int(phase, COLUMN_INPUTS)
        D, H, W = get_int(block, PLANES), get_int(block, HEIGHT), get_int(block, WIDTH)
        apart = get_int(block, X_COLUMN)
        d0, h0 = plane * get_int(phase, PLANE_STEP), row * get_int(phase, ROW_STEP)
        w0 = column * get_int(phase, COLUMN_STEP)
        first = get_int(column_inputs, 0) + w0 if width else 0
        left = min(width, max(0, -first))  # slots before the image, and those in it
        inside = max(0, min(width, W - first) - left)
        quick = get_int(phase, IS_RANGE) and apart == 1
        to, of_channel = band, get_int(block, X_CHANNEL)
        for c in range(channel, channel + channels):
            for i in range(planes):
                d = get_int(plane_inputs, i) + d0
                for j in range(rows):
                    h = get_int(row_inputs, j) + h0
                    if d < 0 or d >= D or h < 0 or h >= H:
                        fill(to, width)
                        to += item * width
                        continue
                    source = x + size * (
                        c * of_channel + d * get_int(block, X_PLANE) + h * get_int(block, X_ROW)
                    )
                    if quick and item * width <= SHORT:
                        window(to, source, first, W, width)
                    elif quick:
                        long_row(to, source + size * first, left, inside, width, size * of_channel)
                    else:
                        for k in range(width):
                            w = get_int(column_inputs, k) + w0
                            here = w >= 0 and w < W
                            put(to, k, get(source, w * apart) if here else 0)
                    to += item * width
        fill(to, lanes)  # whole vectors are read

    return gather


def _long_row(v: Vectors) -> Callable[..., None]:
    """Make ``(to, source, left, inside, width, following)``: a row with zeros on both sides.

    ``following`` bytes behind it lies what is copied before long.
    """
    copy, fill = row_copy(v, reads=True), row_fill(v)
    item, size = v.itemsize, v.outside.itemsize

    def row(to: int, source: int, left: int, inside: int, width: int, following: int) -> None:
        if left:
            fill(to, left)
        if inside:
            here, there = source + size * left, to + item * left
            # No processor guesses where the next channel lies.
            for line in range(0, size * inside, CACHE_LINE):
                fetch(here + following + line)
            copy(there, here, inside)
        if width > left + inside:
            fill(to + item * (left + inside), width - left - inside)

    return row


def place(block: int, phase: int, plane: int, row: int, column: int) -> Any:
    """Say where the outputs from ``(plane, row, column)`` on begin to read, without a band."""
    return (
        plane * get_int(phase, PLANE_STEP) * get_int(block, X_PLANE)
        + row * get_int(phase, ROW_STEP) * get_int(block, X_ROW)
        + column * get_int(phase, COLUMN_STEP) * get_int(block, X_COLUMN)
    )
