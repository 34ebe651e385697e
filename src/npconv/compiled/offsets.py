"""Where the elements of columns lie: a convolution of any geometry as sums of two offsets.

Output ``p`` reads, through kernel element ``r``, the padded input at ``a[r] + b[p]``. With
``input_dilation`` the outputs fall into phases, which read through different kernel elements:
in each phase it is a plain strided convolution, and holes are never touched (Dumoulin and
Visin, A guide to convolution arithmetic for deep learning, 2016).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache, reduce
from itertools import product
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from npconv.axis import Axis
from npconv.problem import Array
from npconv.scratch import Scratch

Index: TypeAlias = tuple[Any, ...]


class AxisPhase(NamedTuple):
    """Outputs of one axis that read through the same kernel elements."""

    outputs: slice
    taps: tuple[int, ...]
    reads: tuple[int, ...]  # the input that the first output sees through each
    step: int  # inputs from one of these outputs to the next
    number: int


class Phase(NamedTuple):
    """The same along all axes, flat: kernel elements, and offsets in the padded input."""

    outputs: Index
    taps: Array
    a: Array
    b: Array
    run: int


class Grid(NamedTuple):
    """How an input is padded, and where the columns of each phase lie in it.

    The last axis is kept in ``step`` parts, every ``step``-th element in one: so what
    neighbouring outputs read through one kernel element are neighbours, whatever the stride.
    """

    low: tuple[int, ...]
    size: tuple[int, ...]
    step: int
    phases: tuple[Phase, ...]


@lru_cache(maxsize=256)
def grid(axes: tuple[Axis, ...]) -> Grid:
    """Lay out the columns of a problem; remembered, as tiles have few shapes."""
    phases = [_phases(axis) for axis in axes]
    low, size = zip(*(_padding(a, each) for a, each in zip(axes, phases, strict=True)), strict=True)
    step = phases[-1][0].step if phases[-1] else 1
    size = (*size[:-1], -(-size[-1] // step) * step)
    kernel = [axis.kernel for axis in axes]
    flat = [_flat(chosen, kernel, low, size, step) for chosen in product(*phases)]
    return Grid(low, size, step, tuple(flat))


def _phases(axis: Axis) -> list[AxisPhase]:
    """Solve ``p * stride + r * dilation - low = t * input_dilation`` for each kind of ``p``."""
    spread = axis.input_dilation
    common = math.gcd(axis.stride, spread)
    apart = spread // common
    found = []
    for p in range(min(apart, axis.out)):
        t = [p * axis.stride + r * axis.dilation - axis.low for r in range(axis.kernel)]
        taps = tuple(r for r in range(axis.kernel) if t[r] % spread == 0)
        found.append(
            AxisPhase(
                slice(p, axis.out, apart),
                taps,
                tuple(t[r] // spread for r in taps),
                axis.stride // common,
                (axis.out - 1 - p) // apart + 1,
            )
        )
    return found


def _padding(axis: Axis, phases: Sequence[AxisPhase]) -> tuple[int, int]:
    """Find what all phases read: how far before the input, and how much in all."""
    low = max((-t for phase in phases for t in phase.reads), default=0)
    stop = max((t + (phase.number - 1) * phase.step + 1 for phase in phases for t in phase.reads),
               default=0)  # fmt: skip
    low = max(low, 0)
    return low, low + max(stop, axis.size)


def _flat(
    chosen: Sequence[AxisPhase],
    kernel: Sequence[int],
    low: Sequence[int],
    size: Sequence[int],
    step: int,
) -> Phase:
    taps = [np.array(phase.taps, np.int64) for phase in chosen]
    reads = [np.array(p.reads, np.int64) + before for p, before in zip(chosen, low, strict=True)]
    # Element t of the last axis lies in part t % step, at t // step.
    reads[-1] = reads[-1] % step * (size[-1] // step) + reads[-1] // step
    outputs = [np.arange(p.number) * p.step for p in chosen]
    outputs[-1] = np.arange(chosen[-1].number)
    return Phase(
        tuple(phase.outputs for phase in chosen),
        np.ravel_multi_index(np.ix_(*taps), kernel).ravel(),
        _offsets(reads, size),
        _offsets(outputs, size),
        chosen[-1].number,
    )


def _offsets(places: Sequence[Array], size: Sequence[int]) -> Array:
    """Add up the offsets of places along each axis of an array of this size."""
    steps = [math.prod(size[i + 1 :]) for i in range(len(size))]
    each = (place * step for place, step in zip(places, steps, strict=True))
    return reduce(np.add.outer, each).ravel()


def most_padded(axis: Axis) -> int:
    """Bound the length of a padded axis, whose parts are made equally long."""
    pads = max(axis.low, 0) + max(axis.high, 0)
    return axis.size + pads // axis.input_dilation + 2 + axis.stride


def padded(
    axes: Sequence[Axis], where: Grid, x: Array, scratch: Scratch, *, beyond: int = 0
) -> Array:
    """Give images ``(C, *size)`` padded and flat; as they lie, where that is possible.

    ``beyond`` elements follow that may be read, and are not used.
    """
    size, step = tuple(axis.size for axis in axes), where.step
    if where.size == size and step == 1 and not beyond and x.flags.carray:
        return x.reshape(-1)
    count = len(x) * math.prod(where.size)
    flat = scratch.array("padded", (count + beyond,), x.dtype)
    flat[count:] = 0
    image = flat[:count].reshape(len(x), *where.size)
    if where.size != size:
        image[...] = 0
    *outer, last = zip(where.low, size, strict=True)
    index = (slice(None), *(slice(low, low + n) for low, n in outer))
    part = where.size[-1] // step
    for i in range(step):  # element t of the last axis lies in part t % step, at t // step
        first = (i - last[0]) % step
        begin = i * part + (last[0] + first) // step
        number = len(range(first, last[1], step))
        image[(*index, slice(begin, begin + number))] = x[..., first::step]
    return flat
