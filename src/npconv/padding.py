"""Padding modes: which input element each padded position repeats, and the way back.

A mode is an index map from padded positions to positions of the input. Padding gathers
through the map; its adjoint, a fold, adds back through it. Both go piece by piece, a
piece being a run of padded positions that reads the input forwards, backwards, or one
element again and again. With zeros there is no map: what lies outside is no element.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from npconv.axis import Axis
from npconv.memory import check_capacity
from npconv.problem import Array, ConvProblem

Index: TypeAlias = tuple[Any, ...]


class Run(NamedTuple):
    """Padded positions ``start .. stop - 1`` repeat ``first``, ``first + step`` and so on."""

    start: int
    stop: int
    first: int
    step: int

    def repeated(self) -> slice:
        """Slice of the input that the run repeats; a single element where step is 0."""
        last = self.first + self.step * (self.stop - self.start - 1)
        low, high = min(self.first, last), max(self.first, last)
        return slice(low, high + 1)

    def turned(self, box: Array, axis: int) -> Array:
        """Bring a box of padded positions into the order, and number, of the input's."""
        if self.step == 0:
            box = box.sum(axis=axis, keepdims=True, dtype=box.dtype)
        return np.flip(box, axis) if self.step < 0 else box


def source(axis: Axis, mode: str, start: int, stop: int) -> Array:
    """Give the input position that each padded position ``start .. stop - 1`` repeats."""
    check_capacity("a list of padded positions", (stop - start,), np.int64)
    t: Array = np.arange(start, stop) - axis.low
    if mode == "replicate":
        return t.clip(0, axis.size - 1)
    if mode == "circular":
        return t % axis.size
    if axis.size == 1:
        return np.zeros_like(t)
    period = 2 * (axis.size - 1)  # there and back, without repeating the edges
    t = t % period
    turned: Array = np.minimum(t, period - t)
    return turned


def gather(x: Array, axes: Sequence[Axis], mode: str, ranges: Sequence[slice]) -> Array:
    """Read a box of padded positions, one range for each of the last axes of ``x``."""
    first = x.ndim - len(axes)
    for i, (axis, wanted) in enumerate(zip(axes, ranges, strict=True), first):
        index = source(axis, mode, wanted.start, wanted.stop)
        if len(index) and index[-1] - index[0] == len(index) - 1:  # the inside, as it lies
            x = x[(slice(None),) * i + (slice(int(index[0]), int(index[-1]) + 1),)]
        else:
            shape = (*x.shape[:i], len(index), *x.shape[i + 1 :])
            check_capacity("a padded input", shape, x.dtype)
            x = np.take(x, index, axis=i)
    return x


def fold(padded: Array, axes: Sequence[Axis], mode: str, x: Array) -> None:
    """Add a whole padded array back to what `gather` read it from, into ``x``: its adjoint."""
    x[...] = 0
    found = [list(runs(axis, mode, slice(0, axis.size), axis.padded)) for axis in axes]
    for chosen in product(*found):
        box: Index = (..., *(slice(run.start, run.stop) for run in chosen))
        add_box(padded[box], chosen, x)


def add_box(box: Array, chosen: Sequence[Run], x: Array) -> None:
    """Add a box of padded positions, a run along each axis, where its runs say."""
    for i, run in enumerate(chosen, box.ndim - len(chosen)):
        box = run.turned(box, i)
    place: Index = (..., *(run.repeated() for run in chosen))
    x[place] += box


def runs(axis: Axis, mode: str, inputs: slice, longest: int) -> Iterator[Run]:
    """Find the runs of padded positions that repeat any of ``inputs``, none above ``longest``.

    ``Run.first`` counts from ``inputs.start``.
    """
    index = source(axis, mode, 0, axis.padded) - inputs.start
    inside = (index >= 0) & (index < inputs.stop - inputs.start)
    positions = np.flatnonzero(inside)
    start = 0
    while start < len(positions):
        u, first = int(positions[start]), int(index[positions[start]])
        length, step = 1, 0
        neighbours = start + 1 < len(positions) and positions[start + 1] == u + 1
        # Where a circle closes, the next element is not a neighbour.
        if neighbours and abs(index[u + 1] - first) <= 1:
            step = int(index[u + 1]) - first
            tail = index[u : u + min(longest, len(positions) - start)]
            wanted = first + step * np.arange(len(tail))
            same = (tail == wanted) & inside[u : u + len(tail)]
            length = len(tail) if same.all() else int(same.argmin())
        yield Run(u, u + length, first, step)
        start += length


def most_repeats(axis: Axis, mode: str) -> int:
    """Bound how many padded positions repeat one element of the input."""
    low, high = max(axis.low, 0), max(axis.high, 0)
    if mode == "zeros":
        return 1
    if mode == "replicate":
        return 1 + (low + high if axis.size == 1 else max(low, high))
    return 1 + (low > 0) + (high > 0)  # pads are not above the size


def padded_axes(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """Give the geometry over an input that is padded already."""
    return tuple(axis._replace(size=axis.padded, low=0, high=0) for axis in axes)


def padded_problem(problem: ConvProblem) -> ConvProblem:
    """Pose the problem over an input that is padded already, where its mode needs that."""
    if problem.padding_mode == "zeros":
        return problem
    return problem._replace(axes=padded_axes(problem.axes), padding_mode="zeros")
