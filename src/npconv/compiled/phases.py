"""A convolution in phases: which outputs read alike along all axes (see `npconv.phases`)."""

from __future__ import annotations

import math
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
    per_axis = [axis_phases(axis) for axis in axes_of(problem)]
    return [Phase(chosen) for chosen in product(*per_axis)]


def axes_of(problem: ConvProblem) -> list[Axis]:
    """Give `RANK` axes: axes of one element first."""
    return [Axis(1, 1)] * (RANK - problem.rank) + list(problem.axes)
