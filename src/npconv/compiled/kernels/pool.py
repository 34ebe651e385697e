"""Pooling: the largest element, or the sum, of what windows that slide along rows see.

The loops are those of depthwise convolution without its weights; see there for the words.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types

from npconv.compiled import sliding_words as words
from npconv.compiled.blocks import FLAGS, SECOND
from npconv.compiled.front_end import helper
from npconv.compiled.kernels.loops import Held, loop
from npconv.compiled.kernels.memory import I32, I64, at, emitted, get_int, getter
from npconv.compiled.kernels.row_vectors import RowVectors
from npconv.compiled.kernels.sliding import (
    Shape,
    along_row,
    each_seen,
    item_at,
    lines_of,
    plane_at,
    store_outputs,
    words_at,
)
from npconv.compiled.registers import ITEMSIZES

ROWS = 4  # output rows at a time


def make(what: str, dtype: str, shape: str, planes: str, apart: str) -> Callable[..., None]:
    """Make the kernel of one of the kinds below, for windows of this shape."""
    item, get = ITEMSIZES[dtype], getter(dtype)
    rows = _few_by_few(what, dtype, shape, apart == "apart")

    def kernel(block: int, part: int, worker: int) -> None:
        chunk, items = get_int(block, words.CHUNK), get_int(block, words.ITEMS)
        sizes = get_int(block, words.OUTER_SIZES)
        source = get_int(block, get_int(block, words.SOURCE))
        target = get_int(block, get_int(block, words.TARGET))
        for number in range(part * chunk, min(part * chunk + chunk, items)):
            band, outer, at_outer, x, y = item_at(block, number)
            rows(
                block,
                source + x * item,
                target + y * item,
                get_int(block, SECOND) + y * 8,
                band,
                get_int(outer, words.BEGIN),
                get_int(outer, words.END),
                get(sizes, at_outer),
            )

    return kernel


def _few_by_few(what: str, dtype: str, shape: str, apart: bool) -> Any:
    item = ITEMSIZES[dtype]
    blocks = [_KINDS[what](dtype, shape, rows, apart) for rows in (1, 2, ROWS)]
    one, two, four = (emitted(e.emit, [types.int64] * 9 + [e.vectors.numba_type]) for e in blocks)

    @helper
    def rows(
        block: int, x: int, y: int, places: int, band: int, begin: int, end: int, size: Any
    ) -> None:
        """Compute a band of rows, a few at a time."""
        count, read = get_int(band, words.COUNT), get_int(band, words.READ)
        p = 0
        while p < count:
            here, left = read + p * get_int(band, words.STEP), count - p
            to = y + p * get_int(band, words.PITCH) * item
            where = places + p * get_int(band, words.PITCH) * 8
            if left >= ROWS:
                four(block, x, to, where, band, here, begin, end, p, size)
                p += ROWS
            elif left >= 2:
                two(block, x, to, where, band, here, begin, end, p, size)
                p += 2
            else:
                one(block, x, to, where, band, here, begin, end, p, size)
                p += 1

    return rows


class _Block:
    """Writes the code of so many rows of outputs."""

    start = 0.0  # what reductions begin with, and what padding is
    marks = only_marks = False

    def __init__(self, dtype: str, shape: str, outputs: int, apart: bool) -> None:
        self.vectors, self.shape, self.outputs = RowVectors(dtype), Shape.of(shape), outputs
        self.apart = apart

    def emit(
        self, b: Any, block: Any, x: Any, y: Any, places: Any, band: Any, read: Any,
        begin: Any, end: Any, first: Any, size: Any,
    ) -> None:  # fmt: skip
        V, phases = self.vectors, range(len(self.shape.columns))
        nothing = V.constant(self.start)
        names = [(p, f) for p in range(self.outputs) for f in phases]
        best = Held(b, V.type, names)
        marks = Held(b, V.integers, names) if self.marks else None

        def outputs(j: Any, whole: bool) -> None:
            best.fill(nothing)
            if marks:
                marks.fill(ir.Constant(V.integers, [-1] * V.lanes))
            with loop(b, begin, end) as i:
                at_plane = plane_at(b, block, i)
                lines = lines_of(
                    b, self.shape, V.itemsize, block, band, at_plane, x, read, self.outputs
                )
                names = self.names(b, block, band, at_plane, lines, read, j) if marks else None

                def use(p: int, r: int, f: int, s: int, value: Any) -> None:
                    row = p * self.shape.apart + r
                    self.take(b, best, marks, (p, f), value, names and names(row, f, s))

                each_seen(
                    b, self.shape, V, lines, j, self.outputs, nothing, use,
                    whole=whole, in_order=True,
                )  # fmt: skip
            if self.only_marks:
                for p in range(self.outputs):
                    self.store_marks(b, block, band, marks, y, p, j, whole)
                return
            for p in range(self.outputs):
                row = b.add(first, I64(p))
                values = [self.finish(b, block, band, best[p, f], j, row, size) for f in phases]
                store_outputs(b, V, (block, band), values, (y, p), j, self.apart, whole=whole)
                if marks:
                    self.store_places(b, block, band, marks[p, 0], places, p, j)

        along_row(b, self.shape, V, block, outputs)

    def take(self, b: Any, best: Held, marks: Held | None, name: Any, x: Any, mark: Any) -> None:
        """Add an element to a sum."""
        best[name] = b.fadd(best[name], x)

    def finish(self, b: Any, block: Any, band: Any, value: Any, j: Any, row: Any, size: Any) -> Any:
        """Give the output of what was held."""
        return value

    def names(
        self, b: Any, block: Any, band: Any, plane: Any, lines: Any, read: Any, j: Any
    ) -> Callable[[int, int, int], Any]:
        """Give a function that says for a row and column of the window what its places are."""
        V, word, of_plane = self.vectors, words_at(b, block), words_at(b, plane)
        start = b.add(word(words.PLACE_FIRST), of_plane(words.PLACE))
        unit = words_at(b, band)(words.UNIT)
        read = b.add(read, of_plane(words.ROW_AT))
        column = b.trunc(word(words.PLACE_COLUMN), I32)
        iota = ir.Constant(V.integers, [self.shape.step * i for i in range(V.lanes)])
        along = b.mul(iota, V.broadcast(b, column))

        def name(i: int, f: int, s: int) -> Any:
            row = b.mul(b.add(read, b.mul(unit, I64(i))), word(words.PLACE_ROW))
            at_column = b.add(b.mul(j, I64(self.shape.step)), lines.reads[f][s])
            place = b.add(b.add(start, row), b.mul(at_column, word(words.PLACE_COLUMN)))
            return b.add(along, V.broadcast(b, b.trunc(place, I32)))

        return name

    def store_places(
        self, b: Any, block: Any, band: Any, marks: Any, places: Any, p: int, j: Any
    ) -> None:
        """Write places as 64-bit integers."""
        V, word = self.vectors, words_at(b, block)
        inside = V.between(b, j, I64(0), word(words.NUMBER))
        pitch = b.mul(words_at(b, band)(words.PITCH), I64(8))
        row = b.add(places, b.mul(pitch, I64(p)))
        V.store_integers(b, row, j, marks, inside)
        self.tell(b, block, marks, inside)

    def store_marks(
        self, b: Any, block: Any, band: Any, marks: Any, y: Any, p: int, j: Any, whole: bool
    ) -> None:
        """Write places in as many bits as numbers have, in place of these."""
        V = self.vectors
        bits = marks[p, 0] if V.itemsize == 4 else b.sext(marks[p, 0], V.bits)
        values = [b.bitcast(bits, V.type)]
        store_outputs(b, V, (block, band), values, (y, p), j, self.apart, whole=whole)
        inside = V.between(b, j, I64(0), words_at(b, block)(words.NUMBER))
        self.tell(b, block, marks[p, 0], inside)

    def tell(self, b: Any, block: Any, marks: Any, inside: Any) -> None:
        """Tell of windows that found nothing above -inf."""
        V, word = self.vectors, words_at(b, block)
        nobody = b.icmp_signed("<", marks, ir.Constant(V.integers, [0] * V.lanes))
        with b.if_then(V.any(b, b.and_(nobody, inside))):
            b.store(I64(1), at(b, I64, word(FLAGS)))


class _Max(_Block):
    start = -math.inf

    def take(self, b: Any, best: Held, marks: Held | None, name: Any, x: Any, mark: Any) -> None:
        """Keep the larger: the first of equals, and the first NaN for good."""
        held = best[name]
        larger = b.fcmp_unordered(">", x, held)  # or either is NaN
        wins = b.and_(larger, b.fcmp_ordered("ord", held, held))
        best[name] = b.select(wins, x, held)
        if marks:
            marks[name] = b.select(wins, mark, marks[name])


class _Places(_Max):
    marks = True


class _Marks(_Places):
    only_marks = True


class _Mean(_Block):
    def finish(self, b: Any, block: Any, band: Any, value: Any, j: Any, row: Any, size: Any) -> Any:
        """Divide by the number of elements: a product of one for each axis."""
        V, word, of_band = self.vectors, words_at(b, block), words_at(b, band)
        row = b.add(b.mul(row, of_band(words.ROW_APART)), of_band(words.ROW))
        size = b.fmul(size, b.load(at(b, V.scalar, word(words.ROW_SIZES), row)))
        # The table goes on for a vector beyond the last column.
        columns = V.load(b, word(words.COLUMN_SIZES), j)
        return b.fdiv(value, b.fmul(columns, V.broadcast(b, size)))


_KINDS: dict[str, type[_Block]] = {
    "sum": _Block,
    "max": _Max,
    "places": _Places,
    "marks": _Marks,
    "mean": _Mean,
}
