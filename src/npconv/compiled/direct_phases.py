"""Which outputs direct summation computes alike, and which factor runs along its vectors.

Outputs fall into phases for each step of the stride (`npconv.phases`). Where much of what they
read is padding, they fall into zones besides: those that see the image through the same
elements of the kernel. The others are left out there, which makes no difference as long as
they are finite. Each phase has its own part of the packed kernel, so zones are not for free.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from npconv.compiled.phases import Phase, axes_of
from npconv.phases import AxisPhase, axis_phases, zones
from npconv.problem import ConvProblem

# Outputs that a zone has at least along planes, rows and columns: few rows are no band.
SHORTEST = 1, 4, 8
MOST_ZONES = 8  # of a phase along an axis
# Cycles that it takes to pack a number of the kernel, and what zones have to be better by.
PACKING, WORTH = 2.5, 1.05


class Found(NamedTuple):
    """Phases of a problem; ``mode`` see `npconv.compiled.kernels.blocks_of_sums`."""

    mode: str
    phases: tuple[Phase, ...]
    skips: bool  # whether elements of the kernel that meet padding are left out


def find(problem: ConvProblem, lanes: int) -> Found:
    """Choose by an estimate of the work, for one image, the kernel's packing included."""
    plain = [axis_phases(axis) for axis in axes_of(problem)]
    zoned = [
        [zone for one in each for zone in zones(one, axis.size, _at_least(one, shortest))]
        for each, axis, shortest in zip(plain, axes_of(problem), SHORTEST, strict=True)
    ]
    ways = [[a] if len(a) == len(b) else [a, b] for a, b in zip(plain, zoned, strict=True)]
    found = []
    for chosen in product(*ways):
        phases = tuple(Phase(each) for each in product(*chosen))
        mode, work = _mode(problem, phases, lanes)
        skips = any(a is not b for a, b in zip(chosen, plain, strict=True))
        found.append((work * (WORTH if skips else 1), Found(mode, phases, skips)))
    return min(found, key=lambda each: each[0])[1]


def _at_least(phase: AxisPhase, shortest: int) -> int:
    return max(shortest, -(-phase.number // MOST_ZONES))


def _mode(problem: ConvProblem, found: Sequence[Phase], lanes: int) -> tuple[str, float]:
    """Estimate for each mode the vectors multiplied, and those written; choose one."""
    broadcast = shifted = 0.0
    for phase in found:
        Q = phase.axes[-1].number
        terms, outputs = problem.C * _elements(phase), phase.outputs
        broadcast += outputs * (terms / 2 * -(-problem.K // lanes) + problem.K)
        shifted += outputs * problem.K * (terms / 2 * -(-Q // lanes) / Q + 0.2)
    packing = PACKING * problem.K * problem.C * sum(map(_elements, found))
    mode = "broadcast" if broadcast < shifted else "shifted"
    return mode, min(broadcast, shifted) + packing


def _elements(phase: Phase) -> int:
    """Count the kernel's elements that a phase reads."""
    return math.prod(len(axis.taps) for axis in phase.axes)
