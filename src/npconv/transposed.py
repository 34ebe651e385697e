"""Transposed convolution: the adjoint of `conv`, with its backward.

What `conv` carries from input to output, transposed convolution carries back: it is the
input gradient of the convolution whose output has the shape of its input. So it is the
same problem, run in the direction ``input_grad``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, TypedDict, Unpack

from numpy.typing import DTypeLike

from npconv import execute
from npconv.arrays import as_array
from npconv.choosing import Way, choice_for, choices_for
from npconv.errors import ShapeError, UnsupportedError
from npconv.functional import of_rank
from npconv.gradients import ConvGradients, wanted_gradients
from npconv.layouts import read_shapes
from npconv.options import (
    bare_axes,
    check_mode,
    check_padding_mode,
    per_axis,
    resolve_padding,
    spelled_out,
    whole_number,
)
from npconv.problem import Array, ConvProblem, Direction


class TransposedGeometry(TypedDict, total=False):
    """Options that say which terms are summed; see `conv_transpose`."""

    stride: int | Sequence[int]
    padding: int | str | Sequence[int] | Sequence[tuple[int, int]]
    output_padding: int | Sequence[int]
    dilation: int | Sequence[int]
    groups: int
    padding_mode: str
    layout: str | None
    kernel_layout: str | None


class TransposedOptions(TransposedGeometry, total=False):
    """All options of a transposed convolution."""

    dtype: DTypeLike | None
    algorithm: str
    out: Array | None


@spelled_out(TransposedGeometry)
def conv_transpose(
    input: Any,
    kernel: Any,
    bias: Any = None,
    *,
    dtype: DTypeLike | None = None,
    algorithm: str = "auto",
    out: Array | None = None,
    **geometry: Unpack[TransposedGeometry],
) -> Array:
    """Transposed convolution of any spatial rank: the adjoint of `conv`, plus a bias.

    Every input element lays the kernel, weighted by it, onto the output; what overlaps
    adds up. Its shape is that of the input which `conv` with the same options would map
    to one of this input's shape.

    Parameters
    ----------
    input : array_like, shape (N, C_in, *spatial)
    kernel : array_like, shape (C_in, C_out // groups, *kernel_size)
        In ``kernel_layout``, by default ``"IOHW"`` and the like; ``I`` is the axis summed
        with the input's channels.
    bias : array_like, shape (C_out,), optional
    stride, dilation : int or one per axis
    padding : int, one per axis, (low, high) pairs, "valid" or "causal"
        Cropped from the output. ``"same"`` says nothing about this direction.
    output_padding : int or one per axis
        Rows more at the high end, which a stride leaves open; below the larger of stride
        and dilation.
    groups : int
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        The adjoint of that padding: what falls outside the output folds back into it.
    layout, kernel_layout, dtype, algorithm, out
        As for `conv`.

    Returns
    -------
    ndarray, shape (N, C_out, *out)
        With ``out = (size - 1) * stride - low - high + dilation * (kernel_size - 1) + 1 +
        output_padding`` on each axis.

    Raises
    ------
    ShapeError, DTypeError, UnsupportedError, RangeError, CapacityError
        As for `conv`.

    Notes
    -----
    Zeiler, Krishnan, Taylor and Fergus, "Deconvolutional networks", 2010.

    Examples
    --------
    >>> import numpy as np, npconv
    >>> npconv.conv_transpose(np.array([[[1.0, 2.0]]]), np.array([[[1.0, 10.0, 100.0]]]))
    array([[[  1.,  12., 120., 200.]]])
    """
    x, w = as_array("input", input), as_array("kernel", kernel)
    b = None if bias is None else as_array("bias", bias)
    choice = choice_for(
        Direction.INPUT_GRAD, x.shape, w.shape, x, w, dtype, algorithm, geometry, TRANSPOSED
    )
    return execute.input_grad(choice, x, w, b, out, name="input", conjugate=False)


@spelled_out(TransposedOptions)
def conv_transpose1d(
    input: Any, kernel: Any, bias: Any = None, **options: Unpack[TransposedOptions]
) -> Array:
    """Transposed convolution along one axis: `conv_transpose` with the rank checked.

    Parameters
    ----------
    input : array_like, shape (N, C_in, L) or (C_in, L)
    kernel : array_like, shape (C_in, C_out // groups, K)
    bias : array_like, shape (C_out,), optional
    **options
        As for `conv_transpose`.

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
    >>> npconv.conv_transpose1d(np.ones((1, 3)), np.ones((1, 1, 2)), stride=2)
    array([[1., 1., 1., 1., 1., 1.]])
    """
    return of_rank(1, "conv_transpose1d", conv_transpose, input, kernel, bias, options)


@spelled_out(TransposedOptions)
def conv_transpose2d(
    input: Any, kernel: Any, bias: Any = None, **options: Unpack[TransposedOptions]
) -> Array:
    """Transposed convolution of pictures: `conv_transpose` with the rank checked.

    Parameters
    ----------
    input : array_like, shape (N, C_in, H, W) or (C_in, H, W)
    kernel : array_like, shape (C_in, C_out // groups, K_h, K_w)
    bias : array_like, shape (C_out,), optional
    **options
        As for `conv_transpose`.

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
    >>> x, w = np.ones((8, 16, 16)), np.ones((8, 4, 3, 3))
    >>> npconv.conv_transpose2d(x, w, stride=2, padding=1, output_padding=1).shape
    (4, 32, 32)
    """
    return of_rank(2, "conv_transpose2d", conv_transpose, input, kernel, bias, options)


@spelled_out(TransposedOptions)
def conv_transpose3d(
    input: Any, kernel: Any, bias: Any = None, **options: Unpack[TransposedOptions]
) -> Array:
    """Transposed convolution of volumes: `conv_transpose` with the rank checked.

    Parameters
    ----------
    input : array_like, shape (N, C_in, D, H, W) or (C_in, D, H, W)
    kernel : array_like, shape (C_in, C_out // groups, K_d, K_h, K_w)
    bias : array_like, shape (C_out,), optional
    **options
        As for `conv_transpose`.

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
    >>> npconv.conv_transpose3d(np.ones((1, 1, 2, 2, 2)), np.ones((1, 1, 2, 2, 2))).shape
    (1, 1, 3, 3, 3)
    """
    return of_rank(3, "conv_transpose3d", conv_transpose, input, kernel, bias, options)


@spelled_out(TransposedGeometry)
def conv_transpose_backward(
    grad_output: Any,
    input: Any,
    kernel: Any,
    *,
    needs: Collection[str] = ("input", "kernel", "bias"),
    dtype: DTypeLike | None = None,
    algorithm: str = "auto",
    **geometry: Unpack[TransposedGeometry],
) -> ConvGradients:
    """Gradients of `conv_transpose` with respect to input, kernel and bias.

    The adjoint of an adjoint is the map itself: the input's gradient is `conv`.

    Parameters
    ----------
    grad_output : array_like
        Gradient with respect to the output, of its shape.
    input, kernel : array_like
        The forward call's operands.
    needs : collection of {"input", "kernel", "bias"}
        Which gradients to compute; the others are None.
    dtype, algorithm, stride, padding, ...
        The options of the forward call, as for `conv_transpose`.

    Returns
    -------
    ConvGradients
        Named tuple ``(input, kernel, bias)``.

    Raises
    ------
    ShapeError, DTypeError, UnsupportedError, RangeError, CapacityError
        As for `conv`.

    Examples
    --------
    >>> import numpy as np, npconv
    >>> x, w = np.ones((2, 4, 8, 8)), np.ones((4, 3, 3, 3))
    >>> grads = npconv.conv_transpose_backward(np.ones((2, 3, 10, 10)), x, w)
    >>> grads.input.shape, grads.kernel.shape, grads.bias
    ((2, 4, 8, 8), (4, 3, 3, 3), array([200., 200., 200.]))
    """
    wanted = wanted_gradients(needs)
    dy = as_array("grad_output", grad_output)
    x, w = as_array("input", input), as_array("kernel", kernel)
    choices = choices_for(wanted, dy, x, w, dtype, algorithm, geometry, TRANSPOSED)
    dx = dw = db = None
    if choices.input is not None:
        dx = execute.forward(choices.input, dy, w, None, None, conjugate=True)
    if choices.kernel is not None:
        # The roles of x and dy are exchanged, so the conjugate falls on the other one.
        dw = execute.kernel_grad(choices.kernel, x, dy, None, conjugate=False, first_conjugate=True)
    if choices.bias is not None:
        db = execute.bias_grad(choices.problem.view_channels(dy), choices.bias)
    return ConvGradients(dx, dw, db)


def transposed_problem(
    input_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
    padding_mode: Any = "zeros",
    layout: Any = None,
    kernel_layout: Any = None,
) -> ConvProblem:
    """Pose the convolution whose adjoint is asked for; its *output* has ``input_shape``."""
    # The kernel's letters change roles: what is summed here is what conv writes.
    turned = str.maketrans("IO", "OI")
    if isinstance(kernel_layout, str):
        kernel_layout = kernel_layout.translate(turned)
    given = read_shapes(input_shape, kernel_shape, layout, kernel_layout)
    groups = whole_number("groups", groups, at_least=1)
    axis = given.kernel_layout.index("O") if given.kernel_layout else 0
    if given.channels != given.out_channels:
        raise ShapeError(
            f"input has {given.channels} channels but the kernel takes {given.out_channels} "
            f"(kernel.shape[{axis}]); {given.text}"
        )
    if given.out_channels % groups:
        raise ShapeError(
            f"groups must divide the input's channels, but {given.out_channels} % {groups} "
            f"= {given.out_channels % groups}; {given.text}"
        )
    check_padding_mode(padding_mode)
    if isinstance(padding, str) and padding.startswith("same"):
        raise UnsupportedError(
            f"padding={padding!r} does not determine a transposed convolution; "
            "write (low, high) pairs and output_padding"
        )
    axes = []
    bare = bare_axes(given.size, given.kernel, stride, dilation, 1)
    extra = per_axis("output_padding", output_padding, len(bare), at_least=0)
    for i, (a, (low, high), more) in enumerate(
        zip(bare, resolve_padding(padding, bare), extra, strict=True)
    ):
        if more >= max(a.stride, a.dilation):
            raise ShapeError(
                f"output_padding must be below the larger of stride and dilation on every axis, "
                f"but on spatial axis {i} output_padding={more}, stride={a.stride}, "
                f"dilation={a.dilation}"
            )
        size = (a.size - 1) * a.stride - low - high + a.reach + more
        if size < 1 or not a.size:
            raise ShapeError(
                f"the output has size {size} on spatial axis {i} ((size - 1) * stride - low - "
                f"high + dilation * (kernel - 1) + 1 + output_padding = ({a.size} - 1) * "
                f"{a.stride} - {low} - {high} + {a.reach} + {more}), but it must be at least 1, "
                f"from an input of at least 1; {given.text}"
            )
        axes.append(a._replace(size=size, low=low, high=high - more))
        check_mode(padding_mode, axes[-1], i, given.text)
    return ConvProblem(
        N=given.batch,
        C=given.into,
        K=given.out_channels // groups,
        axes=tuple(axes),
        groups=groups,
        padding_mode=padding_mode,
        layout=given.layout,
        kernel_layout=given.kernel_layout,
    )


TRANSPOSED = Way(transposed_problem, Direction.FORWARD)
