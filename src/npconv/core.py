"""The core: convolution twice, by loops and by one matrix product, and a layer that learns.

Six names, all two-dimensional, for reading. `conv2d_naive` is the definition
(`npconv.algorithms.naive`), `conv2d_im2col` the same as one matrix product
(`npconv.algorithms.im2col`), `im2col` and `col2im` are the way in and out
(`npconv.windows`), `Conv2dNumpy` is a layer trained by gradient descent, and
`numerical_gradient` proves its gradients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from npconv.arrays import as_array, check_shape
from npconv.columns import col2im, im2col
from npconv.differences import numerical_gradient
from npconv.errors import DTypeError, ShapeError, StateError
from npconv.functional import conv
from npconv.gradients import conv_input_grad, conv_kernel_grad
from npconv.memory import check_capacity
from npconv.options import (
    check_options,
    finite_number,
    per_axis,
    whole_number,
)
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


__all__ = [
    "Conv2dNumpy",
    "col2im",
    "conv2d_im2col",
    "conv2d_naive",
    "im2col",
    "numerical_gradient",
]
