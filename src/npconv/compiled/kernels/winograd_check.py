"""Whether a result can be trusted, by a sufficient condition that costs little.

`npconv.trust` says what is to be shown. Here strays are bounded more coarsely, for all output
channels at once; where that is not enough, FLAGS says so, and Python looks closely.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

from npconv.compiled.blocks import FIRST, FLAGS, SECOND
from npconv.compiled.kernels.lanes import ITEMSIZES, Lanes, repeated
from npconv.compiled.kernels.memory import I64, KINDS, emitted, get_int, getter, store_shared
from npconv.compiled.winograd_words import CHECK

# A little less than what `npconv.trust` allows: the rest is for roundings of these sums.
ALLOWED, ALLOWED_IN_KERNEL_GRAD = 1.9, 7.6


def make(what: str, dtype: str) -> Callable[..., None]:
    """Make the check of an ``image``, or of a kernel's ``gradient``."""
    return _image(dtype) if what == "image" else _gradient(dtype)


def weighted(lanes: Lanes, dtype: str) -> Any:
    """Make ``(x, of_channel, weights, channels, count)``, the largest of ``count`` sums.

    Pixel by pixel, over the channels: of magnitudes times weights.
    """

    def emit(builder: Any, x: Any, of_channel: Any, weights: Any, channels: Any, count: Any) -> Any:
        mask = lanes.mask(builder, I64(0), count)

        def add(step: Any, held: list[Any]) -> list[Any]:
            pixels = lanes.load_some(builder, mask, x, builder.mul(step, of_channel))
            weight = lanes.broadcast(builder, weights, builder.mul(step, I64(lanes.itemsize)))
            return [lanes.fma(builder, lanes.magnitude(builder, pixels), weight, held[0])]

        return lanes.largest(builder, repeated(builder, channels, [lanes.zero], add)[0])

    return emitted(emit, 5, KINDS[dtype][0])


def squares(lanes: Lanes, dtype: str) -> Any:
    """Make ``(x, count)``, the sum of so many squares."""

    def emit(builder: Any, x: Any, count: Any) -> Any:
        def add(step: Any, held: list[Any]) -> list[Any]:
            first = builder.mul(step, I64(lanes.count))
            mask = lanes.mask(builder, I64(0), builder.sub(count, first))
            value = lanes.load_some(builder, mask, x, builder.mul(step, I64(lanes.nbytes)))
            return [lanes.fma(builder, value, value, held[0])]

        steps = builder.sdiv(builder.add(count, I64(lanes.count - 1)), I64(lanes.count))
        return lanes.total(builder, repeated(builder, steps, [lanes.zero], add)[0])

    return emitted(emit, 2, KINDS[dtype][0])


