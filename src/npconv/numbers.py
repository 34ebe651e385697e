"""Which dtypes come out, and in which dtype sums are formed on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from npconv.errors import DTypeError

DType = np.dtype[Any]


@dataclass(frozen=True, slots=True)
class Numbers:
    """The dtype of a result, and the dtype its sums are formed in."""

    result: DType
    accumulator: DType

    @property
    def unit_roundoff(self) -> float:
        """``u``: half the distance from 1 to the next number of the result dtype."""
        return float(np.finfo(self.result).eps) / 2


def numbers_for(first: DType, second: DType, dtype: DTypeLike | None = None) -> Numbers:
    """Decide the dtypes for two operands: NumPy's promotion, integers in int64."""
    if dtype is not None:
        result = as_dtype(dtype)
        for operand in (first, second):
            if not np.can_cast(operand, result, "same_kind"):
                raise DTypeError(
                    f"dtype={result} would lose the meaning of an operand of {operand} "
                    f"(not a same-kind cast); cast it yourself if that is what you want"
                )
    else:
        try:
            result = np.result_type(first, second)
        except TypeError as error:
            raise DTypeError(
                f"operands of {first} and {second} have no common dtype: {error}"
            ) from None
        if result.kind in "bui":
            result = np.dtype(np.int64)
    result = result.newbyteorder("=")
    return Numbers(result, result)


def as_dtype(dtype: Any) -> DType:
    """Return a NumPy dtype of numbers, or raise DTypeError."""
    try:
        result = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError) as error:
        raise DTypeError(f"dtype must be a NumPy dtype, but dtype={dtype!r}: {error}") from None
    if dtype is None or not holds_numbers(result):
        raise DTypeError(f"dtype must be a dtype of numbers, but dtype={dtype!r}")
    native: DType = result.newbyteorder("=")
    return native


def holds_numbers(dtype: DType) -> bool:
    """Whether a dtype is one of numbers: NumPy's, objects, or an extension such as bfloat16."""
    # Extension dtypes report kind V, as records and raw bytes do.
    return dtype.kind in "buifcO" or (dtype.kind == "V" and not issubclass(dtype.type, np.void))
