"""Data that pushes against error bounds, and the largest error seen on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import npconv
from checks import largest
from oracle import Array
from tolerance import unit_roundoff


def wide(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    values: Array = np.exp(rng.uniform(-12, 12, shape)) * rng.choice([-1, 1], shape)
    return values


def alternating(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    values: Array = (-1.0) ** np.indices(shape).sum(0) * rng.random(shape)
    return values


DATA: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "uniform": lambda rng, shape: rng.random(shape),
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "wide": wide,
    "alternating": alternating,
    "signs": lambda rng, shape: rng.choice([-1, 1], shape) * rng.uniform(0.9, 1.1, shape),
    "sparse": lambda rng, shape: (rng.random(shape) < 0.2) * rng.standard_normal(shape),
    "repeated": lambda rng, shape: np.broadcast_to(rng.standard_normal(shape[2:]), shape),
    "constant": lambda rng, shape: np.full(shape, rng.random()),
    "near overflow": lambda rng, shape: rng.standard_normal(shape) * 2.0**58,
}


def run(
    direction: str, x: Any, w: Any, first: Array, second: Array, options: dict[str, Any]
) -> Array:
    """Call the function of a direction."""
    if direction == "forward":
        return npconv.conv(first, second, **options)
    if direction == "input_grad":
        return npconv.conv_input_grad(first, second, x, **options)
    return npconv.conv_kernel_grad(first, second, w, **options)


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

    That is a round-off of ``dtype`` times the largest sum of ``|products|`` of the image.
    Sums in a wider dtype, by direct summation, stand for exact ones.
    """
    y, worst = npconv.conv_output_shape(x, w, **options), 0.0
    shapes = {"forward": (x, w), "input_grad": (y, w), "kernel_grad": (y, x)}[direction]
    forced, direct = {**options, "algorithm": algorithm}, {**options, "algorithm": "im2col"}
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        first, second = (DATA[kind](rng, shape).astype(dtype) for shape in shapes)
        exact = first.astype(float), second.astype(float)
        right = run(direction, x, w, *exact, direct)
        size = run(direction, x, w, abs(exact[0]), abs(exact[1]), direct)
        error = abs(run(direction, x, w, first, second, forced) - right)
        size = largest(size, None if direction == "kernel_grad" else 0)
        worst = max(worst, np.max(error / size) / unit_roundoff(np.dtype(dtype)))
    return worst
