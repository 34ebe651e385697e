"""What a transform notes of pixels for the checks, while they are in the first cache.

A transform lays each row of pixels, of a vector of channels at a time, into a strip. There
the checks of `npconv.trust` can have what they ask of the operand without reading it again:
no element is laid that is not seen, and none is seen that is not laid.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from npconv.compiled.blocks import FIRST, FLAGS
from npconv.compiled.front_end import helper
from npconv.compiled.kernels.lanes import Lanes
from npconv.compiled.kernels.loops import TOGETHER, repeated
from npconv.compiled.kernels.memory import I64, KINDS, emitted, get_int, store_shared
from npconv.compiled.kernels.winograd_check import ALLOWED
from npconv.compiled.kernels.winograd_held import holds
from npconv.compiled.winograd_words import CHECK, WORDS


class Watch(NamedTuple):
    """Two functions of kernels, which a transform calls.

    ``look(block, group, channels, last, h, start, pixels, slot, log)`` sees ``pixels`` pixels
    of row ``h`` in the strip, from column ``start`` on; the vector's channels behind ``last``
    repeat that one. What it notes goes to ``log``; it gives where the next note goes. The
    rows come in the same order for each vector of channels.

    ``judge(block, group, image, channels, begun, log)`` has the notes of a piece of an image.
    """

    look: Any
    judge: Any


@helper
def _see_nothing(
    block: int, group: int, channels: int, last: int,
    h: int, start: int, pixels: int, slot: int, log: int,
) -> Any:  # fmt: skip
    return log


@helper
def _say_nothing(block: int, group: int, image: int, channels: int, begun: int, log: int) -> None:
    pass


nothing = Watch(_see_nothing, _say_nothing)


def squares(lanes: Lanes) -> Watch:
    """Add squares up, channel by channel, to numbers that ``WORDS.watch`` is the address of.

    At a border of chunks up to two columns are laid twice, and so counted: no pixel more than
    that. So norms are too large at most, by less than what `npconv.trust` allows.
    """
    add, nbytes = _squares(lanes), lanes.nbytes

    @helper
    def look(
        block: int, group: int, channels: int, last: int,
        h: int, start: int, pixels: int, slot: int, log: int,
    ) -> Any:  # fmt: skip
        add(slot, pixels, get_int(block, WORDS.watch) + channels * nbytes)
        return log

    return Watch(look, _say_nothing)


def _squares(lanes: Lanes) -> Any:
    def emit(builder: Any, of: Any, count: Any, to: Any) -> None:
        def term(held: Any, place: Any) -> Any:
            pixel = lanes.load(builder, of, builder.mul(place, I64(lanes.nbytes)))
            return lanes.fma(builder, pixel, pixel, held)

        def some(step: Any, held: list[Any]) -> list[Any]:
            place = builder.mul(step, I64(TOGETHER))
            return [term(one, builder.add(place, I64(i))) for i, one in enumerate(held)]

        whole = builder.and_(count, I64(-TOGETHER))
        steps = builder.sdiv(whole, I64(TOGETHER))
        first, *others = repeated(builder, steps, [lanes.zero] * TOGETHER, some)
        for other in others:
            first = builder.fadd(first, other)

        def rest(step: Any, held: list[Any]) -> list[Any]:
            return [term(held[0], builder.add(whole, step))]

        total = repeated(builder, builder.sub(count, whole), [first], rest)[0]
        lanes.store(builder, builder.fadd(lanes.load(builder, to), total), to)

    return emitted(emit, 3)


def frame(lanes: Lanes) -> Watch:
    """Weigh the pixels that do not meet the whole kernel, as `winograd_check` does.

    A note is a vector: what a pixel's channels have added to so far, each lane for itself.
    """
    note, most = _note(lanes), _most(lanes)
    nbytes, count = lanes.nbytes, lanes.count

    @helper
    def weights(block: int, check: int, group: int) -> Any:
        seen = get_int(block, get_int(check, CHECK.seen_in)) + get_int(check, CHECK.seen)
        return seen + group * get_int(check, CHECK.seen_group)

    @helper
    def noted(slot: int, first: int, stop: int, of: int, last: int, begins: int, log: int) -> Any:
        if first < stop:
            note(slot + first * nbytes, stop - first, of, last, begins, log)
            log += (stop - first) * nbytes
        return log

    @helper
    def look(
        block: int, group: int, channels: int, last: int,
        h: int, start: int, pixels: int, slot: int, log: int,
    ) -> Any:  # fmt: skip
        if not get_int(block, FLAGS):
            return log
        check, begins = get_int(block, WORDS.watch), int(channels == 0)
        of = weights(block, check, group) + channels * nbytes
        first = max(get_int(check, CHECK.first_column) - start, 0)
        stop = min(get_int(check, CHECK.stop_column) - start, pixels)
        if get_int(check, CHECK.inner_row) <= h < get_int(check, CHECK.outer_row):
            inner = min(get_int(check, CHECK.inner_column) - start, stop)
            log = noted(slot, first, inner, of, last, begins, log)
            first = max(get_int(check, CHECK.outer_column) - start, first)
        return noted(slot, first, stop, of, last, begins, log)

    @helper
    def judge(block: int, group: int, image: int, channels: int, begun: int, log: int) -> None:
        check = get_int(block, WORDS.watch)
        if log == begun or (channels + 1) * count < get_int(check, CHECK.C):
            return
        x = get_int(block, FIRST) + get_int(check, CHECK.whole_at)
        x += image * get_int(check, CHECK.x_image) + group * get_int(check, CHECK.x_group)
        needed = most(begun, (log - begun) // nbytes) / ALLOWED
        if not holds(check, x, weights(block, check, group), needed):
            store_shared(get_int(block, FLAGS), image, 1)

    return Watch(look, judge)


def _note(lanes: Lanes) -> Any:
    """Make ``(of, count, weights, last, begins, log)``: add some pixels to their notes."""

    def emit(
        builder: Any, of: Any, count: Any, weights: Any, last: Any, begins: Any, log: Any
    ) -> None:
        there = lanes.first(builder, builder.add(last, I64(1)))
        weight = lanes.load_some(builder, there, weights)
        anew = builder.icmp_signed("!=", begins, I64(0))

        def add(step: Any, held: list[Any]) -> list[Any]:
            offset = builder.mul(step, I64(lanes.nbytes))
            pixel = lanes.magnitude(builder, lanes.load(builder, of, offset))
            was = builder.select(anew, lanes.zero, lanes.load(builder, log, offset))
            lanes.store(builder, lanes.fma(builder, pixel, weight, was), log, offset)
            return held

        repeated(builder, count, [I64(0)], add)

    return emitted(emit, 6)


def _most(lanes: Lanes) -> Any:
    """Make ``(notes, count)``, the largest total; NaN above all."""

    def emit(builder: Any, notes: Any, count: Any) -> Any:
        def one(step: Any, held: list[Any]) -> list[Any]:
            note = lanes.load(builder, notes, builder.mul(step, I64(lanes.nbytes)))
            total = lanes.total(builder, note)
            larger = builder.fcmp_ordered(">", total, held[0])
            larger = builder.or_(larger, builder.fcmp_unordered("uno", total, total))
            return [builder.select(larger, total, held[0])]

        return repeated(builder, count, [lanes.scalar(0.0)], one)[0]

    return emitted(emit, 2, KINDS[lanes.dtype][0])
