"""Every dtype: numbers whose sums are exact in it, and what should come out."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt
from typing import Any

import ml_dtypes
import numpy as np

from oracle import Array, Shape

# What is drawn, and the dtype of its results.
RESULTS = {
    "bool": "int64",
    "int8": "int64",
    "int16": "int64",
    "int32": "int64",
    "int64": "int64",
    "uint8": "int64",
    "uint16": "int64",
    "uint32": "int64",
    "uint64": "int64",
    "object": "object",
    "fraction": "object",
    "float16": "float16",
    "bfloat16": "bfloat16",
    "float32": "float32",
    "float64": "float64",
    "complex64": "complex64",
    "complex128": "complex128",
}
# Sums are formed in float32, and rounded once.
HALVES = ("float16", "bfloat16")


def dtype_of(name: str) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, name, "object" if name == "fraction" else name))


def exact_numbers(rng: np.random.Generator, name: str, shape: Shape, terms: int) -> Array:
    """Numbers so small that sums of so many products are exact in their accumulator."""
    small, dtype = rng.integers(-4, 5, shape), dtype_of(name)
    if name == "bool":
        return small > 0
    if name == "object":
        return rng.integers(-(10**6), 10**6, shape).astype(object) * 10**30
    if name == "fraction":
        denominators = rng.integers(1, 9, shape)
        pairs = zip(small.ravel().tolist(), denominators.ravel().tolist(), strict=True)
        fractions = np.empty(small.size, object)
        fractions[:] = [Fraction(*pair) for pair in pairs]
        return fractions.reshape(shape)
    if dtype.kind == "c":
        return (small + 1j * rng.integers(-4, 5, shape)).astype(dtype)
    if name in ("int64", "uint64"):  # too large for one exact float product
        most = isqrt(2**62 // max(terms, 1))
        return rng.integers(0 if name[0] == "u" else -most, most, shape).astype(dtype)
    return (abs(small) if dtype.kind == "u" else small).astype(dtype)


def normal_numbers(rng: np.random.Generator, dtype: Any, shape: Shape) -> Array:
    numbers = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        return (numbers + 1j * rng.standard_normal(shape)).astype(dtype)
    return numbers.astype(dtype)


def widened(array: Array) -> Array:
    """Floats and complex numbers in Python's precision, which the oracle computes in."""
    if array.dtype.kind == "c":
        return array.astype(np.complex128)
    return array.astype(np.float64) if array.dtype.kind in "fV" else array
