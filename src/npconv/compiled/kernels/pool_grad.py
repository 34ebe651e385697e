"""The gradient of max pooling: an element gains from the outputs that it won.

Every output's winner was found before and written as a place (``marks`` of
`npconv.compiled.kernels.pool`), in as many bits as a number has. So an element compares, window
by window, what won there with itself: nothing is scattered, and all rows are written once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npconv.compiled import sliding_words as words
from npconv.compiled.blocks import FIRST, OUT, SCRATCH
from npconv.compiled.front_end import helper
from npconv.compiled.kernels.loops import Held, loop
from npconv.compiled.kernels.memory import I64, emitted, get_int
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

ROWS = 2  # rows of elements at a time


def make(dtype: str, shape: str, planes: str, apart: str) -> Callable[..., None]:
    """Make the kernel for windows of this shape, turned round."""
    item = ITEMSIZES[dtype]
    blocks = [_Block(dtype, shape, rows, apart == "apart") for rows in (1, ROWS)]
    one, two = (emitted(block.emit, 10) for block in blocks)

    def add_rows(
        block: int, dy: int, marks: int, dx: int, band: int, begin: int, end: int, place: int
    ) -> None:
        count, read = get_int(band, words.COUNT), get_int(band, words.READ)
        for p in range(0, count - ROWS + 1, ROWS):
            to = dx + p * get_int(band, words.PITCH) * item
            here = read + p * get_int(band, words.STEP)
            two(block, dy, marks, to, band, here, begin, end, p, place)
        if count % ROWS:
            p = count - 1
            to = dx + p * get_int(band, words.PITCH) * item
            here = read + p * get_int(band, words.STEP)
            one(block, dy, marks, to, band, here, begin, end, p, place)

    rows: Any = helper(add_rows)

    def kernel(block: int, part: int, worker: int) -> None:
        chunk, items = get_int(block, words.CHUNK), get_int(block, words.ITEMS)
        places = get_int(block, words.OUTER_PLACES)
        for number in range(part * chunk, min(part * chunk + chunk, items)):
            band, outer, at_outer, x, y = item_at(block, number)
            rows(
                block,
                get_int(block, FIRST) + x * item,
                get_int(block, SCRATCH) + x * item,
                get_int(block, OUT) + y * item,
                band,
                get_int(outer, words.BEGIN),
                get_int(outer, words.END),
                get_int(places, at_outer),
            )

    return kernel


class _Block:
    """Writes the code of so many rows of elements."""

    def __init__(self, dtype: str, shape: str, outputs: int, apart: bool) -> None:
        self.vectors, self.shape, self.outputs = RowVectors(dtype), Shape.of(shape), outputs
        self.apart = apart

    def emit(
        self, b: Any, block: Any, dy: Any, marks: Any, dx: Any, band: Any, read: Any,
        begin: Any, end: Any, first: Any, place: Any,
    ) -> None:  # fmt: skip
        V, shape = self.vectors, self.shape
        phases = range(len(shape.columns))
        sums = Held(b, V.type, [(p, f) for p in range(self.outputs) for f in phases])

        def outputs(j: Any, whole: bool) -> None:
            sums.fill(V.zero)
            nobody = V.nobody(b)
            own = {name: self.own(b, block, band, first, place, j, *name) for name in sums.names}
            with loop(b, begin, end) as i:
                record = plane_at(b, block, i)
                seen: list[dict[Any, Any]] = []
                for x in (marks, dy):
                    lines = lines_of(
                        b, shape, V.itemsize, block, band, record, x, read, self.outputs
                    )
                    found: dict[Any, Any] = {}
                    seen.append(found)

                    def keep(
                        p: int, r: int, f: int, s: int, x: Any, found: dict[Any, Any] = found
                    ) -> None:
                        found[p, r, f, s] = x

                    each_seen(b, shape, V, lines, j, self.outputs, nobody, keep, whole=whole)
                for (p, r, f, s), mark in seen[0].items():
                    won = b.icmp_signed("==", b.bitcast(mark, V.bits), own[p, f])
                    gained = b.select(won, seen[1][p, r, f, s], V.zero)
                    sums[p, f] = b.fadd(sums[p, f], gained)
            for p in range(self.outputs):
                values = [sums[p, f] for f in phases]
                store_outputs(b, V, (block, band), values, (dx, p), j, self.apart, whole=whole)

        along_row(b, shape, V, block, outputs)

    def own(
        self, b: Any, block: Any, band: Any, first: Any, place: Any, j: Any, p: int, f: int
    ) -> Any:
        """Say which places the elements of a vector are."""
        V, word, of_band = self.vectors, words_at(b, block), words_at(b, band)
        row = b.add(b.mul(b.add(first, I64(p)), of_band(words.ROW_APART)), of_band(words.ROW))
        apart = word(words.OUT_STEP) if self.apart else I64(len(self.shape.columns))
        column = b.add(b.mul(j, apart), b.add(word(words.FIRST_COLUMN), I64(f)))
        begin = b.add(place, b.mul(row, word(words.PLACE_ROW)))
        begin = b.add(begin, b.mul(column, word(words.PLACE_COLUMN)))
        return V.counting(b, begin, b.mul(apart, word(words.PLACE_COLUMN)))
