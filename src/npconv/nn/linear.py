"""The fully connected layer."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from npconv.arrays import check_shape
from npconv.blas import held_for
from npconv.errors import ShapeError
from npconv.nn.init import as_generator, kaiming_normal, layer_dtype
from npconv.nn.layer import Layer, real_array
from npconv.options import whole_number
from npconv.problem import Array

# BLAS starts threads for far smaller products, and between two they wait on busily, so that
# whatever computes there has fewer. Below this, some 0.1 ms, they are not worth it.
WORTH_THREADS = 2**23


class Linear(Layer):
    """Multiply by a matrix and add a bias: ``y = x @ weight.T + bias``.

    Parameters
    ----------
    in_features, out_features : int
        Sizes of the input's and the output's last axis.
    bias : bool
        Whether to add one number per output.
    dtype : dtype
        Of the parameters, and what the layer computes in.
    rng : numpy.random.Generator or int, optional
        Where the weights come from; an int is a seed, None fresh entropy.

    Attributes
    ----------
    weight : ndarray, shape (out_features, in_features)
        Kaiming normal at first: ``sqrt(2 / in_features)`` times a standard normal.
    bias : ndarray, shape (out_features,), or None
        Zeros at first.
    weight_grad, bias_grad : ndarray or None
        Their gradients, set by `backward`.

    Raises
    ------
    ShapeError
        A size below 1, an input or a `grad_output` that does not fit.
    DTypeError
        A dtype that is no float, an input not made of real numbers.
    StateError
        `backward` before `forward`.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.nn import Linear
    >>> layer = Linear(48, 10, rng=0)
    >>> layer.forward(np.ones((2, 48))).shape
    (2, 10)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        self.in_features = whole_number("in_features", in_features, at_least=1)
        self.out_features = whole_number("out_features", out_features, at_least=1)
        self.dtype = layer_dtype(dtype)
        shape = (self.out_features, self.in_features)
        self.weight = kaiming_normal(shape, in_features, self.dtype, as_generator(rng))
        self.bias: Array | None = np.zeros(out_features, self.dtype) if bias else None
        self.weight_grad: Array | None = None
        self.bias_grad: Array | None = None

    def forward(self, input: Any, training: bool = False) -> Array:
        """Map the last axis of `input`, ``(..., in_features)``."""
        x = real_array("input", input)
        self.output_shape(x.shape)
        # (..., out) = (..., in) @ (in, out)
        with _held_for(x, self.weight.T):
            y: Array = x.astype(self.dtype, copy=False) @ self.weight.T
        if self.bias is not None:
            y += self.bias
        self.cache = x
        return y

    def backward(self, grad_output: Any) -> Array:
        """Give the gradient of the input; set `weight_grad` and `bias_grad`."""
        x, dy = self._operands(grad_output)
        with _held_for(dy, self.weight):  # once for all
            self._set_gradients(x, dy)
            # (..., in) = (..., out) @ (out, in)
            dx: Array = dy @ self.weight
        return dx

    def backward_parameters(self, grad_output: Any) -> None:
        """Set `weight_grad` and `bias_grad` alone."""
        x, dy = self._operands(grad_output)
        with _held_for(dy, self.weight):
            self._set_gradients(x, dy)

    def _operands(self, grad_output: Any) -> tuple[Array, Array]:
        """Give the input of the last `forward`, and the output's gradient, checked."""
        x = self._needs_forward()
        dy = real_array("grad_output", grad_output, self.dtype)
        check_shape("grad_output", dy, self.output_shape(x.shape), "the output's")
        return x, dy

    def _set_gradients(self, x: Array, dy: Array) -> None:
        rows = dy.reshape(-1, self.out_features)
        # (out, in) = (out, rows) @ (rows, in)
        x_rows = x.reshape(len(rows), self.in_features).astype(self.dtype, copy=False)
        self.weight_grad = rows.T @ x_rows
        self.bias_grad = rows.sum(axis=0) if self.bias is not None else None

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Tell the output's shape."""
        if not input_shape or input_shape[-1] != self.in_features:
            raise ShapeError(
                f"the last axis of input must have the {self.in_features} in_features of "
                f"Linear, but input.shape={tuple(input_shape)}"
            )
        return (*input_shape[:-1], self.out_features)

    def parameters(self) -> dict[str, Array]:
        """Name `weight` and, if there is one, `bias`."""
        named = {"weight": self.weight}
        return named if self.bias is None else named | {"bias": self.bias}

    def gradients(self) -> dict[str, Array]:
        """Name the gradients of `weight` and `bias`."""
        pairs = {"weight": self.weight_grad, "bias": self.bias_grad}
        return {name: grad for name, grad in pairs.items() if grad is not None}

    def __repr__(self) -> str:
        bias = "" if self.bias is not None else ", bias=False"
        return f"Linear({self.in_features}, {self.out_features}{bias}, dtype={self.dtype})"


def _held_for(a: Array, b: Array) -> AbstractContextManager[None]:
    """Hold BLAS to one thread for matrix products as small as ``a @ b``."""
    products = math.prod(a.shape) * b.shape[1]
    return held_for(products) if products < WORTH_THREADS else nullcontext()
