"""Max and average pooling of any rank, each beside its adjoint.

Seen through one kernel position, all windows together are a strided slice of the input
(`Axis.seen`). So a pooling is one pass over such a slice per kernel position, and never
a view of every window, whose reduction over two short axes is 6 to 8 times slower.

Windows never read padding: the slices hold elements only. That one rule gives every
form its meaning. In max, padding never wins; in the average, it adds nothing to the sum
and counts in the divisor if asked to; a crop is a smaller input; and the last window of
``ceil_mode`` hangs over the edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from npconv.arrays import as_array
from npconv.axis import Axis
from npconv.errors import DTypeError
from npconv.numbers import DType
from npconv.pool_geometry import Pool, Tile, positions
from npconv.problem import Array


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
    result, y = pool.new_output(x.dtype)
    result[...] = _lowest(x.dtype)
    x = pool.crop(x)
    for at_x, at_y, axes in pool.tiles():
        x_tile, y_tile = x[at_x], y[at_y]
        with np.errstate(invalid="ignore"):  # bfloat16 warns of NaN, as NumPy's own do not
            for _, outputs, inputs in positions(axes):
                best = y_tile[outputs]
                np.maximum(best, x_tile[inputs], out=best)
    return result


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
    result, y = pool.new_output(x.dtype)
    found, indices = pool.new_output(np.dtype(np.int64))
    found[...] = -1
    x = pool.crop(x)
    for at_x, at_y, axes in pool.tiles():
        y[at_y], winner = _winners(x[at_x], axes)
        for code, outputs, inputs in positions(axes):
            np.copyto(
                indices[at_y][outputs],
                pool.places(at_x, inputs),
                where=winner[outputs] == code,
            )
    return result, found


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
    dtype = dy.dtype
    result, dx = pool.new_input_grad(_wide(dtype))
    x, dy = pool.crop(x), pool.view(dy)
    for at_x, at_y, axes in pool.tiles():
        _, winner = _winners(x[at_x], axes)
        dx_tile, dy_tile = dx[at_x], np.ascontiguousarray(dy[at_y])
        # A product is 5 times faster than `where`, but 0 * Inf would be NaN.
        finite = bool(np.isfinite(dy_tile).all())
        for code, outputs, inputs in positions(axes):
            won, share = winner[outputs] == code, dy_tile[outputs]
            gained = share * won if finite else np.where(won, share, dtype.type(0))
            part = dx_tile[inputs]
            np.add(part, gained, out=part)
    return result.astype(dtype, copy=False)


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
    dtype = _mean_dtype(x.dtype)
    result, y = pool.new_output(dtype)
    x = pool.crop(x)
    counts = [window.counts(count_include_pad) for window in pool.windows]
    for at_x, at_y, axes in pool.tiles():
        x_tile = x[at_x]
        total = np.zeros(y[at_y].shape, _wide(dtype))
        for _, outputs, inputs in positions(axes):
            part = total[outputs]
            np.add(part, x_tile[inputs], out=part)
        with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN the docstring promises
            y[at_y] = total / _window_sizes(counts, at_y, total.dtype)
    return result


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
    dtype = _mean_dtype(dy.dtype)
    result, dx = pool.new_input_grad(_wide(dtype))
    dy = pool.view(dy)
    counts = [window.counts(count_include_pad) for window in pool.windows]
    for at_x, at_y, axes in pool.tiles():
        # A window without elements has no one to share with; 1 spares it a division by 0.
        sizes = np.maximum(_window_sizes(counts, at_y, dx.dtype), 1)
        share: Array = dy[at_y] / sizes
        dx_tile = dx[at_x]
        for _, outputs, inputs in positions(axes):
            part = dx_tile[inputs]
            np.add(part, share[outputs], out=part)
    return result.astype(dtype, copy=False)


def _winners(x: Array, axes: tuple[Axis, ...]) -> tuple[Array, Array]:
    """Find the maximum of every window, and the code of the kernel position that saw it.

    Masked assignments would say this more simply, but take 10 times as long as the
    arithmetic here: their branches follow the data.
    """
    shape = (*x.shape[: x.ndim - len(axes)], *(axis.out for axis in axes))
    where = positions(axes)
    best = np.full(shape, _lowest(x.dtype), x.dtype)
    # 0 is the code of nobody: a window without elements.
    winner = np.zeros(shape, np.min_scalar_type(where[-1][0] if where else 0))
    has_nan = _is_float(x.dtype) and bool(np.isnan(x).any())
    for code, outputs, inputs in where:
        # One strided pass to gather; all that follows then runs over contiguous memory.
        seen = np.ascontiguousarray(x[inputs])
        held, holder = best[outputs], winner[outputs]
        # Strict, so that the first of equals stays; but -inf, too, wins against nobody.
        with np.errstate(invalid="ignore"):  # bfloat16 warns of NaN, as NumPy's own do not
            wins = (seen > held) | (holder == 0)
            if has_nan:
                wins |= np.isnan(seen) & ~np.isnan(held)
            np.maximum(held, seen, out=held)
        np.maximum(holder, wins * winner.dtype.type(code), out=holder)  # codes increase
    return best, winner


def _window_sizes(counts: Sequence[Array], at_y: Tile, dtype: DType) -> Array:
    """Multiply the counts per axis to the divisors of a tile's windows."""
    sizes: Array = np.ones((), dtype)
    for axis_counts, outputs in zip(counts, at_y[2:], strict=True):
        sizes = sizes[..., None] * axis_counts[outputs].astype(dtype)
    return sizes


def _real(name: str, value: Any) -> Array:
    array = as_array(name, value)
    if array.dtype.kind not in "bui" and not _is_float(array.dtype):
        raise DTypeError(f"{name} must hold real numbers to be pooled, not {array.dtype}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _is_float(dtype: DType) -> bool:
    return dtype.kind == "f" or dtype.name == "bfloat16"  # whose kind is V, of extensions


def _lowest(dtype: DType) -> Any:
    """Where a maximum starts from."""
    if _is_float(dtype):
        return -np.inf
    return False if dtype.kind == "b" else np.iinfo(dtype).min


def _mean_dtype(dtype: DType) -> DType:
    return dtype if _is_float(dtype) else np.dtype(np.float64)


def _wide(dtype: DType) -> DType:
    """Choose the dtype sums are formed in."""
    return np.dtype(np.float32) if dtype.name in ("float16", "bfloat16") else dtype
