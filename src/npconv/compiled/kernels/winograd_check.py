"""Whether a result can be trusted, by a sufficient condition that costs little.

`npconv.trust` says what is to be shown. Here strays are bounded more coarsely, for all output
channels at once; where that is not enough, FLAGS says so, and Python looks closely.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npconv.compiled.blocks import FIRST, FLAGS
from npconv.compiled.front_end import helper
from npconv.compiled.kernels import winograd_norms
from npconv.compiled.kernels.lanes import Lanes
from npconv.compiled.kernels.loops import repeated
from npconv.compiled.kernels.memory import I64, KINDS, emitted, get_int, store_shared
from npconv.compiled.kernels.winograd_held import holds
from npconv.compiled.winograd_words import CHECK

# A little less than what `npconv.trust` allows: the rest is for roundings of these sums.
ALLOWED = 1.9


def make(what: str, dtype: str) -> Callable[..., None]:
    """Make the check of an ``image``, or of a ``gradient``."""
    return _image(dtype) if what == "image" else winograd_norms.gradient(dtype)


def weighted(lanes: Lanes, dtype: str) -> Any:
    """Make ``(x, of_channel, of_pixel, weights, channels, count)``, the largest sum.

    Pixel by pixel, of ``count`` of them, over the channels: of magnitudes times weights. As
    many sums as there are lanes, each of every so-manieth channel, then halves onto halves:
    so the bits are those of `winograd_watch`, whose lanes are the channels.
    """
    many = lanes.count

    def emit(
        builder: Any, x: Any, of_channel: Any, of_pixel: Any, weights: Any, channels: Any,
        count: Any,
    ) -> Any:  # fmt: skip
        last = builder.sub(channels, I64(1))

        def add(first: Any, held: list[Any], *, some: bool) -> list[Any]:
            new = []
            for i, total in enumerate(held):
                channel = builder.add(first, I64(i))
                there = builder.icmp_signed("<=", channel, last)
                channel = builder.select(there, channel, last) if some else channel
                offset = builder.mul(channel, I64(lanes.itemsize))
                weight = lanes.load_number(builder, weights, offset)
                weight = builder.select(there, weight, lanes.zero) if some else weight
                place = builder.mul(channel, of_channel)
                pixels = lanes.load_row(builder, x, place, of_pixel, count)
                pixels = lanes.magnitude(builder, pixels)
                new.append(lanes.fma(builder, pixels, weight, total))
            return new

        whole = builder.sdiv(channels, I64(many))
        sums = repeated(
            builder, whole, [lanes.zero] * many,
            lambda step, held: add(builder.mul(step, I64(many)), held, some=False),
        )  # fmt: skip
        first = builder.mul(whole, I64(many))
        rest = builder.zext(builder.icmp_signed("<", first, channels), I64)
        sums = repeated(builder, rest, sums, lambda _, held: add(first, held, some=True))
        while len(sums) > 1:
            half = len(sums) // 2
            sums = [builder.fadd(a, b) for a, b in zip(sums[:half], sums[half:], strict=True)]
        return lanes.largest(builder, sums[0])

    return emitted(emit, 6, KINDS[dtype][0])


def _image(dtype: str) -> Callable[..., None]:
    frame = _frame(dtype)

    def image(block: int, part: int, worker: int) -> None:
        """Compare what strays meet with what the result holds, for a group of an image.

        Some of its rows: where each of them is held, so is what all meet.
        """
        flags, groups = get_int(block, FLAGS), get_int(block, CHECK.G)
        if not flags:
            return
        pieces = get_int(block, CHECK.pieces)
        piece, part = part % pieces, part // pieces
        first, stop = get_int(block, CHECK.first_row), get_int(block, CHECK.stop_row)
        first, stop = (
            first + (stop - first) * piece // pieces,
            first + (stop - first) * (piece + 1) // pieces,
        )
        x = get_int(block, FIRST) + part // groups * get_int(block, CHECK.x_image)
        x += part % groups * get_int(block, CHECK.x_group)
        seen = get_int(block, get_int(block, CHECK.seen_in)) + get_int(block, CHECK.seen)
        seen += part % groups * get_int(block, CHECK.seen_group)
        met = frame(block, x + get_int(block, CHECK.x_at), seen, first, stop)
        if not holds(block, x + get_int(block, CHECK.whole_at), seen, met / ALLOWED):
            store_shared(flags, part // groups, 1)

    return image


def _frame(dtype: str) -> Any:
    lanes = Lanes(dtype)
    sums, count = weighted(lanes, dtype), lanes.count

    @helper
    def across(block: int, row: int, seen: int, first: int, stop: int) -> Any:
        """Find the largest sum of a row, from one column to another."""
        of_channel, C = get_int(block, CHECK.x_channel), get_int(block, CHECK.C)
        of_pixel, largest = get_int(block, CHECK.x_pixel), 0.0
        for j in range(first, stop, count):
            some = min(count, stop - j)
            one = sums(row + j * of_pixel, of_channel, of_pixel, seen, C, some)
            largest = max(largest, one)
        return largest

    @helper
    def frame(block: int, x: int, seen: int, first_row: int, stop_row: int) -> Any:
        """Bound what strays meet: elements that do not meet the whole kernel."""
        first, stop = get_int(block, CHECK.first_column), get_int(block, CHECK.stop_column)
        inner, outer = get_int(block, CHECK.inner_column), get_int(block, CHECK.outer_column)
        above, below = get_int(block, CHECK.inner_row), get_int(block, CHECK.outer_row)
        largest = 0.0
        for h in range(first_row, stop_row):
            row = x + h * get_int(block, CHECK.x_row)
            if above <= h < below:
                left = across(block, row, seen, first, inner)
                largest = max(largest, left, across(block, row, seen, outer, stop))
            else:
                largest = max(largest, across(block, row, seen, first, stop))
        return largest

    return frame
