"""Bands of an image, padded, as the innermost loops read them.

A band holds what some outputs of one phase read: few rows of many columns. Along each axis
it has slots; each holds one input, or zeros where there is none. Where outputs lie close
together, slots are a range of inputs, each read by several outputs; where they lie far
apart (a large dilation), every kernel element has slots of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npconv.compiled.phases import Phase
from npconv.phases import AxisPhase
from npconv.problem import Array


class Slots(NamedTuple):
    """One axis of a band, for outputs ``0 .. number - 1``; from there on it is moved along."""

    inputs: Array  # of each slot; those outside the image are zeros
    taps: tuple[int, ...]  # slot of the first output, through each kernel element
    apart: int  # slots from one output to the next

    @property
    def is_range(self) -> bool:
        """Whether neighbouring slots are neighbouring inputs."""
        return bool((np.diff(self.inputs) == 1).all())


def slots(axis: AxisPhase, number: int, *, neighbours: bool = False) -> Slots:
    """Lay out the slots that so many outputs read.

    ``neighbours`` asks that neighbouring outputs read neighbouring slots.
    """
    reads, step = np.array(axis.reads, np.int64), axis.step
    if not reads.size:
        return Slots(np.zeros(0, np.int64), (), 1)
    low, outputs = int(reads.min()), np.arange(number) * step
    reach = int(reads.max()) - low + (number - 1) * step + 1
    if reach > len(reads) * number:
        apart = np.add.outer(reads, outputs).ravel()
        return Slots(apart, tuple(int(r) * number for r in range(len(reads))), 1)
    if not neighbours or step == 1:
        return Slots(low + np.arange(reach), tuple(int(r) - low for r in reads), step)
    # Every step-th input side by side.
    part = -(-reach // step)
    inputs = low + np.add.outer(np.arange(step), np.arange(part) * step).ravel()
    return Slots(
        inputs, tuple((int(r) - low) % step * part + (int(r) - low) // step for r in reads), 1
    )


class Band(NamedTuple):
    """A band of ``rows`` times ``columns`` outputs: its slots along three axes."""

    rows: int
    columns: int
    slots: tuple[Slots, Slots, Slots]

    @property
    def channel(self) -> int:
        """Count the slots of one channel."""
        planes, rows, columns = (each.inputs.size for each in self.slots)
        return int(planes * rows * columns)

    @property
    def offsets(self) -> tuple[Array, Array]:
        """Say where in a channel's slots outputs begin, and kernel elements."""
        _, height, width = (each.inputs.size for each in self.slots)
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
