"""Batch normalisation, a channel at a time: its statistics, then all of its numbers.

What a channel holds is read twice, the second time from the cache where it fits there. Sums
are float64. A variance is the sum of squares of what is left when some number close to the
mean is taken away, so that little cancels (Chan, Golub and LeVeque, "Algorithms for Computing
the Sample Variance", 1983): the channel's first, whose distance from the mean is at most
``sqrt(n)`` deviations; of float64, in a second reading, the mean found by the first.

With a rectifier behind it, outputs below 0 become 0 on their way. Going back, an output is
formed again to see whether it was.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan, sqrt
from typing import Any

import numpy as np
from numba import types

from npconv.compiled.batch_norm import BIAS, INVERSE, MEAN, SUM, VARIANCE, WEIGHT
from npconv.compiled.blocks import CALL_WORDS, FIRST, OUT, SCRATCH, SECOND
from npconv.compiled.front_end import helper
from npconv.compiled.kernels.channels import Rows, each_vector, summing, widened
from npconv.compiled.kernels.memory import KINDS, emitted, get_int, getter, setter
from npconv.compiled.kernels.row_vectors import RowVectors
from npconv.compiled.registers import ITEMSIZES

# Strides are of the input, the output's gradient, and the output or the input's gradient. Then
# whether statistics are to be formed, with what epsilon (a float64), and whether a rectifier
# follows.
(IMAGES, CHANNELS, SIZE, X_N, X_C, DY_N, DY_C, Y_N, Y_C, FORMS, EPS, RECTIFIES) = range(
    CALL_WORDS, CALL_WORDS + 12
)

get_double, put_double = getter("float64"), setter("float64")


def make(what: str, dtype: str) -> Callable[..., None]:
    """Make ``forward`` or ``backward``."""
    return _forward(dtype) if what == "forward" else _backward(dtype)


def _forward(dtype: str) -> Callable[..., None]:
    item, first, twice = ITEMSIZES[dtype], getter(dtype), dtype == "float64"
    moments, normalise, number = _moments(dtype), _normalise(dtype), _number(dtype)

    def form(block: int, c: int, x: int) -> None:
        """Find mean, variance, and one over the deviation."""
        C, images, size = get_int(block, CHANNELS), get_int(block, IMAGES), get_int(block, SIZE)
        rows, apart = get_int(block, SCRATCH), item * get_int(block, X_N)
        count, shift = images * size, float(first(x, 0))
        if not -inf < shift < inf:
            shift = 0.0
        sums = rows + 8 * (SUM * C + 2 * c)
        moments(images, size, sums, x, apart, number(shift))
        mean = shift + get_double(sums, 0) / count
        if twice and -inf < mean < inf:
            shift = mean
            moments(images, size, sums, x, apart, number(shift))
            mean = shift + get_double(sums, 0) / count
        off = get_double(sums, 0) / count
        variance = get_double(sums, 1) / count - off * off
        if variance < 0:
            variance = 0.0
        put_double(rows, MEAN * C + c, mean)
        put_double(rows, VARIANCE * C + c, variance)
        put_double(rows, INVERSE * C + c, 1 / sqrt(variance + get_double(block, EPS)))

    form_statistics: Any = helper(form)

    def kernel(block: int, part: int, worker: int) -> None:
        rows, c, C = get_int(block, SCRATCH), part, get_int(block, CHANNELS)
        images, size = get_int(block, IMAGES), get_int(block, SIZE)
        x = get_int(block, FIRST) + item * c * get_int(block, X_C)
        y = get_int(block, OUT) + item * c * get_int(block, Y_C)
        x_apart, y_apart = item * get_int(block, X_N), item * get_int(block, Y_N)
        if get_int(block, FORMS):
            form_statistics(block, c, x)
        normalise(
            images, size, x, x_apart, y, y_apart,
            number(get_double(rows, MEAN * C + c)),
            number(get_double(rows, INVERSE * C + c)),
            number(get_double(rows, WEIGHT * C + c)),
            number(get_double(rows, BIAS * C + c)),
            number(0.0 if get_int(block, RECTIFIES) else nan),
        )  # fmt: skip

    return kernel


def _backward(dtype: str) -> Callable[..., None]:
    item, products, spread = ITEMSIZES[dtype], _products(dtype), _spread(dtype)
    number = _number(dtype)

    def kernel(block: int, part: int, worker: int) -> None:
        rows, c, C = get_int(block, SCRATCH), part, get_int(block, CHANNELS)
        images, size = get_int(block, IMAGES), get_int(block, SIZE)
        x = get_int(block, FIRST) + item * c * get_int(block, X_C)
        dy = get_int(block, SECOND) + item * c * get_int(block, DY_C)
        dx = get_int(block, OUT) + item * c * get_int(block, Y_C)
        x_apart, dy_apart = item * get_int(block, X_N), item * get_int(block, DY_N)
        mean = number(get_double(rows, MEAN * C + c))
        inverse = number(get_double(rows, INVERSE * C + c))
        weight = number(get_double(rows, WEIGHT * C + c))
        bias = number(get_double(rows, BIAS * C + c))
        least = number(0.0 if get_int(block, RECTIFIES) else nan)
        sums, count = rows + 8 * (SUM * C + 2 * c), images * size
        products(images, size, sums, x, x_apart, dy, dy_apart, mean, inverse, weight, bias, least)
        total = get_double(sums, 1) * inverse
        put_double(sums, 1, total)
        spread(
            images, size, x, x_apart, dy, dy_apart, dx, item * get_int(block, Y_N),
            mean, inverse, weight, bias, least,
            number(get_double(sums, 0) / count), number(total / count),
        )  # fmt: skip

    return kernel


def _number(dtype: str) -> Any:
    return np.float32 if dtype == "float32" else np.float64


def _arguments(dtype: str, integers: int, numbers: int) -> list[Any]:
    return [types.int64] * integers + [KINDS[dtype][0]] * numbers


# ---- what is written in vectors -------------------------------------------------------------


def _moments(dtype: str) -> Any:
    """Make ``(..., x, apart, shift)``: sums of what is above the shift, and of its squares."""
    V = RowVectors(dtype)

    def addends(b: Any, place: Any, mask: Any, x: Any, apart: Any, shift: Any) -> list[Any]:
        near = V.broadcast(b, shift)
        numbers = widened(b, V, Rows(b, V, x, apart).load(place, mask, near))
        off = [b.fsub(each, widened(b, V, near)[0]) for each in numbers]
        return [off, [b.fmul(each, each) for each in off]]

    return summing(dtype, 2, addends, _arguments(dtype, 2, 1))


def _normalise(dtype: str) -> Any:
    """Make the function that writes outputs, none of them below the last argument."""
    V = RowVectors(dtype)

    def emit(b: Any, images: Any, size: Any, *given: Any) -> None:
        x, y = (Rows(b, V, *given[i : i + 2]) for i in (0, 2))
        numbers = [V.broadcast(b, each) for each in given[4:]]

        def body(place: Any, mask: Any, _: int) -> None:
            _, out = _output(b, V, x.load(place, mask, numbers[0]), numbers)
            out = b.select(b.fcmp_ordered("<", out, numbers[-1]), numbers[-1], out)
            y.store(place, mask, out)

        each_vector(b, V, images, size, body)

    return emitted(emit, _arguments(dtype, 6, 5))


def _products(dtype: str) -> Any:
    """Make sums of the gradient, and of its products with what inputs are above the mean."""
    V = RowVectors(dtype)

    def addends(b: Any, place: Any, mask: Any, *given: Any) -> list[Any]:
        numbers = [V.broadcast(b, each) for each in given[4:]]
        x = Rows(b, V, *given[:2]).load(place, mask, numbers[0])
        dy = _gained(b, V, Rows(b, V, *given[2:4]).load(place, mask, V.zero), x, numbers)
        gains, means = widened(b, V, dy), widened(b, V, numbers[0])
        off = [b.fsub(each, mean) for each, mean in zip(widened(b, V, x), means, strict=True)]
        return [gains, [b.fmul(*pair) for pair in zip(gains, off, strict=True)]]

    return summing(dtype, 2, addends, _arguments(dtype, 4, 5))


def _spread(dtype: str) -> Any:
    """Make the function that writes the input's gradient.

    ``dx = weight / deviation * (dy - mean(dy) - x_hat * mean(dy * x_hat))``: the batch's own
    mean and variance move with x and take the last two parts away again.
    """
    V = RowVectors(dtype)

    def emit(b: Any, images: Any, size: Any, *given: Any) -> None:
        x, dy, dx = (Rows(b, V, *given[i : i + 2]) for i in (0, 2, 4))
        *numbers, mean_dy, mean_product = (V.broadcast(b, each) for each in given[6:])
        scale = b.fmul(numbers[1], numbers[2])

        def body(place: Any, mask: Any, _: int) -> None:
            here = x.load(place, mask, numbers[0])
            x_hat, _out = _output(b, V, here, numbers)
            gained = _gained(b, V, dy.load(place, mask, V.zero), here, numbers)
            rest = b.fsub(b.fsub(gained, mean_dy), b.fmul(x_hat, mean_product))
            dx.store(place, mask, b.fmul(rest, scale))

        each_vector(b, V, images, size, body)

    return emitted(emit, _arguments(dtype, 8, 7))


def _output(b: Any, V: RowVectors, x: Any, numbers: list[Any]) -> tuple[Any, Any]:
    """Form ``x_hat`` and the output before a rectifier."""
    mean, inverse, weight, bias, _ = numbers
    x_hat = b.fmul(b.fsub(x, mean), inverse)
    return x_hat, V.fma(b, x_hat, weight, bias)


def _gained(b: Any, V: RowVectors, dy: Any, x: Any, numbers: list[Any]) -> Any:
    """Let the gradient through where the output was above the least; everywhere if that is NaN."""
    _, out = _output(b, V, x, numbers)
    return b.select(b.fcmp_unordered(">", out, numbers[-1]), dy, V.zero)
