"""Whether a kernel's gradient can be trusted: norms of the operands' channels, as `npconv.trust`.

Squares are summed channel by channel while operands are transformed; here norms are held
against what one element of the gradient is a sum of.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, sqrt
from typing import Any

from numba import njit

from npconv.compiled.blocks import FIRST, FLAGS, SCRATCH, SECOND
from npconv.compiled.kernels.lanes import Lanes
from npconv.compiled.kernels.loops import repeated
from npconv.compiled.kernels.memory import I64, KINDS, emitted, get_int, getter, store_shared
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


_get = getter("float64")


@njit
def _norm(block: int, group: int, r: int, number: int) -> Any:
    """Add up what the streams have summed, in their order, for one number of a range."""
    streams, ranges = get_int(block, CHECK.streams), get_int(block, CHECK.ranges)
    norms = get_int(block, SCRATCH) + get_int(block, CHECK.norms)
    total = 0.0
    for s in range(streams):
        part = (group * streams + s) * ranges + r
        total += _get(norms, part * get_int(block, CHECK.of_part) + number)
    return total


@njit
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
    met = _met(dtype)

    def check(block: int, part: int, worker: int) -> None:
        """Compare the largest norms with what one element holds."""
        flags = get_int(block, FLAGS)
        if not flags:
            return
        c, of_x = _most(block, part, 1, get_int(block, CHECK.C))
        k, of_dy = _most(block, part, 0, get_int(block, CHECK.K))
        x, dy = get_int(block, FIRST), get_int(block, SECOND)
        x += get_int(block, CHECK.x_at) + part * get_int(block, CHECK.x_group)
        dy += get_int(block, CHECK.y_at) + part * get_int(block, CHECK.y_group)
        x += c * get_int(block, CHECK.x_channel)
        dy += k * get_int(block, CHECK.y_channel)
        needed = sqrt(of_x * of_dy) / ALLOWED
        if not needed < inf or not met(block, x, dy, needed):
            store_shared(flags, 0, 1)

    return check


def _met(dtype: str) -> Any:
    add, item = products(Lanes(dtype), dtype), ITEMSIZES[dtype]

    @njit
    def met(block: int, x: int, dy: int, needed: float) -> Any:
        """Say whether products that reach the kernel's middle element are as much as needed.

        Their magnitudes; mostly some images have enough of them.
        """
        H, W, total = get_int(block, CHECK.H), get_int(block, CHECK.W), 0.0
        above = get_int(block, CHECK.R) // 2 - get_int(block, CHECK.top)
        before = get_int(block, CHECK.S) // 2 - get_int(block, CHECK.left)
        first, stop = max(0, -before), min(get_int(block, CHECK.Q), W - before)
        for n in range(get_int(block, CHECK.N)):
            if needed <= total:
                return True
            for p in range(max(0, -above), min(get_int(block, CHECK.P), H - above)):
                row = dy + n * get_int(block, CHECK.y_image) + p * get_int(block, CHECK.y_row)
                seen = x + n * get_int(block, CHECK.x_image)
                seen += (p + above) * get_int(block, CHECK.x_row)
                if first < stop:
                    total += add(row + first * item, seen + (first + before) * item, stop - first)
        return needed <= total

    return met
