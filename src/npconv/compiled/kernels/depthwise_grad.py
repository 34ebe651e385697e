"""The gradient of a depthwise kernel: one vector of sums for each of its elements.

An item is a channel, a plane of the kernel and a band of rows, over all images. Its sums stay
in registers while rows of the image and of the outputs' gradient go by; so they are formed in
an order that the problem fixes, and bands are added up in theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npconv.compiled import sliding_words as words
from npconv.compiled.blocks import FIRST, OUT, SCRATCH, SECOND
from npconv.compiled.front_end import helper
from npconv.compiled.kernels.loops import Held, loop
from npconv.compiled.kernels.memory import I64, at, emitted, get_int, getter, setter, stack_words
from npconv.compiled.kernels.row_vectors import RowVectors
from npconv.compiled.kernels.sliding import (
    Shape,
    along_row,
    each_seen,
    lines_of,
    plane_at,
    words_at,
)
from npconv.compiled.registers import ITEMSIZES

ROWS = 4  # rows of outputs at a time
CHAINS = 8  # sums that may wait for nothing but themselves: fewer leave the adders idle


def make(dtype: str, shape: str) -> Callable[..., None]:
    """Make ``sum``, which adds up bands, or the kernel for windows of a shape."""
    return _sum_of_bands(dtype) if shape == "sum" else _products(dtype, shape)


def _sum_of_bands(dtype: str) -> Callable[..., None]:
    get, put = getter(dtype), setter(dtype)

    def kernel(block: int, part: int, worker: int) -> None:
        """Add up what bands left in scratch, in their order."""
        count, size = get_int(block, words.BANDS), get_int(block, words.SIZE)
        partial = get_int(block, SCRATCH)
        for i in range(size):
            total = get(partial, i)
            for band in range(1, count):
                total += get(partial, band * size + i)
            put(get_int(block, OUT), i, total)

    return kernel


def _products(dtype: str, shape: str) -> Callable[..., None]:
    item, one, most = ITEMSIZES[dtype], _Block(dtype, shape, 1), _Block(dtype, shape, ROWS)
    sums_on_stack = stack_words(len(most.names) * one.vectors.lanes * item // 8)
    clear, finish = emitted(most.clear, 1), emitted(most.finish, 5)
    row, rows = emitted(one.emit, 8), emitted(most.emit, 8)

    def add_image(block: int, x: int, dy: int, band: int, plane: int, sums: int) -> None:
        """Add the products of a band of rows, read through one plane."""
        count = get_int(band, words.COUNT)
        together = count // ROWS * ROWS
        rows(block, x, dy, band, plane, sums, 0, together)
        row(block, x, dy, band, plane, sums, together, count)

    image: Any = helper(add_image)

    def kernel(block: int, part: int, worker: int) -> None:
        bands, outers = get_int(block, words.BANDS), get_int(block, words.OUTERS)
        K = get_int(block, words.K)
        channels = get_int(block, words.G) * K
        outer_table, chunk = get_int(block, words.OUTER_TABLE), get_int(block, words.CHUNK)
        planes = get_int(outer_table, words.END)  # as many at every outer position
        sums, size = sums_on_stack(), get_int(block, words.SIZE)
        for number in range(part * chunk, min(part * chunk + chunk, get_int(block, words.ITEMS))):
            rest, plane = number // planes, number % planes
            c, index = rest % channels, rest // channels
            g, k = c // K, c % K
            band = get_int(block, words.BAND_TABLE) + 8 * words.BAND_WORDS * index
            x = get_int(block, FIRST) + g * get_int(block, words.X_G) * item
            y = g * get_int(block, words.Y_G) + k * get_int(block, words.Y_K)
            dy = get_int(block, SECOND) + (y + get_int(band, words.ROW_TO)) * item
            clear(sums)
            for n in range(get_int(block, words.IMAGES)):
                for position in range(outers):
                    outer = outer_table + 8 * words.OUTER_WORDS * position
                    y = n * get_int(block, words.Y_N) + get_int(outer, words.TO)
                    image(
                        block,
                        x + n * get_int(block, words.X_N) * item,
                        dy + y * item,
                        band,
                        get_int(outer, words.BEGIN) + plane,
                        sums,
                    )
            to = get_int(block, OUT) if bands == 1 else get_int(block, SCRATCH)
            to += (index * size + c * get_int(block, words.W_C)) * item
            finish(block, band, plane, sums, to)

    return kernel


class _Block:
    """Writes the code of so many rows of outputs."""

    def __init__(self, dtype: str, shape: str, outputs: int) -> None:
        self.vectors, self.shape, self.outputs = RowVectors(dtype), Shape.of(shape), outputs
        (columns,) = self.shape.columns
        self.taps = [(r, s) for r in range(self.shape.rows) for s in range(len(columns))]
        chains = range(-(-CHAINS // max(len(self.taps), 1)))
        self.names = [(chain, r, s) for r, s in self.taps for chain in chains]
        self.chains = len(chains)

    def clear(self, b: Any, sums: Any) -> None:
        """Begin with zeros."""
        for i in range(len(self.names)):
            self.vectors.store(b, sums, I64(i * self.vectors.lanes), self.vectors.zero)

    def emit(
        self, b: Any, block: Any, x: Any, dy: Any, band: Any, plane: Any, sums: Any,
        first: Any, stop: Any,
    ) -> None:  # fmt: skip
        """Add the products of rows to the sums."""
        V, word, of_band = self.vectors, words_at(b, block), words_at(b, band)
        held = Held(b, V.type, self.names)
        for i, name in enumerate(self.names):
            held[name] = V.load(b, sums, I64(i * V.lanes))
        pitch = b.mul(of_band(words.PITCH), I64(V.itemsize))
        with loop(b, first, stop, self.outputs) as p:
            read = b.add(of_band(words.READ), b.mul(p, of_band(words.STEP)))
            record = plane_at(b, block, plane)
            lines = lines_of(b, self.shape, V.itemsize, block, band, record, x, read, self.outputs)

            def products(j: Any, whole: bool, p: Any = p, lines: Any = lines) -> None:
                mask = None if whole else V.between(b, j, I64(0), word(words.NUMBER))
                rows = [b.add(dy, b.mul(pitch, b.add(p, I64(i)))) for i in range(self.outputs)]
                grads = [V.load(b, row, j, mask) for row in rows]
                self.add(b, held, grads, lines, j, mask)

            along_row(b, self.shape, V, block, products, once=True)
        for i, name in enumerate(self.names):
            V.store(b, sums, I64(i * V.lanes), held[name])

    def add(self, b: Any, held: Held, grads: list[Any], lines: Any, j: Any, mask: Any) -> None:
        """Add the products with what the kernel's elements see."""
        V = self.vectors

        def use(p: int, r: int, f: int, s: int, x: Any) -> None:
            name = p % self.chains, r, s
            if mask is not None:  # where there is no output, Inf is no term
                x = b.select(mask, x, V.zero)
            held[name] = V.fma(b, x, grads[p], held[name])

        whole = mask is None
        each_seen(b, self.shape, V, lines, j, self.outputs, V.zero, use, whole=whole)

    def finish(self, b: Any, block: Any, band: Any, plane: Any, sums: Any, to: Any) -> None:
        """Add up each element's sums, and write them where they belong."""
        V, word, of_band = self.vectors, words_at(b, block), words_at(b, band)
        of_plane = words_at(b, plane_at(b, block, plane))
        begin = b.add(b.add(of_plane(words.PLANE_W), of_band(words.W_AT)), word(words.W_COLUMN))
        for r, s in self.taps:
            parts = [
                V.load(b, sums, I64(self.names.index((chain, r, s)) * V.lanes))
                for chain in range(self.chains)
            ]
            total = parts[0]
            for part in parts[1:]:
                total = b.fadd(total, part)
            row = b.mul(I64(r), of_band(words.W_STEP))
            place = b.add(b.add(begin, row), b.mul(I64(s), word(words.W_COLUMN_STEP)))
            b.store(V.total(b, total), at(b, V.scalar, to, place))
