"""The input's gradient under a stride, as convolutions without one.

Inputs whose positions leave the same remainder by the stride were read through the same
kernel elements: a phase (see `npconv.phases`). For each the gradient is a plain convolution
of the outputs' gradient with those elements, turned round; together they form just the
products of direct summation, and none with a zero between elements.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple, TypeAlias

from npconv.axis import Axis
from npconv.phases import AxisPhase, axis_phases
from npconv.problem import ConvProblem

Index: TypeAlias = tuple[Any, ...]


class Part(NamedTuple):
    """Which inputs, which elements of the turned kernel, and the convolution between them."""

    inputs: Index
    taps: Index
    problem: ConvProblem


@lru_cache(maxsize=128)
def unstrided(problem: ConvProblem) -> tuple[Part, ...]:
    """Cut the input's gradient of a problem without holes into its phases."""
    turned, found = problem.turned, []
    for each in product(*map(axis_phases, turned.axes)):
        axes = (_plain(phase, axis.size) for phase, axis in zip(each, turned.axes, strict=True))
        found.append(
            Part(
                tuple(slice(phase.first, None, phase.apart) for phase in each),
                tuple(map(_taps, each)),
                turned._replace(axes=tuple(axes)),
            )
        )
    return tuple(found)


def _taps(phase: AxisPhase) -> slice:
    if not phase.taps:
        return slice(0, 0)
    first, last = phase.taps[0], phase.taps[-1]
    return slice(first, last + 1, phase.taps[1] - first if last > first else 1)


def _plain(phase: AxisPhase, size: int) -> Axis:
    """Pose a phase over so many elements, each of which is the next one's neighbour.

    A kernel of no elements gives zeros.
    """
    taps, unit = len(phase.taps), phase.unit if phase.taps else 1
    low = -phase.read
    high = phase.number - 1 + unit * (taps - 1) + 1 - size - low
    return Axis(size, taps, 1, low, high, unit)
