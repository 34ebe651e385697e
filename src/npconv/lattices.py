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
from itertools import pairwise, product
from typing import NamedTuple

from npconv.axis import Axis
from npconv.phases import AxisPhase, axis_phases, undilated
from npconv.problem import ConvProblem


class Lattice(NamedTuple):
    """Elements ``first, first + apart, ...`` of one axis."""

    first: int
    apart: int


class Taps(NamedTuple):
    """Kernel elements ``first, first + apart, ...``, so many."""

    first: int
    apart: int
    number: int


class AxisPart(NamedTuple):
    """A plain convolution along one axis: of which inputs and kernel elements, which outputs."""

    axis: Axis
    read: Lattice
    written: Lattice
    taps: Taps


class Part(NamedTuple):
    """A plain convolution along all axes."""

    problem: ConvProblem
    read: tuple[Lattice, ...]
    written: tuple[Lattice, ...]
    taps: tuple[Taps, ...]


def classes(axis: Axis, most: int) -> list[Taps]:
    """Give the kernel elements that work together, ``most`` at a time, most of them first.

    The same for every cut of the axis, and however many outputs there are.
    """
    apart = axis.input_dilation // math.gcd(axis.dilation, axis.input_dilation)
    unit = axis.dilation // math.gcd(axis.dilation, axis.input_dilation)
    step = axis.stride // math.gcd(axis.stride, axis.input_dilation)
    apart *= step // math.gcd(step, unit)
    found = []
    for first in range(min(apart, axis.kernel)):
        for start, stop in _runs(len(range(first, axis.kernel, apart)), most):
            found.append(Taps(first + start * apart, apart, stop - start))
    return found


def _runs(number: int, most: int) -> list[tuple[int, int]]:
    """Cut so many into runs of about equally many, and no more than ``most``."""
    count = -(-number // most)
    ends = [-(-number * i // count) for i in range(count + 1)]
    return list(pairwise(ends))


def count_lattices(axis: Axis) -> int:
    """Count the lattices that outputs fall into, or more where they see but one kernel element.

    Without making them: with a large dilation they are as many as outputs.
    """
    step = axis.stride // math.gcd(axis.stride, axis.input_dilation)
    unit = axis.dilation // math.gcd(axis.dilation, axis.input_dilation)
    phases = axis.input_dilation // math.gcd(axis.stride, axis.input_dilation)
    return min(axis.out, phases * (unit // math.gcd(step, unit)))


def axis_parts(axis: Axis, most: int) -> list[AxisPart]:
    """Cut an axis. Outputs of which several parts speak are their sum; of no part, zero."""
    found = []
    for phase in axis_phases(axis):
        for one in undilated(phase):
            found += _of_classes(axis, one, most)
    return found


def _of_classes(axis: Axis, phase: AxisPhase, most: int) -> list[AxisPart]:
    """Split a phase by the residues of its kernel elements: each reads a lattice of its own."""
    together = max(phase.step // phase.unit, 1)  # kernel elements between two of one class
    apart, found = together * phase.unit, []
    between = classes(axis, most)[0].apart
    written = Lattice(phase.first, phase.apart)
    for i in range(min(together, len(phase.taps))):
        taps = phase.taps[i::together]
        index, first = divmod(phase.read + i * phase.unit, apart)
        size = max(0, -(-(axis.size - first) // apart))
        read = Lattice(first if size else 0, apart)
        for start, stop in _runs(len(taps), most):
            low, number = -index - start, stop - start
            plain = Axis(size, number, 1, low, phase.number - 1 + number - size - low)
            found.append(AxisPart(plain, read, written, Taps(taps[start], between, number)))
    return found


@lru_cache(maxsize=1024)
def parts(problem: ConvProblem, most: tuple[int, ...]) -> tuple[Part, ...]:
    """Cut a forward problem, part by part of the same kernel elements: so many along each axis."""
    found = []
    along = (axis_parts(*each) for each in zip(problem.axes, most, strict=True))
    for chosen in product(*along):
        axes, read, written, taps = zip(*chosen, strict=True)
        found.append(Part(problem._replace(axes=axes), read, written, taps))
    return tuple(sorted(found, key=lambda part: part.taps))


def is_whole(problem: ConvProblem) -> bool:
    """Whether every output is of some part."""
    return all(len(phase.taps) > 0 for axis in problem.axes for phase in axis_phases(axis))
