"""Layers one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from npconv.errors import ConvError, DTypeError
from npconv.nn.layer import Layer, real_array
from npconv.nn.rectified import rectified
from npconv.problem import Array

T = TypeVar("T")


class Sequential(Layer):
    """A network whose layers follow one another; itself a layer.

    Parameters
    ----------
    *layers : Layer
        In the order of the forward pass. Array names begin with the layer's number:
        ``"0.weight"``.

    Raises
    ------
    DTypeError
        Something that is not a `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.nn import Conv2d, Flatten, Linear, ReLU, Sequential
    >>> rng = np.random.default_rng(0)
    >>> model = Sequential(
    ...     Conv2d(1, 4, 3, padding=1, rng=rng), ReLU(), Flatten(), Linear(256, 10, rng=rng)
    ... )
    >>> model.forward(np.ones((5, 1, 8, 8), np.float32)).shape
    (5, 10)
    >>> {name: array.shape for name, array in model.parameters().items()}
    {'0.weight': (4, 1, 3, 3), '0.bias': (4,), '3.weight': (10, 256), '3.bias': (10,)}
    """

    def __init__(self, *layers: Layer) -> None:
        for i, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                raise DTypeError(
                    f"every argument of Sequential must be a Layer, but number {i} is of "
                    f"type {type(layer).__qualname__}"
                )
        self.layers = layers
        self._steps = rectified(layers)
        self._taken: tuple[int, ...] | None = None  # the input shape that fitted last

    def forward(self, input: Any, training: bool = False) -> Array:
        """Pass `input` through every layer."""
        x = real_array("input", input)
        # All shapes are checked before the first layer takes notice of the input.
        if x.shape != self._taken:
            self.output_shape(x.shape)
            self._taken = x.shape
        for layer in self._steps:
            x = layer.forward(x, training)
        self.cache = x.shape
        return x

    def backward(self, grad_output: Any) -> Array:
        """Pass `grad_output` back through every layer, last layer first."""
        self._needs_forward()
        grad = grad_output
        for layer in reversed(self._steps):
            grad = layer.backward(grad)
        return real_array("grad_output", grad)

    def backward_parameters(self, grad_output: Any) -> None:
        """Do `backward` only as far as there are parameters."""
        self._needs_forward()
        first = next((i for i, layer in enumerate(self._steps) if layer.parameters()), 0)
        grad = grad_output
        for layer in reversed(self._steps[first + 1 :]):
            grad = layer.backward(grad)
        for layer in self._steps[first : first + 1]:
            layer.backward_parameters(grad)

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Tell the output's shape, or name the layer that cannot take what it is given."""
        shape = tuple(input_shape)
        for i, layer in enumerate(self.layers):
            try:
                shape = layer.output_shape(shape)
            except ConvError as error:
                raise type(error)(f"layer {i}, {layer!r}: {error}") from error
        return shape

    def parameters(self) -> dict[str, Array]:
        """Name the live parameters of all layers."""
        return self._named(lambda layer: layer.parameters())

    def gradients(self) -> dict[str, Array]:
        """Name the gradients of all layers."""
        return self._named(lambda layer: layer.gradients())

    def state(self) -> dict[str, Array]:
        """Name parameters and running statistics of all layers."""
        return self._named(lambda layer: layer.state())

    def generators(self) -> dict[str, np.random.Generator]:
        """Name the generators of all layers."""
        return self._named(lambda layer: layer.generators())

    def _named(self, of: Callable[[Layer], Mapping[str, T]]) -> dict[str, T]:
        return {
            f"{i}.{name}": value
            for i, layer in enumerate(self.layers)
            for name, value in of(layer).items()
        }

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __getitem__(self, index: int) -> Layer:
        return self.layers[index]

    def __repr__(self) -> str:
        inside = ",\n".join(f"  {layer!r}" for layer in self.layers)
        return f"Sequential(\n{inside},\n)" if inside else "Sequential()"
