"""Rows of numbers moved about: copied, filled, squares of them transposed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types

from npconv.compiled.kernels.memory import I64, emitted
from npconv.compiled.kernels.vectors import Vectors, repeat


def row_copy(v: Vectors) -> Any:
    """Make ``(to, source, count)``: copies numbers of an array that lie side by side."""

    def copy(builder: Any, to: Any, source: Any, count: Any) -> None:
        def move(place: Any, mask: Any) -> None:
            _put(v, builder, to, place, mask, v.outside.load(builder, source, place, mask))

        _along(v, builder, count, move)

    return emitted(copy, 3)


def row_fill(v: Vectors) -> Any:
    """Make ``(to, count)``: writes zeros."""

    def fill(builder: Any, to: Any, count: Any) -> None:
        _along(v, builder, count, lambda place, mask: _put(v, builder, to, place, mask, v.zero))

    return emitted(fill, 2)


def row_add(v: Vectors) -> Any:
    """Make ``(to, source, count, number)``: writes numbers to an array, with one added to each."""

    def add(builder: Any, to: Any, source: Any, count: Any, number: Any) -> None:
        added = v.broadcast(builder, number)

        def move(place: Any, mask: Any) -> None:
            value = v.add(builder, _get(v, builder, source, place, mask), added)
            v.outside.store(builder, to, place, value, mask)

        _along(v, builder, count, move)

    return emitted(add, (types.int64, types.int64, types.int64, v.numba_type))


def _along(v: Vectors, builder: Any, count: Any, move: Callable[[Any, Any], None]) -> None:
    """Write a loop over whole vectors, and what is left with a mask."""
    whole = builder.and_(count, I64(-v.lanes))

    def one(step: Any, _: list[Any]) -> list[Any]:
        move(builder.mul(step, I64(v.lanes)), None)
        return []

    with builder.if_then(builder.icmp_signed(">", whole, I64(0))):
        repeat(builder, builder.sdiv(whole, I64(v.lanes)), [], one)
    with builder.if_then(builder.icmp_signed("<", whole, count)):
        move(whole, v.first(builder, builder.sub(count, whole)))


def _get(v: Vectors, builder: Any, source: Any, place: Any, mask: Any) -> Any:
    if mask is None:
        return v.load(builder, source, place)
    return v.load_masked(builder, source, place, mask)


def _put(v: Vectors, builder: Any, to: Any, place: Any, mask: Any, value: Any) -> None:
    if mask is None:
        v.store(builder, to, place, value)
    else:
        v.store_masked(builder, to, place, mask, value)


def square(v: Vectors, *, reads: bool) -> Any:
    """Make ``(to, apart, source, source_apart, rows, columns, bias)``, which transposes.

    Up to as many rows of up to as many columns as a vector has lanes, read row by row and
    written column by column; nothing else is written or read. ``bias`` is 0, or the address
    of a number to add to each column. An array is what is read, or else what is written.
    """
    load = v.outside.load if reads else v.load_masked
    store = _store(v) if reads else v.outside.store

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
                        store(builder, to, place, v.add(builder, turned[i], number), mask)
            with plain:
                for i in lanes:
                    with builder.if_then(builder.icmp_signed("<", I64(i), columns)):
                        store(builder, to, builder.mul(apart, I64(i)), turned[i], mask)

    return emitted(transpose, 7)


def _store(v: Vectors) -> Callable[..., None]:
    def store(builder: Any, to: Any, place: Any, value: Any, mask: Any) -> None:
        v.store_masked(builder, to, place, mask, value)

    return store
