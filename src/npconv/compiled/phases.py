"""Which inputs each output reads, without a zero between them: a convolution in phases.

With ``input_dilation`` neighbouring outputs read through different kernel elements, since
what others read are holes. Outputs that read through the same ones are a phase: a plain
strided convolution. So the gradient of a strided convolution multiplies no zeros (Dumoulin
and Visin, A guide to convolution arithmetic for deep learning, 2016).
"""

from __future__ import annotations

import math
from itertools import product
from typing import NamedTuple

from npconv.axis import Axis
from npconv.problem import ConvProblem

RANK = 3  # axes that kernels walk over; fewer are preceded by axes of one element


class AxisPhase(NamedTuple):
    """Outputs ``first, first + apart, ...`` of one axis, ``number`` of them.

    Through kernel element ``taps[i]`` the first of them reads input ``reads[i]``, each next
    one ``step`` inputs further on.
    """

    first: int
    apart: int
    number: int
    taps: tuple[int, ...]
    reads: tuple[int, ...]
    step: int


class Phase(NamedTuple):
    """The same along all axes."""

    axes: tuple[AxisPhase, ...]

    @property
    def taps(self) -> list[tuple[int, ...]]:
        """Kernel elements, in C order, as indices of ``reads`` along each axis."""
        return list(product(*(range(len(axis.taps)) for axis in self.axes)))

    @property
    def outputs(self) -> int:
        """Count the outputs."""
        return math.prod(axis.number for axis in self.axes)


def phases(problem: ConvProblem) -> list[Phase]:
    """Give the phases of a problem along `RANK` axes; those without outputs are left out."""
    per_axis = [_phases(axis) for axis in axes_of(problem)]
    return [Phase(chosen) for chosen in product(*per_axis)]


def axes_of(problem: ConvProblem) -> list[Axis]:
    """Give `RANK` axes: axes of one element first."""
    return [Axis(1, 1)] * (RANK - problem.rank) + list(problem.axes)


def _phases(axis: Axis) -> list[AxisPhase]:
    """Solve ``p * stride + r * dilation - low = t * input_dilation`` for each kind of ``p``."""
    spread = axis.input_dilation
    common = math.gcd(axis.stride, spread)
    apart = spread // common
    found = []
    for p in range(min(apart, axis.out)):
        t = [p * axis.stride + r * axis.dilation - axis.low for r in range(axis.kernel)]
        taps = tuple(r for r in range(axis.kernel) if t[r] % spread == 0)
        reads = tuple(t[r] // spread for r in taps)
        number = (axis.out - 1 - p) // apart + 1
        found.append(AxisPhase(p, apart, number, taps, reads, axis.stride // common))
    return found
