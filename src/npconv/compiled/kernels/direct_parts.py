"""What direct summation does beside its sums: terms copied together, and outputs of none.

Where an image lies it may begin anywhere in a line, and its channels far apart: half of the
vectors then cross lines, and lines push each other out of the first cache. A copy costs one
load and one store for each vector, that all output channels read. (So GotoBLAS packs both
factors: Goto and van de Geijn, Anatomy of High-Performance Matrix Multiplication, 2008.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from npconv.compiled.kernels.memory import I64, at, emitted, get_int, getter
from npconv.compiled.kernels.rows import row_of
from npconv.compiled.kernels.vectors import Vectors
from npconv.compiled.kernels.words import BLOCKS, OUT_CHANNELS, Y_CHANNEL, Y_COLUMN, Y_ROW

ABREAST = 3  # vectors of a block, and of a tile a few times as many


def packed_terms(v: Vectors) -> Callable[..., None]:
    """Copy vectors, of ``most`` a row, that begin ``steps`` behind each of ``bases``."""
    nbytes, item = v.lanes * v.itemsize, v.itemsize
    some, one = _copy(v, ABREAST), _copy(v, 1)

    def pack(to: int, most: int, x: int, bases: int, vectors: int, steps: int, terms: int) -> None:
        whole = vectors // ABREAST * ABREAST
        for t in range(terms):
            row, source = to + t * most * nbytes, x + item * get_int(steps, t)
            for j in range(0, whole, ABREAST):
                some(row + j * nbytes, source, bases + 8 * j)
            for j in range(whole, vectors):
                one(row + j * nbytes, source, bases + 8 * j)

    return pack


def _copy(v: Vectors, number: int) -> Any:
    """Make ``(to, source, bases)``: so many vectors, written side by side."""

    def copy(builder: Any, to: Any, source: Any, bases: Any) -> None:
        starts = [builder.load(at(builder, I64, bases, I64(j))) for j in range(number)]
        rows = [v.load(builder, source, start) for start in starts]
        for j, row in enumerate(rows):
            v.store(builder, to, I64(j * v.lanes), row)

    return emitted(copy, 3)


def bias_alone(v: Vectors) -> Callable[..., None]:
    """Write the bias, or zeros, to blocks ``first .. stop - 1`` of a band that reads no input.

    Such outputs lie between an input's, under an ``input_dilation``.
    """
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
