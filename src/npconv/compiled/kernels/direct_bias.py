"""Outputs that read no input: those between an input's, under an ``input_dilation``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from npconv.compiled.kernels.memory import get_int, getter
from npconv.compiled.kernels.rows import row_of
from npconv.compiled.kernels.vectors import Vectors
from npconv.compiled.kernels.words import BLOCKS, OUT_CHANNELS, Y_CHANNEL, Y_COLUMN, Y_ROW


def bias_alone(v: Vectors) -> Callable[..., None]:
    """Make what writes the bias, or zeros, to blocks ``first .. stop - 1`` of a band."""
    write, get, size = row_of(v), getter(v.dtype), v.outside.itemsize
    nothing = np.dtype(v.dtype).type(0)  # a sum of no terms: to it the bias is added

    def alone(
        block: int, phase: int, bias: int, y: int, rows: int, columns: int, first: int, stop: int
    ) -> None:
        blocks, last = get_int(block, BLOCKS), stop - 1
        end = get_int(blocks, 2 * last) + get_int(blocks, 2 * last + 1)
        along, apart = get_int(phase, Y_COLUMN), get_int(block, Y_CHANNEL)
        if along == 1 and get_int(phase, Y_ROW) == columns:  # rows follow each other
            rows, columns = 1, rows * columns
        for k in range(get_int(blocks, 2 * first), min(end, get_int(block, OUT_CHANNELS))):
            number = nothing + get(bias, k) if bias else nothing
            for row in range(rows):
                there = y + size * (k * apart + row * get_int(phase, Y_ROW))
                write(there, along, columns, number)

    return alone
