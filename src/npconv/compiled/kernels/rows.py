"""Rows of numbers moved about: copied, filled, squares of them transposed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types

from npconv.compiled.front_end import helper
from npconv.compiled.kernels.arithmetic import every_other, pick
from npconv.compiled.kernels.loops import either, loop, unmasked
from npconv.compiled.kernels.memory import I64, emitted, getter, setter
from npconv.compiled.kernels.vectors import Vectors
from npconv.compiled.registers import masks


def row_copy(v: Vectors, *, reads: bool = False, writes: bool = False) -> Any:
    """Make ``(to, source, count)``: copies numbers that lie side by side, as `square` does."""
    load = v.outside.load if reads else v.load
    store = v.outside.store if writes else v.store

    def copy(builder: Any, to: Any, source: Any, count: Any) -> None:
        def move(place: Any, mask: Any) -> None:
            store(builder, to, place, load(builder, source, place, mask), mask)

        along(v, builder, count, move)

    return emitted(copy, 3)


def row_fill(v: Vectors) -> Any:
    """Make ``(to, count)``: writes zeros."""

    def fill(builder: Any, to: Any, count: Any) -> None:
        along(v, builder, count, lambda place, mask: v.store(builder, to, place, v.zero, mask))

    return emitted(fill, 2)


def row_of(v: Vectors) -> Any:
    """Make ``(to, apart, count, number)``: writes one number to an array so often."""
    put, many = v.outside.setter, _row_of(v)

    def write(to: int, apart: int, count: int, number: float) -> None:
        if apart == 1:
            many(to, count, number)
        else:
            for i in range(count):
                put(to, i * apart, number)

    made: Any = helper(write)
    return made


def _row_of(v: Vectors) -> Any:
    def write(builder: Any, to: Any, count: Any, number: Any) -> None:
        value = v.broadcast(builder, number)
        store = v.outside.store
        along(v, builder, count, lambda place, mask: store(builder, to, place, value, mask))

    return emitted(write, (types.int64, types.int64, v.numba_type))


def row_add(v: Vectors) -> Any:
    """Make ``(to, source, count, number)``: writes numbers to an array, with one added to each."""

    def add(builder: Any, to: Any, source: Any, count: Any, number: Any) -> None:
        added = v.broadcast(builder, number)

        def move(place: Any, mask: Any) -> None:
            value = builder.fadd(v.load(builder, source, place, mask), added)
            v.outside.store(builder, to, place, value, mask)

        along(v, builder, count, move)

    return emitted(add, (types.int64, types.int64, types.int64, v.numba_type))


def row_window(v: Vectors) -> Any:
    """Make ``(to, source, first, stop, count)``: a row's numbers from ``first`` on.

    Before the row, and from ``stop`` on, there are zeros. Whole vectors are written.
    """

    def window(builder: Any, to: Any, source: Any, first: Any, stop: Any, count: Any) -> None:
        with loop(builder, I64(0), count, v.lanes) as place:
            here = builder.add(first, place)
            there = builder.sub(stop, here)

            def move(whole: bool) -> None:
                mask = None if whole else v.mask(builder, builder.neg(here), there)
                v.store(builder, to, place, v.outside.load(builder, source, here, mask))

            begun = builder.icmp_signed(">=", here, I64(0))
            ends = builder.icmp_signed(">=", there, I64(v.lanes))
            unmasked(builder, builder.and_(begun, ends), move)

    return emitted(window, 5)


def row_every(v: Vectors) -> Any:
    """Make ``(to, source, apart, count)``: copies numbers of an array that lie apart."""
    get, put, pairs, lanes = v.outside.getter, setter(v.dtype), _every_other(v), v.lanes

    def every(to: int, source: int, apart: int, count: int) -> None:
        if apart == 2 and count >= lanes:
            pairs(to, source, count)
        else:
            for i in range(count):
                put(to, i, get(source, i * apart))

    made: Any = helper(every)
    return made


def _every_other(v: Vectors) -> Any:
    """Make `row_every` for every other number of at least a vector: of each two, one is picked."""

    def copy(builder: Any, to: Any, source: Any, count: Any) -> None:
        with loop(builder, I64(0), count, v.lanes) as place:
            # The last vector overlaps the one before it.
            last = builder.sub(count, I64(v.lanes))
            here = builder.select(builder.icmp_signed("<", place, last), place, last)
            first = builder.mul(here, I64(2))
            low = v.outside.load(builder, source, first)
            high = v.outside.load(builder, source, builder.add(first, I64(v.lanes - 1)))
            v.store(builder, to, here, every_other(builder, low, high))

    return emitted(copy, 3)


# Numbers farther apart than that are written one by one: all, where masks take longer.
MOST_APART = 4 if masks() else 1


def row_spread(v: Vectors) -> Any:
    """Make ``(to, apart, source, count, number)``: as `row_add`, written ``apart`` from each other.

    What lies between them is neither read nor written.
    """
    add, get, put = row_add(v), getter(v.dtype), v.outside.setter
    two, three, four = (_spread(v, apart) for apart in (2, 3, 4))

    def spread(to: int, apart: int, source: int, count: int, number: float) -> None:
        if apart == 1:
            add(to, source, count, number)
        elif not 2 <= apart <= MOST_APART:
            for i in range(count):
                put(to, i * apart, get(source, i) + number)
        elif apart == 2:
            two(to, source, count, number)
        elif apart == 3:
            three(to, source, count, number)
        else:
            four(to, source, count, number)

    made: Any = helper(spread)
    return made


def _spread(v: Vectors, apart: int) -> Any:
    """Make `row_spread` for one distance: vectors stretched by shuffles, and stored in part."""

    def spread(builder: Any, to: Any, source: Any, count: Any, number: Any) -> None:
        added = v.broadcast(builder, number)

        def move(place: Any, mask: Any) -> None:
            value = builder.fadd(v.load(builder, source, place, mask), added)
            mask = v.first(builder, I64(v.lanes)) if mask is None else mask
            for part in range(apart):
                places = range(part * v.lanes, (part + 1) * v.lanes)
                lanes = [at // apart for at in places]
                there = ir.Constant(mask.type, [at % apart == 0 for at in places])
                some = builder.and_(pick(builder, mask, mask, lanes), there)
                stretched = pick(builder, value, value, lanes)
                start = builder.add(builder.mul(place, I64(apart)), I64(part * v.lanes))
                v.outside.store(builder, to, start, stretched, some)

        along(v, builder, count, move)

    return emitted(spread, (types.int64, types.int64, types.int64, v.numba_type))


def along(v: Vectors, builder: Any, count: Any, move: Callable[[Any, Any], None]) -> None:
    """Write a loop over whole vectors, with None for a mask, and what is left with one."""
    whole = builder.and_(count, I64(-v.lanes))
    with loop(builder, I64(0), whole, v.lanes) as place:
        move(place, None)
    with builder.if_then(builder.icmp_signed("<", whole, count)):
        move(whole, v.first(builder, builder.sub(count, whole)))


def square(v: Vectors, *, reads: bool = False, writes: bool = False) -> Any:
    """Make ``(to, apart, source, source_apart, rows, columns, bias)``, which transposes.

    Up to as many rows of up to as many columns as a vector has lanes, read row by row and
    written column by column; nothing else is written or read. ``bias`` is 0, or the address
    of a number to add to each column. Whether it is an array that is read, or that is
    written, is said by ``reads`` and ``writes``; all else are sums.
    """
    load = v.outside.load if reads else v.load
    store = v.outside.store if writes else v.store

    def transpose(
        builder: Any,
        to: Any, apart: Any, source: Any, source_apart: Any, rows: Any, columns: Any, bias: Any,
    ) -> None:  # fmt: skip
        lanes = range(v.lanes)
        biased = builder.icmp_signed("!=", bias, I64(0))

        def turn(whole: bool) -> None:
            mask, nobody = v.first(builder, columns), v.first(builder, I64(0))
            held: list[Any] = []
            for i in lanes:
                some = None
                if not whole:
                    there = builder.icmp_signed("<", I64(i), rows)
                    some = builder.select(there, mask, nobody)
                held.append(load(builder, source, builder.mul(source_apart, I64(i)), some))
            turned, mask = v.transposed(builder, held), v.first(builder, rows)

            def put(i: int, added: bool) -> None:
                value = turned[i]
                if added:
                    number = v.broadcast(builder, v.scalar_at(builder, bias, I64(i)))
                    value = builder.fadd(value, number)
                store(builder, to, builder.mul(apart, I64(i)), value, None if whole else mask)

            def write(added: bool) -> None:
                for i in lanes:
                    if whole:
                        put(i, added)
                        continue
                    with builder.if_then(builder.icmp_signed("<", I64(i), columns)):
                        put(i, added)

            either(builder, biased, write)

        full = [builder.icmp_signed(">=", count, I64(v.lanes)) for count in (rows, columns)]
        unmasked(builder, builder.and_(*full), turn)

    return emitted(transpose, 7)
