"""Max and average pooling of any rank, each beside its adjoint.

Here is the gate: arrays are checked, shapes and options become a `Pool`, and one place chooses
the engine, `npconv.pool_loops` or `npconv.compiled.pooling`.

Windows never read padding. That one rule gives every form its meaning: in max, padding never
wins; in the average, it adds nothing to the sum and counts in the divisor if asked to; a crop
is a smaller input; and the last window of ``ceil_mode`` hangs over the edge.
"""

from __future__ import annotations

from typing import Any

from npconv import pool_loops
from npconv.arrays import as_array
from npconv.compiled import why_missing
from npconv.errors import DTypeError
from npconv.pool_geometry import Pool
from npconv.pool_loops import is_float
from npconv.problem import Array
from npconv.settings import current_settings


def max_pool(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    *,
    layout: str | None = None,
) -> Array:
    """Take the largest element of every window.

    Parameters
    ----------
    input : array_like, shape (N, C, *spatial), real
        In the order of `layout`; any number of spatial axes.
    kernel_size, stride, dilation : int or sequence of int
        One for all axes or one per axis. ``stride=None`` is `kernel_size`.
    padding : int, sequence of int, (low, high) pairs or str
        As for `conv`. Pads given as numbers are at most half the dilated kernel;
        negative numbers crop. Padding never wins.
    ceil_mode : bool
        Round the output size up: the last window may hang over the padded edge, as long
        as it begins in the input or its low pad.
    layout : str, optional
        Distinct letters such as ``"NHWC"``; ``"NCHW"`` and the like by default.

    Returns
    -------
    ndarray, shape (N, C, *out), of input's dtype
        NaN wins over every number. A window without any element (which dilation can
        place around a tiny input) gives the lowest value there is, -inf for floats.

    Raises
    ------
    ShapeError
        A window beyond the padded input, pads above half of it, a stride of 0.
    DTypeError
        An input that is not an array of real numbers, a float stride.
    UnsupportedError
        An unknown padding or layout.

    References
    ----------
    Ranzato, Huang, Boureau and LeCun, "Unsupervised Learning of Invariant Feature
    Hierarchies with Applications to Object Recognition", 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.pooling import max_pool
    >>> x = np.arange(16).reshape(1, 1, 4, 4)
    >>> max_pool(x, 2)
    array([[[[ 5,  7],
             [13, 15]]]])
    """
    x = _real("input", input)
    pool = Pool.of(x.shape, kernel_size, stride, padding, dilation, ceil_mode, layout)
    y = _engine(pool, x).largest(pool, x)
    return pool_loops.largest(pool, x) if y is None else y


def max_pool_with_indices(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    *,
    layout: str | None = None,
) -> tuple[Array, Array]:
    """Take the largest element of every window, and say where it stood.

    Parameters
    ----------
    input, kernel_size, stride, padding, dilation, ceil_mode, layout
        As for `max_pool`.

    Returns
    -------
    output : ndarray, shape (N, C, *out), of input's dtype
    indices : ndarray of int64, of the same shape
        The winner's place in its image and channel, flat over space in C order (of the
        spatial axes as `layout` orders them). The first of equals wins, and the first
        NaN over all. -1 for a window without an element.

    Raises
    ------
    ShapeError, DTypeError, UnsupportedError
        As `max_pool`.

    Examples
    --------
    >>> from npconv.pooling import max_pool_with_indices
    >>> y, where = max_pool_with_indices([[[3.0, 7.0, 7.0, 1.0]]], 2)
    >>> y, where
    (array([[[7., 7.]]]), array([[[1, 2]]]))
    """
    x = _real("input", input)
    pool = Pool.of(x.shape, kernel_size, stride, padding, dilation, ceil_mode, layout)
    found = _engine(pool, x).largest_with_places(pool, x)
    return found or pool_loops.largest_with_places(pool, x)


