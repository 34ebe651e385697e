"""Winograd's transforms and products, a few vectors at a time: lanes are channels.

The image is turned so that a vector holds one pixel of several channels. Then each transform
is the same arithmetic in every lane, whatever the image's width, and a row of the products
belongs to one tile: its bits depend on no other tile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

from numba import types

from npconv.algorithms.winograd_matrices import BY_TILE, Filtering, Matrix
from npconv.compiled.front_end import helper
from npconv.compiled.kernels.lanes import Lanes
from npconv.compiled.kernels.loops import loop, repeated
from npconv.compiled.kernels.memory import I64, emitted, on_stack
from npconv.compiled.registers import CACHE_LINE

# How many steps before it is multiplied a line of a product is called into the cache, where
# that is not spread over more.
AHEAD = 32


class Filters(NamedTuple):
    """The filtering of the two tile axes."""

    h: Filtering
    w: Filtering

    @property
    def elements(self) -> int:
        """How many products a tile takes for each pair of channels."""
        return self.h.t * self.w.t


def filters(tile: str) -> Filters:
    """Read ``"6x6"``: the elements of a tile along each axis."""
    return Filters(*(BY_TILE[int(t)] for t in tile.split("x")))


def _row(lanes: Lanes, builder: Any, row: Sequence[tuple[int, int]], values: Sequence[Any]) -> Any:
    """Multiply a matrix's row by a column of vectors; zeros are left out, ones not multiplied."""
    terms = [(a / b, v) for (a, b), v in zip(row, values, strict=True) if a]
    terms.sort(key=lambda term: (abs(term[0]) != 1, term[0] < 0))  # what needs no product first
    number, total = terms[0]
    if number != 1:
        total = builder.fmul(lanes.constant(number), total)
    for number, value in terms[1:]:
        if number == 1:
            total = builder.fadd(total, value)
        elif number == -1:
            total = builder.fsub(total, value)
        else:
            total = lanes.fma(builder, lanes.constant(number), value, total)
    return total


def transformed(
    lanes: Lanes, builder: Any, h: Matrix, w: Matrix, load: Callable[[int, int], Any]
) -> Iterator[Any]:
    """Multiply a tile by a matrix along both of its axes: row by row of the result.

    ``load(i, j)`` gives an element. Column by column is put aside in memory: as values, all of
    them would want a register until the last one is stored. Whoever stores an element before
    the next one is computed lets go of its register.
    """
    columns = len(w[0])
    room = _room(lanes, builder, len(h) * columns)
    for j in range(columns):
        column = [load(i, j) for i in range(len(h[0]))]
        for i, row in enumerate(h):
            value = _row(lanes, builder, row, column)
            lanes.store(builder, value, room, (i * columns + j) * lanes.nbytes)
    for i in range(len(h)):
        first = i * columns * lanes.nbytes
        values = [lanes.load(builder, room, first + j * lanes.nbytes) for j in range(columns)]
        for weights in w:
            yield _row(lanes, builder, weights, values)


def _room(lanes: Lanes, builder: Any, vectors: int) -> Any:
    """Give the address of room for so many vectors on the stack, at the beginning of a line.

    Which LLVM does not see through: to its alignment, or to the values.
    """
    words = (vectors * lanes.nbytes + CACHE_LINE) // 8
    address = builder.add(on_stack(builder, words), I64(CACHE_LINE - 1))
    return builder.and_(address, I64(-CACHE_LINE))


def fill_zeros(lanes: Lanes) -> Any:
    """Make ``(to, count)``, which writes so many vectors of zeros."""

    def emit(builder: Any, to: Any, count: Any) -> None:
        with loop(builder, I64(0), count) as i:
            lanes.store(builder, lanes.zero, to, builder.mul(i, I64(lanes.nbytes)))

    return emitted(emit, 2)


def tile_in(lanes: Lanes, h: Matrix, w: Matrix) -> Any:
    """Make ``(strip, of_row, first, v, of_element)``: transform one tile of pixels.

    ``strip`` is where its first column stands in a strip's rows, which are ``of_row`` apart and
    used in turn from row ``first`` on.
    """
    t_h = len(h[0])

    def emit(builder: Any, strip: Any, of_row: Any, first: Any, v: Any, of_element: Any) -> None:
        rows = []
        for i in range(t_h):
            slot = builder.add(first, I64(i))
            over = builder.icmp_signed(">=", slot, I64(t_h))
            slot = builder.select(over, builder.sub(slot, I64(t_h)), slot)
            rows.append(builder.add(strip, builder.mul(slot, of_row)))

        def load(i: int, j: int) -> Any:
            return lanes.load(builder, rows[i], j * lanes.nbytes)

        values = transformed(lanes, builder, h, w, load)
        for value, place in zip(values, lanes.every(builder, v, of_element), strict=False):
            lanes.span.store(builder, place, value)

    return emitted(emit, 5)


def element_loader(
    lanes: Lanes, builder: Any, address: Any, of_element: Any, f: Filters
) -> Callable[[int, int], Any]:
    """Make what loads an element of a tile whose elements lie so far apart."""
    of_row = builder.mul(of_element, I64(f.w.t))

    def load(i: int, j: int) -> Any:
        offset = builder.add(builder.mul(of_row, I64(i)), builder.mul(of_element, I64(j)))
        return lanes.load(builder, address, offset)

    return load


