"""Prove a gradient: compare it with differences, along random directions and elementwise.

The idea: for ``L(x) = <v, f(x)>`` with a fixed random ``v``, the gradient that a backward
function returns for ``grad_output = v`` must give every directional derivative of ``L``.
A few random directions find almost any fault; then every element is checked by itself and
the worst is named.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from npconv import functional, gradients, pooling, transposed
from npconv.arrays import as_array
from npconv.differences import numerical_gradient
from npconv.errors import DTypeError, ShapeError, UnsupportedError, show
from npconv.options import finite_number, whole_number
from npconv.problem import Array

DIRECTIONS = 4

GradFunction = Callable[..., Sequence[Array | None]]


class GradcheckEntry(NamedTuple):
    """The comparison for one input: errors relative to the largest gradient element."""

    name: str
    directional_error: float
    elementwise_error: float
    worst: tuple[int, ...]
    analytic: float | complex
    numeric: float | complex
    holds: bool


class GradcheckReport(NamedTuple):
    """What `gradcheck` found; true when every gradient holds, and printable.

    Attributes
    ----------
    entries : tuple of GradcheckEntry
        One for each input (and parameter of a layer) that has a gradient.
    rtol : float
        What the errors were held against.

    Examples
    --------
    >>> import numpy as np, npconv
    >>> report = npconv.gradcheck(npconv.conv, (np.ones((1, 1, 4)), np.ones((1, 1, 2))))
    >>> bool(report), report.entries[1].name
    (True, 'inputs[1]')
    """

    entries: tuple[GradcheckEntry, ...]
    rtol: float

    def __bool__(self) -> bool:
        """Whether every gradient holds."""
        return all(entry.holds for entry in self.entries)

    def __str__(self) -> str:
        """One line for each gradient: both errors, and the worst element both ways."""
        lines = [f"gradcheck {'holds' if self else 'FAILED'} (rtol={self.rtol:g})"]
        lines += [
            f"  {'ok  ' if e.holds else 'FAIL'} {e.name}: directions {e.directional_error:.2e}, "
            f"elements {e.elementwise_error:.2e}; worst at {e.worst}: "
            f"analytic {e.analytic:.9g}, numeric {e.numeric:.9g}"
            for e in self.entries
        ]
        return "\n".join(lines)


def gradcheck(
    f: Any,
    inputs: Sequence[Any],
    grads: GradFunction | None = None,
    *,
    h: float | None = None,
    rtol: float = 1e-6,
    seed: int = 0,
) -> GradcheckReport:
    """Compare analytic gradients with central differences, in double precision.

    Parameters
    ----------
    f : callable or layer
        ``f(*inputs)`` gives an array. Without ``grads`` it is a function of npconv that takes
        arrays alone (convolution, transposed convolution, their gradients, pooling; options
        through `functools.partial`), or a layer with ``forward`` and ``backward``, whose
        parameters are then checked as well.
    inputs : sequence of array_like
        Arrays where to check; copied to float64 or complex128, never written to. A complex
        gradient is PyTorch's: the derivative by the real part plus i times that by the
        imaginary part. Of a real input's gradient the real part counts.
    grads : callable, optional
        ``grads(grad_output, *inputs)`` gives a tuple, one gradient for each input, or None
        for what is not to be checked.
    h : float, optional
        Step of the differences; by default ``eps**(1/3)`` times the largest input element,
        but at least ``eps**(1/3)``.
    rtol : float
        Largest error allowed, relative to the largest element of the gradient.
    seed : int
        Of the random directions.

    Returns
    -------
    GradcheckReport
        False in a condition when a gradient fails; ``print`` shows both numbers.

    Raises
    ------
    UnsupportedError
        No backward function is known for ``f``.
    ShapeError, DTypeError
        A gradient of the wrong shape, inputs or results that are not numbers, an argument
        of the wrong kind.

    Examples
    --------
    >>> import numpy as np, npconv
    >>> rng = np.random.default_rng(0)
    >>> x, w = rng.standard_normal((2, 3, 5, 5)), rng.standard_normal((4, 3, 3, 3))
    >>> bool(npconv.gradcheck(npconv.conv, (x, w)))
    True
    >>> wrong = lambda g, x, w: tuple(1.001 * d for d in npconv.conv_backward(g, x, w)[:2])
    >>> bool(npconv.gradcheck(npconv.conv, (x, w), wrong))
    False
    """
    values = _check_inputs(inputs)
    rtol = _positive("rtol", rtol)
    h = None if h is None else _positive("h", h)
    rng = np.random.default_rng(whole_number("seed", seed, at_least=0))
    names = [f"inputs[{i}]" for i in range(len(values))]
    if grads is None and hasattr(f, "forward") and hasattr(f, "backward"):
        layer_names, parameters = _parameters(f)
        function, grads = _of_layer(f, layer_names)
        names += layer_names
        variables = [*values, *parameters]  # parameters are live: perturbing them is enough
    else:
        function, variables = f, values
        grads = _backward_of(f) if grads is None else grads
    for name, called in (("f", function), ("grads", grads)):
        if not callable(called):
            raise DTypeError(f"{name} must be callable, but {name}={show(called)}")

    def output() -> Array:
        return as_array("the result of f", function(*values))

    v = _normals(rng, output())
    analytic = grads(v, *values)
    if not isinstance(analytic, Sequence) or len(analytic) != len(variables):
        count = f" of {len(analytic)}" if isinstance(analytic, Sequence) else ""
        raise ShapeError(
            f"grads must return a tuple of one gradient for each of the {len(variables)} inputs, "
            f"but it returned a {type(analytic).__name__}{count}"
        )
    entries = []
    for name, x, dx in zip(names, variables, analytic, strict=True):
        if dx is not None:
            step = _default_step(x) if h is None else h
            gradient = _as_gradient(name, dx, x)
            entries.append(
                _compare(name, lambda: np.vdot(v, output()).real, x, gradient, step, rtol, rng)
            )
    return GradcheckReport(tuple(entries), rtol)


def _compare(
    name: str,
    loss: Callable[[], Any],
    x: Array,
    gradient: Array,
    h: float,
    rtol: float,
    rng: np.random.Generator,
) -> GradcheckEntry:
    """Compare the gradient of ``loss`` at ``x`` both ways."""
    numeric = _numeric(loss, x, h)
    scale = max(np.abs(gradient).max(initial=0), np.abs(numeric).max(initial=0))
    directional = max(
        _directional_error(loss, x, gradient, h, _normals(rng, x)) for _ in range(DIRECTIONS)
    )
    error = np.abs(gradient - numeric)
    worst: tuple[int, ...] = ()
    if error.size:
        # NaN counts as the worst, so that it cannot hide behind a comparison.
        worst = tuple(
            int(i) for i in np.unravel_index(np.nan_to_num(error, nan=np.inf).argmax(), x.shape)
        )
    relative = float(error[worst] / scale) if error.size and scale else 0.0
    return GradcheckEntry(
        name=name,
        directional_error=directional,
        elementwise_error=relative,
        worst=worst,
        analytic=gradient[worst].item() if error.size else 0.0,
        numeric=numeric[worst].item() if error.size else 0.0,
        holds=bool(relative <= rtol and directional <= rtol),
    )


def _directional_error(
    loss: Callable[[], Any], x: Array, gradient: Array, h: float, direction: Array
) -> float:
    """Compare one directional derivative; relative to the norms, as the sum's terms may cancel."""
    length = np.linalg.norm(direction)
    if not length:
        return 0.0
    direction = direction / length
    kept = x.copy()
    try:
        x[...] = kept + h * direction
        above = float(loss())
        x[...] = kept - h * direction
        below = float(loss())
    finally:
        x[...] = kept
    numeric = (above - below) / (2 * h)
    analytic = float(np.vdot(gradient, direction).real)
    scale = float(np.linalg.norm(gradient))
    return abs(analytic - numeric) / scale if scale else abs(numeric)


