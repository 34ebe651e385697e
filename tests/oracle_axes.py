"""The oracle's geometry: one spatial axis, and every way to write its options.

Part of `oracle`, written like it from the public contract alone; nothing of the package is
imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

PAD = -1  # a position outside the input, read as zero
HOLE = -2  # not a term at all


@dataclass(frozen=True)
class Axis:
    """One spatial axis, and which input position it reads."""

    size: int
    kernel: int
    stride: int = 1
    low: int = 0
    high: int = 0
    dilation: int = 1
    input_dilation: int = 1
    mode: str = "zeros"
    ceil_mode: bool = False

    @property
    def stretched(self) -> int:
        """Length with the holes of `input_dilation` counted."""
        return (self.size - 1) * self.input_dilation + 1 if self.size else 0

    @property
    def reach(self) -> int:
        """Length of the dilated kernel."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def out(self) -> int:
        room = self.stretched + self.low + self.high - self.reach
        if room < 0:
            raise ValueError(f"the kernel does not fit: {self}")
        if not self.ceil_mode:
            return room // self.stride + 1
        out = ceil(Fraction(room, self.stride)) + 1
        # A high crop makes the input smaller; a high pad does not make it larger.
        edge = self.size + self.low + min(self.high, 0)
        starts_beyond = (out - 1) * self.stride >= edge
        return out - 1 if starts_beyond else out

    def read(self, p: int, r: int) -> int:
        """The input position that output `p` reads through kernel position `r`."""
        at = p * self.stride + r * self.dilation - self.low
        if at >= self.stretched + self.high:
            return HOLE  # past the padded edge, where only windows of ceil_mode reach
        if 0 <= at < self.stretched:
            return HOLE if at % self.input_dilation else at // self.input_dilation
        if self.mode == "zeros":
            return PAD
        if self.mode == "replicate":
            return 0 if at < 0 else self.size - 1
        if self.mode == "circular":
            return at % self.size
        assert self.mode == "reflect", self.mode
        return -at if at < 0 else 2 * (self.size - 1) - at


def per_axis(value: Any, rank: int) -> list[Any]:
    """One value for all axes, or one per axis, as a list."""
    values = list(value) if isinstance(value, (tuple, list)) else [value] * rank
    assert len(values) == rank, (value, rank)
    return values


def resolve_padding(
    padding: Any,
    stretched: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> list[tuple[int, int]]:
    """Every public form of `padding` as (low, high) pairs, one per axis."""
    if isinstance(padding, str):
        pairs = []
        for L, k, s, d in zip(stretched, kernel, stride, dilation, strict=True):
            out = ceil(Fraction(L, s))
            total = max((out - 1) * s + d * (k - 1) + 1 - L, 0)
            half = total // 2
            pairs.append(
                {
                    "valid": (0, 0),
                    "same": (half, total - half),
                    "same_lower": (total - half, half),
                    "causal": (d * (k - 1), 0),
                }[padding]
            )
        return pairs
    pads = per_axis(padding, len(kernel))
    return [(p[0], p[1]) if isinstance(p, (tuple, list)) else (p, p) for p in pads]


def make_axes(
    sizes: Sequence[int],
    kernel: Sequence[int],
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    input_dilation: Any = 1,
    padding_mode: str = "zeros",
    ceil_mode: bool = False,
) -> list[Axis]:
    rank = len(sizes)
    s, d, e = (per_axis(value, rank) for value in (stride, dilation, input_dilation))
    stretched = [Axis(L, 1, input_dilation=f).stretched for L, f in zip(sizes, e, strict=True)]
    pads = resolve_padding(padding, stretched, kernel, s, d)
    return [
        Axis(sizes[a], kernel[a], s[a], *pads[a], d[a], e[a], padding_mode, ceil_mode)
        for a in range(rank)
    ]
