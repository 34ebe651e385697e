"""Convolution and its transpose as one bilinear map, and how far two results may differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import npconv

Array: TypeAlias = NDArray[Any]
Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Convolution:
    """`npconv.conv` with its options, and its gradients."""

    options: dict[str, Any] = field(default_factory=dict)

    def forward(self, x: Array, w: Array, bias: Array | None = None) -> Array:
        """Convolve."""
        return npconv.conv(x, w, bias, **self.options)

    def input_grad(self, dy: Array, w: Array, shape: Shape) -> Array:
        """Gradient with respect to an input of this shape."""
        return npconv.conv_input_grad(dy, w, shape, **self.options)

    def kernel_grad(self, dy: Array, x: Array, shape: Shape) -> Array:
        """Gradient with respect to a kernel of this shape."""
        return npconv.conv_kernel_grad(dy, x, shape, **self.options)

    def plan(self, direction: str, x: Shape, w: Shape, dtype: Any, **more: Any) -> npconv.Plan:
        """Plan what `forward` and its gradients run."""
        options = {**self.options, "dtype": dtype, **more}
        return npconv.plan_conv(x, w, direction=direction, **options)


@dataclass(frozen=True)
class Transposed:
    """`npconv.conv_transpose` with its options, and its gradients."""

    options: dict[str, Any] = field(default_factory=dict)

    def forward(self, x: Array, w: Array, bias: Array | None = None) -> Array:
        """Convolve transposed."""
        return npconv.conv_transpose(x, w, bias, **self.options)

    def input_grad(self, dy: Array, w: Array, shape: Shape) -> Array:
        """Gradient with respect to an input of this shape."""
        return self._gradient("input", dy, np.zeros(shape, dy.dtype), w)

    def kernel_grad(self, dy: Array, x: Array, shape: Shape) -> Array:
        """Gradient with respect to a kernel of this shape."""
        return self._gradient("kernel", dy, x, np.zeros(shape, dy.dtype))

    def _gradient(self, name: str, dy: Array, x: Array, w: Array) -> Array:
        gradients = npconv.conv_transpose_backward(dy, x, w, needs=[name], **self.options)
        gradient: Array = getattr(gradients, name)
        return gradient

    def plan(self, direction: str, x: Shape, w: Shape, dtype: Any, **more: Any) -> npconv.Plan:
        """Plan the convolution whose adjoint this is: their directions are exchanged."""
        options = dict(self.options)
        y = npconv.conv_transpose(np.zeros(x, np.int8), np.zeros(w, np.int8), **options).shape
        rank = len(x) - 2
        extra = _per_axis(options.pop("output_padding", 0), rank)
        pads = options.pop("padding", 0)
        if not isinstance(pads, str):
            options["padding"] = [
                (low, high - e)
                for (low, high), e in zip(_pairs(_per_axis(pads, rank)), extra, strict=True)
            ]
        turned = {"forward": "input_grad", "input_grad": "forward"}.get(direction, direction)
        options |= {"dtype": dtype, "direction": turned, **more}
        return npconv.plan_conv(y, w, **options)


Operation: TypeAlias = Convolution | Transposed


def allowed(
    operation: Operation,
    direction: str,
    first: Array,
    second: Array,
    third: Array | Shape | None,
    dtype: np.dtype[Any],
) -> Array | float:
    """Bound how far two honest results of this dtype may lie apart; 0 for integers.

    The operands are those of the direction's method, the third a bias or a shape. A sum of n
    products rounds by at most ``n * u * (|x| * |w|)``, whatever its order (Higham, Accuracy and
    Stability of Numerical Algorithms, 2002, section 3.1), and a cast once more. That is the
    peer's share, and npconv's where it sums directly; else its plan states its growth, by the
    largest element. Both (|x| * |w|) and n, the sum of products of ones, are npconv's own.
    """
    if dtype.kind in "buiO":
        return 0.0
    u = unit_roundoff(dtype)
    run = getattr(operation, direction)
    shape = third if isinstance(third, tuple) else ()
    sizes = [_size(a) for a in (first, second, third) if isinstance(a, np.ndarray)]
    tail = (shape,) if shape else ()
    magnitude = run(*sizes, *tail)
    growth = run(*(np.ones_like(size) for size in sizes), *tail) + 1
    if dtype.kind == "c":
        # Peers form three real products of (xr + xi)(wr + wi) and the like, each at most
        # 2 |x| |w|, and subtract two of them: 2 n + n + n, for both parts at most this.
        growth = 6 * growth + 6
    theirs = growth * magnitude
    x, w = _shapes(direction, first, second, shape)
    plan = operation.plan(direction, x, w, dtype)
    if _sums_directly(operation, plan, direction, x, w, dtype):
        return np.asarray(2 * u * theirs)
    return np.asarray(u * (theirs + (plan.error_growth + 2) * magnitude.max(initial=0.0)))


def _size(array: Array) -> Array:
    """Take absolute values, wide enough to compute with."""
    if array.dtype.kind == "c":
        return np.abs(array).astype(np.float64)
    return np.abs(array.astype(np.float64))


def _shapes(direction: str, first: Array, second: Array, shape: Shape) -> tuple[Shape, Shape]:
    """Shapes of the forward call's operands."""
    if direction == "forward":
        return first.shape, second.shape
    return (shape, second.shape) if direction == "input_grad" else (second.shape, shape)


def _sums_directly(
    operation: Operation, plan: npconv.Plan, direction: str, x: Shape, w: Shape, dtype: Any
) -> bool:
    """Whether the algorithm of a plan is one that ``accuracy="strict"`` admits."""
    try:
        with npconv.settings(accuracy="strict"):
            operation.plan(direction, x, w, dtype, algorithm=plan.algorithm)
    except npconv.UnsupportedError:
        return False
    return True


def unit_roundoff(dtype: np.dtype[Any]) -> float:
    """Half the distance from 1 to the next number."""
    if dtype.name == "bfloat16":  # unknown to np.finfo
        return 2.0**-8
    return float(np.finfo(dtype).eps) / 2


def _per_axis(value: Any, rank: int) -> Sequence[Any]:
    return value if isinstance(value, Sequence) else [value] * rank


def _pairs(pads: Sequence[Any]) -> list[tuple[int, int]]:
    return [tuple(pad) if isinstance(pad, Sequence) else (pad, pad) for pad in pads]
