"""Bands of an image, padded, as the innermost loops read them.

A band holds what some outputs of one phase read: few rows of many columns. Along each axis
it has slots; each holds one input, or zeros where there is none. Where outputs lie close
together, slots are a range of inputs, each read by several outputs; where they lie far
apart (a large dilation), every kernel element has slots of its own.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from npconv.compiled.phases import Phase
from npconv.phases import AxisPhase
from npconv.problem import Array


class Slots(NamedTuple):
    """One axis of a band, for outputs ``0 .. number - 1``; from there on it is moved along.

    Slots lie in runs of equally many, which hold every ``between``-th input.
    """

    firsts: tuple[int, ...]  # input of the first slot of each run; outside the image are zeros
    length: int
    between: int
    taps: tuple[int, ...]  # slot of the first output, through each kernel element
    apart: int  # slots from one output to the next

    @property
    def number(self) -> int:
        """Count the slots."""
        return len(self.firsts) * self.length

    @property
    def inputs(self) -> Array:
        """Give the input of each slot."""
        firsts = np.array(self.firsts, np.int64)
        return np.add.outer(firsts, np.arange(self.length) * self.between).ravel()


def slots(axis: AxisPhase, number: int, *, neighbours: bool = False) -> Slots:
    """Lay out the slots that so many outputs read.

    ``neighbours`` asks that neighbouring outputs read neighbouring slots.
    """
    reads, step = [int(read) for read in axis.reads], axis.step
    if not reads:
        return Slots((), 0, 1, (), 1)
    low = min(reads)
    reach = max(reads) - low + (number - 1) * step + 1
    if reach > len(reads) * number:
        return Slots(tuple(reads), number, step, tuple(range(0, len(reads) * number, number)), 1)
    if not neighbours or step == 1:
        return Slots((low,), reach, 1, tuple(read - low for read in reads), step)
    # Every step-th input side by side.
    part = -(-reach // step)
    taps = tuple((read - low) % step * part + (read - low) // step for read in reads)
    return Slots(tuple(range(low, low + step)), part, step, taps, 1)


class Band(NamedTuple):
    """A band of ``rows`` times ``columns`` outputs: its slots along three axes."""

    rows: int
    columns: int
    slots: tuple[Slots, Slots, Slots]

    @property
    def channel(self) -> int:
        """Count the slots of one channel."""
        return math.prod(each.number for each in self.slots)

    @property
    def offsets(self) -> tuple[Array, Array]:
        """Say where in a channel's slots outputs begin, and kernel elements."""
        _, height, width = (each.number for each in self.slots)
        sizes = (height * width, width, 1)
        _, along_rows, along_columns = self.slots
        rows = np.arange(self.rows) * along_rows.apart * width
        bases = np.add.outer(rows, np.arange(self.columns) * along_columns.apart)
        planes, heights, widths = (
            np.array(each.taps, np.int64) * size
            for each, size in zip(self.slots, sizes, strict=True)
        )
        return bases.ravel(), np.add.outer(np.add.outer(planes, heights), widths).ravel()


def band(phase: Phase, rows: int, columns: int, *, neighbours: bool = False) -> Band:
    """Lay out a band of one plane of a phase."""
    planes, heights, widths = phase.axes
    return Band(
        rows,
        columns,
        (
            slots(planes, 1),
            slots(heights, rows),
            slots(widths, columns, neighbours=neighbours),
        ),
    )
