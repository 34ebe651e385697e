"""A call of PyTorch's conv1d to conv_transpose3d, put to npconv."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import npconv
from referees.operations import Array, Convolution, Operation, Transposed, allowed

FUNCTIONS: dict[str, Callable[..., Array]] = {
    "conv1d": npconv.conv1d,
    "conv2d": npconv.conv2d,
    "conv3d": npconv.conv3d,
    "conv_transpose1d": npconv.conv_transpose1d,
    "conv_transpose2d": npconv.conv_transpose2d,
    "conv_transpose3d": npconv.conv_transpose3d,
}


@dataclass(frozen=True)
class ConvSample:
    """Operands and options of one call; PyTorch's names are npconv's."""

    name: str
    x: Array
    w: Array
    b: Array | None
    options: dict[str, Any]

    def forward(self) -> tuple[Array, ...]:
        """Compute the result; npconv, too, takes an input without batch."""
        return (FUNCTIONS[self.name](self.x, self.w, self.b, **self.options),)

    def forward_allowed(self, dtype: np.dtype[Any]) -> Array | float:
        """How far the results may differ."""
        x = self._batched(self.x)
        limit = allowed(self._operation, "forward", x, self.w, self.b, dtype)
        return self._as_given(np.asarray(limit))

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Gradients with respect to input, kernel and bias; these are batched."""
        backward = npconv.conv_transpose_backward if self._is_transposed else npconv.conv_backward
        dy, x = self._batched(dy), self._batched(self.x)
        needs = ("input", "kernel", "bias")[: 3 if self.b is not None else 2]
        gradients = backward(dy, x, self.w, needs=needs, **self.options)
        dx, *rest = (gradient for gradient in gradients if gradient is not None)
        return self._as_given(dx), *rest

    def backward_allowed(self, dy: Array) -> tuple[Array | float, ...]:
        """How far the gradients may differ."""
        dy, x, op = self._batched(dy), self._batched(self.x), self._operation
        dx = allowed(op, "input_grad", dy, self.w, x.shape, dy.dtype)
        dw = allowed(op, "kernel_grad", dy, x, self.w.shape, dy.dtype)
        if self.b is None:
            return self._as_given(np.asarray(dx)), dw
        # The bias' gradient is a sum over the output: its product with a kernel of one 1.
        ones = np.ones((dy.shape[0], 1, *dy.shape[2:]), dy.dtype)
        db = allowed(Convolution(), "kernel_grad", ones, dy, (1, dy.shape[1], *_ones(dy)), dy.dtype)
        return self._as_given(np.asarray(dx)), dw, np.ravel(db)

    @property
    def _is_transposed(self) -> bool:
        return "transpose" in self.name

    @property
    def _operation(self) -> Operation:
        return (Transposed if self._is_transposed else Convolution)(self.options)

    def _batched(self, array: Array) -> Array:
        return array if self.x.ndim == self.w.ndim else array[np.newaxis]

    def _as_given(self, array: Array) -> Array:
        return array if self.x.ndim == self.w.ndim or array.ndim == 0 else array[0]


def _ones(dy: Array) -> tuple[int, ...]:
    return (1,) * (dy.ndim - 2)
