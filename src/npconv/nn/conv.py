"""Convolutional layers: a weight, a bias, and one call of the functional interface each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike

from npconv.errors import ShapeError
from npconv.functional import conv, conv_output_shape
from npconv.gradients import ConvGradients, conv_backward
from npconv.nn.init import as_generator, kaiming_normal, layer_dtype
from npconv.nn.layer import Layer, real_array
from npconv.options import per_axis, whole_number
from npconv.problem import Array

# Any input size serves to check options that no input is known for yet.
_SOME_SIZE = 2**31


class Convolution(Layer):
    """What all of them have in common: everything but the rank, the function and its options."""

    rank: int
    # The function, its gradients and its output's shape.
    _function: Callable[..., Array]
    _gradients: Callable[..., ConvGradients]
    _shape: Callable[..., tuple[int, ...]]

    def _set(self, in_channels: Any, out_channels: Any, kernel_size: Any, groups: Any) -> int:
        """Check and keep what a weight's shape comes from; return the groups."""
        self.in_channels = whole_number("in_channels", in_channels, at_least=1)
        self.out_channels = whole_number("out_channels", out_channels, at_least=1)
        self.kernel_size = per_axis("kernel_size", kernel_size, self.rank, at_least=1)
        self.groups = whole_number("groups", groups, at_least=1)
        for name, channels in (
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
        ):
            if channels % self.groups:
                raise ShapeError(
                    f"groups must divide {name}, but {channels} % {self.groups} = "
                    f"{channels % self.groups}; {name}={channels}, groups={self.groups}"
                )
        return self.groups

    def _make(
        self,
        shape: tuple[int, ...],
        fan_in: int,
        options: dict[str, Any],
        *,
        bias: bool,
        dtype: DTypeLike,
        rng: np.random.Generator | int | None,
    ) -> None:
        """Check the options, and draw weights of this shape."""
        self._options = options
        self._shape((1, self.in_channels, *(_SOME_SIZE,) * self.rank), shape, **options)
        for name, value in options.items():
            setattr(self, name, value)
        self.dtype = layer_dtype(dtype)
        self.weight = kaiming_normal(shape, fan_in, self.dtype, as_generator(rng))
        self.bias: Array | None = np.zeros(self.out_channels, self.dtype) if bias else None
        self.weight_grad: Array | None = None
        self.bias_grad: Array | None = None

    def forward(self, input: Any, training: bool = False) -> Array:
        """Convolve `input`, ``(N, in_channels, *spatial)``, in the layer's dtype."""
        x = real_array("input", input)
        self._check_rank(x.shape)
        y = self._function(x, self.weight, self.bias, dtype=self.dtype, **self._options)
        self.cache = x
        return y

    def backward(self, grad_output: Any) -> Array:
        """Give the gradient of the input; set `weight_grad` and `bias_grad`."""
        return cast(Array, self._backward(grad_output, "input").input)

    def backward_parameters(self, grad_output: Any) -> None:
        """Set `weight_grad` and `bias_grad` alone."""
        self._backward(grad_output)

    def _backward(self, grad_output: Any, *needs: str) -> ConvGradients:
        x = self._needs_forward()
        needs = (*needs, "kernel") if self.bias is None else (*needs, "kernel", "bias")
        grads = self._gradients(
            real_array("grad_output", grad_output),
            x,
            self.weight,
            dtype=self.dtype,
            needs=needs,
            **self._options,
        )
        self.weight_grad, self.bias_grad = grads.kernel, grads.bias
        return grads

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Tell the output's shape."""
        self._check_rank(input_shape)
        return self._shape(input_shape, self.weight.shape, **self._options)

    def _check_rank(self, input_shape: tuple[int, ...]) -> None:
        if len(input_shape) != self.rank + 2:
            raise ShapeError(
                f"input of {type(self).__name__} must have {self.rank + 2} axes, (N, C, "
                f"*spatial) with {self.rank} spatial, but input.shape={tuple(input_shape)}"
            )

    def parameters(self) -> dict[str, Array]:
        """Name `weight` and, if there is one, `bias`."""
        return _named(self.weight, self.bias)

    def gradients(self) -> dict[str, Array]:
        """Name the gradients of `weight` and `bias`."""
        return _named(self.weight_grad, self.bias_grad)

    def __repr__(self) -> str:
        shown = [str(self.in_channels), str(self.out_channels), f"{self.kernel_size}"]
        usual = {"padding": 0, "output_padding": 0, "padding_mode": "zeros"}
        shown += [
            f"{name}={value!r}"
            for name, value in self._options.items()
            if value != usual.get(name, 1)
        ]
        shown += ["bias=False"] if self.bias is None else []
        shown += [f"dtype={self.dtype}"]
        return f"{type(self).__name__}({', '.join(shown)})"


