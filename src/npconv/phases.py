"""The input's gradient under a stride, as convolutions without one.

Inputs whose positions leave the same remainder by the stride were read through the same
kernel elements. For each remainder the gradient is a plain convolution of the outputs'
gradient with those elements, turned round; together they form just the products of direct
summation, and none with a zero between elements (Dumoulin and Visin, A guide to convolution
arithmetic for deep learning, 2016).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple, TypeAlias

from npconv.axis import Axis
from npconv.problem import ConvProblem

Index: TypeAlias = tuple[Any, ...]


class Phase(NamedTuple):
    """Which inputs, which elements of the turned kernel, and the convolution between them."""

    inputs: Index
    taps: Index
    problem: ConvProblem


@lru_cache(maxsize=128)
def phases(problem: ConvProblem) -> tuple[Phase, ...]:
    """Cut the input's gradient of a problem without holes into its phases."""
    found = []
    for each in product(*(list(_phases(axis)) for axis in problem.axes)):
        inputs, taps, axes = zip(*each, strict=True)
        found.append(Phase(inputs, taps, problem._replace(C=problem.K, K=problem.C, axes=axes)))
    return tuple(found)


def _phases(axis: Axis) -> Iterator[tuple[slice, slice, Axis]]:
    """Solve ``t = p * stride + r * dilation - low`` for p, with ``t = first + m * stride``.

    The kernel elements of a phase are ``apart`` from each other, and what ``m`` reads through
    neighbours among them is ``dilation`` apart.
    """
    apart = axis.stride // math.gcd(axis.stride, axis.dilation)
    dilation = apart * axis.dilation // axis.stride
    for first in range(min(axis.stride, axis.size)):
        number = len(range(first, axis.size, axis.stride))
        at = first + axis.low
        taps = [r for r in range(axis.kernel) if (at - r * axis.dilation) % axis.stride == 0]
        if not taps:
            low, high = 0, number - 1 - axis.out  # a kernel of no elements: all zeros
            yield slice(first, None, axis.stride), slice(0, 0), Axis(axis.out, 0, 1, low, high)
            continue
        low = dilation * (len(taps) - 1) - (at - taps[0] * axis.dilation) // axis.stride
        high = number + dilation * (len(taps) - 1) - axis.out - low
        turned = slice(axis.kernel - 1 - taps[-1], axis.kernel - taps[0], apart)
        phase = Axis(axis.out, len(taps), 1, low, high, dilation)
        yield slice(first, None, axis.stride), turned, phase
