"""The core: convolution twice, by loops and by one matrix product, and a layer that learns.

Six names, all two-dimensional, for reading. `conv2d_naive` is the definition
(`npconv.algorithms.naive`), `conv2d_im2col` the same as one matrix product
(`npconv.algorithms.im2col`), `im2col` and `col2im` are the way in and out
(`npconv.windows`), `Conv2dNumpy` is a layer trained by gradient descent, and
`numerical_gradient` proves its gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from npconv import windows
from npconv.arrays import as_array, check_shape
from npconv.axis import Axis
from npconv.errors import DTypeError, ShapeError, StateError, UnsupportedError
from npconv.functional import conv, conv_input_grad, conv_kernel_grad
from npconv.memory import check_capacity, new_array
from npconv.options import (
    check_options,
    check_padding_mode,
    finite_number,
    per_axis,
    resolve_axes,
    size_tuple,
    whole_number,
)
from npconv.padding import fold, gather, padded_axes
from npconv.problem import Array, ConvProblem
from npconv.settings import current_settings


def conv2d_naive(
    input: Any,
    kernel: Any,
    bias: Any = None,
    stride: int | Sequence[int] = 1,
    padding: Any = 0,
    *,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> Array:
    """Convolve pictures by plain loops: the definition, to read and to compare with.

    Loops run over batch, output channel, row and column; in each there is a sum over the
    window. See `npconv.algorithms.naive`.

    Parameters
    ----------
    input : array_like, shape (N, C_in, H, W)
    kernel : array_like, shape (C_out, C_in // groups, K_h, K_w)
    bias : array_like, shape (C_out,), optional
    stride, dilation : int or one per axis
    padding : int, one per axis, (low, high) pairs, or a name as for `conv`
    groups : int
    padding_mode : {"zeros", "reflect", "replicate", "circular"}

    Returns
    -------
    ndarray, shape (N, C_out, H_out, W_out)
        With ``H_out = (H + 2*padding - K_h) // stride + 1``; dtype as for `conv`.

    Raises
    ------
    ShapeError, DTypeError, UnsupportedError, CapacityError
        As for `conv`.

    Examples
    --------
    >>> import numpy as np, npconv
    >>> x = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> npconv.conv2d_naive(x, np.ones((1, 1, 2, 2)))
    array([[[[ 8., 12.],
             [20., 24.]]]])
    """
    return _conv2d(
        "conv2d_naive",
        "naive",
        input,
        kernel,
        bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        padding_mode=padding_mode,
    )


def conv2d_im2col(
    input: Any,
    kernel: Any,
    bias: Any = None,
    stride: int | Sequence[int] = 1,
    padding: Any = 0,
    *,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> Array:
    """Convolve pictures by one matrix product: ``kernel_matrix @ im2col(input)``.

    The same result as `conv2d_naive`, up to rounding. See `npconv.algorithms.im2col`.

    Parameters
    ----------
    input : array_like, shape (N, C_in, H, W)
    kernel : array_like, shape (C_out, C_in // groups, K_h, K_w)
    bias : array_like, shape (C_out,), optional
    stride, padding, dilation, groups, padding_mode
        As for `conv2d_naive`.

    Returns
    -------
    ndarray, shape (N, C_out, H_out, W_out)

    Raises
    ------
    ShapeError, DTypeError, UnsupportedError, CapacityError
        As for `conv`.

    Notes
    -----
    Chellapilla, Puri and Simard, "High performance convolutional neural networks for
    document processing", 2006.

    Examples
    --------
    >>> import numpy as np, npconv
    >>> x = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> npconv.conv2d_im2col(x, np.ones((1, 1, 2, 2)))
    array([[[[ 8., 12.],
             [20., 24.]]]])
    """
    return _conv2d(
        "conv2d_im2col",
        "im2col",
        input,
        kernel,
        bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        padding_mode=padding_mode,
    )


def _conv2d(name: str, algorithm: str, input: Any, kernel: Any, bias: Any, **options: Any) -> Array:
    x = _batched_pictures(name, "input", input)
    return conv(x, kernel, bias, algorithm=algorithm, **options)


def _batched_pictures(function: str, name: str, value: Any) -> Array:
    array = as_array(name, value)
    if array.ndim != 4:
        raise ShapeError(
            f"{function} takes {name} with the 4 axes (N, C, H, W), but it has {array.ndim}; "
            f"{name}.shape={array.shape}"
        )
    return array


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


class Conv2dNumpy:
    """A trainable convolution of pictures, its gradients in plain sight.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int or one per axis
    stride, padding, dilation, groups, padding_mode
        As for `conv2d_naive`.

    Attributes
    ----------
    weight : ndarray, shape (out_channels, in_channels // groups, K_h, K_w), float64
        Kaiming (He) normal at first: ``sqrt(2 / fan_in) * np.random.randn(...)`` with
        ``fan_in = in_channels // groups * K_h * K_w``, in one call.
    bias : ndarray, shape (out_channels,), float64
        Zeros at first.
    weight_grad, bias_grad : ndarray or None
        Set, not summed, by `backward`.
    cache : ndarray or None
        The last input, by reference.

    Raises
    ------
    ShapeError, DTypeError, UnsupportedError
        As for `conv`.

    Notes
    -----
    He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015.

    Examples
    --------
    >>> import numpy as np, npconv
    >>> np.random.seed(42)
    >>> layer = npconv.Conv2dNumpy(1, 2, 3, padding=1)
    >>> y = layer.forward(np.ones((1, 1, 4, 4)))
    >>> layer.backward(2 * y).shape, layer.weight_grad.shape, layer.bias_grad.shape
    ((1, 1, 4, 4), (2, 1, 3, 3), (2,))
    >>> layer.update(lr=0.01)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: Any = 0,
        *,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        padding_mode: str = "zeros",
    ) -> None:
        C_in = whole_number("in_channels", in_channels, at_least=1)
        C_out = whole_number("out_channels", out_channels, at_least=1)
        G = whole_number("groups", groups, at_least=1)
        for name, channels in (("in_channels", C_in), ("out_channels", C_out)):
            if channels % G:
                raise ShapeError(
                    f"groups must divide {name}, but {channels} % {G} = {channels % G}"
                )
        R, S = per_axis("kernel_size", kernel_size, 2, at_least=1)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.groups = groups
        self.padding_mode = padding_mode
        check_options(
            (R, S), stride=stride, padding=padding, dilation=dilation, padding_mode=padding_mode
        )

        check_capacity("weight", (C_out, C_in // G, R, S), np.float64)
        fan_in = C_in // G * R * S
        self.weight: Array = np.sqrt(2 / fan_in) * np.random.randn(C_out, C_in // G, R, S)  # noqa: NPY002 - seeded as the contract says
        self.bias: Array = np.zeros(C_out)
        self.weight_grad: Array | None = None
        self.bias_grad: Array | None = None
        self.cache: Array | None = None

    def forward(self, input: Any) -> Array:
        """Convolve a batch and remember it.

        Parameters
        ----------
        input : array_like, shape (N, in_channels, H, W)

        Returns
        -------
        ndarray, shape (N, out_channels, H_out, W_out)

        Raises
        ------
        ShapeError, DTypeError, UnsupportedError, CapacityError
            As for `conv`; the layer is then as it was.
        """
        x = _batched_pictures("Conv2dNumpy.forward", "input", input)
        y = conv2d_im2col(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            dilation=self.dilation,
            groups=self.groups,
            padding_mode=self.padding_mode,
        )
        self.cache = x
        return y

    def backward(self, grad_output: Any) -> Array:
        """Compute all three gradients of the last forward call.

        Sets ``weight_grad`` and ``bias_grad`` and returns the input's. It may be called
        again for the same forward call.

        Parameters
        ----------
        grad_output : array_like, shape (N, out_channels, H_out, W_out)
            Gradient of the loss with respect to what forward returned.

        Returns
        -------
        ndarray, shape (N, in_channels, H, W)

        Raises
        ------
        StateError
            Before the first forward.
        ShapeError, DTypeError
            A ``grad_output`` unlike the output; the layer is then as it was.
        """
        x = self.cache
        if x is None:
            raise StateError("backward needs the input of a forward call; call forward first")
        window: Any = {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "padding_mode": self.padding_mode,
        }
        problem = ConvProblem.of(x.shape, self.weight.shape, groups=self.groups, **window)
        dY = as_array("grad_output", grad_output)
        check_shape("grad_output", dY, problem.output_shape, "that of forward's result")
        if not np.can_cast(dY.dtype, self.weight.dtype, "same_kind"):
            raise DTypeError(f"grad_output must hold real numbers, but its dtype is {dY.dtype}")

        N, G, C, K = problem.N, problem.G, problem.C, problem.K
        columns = (G, C * problem.taps, problem.pixels)
        db = dY.sum(axis=(0, 2, 3), dtype=self.bias.dtype)  # db = sum of dY
        # For each image: columns, their gradient and a cast; a part of dW; one dX and one dY.
        elements = 3 * math.prod(columns) + self.weight.size + (x.size + dY.size) // max(N, 1)
        if elements * self.weight.itemsize > current_settings().workspace_limit:
            # One image takes too much: the same two gradients, band by band.
            options: Any = {"algorithm": "im2col", "groups": self.groups, **window}
            options["dtype"] = self.weight.dtype
            dX = conv_input_grad(dY, self.weight, x.shape, **options)
            dW = conv_kernel_grad(dY, x, self.weight.shape, **options)
        else:
            W = self.weight.reshape(G, K, C * problem.taps)
            dW, dX = np.zeros_like(W), np.empty(x.shape, W.dtype)
            for n in range(N):
                dy = dY[n].reshape(G, K, problem.pixels).astype(W.dtype, copy=False)
                image = x[n : n + 1]
                col = im2col(image, self.kernel_size, **window).reshape(columns)
                dW += dy @ col.swapaxes(1, 2)  # dW = dY · colᵀ
                dcol = (W.swapaxes(1, 2) @ dy).reshape(1, -1, problem.pixels)
                dX[n : n + 1] = col2im(  # dX = col2im(Wᵀ · dY)
                    dcol, image.shape, self.kernel_size, **window
                )
            dW = dW.reshape(self.weight.shape)
        self.weight_grad, self.bias_grad = dW, db
        return dX

    def update(self, lr: float) -> None:
        """Take one step of gradient descent: ``weight -= lr * weight_grad``, in place.

        Parameters
        ----------
        lr : float
            Learning rate.

        Raises
        ------
        StateError
            Before the first backward.
        DTypeError
            A learning rate that is not a finite real number.
        """
        if self.weight_grad is None or self.bias_grad is None:
            raise StateError(
                "update needs the gradients of a backward call, but there was none yet; "
                "call forward and backward first"
            )
        rate = finite_number("lr", lr)
        self.weight -= rate * self.weight_grad
        self.bias -= rate * self.bias_grad


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
    if not isinstance(x, np.ndarray) or isinstance(x, np.ma.MaskedArray):
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
