"""Gradients by differences: what every other gradient is held against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from npconv.arrays import is_masked
from npconv.errors import DTypeError, UnsupportedError
from npconv.options import finite_number
from npconv.problem import Array


def numerical_gradient(f: Callable[[], Any], x: Array, h: float = 1e-5) -> Array:
    """Gradient of a scalar by central differences, one element at a time.

    Parameters
    ----------
    f : callable without arguments
        Returns a real scalar that depends on ``x``.
    x : ndarray of floats, writable
        Perturbed in place, and left exactly as it was, also when ``f`` raises.
    h : float
        Step to both sides.

    Returns
    -------
    ndarray, shape x.shape, float64
        ``(f(x + h) - f(x - h)) / 2h`` for every element; the error is of order ``h**2``.

    Raises
    ------
    DTypeError
        ``x`` is not a writable float array, ``f`` does not return a real scalar, or ``h``
        is not a number.
    UnsupportedError
        ``h`` is not positive, or too small to move an element of ``x``.

    Examples
    --------
    >>> import numpy as np, npconv
    >>> x = np.array([1.0, 2.0, 3.0])
    >>> npconv.numerical_gradient(lambda: np.sum(x**2), x).round(6)
    array([2., 4., 6.])
    """
    if not isinstance(x, np.ndarray) or is_masked(x):
        raise DTypeError(f"x must be a NumPy array, but it is of type {type(x).__qualname__}")
    if x.dtype.kind != "f" or not x.flags.writeable:
        kind = "read-only" if x.dtype.kind == "f" else x.dtype
        raise DTypeError(f"x must be a writable array of floats, but it is {kind}")
    if not callable(f):
        raise DTypeError(f"f must be callable, but it is of type {type(f).__qualname__}")
    step = finite_number("h", h)
    if not 0 < step < float(np.finfo(x.dtype).max):
        raise UnsupportedError(f"h must be positive and a {x.dtype}, but h={h!r}")
    gradient = np.empty(x.shape, np.float64)
    for i in np.ndindex(x.shape):
        kept = x[i]
        try:
            x[i] = kept + step
            above, f_above = float(x[i]), _real_scalar(f())
            x[i] = kept - step
            below, f_below = float(x[i]), _real_scalar(f())
        finally:
            x[i] = kept
        if above == below:
            raise UnsupportedError(f"h={h!r} is too small to move x[{i}]={kept!r}")
        gradient[i] = (f_above - f_below) / (above - below)  # the steps after rounding
    return gradient


def _real_scalar(value: Any) -> float:
    array = np.asarray(value)
    if array.ndim or array.dtype.kind not in "buif":
        raise DTypeError(
            f"f must return a real scalar, but it returned {array.dtype} of shape {array.shape}"
        )
    return float(array)
