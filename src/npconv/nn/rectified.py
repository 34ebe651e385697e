"""A normalisation and the rectifier behind it, in one go: the same bits, and less to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from npconv.nn.batchnorm import BatchNorm
from npconv.nn.elementwise import ReLU
from npconv.nn.layer import Layer
from npconv.problem import Array


def rectified(layers: Sequence[Layer]) -> list[Layer]:
    """Put every `BatchNorm` and the `ReLU` behind it together; the layers know of it all."""
    steps: list[Layer] = []
    for layer in layers:
        # A class of someone's own may do more than these.
        if type(layer) is ReLU and steps and type(steps[-1]) is BatchNorm:
            steps[-1] = RectifiedNorm(steps[-1], layer)
        else:
            steps.append(layer)
    return steps


class RectifiedNorm(Layer):
    """Both layers as one step of a network; what they keep is as if they had been two.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.nn import BatchNorm, ReLU
    >>> from npconv.nn.rectified import RectifiedNorm
    >>> x = np.array([[1.0], [3.0]])
    >>> step = RectifiedNorm(BatchNorm(1, eps=0, dtype=np.float64), ReLU())
    >>> step.forward(x, training=True)
    array([[0.],
           [1.]])
    """

    def __init__(self, norm: BatchNorm, relu: ReLU) -> None:
        self.norm, self.relu = norm, relu

    def forward(self, input: Any, training: bool = False) -> Array:
        """Normalise, and replace negative numbers by zero."""
        y = self.norm.forward_rectified(input, training)
        self.relu.cache = y
        return y

    def backward(self, grad_output: Any) -> Array:
        """Give the gradient of the input; set those of the normalisation's parameters."""
        dx = self.norm.backward_rectified(grad_output)
        return self.norm.backward(self.relu.backward(grad_output)) if dx is None else dx

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Tell the output's shape: the input's."""
        return self.norm.output_shape(input_shape)

    def parameters(self) -> dict[str, Array]:
        """Name the parameters of the normalisation."""
        return self.norm.parameters()
