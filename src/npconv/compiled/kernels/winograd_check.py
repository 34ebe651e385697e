"""Whether a result can be trusted, by a sufficient condition that costs little.

`npconv.trust` says what is to be shown. Here strays are bounded more coarsely, for all output
channels at once; where that is not enough, FLAGS says so, and Python looks closely.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from npconv.compiled.blocks import FIRST, FLAGS
from npconv.compiled.front_end import helper
from npconv.compiled.kernels import winograd_norms
from npconv.compiled.kernels.lanes import Lanes
from npconv.compiled.kernels.loops import repeated
from npconv.compiled.kernels.memory import I64, KINDS, emitted, get_int, store_shared
from npconv.compiled.registers import ITEMSIZES
from npconv.compiled.winograd_words import CHECK

# A little less than what `npconv.trust` allows: the rest is for roundings of these sums.
ALLOWED = 1.9
TOGETHER = 4  # sums that are formed side by side: one alone waits for itself


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
    frame, held = _frame(dtype), holder(dtype)

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
        if not held(block, x + get_int(block, CHECK.whole_at), seen, met / ALLOWED):
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


def products(lanes: Lanes, dtype: str) -> Any:
    """Make ``(x, of_channel, of_pixel, w, of_kernel, of_tap, channels, count)``.

    A sum of products over the channels: of the magnitudes of ``count`` pixels, at most a
    vector, with as many of the kernel's.
    """

    def emit(
        builder: Any, x: Any, of_channel: Any, of_pixel: Any, w: Any, of_kernel: Any,
        of_tap: Any, channels: Any, count: Any,
    ) -> Any:  # fmt: skip
        def term(channel: Any, held: Any) -> Any:
            place = builder.mul(channel, of_channel)
            pixels = lanes.load_row(builder, x, place, of_pixel, count)
            taps = lanes.load_row(builder, w, builder.mul(channel, of_kernel), of_tap, count)
            return lanes.fma(builder, lanes.magnitude(builder, pixels), taps, held)

        def some(step: Any, held: list[Any]) -> list[Any]:
            first = builder.mul(step, I64(TOGETHER))
            return [term(builder.add(first, I64(i)), one) for i, one in enumerate(held)]

        steps = builder.sdiv(channels, I64(TOGETHER))
        first, *others = repeated(builder, steps, [lanes.zero] * TOGETHER, some)
        for other in others:
            first = builder.fadd(first, other)
        whole = builder.mul(steps, I64(TOGETHER))
        rest = repeated(
            builder, builder.sub(channels, whole), [first],
            lambda step, held: [term(builder.add(whole, step), held[0])],
        )  # fmt: skip
        return lanes.total(builder, rest[0])

    return emitted(emit, 8, KINDS[dtype][0])


@helper
def seen_from(p: int, stride: int, dilation: int, holes: int, low: int) -> Any:
    """Solve the equation of `npconv.axis` for the kernel elements through which ``p`` sees inputs.

    Gives the first one and the step to the next, then the first input and its step.
    """
    first, step = 0, 1
    while (p * stride + first * dilation - low) % holes and first < holes:
        first += 1
    while step * dilation % holes:
        step += 1
    return first, step, (p * stride + first * dilation - low) // holes, step * dilation // holes


def holder(dtype: str) -> Any:
    """Make ``(block, x, seen, needed)``, whether an image's result holds that much.

    It is the result of all parts, and the whole kernel.
    """
    lanes = Lanes(dtype)
    sums, count, item = products(lanes, dtype), lanes.count, ITEMSIZES[dtype]

    @helper
    def sum_at(block: int, x: int, w: int, p: int, q: int) -> Any:
        R, S, C = get_int(block, CHECK.R), get_int(block, CHECK.S), get_int(block, CHECK.C)
        first, step, h, of_h = seen_from(
            p, get_int(block, CHECK.stride_h), get_int(block, CHECK.dilation_h),
            get_int(block, CHECK.holes_h), get_int(block, CHECK.low_h),
        )  # fmt: skip
        s, of_s, j, of_j = seen_from(
            q, get_int(block, CHECK.stride_w), get_int(block, CHECK.dilation_w),
            get_int(block, CHECK.holes_w), get_int(block, CHECK.low_w),
        )  # fmt: skip
        start = max(0, -(j // of_j))
        stop = min(-((s - S) // of_s), -((j - get_int(block, CHECK.size_w)) // of_j))
        of_pixel, total = get_int(block, CHECK.of_pixel), 0.0
        of_kernel = get_int(block, CHECK.taps) * item
        for r in range(first, R, step):
            if 0 <= h < get_int(block, CHECK.size_h):
                row = x + h * get_int(block, CHECK.of_row) + j * of_pixel
                for i in range(start, stop, count):
                    total += sums(
                        row + i * of_j * of_pixel, get_int(block, CHECK.x_channel),
                        of_j * of_pixel, w + (r * S + s + i * of_s) * item, of_kernel,
                        of_s * item, C, min(count, stop - i),
                    )  # fmt: skip
            h += of_h
        return total

    @helper
    def held(block: int, x: int, seen: int, needed: float) -> Any:
        """Say whether the result holds that much at one of nine positions."""
        P, Q = get_int(block, CHECK.out_h), get_int(block, CHECK.out_w)
        w = seen + (get_int(block, CHECK.C) + get_int(block, CHECK.tap)) * item
        if needed <= 0:
            return True
        if not needed < inf:  # what is as much as this sum is not known
            return False
        for i in range(9):
            # From the middle outwards.
            j = (i + 4) % 9
            p, q = P * (1 + 2 * (j // 3)) // 6, Q * (1 + 2 * (j % 3)) // 6
            if needed <= sum_at(block, x, w, p, q):
                return True
        return False

    return held
