"""Discrete Fourier transforms of many short arrays at once.

A transform of length ``n`` takes ``n`` products an element as a product with the matrix of
roots of unity, and some ``5/2 log2 n`` by the fast algorithm (Cooley and Tukey, 1965). But
BLAS forms a hundred of its products in the time of one butterfly, so up to some hundred
elements the plain definition is the fast one. Longer transforms are NumPy's.

Real arrays of even length have a spectrum of ``n // 2 + 1`` numbers; the others are their
conjugates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from npconv.problem import Array

DType: TypeAlias = np.dtype[Any]
Lend: TypeAlias = Callable[[int, tuple[int, ...], DType], Array]

# Where the matrix product and NumPy's transform take equally long (float32, one thread).
LONGEST_PRODUCT = 256


def spectrum(a: Array, lengths: Sequence[int], lend: Lend) -> Array:
    """Transform the last axes; each may be shorter than its length: zeros follow.

    Step ``i`` writes into ``lend(i, shape, dtype)``; the last one is the result.
    """
    dtype = complex_of(a.dtype)
    for step, (axis, n) in enumerate(_last_axes(a, lengths)[::-1]):
        count = n if a.dtype.kind == "c" else n // 2 + 1
        out = lend(step, (*a.shape[:axis], count, *a.shape[axis + 1 :]), dtype)
        _transform(a, n, axis, out)
        a = out
    return a


def values(a: Array, lengths: Sequence[int], dtype: DType, lend: Lend) -> Array:
    """Transform a spectrum back to arrays of ``dtype``, real or complex."""
    for step, (axis, n) in enumerate(_last_axes(a, lengths)):
        kind = dtype if axis == a.ndim - 1 else a.dtype
        out = lend(step, (*a.shape[:axis], n, *a.shape[axis + 1 :]), kind)
        _transform_back(a, n, axis, out)
        a = out
    return a


def complex_of(dtype: DType) -> DType:
    """Give the complex dtype of the same precision."""
    return np.result_type(dtype, np.complex64)


def products(shape: Sequence[int], lengths: Sequence[int], dtype: DType) -> int:
    """Count the multiplications to transform arrays of ``shape``, and no more than back."""
    total, sizes, real = 0, list(shape), dtype.kind != "c"
    for i in reversed(range(len(lengths))):
        n, half = lengths[i], real and i == len(lengths) - 1
        others = math.prod(sizes[:i]) * math.prod(sizes[i + 1 :])
        if n > LONGEST_PRODUCT:
            total += others * math.ceil((1.25 if half else 2.5) * n * math.log2(n))
        else:
            # A complex product is four of real numbers where those are what is counted.
            each = 2 * (n // 2 + 1) if half else n * (4 if real else 1)
            total += others * sizes[i] * each
        sizes[i] = n // 2 + 1 if half else n
    return total


def drift(n: int) -> float:
    """Bound the round-offs of a transform's largest element, where all elements are alike."""
    return n / 8 if n <= LONGEST_PRODUCT else math.log2(n)


def table_bytes(lengths: Sequence[int], dtype: DType) -> int:
    """Bound the bytes of the matrices for these lengths, and of what they are made from."""
    return sum(8 * n * n * max(dtype.itemsize, 8) for n in lengths if n <= LONGEST_PRODUCT)


def good_length(least: int) -> int:
    """Find the next even length without prime factors above 5, however large."""
    best, fives = 2 * max(1, least), 1
    while fives < best:
        odd = fives
        while odd < best:
            twos = max(2, 1 << (-(-least // odd) - 1).bit_length())  # the next power of two
            best = min(best, odd * twos)
            odd *= 3
        fives *= 5
    return best


def _last_axes(a: Array, lengths: Sequence[int]) -> list[tuple[int, int]]:
    return list(enumerate(lengths, a.ndim - len(lengths)))


def _transform(a: Array, n: int, axis: int, out: Array) -> None:
    real = a.dtype.kind != "c"
    if n > LONGEST_PRODUCT:
        (np.fft.rfft if real else np.fft.fft)(a, n, axis, out=out)
    else:
        matrix = _to_spectrum(n, a.dtype)[: a.shape[axis]]
        _multiply(a, matrix, axis, out.view(a.dtype) if real else out)


def _transform_back(a: Array, n: int, axis: int, out: Array) -> None:
    real = out.dtype.kind != "c"
    if n > LONGEST_PRODUCT:
        (np.fft.irfft if real else np.fft.ifft)(a, n, axis, out=out)
    else:
        _multiply(a.view(out.dtype) if real else a, _to_values(n, out.dtype), axis, out)


def _multiply(a: Array, matrix: Array, axis: int, out: Array) -> None:
    """Multiply ``a`` along one axis by ``matrix (elements of a, elements of out)``."""
    if axis == a.ndim - 1:  # all rows at once
        flat = out.reshape(-1, out.shape[-1])
        np.matmul(a.reshape(-1, a.shape[-1]), matrix, out=flat)
    else:
        rest = math.prod(a.shape[axis + 1 :])
        flat = out.reshape(*out.shape[: axis + 1], rest)
        np.matmul(matrix.T, a.reshape(*a.shape[: axis + 1], rest), out=flat)


@lru_cache(maxsize=16)
def _to_spectrum(n: int, dtype: DType) -> Array:
    """Give what multiplies rows of ``n`` elements, real ones or complex ones.

    To real rows a complex column is two real ones, as NumPy lays complex numbers out.
    """
    roots = _roots(n, dtype)
    if dtype.kind != "c":
        roots = roots[:, : n // 2 + 1]
        roots = np.stack((roots.real, -roots.imag), axis=-1).reshape(n, -1)
    else:
        roots = roots.conj()
    return _frozen(roots, dtype)


@lru_cache(maxsize=16)
def _to_values(n: int, dtype: DType) -> Array:
    """Give what multiplies rows of a spectrum: of ``n``, or the half of a real array's."""
    roots = _roots(n, dtype) / n
    if dtype.kind != "c":
        roots = roots[: n // 2 + 1]
        roots[1:-1] *= 2  # for the half that is not there
        roots = np.stack((roots.real, -roots.imag), axis=1).reshape(-1, n)
    return _frozen(roots, dtype)


def _roots(n: int, dtype: DType) -> Array:
    """Give ``exp(2 pi i j k / n)``, in no less than double precision."""
    precision = np.result_type(dtype, np.complex128)
    turn = np.arange(n).astype(precision) * (8 * np.arctan(precision.type(1).real) * 1j / n)
    roots: Array = np.exp(turn)[np.multiply.outer(np.arange(n), np.arange(n)) % n]
    return roots


def _frozen(matrix: Array, dtype: DType) -> Array:
    matrix = np.ascontiguousarray(matrix.astype(dtype))
    matrix.flags.writeable = False
    return matrix
