"""The gate for arrays: what may come in, and what a caller's ``out`` must be."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from numbers import Rational  # Python's ints and Fractions, without importing fractions
from typing import Any

import numpy as np

from npconv.errors import DTypeError, ShapeError, UnsupportedError
from npconv.numbers import holds_numbers
from npconv.problem import Array

MOST_NESTING = 64  # NumPy's limit on axes
ELEMENTS = (np.ndarray, np.generic, int, float, complex, Rational)


def as_array(name: str, value: Any) -> Array:
    """Return an ndarray of numbers: ndarrays and nested sequences of numbers, nothing else.

    Raises
    ------
    DTypeError
        Masked arrays, other libraries' arrays, strings, None, ragged lists: what NumPy might
        convert, but not without losing or guessing something.
    """
    if type(value) is np.ndarray and value.dtype.kind in "buifc":
        return value  # as most are
    if is_masked(value):
        raise DTypeError(f"{name} must not be a masked array; fill it first, with {name}.filled()")
    if isinstance(value, np.ndarray):
        array: Array = np.asarray(value)
    elif isinstance(value, list | tuple):
        array = _from_sequence(name, value)
    elif isinstance(value, np.generic | int | float | complex):
        raise ShapeError(f"{name} must be an array with axes, but it is the number {value!r}")
    else:
        raise DTypeError(
            f"{name} must be a NumPy array or a nested sequence of numbers, "
            f"but it is of type {type(value).__module__}.{type(value).__qualname__}"
        )
    if not holds_numbers(array.dtype):
        raise DTypeError(f"{name} must hold numbers, but its dtype is {array.dtype}")
    if array.dtype.hasobject:
        _check_objects(name, array)
    return array


def is_masked(value: Any) -> bool:
    """Whether it is a masked array; there is none before NumPy has imported what makes them.

    That takes longer than most calls, and NumPy leaves it until they are first named.
    """
    return "numpy.ma" in sys.modules and isinstance(value, np.ma.MaskedArray)


def _check_objects(name: str, array: Array) -> None:
    """Admit objects that compute exactly and cannot fail on the way, and no others."""
    for element in array.flat:
        # NumPy's own integers would wrap without a word.
        if not isinstance(element, Rational) or isinstance(element, np.generic):
            raise DTypeError(
                f"{name} is an array of objects, which must be Python ints or Fractions, but "
                f"there is a {type(element).__qualname__} in it"
            )


def _from_sequence(name: str, value: Sequence[Any]) -> Array:
    _check_elements(name, value, MOST_NESTING)
    try:
        return np.array(value)
    except (TypeError, ValueError) as error:
        raise DTypeError(f"{name} must be rectangular and made of numbers: {error}") from None


def _check_elements(name: str, value: Sequence[Any], levels: int) -> None:
    """Refuse what NumPy would convert without a word: masks, arrays of other libraries."""
    if not levels:
        raise DTypeError(f"{name} is nested more than {MOST_NESTING} levels deep, or in itself")
    for element in value:
        if isinstance(element, list | tuple):
            _check_elements(name, element, levels - 1)
        elif is_masked(element) or not isinstance(element, ELEMENTS):
            raise DTypeError(
                f"{name} must be made of numbers, but there is a {type(element).__qualname__} in it"
            )


def check_shape(name: str, array: Array, shape: tuple[int, ...], why: str) -> None:
    """Compare an array's shape with the one a problem gives it."""
    if array.shape != shape:
        raise wrong_shape(name, array.shape, shape, why)


def wrong_shape(name: str, found: tuple[int, ...], shape: tuple[int, ...], why: str) -> ShapeError:
    """Make the error of an array that has another shape than a problem gives it."""
    return ShapeError(f"{name} must have shape {shape} ({why}), but {name}.shape={found}")


def check_out(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any], *operands: Array) -> None:
    """Check that a caller's array can take the result without touching anything else."""
    if not isinstance(out, np.ndarray) or is_masked(out):
        raise DTypeError(f"out must be a NumPy array, but it is of type {type(out).__qualname__}")
    if out.dtype != dtype:
        raise DTypeError(f"out must have the result's dtype {dtype}, but out.dtype={out.dtype}")
    check_shape("out", out, shape, "the result's")
    if not out.flags.writeable:
        raise UnsupportedError("out must be writable, but it is read-only")
    if not out.flags.c_contiguous and _may_overlap_itself(out):
        raise UnsupportedError(
            f"out must not overlap itself, but out.strides={out.strides} for out.shape={out.shape}"
        )
    for operand in operands:
        if np.may_share_memory(out, operand) and _share(out, operand):
            raise UnsupportedError("out must not overlap an operand; pass a separate array")


def _share(a: Array, b: Array) -> bool:
    try:
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type] # any number is allowed
    except np.exceptions.TooHardError:
        return True


def _may_overlap_itself(array: Array) -> bool:
    """Whether some axis steps less far than the axes inside it extend."""
    reach = array.itemsize
    for stride, size in sorted(
        (abs(stride), size) for stride, size in zip(array.strides, array.shape, strict=True)
    ):
        if size > 1:
            if stride < reach:
                return True
            reach = stride * (size - 1) + reach
    return False