def _named(weight: Array | None, bias: Array | None) -> dict[str, Array]:
    pairs = {"weight": weight, "bias": bias}
    return {name: array for name, array in pairs.items() if array is not None}


class _ConvNd(Convolution):
    """The convolutions, of any rank."""

    _function = staticmethod(conv)
    _gradients = staticmethod(conv_backward)
    _shape = staticmethod(conv_output_shape)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        groups = self._set(in_channels, out_channels, kernel_size, groups)
        shape = (self.out_channels, self.in_channels // groups, *self.kernel_size)
        options = {
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
            "padding_mode": padding_mode,
        }
        self._make(shape, math.prod(shape[1:]), options, bias=bias, dtype=dtype, rng=rng)


class Conv1d(_ConvNd):
    """Convolution over one axis, such as time: `Conv2d` with one spatial axis.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.nn import Conv1d
    >>> layer = Conv1d(2, 4, 3, padding="causal", dilation=2, rng=0)
    >>> layer.forward(np.ones((8, 2, 20))).shape
    (8, 4, 20)
    """

    rank = 1


class Conv2d(_ConvNd):
    """Convolution over rows and columns, with a weight and a bias to be trained.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    kernel_size : int or sequence of int
        One for all axes or one per axis, as are the next three.
    stride, padding, dilation, groups, padding_mode
        As for `npconv.conv`.
    bias : bool
        Whether to add one number per output channel.
    dtype : dtype
        Of the parameters, and what the layer computes in.
    rng : numpy.random.Generator or int, optional
        Where the weights come from; an int is a seed, None fresh entropy.

    Attributes
    ----------
    weight : ndarray, shape (out_channels, in_channels // groups, *kernel_size)
        Kaiming normal at first: ``sqrt(2 / fan_in)`` times a standard normal.
    bias : ndarray, shape (out_channels,), or None
        Zeros at first.
    weight_grad, bias_grad : ndarray or None
        Their gradients, set by `backward`.

    Raises
    ------
    ShapeError
        `groups` that do not divide the channels, a stride of 0; in `forward` an input
        that does not fit, in `backward` a `grad_output` of the wrong shape.
    DTypeError
        A dtype that is no float, a float stride, an input not made of real numbers.
    UnsupportedError
        An unknown padding or mode, or one that nothing serves yet.
    StateError
        `backward` before `forward`.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document
    Recognition", 1998; for the weights He, Zhang, Ren and Sun, "Delving Deep into
    Rectifiers", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.nn import Conv2d
    >>> layer = Conv2d(3, 8, kernel_size=3, padding=1, rng=0)
    >>> y = layer.forward(np.ones((2, 3, 32, 32), np.float32))
    >>> y.shape, y.dtype
    ((2, 8, 32, 32), dtype('float32'))
    >>> layer.backward(np.ones_like(y)).shape, layer.gradients()["weight"].shape
    ((2, 3, 32, 32), (8, 3, 3, 3))
    """

    rank = 2


class Conv3d(_ConvNd):
    """Convolution over depth, rows and columns: `Conv2d` with three spatial axes.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.nn import Conv3d
    >>> Conv3d(1, 4, (1, 3, 3), rng=0).forward(np.ones((2, 1, 5, 8, 8))).shape
    (2, 4, 5, 6, 6)
    """

    rank = 3
