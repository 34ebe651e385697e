"""The rectifier, also of a sum, and its gradient, compiled: arrays that lie in one piece."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from npconv.compiled.channels import FEW_FOR_TWO, FEW_IN_ALL, PART, threads
from npconv.compiled.prepared import Prepared, step
from npconv.problem import Array


def relu(x: Array) -> Array | None:
    """Replace negative numbers by zero; None where it cannot serve."""
    return _result("relu", x)


def relu_of_sum(a: Array, b: Array) -> Array | None:
    """Do `relu` of ``a + b``, which is written nowhere; None where it cannot serve."""
    return _result("relu_of_sum", a, b)


def relu_grad(y: Array, dy: Array) -> Array | None:
    """Pass on gradients where outputs are not zero; None where it cannot serve."""
    return _result("relu_grad", y, dy)


def _result(what: str, first: Array, second: Array | None = None) -> Array | None:
    if first.size < FEW_IN_ALL:
        return None
    run = in_chunks("elementwise", what, first.size, first.dtype, threads())
    if run is None or not _lies_in_one_piece(first):
        return None
    if second is not None and not (
        second.shape == first.shape and second.dtype == first.dtype and _lies_in_one_piece(second)
    ):
        return None
    result = np.empty(first.shape, first.dtype)
    run.run(first, second, result, None)
    return result


def _lies_in_one_piece(array: Array) -> bool:
    return array.flags.c_contiguous and array.flags.aligned


@lru_cache(maxsize=1024)
def in_chunks(module: str, what: str, count: int, dtype: Any, threads: int) -> Prepared | None:
    """Prepare a kernel of numbers each by itself, for so many; None where it cannot serve."""
    if not threads or not count or dtype.char not in "fd" or not dtype.isnative:
        return None
    one = step((module, what, dtype.name), (count, PART), -(-count // PART))
    return Prepared((one,), 0, threads if count >= FEW_FOR_TWO else 1)
