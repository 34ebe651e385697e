"""A kernel in the order in which blocks of sums read it; and whether it is finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from npconv.compiled.blocks import CALL_WORDS, FIRST, FLAGS, OUT
from npconv.compiled.front_end import helper
from npconv.compiled.kernels.loops import TOGETHER, repeated
from npconv.compiled.kernels.memory import I32, I64, at, emitted, get_int, put_int, setter
from npconv.compiled.kernels.rows import row_copy, square
from npconv.compiled.kernels.vectors import Vectors
from npconv.compiled.kernels.words import DEPTH

(BLOCK_COUNT, BLOCKS, PHASES, W_GROUP, W_ROW, PACKED_GROUP, ROWS) = range(
    CALL_WORDS, CALL_WORDS + 7
)
# Of a phase. Sources of terms that follow each other are RUN_STEP apart, RUN of them in a row.
(TERMS, SOURCES, RUN, RUN_STEP, PACKED, PHASE_WORDS) = range(6)
FEW = 4  # rows whose numbers are written together
SHORT = 3  # runs that are not worth a square
COUNT = CALL_WORDS  # of `finite`: numbers in a part, and in all


def make(what: str, dtype: str) -> Callable[..., None]:
    """Make ``rows``, which packs, or ``finite``."""
    return _rows(Vectors(dtype)) if what == "rows" else _finite(Vectors(dtype))


def _rows(v: Vectors) -> Callable[..., None]:
    check, write = finite_row(v, outside=False), pieces_of_rows(v)
    item, size = v.itemsize, v.outside.itemsize

    def rows(block: int, part: int, worker: int) -> None:
        """Write one block of rows of the kernel matrix, term by term: ``(terms, rows)``.

        Where FLAGS are given, the first becomes 1 if not all is finite: what is written is
        still in the cache. Of threads that write there, each writes the same.
        """
        count, of_phases = get_int(block, BLOCK_COUNT), get_int(block, PHASES)
        b, rest = part % count, part // count
        phases = get_int(of_phases, 0)
        phase, g = of_phases + 8 + 8 * PHASE_WORDS * (rest % phases), rest // phases
        start = get_int(get_int(block, BLOCKS), 2 * b)
        width = get_int(get_int(block, BLOCKS), 2 * b + 1)
        there = get_int(block, ROWS) - start
        T, apart, run = get_int(phase, TERMS), get_int(block, W_ROW), get_int(phase, RUN)
        w = get_int(block, FIRST) + size * (g * get_int(block, W_GROUP) + start * apart)
        to = get_int(block, OUT) + item * (
            g * get_int(block, PACKED_GROUP) + get_int(phase, PACKED) + start * T
        )
        finite, sources, step = 1, get_int(phase, SOURCES), get_int(phase, RUN_STEP)
        # Whole runs, but not so few that they are looked at before they are quite written.
        some = run * max(1, DEPTH // max(run, 1))
        for t in range(0, T, some):
            depth = min(some, T - t)
            write(to + item * t * width, width, w, apart, there, t, depth, sources, run, step)
            if get_int(block, FLAGS):
                finite &= check(to + item * t * width, depth * width)
        if not finite:
            put_int(get_int(block, FLAGS), 0, 1)

    return rows


def pieces_of_rows(v: Vectors) -> Any:
    """Make what packs ``depth`` terms of a block, from the ``first`` on.

    It is told where to, the block's width, where its first row begins, how far apart rows are
    and how many there are from there on; for the others it writes zeros.
    """
    put, item, size, lanes = setter(v.dtype), v.itemsize, v.outside.itemsize, v.lanes
    write, write_each = helper(_run_of_terms(v)), helper(_terms(v))

    def pack(
        to: int, width: int, w: int, apart: int, left: int,
        first: int, depth: int, sources: int, run: int, step: int,
    ) -> None:  # fmt: skip
        there = max(0, min(width, left))
        for t in range(depth if there < width else 0):
            for i in range(there, width):
                put(to, t * width + i, 0)
        # Rows side by side are copied, if they fill a vector: to store a part of one takes long.
        if (abs(step) != 1 or run < SHORT) and (apart != 1 or there < lanes):
            write_each(to, width, w, apart, there, depth, sources + 8 * first)
            return
        t = first
        while t < first + depth:
            some = min(run - t % run, first + depth - t)
            source, place = w + size * get_int(sources, t), to + item * (t - first) * width
            write(place, width, source, apart, there, some, step)
            t += some

    made: Any = helper(pack)
    return made


def _run_of_terms(v: Vectors) -> Callable[..., None]:
    """Make ``(to, width, source, apart, rows, count, step)``.

    It writes ``count`` terms of so many rows, which are ``apart``; terms are a step apart. One
    of the two is 1.
    """
    copy, item, size, half = row_copy(v, reads=True), v.itemsize, v.outside.itemsize, v.lanes // 2
    turn, turn_few = helper(_squares(v)), helper(_squares(Vectors(v.outside.dtype, 2)))

    def write(
        to: int, width: int, source: int, apart: int, rows: int, count: int, step: int
    ) -> None:
        if apart == 1 and (abs(step) != 1 or count < SHORT):
            for t in range(count):
                copy(to + item * t * width, source + size * t * step, rows)
        elif rows <= half:
            turn_few(to, width, source, apart, rows, count, step)
        else:
            turn(to, width, source, apart, rows, count, step)

    return write


def _squares(v: Vectors) -> Callable[..., None]:
    """Make ``(to, width, source, apart, rows, count, step)``: rows of terms, turned."""
    transpose, L, item, size = square(v, reads=True), v.lanes, v.itemsize, v.outside.itemsize

    def turn(
        to: int, width: int, source: int, apart: int, rows: int, count: int, step: int
    ) -> None:
        for t in range(0, count, L):
            some = min(L, count - t)
            for i in range(0, rows, L):
                # Read from the lowest address on; against that order, written backwards.
                first = source + size * (i * apart + (t if step > 0 else 1 - t - some))
                place = to + item * ((t if step > 0 else t + some - 1) * width + i)
                transpose(place, step * width, first, apart, min(L, rows - i), some, 0)

    return turn


def _terms(v: Vectors) -> Callable[..., None]:
    """Make ``(to, width, w, apart, rows, depth, sources)``: so many terms, each for itself."""
    get, put, together, beside = v.outside.getter, setter(v.dtype), _together(v), _beside(v)
    item, size = v.itemsize, v.outside.itemsize

    def write(to: int, width: int, w: int, apart: int, rows: int, depth: int, sources: int) -> None:
        whole = rows // FEW * FEW
        for t in range(depth):
            term, place = w + size * get_int(sources, t), to + item * t * width
            for i in range(0, whole, FEW):
                if apart == 1:
                    beside(place + item * i, term + size * i)
                else:
                    together(place + item * i, term + size * i * apart, apart)
            for i in range(whole, rows):
                put(place, i, get(term, i * apart))

    return write


def _together(v: Vectors) -> Any:
    """Make ``(to, source, apart)``: a few numbers that are apart, written side by side."""

    def move(builder: Any, to: Any, source: Any, apart: Any) -> None:
        kind = ir.VectorType(v.scalar, FEW)
        row: Any = ir.Constant(kind, ir.Undefined)
        for i in range(FEW):
            number = v.outside.number(builder, source, builder.mul(apart, I64(i)))
            row = builder.insert_element(row, number, I32(i))
        builder.store(row, at(builder, kind, to), align=v.itemsize)

    return emitted(move, 3)


def _beside(v: Vectors) -> Any:
    """Make ``(to, source)``: a few numbers that lie side by side."""

    def move(builder: Any, to: Any, source: Any) -> None:
        row = v.outside.row(builder, source, FEW)
        builder.store(row, at(builder, row.type, to), align=v.itemsize)

    return emitted(move, 2)


def _finite(v: Vectors) -> Callable[..., None]:
    check, item = finite_row(v, outside=True), v.outside.itemsize

    def finite(block: int, part: int, worker: int) -> None:
        """Look at a part of an array; the first of FLAGS becomes 1 if not all is finite."""
        each = get_int(block, COUNT)
        count = min(each, get_int(block, COUNT + 1) - part * each)
        first = get_int(block, FIRST) + item * part * each
        if not check(first, count):
            put_int(get_int(block, FLAGS), 0, 1)

    return finite


def finite_row(v: Vectors, *, outside: bool) -> Any:
    """Make ``(address, count)``: 1 where all are finite, else 0; ``outside``: of an array."""
    load = v.outside.load if outside else v.load

    def check(builder: Any, address: Any, count: Any) -> Any:
        def one(place: Any, held: Any, mask: Any = None) -> Any:
            # 0 * Inf and 0 * NaN are NaN, and stay so.
            seen = load(builder, address, builder.mul(place, I64(v.lanes)), mask)
            return v.fma(builder, seen, v.zero, held)

        def some(step: Any, held: list[Any]) -> list[Any]:
            first = builder.mul(step, I64(TOGETHER))
            return [one(builder.add(first, I64(i)), each) for i, each in enumerate(held)]

        vectors = builder.sdiv(count, I64(v.lanes))
        steps = builder.sdiv(vectors, I64(TOGETHER))
        total, *others = repeated(builder, steps, [v.zero] * TOGETHER, some)
        for each in others:
            total = builder.fadd(total, each)
        done = builder.mul(steps, I64(TOGETHER))
        (total,) = repeated(
            builder, builder.sub(vectors, done), [total],
            lambda step, held: [one(builder.add(done, step), held[0])],
        )  # fmt: skip
        rest = builder.sub(count, builder.mul(vectors, I64(v.lanes)))
        total = one(vectors, total, v.first(builder, rest))
        same = builder.fcmp_ordered("==", total, v.zero)
        bits = builder.bitcast(same, ir.IntType(v.lanes))
        whole = builder.icmp_unsigned("==", bits, ir.IntType(v.lanes)(2**v.lanes - 1))
        return builder.zext(whole, I64)

    from numba import types

    return emitted(check, 2, types.int64)