def _numeric(loss: Callable[[], Any], x: Array, h: float) -> Array:
    """Differences by each element; by real and imaginary part where it has both."""
    if x.dtype.kind != "c":
        return numerical_gradient(loss, x, h)
    reals = x.reshape(-1).view(np.float64)  # of the same memory: inputs are contiguous copies
    return numerical_gradient(loss, reals, h).view(x.dtype).reshape(x.shape)


def _normals(rng: np.random.Generator, like: Array) -> Array:
    """Draw standard normals of an array's shape, complex ones if it is."""
    numbers = rng.standard_normal(like.shape)
    return numbers + 1j * rng.standard_normal(like.shape) if like.dtype.kind == "c" else numbers


def _default_step(x: Array) -> float:
    """Balance truncation, of order h**2, against rounding, of order eps / h."""
    largest = float(np.abs(x).max(initial=0))
    return float(np.finfo(np.float64).eps ** (1 / 3)) * max(1.0, largest)


def _check_inputs(inputs: Any) -> list[Array]:
    """Copy the inputs in double precision."""
    if not isinstance(inputs, Sequence) or isinstance(inputs, str | bytes):
        raise DTypeError(
            "inputs must be a tuple or list of arrays, one for each argument of f, but it is of "
            f"type {type(inputs).__name__}"
        )
    values = []
    for i, value in enumerate(inputs):
        array = as_array(f"inputs[{i}]", value)
        if array.dtype.kind == "O":
            raise DTypeError(
                f"inputs[{i}] must hold machine numbers, but its dtype is {array.dtype}"
            )
        kind = np.complex128 if array.dtype.kind == "c" else np.float64
        values.append(np.array(array, dtype=kind, order="C"))
    return values


