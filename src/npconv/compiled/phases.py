"""A convolution in phases: which outputs read alike along all axes (see `npconv.phases`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from npconv.axis import Axis
from npconv.phases import AxisPhase, axis_phases
from npconv.problem import ConvProblem

RANK = 3  # axes that kernels walk over; fewer are preceded by axes of one element


class Phase(NamedTuple):
    """A phase of each axis."""

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
    return combined([axis_phases(axis) for axis in axes_of(problem)])


def combined(per_axis: Sequence[Sequence[AxisPhase]]) -> list[Phase]:
    """Combine the phases of each axis. Where one reads nothing, later axes are not split."""
    if not all(per_axis):
        return []
    found: list[tuple[AxisPhase, ...]] = [()]
    for alike in per_axis:
        whole = AxisPhase(0, 1, sum(each.number for each in alike), (), 0, 1, 1)
        found = [
            (*before, each)
            for before in found
            for each in (alike if all(phase.taps for phase in before) else (whole,))
        ]
    return [Phase(axes) for axes in found]


def axes_of(problem: ConvProblem) -> list[Axis]:
    """Give `RANK` axes: axes of one element first."""
    return [Axis(1, 1)] * (RANK - problem.rank) + list(problem.axes)
