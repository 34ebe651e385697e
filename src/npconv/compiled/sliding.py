"""Sliding windows prepared: tables of what each band of outputs reads.

For the kernels built on `npconv.compiled.kernels.sliding`: depthwise convolution, pooling.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from npconv.axis import Axis
from npconv.compiled import sliding_words as words
from npconv.compiled.blocks import CALL_WORDS
from npconv.compiled.machine_code import address_of
from npconv.compiled.prepared import Step, Strides
from npconv.phases import AxisPhase, axis_phases, undilated
from npconv.problem import ConvProblem

# A kernel of up to so many elements is unrolled, and stays in registers; of a larger one only
# a row is, up to so many; the rest are planes.
UNROLLED, UNROLLED_ROW = 49, 32
# A problem of fewer products for an image is not worth code of its own, some seconds to
# compile: nothing of its kernel is unrolled, and the same code serves all of its kind.
WORTHWHILE = 2**16
# Beyond this, where a kernel column reads is no part of the code.
NEAR = 16
# Rows of a dilated kernel are unrolled only if outputs fall into so few kinds.
MOST_PARTS = 8
# Products, in vectors of 16, that are worth a part of the work: some microseconds.
PART = 6000


class Columns(NamedTuple):
    """Phases of the last axis that are computed side by side."""

    phases: tuple[AxisPhase, ...]
    taps: int  # of each phase's, how many are unrolled; 0 for all
    apart: int  # outputs from one of a lone phase to its next; 0 where rows are written whole

    @property
    def reads(self) -> list[list[int]]:
        """Say where the first outputs read through the columns that are unrolled."""
        return [
            [phase.read + s * phase.unit for s in range(self.taps or len(phase.taps))]
            for phase in self.phases
        ]


def columns_of(axis: Axis, *, unrolled: bool) -> list[Columns]:
    """Group the phases of the last axis; none where there is no output."""
    found = tuple(axis_phases(axis))
    taps = sum(len(phase.taps) for phase in found)
    if unrolled and len(found) <= words.MOST_PHASES and taps <= UNROLLED_ROW:
        return [Columns(found, 0, 0)] if found else []
    apart = len(found) if len(found) > 1 else 0
    most = UNROLLED_ROW if unrolled else 1
    return [Columns((phase,), _chunk(len(phase.taps), most), apart) for phase in found]


def _chunk(taps: int, most: int) -> int:
    """Find how many columns of a long kernel row are unrolled; 0 for all."""
    return 0 if taps <= most else max(c for c in range(1, most + 1) if taps % c == 0)


class Rows(NamedTuple):
    """Phases of the rows that the same code computes: ``taps`` of them unrolled."""

    phases: tuple[AxisPhase, ...]
    taps: int
    apart: int  # kernel rows from an output row to the next


def rows_of(axis: Axis, columns: Columns, *, unrolled: bool) -> list[Rows]:
    """Group the phases of the rows by the code they need."""
    groups: dict[tuple[int, int, int], list[AxisPhase]] = {}
    across = max(sum(map(len, columns.reads)), 1)
    for phase in axis_phases(axis):
        taps = len(phase.taps)
        parts = undilated(phase)
        most = UNROLLED if unrolled and not columns.taps else 1
        if taps * across > most or len(parts) > MOST_PARTS:
            groups.setdefault((min(taps, 1), 1, taps), []).append(phase)
            continue
        for part in parts:
            apart = part.step // part.unit
            groups.setdefault((taps, apart, taps), []).append(part)
    return [Rows(tuple(found), taps, apart) for (taps, apart, _), found in groups.items()]


def shape_of(rows: Rows, columns: Columns) -> tuple[str, int, list[int]]:
    """Name the windows' shape (see `npconv.compiled.kernels.sliding`), and what it reads."""
    every = [read for phase in columns.reads for read in phase]
    first = min(every, default=0)
    known = max(every, default=0) - first <= NEAR
    each = [[read - first if known else 0 for read in phase] for phase in columns.reads]
    text = "_".join(".".join(map(str, phase)) for phase in each)
    step = columns.phases[0].step
    return f"{rows.taps}x{rows.apart}x{step}{'k' if known else 'r'}{text}", first, every


class Kernel(NamedTuple):
    """Where a kernel's elements lie along each axis, also of one that is turned round."""

    sizes: tuple[int, ...]
    turned: bool

    def at(self, axis: int, tap: int) -> int:
        """Count the elements before one."""
        tap = self.sizes[axis] - 1 - tap if self.turned else tap
        return tap * math.prod(self.sizes[axis:][1:])

    def between(self, axis: int, taps: Sequence[int]) -> int:
        """Count the elements from one to the next."""
        return self.at(axis, taps[1]) - self.at(axis, taps[0]) if len(taps) > 1 else 0


