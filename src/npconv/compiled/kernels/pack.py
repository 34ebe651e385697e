"""A kernel in the order in which blocks of sums read it; and whether it is finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from npconv.compiled.blocks import CALL_WORDS, FIRST, FLAGS, OUT
from npconv.compiled.kernels.memory import I64, emitted, get_int, put_int, setter
from npconv.compiled.kernels.rows import square
from npconv.compiled.kernels.vectors import Vectors, repeat

(BLOCK_COUNT, BLOCKS, PHASES, W_GROUP, W_ROW, PACKED_GROUP, ROWS) = range(
    CALL_WORDS, CALL_WORDS + 7
)
(TERMS, SOURCES, IN_ORDER, PACKED, PHASE_WORDS) = range(5)  # of a phase
COUNT = CALL_WORDS  # of `finite`: numbers in a part, and in all


def make(what: str, dtype: str) -> Callable[..., None]:
    """Make ``rows``, which packs, or ``finite``."""
    return _rows(Vectors(dtype)) if what == "rows" else _finite(Vectors(dtype))


def _rows(v: Vectors) -> Callable[..., None]:
    get, put, transpose = v.outside.getter, setter(v.dtype), square(v, reads=True)
    L, item, size = v.lanes, v.itemsize, v.outside.itemsize

    def rows(block: int, part: int, worker: int) -> None:
        """Write one block of rows of the kernel matrix, term by term: ``(terms, rows)``."""
        count, of_phases = get_int(block, BLOCK_COUNT), get_int(block, PHASES)
        b, rest = part % count, part // count
        phases = get_int(of_phases, 0)
        phase, g = of_phases + 8 + 8 * PHASE_WORDS * (rest % phases), rest // phases
        start = get_int(get_int(block, BLOCKS), 2 * b)
        width = get_int(get_int(block, BLOCKS), 2 * b + 1)
        there = max(0, min(width, get_int(block, ROWS) - start))
        T, sources, apart = get_int(phase, TERMS), get_int(phase, SOURCES), get_int(block, W_ROW)
        w = get_int(block, FIRST) + size * (g * get_int(block, W_GROUP) + start * apart)
        to = get_int(block, OUT) + item * (
            g * get_int(block, PACKED_GROUP) + get_int(phase, PACKED) + start * T
        )
        for t in range(T):
            for i in range(there, width):
                put(to, t * width + i, 0)
        if get_int(phase, IN_ORDER):
            for i in range(0, there, L):
                for t in range(0, T, L):
                    transpose(
                        to + item * (t * width + i), width, w + size * (i * apart + t), apart,
                        min(L, there - i), min(L, T - t), 0,
                    )  # fmt: skip
        else:
            for t in range(T):
                source = w + size * get_int(sources, t)
                for i in range(there):
                    put(to, t * width + i, get(source, i * apart))

    return rows


def _finite(v: Vectors) -> Callable[..., None]:
    check, item = _finite_row(v), v.outside.itemsize

    def finite(block: int, part: int, worker: int) -> None:
        """Say of a part of an array, in a word of its own, whether all of it is finite."""
        each = get_int(block, COUNT)
        count = min(each, get_int(block, COUNT + 1) - part * each)
        first = get_int(block, FIRST) + item * part * each
        put_int(get_int(block, FLAGS), part, check(first, count))

    return finite


def _finite_row(v: Vectors) -> Any:
    """Make ``(address, count)``: 1 where so many numbers are finite, else 0."""

    def check(builder: Any, address: Any, count: Any) -> Any:
        def one(step: Any, held: list[Any]) -> list[Any]:
            place = builder.mul(step, I64(v.lanes))
            mask = v.first(builder, builder.sub(count, place))
            seen = v.outside.load(builder, address, place, mask)
            # 0 * Inf and 0 * NaN are NaN, and stay so.
            return [v.multiply_add(builder, seen, v.zero, held[0])]

        vectors = builder.sdiv(builder.add(count, I64(v.lanes - 1)), I64(v.lanes))
        (total,) = repeat(builder, vectors, [v.zero], one)
        same = builder.fcmp_ordered("==", total, v.zero)
        bits = builder.bitcast(same, ir.IntType(v.lanes))
        whole = builder.icmp_unsigned("==", bits, ir.IntType(v.lanes)(2**v.lanes - 1))
        return builder.zext(whole, I64)

    from numba import types

    return emitted(check, 2, types.int64)
