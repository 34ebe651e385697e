"""What a band of outputs reads, copied from the image into slots: padding becomes zeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npconv.compiled.front_end import helper
from npconv.compiled.kernels.memory import fetch, get_int
from npconv.compiled.kernels.rows import row_copy, row_every, row_fill, row_window
from npconv.compiled.kernels.vectors import Vectors

# The words of a block and of a phase that this reads: as in `npconv.compiled.kernels.words`.
from npconv.compiled.kernels.words import (
    COLUMN_BETWEEN,
    COLUMN_FIRSTS,
    COLUMN_LENGTH,
    COLUMN_RUNS,
    COLUMN_STEP,
    HEIGHT,
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
    window, longer_row, fill = row_window(v), helper(_longer_row(v)), row_fill(v)
    item, lanes, size = v.itemsize, v.lanes, v.outside.itemsize

    def gather(
        block: int, phase: int, x: int, plane: int, row: int, column: int, band: int,
        channel: int, channels: int,
    ) -> None:  # fmt: skip
        """Copy what the outputs from ``(plane, row, column)`` on read of some channels."""
        planes, rows = get_int(phase, PLANE_SLOTS), get_int(phase, ROW_SLOTS)
        runs, length = get_int(phase, COLUMN_RUNS), get_int(phase, COLUMN_LENGTH)
        plane_inputs, row_inputs = get_int(phase, PLANE_INPUTS), get_int(phase, ROW_INPUTS)
        firsts, between = get_int(phase, COLUMN_FIRSTS), get_int(phase, COLUMN_BETWEEN)
        D, H, W = get_int(block, PLANES), get_int(block, HEIGHT), get_int(block, WIDTH)
        d0, h0 = plane * get_int(phase, PLANE_STEP), row * get_int(phase, ROW_STEP)
        w0 = column * get_int(phase, COLUMN_STEP)
        apart, of_channel, to = get_int(block, X_COLUMN), get_int(block, X_CHANNEL), band
        following = size * of_channel
        for c in range(channel, channel + channels):
            for i in range(planes):
                d = get_int(plane_inputs, i) + d0
                for j in range(rows):
                    h = get_int(row_inputs, j) + h0
                    if d < 0 or d >= D or h < 0 or h >= H:
                        fill(to, runs * length)
                        to += item * runs * length
                        continue
                    source = x + size * (
                        c * of_channel + d * get_int(block, X_PLANE) + h * get_int(block, X_ROW)
                    )
                    for run in range(runs):
                        first = get_int(firsts, run) + w0
                        if between * apart == 1 and item * length <= SHORT:
                            window(to, source, first, W, length)
                        else:
                            longer_row(to, source, first, between, apart, W, length, following)
                        to += item * length
        fill(to, lanes)  # whole vectors are read

    return gather


def _longer_row(v: Vectors) -> Callable[..., None]:
    """Make ``(to, source, first, between, apart, stop, count, following)``.

    It copies every ``between``-th number of a row, whose ``stop`` numbers lie ``apart``, from
    ``first`` on; zeros before the row and behind it. What is copied before long lies
    ``following`` bytes behind.
    """
    copy, every, fill = row_copy(v, reads=True), row_every(v), row_fill(v)
    item, size = v.itemsize, v.outside.itemsize

    def row(
        to: int, source: int, first: int, between: int, apart: int, stop: int, count: int,
        following: int,
    ) -> None:  # fmt: skip
        # How many lie before the row, and how many in it.
        left = min(count, max(0, -(first // between)))
        inside = max(0, min(count, -((first - stop) // between)) - left)
        if left:
            fill(to, left)
        if inside:
            here, there = source + size * apart * (first + left * between), to + item * left
            step = apart * between
            if 1 <= step <= 2:  # no processor guesses where the next channel lies
                for line in range(0, size * inside * step, CACHE_LINE):
                    fetch(here + following + line)
            if step == 1:
                copy(there, here, inside)
            else:
                every(there, here, step, inside)
        if count > left + inside:
            fill(to + item * (left + inside), count - left - inside)

    return row


def place(block: int, phase: int, plane: int, row: int, column: int) -> Any:
    """Say where the outputs from ``(plane, row, column)`` on begin to read, without a band."""
    return (
        plane * get_int(phase, PLANE_STEP) * get_int(block, X_PLANE)
        + row * get_int(phase, ROW_STEP) * get_int(block, X_ROW)
        + column * get_int(phase, COLUMN_STEP) * get_int(block, X_COLUMN)
    )
