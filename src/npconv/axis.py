"""One spatial axis of a sliding window: its numbers, and the arithmetic between them.

Convolution, its gradients, transposed convolution, pooling and im2col all slide a window
over each axis by itself, so each axis is one record. Every output position ``p`` reads,
through kernel position ``r``, the position

    t = p * stride + r * dilation - low

of the input, counted after ``input_dilation`` has spread its elements apart. A ``t``
outside the input is padding. All that follows is this one equation, solved for one letter
or another.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple


class Axis(NamedTuple):
    """The geometry of one axis. All numbers count elements; pads may be negative (crops)."""

    size: int
    kernel: int
    stride: int = 1
    low: int = 0
    high: int = 0
    dilation: int = 1
    input_dilation: int = 1

    @property
    def dilated(self) -> int:
        """Input size once ``input_dilation - 1`` holes stand between neighbours."""
        return (self.size - 1) * self.input_dilation + 1 if self.size else 0

    @property
    def padded(self) -> int:
        """Size of what the window slides over."""
        return self.dilated + self.low + self.high

    @property
    def reach(self) -> int:
        """How far the window extends, its dilation included."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def out(self) -> int:
        """How many places the window fits: the output size."""
        return (self.padded - self.reach) // self.stride + 1

    def seen(self, r: int) -> tuple[slice, slice]:
        """Pair outputs with the inputs they see through kernel position ``r``.

        Returns ``(outputs, inputs)``, two slices of equal length; outputs left out see
        padding or a hole there. Slices, because ``t`` is linear in ``p``.
        """
        offset = self.low - r * self.dilation  # t = p * stride - offset
        first = max(0, -(-offset // self.stride))
        stop = min(self.out, (self.dilated - 1 + offset) // self.stride + 1)
        # With input_dilation e, only t = 0 mod e are elements. Those p recur every
        # e / gcd(stride, e) outputs, if they occur at all.
        common = math.gcd(self.stride, self.input_dilation)
        p_step = self.input_dilation // common
        for p in range(first, min(first + p_step, stop)):
            if (p * self.stride - offset) % self.input_dilation == 0:
                count = (stop - 1 - p) // p_step + 1
                start = (p * self.stride - offset) // self.input_dilation
                t_step = self.stride // common
                return (
                    slice(p, p + (count - 1) * p_step + 1, p_step),
                    slice(start, start + (count - 1) * t_step + 1, t_step),
                )
        return slice(0, 0), slice(0, 0)

    @property
    def is_plain(self) -> bool:
        """Whether every output reads one input, its own."""
        return self.kernel == self.stride == self.input_dilation == 1 and not self.low | self.high

    @property
    def has_holes(self) -> bool:
        """Whether ``input_dilation`` leaves positions that hold no element."""
        return self.input_dilation > 1 and self.size > 1

    def is_hole(self, t: Any) -> Any:
        """Whether positions ``t`` (one or an array) lie between two elements of the input."""
        return (t >= 0) & (t < self.dilated) & (t % self.input_dilation != 0)

    def reads(self, p0: int, p1: int) -> tuple[int, int]:
        """Give the range of inputs that outputs ``p0 .. p1 - 1`` read, through any ``r``.

        With holes it reaches to the next element on both sides, so that a hole at the
        border is still between two elements, and not taken for padding.
        """
        t0 = p0 * self.stride - self.low
        t1 = (p1 - 1) * self.stride - self.low + self.reach - 1
        lo = max(0, t0 // self.input_dilation)
        hi = min(self.size, -(-t1 // self.input_dilation) + 1)
        return (lo, hi) if lo < hi else (0, 0)

    def read_by(self, lo: int, hi: int) -> tuple[int, int]:
        """Give the range of outputs that read any of the inputs ``lo .. hi - 1``."""
        t0, t1 = lo * self.input_dilation, (hi - 1) * self.input_dilation
        p0 = max(0, -(-(t0 + self.low - self.reach + 1) // self.stride))
        p1 = min(self.out, (t1 + self.low) // self.stride + 1)
        return (p0, p1) if p0 < p1 else (0, 0)

    def tile(self, outputs: tuple[int, int], inputs: tuple[int, int]) -> Axis:
        """Cut out a smaller axis: those outputs, over those inputs, with pads of its own.

        The pads come out of the one equation with both origins moved; they are negative
        where the tile's inputs begin before, or end after, what its outputs read.
        """
        (p0, p1), (lo, hi) = outputs, inputs
        low = self.low - p0 * self.stride + lo * self.input_dilation
        bare = Axis(
            hi - lo,
            self.kernel,
            self.stride,
            low,
            0,
            self.dilation,
            self.input_dilation,
        )
        # No outputs at all need less than one reach.
        padded = (p1 - p0 - 1) * self.stride + self.reach if p1 > p0 else self.reach - 1
        high = padded - bare.padded
        return Axis(
            hi - lo,
            self.kernel,
            self.stride,
            low,
            high,
            self.dilation,
            self.input_dilation,
        )
