"""Data that pushes against error bounds, and the largest errors seen on it."""

from __future__ import annotations

from collections.abc import Callable
from math import log2
from typing import Any

import numpy as np

import npconv
from checks import largest
from dtypes import dtype_of
from npconv.algorithms import REGISTRY
from oracle import Array, Shape
from tolerance import finfo, unit_roundoff

Draw = Callable[[np.random.Generator, Shape], Array]


def wide(exponent: float) -> Draw:
    """Magnitudes over some orders, of both signs."""
    return lambda rng, shape: (
        np.exp(rng.uniform(-exponent, exponent, shape)) * rng.choice([-1, 1], shape)
    )


def alternating(rng: np.random.Generator, shape: Shape) -> Array:
    values: Array = (-1.0) ** np.indices(shape).sum(0) * rng.random(shape)
    return values


DATA: dict[str, Draw] = {
    "uniform": lambda rng, shape: rng.random(shape),
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "wide": wide(12),
    "alternating": alternating,
    "signs": lambda rng, shape: rng.choice([-1, 1], shape) * rng.uniform(0.9, 1.1, shape),
    "sparse": lambda rng, shape: (rng.random(shape) < 0.2) * rng.standard_normal(shape),
    "repeated": lambda rng, shape: np.broadcast_to(rng.standard_normal(shape[2:]), shape),
    "constant": lambda rng, shape: np.full(shape, rng.random()),
    "near overflow": lambda rng, shape: rng.standard_normal(shape) * 2.0**58,
}


def data_for(dtype: np.dtype[Any], terms: int) -> dict[str, Draw]:
    """The same for another dtype: as near to its overflow, as wide as its range allows."""
    room = log2(float(finfo(dtype).max)) - log2(max(terms, 1))
    scale = 2.0 ** (room / 2 - 4)  # standard normals reach 4 or 5, so products 2**4
    return {
        **DATA,
        "wide": wide(min(12.0, max(room, 3) / 6)),
        "near overflow": lambda rng, shape: rng.standard_normal(shape) * scale,
    }


def operands(draw: Draw, seed: int, dtype: np.dtype[Any], *shapes: Shape) -> list[Array]:
    """Draw both operands; for complex dtypes real and imaginary part."""
    rng = np.random.default_rng(seed)
    drawn = [draw(rng, shape) for shape in shapes]
    if dtype.kind == "c":
        drawn = [array + 1j * draw(rng, array.shape) for array in drawn]
    return [array.astype(dtype) for array in drawn]


def run(
    direction: str, x: Any, w: Any, first: Array, second: Array, options: dict[str, Any]
) -> Array:
    """Call the function of a direction."""
    if direction == "forward":
        return npconv.conv(first, second, **options)
    if direction == "input_grad":
        return npconv.conv_input_grad(first, second, x, **options)
    return npconv.conv_kernel_grad(first, second, w, **options)


def finer(dtype: np.dtype[Any]) -> Any:
    """A dtype whose sums stand for exact ones."""
    if dtype.kind == "c":
        return np.complex128 if dtype == np.complex64 else np.clongdouble
    return np.longdouble if dtype == np.float64 else np.float64


def largest_error(
    direction: str,
    x: Any,
    w: Any,
    kind: str,
    trials: int,
    *,
    algorithm: str,
    dtype: str = "float32",
    **options: Any,
) -> float:
    """Find the largest error over trials, in the unit of the stated bounds.

    That is a round-off of ``dtype`` times the sum of ``|products|``: of the element for direct
    summation, else the largest of the image.  Direct summation in a finer dtype stands for exact.
    """
    y, worst = npconv.conv_output_shape(x, w, **options), 0.0
    shapes = {"forward": (x, w), "input_grad": (y, w), "kernel_grad": (y, x)}[direction]
    numbers, forced, direct = (
        dtype_of(dtype),
        {**options, "algorithm": algorithm},
        {**options, "algorithm": "im2col"},
    )
    choice = npconv.plan_conv(x, w, direction=direction, **options).choice
    draw = data_for(numbers, choice.problem.terms(choice.direction))[kind]
    for trial in range(trials):
        first, second = operands(draw, trial, numbers, *shapes)
        a, b = (array.astype(finer(numbers)) for array in (first, second))
        right = run(direction, x, w, a, b, direct)
        size = run(direction, x, w, np.abs(a), np.abs(b), direct)
        error = np.abs(run(direction, x, w, first, second, forced).astype(right.dtype) - right)
        error = np.maximum(error - finfo(numbers).smallest_subnormal, 0)  # too small for bounds
        if not REGISTRY[algorithm].direct:
            size = largest(size, None if direction == "kernel_grad" else 0)
        ratios = error / np.where(size > 0, size, 1)  # where it is 0, the error must be
        worst = max(worst, float(ratios.max(initial=0)) / unit_roundoff(numbers))
    return worst
