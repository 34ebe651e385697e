"""Which dtypes come out, and in which dtype sums are formed on the way."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from npconv.errors import DTypeError, show

DType = np.dtype[Any]

# How much a kind of number can say; a cast to a lower rank loses meaning.
_RANKS = {"b": 0, "u": 1, "i": 1, "f": 2, "V": 2, "c": 3}
_HALVES = ("float16", "bfloat16")


class Numbers(NamedTuple):
    """The dtype of a result, and the dtype its sums are formed in."""

    result: DType
    accumulator: DType

    @property
    def exact(self) -> bool:
        """Whether there is no rounding at all: integers, and objects that stand for them."""
        return self.accumulator.kind in "iO"

    def growth(self, of_sums: float) -> float:
        """Turn the error growth of sums into that of results, in the result's round-offs."""
        if self.exact:
            return 0.0
        if self.accumulator.kind == "c":
            # Real and imaginary part are sums of two products for each complex one, and err
            # together (Higham, Accuracy and Stability of Numerical Algorithms, 2002, 3.6).
            of_sums *= math.sqrt(2)
        if self.result == self.accumulator:
            return of_sums
        # Sums formed in a finer dtype, and one rounding of them in the end.
        finer = unit_roundoff(self.accumulator) / unit_roundoff(self.result)
        return 1.0 + of_sums * finer * (1.0 + unit_roundoff(self.result))


def numbers_for(first: DType, second: DType, dtype: DTypeLike | None = None) -> Numbers:
    """Decide the dtypes for two operands: NumPy's promotion, integers in int64."""
    if dtype is None:
        try:
            # NumPy knows no dtype that holds both halves; the contract names one.
            halves = {first.name, second.name} == set(_HALVES)
            result = np.dtype(np.float32) if halves else np.result_type(first, second)
        except TypeError as error:
            raise DTypeError(
                f"operands of {first} and {second} have no common dtype: {error}"
            ) from None
        if result.kind in "bui":
            result = np.dtype(np.int64)
    else:
        result = as_dtype(dtype)
        if result.kind == "b":
            raise DTypeError("dtype=bool cannot hold sums; use dtype='int64'")
    for operand in (first, second):
        if not keeps_meaning(operand, result):
            asked = "" if dtype is None else f"dtype={result}: "
            raise DTypeError(
                f"{asked}an operand of {operand} would lose its meaning in a result of {result}; "
                "cast it yourself if that is what you want"
            )
    result = result.newbyteorder("=")
    return Numbers(result, _accumulator(result))


def keeps_meaning(operand: DType, result: DType) -> bool:
    """Whether a cast loses range or digits at most: no fraction, imaginary part or exactness."""
    if "O" in (operand.kind, result.kind):
        return result.kind == "O" and operand.kind in "buiO"
    return _RANKS[operand.kind] <= _RANKS[result.kind]


def _accumulator(result: DType) -> DType:
    if result.name in _HALVES:
        return np.dtype(np.float32)
    return np.dtype(np.int64) if result.kind in "ui" else result


def unit_roundoff(dtype: DType) -> float:
    """``u``: half the distance from 1 to the next number."""
    if dtype.name == "bfloat16":  # 8 bits of significand, and unknown to np.finfo
        return 2.0**-8
    return float(np.finfo(dtype).eps) / 2


def as_dtype(dtype: Any) -> DType:
    """Return a NumPy dtype of numbers, or raise DTypeError."""
    try:
        result = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError) as error:
        raise DTypeError(f"dtype must be a NumPy dtype, but dtype={show(dtype)}: {error}") from None
    if dtype is None or not holds_numbers(result):
        raise DTypeError(f"dtype must be a dtype of numbers, but dtype={show(dtype)}")
    native: DType = result.newbyteorder("=")
    return native


def holds_numbers(dtype: DType) -> bool:
    """Whether a dtype is one of numbers: NumPy's, objects, or an extension such as bfloat16."""
    # Extension dtypes report kind V, as records and raw bytes do.
    return dtype.kind in "buifcO" or (dtype.kind == "V" and not issubclass(dtype.type, np.void))
