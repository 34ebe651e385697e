"""Whether a kernel's gradient can be trusted: norms of the operands' channels, as `npconv.trust`.

Squares are summed channel by channel while operands are transformed; here norms are held
against what one element of the gradient is a sum of.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, sqrt
from typing import Any

from npconv.compiled.blocks import FIRST, FLAGS, SCRATCH, SECOND
from npconv.compiled.front_end import helper
from npconv.compiled.kernels.lanes import Lanes
from npconv.compiled.kernels.loops import TOGETHER, repeated
from npconv.compiled.kernels.memory import (
    I64,
    KINDS,
    emitted,
    get_int,
    getter,
    setter,
    store_shared,
)
from npconv.compiled.winograd_words import CHECK

# A little less than what `npconv.trust` allows: the rest is for roundings of these sums.
ALLOWED = 7.6
# What a sum of squares counts as at least: of smaller ones, squares may have underflowed.
LEAST = {"float32": 2.0**-90, "float64": 2.0**-900}


def products(lanes: Lanes, dtype: str) -> Any:
    """Make ``(x, of_x, y, of_y, count)``, the sum of so many products of magnitudes.

    They are so many bytes apart.
    """

    def emit(builder: Any, x: Any, of_x: Any, y: Any, of_y: Any, count: Any) -> Any:
        vector = I64(lanes.count)

        def term(held: Any, at: Any, stop: Any = vector) -> Any:
            pair = [
                lanes.load_row(builder, of, builder.mul(at, apart), apart, stop)
                for of, apart in ((x, of_x), (y, of_y))
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
            return [term(held[0], at, builder.sub(count, at))]

        sums = repeated(builder, builder.sdiv(whole, I64(many)), [lanes.zero] * TOGETHER, some)
        left = builder.add(builder.sub(count, whole), I64(lanes.count - 1))
        total = repeated(builder, builder.sdiv(left, I64(lanes.count)), sums[:1], rest)[0]
        for other in sums[1:]:
            total = builder.fadd(total, other)
        return lanes.total(builder, total)

    return emitted(emit, 5, KINDS[dtype][0])


_get, _put = getter("float64"), setter("float64")


@helper
def _norm(block: int, group: int, r: int, number: int) -> Any:
    """Add up what the streams have summed, in their order, for one number of a range."""
    streams, ranges = get_int(block, CHECK.streams), get_int(block, CHECK.ranges)
    norms = get_int(block, SCRATCH) + get_int(block, CHECK.norms)
    total = 0.0
    for s in range(streams):
        part = (group * streams + s) * ranges + r
        total += _get(norms, part * get_int(block, CHECK.of_part) + number)
    return total


@helper
def _most(block: int, group: int, inputs: int, count: int) -> Any:
    """Find the largest norm of all inputs or outputs, NaN above all."""
    best, where = 0.0, 0
    of_range, behind = get_int(block, CHECK.of_range), get_int(block, CHECK.of_inputs)
    for c in range(count):
        if inputs:  # which every range has
            total = _norm(block, group, 0, c)
        else:
            total = _norm(block, group, c // of_range, behind + c % of_range)
        if not total <= best:
            best, where = total, c
    return where, best


def gradient(dtype: str) -> Callable[..., None]:
    """Make the check of one group, behind the sums of squares of `winograd_watch`."""
    met, closer, least = _met_somewhere(dtype), _closer(dtype), LEAST[dtype]

    def check(block: int, part: int, worker: int) -> None:
        """Compare the largest norms with what one element holds; those of images, if need be."""
        flags = get_int(block, FLAGS)
        if not flags:
            return
        c, of_x = _most(block, part, 1, get_int(block, CHECK.C))
        k, of_dy = _most(block, part, 0, get_int(block, CHECK.K))
        x, dy = get_int(block, FIRST), get_int(block, SECOND)
        x += get_int(block, CHECK.x_at) + part * get_int(block, CHECK.x_group)
        dy += get_int(block, CHECK.y_at) + part * get_int(block, CHECK.y_group)
        of_x = least if of_x < least else of_x
        of_dy = least if of_dy < least else of_dy
        needed = sqrt(of_x) * sqrt(of_dy)
        held = needed < inf and met(block, x, dy, c, k, needed)
        if needed < inf and not held and get_int(block, CHECK.closer):
            c, k, needed = closer(block, part, x, dy)
            held = needed < inf and met(block, x, dy, c, k, needed)
        if not held:
            store_shared(flags, 0, 1)

    return check


def _closer(dtype: str) -> Any:
    add, least = products(Lanes(dtype), dtype), LEAST[dtype]

    @helper
    def norm(row: int, rows: int, of_row: int, of_pixel: int, width: int) -> Any:
        total = 0.0
        for _ in range(rows):
            total += add(row, of_pixel, row, of_pixel, width)
            row += of_row
        return sqrt(least if total < least else total)

    @helper
    def closer(block: int, group: int, x: int, dy: int) -> Any:
        """Find the channels that images' products of norms add up to most for, and how much.

        By the inequality of Cauchy and Schwarz that is no more than the product of norms over
        all images, and much less where an image has what another one has not.
        """
        C, K = get_int(block, CHECK.C), get_int(block, CHECK.K)
        sums = get_int(block, SCRATCH) + get_int(block, CHECK.closer)
        sums += group * 8 * (C * K + C)
        of_x, y_row = sums + 8 * C * K, get_int(block, CHECK.y_row)
        h, x_row = get_int(block, CHECK.first_row), get_int(block, CHECK.x_row)
        rows, left = get_int(block, CHECK.stop_row) - h, get_int(block, CHECK.first_column)
        width = get_int(block, CHECK.stop_column) - left
        x_pixel, y_pixel = get_int(block, CHECK.x_pixel), get_int(block, CHECK.y_pixel)
        for i in range(C * K):
            _put(sums, i, 0.0)
        for n in range(get_int(block, CHECK.N)):
            here = x + n * get_int(block, CHECK.x_image) + h * x_row + left * x_pixel
            there = dy + n * get_int(block, CHECK.y_image)
            for c in range(C):
                channel = here + c * get_int(block, CHECK.x_channel)
                _put(of_x, c, norm(channel, rows, x_row, x_pixel, width))
            for k in range(K):
                row = there + k * get_int(block, CHECK.y_channel)
                P, Q = get_int(block, CHECK.P), get_int(block, CHECK.Q)
                of_dy = norm(row, P, y_row, y_pixel, Q)
                for c in range(C):
                    _put(sums, k * C + c, _get(sums, k * C + c) + of_dy * _get(of_x, c))
        most, where = 0.0, 0
        for i in range(C * K):
            if not _get(sums, i) <= most:
                most, where = _get(sums, i), i
        return where % max(C, 1), where // max(C, 1), most

    return closer


def _met_somewhere(dtype: str) -> Any:
    met = _met(dtype)

    @helper
    def somewhere(block: int, x: int, dy: int, c: int, k: int, most: float) -> Any:
        """Say whether an element of the kernel holds enough: the middle one is asked first."""
        x += c * get_int(block, CHECK.x_channel)
        dy += k * get_int(block, CHECK.y_channel)
        taps = get_int(block, CHECK.R) * get_int(block, CHECK.S)
        held, i = False, 0
        while i < taps and not held:
            held = met(block, x, dy, (i + taps // 2) % taps, most / ALLOWED)
            i += 1
        return held

    return somewhere


def _met(dtype: str) -> Any:
    add = products(Lanes(dtype), dtype)

    @helper
    def met(block: int, x: int, dy: int, tap: int, needed: float) -> Any:
        """Say whether products that reach an element of the kernel are as much as needed.

        Their magnitudes; mostly some images have enough of them.
        """
        H, W, total = get_int(block, CHECK.H), get_int(block, CHECK.W), 0.0
        above = tap // get_int(block, CHECK.S) - get_int(block, CHECK.top)
        before = tap % get_int(block, CHECK.S) - get_int(block, CHECK.left)
        first, stop = max(0, -before), min(get_int(block, CHECK.Q), W - before)
        x_pixel, y_pixel = get_int(block, CHECK.x_pixel), get_int(block, CHECK.y_pixel)
        for n in range(get_int(block, CHECK.N)):
            if needed <= total:
                return True
            for p in range(max(0, -above), min(get_int(block, CHECK.P), H - above)):
                row = dy + n * get_int(block, CHECK.y_image) + p * get_int(block, CHECK.y_row)
                seen = x + n * get_int(block, CHECK.x_image)
                seen += (p + above) * get_int(block, CHECK.x_row)
                if first < stop:
                    at_x, at_y = seen + (first + before) * x_pixel, row + first * y_pixel
                    total += add(at_y, y_pixel, at_x, x_pixel, stop - first)
        return needed <= total

    return met
