"""The input's gradient as convolutions of the outputs' gradient, under a stride several.

Inputs whose positions leave the same remainder by the stride were read through the same
kernel elements: a phase (see `npconv.phases`). For each the gradient is a plain convolution
of the outputs' gradient with those elements, turned round; together they form just the
products of direct summation, and none with a zero between elements.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from npconv.axis import Axis
from npconv.phases import AxisPhase, axis_phases
from npconv.problem import Array, ConvProblem

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
    return _evenly(phase.taps) if phase.taps else slice(0, 0)


def _evenly(taps: Sequence[int]) -> slice:
    first, last = taps[0], taps[-1]
    return slice(first, last + 1, taps[1] - first if last > first else 1)


def _plain(phase: AxisPhase, size: int) -> Axis:
    """Pose a phase over so many elements, each of which is the next one's neighbour.

    A kernel of no elements gives zeros.
    """
    taps, unit = len(phase.taps), phase.unit if phase.taps else 1
    low = -phase.read
    high = phase.number - 1 + unit * (taps - 1) + 1 - size - low
    return Axis(size, taps, 1, low, high, unit)


def kernel_parts(problem: ConvProblem) -> Iterator[tuple[Index, slice]]:
    """Say which elements of the turned kernel stand where in `turned_kernel`, set after set.

    A set is what inputs of one phase see: the same for every tile of a problem.
    """
    begin, sets = 0, []
    for axis in problem.axes:
        kinds: dict[int, list[int]] = {}
        for r in range(axis.kernel):
            kinds.setdefault(r * axis.dilation % axis.stride, []).append(r)
        sets.append([_evenly(taps) for taps in kinds.values()])
    for each in product(*sets):
        counts = (len(range(*t.indices(a.kernel))) for t, a in zip(each, problem.axes, strict=True))
        stop = begin + problem.K * math.prod(counts)
        yield each, slice(begin, stop)
        begin = stop


def turned_kernel(problem: ConvProblem, w: Array) -> Array:
    """Turn a kernel ``(G, K, C, R, S)`` round: rows ``(G, C, K*R*S)``, set after set."""
    w = np.flip(w, axis=tuple(range(3, w.ndim))).swapaxes(1, 2)
    rows = np.empty((problem.G, problem.C, problem.K * problem.taps), w.dtype)
    for taps, place in kernel_parts(problem):
        some = w[(..., *taps)]
        rows[:, :, place].reshape(some.shape)[...] = some  # a view: so it is copied once
    return rows


@lru_cache(maxsize=128)
def convolutions(problem: ConvProblem) -> tuple[tuple[Part, slice], ...]:
    """Pair each phase of the input's gradient with its elements' place in `turned_kernel`."""
    places = {_starts(taps): place for taps, place in kernel_parts(problem)}
    nothing = slice(0, 0)
    return tuple((part, places.get(_starts(part.taps), nothing)) for part in unstrided(problem))


def _starts(taps: Index) -> tuple[int | None, ...]:
    return tuple(each.start if each.stop else None for each in taps)