def tile_out(lanes: Lanes, f: Filters) -> Any:
    """Make ``(m, of_element, bias, to, of_row)``: transform one tile's products back.

    Adds a vector of biases; writes vectors of channels, a row of the tile every ``of_row``.
    Returns 1 where anything is not finite.
    """

    def emit(builder: Any, m: Any, of_element: Any, bias: Any, to: Any, of_row: Any) -> Any:
        added, doubt = lanes.load(builder, bias), lanes.zero
        load = element_loader(lanes, builder, m, of_element, f)
        values = transformed(lanes, builder, f.h.output, f.w.output, load)
        for n, value in enumerate(values):
            y = builder.fadd(value, added)
            doubt = lanes.fma(builder, y, lanes.zero, doubt)  # NaN * 0, Inf * 0 are NaN
            row, column = divmod(n, f.w.m)
            offset = builder.add(builder.mul(of_row, I64(row)), I64(column * lanes.nbytes))
            lanes.store(builder, y, to, offset)
        return lanes.any_nan(builder, doubt)

    return emitted(emit, 5, types.int64)


def _block_product(
    lanes: Lanes, builder: Any, rows: int, vectors: int,
    a: Any, of_row: Any, of_step: Any, b: Any, of_line: Any, c: Any, of_result: Any, depth: Any,
    coming: Any, of_coming: Any,
) -> None:  # fmt: skip
    """Emit ``c[i] = sum over t of a[i, t] * b[t]``, for ``vectors`` vectors a line of ``b``.

    All ``of_`` are bytes. Step by step, what is multiplied later is called from ``coming`` on,
    ``of_coming`` apart. The sums stay in registers (Goto and van de Geijn, Anatomy of
    High-Performance Matrix Multiplication, 2008), each in the same order however many rows
    there are.
    """
    # A third of the rows' addresses; the others are a register, or twice it, away.
    bases = [builder.add(a, builder.mul(of_row, I64(i))) for i in range(0, rows, 3)]
    beside = [I64(0), of_row, builder.mul(of_row, I64(2))]

    def add(step: Any, sums: list[Any]) -> list[Any]:
        line, here = builder.add(b, builder.mul(step, of_line)), builder.mul(step, of_step)
        loaded = [lanes.load(builder, line, j * lanes.nbytes) for j in range(vectors)]
        called = builder.add(coming, builder.mul(step, of_coming))
        for nbytes in range(0, vectors * lanes.nbytes, CACHE_LINE):
            lanes.prefetch(builder, called, nbytes)
        new: list[Any] = []
        for i in range(rows):
            number = lanes.load_number(builder, builder.add(bases[i // 3], here), beside[i % 3])
            held = sums[i * vectors : (i + 1) * vectors]
            new += [lanes.fma(builder, number, *pair) for pair in zip(loaded, held, strict=True)]
        return new

    sums = repeated(builder, depth, [lanes.zero] * rows * vectors, add)
    for i in range(rows):
        for j in range(vectors):
            offset = builder.add(builder.mul(of_result, I64(i)), I64(j * lanes.nbytes))
            lanes.store(builder, sums[i * vectors + j], c, offset)


def any_block_product(lanes: Lanes, most: int) -> Any:
    """Make ``(rows, vectors, ...)``: `_block_product` for 1 to ``most`` rows and 1 or 2 vectors."""

    def emit(builder: Any, rows: Any, vectors: Any, *where: Any) -> None:
        # A function of its own: what is around it would keep registers from the sums' loops.
        builder.function.attributes.add("noinline")
        after = builder.append_basic_block("after")
        which = builder.add(builder.mul(rows, I64(2)), vectors)
        choice = builder.switch(which, after)
        for r, n in product(range(1, most + 1), (1, 2)):
            here = builder.append_basic_block(f"block_{r}_{n}")
            choice.add_case(I64(2 * r + n), here)
            builder.position_at_end(here)
            _block_product(lanes, builder, r, n, *where)
            builder.branch(after)
        builder.position_at_end(after)

    product_of = emitted(emit, 12)

    @helper
    def block_product(
        rows: int, vectors: int, a: int, of_row: int, of_step: int, b: int, of_line: int, c: int,
        of_result: int, depth: int, coming: int, of_coming: int,
    ) -> None:  # fmt: skip
        product_of(
            rows, vectors, a, of_row, of_step, b, of_line, c, of_result, depth, coming, of_coming
        )

    return block_product


def first_lanes(lanes: Lanes) -> Any:
    """Make ``(of, offset, last, to)``: copy a vector up to lane ``last``; zeros if ``of`` is 0."""

    def emit(builder: Any, of: Any, offset: Any, last: Any, to: Any) -> None:
        there = builder.icmp_signed("!=", of, I64(0))
        stop = builder.select(there, builder.add(last, I64(1)), I64(0))
        mask = lanes.mask(builder, I64(0), stop)
        lanes.store(builder, lanes.load_some(builder, mask, of, offset), to)

    return emitted(emit, 4)
