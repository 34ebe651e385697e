"""Outputs of one axis that read alike: the same kernel elements, at equal distances.

With ``input_dilation`` (a strided convolution's gradient) outputs fall into phases, which read
through different kernel elements: in each it is a plain strided convolution, and holes are
never touched (Dumoulin and Visin, A guide to convolution arithmetic for deep learning, 2016).
A dilation, too, is no dilation among outputs that lie as far apart as the kernel's elements.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from npconv.axis import Axis


class AxisPhase(NamedTuple):
    """Outputs ``first, first + apart, ...``, ``number`` of them, and what they read.

    Output ``i`` of them reads, through kernel element ``taps[r]``, the input at
    ``read + i * step + r * unit``, which may be padding.
    """

    first: int
    apart: int
    number: int
    taps: tuple[int, ...]
    read: int
    step: int
    unit: int

    @property
    def reads(self) -> tuple[int, ...]:
        """What the first of them reads, through each of `taps`."""
        return tuple(self.read + r * self.unit for r in range(len(self.taps)))


def axis_phases(axis: Axis) -> list[AxisPhase]:
    """Solve ``p * stride + r * dilation - low = t * input_dilation`` for each kind of ``p``."""
    spread = axis.input_dilation
    common = math.gcd(axis.stride, spread)
    apart = spread // common
    unit = axis.dilation // math.gcd(axis.dilation, spread)
    found = []
    for p in range(min(apart, axis.out)):
        t = [p * axis.stride + r * axis.dilation - axis.low for r in range(axis.kernel)]
        taps = tuple(r for r in range(axis.kernel) if t[r] % spread == 0)
        read = t[taps[0]] // spread if taps else 0
        number = (axis.out - 1 - p) // apart + 1
        found.append(AxisPhase(p, apart, number, taps, read, axis.stride // common, unit))
    return found


def zones(phase: AxisPhase, size: int, shortest: int) -> list[AxisPhase]:
    """Split a phase where elements of the kernel begin to meet padding, or do so no longer.

    Each zone keeps those that some of its outputs see an input through, of ``size`` inputs; it
    has ``shortest`` outputs or more, if there are as many.
    """
    count, found = len(phase.taps), []
    ends = {
        -(-(edge - r * phase.unit - phase.read) // phase.step)
        for r in range(count)
        for edge in (0, size)
    }
    inside = [end for end in sorted(ends) if 0 < end < phase.number]
    first = 0
    for end in [*inside, phase.number]:
        if end < phase.number and min(end - first, phase.number - end) < shortest:
            continue
        # Of its first output the last elements see most, of its last one the first ones.
        low = -((phase.read + (end - 1) * phase.step) // phase.unit)
        high = (size - 1 - phase.read - first * phase.step) // phase.unit + 1
        low, high = min(max(low, 0), count), min(high, count)
        found.append(
            phase._replace(
                first=phase.first + first * phase.apart,
                number=end - first,
                taps=phase.taps[low : max(low, high)],
                read=phase.read + first * phase.step + low * phase.unit,
            )
        )
        first = end
    return found


def undilated(phase: AxisPhase) -> list[AxisPhase]:
    """Split a phase so that from output to output it is a whole number of units."""
    if len(phase.taps) < 2:
        return [phase._replace(unit=max(phase.step, 1))]
    parts = phase.unit // math.gcd(phase.step, phase.unit)
    return [
        phase._replace(
            first=phase.first + i * phase.apart,
            apart=phase.apart * parts,
            number=(phase.number - 1 - i) // parts + 1,
            read=phase.read + i * phase.step,
            step=phase.step * parts,
        )
        for i in range(min(parts, phase.number))
    ]