def max_pool_backward(
    grad_output: Any,
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    *,
    layout: str | None = None,
) -> Array:
    """Gradient of `max_pool`: each window's gradient goes to the element that won it.

    Parameters
    ----------
    grad_output : array_like, shape (N, C, *out), real
    input, kernel_size, stride, padding, dilation, ceil_mode, layout
        Those of the forward call.

    Returns
    -------
    ndarray, of input's shape and grad_output's dtype
        An element that won several windows receives their sum.

    Raises
    ------
    ShapeError
        `grad_output` is not of the output's shape; otherwise as `max_pool`.
    DTypeError, UnsupportedError
        As `max_pool`.

    Examples
    --------
    >>> from npconv.pooling import max_pool_backward
    >>> max_pool_backward([[[1.0, 2.0]]], [[[3.0, 7.0, 7.0, 1.0]]], 2)
    array([[[0., 1., 2., 0.]]])
    """
    x, dy = _real("input", input), _real("grad_output", grad_output)
    pool = Pool.of(x.shape, kernel_size, stride, padding, dilation, ceil_mode, layout)
    pool.check_grad(dy)
    dx = _engine(pool, x, dy).largest_grad(pool, dy, x)
    return pool_loops.largest_grad(pool, dy, x) if dx is None else dx


def avg_pool(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    layout: str | None = None,
) -> Array:
    """Take the mean of every window.

    Parameters
    ----------
    input, kernel_size, stride, padding, dilation, ceil_mode, layout
        As for `max_pool`.
    count_include_pad : bool
        Whether padding counts in the divisor. What lies past the padded edge, where
        only windows of `ceil_mode` reach, never counts.

    Returns
    -------
    ndarray, shape (N, C, *out)
        Of input's dtype when that is a float, else float64. float16 and bfloat16 add up
        in float32.
        The mean of no element at all is NaN.

    Raises
    ------
    ShapeError, DTypeError, UnsupportedError
        As `max_pool`.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document
    Recognition", 1998 (its subsampling layers).

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.pooling import avg_pool
    >>> x = np.arange(16).reshape(1, 1, 4, 4)
    >>> avg_pool(x, 2)
    array([[[[ 2.5,  4.5],
             [10.5, 12.5]]]])
    """
    x = _real("input", input)
    pool = Pool.of(x.shape, kernel_size, stride, padding, dilation, ceil_mode, layout)
    y = _engine(pool, x).mean(pool, x, bool(count_include_pad))
    return pool_loops.mean(pool, x, bool(count_include_pad)) if y is None else y


def avg_pool_backward(
    grad_output: Any,
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    layout: str | None = None,
) -> Array:
    """Gradient of `avg_pool`: each window's gradient is shared out among its elements.

    Parameters
    ----------
    grad_output : array_like, shape (N, C, *out), real
    input, kernel_size, stride, padding, dilation, ceil_mode, count_include_pad, layout
        Those of the forward call. Only the shape of `input` matters.

    Returns
    -------
    ndarray, of input's shape
        Of grad_output's dtype when that is a float, else float64.

    Raises
    ------
    ShapeError
        `grad_output` is not of the output's shape; otherwise as `max_pool`.
    DTypeError, UnsupportedError
        As `max_pool`.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.pooling import avg_pool_backward
    >>> avg_pool_backward([[[1.0, 2.0]]], np.zeros((1, 1, 4)), 2)
    array([[[0.5, 0.5, 1. , 1. ]]])
    """
    x, dy = _real("input", input), _real("grad_output", grad_output)
    pool = Pool.of(x.shape, kernel_size, stride, padding, dilation, ceil_mode, layout)
    pool.check_grad(dy)
    dx: Array = _engine(pool, dy).mean_grad(pool, dy, bool(count_include_pad))
    return dx


def _engine(pool: Pool, *arrays: Array) -> Any:
    """Choose who computes: the compiled engine where it is asked for and can serve."""
    if current_settings().engine == "compiled" and not why_missing():
        from npconv.compiled import pooling as compiled

        if compiled.why_not(pool, *(array.dtype for array in arrays)) is None:
            return compiled
    return pool_loops


def _real(name: str, value: Any) -> Array:
    array = as_array(name, value)
    if array.dtype.kind not in "bui" and not is_float(array.dtype):
        raise DTypeError(f"{name} must hold real numbers to be pooled, not {array.dtype}")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