def _image(dtype: str) -> Callable[..., None]:
    frame, held = _frame(dtype), _held(dtype)

    def image(block: int, part: int, worker: int) -> None:
        """Compare what strays meet with what the result holds, for a group of an image."""
        flags, groups = get_int(block, FLAGS), get_int(block, CHECK.G)
        if not flags:
            return
        x = get_int(block, FIRST) + get_int(block, CHECK.x_at)
        x += part // groups * get_int(block, CHECK.x_image)
        x += part % groups * get_int(block, CHECK.x_group)
        seen = get_int(block, get_int(block, CHECK.seen_in)) + get_int(block, CHECK.seen)
        seen += part % groups * get_int(block, CHECK.seen_group)
        if not held(block, x, seen, frame(block, x, seen) / ALLOWED):
            store_shared(flags, part // groups, 1)

    return image


def _frame(dtype: str) -> Any:
    lanes = Lanes(dtype)
    sums, count, item = weighted(lanes, dtype), lanes.count, ITEMSIZES[dtype]

    @njit
    def frame(block: int, x: int, seen: int) -> Any:
        """Bound what strays meet: elements that do not meet the whole kernel."""
        of_channel, C = get_int(block, CHECK.x_channel), get_int(block, CHECK.C)
        first, stop = get_int(block, CHECK.first_column), get_int(block, CHECK.stop_column)
        inner, outer = get_int(block, CHECK.inner_column), get_int(block, CHECK.outer_column)
        largest = 0.0
        for h in range(get_int(block, CHECK.first_row), get_int(block, CHECK.stop_row)):
            row = x + h * get_int(block, CHECK.x_row)
            inside = get_int(block, CHECK.inner_row) <= h < get_int(block, CHECK.outer_row)
            middle, again = (inner, outer) if inside else (stop, stop)
            for j in range(first, middle, count):
                one = sums(row + j * item, of_channel, seen, C, min(count, middle - j))
                largest = max(largest, one)
            for j in range(again, stop, count):
                one = sums(row + j * item, of_channel, seen, C, min(count, stop - j))
                largest = max(largest, one)
        return largest

    return frame


def _held(dtype: str) -> Any:
    get, item = getter(dtype), ITEMSIZES[dtype]

    @njit
    def sum_at(block: int, x: int, w: int, p: int, q: int) -> Any:
        R, S = get_int(block, CHECK.R), get_int(block, CHECK.S)
        h, first = p - get_int(block, CHECK.top), q - get_int(block, CHECK.left)
        total = 0.0
        for c in range(get_int(block, CHECK.C)):
            for r in range(max(0, -h), min(R, get_int(block, CHECK.H) - h)):
                row = x + c * get_int(block, CHECK.x_channel)
                row += (h + r) * get_int(block, CHECK.x_row)
                for s in range(max(0, -first), min(S, get_int(block, CHECK.W) - first)):
                    total += abs(get(row, first + s)) * get(w, (c * R + r) * S + s)
        return total

    @njit
    def held(block: int, x: int, seen: int, needed: float) -> Any:
        """Say whether the result holds that much at one of nine positions."""
        P, Q = get_int(block, CHECK.P), get_int(block, CHECK.Q)
        w = seen + get_int(block, CHECK.C) * item
        if needed <= 0:
            return True
        for i in range(9):
            # From the middle outwards.
            j = (i + 4) % 9
            p, q = P * (1 + 2 * (j // 3)) // 6, Q * (1 + 2 * (j % 3)) // 6
            if needed <= sum_at(block, x, w, p, q):
                return True
        return False

    return held


def _gradient(dtype: str) -> Callable[..., None]:
    most, met, item = _largest_norm(dtype), _met(dtype), ITEMSIZES[dtype]

    def gradient(block: int, part: int, worker: int) -> None:
        """Compare the largest norms, channel by channel, with what one element holds."""
        flags = get_int(block, FLAGS)
        if not flags:
            return
        x, dy = get_int(block, FIRST), get_int(block, SECOND)
        x += get_int(block, CHECK.x_at) + part * get_int(block, CHECK.x_group)
        dy += get_int(block, CHECK.y_at) + part * get_int(block, CHECK.y_group)
        N, first, left = (
            get_int(block, CHECK.N),
            get_int(block, CHECK.first_row),
            get_int(block, CHECK.first_column),
        )
        of_row = get_int(block, CHECK.x_row)
        c, of_x = most(
            x + first * of_row + left * item, N, get_int(block, CHECK.x_image),
            get_int(block, CHECK.C), get_int(block, CHECK.x_channel),
            get_int(block, CHECK.stop_row) - first, of_row,
            get_int(block, CHECK.stop_column) - left,
        )  # fmt: skip
        k, of_dy = most(
            dy, N, get_int(block, CHECK.y_image), get_int(block, CHECK.K),
            get_int(block, CHECK.y_channel), get_int(block, CHECK.P),
            get_int(block, CHECK.y_row), get_int(block, CHECK.Q),
        )  # fmt: skip
        x += c * get_int(block, CHECK.x_channel)
        dy += k * get_int(block, CHECK.y_channel)
        held = met(block, x, dy) * ALLOWED_IN_KERNEL_GRAD
        if not of_x * of_dy <= held * held:
            store_shared(flags, 0, 1)

    return gradient


def _largest_norm(dtype: str) -> Any:
    lanes = Lanes(dtype)
    add, item = squares(lanes, dtype), ITEMSIZES[dtype]

    @njit
    def most(
        x: int, N: int, of_image: int, channels: int, of_channel: int,
        rows: int, of_row: int, width: int,
    ) -> Any:  # fmt: skip
        """Find the channel with the largest sum of squares, NaN above all."""
        best, where = 0.0, 0
        for c in range(channels):
            total = 0.0
            for n in range(N):
                image = x + n * of_image + c * of_channel
                if width * item == of_row:
                    total += add(image, rows * width)
                else:
                    for h in range(rows):
                        total += add(image + h * of_row, width)
            if not total <= best:
                best, where = total, c
        return where, best

    return most


def _met(dtype: str) -> Any:
    get = getter(dtype)

    @njit
    def met(block: int, x: int, dy: int) -> Any:
        """Sum magnitudes of products that reach the kernel's middle element."""
        H, W, total = get_int(block, CHECK.H), get_int(block, CHECK.W), 0.0
        above = get_int(block, CHECK.R) // 2 - get_int(block, CHECK.top)
        before = get_int(block, CHECK.S) // 2 - get_int(block, CHECK.left)
        for n in range(get_int(block, CHECK.N)):
            for p in range(max(0, -above), min(get_int(block, CHECK.P), H - above)):
                row = dy + n * get_int(block, CHECK.y_image) + p * get_int(block, CHECK.y_row)
                seen = x + n * get_int(block, CHECK.x_image)
                seen += (p + above) * get_int(block, CHECK.x_row)
                for q in range(max(0, -before), min(get_int(block, CHECK.Q), W - before)):
                    total += abs(get(row, q)) * abs(get(seen, q + before))
        return total

    return met
