"""The general functions: convolution of any rank, its output's shape, and its plans.

Each is the same few steps: arrays through their gate, shapes and options through theirs
(`ConvProblem.of`), a choice by the planner, and its run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import DTypeLike

from npconv import execute
from npconv.arrays import as_array
from npconv.choosing import choice_for
from npconv.errors import ShapeError, UnsupportedError, show
from npconv.numbers import as_dtype, numbers_for
from npconv.options import spelled_out
from npconv.plan import Plan
from npconv.planner import check_algorithm, choose
from npconv.problem import Array, ConvProblem, Direction
from npconv.settings import current_settings


class Geometry(TypedDict, total=False):
    """Options that say which terms are summed; see `conv` for their meaning."""

    stride: int | Sequence[int]
    padding: int | str | Sequence[int] | Sequence[tuple[int, int]]
    dilation: int | Sequence[int]
    input_dilation: int | Sequence[int]
    groups: int
    batch_groups: int
    padding_mode: str
    layout: str | None
    kernel_layout: str | None


class Options(Geometry, total=False):
    """All options of a call: the geometry, the numbers, the algorithm, where it goes."""

    dtype: DTypeLike | None
    algorithm: str
    out: Array | None


@spelled_out(Geometry)
def conv(
    input: Any,
    kernel: Any,
    bias: Any = None,
    *,
    dtype: DTypeLike | None = None,
    algorithm: str = "auto",
    out: Array | None = None,
    **geometry: Unpack[Geometry],
) -> Array:
    """Convolve a batch of any spatial rank with a kernel, as deep learning means it.

    Cross-correlation: the kernel is not flipped. The rank is ``input.ndim - 2``.

    Parameters
    ----------
    input : array_like, shape (N, C_in, *spatial)
        The batch, in ``layout``.
    kernel : array_like, shape (C_out, C_in // groups, *kernel_size)
        In ``kernel_layout``.
    bias : array_like, shape (C_out,), optional
        Added to every output of its channel, before the final rounding.
    stride, dilation, input_dilation : int or one per axis
        Step of the window; spacing of the kernel's elements; spacing of the input's.
    padding : int, one per axis, (low, high) pairs, or a name
        ``"valid"``, ``"same"``, ``"same_lower"`` and, for one axis, ``"causal"``. Negative
        numbers in pairs crop. For one axis write ``[(1, 2)]``.
    groups : int
        Divides the channels into groups that do not see each other.
    batch_groups : int
        Divides batch and output channels instead; JAX's ``batch_group_count``.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        Where padding takes its values from: nowhere, or the input mirrored without its
        edge, its edge repeated, the input from its other end.
    layout, kernel_layout : str, optional
        Order of axes, such as ``"NHWC"`` and ``"HWIO"``; by default ``"NCHW"``, ``"OIHW"``.
        Options per axis follow the order of ``layout``.
    dtype : dtype, optional
        Cast both operands to it first. By default NumPy's promotion decides.
    algorithm : str
        A name of `algorithms`, or "auto".
    out : ndarray, optional
        Array that takes the result: its exact shape and dtype, any strides.

    Returns
    -------
    ndarray, shape (N // batch_groups, C_out, *out)
        With ``out = (dilated + low + high - dilation * (kernel_size - 1) - 1) // stride + 1``
        on each axis, where ``dilated = (size - 1) * input_dilation + 1``.

    Raises
    ------
    ShapeError
        Sizes or per-axis numbers that do not fit together.
    DTypeError
        Arguments of the wrong kind.
    UnsupportedError
        Unknown names, refused combinations, nothing that fits the workspace limit.
    RangeError
        Integers whose exact sums might not fit the result dtype.
    CapacityError
        A result larger than the machine's memory.

    Notes
    -----
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.

    Examples
    --------
    >>> import numpy as np, npconv
    >>> x = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> npconv.conv(x, np.ones((1, 1, 2, 2)), stride=2)
    array([[[[10., 18.],
             [42., 50.]]]])
    """
    x, w, b = as_array("input", input), as_array("kernel", kernel), _as_bias(bias)
    choice = choice_for(Direction.FORWARD, x.shape, w.shape, x, w, dtype, algorithm, geometry)
    return execute.forward(choice, x, w, b, out)


def of_rank(
    rank: int,
    name: str,
    function: Callable[..., Array],
    input: Any,
    kernel: Any,
    bias: Any,
    options: Any,
) -> Array:
    """Call ``function`` with the rank checked; an input without a batch axis is a batch of one."""
    x = as_array("input", input)
    if x.ndim == rank + 2:
        return function(x, kernel, bias, **options)
    if x.ndim != rank + 1:
        raise ShapeError(
            f"{name} needs an input of {rank + 2} axes (batch, channels, {rank} spatial), or "
            f"{rank + 1} without the batch, but it has {x.ndim}; input.shape={x.shape}"
        )
    layout = options.get("layout")
    # Of a layout that is wrong, or too long, the function tells; here it must do no harm.
    batch_axis = min(layout.find("N"), rank + 1) if isinstance(layout, str) else 0
    out = options.get("out")
    if isinstance(out, np.ndarray):
        if out.ndim != rank + 1:
            raise ShapeError(
                f"out must have {rank + 1} axes, without the batch as input has, but "
                f"out.shape={out.shape}"
            )
        options = {**options, "out": np.expand_dims(out, batch_axis)}
    y = function(np.expand_dims(x, batch_axis), kernel, bias, **options)
    return out if out is not None else y.squeeze(batch_axis)


@spelled_out(Options)
def conv1d(input: Any, kernel: Any, bias: Any = None, **options: Unpack[Options]) -> Array:
    """Convolve along one axis: `conv` with the rank checked, the batch axis optional.

    Parameters
    ----------
    input : array_like, shape (N, C_in, L) or (C_in, L)
    kernel : array_like, shape (C_out, C_in // groups, K)
    bias : array_like, shape (C_out,), optional
    **options
        As for `conv`.

    Returns
    -------
    ndarray, shape (N, C_out, L_out), or (C_out, L_out) for an input without batch

    Raises
    ------
    ShapeError, DTypeError, UnsupportedError, RangeError, CapacityError
        As for `conv`.

    Examples
    --------
    >>> import numpy as np, npconv
    >>> npconv.conv1d(np.array([[1.0, 2.0, 4.0]]), np.array([[[-1.0, 1.0]]]))
    array([[1., 2.]])
    """
    return of_rank(1, "conv1d", conv, input, kernel, bias, options)


@spelled_out(Options)
def conv2d(input: Any, kernel: Any, bias: Any = None, **options: Unpack[Options]) -> Array:
    """Convolve pictures: `conv` with the rank checked, the batch axis optional.

    Parameters
    ----------
    input : array_like, shape (N, C_in, H, W) or (C_in, H, W)
    kernel : array_like, shape (C_out, C_in // groups, K_h, K_w)
    bias : array_like, shape (C_out,), optional
    **options
        As for `conv`.

    Returns
    -------
    ndarray, shape (N, C_out, H_out, W_out), or (C_out, H_out, W_out) without batch

    Raises
    ------
    ShapeError, DTypeError, UnsupportedError, RangeError, CapacityError
        As for `conv`.

    Examples
    --------
    >>> import numpy as np, npconv
    >>> npconv.conv2d(np.ones((3, 8, 8)), np.ones((4, 3, 3, 3)), padding="same").shape
    (4, 8, 8)
    """
    return of_rank(2, "conv2d", conv, input, kernel, bias, options)


@spelled_out(Options)
def conv3d(input: Any, kernel: Any, bias: Any = None, **options: Unpack[Options]) -> Array:
    """Convolve volumes: `conv` with the rank checked, the batch axis optional.

    Parameters
    ----------
    input : array_like, shape (N, C_in, D, H, W) or (C_in, D, H, W)
    kernel : array_like, shape (C_out, C_in // groups, K_d, K_h, K_w)
    bias : array_like, shape (C_out,), optional
    **options
        As for `conv`.

    Returns
    -------
    ndarray, shape (N, C_out, D_out, H_out, W_out), or without N for an input without batch

    Raises
    ------
    ShapeError, DTypeError, UnsupportedError, RangeError, CapacityError
        As for `conv`.

    Examples
    --------
    >>> import numpy as np, npconv
    >>> npconv.conv3d(np.ones((1, 1, 4, 4, 4)), np.ones((1, 1, 2, 2, 2)), stride=2).ravel()
    array([8., 8., 8., 8., 8., 8., 8., 8.])
    """
    return of_rank(3, "conv3d", conv, input, kernel, bias, options)


@spelled_out(Geometry)
def conv_output_shape(
    input_shape: Sequence[int], kernel_shape: Sequence[int], **options: Unpack[Geometry]
) -> tuple[int, ...]:
    """Shape of what `conv` returns, from shapes alone.

    Parameters
    ----------
    input_shape, kernel_shape : sequence of int
        In ``layout`` and ``kernel_layout``.
    **options
        Stride, padding and so on, as for `conv`.

    Returns
    -------
    tuple of int
        In ``layout``.

    Raises
    ------
    ShapeError, DTypeError, UnsupportedError
        As for `conv`.

    Examples
    --------
    >>> import npconv
    >>> npconv.conv_output_shape((1, 3, 224, 224), (64, 3, 7, 7), stride=2, padding=3)
    (1, 64, 112, 112)
    """
    return ConvProblem.of(input_shape, kernel_shape, **options).output_shape


@spelled_out(Geometry)
def plan_conv(
    input_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    dtype: DTypeLike = "float32",
    direction: str = "forward",
    algorithm: str = "auto",
    **geometry: Unpack[Geometry],
) -> Plan:
    """Plan a convolution or one of its gradients, from shapes alone.

    A plan is held for many calls, so it is chosen for a kernel that is packed (`Plan.pack`).
    A large one takes about as long to pack as to convolve with: `conv`, which does both, may
    then choose another algorithm.

    Parameters
    ----------
    input_shape, kernel_shape : sequence of int
        Shapes of the forward call, whatever the direction.
    dtype : dtype
        Of both operands.
    direction : {"forward", "input_grad", "kernel_grad"}
        What the plan computes.
    algorithm, stride, padding, ...
        The options of the forward call, as for `conv`.

    Returns
    -------
    Plan
        Callable; ``print(plan)`` shows every candidate with its figures, or its reason.

    Raises
    ------
    ShapeError, DTypeError, UnsupportedError
        As for `conv`.

    Examples
    --------
    >>> import npconv
    >>> with npconv.settings(engine="numpy"):
    ...     plan = npconv.plan_conv((8, 64, 112, 112), (64, 64, 3, 3), padding=1)
    >>> plan.algorithm
    'winograd'
    """
    problem = ConvProblem.of(input_shape, kernel_shape, **geometry)
    names = [each.value for each in Direction]
    if not isinstance(direction, str) or direction not in names:
        raise UnsupportedError(
            f"direction must be one of {', '.join(map(repr, names))}, "
            f"but direction={show(direction)}"
        )
    given = as_dtype(dtype)
    numbers = numbers_for(given, given)
    what = problem, Direction(direction), numbers, current_settings()
    return Plan(choose(*what, check_algorithm(algorithm), packed=True), given)


# ---- shared steps ------------------------------------------------------------------------


def _as_bias(bias: Any) -> Array | None:
    return None if bias is None else as_array("bias", bias)
