"""Pixels turned for Winograd's transforms, so that lanes are channels, and turned back.

A row's pixels lie side by side; or, on a lattice, apart from each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from numba import types

from npconv.compiled.kernels.lanes import Lanes
from npconv.compiled.kernels.loops import Held, either, loop, unmasked
from npconv.compiled.kernels.memory import I32, I64, emitted


def turn_in(lanes: Lanes) -> Any:
    """Make ``(x, of_channel, of_pixel, last, stop, to)``: pixels of some channels, channel-last.

    From each channel, one vector of a row from ``x`` on; of its lanes only the first ``stop``
    exist, the others are zeros. Behind channel ``last`` it is repeated. Writes one vector
    of channels for each pixel.
    """

    def emit(
        builder: Any, x: Any, of_channel: Any, of_pixel: Any, last: Any, stop: Any, to: Any
    ) -> None:
        def turn(load: Callable[[Any], Any]) -> None:
            rows = []
            for i in range(lanes.count):
                within = builder.icmp_signed("<", I64(i), last)
                channel = builder.select(within, I64(i), last)
                rows.append(load(builder.mul(channel, of_channel)))
            for i, pixel in enumerate(lanes.transposed(builder, rows)):
                lanes.store(builder, pixel, to, i * lanes.nbytes)

        def side_by_side(whole: bool) -> None:
            mask = None if whole else lanes.first(builder, stop)
            turn(lambda offset: lanes.load_some(builder, mask, x, offset))

        def pairs(whole: bool) -> None:
            some = None if whole else stop
            turn(lambda offset: lanes.load_pairs(builder, x, offset, some))

        def apart() -> None:
            turn(lambda offset: lanes.load_apart(builder, x, offset, of_pixel, stop))

        def one_apart(is_so: bool) -> None:
            if is_so:
                unmasked(builder, whole, side_by_side)
            else:
                two = builder.icmp_signed("==", of_pixel, I64(2 * lanes.itemsize))
                either(builder, two, two_apart)

        def two_apart(is_so: bool) -> None:
            if is_so:
                unmasked(builder, whole, pairs)
            else:
                apart()

        whole = builder.icmp_signed(">=", stop, I64(lanes.count))
        either(builder, builder.icmp_signed("==", of_pixel, I64(lanes.itemsize)), one_apart)

    return emitted(emit, 6)


class _Square(NamedTuple):
    """Pixels of a vector of channels, and where some of them are to be written."""

    lanes: Lanes
    builder: Any
    of: Any
    y: Any
    of_channel: Any
    of_pixel: Any
    last: Any
    count: Any

    @property
    def channels(self) -> list[Any]:
        """Give the pixels of each channel."""
        lanes, builder = self.lanes, self.builder
        pixels = [lanes.load(builder, self.of, i * lanes.nbytes) for i in range(lanes.count)]
        return lanes.transposed(builder, pixels)


def turn_out(lanes: Lanes) -> Any:
    """Make ``(of, y, of_channel, of_pixel, last, count, adds)``: the way back from `turn_in`.

    Writes ``count`` pixels of each channel up to ``last``, or adds them to what is there.
    Returns 1 where a sum is not finite.
    """

    def emit(builder: Any, *given: Any) -> Any:
        square, adds = _Square(lanes, builder, *given[:-1]), given[-1]
        added, doubt = builder.icmp_signed("!=", adds, I64(0)), Held(builder, lanes.type, [0])
        doubt[0] = lanes.zero
        whole = [
            builder.icmp_signed(">=", square.count, I64(lanes.count)),
            builder.icmp_signed("==", square.last, I64(lanes.count - 1)),
        ]
        all_of_it = builder.and_(builder.and_(*whole), builder.not_(added))

        def side_by_side(are: bool) -> None:
            if are:
                _write_rows(square, added, doubt)
            else:
                either(builder, all_of_it, apart)

        def apart(is_all: bool) -> None:
            if is_all:
                _write_all_apart(square)
            else:
                either(builder, added, lambda is_so: _write_apart(square, doubt, adds=is_so))

        together = builder.icmp_signed("==", square.of_pixel, I64(lanes.itemsize))
        either(builder, together, side_by_side)
        return lanes.any_nan(builder, doubt[0])

    return emitted(emit, 7, types.int64)


def _write_rows(square: _Square, added: Any, doubt: Held) -> None:
    """Write pixels that lie side by side, or add them to what is there."""
    lanes, builder, _, y, of_channel, _, last, count = square
    rows = square.channels

    def write(whole: bool) -> None:
        mask = None if whole else lanes.first(builder, count)

        def put(i: int) -> None:
            lanes.store_some(builder, mask, rows[i], y, builder.mul(I64(i), of_channel))

        def add(i: int) -> None:
            offset = builder.mul(I64(i), of_channel)
            # Behind the pixels that are written there is anything.
            more = rows[i] if whole else builder.select(mask, rows[i], lanes.zero)
            total = builder.fadd(lanes.load_some(builder, mask, y, offset), more)
            doubt[0] = lanes.fma(builder, total, lanes.zero, doubt[0])
            lanes.store_some(builder, mask, total, y, offset)

        either(builder, added, lambda is_so: up_to(lanes, builder, last, add if is_so else put))

    unmasked(builder, builder.icmp_signed(">=", count, I64(lanes.count)), write)


def _write_all_apart(square: _Square) -> None:
    """Write all pixels of all channels, which lie apart."""
    lanes, builder = square.lanes, square.builder
    places = [builder.mul(square.of_pixel, I64(j)) for j in range(lanes.count)]
    for i, row in enumerate(square.channels):
        channel = builder.add(square.y, builder.mul(square.of_channel, I64(i)))
        for j, place in enumerate(places):
            number = builder.extract_element(row, I32(j))
            builder.store(number, lanes.number_at(builder, channel, place))


def _write_apart(square: _Square, doubt: Held, *, adds: bool) -> None:
    """Write some pixels of some channels, which lie apart, or add them to what is there."""
    lanes, builder, of, y, of_channel, of_pixel, last, count = square
    with loop(builder, I64(0), builder.add(last, I64(1))) as i:
        here, there = builder.mul(i, I64(lanes.itemsize)), builder.mul(i, of_channel)
        for j in range(lanes.count):
            with builder.if_then(builder.icmp_signed("<", I64(j), count)):
                from_ = builder.add(here, I64(j * lanes.nbytes))
                value = builder.load(lanes.number_at(builder, of, from_))
                offset = builder.add(there, builder.mul(of_pixel, I64(j)))
                place = lanes.number_at(builder, y, offset)
                if adds:
                    value = builder.fadd(builder.load(place), value)
                    every = lanes.broadcast(builder, value)
                    doubt[0] = lanes.fma(builder, every, lanes.zero, doubt[0])
                builder.store(value, place)


def up_to(lanes: Lanes, builder: Any, last: Any, put: Callable[[int], None]) -> None:
    """Emit ``put(i)`` for all lanes up to ``last``, without a question where that is all."""
    whole = builder.icmp_signed("==", last, I64(lanes.count - 1))
    with builder.if_else(whole) as (all_of_them, some):
        with all_of_them:
            for i in range(lanes.count):
                put(i)
        with some:
            for i in range(lanes.count):
                with builder.if_then(builder.icmp_signed("<=", I64(i), last)):
                    put(i)
