"""The gradients of convolution, of any rank and with every option of `conv`.

With padding zeros both are convolutions themselves, so derivatives of any order are. Along
an axis, output ``p`` reads input ``t`` through kernel element ``r`` where

    p * stride + r * dilation  =  t * input_dilation + low

One equation in three indices: whichever is wanted, the other two are summed over. With
``r' = R - 1 - r``, the kernel turned round, and ``reach = (R - 1) * dilation + 1`` it reads

    t * input_dilation + r' * dilation  =  p * stride + (reach - 1 - low)
    r * dilation + p * stride           =  t * input_dilation + low

The first gives the input's gradient: ``conv(dY, turned kernel)``, with ``stride`` and
``input_dilation`` exchanged, and channels ``O`` and ``I`` of the kernel. The second gives the
kernel's: ``conv(X, dY)``, with ``stride`` and ``dilation`` exchanged, batch and channels, and so
``groups`` and ``batch_groups``. The high pads follow from the sizes:

    (size - 1) * input_dilation + reach - ((P - 1) * stride + 1) - (reach - 1 - low)
    (R - 1) * dilation + (P - 1) * stride + 1 - ((size - 1) * input_dilation + 1) - low

Where the stride does not divide, the last inputs are never read: in the first the pad grows
by them, and they see zeros alone; in the second it shrinks by them, and they are cropped.

The other padding modes are a gathering before the convolution, and a fold after its
gradient. `ConvProblem.turned` is the first rule; algorithms that need no second one take
sums over ``p`` as they come.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, Unpack

from numpy.typing import DTypeLike

from npconv import execute
from npconv.arrays import as_array
from npconv.choosing import choice_for, choices_for
from npconv.errors import UnsupportedError
from npconv.functional import Geometry
from npconv.options import spelled_out
from npconv.problem import Array, Direction


class ConvGradients(NamedTuple):
    """Gradients with respect to each operand; None where it was not asked for.

    Examples
    --------
    >>> import npconv
    >>> npconv.ConvGradients(input=None, kernel=None, bias=None)._fields
    ('input', 'kernel', 'bias')
    """

    input: Array | None
    kernel: Array | None
    bias: Array | None


@spelled_out(Geometry)
def conv_input_grad(
    grad_output: Any,
    kernel: Any,
    input_shape: Sequence[int],
    *,
    dtype: DTypeLike | None = None,
    algorithm: str = "auto",
    out: Array | None = None,
    **geometry: Unpack[Geometry],
) -> Array:
    """Gradient of `conv` with respect to its input.

    Parameters
    ----------
    grad_output : array_like
        Gradient with respect to the output; shaped like the output of the forward call.
    kernel : array_like
        The forward call's kernel.
    input_shape : sequence of int
        Shape of the forward call's input, in ``layout``; a stride may leave rows over, so
        it does not follow from the other shapes.
    dtype, algorithm, out, stride, padding, ...
        The options of the forward call, as for `conv`.

    Returns
    -------
    ndarray, shape input_shape

    Raises
    ------
    ShapeError, DTypeError, UnsupportedError, RangeError, CapacityError
        As for `conv`.

    Examples
    --------
    >>> import numpy as np, npconv
    >>> npconv.conv_input_grad(np.ones((1, 1, 3)), np.array([[[1.0, 10.0]]]), (1, 1, 4))
    array([[[ 1., 11., 11., 10.]]])
    """
    dy, w = as_array("grad_output", grad_output), as_array("kernel", kernel)
    choice = choice_for(
        Direction.INPUT_GRAD, input_shape, w.shape, dy, w, dtype, algorithm, geometry
    )
    return execute.input_grad(choice, dy, w, None, out)


@spelled_out(Geometry)
def conv_kernel_grad(
    grad_output: Any,
    input: Any,
    kernel_shape: Sequence[int],
    *,
    dtype: DTypeLike | None = None,
    algorithm: str = "auto",
    out: Array | None = None,
    **geometry: Unpack[Geometry],
) -> Array:
    """Gradient of `conv` with respect to its kernel.

    Parameters
    ----------
    grad_output : array_like
        Gradient with respect to the output; shaped like the output of the forward call.
    input : array_like
        The forward call's input.
    kernel_shape : sequence of int
        Shape of the forward call's kernel, in ``kernel_layout``.
    dtype, algorithm, out, stride, padding, ...
        The options of the forward call, as for `conv`.

    Returns
    -------
    ndarray, shape kernel_shape

    Raises
    ------
    ShapeError, DTypeError, UnsupportedError, RangeError, CapacityError
        As for `conv`.

    Examples
    --------
    >>> import numpy as np, npconv
    >>> x = np.array([[[1.0, 2.0, 4.0, 8.0]]])
    >>> npconv.conv_kernel_grad(np.ones((1, 1, 3)), x, (1, 1, 2))
    array([[[ 7., 14.]]])
    """
    dy, x = as_array("grad_output", grad_output), as_array("input", input)
    choice = choice_for(
        Direction.KERNEL_GRAD, x.shape, kernel_shape, dy, x, dtype, algorithm, geometry
    )
    return execute.kernel_grad(choice, dy, x, out)


@spelled_out(Geometry)
def conv_backward(
    grad_output: Any,
    input: Any,
    kernel: Any,
    *,
    needs: Collection[str] = ("input", "kernel", "bias"),
    dtype: DTypeLike | None = None,
    algorithm: str = "auto",
    **geometry: Unpack[Geometry],
) -> ConvGradients:
    """Gradients of `conv` with respect to input, kernel and bias.

    Parameters
    ----------
    grad_output : array_like
        Gradient with respect to the output; shaped like the output of the forward call.
    input, kernel : array_like
        The forward call's operands.
    needs : collection of {"input", "kernel", "bias"}
        Which gradients to compute; the others are None.
    dtype, algorithm, stride, padding, ...
        The options of the forward call, as for `conv`.

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
    >>> x, w = np.ones((2, 3, 8, 8)), np.ones((4, 3, 3, 3))
    >>> grads = npconv.conv_backward(np.ones((2, 4, 6, 6)), x, w, needs=["kernel", "bias"])
    >>> grads.input is None, grads.kernel.shape, grads.bias
    (True, (4, 3, 3, 3), array([72., 72., 72., 72.]))
    """
    wanted = wanted_gradients(needs)
    dy = as_array("grad_output", grad_output)
    x, w = as_array("input", input), as_array("kernel", kernel)
    # Choose for all that is wanted before computing any of it: what fails, fails at once.
    choices = choices_for(wanted, dy, x, w, dtype, algorithm, geometry)
    dx = dw = db = None
    if choices.input is not None:
        dx = execute.input_grad(choices.input, dy, w, None, None)
    if choices.kernel is not None:
        dw = execute.kernel_grad(choices.kernel, dy, x, None)
    if choices.bias is not None:
        db = execute.bias_grad(choices.problem.view_channels(dy), choices.bias)
    return ConvGradients(dx, dw, db)


def wanted_gradients(needs: Collection[str]) -> tuple[str, ...]:
    """Check which gradients are asked for."""
    names = ConvGradients._fields
    wanted = (needs,) if isinstance(needs, str) else needs
    if isinstance(wanted, Collection):
        wanted = tuple(wanted)
        for name in wanted:
            if not isinstance(name, str) or name not in names:
                break
        else:
            return wanted
    raise UnsupportedError(f"needs must be names out of {names}, but needs={needs!r}")