class Sliding(NamedTuple):
    """One step's windows: the problem, with at least two axes, and which of its outputs."""

    problem: ConvProblem
    kernel: Kernel
    rows: Rows
    columns: Columns
    x: Strides
    y: Strides
    places: Strides = ()  # for pooling, how far apart neighbours are called along each axis

    @property
    def per_row(self) -> int:
        """Count the products of vectors in a row of outputs."""
        number = max(phase.number for phase in self.columns.phases)
        taps = max(self.problem.taps * self.problem.C, 1)
        return -(-number // 16) * len(self.columns.phases) * taps

    @property
    def most_rows(self) -> int:
        """Count the rows of the longest phase."""
        return max(phase.number for phase in self.rows.phases)

    def bands(self, count: int) -> list[list[int]]:
        """List the records of bands of so many rows."""
        return [
            [
                (phase.first + p * phase.apart) * self.y[-2] + self.columns.phases[0].first,
                phase.apart * self.y[-2],
                min(count, phase.number - p),
                phase.read + p * phase.step,
                phase.step,
                phase.unit if self.rows.taps > 1 else phase.step,
                self.kernel.at(-2, phase.taps[0]) if phase.taps else 0,
                self.kernel.between(-2, phase.taps),
                phase.first + p * phase.apart,
                phase.apart,
            ]
            for phase in self.rows.phases
            for p in range(0, phase.number, count)
        ]

    def planes(self) -> tuple[list[list[int]], list[list[int]]]:
        """List the records of planes, and those of outer positions, which say where theirs are."""
        planes: list[list[int]] = []
        outers = []
        inner = self._inner_planes()
        for place in product(*map(_outer_places, self.problem.axes[:-2])):
            begin = len(planes)
            for taps in product(*(seen for _, seen in place)):
                there, at, w, name = 1, 0, 0, 0
                for axis, (r, t) in enumerate(taps):
                    there &= 0 <= t < self.problem.size[axis]
                    at += t * self.x[3 + axis]
                    w += self.kernel.at(axis, r)
                    name += t * self.places[axis] if self.places else 0
                for c_at, row, column, inner_w in inner:
                    planes.append([c_at + at, there, row, column, inner_w + w, name])
            to = sum(p * stride for (p, _), stride in zip(place, self.y[3:], strict=False))
            outers.append([to, begin, len(planes)])
        return planes, outers

    def _inner_planes(self) -> list[list[int]]:
        """List what is not unrolled of one position of the outer axes: AT, ROW_AT and so on."""
        phase, column = self.rows.phases[0], self.columns.phases[0]
        rows = range(len(phase.taps) if self.rows.taps == 1 else 1)
        width = self.columns.taps
        columns = range(0, len(column.taps), width) if width else range(1)
        across = self.kernel.between(-1, column.taps)
        down = self.kernel.between(-2, phase.taps)
        return [
            [
                c * self.x[2],
                r * phase.unit,
                s * column.unit,
                c * self.problem.taps + r * down + s * across,
            ]
            for c, r, s in product(range(self.problem.C), rows, columns)
        ]

    def step(self, module: str, dtype: str, more: dict[int, Any], *, padding: Any = 0.0) -> Step:
        """Prepare a step whose items are bands of outputs; the kernel is told ``more``.

        Arrays are tables, told by their addresses.
        """
        (planes, outers), rows = self.planes(), PART // self.per_row // 7 * 7
        count = min(self.most_rows, max(7, rows))
        bands = self.bands(count)
        items = self.problem.N * self.problem.G * self.problem.K * len(outers) * len(bands)
        chunk = max(1, PART // (self.per_row * count))
        told = {words.CHUNK: chunk, words.ITEMS: items}
        told |= {word: value for word, value in more.items() if isinstance(value, int)}
        one = "one" if len(outers) == len(planes) == 1 and is_worth(self.problem) else "many"
        apart = "apart" if self.columns.apart else "whole"
        name, *variant = module.split(".")
        variant += [dtype, shape_of(self.rows, self.columns)[0], one, apart]
        tables = {word: value for word, value in more.items() if word not in told}
        tables |= {words.BAND_TABLE: bands, words.OUTER_TABLE: outers, words.PLANE_TABLE: planes}
        nothing = np.full((1, self.problem.size[-1]), padding, dtype)
        tables[words.NOTHING] = nothing
        return self.step_of((name, *variant), told, tables, -(-items // chunk))

    def step_of(
        self, kernel: tuple[str, ...], more: dict[int, int], tables: dict[int, Any], parts: int
    ) -> Step:
        """Prepare a step of these parts, told all that the windows are."""
        problem, columns = self.problem, self.columns
        _, first, every = shape_of(self.rows, columns)
        shifts = [plane[words.COLUMN_AT] for plane in tables[words.PLANE_TABLE]] or [0]
        told = {
            words.G: problem.G, words.K: problem.K, words.IMAGES: problem.N,
            words.BANDS: len(tables[words.BAND_TABLE]),
            words.OUTERS: len(tables[words.OUTER_TABLE]),
            words.X_N: self.x[0], words.X_G: self.x[1],
            words.X_PITCH: self.x[-2] * tables[words.NOTHING].itemsize,
            words.Y_N: self.y[0], words.Y_G: self.y[1], words.Y_K: self.y[2],
            words.HEIGHT: problem.size[-2], words.WIDTH: problem.size[-1],
            words.NUMBER: max(phase.number for phase in columns.phases),
            words.FULL: problem.out[-1] // max(len(columns.phases), columns.apart),
            words.OUT_WIDTH: problem.out[-1], words.OUT_STEP: columns.apart,
            words.FIRST_READ: first,
            words.LOW_READ: min(every, default=0) + min(shifts),
            words.HIGH_READ: max(every, default=0) + max(shifts),
            words.W_C: problem.C * problem.taps,
            words.W_COLUMN_STEP: self.column_step,
            **more,
        }  # fmt: skip
        for f, phase in enumerate(columns.phases):
            told[words.W_COLUMN + f] = self.kernel.at(-1, phase.taps[0]) if phase.taps else 0
        tables = {**tables, words.READ_TABLE: [[read - first for read in every]]}
        return with_tables(kernel, told, tables, parts)

    @property
    def column_step(self) -> int:
        """Count the kernel's elements from a column that is seen to the next."""
        steps = (self.kernel.between(-1, phase.taps) for phase in self.columns.phases)
        return next((step for step in steps if step), 0)


def _outer_places(axis: Axis) -> list[tuple[int, list[tuple[int, int]]]]:
    """List an outer axis's outputs, each with its kernel elements and what they read."""
    found = [
        (p.first + i * p.apart,
         [(r, p.read + i * p.step + k * p.unit) for k, r in enumerate(p.taps)])
        for p in axis_phases(axis)
        for i in range(p.number)
    ]  # fmt: skip
    return sorted(found)


def with_tables(
    kernel: tuple[str, ...], told: dict[int, int], tables: dict[int, Any], parts: int
) -> Step:
    """Prepare a step whose constants keep its tables alive: one array holds them all."""
    count = max(*told, *tables) + 1 - CALL_WORDS
    arrays = [np.array(table) for table in tables.values()]
    arrays = [a.astype(np.int64) if a.dtype.kind in "iu" or not a.size else a for a in arrays]
    places = np.cumsum([count, *(-(-a.nbytes // 8) for a in arrays)])
    memory = np.zeros(places[-1] + 1, np.int64)
    for word, value in told.items():
        memory[word - CALL_WORDS] = value
    for word, table, place in zip(tables, arrays, places, strict=False):
        memory[word - CALL_WORDS] = memory.ctypes.data + 8 * place
        memory[place:].view(np.uint8)[: table.nbytes] = table.reshape(-1).view(np.uint8)
    return Step(address_of(*kernel), memory[:count], parts, ())


def is_worth(problem: ConvProblem) -> bool:
    """Whether code of its own is worthwhile, whatever the number of images."""
    return problem.one_image.products >= WORTHWHILE


def sliding(
    problem: ConvProblem, turned: bool, x: Strides, y: Strides, places: Strides = ()
) -> Iterator[Sliding]:
    """Cut a problem into the windows of its steps. Strides count elements, the last is 1."""
    if problem.rank == 1:  # one row
        problem = problem._replace(axes=(Axis(1, 1), *problem.axes))
        x, y = ((*s[:3], 0, *s[3:]) for s in (x, y))
    if problem.N * problem.G * problem.K * problem.pixels:
        kernel, worth = Kernel(problem.kernel, turned), is_worth(problem)
        for columns in columns_of(problem.axes[-1], unrolled=worth):
            for rows in rows_of(problem.axes[-2], columns, unrolled=worth):
                yield Sliding(problem, kernel, rows, columns, x, y, places)
