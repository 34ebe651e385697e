"""Images cut into overlapping sections, each of which holds all terms of some outputs.

Longer sections overlap less, and cost more to transform (`npconv.fourier`); between the two
is a best length for each reach of the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple, TypeAlias

from npconv.axis import Axis
from npconv.fourier import LONGEST_PRODUCT, good_length
from npconv.problem import Array
from npconv.scratch import Scratch

Pair: TypeAlias = tuple[slice, slice]
Index: TypeAlias = tuple[Any, ...]

# What an element of a section takes beside its transforms (it is copied, and multiplied
# with the kernel's spectrum), in products of a transform.
EFFORT_BESIDE = 64


class Sections(NamedTuple):
    """One axis cut into sections of ``length`` elements."""

    axis: Axis
    length: int

    @property
    def outputs(self) -> int:
        """Outputs that one section holds all terms of."""
        return (self.length - self.axis.reach) // self.axis.stride + 1

    @property
    def number(self) -> int:
        """How many sections there are."""
        return -(-self.axis.out // self.outputs)

    def reads(self, t: int) -> Pair:
        """Pair inputs with their places in section ``t``; the other places are zeros."""
        axis, step = self.axis, self.axis.input_dilation
        first = t * self.outputs * axis.stride - axis.low  # counted after input_dilation
        lo = min(axis.size, max(0, -(-first // step)))
        hi = max(lo, min(axis.size, (first + self.length - 1) // step + 1))
        return slice(lo, hi), slice(lo * step - first, hi * step - first, step)

    def writes(self, t: int) -> Pair:
        """Pair outputs with their places in section ``t`` of the result."""
        lo, hi = t * self.outputs, min((t + 1) * self.outputs, self.axis.out)
        return slice(lo, hi), slice(0, (hi - lo) * self.axis.stride, self.axis.stride)


def cut(axes: Sequence[Axis]) -> list[Sections]:
    """Cut each axis into sections of about the best length: of equal ones, without much waste."""
    cuts = []
    for axis, best in zip(axes, cut_as_if_long(axes), strict=True):
        outputs = -(-axis.out // max(1, best.number))
        length = good_length(max(0, outputs - 1) * axis.stride + axis.reach)
        cuts.append(Sections(axis, min(length, best.length)))
    return cuts


def cut_as_if_long(axes: Sequence[Axis]) -> list[Sections]:
    """Cut each axis into sections of the best length, the same for a problem and its tiles."""
    return [Sections(axis, _best_length(axis.reach, axis.stride)) for axis in axes]


def copy_inputs(cuts: Sequence[Sections], x: Array, scratch: Scratch) -> Array:
    """Copy the sections out of an image ``(..., *size)``: ``(..., *count, *length)``."""
    lengths = [c.length for c in cuts]
    sections = _zeros(x.shape[: -len(cuts)], cuts, lengths, x, scratch)
    for t, inputs, places in walk(cuts, Sections.reads):
        sections[(..., *t, *places)] = x[(..., *inputs)]
    return sections


def copy_outputs(cuts: Sequence[Sections], y: Array, scratch: Scratch) -> Array:
    """Copy the outputs of each section likewise; zeros behind the last one are left out."""
    spans = [(c.outputs - 1) * c.axis.stride + 1 for c in cuts]
    sections = _zeros(y.shape[: -len(cuts)], cuts, spans, y, scratch)
    for t, outputs, places in walk(cuts, Sections.writes):
        sections[(..., *t, *places)] = y[(..., *outputs)]
    return sections


def walk(
    cuts: Sequence[Sections], pair: Callable[[Sections, int], Pair]
) -> Iterator[tuple[Index, Index, Index]]:
    """Give each section's number, and its pair of slices along all axes."""
    for t in product(*(range(c.number) for c in cuts)):
        here, there = zip(*(pair(c, i) for c, i in zip(cuts, t, strict=True)), strict=True)
        yield t, here, there


def _zeros(
    lead: Sequence[int], cuts: Sequence[Sections], sizes: Sequence[int], like: Array, s: Scratch
) -> Array:
    sections = s.array("sections", (*lead, *(c.number for c in cuts), *sizes), like.dtype)
    sections[...] = 0
    return sections


@lru_cache(maxsize=1024)
def _best_length(reach: int, stride: int) -> int:
    """Choose the length at which an output of a long axis takes the least effort."""
    lengths, n = [], good_length(reach)
    while n < 16 * reach + 64:
        lengths.append(n)
        n = good_length(n + max(2, n // 16))
    return min(lengths, key=lambda n: _effort(n, reach, stride))


def _effort(n: int, reach: int, stride: int) -> float:
    """Estimate the effort for one output in sections of ``n``."""
    outputs = (n - reach) // stride + 1
    return n * (EFFORT_BESIDE + min(n, LONGEST_PRODUCT)) / outputs
