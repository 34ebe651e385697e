"""Batch normalisation, for any number of spatial axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from npconv.arrays import check_shape
from npconv.errors import ShapeError
from npconv.nn.init import layer_dtype
from npconv.nn.layer import Layer, real_array
from npconv.nn.scalars import real_number
from npconv.options import whole_number
from npconv.problem import Array


class BatchNorm(Layer):
    """Shift and scale each channel to mean 0 and variance 1, then by a learned amount.

    While training, mean and variance are the batch's (over all axes but the channels'),
    and running averages follow them; otherwise the running averages serve.

    Parameters
    ----------
    num_features : int
        Channels, the input's axis 1.
    eps : float
        Added to the variance.
    momentum : float
        How far the running averages move towards each batch.
    affine : bool
        Whether to learn `weight` and `bias`.
    dtype : dtype
        Of all arrays, and what the layer computes in.

    Attributes
    ----------
    weight, bias : ndarray, shape (num_features,), or None
        Ones and zeros at first.
    running_mean, running_var : ndarray, shape (num_features,)
        Zeros and ones at first; the variance is the unbiased one.
    weight_grad, bias_grad : ndarray or None
        Gradients, set by `backward`.

    Raises
    ------
    ShapeError
        An input of other channels; one value per channel while training.
    DTypeError, UnsupportedError
        Arguments of the wrong kind or out of range.
    StateError
        `backward` before `forward`.

    References
    ----------
    Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by
    Reducing Internal Covariate Shift", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.nn import BatchNorm
    >>> x = np.array([[1.0], [3.0]])
    >>> BatchNorm(1, eps=0, dtype=np.float64).forward(x, training=True)
    array([[-1.],
           [ 1.]])
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.num_features = whole_number("num_features", num_features, at_least=1)
        self.eps = real_number("eps", eps, at_least=0)
        self.momentum = real_number("momentum", momentum, at_least=0, at_most=1)
        self.dtype = layer_dtype(dtype)
        self.weight: Array | None = np.ones(num_features, self.dtype) if affine else None
        self.bias: Array | None = np.zeros(num_features, self.dtype) if affine else None
        self.weight_grad: Array | None = None
        self.bias_grad: Array | None = None
        self.running_mean = np.zeros(num_features, self.dtype)
        self.running_var = np.ones(num_features, self.dtype)

    def forward(self, input: Any, training: bool = False) -> Array:
        """Normalise `input`, ``(N, num_features, *spatial)``."""
        x = real_array("input", input)
        self.output_shape(x.shape)
        if training:
            mean, var = self._batch_statistics(x)
        else:
            mean, var = self.running_mean, self.running_var
        inv_std = (1 / np.sqrt(var.astype(np.float64) + self.eps)).astype(self.dtype)
        # The statistics as of now: a later forward moves the running ones.
        self.cache = x, mean.astype(self.dtype), inv_std, training
        y = self._normalised()
        if self.weight is not None and self.bias is not None:
            y = y * self._spread(self.weight, x) + self._spread(self.bias, x)
        return y

    def _batch_statistics(self, x: Array) -> tuple[Array, Array]:
        """Mean and variance per channel, formed in float64; moves the running averages."""
        count = x.size // self.num_features
        if count < 2:
            raise ShapeError(
                "BatchNorm needs more than one value per channel while training, "
                f"but input.shape={x.shape}"
            )
        axes = self._axes(x)
        mean = x.mean(axis=axes, dtype=np.float64)
        var = np.square(x - self._spread(mean, x)).mean(axis=axes)
        unbiased = var * count / (count - 1)
        self.running_mean += self.momentum * (mean - self.running_mean)
        self.running_var += self.momentum * (unbiased - self.running_var)
        return mean, var

    def _normalised(self) -> Array:
        x, mean, inv_std, _ = self.cache
        result: Array = x.astype(self.dtype, copy=False) - self._spread(mean, x)
        result *= self._spread(inv_std, x)
        return result

    def backward(self, grad_output: Any) -> Array:
        """Give the gradient of the input; set `weight_grad` and `bias_grad`."""
        x, _, inv_std, training = self._needs_forward()
        dy = real_array("grad_output", grad_output, self.dtype)
        check_shape("grad_output", dy, x.shape, "the output's")
        axes, count = self._axes(x), x.size // self.num_features
        x_hat = self._normalised()
        sum_dy = dy.sum(axis=axes, dtype=np.float64)
        sum_dy_x_hat = (dy * x_hat).sum(axis=axes, dtype=np.float64)
        scale = inv_std if self.weight is None else inv_std * self.weight
        if training:
            # dx = scale * (dy - mean(dy) - x_hat * mean(dy * x_hat)): the batch's own
            # mean and variance move with x and take these two parts away again.
            mean_dy = (sum_dy / count).astype(self.dtype)
            mean_dy_x_hat = (sum_dy_x_hat / count).astype(self.dtype)
            dy = dy - self._spread(mean_dy, x) - x_hat * self._spread(mean_dy_x_hat, x)
        if self.weight is not None:
            self.weight_grad = sum_dy_x_hat.astype(self.dtype)
            self.bias_grad = sum_dy.astype(self.dtype)
        return dy * self._spread(scale, x)

    def _axes(self, x: Array) -> tuple[int, ...]:
        return (0, *range(2, x.ndim))

    def _spread(self, per_channel: Array, x: Array) -> Array:
        """Let one number per channel broadcast against `x`."""
        return per_channel.reshape(-1, *(1,) * (x.ndim - 2))

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Tell the output's shape: the input's."""
        if len(input_shape) < 2 or input_shape[1] != self.num_features:
            raise ShapeError(
                f"input of BatchNorm must have {self.num_features} channels on axis 1 "
                f"(num_features), but input.shape={tuple(input_shape)}"
            )
        return tuple(input_shape)

    def parameters(self) -> dict[str, Array]:
        """Name `weight` and `bias`."""
        pairs = {"weight": self.weight, "bias": self.bias}
        return {name: array for name, array in pairs.items() if array is not None}

    def gradients(self) -> dict[str, Array]:
        """Name the gradients of `weight` and `bias`."""
        pairs = {"weight": self.weight_grad, "bias": self.bias_grad}
        return {name: grad for name, grad in pairs.items() if grad is not None}

    def state(self) -> dict[str, Array]:
        """Name parameters and running statistics."""
        running = {"running_mean": self.running_mean, "running_var": self.running_var}
        return self.parameters() | running

    def __repr__(self) -> str:
        affine = "" if self.weight is not None else ", affine=False"
        return (
            f"BatchNorm({self.num_features}, eps={self.eps}, momentum={self.momentum}"
            f"{affine}, dtype={self.dtype})"
        )
