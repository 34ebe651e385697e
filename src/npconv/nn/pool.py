"""Pooling layers: the functions of `npconv.pooling` with their options remembered."""

from __future__ import annotations

from typing import Any

from npconv.errors import ShapeError
from npconv.nn.layer import Layer, real_array
from npconv.pool_geometry import Pool
from npconv.pooling import avg_pool, avg_pool_backward, max_pool, max_pool_backward
from npconv.problem import Array


class _PoolNd(Layer):
    """What all have in common: everything but the rank and the function."""

    rank: int
    _options: dict[str, Any]

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Tell the output's shape."""
        self._check_rank(input_shape)
        windows = {
            name: self._options[name]
            for name in ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
        }
        return Pool.of(tuple(input_shape), **windows, layout=None).output_shape

    def _check_input(self, input: Any) -> Array:
        x = real_array("input", input)
        self._check_rank(x.shape)
        return x

    def _check_rank(self, input_shape: tuple[int, ...]) -> None:
        if len(input_shape) != self.rank + 2:
            raise ShapeError(
                f"input of {type(self).__name__} must have {self.rank + 2} axes, (N, C, "
                f"*spatial) with {self.rank} spatial, but input.shape={tuple(input_shape)}"
            )

    def __repr__(self) -> str:
        usual: dict[str, Any] = {
            "stride": None,
            "padding": 0,
            "dilation": 1,
            "ceil_mode": False,
            "count_include_pad": True,
        }
        shown = [str(self._options["kernel_size"])]
        shown += [
            f"{name}={value!r}"
            for name, value in self._options.items()
            if name in usual and value != usual[name]
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


class _MaxPoolNd(_PoolNd):
    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
    ) -> None:
        self._options = {
            "kernel_size": kernel_size,
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "ceil_mode": ceil_mode,
        }

    def forward(self, input: Any, training: bool = False) -> Array:
        """Take the largest element of every window of `input`, ``(N, C, *spatial)``."""
        x = self._check_input(input)
        y = max_pool(x, **self._options)
        self.cache = x
        return y

    def backward(self, grad_output: Any) -> Array:
        """Give each window's gradient to the element that won it."""
        return max_pool_backward(grad_output, self._needs_forward(), **self._options)


class _AvgPoolNd(_PoolNd):
    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self._options = {
            "kernel_size": kernel_size,
            "stride": stride,
            "padding": padding,
            "dilation": 1,  # PyTorch's layers have none, and their order is kept
            "ceil_mode": ceil_mode,
            "count_include_pad": count_include_pad,
        }

    def forward(self, input: Any, training: bool = False) -> Array:
        """Take the mean of every window of `input`, ``(N, C, *spatial)``."""
        x = self._check_input(input)
        y = avg_pool(x, **self._options)
        self.cache = x
        return y

    def backward(self, grad_output: Any) -> Array:
        """Share each window's gradient out among its elements."""
        return avg_pool_backward(grad_output, self._needs_forward(), **self._options)


class MaxPool1d(_MaxPoolNd):
    """Largest element of every window over one axis: `MaxPool2d` with one spatial axis.

    Examples
    --------
    >>> from npconv.nn import MaxPool1d
    >>> MaxPool1d(2).forward([[[1.0, 3.0, 2.0, 0.0]]])
    array([[[3., 2.]]])
    """

    rank = 1


class MaxPool2d(_MaxPoolNd):
    """Largest element of every window over rows and columns.

    Parameters
    ----------
    kernel_size, stride, padding, dilation, ceil_mode
        As for `npconv.pooling.max_pool`; ``stride=None`` is `kernel_size`.

    Raises
    ------
    ShapeError, DTypeError, UnsupportedError
        In `forward`, as `max_pool`; in `backward` for a `grad_output` of the wrong shape.
    StateError
        `backward` before `forward`.

    Examples
    --------
    >>> from npconv.nn import MaxPool2d
    >>> layer = MaxPool2d(2)
    >>> layer.forward([[[[1.0, 2.0], [4.0, 3.0]]]])
    array([[[[4.]]]])
    >>> layer.backward([[[[10.0]]]])
    array([[[[ 0.,  0.],
             [10.,  0.]]]])
    """

    rank = 2


class MaxPool3d(_MaxPoolNd):
    """Largest element of every window over three axes: `MaxPool2d` with one more.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.nn import MaxPool3d
    >>> MaxPool3d(2).forward(np.ones((1, 1, 4, 4, 6))).shape
    (1, 1, 2, 2, 3)
    """

    rank = 3


class AvgPool1d(_AvgPoolNd):
    """Mean of every window over one axis: `AvgPool2d` with one spatial axis.

    Examples
    --------
    >>> from npconv.nn import AvgPool1d
    >>> AvgPool1d(2).forward([[[1.0, 3.0, 2.0, 0.0]]])
    array([[[2., 1.]]])
    """

    rank = 1


class AvgPool2d(_AvgPoolNd):
    """Mean of every window over rows and columns.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode, count_include_pad
        As for `npconv.pooling.avg_pool`; ``stride=None`` is `kernel_size`.

    Raises
    ------
    ShapeError, DTypeError, UnsupportedError
        In `forward`, as `avg_pool`; in `backward` for a `grad_output` of the wrong shape.
    StateError
        `backward` before `forward`.

    Examples
    --------
    >>> from npconv.nn import AvgPool2d
    >>> layer = AvgPool2d(2)
    >>> layer.forward([[[[1.0, 2.0], [4.0, 3.0]]]])
    array([[[[2.5]]]])
    >>> layer.backward([[[[10.0]]]])
    array([[[[2.5, 2.5],
             [2.5, 2.5]]]])
    """

    rank = 2


class AvgPool3d(_AvgPoolNd):
    """Mean of every window over three axes: `AvgPool2d` with one more.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.nn import AvgPool3d
    >>> AvgPool3d(2).forward(np.ones((1, 1, 4, 4, 6))).shape
    (1, 1, 2, 2, 3)
    """

    rank = 3
