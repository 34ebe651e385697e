"""Where a kernel's elements lie that direct summation reads, in the order in which it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from npconv.compiled.phases import RANK, Phase, axes_of
from npconv.compiled.prepared import Strides
from npconv.problem import Array, ConvProblem


class RawKernel(NamedTuple):
    """A kernel ``(G, K, C, *kernel)`` as it came.

    ``turned`` says that its channels are to be exchanged, and its elements turned round.
    """

    strides: Strides
    turned: bool

    @property
    def rows(self) -> tuple[int, int]:
        """Give the strides of groups and of the output channels of the forward problem."""
        group, row, channel, *_ = self.strides
        return group, channel if self.turned else row

    @property
    def flattened(self) -> RawKernel:
        """Give a kernel of one element, along a single axis."""
        return self._replace(strides=(*self.strides[:3], self.strides[-1]))


class Sources(NamedTuple):
    """Of the terms of one phase: those of a run, one after the other, are ``step`` apart."""

    places: Array
    run: int
    step: int


def sources(
    problem: ConvProblem, phase: Phase, kernel: RawKernel, rows_first: bool = False
) -> Sources:
    """Find the kernel's elements that a phase of a forward problem reads; see `in_order`."""
    _, row, channel, *taps = kernel.strides
    if kernel.turned:
        channel = row
    taps = [0] * (RANK - problem.rank) + taps
    offsets: Array = np.zeros(1, np.int64)
    for axis, stride, whole in zip(phase.axes, taps, axes_of(problem), strict=True):
        places = np.array(axis.taps, np.int64)
        places = whole.kernel - 1 - places if kernel.turned else places
        offsets = np.add.outer(offsets, places * stride)
    found = in_order(np.add.outer(np.arange(problem.C) * channel, offsets[0]), rows_first)
    lengths = [found.size, offsets.shape[-1] if rows_first else offsets.size]
    return Sources(found, *_runs(found, lengths))


def in_order(terms: Array, rows_first: bool) -> Array:
    """Put terms ``(C, *kernel)`` in the order in which they are added up: as they are, or by rows.

    Rows of the kernel that come first follow each other, each with all channels.
    """
    return np.ascontiguousarray(np.moveaxis(terms, 2, 0) if rows_first else terms).ravel()


def _runs(found: Array, lengths: Sequence[int]) -> tuple[int, int]:
    """Find runs of places that are equally far apart: how long they are, and how far apart."""
    for length in lengths if found.size else ():
        steps = np.diff(found.reshape(-1, length))
        if steps.size and (steps == steps.flat[0]).all():
            return length, int(steps.flat[0])
    return 1, 1
