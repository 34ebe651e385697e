"""im2col and col2im for everyone: receptive fields as columns, and the way back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from npconv import windows
from npconv.arrays import as_array, check_shape
from npconv.axis import Axis
from npconv.errors import ShapeError
from npconv.memory import check_capacity, new_array
from npconv.options import (
    check_padding_mode,
    per_axis,
    resolve_axes,
    size_tuple,
)
from npconv.padding import fold, gather, padded_axes
from npconv.problem import Array


def im2col(
    input: Any,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: Any = 0,
    *,
    dilation: int | Sequence[int] = 1,
    padding_mode: str = "zeros",
) -> Array:
    """Lay out every receptive field as a column.

    Parameters
    ----------
    input : array_like, shape (N, C, *spatial)
        Of any dtype and any spatial rank.
    kernel_size : int or one per axis
        Size of the window.
    stride, padding, dilation, padding_mode
        As for `conv`.

    Returns
    -------
    ndarray, shape (N, C * K_h * K_w, H_out * W_out)
        Rows are ordered by channel, then kernel position; columns are output positions;
        both in C order. The dtype is the input's.

    Raises
    ------
    ShapeError, DTypeError, UnsupportedError, CapacityError
        As for `conv`.

    Examples
    --------
    >>> import numpy as np, npconv
    >>> npconv.im2col(np.arange(9).reshape(1, 1, 3, 3), 2)[0]
    array([[0, 1, 3, 4],
           [1, 2, 4, 5],
           [3, 4, 6, 7],
           [4, 5, 7, 8]])
    """
    x = as_array("input", input)
    axes = _window_axes("input", x.shape, kernel_size, stride, padding, dilation, padding_mode)
    N, C = x.shape[:2]
    R, P = math.prod(a.kernel for a in axes), math.prod(a.out for a in axes)
    dtype = x.dtype.newbyteorder("=")
    col = new_array("the columns", (N, C * R, P), dtype)
    if padding_mode == "zeros":
        windows.im2col(x, axes, col)
    else:
        padded = padded_axes(axes)
        everything = [slice(0, axis.padded) for axis in axes]
        for n in range(N):  # image by image, as each is padded first
            image = gather(x[n : n + 1], axes, padding_mode, everything)
            windows.im2col(image, padded, col[n : n + 1])
    return col


def col2im(
    col: Any,
    input_shape: Sequence[int],
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: Any = 0,
    *,
    dilation: int | Sequence[int] = 1,
    padding_mode: str = "zeros",
) -> Array:
    """Add columns back onto the input they were read from: the adjoint of `im2col`.

    Not its inverse: an element that several windows saw receives the sum of their
    entries. What lies in the padding is cut off.

    Parameters
    ----------
    col : array_like, shape (N, C * K_h * K_w, H_out * W_out)
        Rows and columns ordered as by `im2col`.
    input_shape : sequence of int
        ``(N, C, *spatial)`` of the input.
    kernel_size, stride, padding, dilation, padding_mode
        As for `im2col`.

    Returns
    -------
    ndarray, shape input_shape
        Of the dtype of ``col``.

    Raises
    ------
    ShapeError, DTypeError, UnsupportedError, CapacityError
        As for `conv`.

    Examples
    --------
    >>> import numpy as np, npconv
    >>> npconv.col2im(np.ones((1, 4, 4)), (1, 1, 3, 3), 2)[0, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    c = as_array("col", col)
    shape = size_tuple("input_shape", input_shape)
    axes = _window_axes("input", shape, kernel_size, stride, padding, dilation, padding_mode)
    N, C = shape[:2]
    kernel, out = tuple(a.kernel for a in axes), tuple(a.out for a in axes)
    check_shape("col", c, (N, C * math.prod(kernel), math.prod(out)), "im2col's for input_shape")
    x = new_array("the result", shape, c.dtype.newbyteorder("="))
    if not x.size:
        return x
    c = c.reshape(N, C, *kernel, *out)
    if padding_mode == "zeros":
        return windows.col2im(c, axes, x)
    padded = padded_axes(axes)
    check_capacity("a padded result", (1, C, *(axis.size for axis in padded)), x.dtype)
    for n in range(N):
        fold(windows.col2im(c[n : n + 1], padded), axes, padding_mode, x[n : n + 1])
    return x


def _window_axes(
    name: str,
    shape: tuple[int, ...],
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    padding_mode: Any,
) -> tuple[Axis, ...]:
    """Geometry of a window that slides over (N, C, *spatial)."""
    if len(shape) < 3:
        raise ShapeError(
            f"{name} must have a batch axis, a channel axis and at least one spatial axis, but "
            f"{name}.shape={shape}"
        )
    check_padding_mode(padding_mode)
    rank = len(shape) - 2
    kernel = per_axis("kernel_size", kernel_size, rank, at_least=1)
    return resolve_axes(
        shape[2:],
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        padding_mode=padding_mode,
        given=f"{name}.shape={shape}, kernel_size={kernel}",
    )
