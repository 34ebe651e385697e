"""Whether a kernel's gradient can be trusted: norms of the operands' channels, as `npconv.trust`.

The norms are found channel by channel, and then held against what one element of the
gradient is a sum of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

from npconv.compiled.blocks import FIRST, FLAGS, SCRATCH, SECOND
from npconv.compiled.kernels.lanes import Lanes
from npconv.compiled.kernels.loops import repeated
from npconv.compiled.kernels.memory import (
    I64,
    KINDS,
    emitted,
    get_int,
    getter,
    setter,
    store_shared,
)
from npconv.compiled.registers import ITEMSIZES
from npconv.compiled.winograd_words import CHECK

# A little less than what `npconv.trust` allows: the rest is for roundings of these sums.
ALLOWED = 7.6
TOGETHER = 4  # sums that are formed side by side: one alone waits for itself


def products(lanes: Lanes, dtype: str) -> Any:
    """Make ``(x, y, count)``, the sum of so many products of magnitudes."""

    def emit(builder: Any, x: Any, y: Any, count: Any) -> Any:
        def term(held: Any, at: Any, mask: Any = None) -> Any:
            offset = builder.mul(at, I64(lanes.itemsize))
            pair = [
                lanes.load(builder, of, offset)
                if mask is None
                else lanes.load_some(builder, mask, of, offset)
                for of in (x, y)
            ]
            a, b = (lanes.magnitude(builder, value) for value in pair)
            return lanes.fma(builder, a, b, held)

        many = lanes.count * TOGETHER
        whole = builder.and_(count, I64(-many))

        def some(step: Any, held: list[Any]) -> list[Any]:
            at = builder.mul(step, I64(many))
            places = [builder.add(at, I64(i * lanes.count)) for i in range(TOGETHER)]
            return [term(*pair) for pair in zip(held, places, strict=True)]

        def rest(step: Any, held: list[Any]) -> list[Any]:
            at = builder.add(whole, builder.mul(step, I64(lanes.count)))
            return [term(held[0], at, lanes.first(builder, builder.sub(count, at)))]

        sums = repeated(builder, builder.sdiv(whole, I64(many)), [lanes.zero] * TOGETHER, some)
        left = builder.add(builder.sub(count, whole), I64(lanes.count - 1))
        total = repeated(builder, builder.sdiv(left, I64(lanes.count)), sums[:1], rest)[0]
        for other in sums[1:]:
            total = builder.fadd(total, other)
        return lanes.total(builder, total)

    return emitted(emit, 3, KINDS[dtype][0])


def norms(dtype: str) -> Callable[..., None]:
    """Make the sums of squares of one channel, first of the inputs, then of the gradients."""
    add, put, item = products(Lanes(dtype), dtype), setter("float64"), ITEMSIZES[dtype]

    @njit
    def norm(x: int, N: int, of_image: int, rows: int, of_row: int, width: int) -> Any:
        total = 0.0
        for n in range(N):
            image = x + n * of_image
            if width * item == of_row:
                total += add(image, image, rows * width)
            else:
                for h in range(rows):
                    total += add(image + h * of_row, image + h * of_row, width)
        return total

    @njit
    def of_channel(block: int, number: int) -> Any:
        C, N = get_int(block, CHECK.C), get_int(block, CHECK.N)
        channels = C + get_int(block, CHECK.K)
        g, c = number // channels, number % channels
        if c < C:
            left, first = get_int(block, CHECK.first_column), get_int(block, CHECK.first_row)
            of_row = get_int(block, CHECK.x_row)
            x = get_int(block, FIRST) + get_int(block, CHECK.x_at) + first * of_row + left * item
            x += g * get_int(block, CHECK.x_group) + c * get_int(block, CHECK.x_channel)
            rows, width = (
                get_int(block, CHECK.stop_row) - first,
                get_int(block, CHECK.stop_column) - left,
            )
            return norm(x, N, get_int(block, CHECK.x_image), rows, of_row, width)
        y = get_int(block, SECOND) + get_int(block, CHECK.y_at)
        y += g * get_int(block, CHECK.y_group) + (c - C) * get_int(block, CHECK.y_channel)
        rows, width = get_int(block, CHECK.P), get_int(block, CHECK.Q)
        of_row = get_int(block, CHECK.y_row)
        return norm(y, N, get_int(block, CHECK.y_image), rows, of_row, width)

    def channels_of(block: int, part: int, worker: int) -> None:
        if not get_int(block, FLAGS):
            return
        each, to = get_int(block, CHECK.channels), get_int(block, CHECK.norms)
        count = get_int(block, CHECK.G) * (get_int(block, CHECK.C) + get_int(block, CHECK.K))
        for number in range(part * each, min((part + 1) * each, count)):
            put(get_int(block, SCRATCH) + to, number, of_channel(block, number))

    return channels_of


_get = getter("float64")


@njit
def _most(norms: int, count: int) -> Any:
    """Find the largest norm, NaN above all."""
    best, where = 0.0, 0
    for c in range(count):
        total = _get(norms, c)
        if not total <= best:
            best, where = total, c
    return where, best


def gradient(dtype: str) -> Callable[..., None]:
    """Make the check of one group, behind `norms`."""
    met = _met(dtype)

    def check(block: int, part: int, worker: int) -> None:
        """Compare the largest norms with what one element holds."""
        flags = get_int(block, FLAGS)
        if not flags:
            return
        C, K = get_int(block, CHECK.C), get_int(block, CHECK.K)
        of = get_int(block, SCRATCH) + get_int(block, CHECK.norms) + 8 * part * (C + K)
        c, of_x = _most(of, C)
        k, of_dy = _most(of + 8 * C, K)
        x, dy = get_int(block, FIRST), get_int(block, SECOND)
        x += get_int(block, CHECK.x_at) + part * get_int(block, CHECK.x_group)
        dy += get_int(block, CHECK.y_at) + part * get_int(block, CHECK.y_group)
        x += c * get_int(block, CHECK.x_channel)
        dy += k * get_int(block, CHECK.y_channel)
        held = met(block, x, dy) * ALLOWED
        if not of_x * of_dy <= held * held:
            store_shared(flags, 0, 1)

    return check


def _met(dtype: str) -> Any:
    add, item = products(Lanes(dtype), dtype), ITEMSIZES[dtype]

    @njit
    def met(block: int, x: int, dy: int) -> Any:
        """Sum magnitudes of products that reach the kernel's middle element."""
        H, W, total = get_int(block, CHECK.H), get_int(block, CHECK.W), 0.0
        above = get_int(block, CHECK.R) // 2 - get_int(block, CHECK.top)
        before = get_int(block, CHECK.S) // 2 - get_int(block, CHECK.left)
        first, stop = max(0, -before), min(get_int(block, CHECK.Q), W - before)
        for n in range(get_int(block, CHECK.N)):
            for p in range(max(0, -above), min(get_int(block, CHECK.P), H - above)):
                row = dy + n * get_int(block, CHECK.y_image) + p * get_int(block, CHECK.y_row)
                seen = x + n * get_int(block, CHECK.x_image)
                seen += (p + above) * get_int(block, CHECK.x_row)
                if first < stop:
                    total += add(row + first * item, seen + (first + before) * item, stop - first)
        return total

    return met
