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
    run = _run("relu", x.size, x.dtype, threads())
    if run is None or not (x.flags.c_contiguous and x.flags.aligned):
        return None
    y = np.empty(x.shape, x.dtype)
    run.run(x, None, y, None)
    return y


def relu_of_sum(a: Array, b: Array) -> Array | None:
    """Do `relu` of ``a + b``, which is written nowhere; None where it cannot serve."""
    run = _run("relu_of_sum", a.size, a.dtype, threads())
    if run is None or a.shape != b.shape or a.dtype != b.dtype:
        return None
    if not all(each.flags.c_contiguous and each.flags.aligned for each in (a, b)):
        return None
    y = np.empty(a.shape, a.dtype)
    run.run(a, b, y, None)
    return y


def relu_grad(y: Array, dy: Array) -> Array | None:
    """Pass on gradients where outputs are not zero; None where it cannot serve."""
    run = _run("relu_grad", y.size, y.dtype, threads())
    if run is None or dy.dtype != y.dtype:
        return None
    if not (y.flags.c_contiguous and y.flags.aligned and dy.flags.c_contiguous):
        return None
    dx = np.empty(dy.shape, dy.dtype)
    run.run(y, dy, dx, None)
    return dx


@lru_cache(maxsize=256)
def _run(what: str, count: int, dtype: Any, threads: int) -> Prepared | None:
    if not threads or count < FEW_IN_ALL or dtype.char not in "fd" or not dtype.isnative:
        return None
    parts = -(-count // PART)
    one = step(("elementwise", what, dtype.name), (count, PART), parts)
    return Prepared((one,), 0, threads if count >= FEW_FOR_TWO else 1)
