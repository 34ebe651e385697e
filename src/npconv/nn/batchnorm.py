"""Batch normalisation, for any number of spatial axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from npconv.arrays import check_shape
from npconv.compiled import batch_norm as compiled
from npconv.compiled.batch_norm import BIAS, INVERSE, MEAN, ROW_COUNT, SUM, VARIANCE, WEIGHT
from npconv.errors import ShapeError
from npconv.nn.init import layer_dtype
from npconv.nn.layer import Layer, real_array
from npconv.options import real_number, whole_number
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
        return self.forward_rectified(input, training, rectified=False)

    def forward_rectified(self, input: Any, training: bool, *, rectified: bool = True) -> Array:
        """Do `forward`, and what `ReLU` would do after it, in one go."""
        x = real_array("input", input)
        self.output_shape(x.shape)
        count = x.size // self.num_features
        if training and count < 2:
            raise ShapeError(
                "BatchNorm needs more than one value per channel while training, "
                f"but input.shape={x.shape}"
            )
        rows, y = self._rows(training), None
        if x.dtype == self.dtype:
            options: Any = {"forms": training, "rectified": rectified}
            y = compiled.normalised(x, rows, self.eps, **options)
        if y is None:
            y = self._normalised(x, rows, training)
            y = np.maximum(y, y.dtype.type(0)) if rectified else y
        if training:
            self.running_mean += self.momentum * (rows[MEAN] - self.running_mean)
            unbiased = rows[VARIANCE] * (count / (count - 1))
            self.running_var += self.momentum * (unbiased - self.running_var)
        self.cache = x, rows, training
        return y

    def _rows(self, training: bool) -> Array:
        """Make the numbers of all channels, as they are now: later they move."""
        rows = np.empty((ROW_COUNT, self.num_features))
        rows[WEIGHT] = 1 if self.weight is None else self.weight
        rows[BIAS] = 0 if self.bias is None else self.bias
        if not training:
            rows[MEAN], rows[VARIANCE] = self.running_mean, self.running_var
            rows[INVERSE] = 1 / np.sqrt(rows[VARIANCE] + self.eps)
        return rows

    def _normalised(self, x: Array, rows: Array, training: bool) -> Array:
        """Give outputs, and form mean, variance and one over the deviation."""
        if training:
            rows[MEAN] = x.mean(axis=self._axes(x), dtype=np.float64)
            off = np.square(x - self._spread(rows[MEAN], x))
            rows[VARIANCE] = off.mean(axis=self._axes(x))
            rows[INVERSE] = 1 / np.sqrt(rows[VARIANCE] + self.eps)
        y = self._x_hat(x, rows)
        if self.weight is not None and self.bias is not None:
            y *= self._spread(self.weight, x)
            y += self._spread(self.bias, x)
        return y

    def _x_hat(self, x: Array, rows: Array) -> Array:
        mean, inverse = (rows[i].astype(self.dtype) for i in (MEAN, INVERSE))
        result: Array = x.astype(self.dtype, copy=False) - self._spread(mean, x)
        result *= self._spread(inverse, x)
        return result

    def backward(self, grad_output: Any) -> Array:
        """Give the gradient of the input; set `weight_grad` and `bias_grad`."""
        x, rows, training = self._needs_forward()
        dy = real_array("grad_output", grad_output, self.dtype)
        check_shape("grad_output", dy, x.shape, "the output's")
        dx = None
        if training and x.dtype == self.dtype:
            dx = compiled.gradient(dy, x, rows)
        return self._keep(rows, self._gradient(dy) if dx is None else dx)

    def backward_rectified(self, grad_output: Any) -> Array | None:
        """Do `backward` of `forward_rectified`; None where it cannot be done in one go."""
        x, rows, training = self._needs_forward()
        dy = real_array("grad_output", grad_output)
        if not (training and dy.shape == x.shape and dy.dtype == x.dtype == self.dtype):
            return None
        dx = compiled.gradient(dy, x, rows, rectified=True)
        return None if dx is None else self._keep(rows, dx)

    def _keep(self, rows: Array, dx: Array) -> Array:
        if self.weight is not None:
            sums = rows[SUM:].reshape(self.num_features, 2)
            self.bias_grad, self.weight_grad = (sums[:, i].astype(self.dtype) for i in (0, 1))
        return dx

    def _gradient(self, dy: Array) -> Array:
        """Give the gradient of the input, and form the sums over dy and dy * x_hat."""
        x, rows, training = self.cache
        axes, count = self._axes(x), x.size // self.num_features
        x_hat = self._x_hat(x, rows)
        sums = rows[SUM:].reshape(self.num_features, 2)
        sums[:, 0] = dy.sum(axis=axes, dtype=np.float64)
        sums[:, 1] = (dy * x_hat).sum(axis=axes, dtype=np.float64)
        scale = rows[INVERSE].astype(self.dtype) * rows[WEIGHT].astype(self.dtype)
        if training:
            # dx = scale * (dy - mean(dy) - x_hat * mean(dy * x_hat)): the batch's own
            # mean and variance move with x and take these two parts away again.
            means = (sums / count).astype(self.dtype)
            dy = dy - self._spread(means[:, 0], x)
            x_hat *= self._spread(means[:, 1], x)
            dy -= x_hat
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
