"""Whether a result can be trusted, by a sufficient condition that costs little.

`npconv.trust` says what is to be shown. Here strays are bounded more coarsely, for all output
channels at once; where that is not enough, FLAGS says so, and Python looks closely.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

from npconv.compiled.blocks import FIRST, FLAGS
from npconv.compiled.kernels import winograd_norms
from npconv.compiled.kernels.lanes import Lanes
from npconv.compiled.kernels.loops import repeated
from npconv.compiled.kernels.memory import I64, KINDS, emitted, get_int, getter, store_shared
from npconv.compiled.registers import ITEMSIZES
from npconv.compiled.winograd_words import CHECK

# A little less than what `npconv.trust` allows: the rest is for roundings of these sums.
ALLOWED = 1.9
ROWS = 4  # of pixels whose sums are formed together: one sum alone waits for itself


def make(what: str, dtype: str) -> Callable[..., None]:
    """Make the check of an ``image``, the ``norms`` of operands, or a ``gradient``'s check."""
    if what == "image":
        return _image(dtype)
    return winograd_norms.norms(dtype) if what == "norms" else winograd_norms.gradient(dtype)


def weighted(lanes: Lanes, dtype: str) -> Any:
    """Make ``(x, of_row, rows, of_channel, weights, channels, count)``, the largest sum.

    Pixel by pixel, of up to `ROWS` rows of ``count`` each, over the channels: of magnitudes
    times weights.
    """

    def emit(
        builder: Any, x: Any, of_row: Any, rows: Any,
        of_channel: Any, weights: Any, channels: Any, count: Any,
    ) -> Any:  # fmt: skip
        masks, places = [], []
        for i in range(ROWS):
            there = builder.icmp_signed("<", I64(i), rows)
            masks.append(lanes.first(builder, builder.select(there, count, I64(0))))
            places.append(builder.add(x, builder.mul(of_row, I64(i))))

        def add(step: Any, held: list[Any]) -> list[Any]:
            weight = lanes.load_number(builder, weights, builder.mul(step, I64(lanes.itemsize)))
            offset = builder.mul(step, of_channel)
            new = []
            for mask, place, total in zip(masks, places, held, strict=True):
                pixels = lanes.magnitude(builder, lanes.load_some(builder, mask, place, offset))
                new.append(lanes.fma(builder, pixels, weight, total))
            return new

        first, *others = repeated(builder, channels, [lanes.zero] * ROWS, add)
        for other in others:
            first = lanes.larger(builder, other, first)
        return lanes.largest(builder, first)

    return emitted(emit, 7, KINDS[dtype][0])


def _image(dtype: str) -> Callable[..., None]:
    frame, held = _frame(dtype), _held(dtype)

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
        x = get_int(block, FIRST) + get_int(block, CHECK.x_at)
        x += part // groups * get_int(block, CHECK.x_image)
        x += part % groups * get_int(block, CHECK.x_group)
        seen = get_int(block, get_int(block, CHECK.seen_in)) + get_int(block, CHECK.seen)
        seen += part % groups * get_int(block, CHECK.seen_group)
        if not held(block, x, seen, frame(block, x, seen, first, stop) / ALLOWED):
            store_shared(flags, part // groups, 1)

    return image


def _frame(dtype: str) -> Any:
    lanes = Lanes(dtype)
    sums, count, item = weighted(lanes, dtype), lanes.count, ITEMSIZES[dtype]

    @njit
    def across(block: int, row: int, rows: int, seen: int, first: int, stop: int) -> Any:
        """Find the largest sum of some rows, from one column to another."""
        of_channel, C = get_int(block, CHECK.x_channel), get_int(block, CHECK.C)
        of_row, largest = get_int(block, CHECK.x_row), 0.0
        for j in range(first, stop, count):
            some = min(count, stop - j)
            one = sums(row + j * item, of_row, rows, of_channel, seen, C, some)
            largest = max(largest, one)
        return largest

    @njit
    def frame(block: int, x: int, seen: int, first_row: int, stop_row: int) -> Any:
        """Bound what strays meet: elements that do not meet the whole kernel."""
        first, stop = get_int(block, CHECK.first_column), get_int(block, CHECK.stop_column)
        inner, outer = get_int(block, CHECK.inner_column), get_int(block, CHECK.outer_column)
        above, below = get_int(block, CHECK.inner_row), get_int(block, CHECK.outer_row)
        largest, h = 0.0, first_row
        while h < stop_row:
            inside = above <= h < below
            end = below if inside else above if h < above else stop_row
            rows, row = min(ROWS, end - h, stop_row - h), x + h * get_int(block, CHECK.x_row)
            if inside:
                left = across(block, row, rows, seen, first, inner)
                largest = max(largest, left, across(block, row, rows, seen, outer, stop))
            else:
                largest = max(largest, across(block, row, rows, seen, first, stop))
            h += rows
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