def _as_gradient(name: str, dx: Any, x: Array) -> Array:
    """Check a gradient against its variable; of a real one the real part counts."""
    gradient = as_array(f"the gradient of {name}", dx)
    if gradient.shape != x.shape:
        raise ShapeError(
            f"the gradient of {name} must have its shape {x.shape}, but it has {gradient.shape}"
        )
    if gradient.dtype.kind == "c" and x.dtype.kind != "c":
        gradient = gradient.real
    return gradient.astype(x.dtype)


def _positive(name: str, value: Any) -> float:
    number = finite_number(name, value)
    if number <= 0:
        raise UnsupportedError(f"{name} must be positive, but {name}={show(value)}")
    return number


# ---- backward functions that are known -----------------------------------------------------


def _backward_of(f: Any) -> GradFunction:
    """Find the backward of a function of this package, options included."""
    options: dict[str, Any] = {}
    while isinstance(f, functools.partial) and not f.args:
        options = {**f.keywords, **options}
        f = f.func
    for known, backward in BACKWARDS.items():
        if f in known:
            options.pop("out", None)
            return functools.partial(backward, **options)
    names = ", ".join(function.__name__ for known in BACKWARDS for function in known)
    raise UnsupportedError(
        f"grads must be given for this f; without it, f is one of {names} "
        "(also as functools.partial(f, stride=2)), or a layer with forward and backward"
    )


def _conv(dy: Array, x: Array, w: Array, *bias: Array, **options: Any) -> Sequence[Array | None]:
    return gradients.conv_backward(dy, x, w, **options)[: 2 + len(bias)]


def _conv_transpose(
    dy: Array, x: Array, w: Array, *bias: Array, **options: Any
) -> Sequence[Array | None]:
    return transposed.conv_transpose_backward(dy, x, w, **options)[: 2 + len(bias)]


def _conv_input_grad(ddx: Array, dy: Array, w: Array, **options: Any) -> Sequence[Array | None]:
    """Differentiate once more: the gradient is linear in dy and in w."""
    options.pop("input_shape")  # that of ddx
    to_dy = functional.conv(ddx, w, **options)
    return to_dy, gradients.conv_kernel_grad(dy, ddx, w.shape, **options)


def _conv_kernel_grad(ddw: Array, dy: Array, x: Array, **options: Any) -> Sequence[Array | None]:
    options.pop("kernel_shape")  # that of ddw
    to_dy = functional.conv(x, ddw, **options)
    return to_dy, gradients.conv_input_grad(dy, ddw, x.shape, **options)


# Which functions a backward belongs to.
BACKWARDS: dict[tuple[Callable[..., Any], ...], Callable[..., Sequence[Array | None]]] = {
    (functional.conv, functional.conv1d, functional.conv2d, functional.conv3d): _conv,
    (
        transposed.conv_transpose,
        transposed.conv_transpose1d,
        transposed.conv_transpose2d,
        transposed.conv_transpose3d,
    ): _conv_transpose,
    (gradients.conv_input_grad,): _conv_input_grad,
    (gradients.conv_kernel_grad,): _conv_kernel_grad,
    (pooling.max_pool,): lambda dy, x, **options: (pooling.max_pool_backward(dy, x, **options),),
    (pooling.avg_pool,): lambda dy, x, **options: (pooling.avg_pool_backward(dy, x, **options),),
}


def _parameters(layer: Any) -> tuple[list[str], list[Array]]:
    """Name the live parameters of a layer: of `npconv.nn`, or a Conv2dNumpy."""
    if hasattr(layer, "parameters"):
        named = dict(layer.parameters())
    else:
        named = {"weight": layer.weight, "bias": layer.bias}
    for name, array in named.items():
        if array.dtype != np.float64:
            raise DTypeError(
                f"a layer is checked in float64, but its {name} is {array.dtype}; "
                "make it with dtype=float64"
            )
    return list(named), list(named.values())


def _of_layer(layer: Any, names: list[str]) -> tuple[Callable[..., Array], GradFunction]:
    def grads(grad_output: Array, *inputs: Array) -> Sequence[Array | None]:
        layer.forward(*inputs)
        dx = layer.backward(grad_output)
        if hasattr(layer, "gradients"):
            named = dict(layer.gradients())
        else:
            named = {"weight": layer.weight_grad, "bias": layer.bias_grad}
        return [dx, *(np.array(named[name]) for name in names)]

    return layer.forward, grads
