"""How parameters begin: their dtype, their generator, and Kaiming He's normal."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from npconv.errors import DTypeError
from npconv.numbers import DType, as_dtype
from npconv.options import whole_number
from npconv.problem import Array


def kaiming_normal(
    shape: tuple[int, ...], fan_in: int, dtype: DType, rng: np.random.Generator
) -> Array:
    """Draw weights that keep the scale of activations through ReLU layers.

    Normal with standard deviation ``sqrt(2 / fan_in)``; drawn in float64 and rounded, so
    that one seed gives the same weights in every dtype.

    References
    ----------
    He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", 2015, equation 10.
    """
    return (rng.standard_normal(shape) * math.sqrt(2 / fan_in)).astype(dtype)


def layer_dtype(dtype: DTypeLike) -> DType:
    """Check the dtype of a layer: a float type."""
    result = as_dtype(dtype)
    if result.kind != "f":
        raise DTypeError(f"dtype of a layer must be a float type, but dtype={result}")
    return result


def as_generator(rng: Any) -> np.random.Generator:
    """Return the Generator to draw from: the given one, or a new one from a seed or None."""
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is not None:
        rng = whole_number("rng", rng, at_least=0)
    return np.random.default_rng(rng)
