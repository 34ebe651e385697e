"""A strided, dilated or transposed convolution as a sum of plain ones, on lattices.

Outputs that lie ``apart`` from each other read, through kernel elements that do so too, inputs
that lie apart: on these lattices it is a convolution without stride and dilation. A stride cuts
kernel and input into classes, whose results add up; a dilation cuts input and outputs, and
``input_dilation`` kernel and outputs (a strided convolution's gradient). All at once, along
every axis, they are still plain convolutions: `npconv.phases` has the arithmetic.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from npconv.axis import Axis
from npconv.phases import AxisPhase, axis_phases, undilated
from npconv.problem import ConvProblem


class Lattice(NamedTuple):
    """Elements ``first, first + apart, ...`` of one axis."""

    first: int
    apart: int


class AxisPart(NamedTuple):
    """A plain convolution along one axis: of which inputs and kernel elements, which outputs."""

    axis: Axis
    read: Lattice
    written: Lattice
    taps: Lattice


class Part(NamedTuple):
    """A plain convolution along all axes."""

    problem: ConvProblem
    read: tuple[Lattice, ...]
    written: tuple[Lattice, ...]
    taps: tuple[Lattice, ...]


def classes(axis: Axis) -> list[Lattice]:
    """Give the kernel elements that work together; the first class is the largest.

    The same for every cut of the axis, and however many outputs there are.
    """
    apart = axis.input_dilation // math.gcd(axis.dilation, axis.input_dilation)
    unit = axis.dilation // math.gcd(axis.dilation, axis.input_dilation)
    step = axis.stride // math.gcd(axis.stride, axis.input_dilation)
    apart *= step // math.gcd(step, unit)
    return [Lattice(first, apart) for first in range(min(apart, axis.kernel))]


def size_of(taps: Lattice, axis: Axis) -> int:
    """Count the kernel elements of a class."""
    return -(-(axis.kernel - taps.first) // taps.apart)


def axis_parts(axis: Axis) -> list[AxisPart]:
    """Cut an axis. Outputs of which several parts speak are their sum; of no part, zero."""
    found = []
    for phase in axis_phases(axis):
        for one in undilated(phase):
            found += _of_classes(axis, one)
    return found


def _of_classes(axis: Axis, phase: AxisPhase) -> list[AxisPart]:
    """Split a phase by the residues of its kernel elements: each reads a lattice of its own."""
    together = max(phase.step // phase.unit, 1)  # kernel elements between two of one class
    apart, between, found = together * phase.unit, classes(axis)[0].apart, []
    for i in range(min(together, len(phase.taps))):
        taps = phase.taps[i::together]
        index, first = divmod(phase.read + i * phase.unit, apart)
        size = max(0, -(-(axis.size - first) // apart))
        plain = Axis(size, len(taps), 1, -index, phase.number - 1 + len(taps) - size + index)
        if not 0 <= first < max(axis.size, 1):
            first = 0  # of a lattice without elements
        found.append(
            AxisPart(
                plain,
                Lattice(first, apart),
                Lattice(phase.first, phase.apart),
                Lattice(taps[0], between),
            )
        )
    return found


@lru_cache(maxsize=1024)
def parts(problem: ConvProblem) -> tuple[Part, ...]:
    """Cut a forward problem, part by part of the same kernel elements."""
    found = []
    for chosen in product(*(axis_parts(axis) for axis in problem.axes)):
        axes, read, written, taps = zip(*chosen, strict=True)
        found.append(Part(problem._replace(axes=axes), read, written, taps))
    return tuple(sorted(found, key=lambda part: part.taps))


def is_whole(problem: ConvProblem) -> bool:
    """Whether every output is of some part."""
    return all(len(phase.taps) > 0 for axis in problem.axes for phase in axis_phases(axis))
