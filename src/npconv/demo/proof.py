"""The proof that npconv computes what it says: figures, what they must be, and a verdict.

Three questions of each case, a layer with its options: do the loops of `conv2d_naive` and
the matrix product of `conv2d_im2col` agree; have output and gradients the shapes they
must have; do the gradients of `Conv2dNumpy` agree with finite differences, which know
nothing of how they were derived? NumPy alone is needed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from npconv import core
from npconv.demo import essence
from npconv.problem import Array

AGREEMENT_BOUND = 1e-12  # for sums of up to 1,000 products of standard normal numbers
GRADIENT_BOUND = 1e-6  # of the largest element; central differences are no better


@dataclass(frozen=True, slots=True)
class Check:
    """One figure and what it must be: equal to a shape, or at most a bound."""

    name: str
    value: tuple[int, ...] | float
    needed: tuple[int, ...] | float

    @property
    def holds(self) -> bool:
        """Whether it is so; a NaN is never within a bound."""
        if isinstance(self.value, tuple) or isinstance(self.needed, tuple):
            return self.value == self.needed
        return self.value <= self.needed

    @property
    def number(self) -> float:
        """The figure of a bounded check; NaN for a shape."""
        return float("nan") if isinstance(self.value, tuple) else self.value

    def as_dict(self) -> dict[str, Any]:
        """Give it as data."""
        return {
            "name": self.name,
            "value": self.value,
            "needed": self.needed,
            "holds": self.holds,
        }


@dataclass(frozen=True)
class Case:
    """A layer and an input to try it on."""

    input_shape: tuple[int, int, int, int]
    out_channels: int
    kernel_size: Any
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The options as one would write them."""
        return ", ".join(self.listed)

    @property
    def listed(self) -> list[str]:
        """The options one by one."""
        return [f"{name}={value}" for name, value in self.options.items()]

    @property
    def call(self) -> str:
        """The layer as one would write it."""
        start = f"Conv2dNumpy({self.input_shape[1]}, {self.out_channels}, {self.kernel_size}"
        return f"{start}, {self.text})" if self.options else f"{start})"


MAIN_CASE = Case((2, 3, 8, 8), 4, 3, {"padding": 1})
VARIANTS = (
    Case((2, 2, 6, 6), 3, 3, {"stride": 2, "padding": 1}),
    Case((2, 2, 5, 5), 3, 3, {"dilation": 2, "padding": 2}),
    Case((2, 4, 4, 4), 6, 3, {"groups": 2, "padding": 1}),
    Case((2, 2, 4, 7), 3, (2, 3), {"stride": (1, 2), "padding": [(0, 1), (2, 1)]}),
    Case((2, 4, 6, 6), 4, 3, {"stride": 2, "dilation": 2, "groups": 4, "padding": 2}),
)


@dataclass(frozen=True, slots=True)
class CaseProof:
    """All checks of one case."""

    case: Case
    agreement: Check
    shapes: tuple[Check, ...]  # output, input, weight, bias
    gradients: tuple[Check, ...]  # input, weight, bias

    @property
    def checks(self) -> tuple[Check, ...]:
        """The checks in one row."""
        return (self.agreement, *self.shapes, *self.gradients)

    @property
    def holds(self) -> bool:
        """Whether all of them hold."""
        return all(check.holds for check in self.checks)


