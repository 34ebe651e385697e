"""Layers that look at no neighbours: ReLU, Dropout, Flatten."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npconv.arrays import check_shape
from npconv.compiled import elementwise as compiled
from npconv.errors import ShapeError
from npconv.nn.init import as_generator
from npconv.nn.layer import Layer, real_array
from npconv.options import real_number
from npconv.problem import Array


class ReLU(Layer):
    """The rectifier ``max(x, 0)``; NaN stays NaN. Its gradient at 0 is 0.

    Raises
    ------
    DTypeError
        An input that is not made of real numbers.
    ShapeError
        A `grad_output` that is not of the input's shape.
    StateError
        `backward` before `forward`.

    References
    ----------
    Nair and Hinton, "Rectified Linear Units Improve Restricted Boltzmann Machines", 2010.

    Examples
    --------
    >>> from npconv.nn import ReLU
    >>> layer = ReLU()
    >>> layer.forward([-1.0, 0.0, 2.0])
    array([0., 0., 2.])
    >>> layer.backward([5.0, 5.0, 5.0])
    array([0., 0., 5.])
    """

    def forward(self, input: Any, training: bool = False) -> Array:
        """Replace negative numbers by zero; any shape."""
        x = real_array("input", input)
        y = compiled.relu(x)
        return self._keep(np.maximum(x, x.dtype.type(0)) if y is None else y)

    def forward_sum(self, first: Any, second: Any) -> Array:
        """Do `forward` of ``first + second`` in one go, as a residual network ends its blocks."""
        a, b = real_array("first", first), real_array("second", second)
        y = compiled.relu_of_sum(a, b)
        return self.forward(a + b) if y is None else self._keep(y)

    def _keep(self, y: Array) -> Array:
        # The output says as much about the sign as the input, and the next layer keeps
        # it anyway: so the input itself can go.
        self.cache = y
        return y

    def backward(self, grad_output: Any) -> Array:
        """Pass on the gradient where the input was positive (or NaN)."""
        y = self._needs_forward()
        dy = real_array("grad_output", grad_output)
        check_shape("grad_output", dy, y.shape, "the output's")
        dx = compiled.relu_grad(y, dy)
        return np.where(y == 0, dy.dtype.type(0), dy) if dx is None else dx

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Tell the output's shape: the input's."""
        return tuple(input_shape)


class Dropout(Layer):
    """Set each number to zero with probability `p`, while training; scale up the rest.

    The rest is multiplied by ``1 / (1 - p)``, so that nothing needs to be done when not
    training.

    Parameters
    ----------
    p : float
        From 0 to 1.
    rng : numpy.random.Generator or int, optional
        Where the masks come from; its state is part of what a checkpoint records.

    Raises
    ------
    UnsupportedError
        `p` outside 0 to 1.
    DTypeError
        `p` or an input that is not made of real numbers.
    ShapeError
        A `grad_output` that is not of the input's shape.
    StateError
        `backward` before `forward`.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: A Simple Way
    to Prevent Neural Networks from Overfitting", 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.nn import Dropout
    >>> layer = Dropout(0.5, rng=1)
    >>> layer.forward(np.ones(6), training=True)
    array([0., 2., 2., 2., 0., 0.])
    >>> layer.forward(np.ones(6))
    array([1., 1., 1., 1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | int | None = None) -> None:
        self.p = real_number("p", p, at_least=0, at_most=1)
        self.rng = as_generator(rng)

    def forward(self, input: Any, training: bool = False) -> Array:
        """Drop out when `training`; otherwise return the input as it is. Any shape."""
        x = real_array("input", input)
        kept = self.rng.random(x.shape, np.float32) >= self.p if training else None
        self.cache = x.shape, kept
        return self._apply(x, kept)

    def backward(self, grad_output: Any) -> Array:
        """Drop and scale the gradient as the input was."""
        shape, kept = self._needs_forward()
        dy = real_array("grad_output", grad_output)
        check_shape("grad_output", dy, shape, "the output's")
        return self._apply(dy, kept)

    def _apply(self, x: Array, kept: Array | None) -> Array:
        if kept is None:
            return x
        scale = 1 / (1 - self.p) if self.p < 1 else 0.0
        return np.where(kept, x * scale, x.dtype.type(0))

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Tell the output's shape: the input's."""
        return tuple(input_shape)

    def generators(self) -> dict[str, np.random.Generator]:
        """Name the generator of the masks."""
        return {"rng": self.rng}

    def __repr__(self) -> str:
        return f"Dropout({self.p})"


class Flatten(Layer):
    """Turn every image into one row: ``(N, C, *spatial)`` to ``(N, C * prod(spatial))``.

    Raises
    ------
    ShapeError
        An input without a batch axis; a `grad_output` of the wrong shape.
    DTypeError
        An input that is not made of real numbers.
    StateError
        `backward` before `forward`.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.nn import Flatten
    >>> Flatten().forward(np.ones((2, 3, 4, 4))).shape
    (2, 48)
    """

    def forward(self, input: Any, training: bool = False) -> Array:
        """Reshape, by a view where NumPy can."""
        x = real_array("input", input)
        y = x.reshape(self.output_shape(x.shape))
        self.cache = x.shape
        return y

    def backward(self, grad_output: Any) -> Array:
        """Reshape back."""
        shape = self._needs_forward()
        dy = real_array("grad_output", grad_output)
        check_shape("grad_output", dy, self.output_shape(shape), "the output's")
        return dy.reshape(shape)

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Tell the output's shape."""
        if not input_shape:
            raise ShapeError("input of Flatten must have a batch axis, but it has no axis")
        return input_shape[0], math.prod(input_shape[1:])
