"""Whether a result holds as much as strays might disturb; see `winograd_check`.

A kernel of its own, seldom asked: what asks is compiled for each size of tiles.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from npconv.compiled.front_end import helper
from npconv.compiled.kernels.lanes import Lanes
from npconv.compiled.kernels.loops import TOGETHER, repeated
from npconv.compiled.kernels.memory import (
    I64,
    KINDS,
    call_kernel,
    emitted,
    get_int,
    getter,
    put_int,
    setter,
    stack_words,
)
from npconv.compiled.registers import ITEMSIZES
from npconv.compiled.winograd_words import CHECK

# The words of a question, and of its answer.
X, SEEN, NEEDED, HOLDS = range(4)

get_number, put_number, question = getter("float64"), setter("float64"), stack_words(4)


@helper
def holds(block: int, x: int, seen: int, needed: float) -> Any:
    """Say whether an image's result holds that much: of all parts, with the whole kernel."""
    if needed <= 0:
        return True
    if not needed < inf:  # what is as much as this sum is not known
        return False
    words = question()
    put_int(words, X, x)
    put_int(words, SEEN, seen)
    put_number(words, NEEDED, needed)
    call_kernel(get_int(block, CHECK.held), block, words, 0)
    return get_int(words, HOLDS) != 0


def _products(lanes: Lanes, dtype: str) -> Any:
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
def _seen_from(p: int, stride: int, dilation: int, holes: int, low: int) -> Any:
    """Solve the equation of `npconv.axis` for the kernel elements through which ``p`` sees inputs.

    Gives the first one and the step to the next, then the first input and its step.
    """
    first, step = 0, 1
    while (p * stride + first * dilation - low) % holes and first < holes:
        first += 1
    while step * dilation % holes:
        step += 1
    return first, step, (p * stride + first * dilation - low) // holes, step * dilation // holes


def make(dtype: str) -> Callable[..., None]:
    """Make the kernel that is asked: its block is the check's, its part the question's words."""
    lanes = Lanes(dtype)
    sums, count, item = _products(lanes, dtype), lanes.count, ITEMSIZES[dtype]

    @helper
    def sum_at(block: int, x: int, w: int, p: int, q: int) -> Any:
        R, S, C = get_int(block, CHECK.R), get_int(block, CHECK.S), get_int(block, CHECK.C)
        first, step, h, of_h = _seen_from(
            p, get_int(block, CHECK.stride_h), get_int(block, CHECK.dilation_h),
            get_int(block, CHECK.holes_h), get_int(block, CHECK.low_h),
        )  # fmt: skip
        s, of_s, j, of_j = _seen_from(
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

    def held(block: int, words: int, worker: int) -> None:
        """Look at nine positions of the result, from the middle outwards."""
        x, seen, needed = get_int(words, X), get_int(words, SEEN), get_number(words, NEEDED)
        P, Q = get_int(block, CHECK.out_h), get_int(block, CHECK.out_w)
        w = seen + (get_int(block, CHECK.C) + get_int(block, CHECK.tap)) * item
        for i in range(9):
            j = (i + 4) % 9
            p, q = P * (1 + 2 * (j // 3)) // 6, Q * (1 + 2 * (j % 3)) // 6
            if needed <= sum_at(block, x, w, p, q):
                put_int(words, HOLDS, 1)
                return
        put_int(words, HOLDS, 0)

    return held
