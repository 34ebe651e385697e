"""Which outputs direct summation computes alike, and which factor runs along its vectors.

Outputs fall into phases for each step of the stride (`npconv.phases`). Where much of what they
read is padding, they fall into zones besides: those that see the image through the same
elements of the kernel. The others are left out there, which makes no difference as long as
they are finite. Each phase has its own part of the packed kernel, so zones are not for free.
Along rows it can be had without zones where vectors run along the image: if the kernel's rows
come one after the other, all channels of each, what a row of outputs sees is a part of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from npconv.compiled.phases import Phase, axes_of, combined
from npconv.phases import AxisPhase, axis_phases, zones
from npconv.problem import Array, ConvProblem

# Outputs that a zone has at least along planes, rows and columns: few rows are no band.
SHORTEST = 1, 4, 8
WAYS = ("shifted", False), ("broadcast", False), ("shifted", True)  # mode, and whether it trims
MOST_ZONES = 8  # of a phase along an axis
# Vectors of an image that begin anywhere cross lines, and take longer by this.
CROSSING = 1.08
# Cycles that it takes to pack a number of the kernel, and what zones have to be better by.
PACKING, WORTH = 2.5, 1.05
# The same where rows are trimmed: the kernel is packed row by row, and tiles are narrower.
PACKING_ROWS, WORTH_TRIMMED = 3.75, 1.1


class Found(NamedTuple):
    """Phases of a problem; ``mode`` see `npconv.compiled.kernels.blocks_of_sums`."""

    mode: str
    phases: tuple[Phase, ...]
    skips: bool  # whether elements of the kernel that meet padding are left out, in zones
    trims: bool  # whether they are left out row by row


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
        phases = tuple(combined(chosen))
        skips = any(a is not b for a, b in zip(chosen, plain, strict=True))
        # Of a kernel's rows that lie apart, a band of all would hold more than one of a zone.
        near = all(each.axes[1].unit <= each.axes[1].step for each in phases)
        for mode, trims in WAYS if near else WAYS[:2]:
            work = _work(problem, phases, lanes, mode, trims)
            worth = (WORTH if skips else 1) * (WORTH_TRIMMED if trims else 1)
            found.append((work * worth, Found(mode, phases, skips, trims)))
    return min(found, key=lambda each: each[0])[1]


def _at_least(phase: AxisPhase, shortest: int) -> int:
    return max(shortest, -(-phase.number // MOST_ZONES))


def _work(
    problem: ConvProblem, found: Sequence[Phase], lanes: int, mode: str, trims: bool
) -> float:
    """Estimate the vectors multiplied, and those written."""
    packing = PACKING_ROWS if trims else PACKING
    work = packing * problem.K * problem.C * sum(map(_elements, found))
    for phase in found:
        Q, outputs = phase.axes[-1].number, phase.outputs
        terms = problem.C * _elements(phase) * (share_seen(problem, phase) if trims else 1)
        if mode == "broadcast":
            work += outputs * (terms / 2 * -(-problem.K // lanes) + problem.K)
        else:
            crosses = len(phase.axes[-1].taps) > 1 or Q % lanes
            vectors = -(-Q // lanes) / Q * (CROSSING if crosses else 1)
            work += outputs * problem.K * (terms / 2 * vectors + 0.2)
    return work


def share_seen(problem: ConvProblem, phase: Phase) -> float:
    """Say which part of a phase's products is left if rows that see padding are left out."""
    seen = rows_seen(problem, phase)
    return float(np.diff(seen).sum()) / max(1, len(seen) * len(phase.axes[1].taps))


def rows_seen(problem: ConvProblem, phase: Phase) -> Array:
    """Say for each row of outputs from and up to which row of the kernel it sees the image."""
    axis, size = phase.axes[1], axes_of(problem)[1].size
    first = axis.read + np.arange(axis.number) * axis.step
    ends = -(first // axis.unit), (size - 1 - first) // axis.unit + 1
    low, high = np.clip(ends, 0, len(axis.taps))
    return np.stack([low, np.maximum(low, high)], 1)


def _elements(phase: Phase) -> int:
    """Count the kernel's elements that a phase reads."""
    return math.prod(len(axis.taps) for axis in phase.axes)