@dataclass(frozen=True, slots=True)
class Proof:
    """The whole: one case at length, sums of 1,000 terms, the ten lines, the variants."""

    main: CaseProof
    long_sums: Check
    essence: tuple[Check, ...]
    variants: tuple[CaseProof, ...]
    seconds: float

    @property
    def checks(self) -> tuple[Check, ...]:
        """Every check there is."""
        of_variants = tuple(check for variant in self.variants for check in variant.checks)
        return (*self.main.checks, self.long_sums, *self.essence, *of_variants)

    @property
    def holds(self) -> bool:
        """Whether all of it holds."""
        return all(check.holds for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Give it as data."""
        cases = [
            {
                "layer": proof.case.call,
                "input_shape": proof.case.input_shape,
                "agreement": proof.agreement.as_dict(),
                "shapes": [check.as_dict() for check in proof.shapes],
                "gradients": [check.as_dict() for check in proof.gradients],
                "holds": proof.holds,
            }
            for proof in (self.main, *self.variants)
        ]
        return {
            "holds": self.holds,
            "checks": len(self.checks),
            "seconds": self.seconds,
            "cases": cases,
            "long_sums": self.long_sums.as_dict(),
            "ten_lines": [check.as_dict() for check in self.essence],
        }


def prove(seed: int = 0) -> Proof:
    """Do all checks, on normal data drawn from ``seed``.

    Examples
    --------
    >>> from npconv.demo.proof import prove
    >>> prove().holds
    True
    """
    began = time.perf_counter()
    rng = np.random.default_rng(seed)
    return Proof(
        main=_prove_case(MAIN_CASE, rng),
        long_sums=_long_sums(rng),
        essence=_prove_essence(rng),
        variants=tuple(_prove_case(case, rng) for case in VARIANTS),
        seconds=time.perf_counter() - began,
    )


def _prove_case(case: Case, rng: np.random.Generator) -> CaseProof:
    x = rng.standard_normal(case.input_shape)
    layer = core.Conv2dNumpy(
        case.input_shape[1], case.out_channels, case.kernel_size, **case.options
    )
    # From this generator, so that the figures are the same on every run.
    layer.weight[...] = rng.standard_normal(layer.weight.shape)
    layer.bias[...] = rng.standard_normal(layer.bias.shape)

    y = layer.forward(x)
    naive = core.conv2d_naive(x, layer.weight, layer.bias, **case.options)
    # The loss sum(y**2) has the gradient 2y.
    grad_input = layer.backward(2 * y)
    analytic = {"input": grad_input, "weight": layer.weight_grad, "bias": layer.bias_grad}
    varied = {"input": x, "weight": layer.weight, "bias": layer.bias}
    return CaseProof(
        case=case,
        agreement=Check("agreement", _distance(naive, y), AGREEMENT_BOUND),
        shapes=(
            Check("output", y.shape, _output_shape(case)),
            *(Check(name, _shape(grad), varied[name].shape) for name, grad in analytic.items()),
        ),
        gradients=tuple(
            _gradient_check(name, grad, layer, x, varied[name]) for name, grad in analytic.items()
        ),
    )


def _gradient_check(
    name: str, analytic: Array | None, layer: core.Conv2dNumpy, x: Array, varied: Array
) -> Check:
    numeric = core.numerical_gradient(lambda: np.sum(layer.forward(x) ** 2), varied)
    if analytic is None or analytic.shape != numeric.shape:
        return Check(name, float("nan"), GRADIENT_BOUND)
    largest = float(np.abs(analytic).max())
    return Check(name, _distance(analytic, numeric) / largest, GRADIENT_BOUND)


def _output_shape(case: Case) -> tuple[int, ...]:
    """Work the shape out once more, with the formula as textbooks have it."""
    sizes = []
    for axis in range(2):
        pads = _on_axis(case.options.get("padding", 0), axis)
        total = sum(pads) if isinstance(pads, tuple) else 2 * pads
        reach = _on_axis(case.options.get("dilation", 1), axis) * (
            _on_axis(case.kernel_size, axis) - 1
        )
        stride = _on_axis(case.options.get("stride", 1), axis)
        sizes.append((case.input_shape[2 + axis] + total - reach - 1) // stride + 1)
    return (case.input_shape[0], case.out_channels, *sizes)


def _on_axis(value: Any, axis: int) -> Any:
    return value[axis] if isinstance(value, tuple | list) else value


def _long_sums(rng: np.random.Generator) -> Check:
    """Compare the two once more where each output is a sum of 40 * 5 * 5 = 1,000 terms."""
    x, w = rng.standard_normal((1, 40, 9, 9)), rng.standard_normal((4, 40, 5, 5))
    difference = _distance(core.conv2d_naive(x, w), core.conv2d_im2col(x, w))
    return Check("long_sums", difference, AGREEMENT_BOUND)


def _prove_essence(rng: np.random.Generator) -> tuple[Check, ...]:
    """Compare the ten lines of `npconv.demo.essence` with the layer."""
    x = rng.standard_normal((2, 3, 8, 8))
    layer = core.Conv2dNumpy(3, 4, 3)
    layer.weight[...] = rng.standard_normal(layer.weight.shape)
    layer.bias[...] = rng.standard_normal(layer.bias.shape)
    y = layer.forward(x)
    grad_input = layer.backward(2 * y)
    short, col = essence.forward(x, layer.weight, layer.bias)
    grads = essence.backward(2 * short, col, x, layer.weight)
    pairs = {
        "output": (short.reshape(y.shape), y),
        "input": (grads[0], grad_input),
        "weight": (grads[1], layer.weight_grad),
        "bias": (grads[2], layer.bias_grad),
    }
    return tuple(
        # Relative: the weights' gradients are sums over sums, and large.
        Check(name, _distance(a, b) / float(np.abs(a).max()), AGREEMENT_BOUND)
        for name, (a, b) in pairs.items()
    )


def _shape(grad: Array | None) -> tuple[int, ...]:
    return () if grad is None else grad.shape


def _distance(a: Any, b: Any) -> float:
    """Give max|a - b|; where the shapes differ there is none."""
    return float(np.abs(a - b).max()) if np.shape(a) == np.shape(b) else float("nan")
