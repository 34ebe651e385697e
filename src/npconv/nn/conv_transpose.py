"""Transposed convolutional layers: what a convolution narrows, they widen."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from npconv.nn.conv import Convolution
from npconv.options import per_axis
from npconv.transposed import conv_transpose, conv_transpose_backward, transposed_problem


def _output_shape(
    input_shape: tuple[int, ...], kernel_shape: tuple[int, ...], **options: Any
) -> tuple[int, ...]:
    # The output of a transposed convolution is the input of the one it is the adjoint of.
    return transposed_problem(input_shape, kernel_shape, **options).input_shape


class _ConvTransposeNd(Convolution):
    """The transposed convolutions, of any rank."""

    _function = staticmethod(conv_transpose)
    _gradients = staticmethod(conv_transpose_backward)
    _shape = staticmethod(_output_shape)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        groups = self._set(in_channels, out_channels, kernel_size, groups)
        shape = (self.in_channels, self.out_channels // groups, *self.kernel_size)
        steps = math.prod(per_axis("stride", stride, self.rank, at_least=1))
        # Of the kernel's elements, one in every `steps` meets a given output.
        fan_in = max(1, self.in_channels // groups * math.prod(self.kernel_size) // steps)
        options = {
            "stride": stride,
            "padding": padding,
            "output_padding": output_padding,
            "groups": groups,
            "dilation": dilation,
            "padding_mode": padding_mode,
        }
        self._make(shape, fan_in, options, bias=bias, dtype=dtype, rng=rng)


class ConvTranspose1d(_ConvTransposeNd):
    """Transposed convolution over one axis: `ConvTranspose2d` with one spatial axis.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.nn import ConvTranspose1d
    >>> layer = ConvTranspose1d(2, 4, 4, stride=2, padding=1, rng=0)
    >>> layer.forward(np.ones((8, 2, 20))).shape
    (8, 4, 40)
    """

    rank = 1


class ConvTranspose2d(_ConvTransposeNd):
    """Transposed convolution over rows and columns: the adjoint of `Conv2d`, with a bias.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    kernel_size : int or sequence of int
        One for all axes or one per axis, as are the next three and `dilation`.
    stride, padding, output_padding, groups, dilation, padding_mode
        As for `npconv.conv_transpose`.
    bias : bool
        Whether to add one number per output channel.
    dtype : dtype
        Of the parameters, and what the layer computes in.
    rng : numpy.random.Generator or int, optional
        Where the weights come from; an int is a seed, None fresh entropy.

    Attributes
    ----------
    weight : ndarray, shape (in_channels, out_channels // groups, *kernel_size)
        Kaiming normal at first: ``sqrt(2 / fan_in)`` times a standard normal, where
        ``fan_in`` counts the products in an output: ``in_channels // groups`` times the
        kernel's elements, by the stride of all axes.
    bias : ndarray, shape (out_channels,), or None
        Zeros at first.
    weight_grad, bias_grad : ndarray or None
        Their gradients, set by `backward`.

    Raises
    ------
    ShapeError, DTypeError, UnsupportedError, StateError
        As for `Conv2d`.

    References
    ----------
    Zeiler, Krishnan, Taylor and Fergus, "Deconvolutional networks", 2010; for the weights He,
    Zhang, Ren and Sun, "Delving Deep into Rectifiers", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.nn import ConvTranspose2d
    >>> layer = ConvTranspose2d(8, 3, 3, stride=2, padding=1, output_padding=1, rng=0)
    >>> y = layer.forward(np.ones((2, 8, 16, 16), np.float32))
    >>> y.shape, layer.backward(np.ones_like(y)).shape
    ((2, 3, 32, 32), (2, 8, 16, 16))
    """

    rank = 2


class ConvTranspose3d(_ConvTransposeNd):
    """Transposed convolution over depth, rows and columns: with three spatial axes.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.nn import ConvTranspose3d
    >>> ConvTranspose3d(4, 1, (1, 2, 2), stride=(1, 2, 2)).forward(np.ones((1, 4, 3, 8, 8))).shape
    (1, 1, 3, 16, 16)
    """

    rank = 3
