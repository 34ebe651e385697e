"""Rows of numbers moved about: copied, filled, squares of them transposed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types

from npconv.compiled.kernels.arithmetic import pick
from npconv.compiled.kernels.loops import loop
from npconv.compiled.kernels.memory import I64, emitted, getter
from npconv.compiled.kernels.vectors import Vectors


def row_copy(v: Vectors) -> Any:
    """Make ``(to, source, count)``: copies numbers of an array that lie side by side."""

    def copy(builder: Any, to: Any, source: Any, count: Any) -> None:
        def move(place: Any, mask: Any) -> None:
            v.store(builder, to, place, v.outside.load(builder, source, place, mask), mask)

        along(v, builder, count, move)

    return emitted(copy, 3)


def row_fill(v: Vectors) -> Any:
    """Make ``(to, count)``: writes zeros."""

    def fill(builder: Any, to: Any, count: Any) -> None:
        along(v, builder, count, lambda place, mask: v.store(builder, to, place, v.zero, mask))

    return emitted(fill, 2)


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
            mask = v.mask(builder, builder.neg(here), builder.sub(stop, here))
            v.store(builder, to, place, v.outside.load(builder, source, here, mask))

    return emitted(window, 5)


MOST_APART = 4  # numbers farther apart than that are written one by one


def row_spread(v: Vectors) -> Any:
    """Make ``(to, apart, source, count, number)``: as `row_add`, written ``apart`` from each other.

    What lies between them is neither read nor written.
    """
    add, get, put = row_add(v), getter(v.dtype), v.outside.setter
    two, three, four = (_spread(v, apart) for apart in range(2, MOST_APART + 1))

    def spread(to: int, apart: int, source: int, count: int, number: float) -> None:
        if apart == 1:
            add(to, source, count, number)
        elif apart == 2:
            two(to, source, count, number)
        elif apart == 3:
            three(to, source, count, number)
        elif apart == 4:
            four(to, source, count, number)
        else:
            for i in range(count):
                put(to, i * apart, get(source, i) + number)

    made: Any = njit(spread)
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
        mask, nobody = v.first(builder, columns), v.first(builder, I64(0))
        held = []
        for i in lanes:
            there = builder.icmp_signed("<", I64(i), rows)
            place = builder.mul(source_apart, I64(i))
            held.append(load(builder, source, place, builder.select(there, mask, nobody)))
        turned, mask = v.transposed(builder, held), v.first(builder, rows)
        with builder.if_else(builder.icmp_signed("!=", bias, I64(0))) as (added, plain):
            with added:
                for i in lanes:
                    with builder.if_then(builder.icmp_signed("<", I64(i), columns)):
                        number = v.broadcast(builder, v.scalar_at(builder, bias, I64(i)))
                        place = builder.mul(apart, I64(i))
                        store(builder, to, place, builder.fadd(turned[i], number), mask)
            with plain:
                for i in lanes:
                    with builder.if_then(builder.icmp_signed("<", I64(i), columns)):
                        store(builder, to, builder.mul(apart, I64(i)), turned[i], mask)

    return emitted(transpose, 7)
