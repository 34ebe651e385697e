"""Each number by itself, compiled, in arrays that lie in one piece: the rectifier, optimisers.

For a step of an optimiser NumPy takes a dozen passes, and as many calls, for each parameter; here
it is one. The bits are NumPy's.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def descend(
    rule: str,
    numbers: Sequence[float],
    parameter: Array,
    gradient: Array,
    average: Array,
    second: Array | None = None,
) -> bool:
    """Change a parameter and its averages by a rule; False, and no change, where it cannot.

    ``numbers`` are those of the rule, in the order of `npconv.compiled.kernels.optimizers`.
    """
    run = in_chunks("optimizers", rule, parameter.size, parameter.dtype, threads())
    # A number of NumPy's own may have a dtype that takes part in the arithmetic.
    if run is None or not all(type(number) is float for number in numbers):
        return False
    shape, dtype = parameter.shape, parameter.dtype
    for array in (parameter, average) if second is None else (parameter, average, second):
        if type(array) is not np.ndarray or array.shape != shape or array.dtype != dtype:
            return False
        if not array.flags.carray:  # in one piece, aligned, writable
            return False
    flags = gradient.flags
    if type(gradient) is not np.ndarray or gradient.shape != shape or gradient.dtype != dtype:
        return False
    # NumPy forms all of the step before it changes what the gradient may be part of.
    if not (flags.c_contiguous and flags.aligned) or np.may_share_memory(parameter, gradient):
        return False
    told = np.array(numbers)
    run.run(gradient, average, parameter, second, told)
    return True


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
    run.run(first, second, result)
    return result


def _lies_in_one_piece(array: Array) -> bool:
    return array.flags.c_contiguous and array.flags.aligned


@lru_cache(maxsize=1024)
def in_chunks(module: str, what: str, count: int, dtype: Any, threads: int) -> Prepared | None:
    """Prepare a kernel of numbers each by itself, for so many; None where it cannot serve."""
    if not threads or not count or dtype.char not in "fd" or not dtype.isnative:
        return None
    one = step((module, what, dtype.name), (count, PART), -(-count // PART))
    return Prepared.of((one,), 0, threads if count >= FEW_FOR_TWO else 1)
