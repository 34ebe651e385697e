"""Matrix products in every dtype: BLAS where it is exact enough, integers in provable chunks.

Arrays are seen as stacks of matrices, so that products read and write them where they lie.

NumPy multiplies integer matrices without BLAS, some fifty times slower than floats. But
float64 holds every integer up to 2**53, so a float product whose sums cannot pass that is
exact, in any order of summation.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from npconv.problem import Array
from npconv.scratch import Scratch

EXACT = {np.float32: 2**24, np.float64: 2**53}
FEW_TERMS = 32  # below this many terms at a time, BLAS has nothing to work with


def as_matrices(a: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array | None:
    """View an array as matrices that BLAS can read or write, if it lies in memory as such."""
    if a.dtype != dtype or not a.size or not a.flags.aligned:
        return None
    matrices = a.reshape(shape)
    row, element = matrices.strides[-2:]
    lies_so = element == dtype.itemsize and row >= shape[-1] * element
    return matrices if lies_so and np.may_share_memory(matrices, a) else None


@contextmanager
def written_as(
    out: Array, shape: tuple[int, ...], dtype: np.dtype[Any], scratch: Scratch
) -> Iterator[Array]:
    """Lend matrices to write ``out`` through: itself, or a working array that is copied to it."""
    matrices = as_matrices(out, shape, dtype)
    if matrices is not None:
        yield matrices
        return
    matrices = scratch.array("product", shape, dtype)
    yield matrices
    out[...] = matrices.reshape(out.shape)


def matmul(a: Array, b: Array, out: Array) -> Array:
    """Write ``a @ b`` into ``out``; in integers exactly, modulo 2**64."""
    if out.dtype.kind != "i":
        return np.matmul(a, b, out=out)
    return _integers(a, b, out, largest(a), largest(b))


def largest(a: Array) -> int:
    """Return the largest absolute value, true also for the most negative integer."""
    return max(-int(a.min()), int(a.max())) if a.size else 0


def _integers(a: Array, b: Array, out: Array, most_a: int, most_b: int) -> Array:
    """Choose what is exact for ``|a| <= most_a`` and ``|b| <= most_b``."""
    terms, product = a.shape[-1], most_a * most_b
    if not terms or not product:
        out[...] = 0
        return out
    if product * terms <= EXACT[np.float32]:
        return _chunk(a, b, out, np.float32)
    chunk = EXACT[np.float64] // product
    if chunk >= min(terms, FEW_TERMS):
        out[...] = 0
        part = np.empty_like(out) if chunk < terms else out
        for start in range(0, terms, chunk):
            stop = start + chunk
            _chunk(a[..., start:stop], b[..., start:stop, :], part, np.float64)
            if part is not out:
                out += part
        return out
    return _halves(a, b, out, most_a, most_b)


def _chunk(a: Array, b: Array, out: Array, dtype: type) -> Array:
    out[...] = a.astype(dtype) @ b.astype(dtype)
    return out


def _halves(a: Array, b: Array, out: Array, most_a: int, most_b: int) -> Array:
    """Split the larger operand into high and low digits: ``a = high * 2**bits + low``.

    Integers wrap modulo 2**64 on the way; the result is right where it fits.
    """
    larger = max(most_a, most_b)
    bits = (larger.bit_length() + 1) // 2
    digits = 2**bits - 1
    high, low = (larger >> bits) + 1, digits
    if most_a >= most_b:
        _integers(a >> bits, b, out, high, most_b)
        rest = _integers(a & digits, b, np.empty_like(out), low, most_b)
    else:
        _integers(a, b >> bits, out, most_a, high)
        rest = _integers(a, b & digits, np.empty_like(out), most_a, low)
    out <<= bits
    out += rest
    return out


def matmul_workspace(a: int, b: int, out: int, dtype: np.dtype) -> int:
    """Bound the bytes `matmul` allocates for so many elements of each, at the worst values.

    Both factors and their product as floats; and, as two 64-bit factors are halved twice
    each, as many digits and partial results waiting.
    """
    return 8 * (3 * (a + b) + 6 * out) if dtype.kind == "i" else 0
