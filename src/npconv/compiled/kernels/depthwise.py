"""Depthwise convolution: rows of outputs in registers while a kernel's elements go by.

A problem is cut into items (an image's channel, an output position of the outer axes, a band
of rows); each part of the work is a run of them. What an item reads is said by tables, made
when planning (`npconv.compiled.sliding`): one record for each band, one for each outer
position, and one for each plane of the kernel, by which its outer axes are meant, and whatever
else of it is not unrolled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types

from npconv.compiled import sliding_words as words
from npconv.compiled.blocks import BIAS, FIRST, OUT, SECOND
from npconv.compiled.front_end import helper
from npconv.compiled.kernels.loops import Held, loop
from npconv.compiled.kernels.memory import I64, at, emitted, get_int, getter
from npconv.compiled.kernels.row_vectors import RowVectors
from npconv.compiled.kernels.sliding import (
    Lines,
    Shape,
    along_row,
    each_seen,
    lines_of,
    plane_at,
    store_outputs,
    words_at,
)
from npconv.compiled.registers import ITEMSIZES

# Output rows at a time: with kernels of 3x3 a row of inputs serves three of them. Networks
# like heights of 7, 14, 28, 56.
ROWS = 7


def make(dtype: str, shape: str, planes: str, apart: str) -> Callable[..., None]:
    """Make the kernel for windows of this shape.

    ``planes`` is "one" where there always is a single plane, whose weights then stay in
    registers; ``apart`` is "apart" where outputs are written one by one, some way apart.
    """
    item, get = ITEMSIZES[dtype], getter(dtype)
    rows = _few_by_few(dtype, shape, planes == "one", apart == "apart")

    def kernel(block: int, part: int, worker: int) -> None:
        chunk, items = get_int(block, words.CHUNK), get_int(block, words.ITEMS)
        bands, outers = get_int(block, words.BANDS), get_int(block, words.OUTERS)
        G, K = get_int(block, words.G), get_int(block, words.K)
        first = part * chunk
        rest, at_band = first // bands, first % bands
        rest, at_outer = rest // outers, rest % outers
        rest, k = rest // K, rest % K
        n, g = rest // G, rest % G
        for _ in range(first, min(first + chunk, items)):
            c = g * K + k
            band = get_int(block, words.BAND_TABLE) + 8 * words.BAND_WORDS * at_band
            outer = get_int(block, words.OUTER_TABLE) + 8 * words.OUTER_WORDS * at_outer
            x = n * get_int(block, words.X_N) + g * get_int(block, words.X_G)
            y = n * get_int(block, words.Y_N) + g * get_int(block, words.Y_G)
            y += k * get_int(block, words.Y_K) + get_int(outer, words.TO)
            y += get_int(band, words.ROW_TO)
            w = c * get_int(block, words.W_C) + get_int(band, words.W_AT)
            bias = get(get_int(block, BIAS), c) if get_int(block, BIAS) else 0.0
            rows(
                block,
                get_int(block, FIRST) + x * item,
                get_int(block, SECOND) + w * item,
                get_int(block, OUT) + y * item,
                band,
                get_int(outer, words.BEGIN),
                get_int(outer, words.END),
                bias,
            )
            at_band += 1  # divisions would take longer than a small image
            if at_band == bands:
                at_band, at_outer = 0, at_outer + 1
            if at_outer == outers:
                at_outer, k = 0, k + 1
            if k == K:
                k, g = 0, g + 1
            if g == G:
                g, n = 0, n + 1

    return kernel


def _few_by_few(dtype: str, shape: str, one_plane: bool, apart: bool) -> Any:
    item = ITEMSIZES[dtype]
    emitters = (_Block(dtype, shape, rows, one_plane, apart)
                for rows in (1, 2, 4, ROWS))  # fmt: skip
    one, two, four, most = (
        emitted(each.emit, [types.int64] * 8 + [each.vectors.numba_type]) for each in emitters
    )

    @helper
    def rows(
        block: int, x: int, w: int, y: int, band: int, begin: int, end: int, bias: Any
    ) -> None:
        """Compute a band of rows, a few at a time."""
        count, read = get_int(band, words.COUNT), get_int(band, words.READ)
        p = 0
        while p < count:
            here, left = read + p * get_int(band, words.STEP), count - p
            to = y + p * get_int(band, words.PITCH) * item
            if left >= ROWS and left != ROWS + 1:
                most(block, x, w, to, band, here, begin, end, bias)
                p += ROWS
            elif left >= 4:
                four(block, x, w, to, band, here, begin, end, bias)
                p += 4
            elif left >= 2:
                two(block, x, w, to, band, here, begin, end, bias)
                p += 2
            else:
                one(block, x, w, to, band, here, begin, end, bias)
                p += 1

    return rows


class _Block:
    """Writes the code of so many rows of outputs."""

    def __init__(self, dtype: str, shape: str, outputs: int, one_plane: bool, apart: bool) -> None:
        self.vectors, self.shape, self.outputs = RowVectors(dtype), Shape.of(shape), outputs
        self.one_plane, self.apart = one_plane, apart

    def emit(
        self, b: Any, block: Any, x: Any, w: Any, y: Any, band: Any, read: Any,
        begin: Any, end: Any, bias: Any,
    ) -> None:  # fmt: skip
        V, phases = self.vectors, range(len(self.shape.columns))
        sums = Held(b, V.type, [(p, f) for p in range(self.outputs) for f in phases])
        added = V.broadcast(b, bias)

        def plane(index: Any) -> tuple[Lines, dict[Any, Any]]:
            at = plane_at(b, block, index)
            lines = lines_of(b, self.shape, V.itemsize, block, band, at, x, read, self.outputs)
            return lines, self.weights(b, block, band, at, w)

        always = plane(begin) if self.one_plane else None

        def outputs(j: Any, whole: bool) -> None:
            sums.fill(V.zero)
            if always:
                self.add(b, sums, j, *always, whole)
            else:
                with loop(b, begin, end) as i:
                    self.add(b, sums, j, *plane(i), whole)
            for p in range(self.outputs):
                values = [b.fadd(sums[p, f], added) for f in phases]
                store_outputs(b, V, (block, band), values, (y, p), j, self.apart, whole=whole)

        along_row(b, self.shape, V, block, outputs)

    def add(
        self, b: Any, sums: Held, j: Any, lines: Lines, weights: dict[Any, Any], whole: bool
    ) -> None:
        """Add the products with the elements of a plane."""
        V = self.vectors

        def use(p: int, r: int, f: int, s: int, x: Any) -> None:
            sums[p, f] = V.fma(b, weights[r, f, s], x, sums[p, f])

        each_seen(b, self.shape, V, lines, j, self.outputs, V.zero, use, whole=whole)

    def weights(self, b: Any, block: Any, band: Any, plane: Any, w: Any) -> dict[Any, Any]:
        """Read the elements of a plane, each into a whole vector."""
        word, row_step = words_at(b, block), words_at(b, band)(words.W_STEP)
        begin, found = words_at(b, plane)(words.PLANE_W), {}
        for f, phase in enumerate(self.shape.columns):
            for s in range(len(phase)):
                column = b.add(word(words.W_COLUMN + f), b.mul(I64(s), word(words.W_COLUMN_STEP)))
                for r in range(self.shape.rows):
                    place = b.add(b.add(begin, column), b.mul(I64(r), row_step))
                    number = b.load(at(b, self.vectors.scalar, w, place))
                    found[r, f, s] = self.vectors.broadcast(b, number)
        return found
