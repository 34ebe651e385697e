"""What every layer promises: forward, backward, and its arrays by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from npconv.arrays import as_array
from npconv.errors import DTypeError, StateError
from npconv.nn.files import check_state, fill_state, read_arrays, write_arrays
from npconv.numbers import DType
from npconv.problem import Array


class Layer(ABC):
    """One differentiable step of a network; the base of every layer.

    A layer keeps, in `cache`, what its last `forward` needs for `backward`: arrays it was
    given, by reference, never columns or copies of them. So do not write into an input
    between the two calls.

    A layer of your own defines `forward`, `backward` and `output_shape`, and, if it has
    parameters, `parameters` and `gradients`.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.nn import Layer
    >>> class Double(Layer):
    ...     def forward(self, input, training=False):
    ...         self.cache = input
    ...         return 2 * input
    ...
    ...     def backward(self, grad_output):
    ...         return 2 * grad_output
    ...
    ...     def output_shape(self, input_shape):
    ...         return tuple(input_shape)
    >>> Double().forward(np.ones(3))
    array([2., 2., 2.])
    """

    cache: Any = None

    @abstractmethod
    def forward(self, input: Any, training: bool = False) -> Array:
        """Compute the output; `training` matters to `Dropout` and `BatchNorm` alone."""

    @abstractmethod
    def backward(self, grad_output: Any) -> Array:
        """Give the gradient of the input, and keep those of the parameters.

        It belongs to the last `forward` and may be called again on it. Gradients are
        overwritten, not summed.
        """

    @abstractmethod
    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Tell the output's shape, or raise the ShapeError that `forward` would."""

    def backward_parameters(self, grad_output: Any) -> None:
        """Do `backward` without the gradient of the input, which a first layer can spare."""
        self.backward(grad_output)

    def parameters(self) -> dict[str, Array]:
        """Name the live arrays that training changes; write into them to change the layer."""
        return {}

    def gradients(self) -> dict[str, Array]:
        """Name the parameters' gradients of the last `backward`; empty before it."""
        return {}

    def state(self) -> dict[str, Array]:
        """Name all live arrays a file must hold: parameters and running statistics."""
        return self.parameters()

    def generators(self) -> dict[str, np.random.Generator]:
        """Name the live random generators that `forward` draws from."""
        return {}

    def __repr__(self) -> str:
        # A checkpoint knows its model by this, so it must not hold an address.
        return f"{type(self).__name__}()"

    def save(self, path: str | Path) -> None:
        """Write `state()` to a .npz file, whole or not at all, never a pickle.

        Raises
        ------
        OSError
            The file cannot be written; one that was there is unharmed.
        """
        write_arrays(path, self.state())

    def load(self, path: str | Path) -> None:
        """Fill this layer from a file of `save`; names, shapes and dtypes must agree.

        Raises
        ------
        FileFormatError
            The file is truncated, foreign, or of another model; nothing was changed.
        OSError
            The file cannot be read.
        """
        arrays = read_arrays(path)
        check_state(self.state(), arrays, path)
        fill_state(self.state(), arrays)

    def _needs_forward(self) -> Any:
        """Return the cache, or say that there is none."""
        if self.cache is None:
            name = type(self).__name__
            raise StateError(
                f"{name}.backward needs the input of a forward call, but there was none "
                f"yet; call {name}.forward first"
            )
        return self.cache


def real_array(name: str, value: Any, dtype: DType | None = None) -> Array:
    """Check an array of real numbers, and give it the dtype a layer computes in."""
    array = as_array(name, value)
    if array.dtype.kind not in "buif":
        raise DTypeError(f"{name} must hold real numbers, but its dtype is {array.dtype}")
    if dtype is None:
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    return array if array.dtype == dtype else array.astype(dtype)
