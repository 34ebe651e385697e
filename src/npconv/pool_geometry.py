"""The geometry of a pooling: which elements every window sees, cut into pieces of work.

It adds to `Axis` what convolution does not have: `ceil_mode`, divisors of an average,
and that a window never reads padding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from types import EllipsisType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from npconv.arrays import check_shape
from npconv.axis import Axis
from npconv.errors import ShapeError
from npconv.layouts import check_layouts
from npconv.memory import new_array
from npconv.numbers import DType
from npconv.options import is_plain, per_axis, resolve_axes
from npconv.problem import Array

# Elements per piece of work; those that are only read count half, as they are gone through once. A
# piece and its temporaries stay in a core's own caches over all passes, about, and far below any
# workspace limit. Smaller ones are no faster: between calls into NumPy, threads wait for the
# interpreter.
TILE = 2**18
# So many pieces are remembered for the next call.
FEW = 64

Index: TypeAlias = tuple[slice | EllipsisType, ...]
Tile: TypeAlias = tuple[slice, ...]


class Window(NamedTuple):
    """One axis of a pooling. Crops are already cut off, so no pad is negative."""

    axis: Axis  # its high pad includes what a last window of ceil_mode hangs over
    crop: int  # where the cropped input begins in the input
    given: int  # the input's size before
    edge: int  # where padding ends, counted from where the low pad begins

    @classmethod
    def of(cls, given: Axis, ceil_mode: bool) -> Window:
        """Cut the crops off, and let the last window hang over the edge."""
        low, high = max(given.low, 0), max(given.high, 0)
        size = given.size + min(given.low, 0) + min(given.high, 0)
        axis = given._replace(size=size, low=low, high=high)
        edge = axis.padded
        if ceil_mode:
            out = -(-(edge - axis.reach) // axis.stride) + 1
            if (out - 1) * axis.stride >= size + low:
                out -= 1  # it would begin beyond the input
            axis = axis._replace(high=(out - 1) * axis.stride + axis.reach - size - low)
        return cls(axis, max(-given.low, 0), given.size, edge)

    def counts(self, include_pad: bool) -> Array:
        """Count the kernel positions of every window on elements, or before the edge."""
        return _counts(self.axis, *(0, self.edge) if include_pad else self._elements)

    @property
    def sees_all(self) -> bool:
        """Whether there is one window, and it sees the whole axis."""
        axis, uncropped = self.axis, self.crop == 0 and self.axis.size == self.given
        one = axis.out == 1 and (axis.dilation == 1 or axis.kernel == 1)
        return uncropped and one and 0 < axis.size <= axis.reach - axis.low

    @property
    def _elements(self) -> tuple[int, int]:
        return self.axis.low, self.axis.low + self.axis.size


class HashedOnce:
    """A tuple of many that is looked up again in every call."""

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return tuple.__hash__(self)  # type: ignore[arg-type] # whoever this is mixed into is one


class _Fields(NamedTuple):
    shape: tuple[int, ...]  # of the input, in the user's layout
    order: tuple[int, ...]  # where N, C and the spatial axes stand in the layout
    windows: tuple[Window, ...]


class Pool(HashedOnce, _Fields):
    """Shapes and windows of one pooling; the arrays inside are ``(N, C, *spatial)``.

    What follows from them is computed once: the same pooling is asked again in every call.
    """

    @classmethod
    def of(
        cls,
        shape: tuple[int, ...],
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        ceil_mode: bool,
        layout: Any,
    ) -> Pool:
        """Check shape and options against each other; remembered, where they can be."""
        given = shape, kernel_size, stride, padding, dilation, layout
        if type(ceil_mode) is bool and is_plain(given):
            return cls._remembered(*given, ceil_mode)
        return cls._of(*given, ceil_mode)

    @classmethod
    @lru_cache(maxsize=256)
    def _remembered(cls, *given: Any) -> Pool:
        """Check, unless done before."""
        return cls._of(*given)

    @classmethod
    def _of(
        cls,
        shape: tuple[int, ...],
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        layout: Any,
        ceil_mode: bool,
    ) -> Pool:
        rank = len(shape) - 2
        if rank < 1:
            raise ShapeError(
                "input must have a batch axis, a channel axis and at least one spatial axis, "
                f"3 axes or more, but it has {len(shape)}; input.shape={shape}"
            )
        letters, _ = check_layouts(layout, None, rank)
        space = [i for i in range(rank + 2) if not letters or letters[i] not in "NC"]
        order = (letters.index("N"), letters.index("C"), *space) if letters else None
        order = order or tuple(range(rank + 2))
        kernel = per_axis("kernel_size", kernel_size, rank, at_least=1)
        given = f"input.shape={shape}, kernel_size={kernel_size!r}"
        axes = resolve_axes(
            [shape[i] for i in order[2:]],
            kernel,
            stride=kernel if stride is None else stride,
            padding=padding,
            dilation=dilation,
            given=given,
        )
        # "causal" pads exceed the half, but all its windows end on an element.
        if not isinstance(padding, str):
            _check_pads(axes, given)
        return cls(shape, order, tuple(Window.of(axis, bool(ceil_mode)) for axis in axes))

    @property
    def rank(self) -> int:
        """Count the spatial axes."""
        return len(self.windows)

    @property
    def axes(self) -> tuple[int, ...]:
        """Where space stands in ``(N, C, *spatial)``."""
        return tuple(range(2, 2 + self.rank))

    @cached_property
    def space(self) -> tuple[int, ...]:
        """Spatial input size, what is cropped included."""
        return tuple(self.shape[place] for place in self.order[2:])

    @cached_property
    def whole(self) -> tuple[Axis, ...]:
        """The axes, not cut."""
        return tuple(window.axis for window in self.windows)

    @cached_property
    def work(self) -> int:
        """Count the elements that passes go over, of one image after the other."""
        passes = sum(axis.kernel for axis in self.whole) if not self.is_global else 1
        return math.prod(self.shape) * passes

    @cached_property
    def is_global(self) -> bool:
        """Whether there is one window, which sees everything."""
        return all(window.sees_all for window in self.windows)

    @cached_property
    def out(self) -> tuple[int, ...]:
        """Spatial output size."""
        return tuple(window.axis.out for window in self.windows)

    @cached_property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output in the user's layout."""
        shape = list(self.shape)
        for place, size in zip(self.order[2:], self.out, strict=True):
            shape[place] = size
        return tuple(shape)

    # ---- arrays: (as the user sees it, as (N, C, *spatial)) ---------------------------

    def view(self, array: Array) -> Array:
        """View an array in the user's layout as ``(N, C, *spatial)``."""
        return array.transpose(self.order)

    def crop(self, x: Array) -> Array:
        """View the part of the input, as ``(N, C, *spatial)``, that windows slide over."""
        cut: Index = (..., *(slice(w.crop, w.crop + w.axis.size) for w in self.windows))
        return self.view(x)[cut]

    def new_output(self, dtype: DType) -> tuple[Array, Array]:
        """Allocate an output; return it in the layout and as ``(N, C, *spatial)``."""
        result = new_array("the output", self.output_shape, dtype)
        return result, self.view(result)

    def new_input_grad(self, dtype: DType) -> tuple[Array, Array]:
        """Allocate zeros for the input; return them, and their part that windows see."""
        result = new_array("the gradient of input", self.shape, dtype)
        result[...] = 0
        return result, self.crop(result)

    def check_grad(self, dy: Array) -> None:
        """Refuse a `grad_output` that is not of the output's shape."""
        check_shape("grad_output", dy, self.output_shape, "the output's")

    # ---- pieces of work ---------------------------------------------------------------

    def tiles(self) -> Iterator[tuple[Tile, Tile, tuple[Axis, ...]]]:
        """Cut the work up: (where in the cropped input, where in the output, geometry).

        By images, then channels, then rows; where it cuts rows depends on no batch size. A few
        are remembered.
        """
        return iter(_few_tiles(self, TILE) or self.walk())

    def walk(self) -> Iterator[tuple[Tile, Tile, tuple[Axis, ...]]]:
        """Cut the work up, piece by piece."""
        N, C = (self.shape[i] for i in self.order[:2])
        first, *rest = (window.axis for window in self.windows)
        row = math.prod(max(axis.out, axis.size) for axis in rest)  # seen axis by axis
        plane = row * max(first.out, first.size // 2)
        rows = min(first.out, max(1, TILE * first.out // plane))
        planes = max(1, TILE // plane)
        channels = _even(C, planes)
        images = _even(N, planes // channels)
        for p0 in range(0, first.out, rows):
            p1 = min(p0 + rows, first.out)
            lo, hi = first.reads(p0, p1)
            axes = (first.tile((p0, p1), (lo, hi)), *rest)
            for n in range(0, N, images):
                for c in range(0, C, channels):
                    lead = slice(n, min(n + images, N)), slice(c, min(c + channels, C))
                    at_x = (*lead, slice(lo, hi), *(slice(0, a.size) for a in rest))
                    at_y = (*lead, slice(p0, p1), *(slice(0, a.out) for a in rest))
                    yield at_x, at_y, axes


@lru_cache(maxsize=256)
def _counts(axis: Axis, first: int, stop: int) -> Array:
    """Count every window's kernel positions from ``first`` to before ``stop``; remembered."""
    t = np.arange(axis.out)[:, None] * axis.stride
    t = t + np.arange(axis.kernel) * axis.dilation
    counts: Array = ((first <= t) & (t < stop)).sum(axis=1)
    counts.flags.writeable = False
    return counts


@lru_cache(maxsize=64)
def _few_tiles(pool: Pool, size: int) -> tuple[tuple[Tile, Tile, tuple[Axis, ...]], ...]:
    """Cut into pieces of that size, if they are few."""
    return tuple(pool.walk()) if math.prod(pool.shape) <= FEW * size else ()


def _even(count: int, most: int) -> int:
    """Cut into equal pieces, at most so large each."""
    most = max(1, min(count, most))
    return -(-count // -(-count // most)) if count else 1


def _check_pads(axes: Sequence[Axis], given: str) -> None:
    for i, axis in enumerate(axes):
        if max(axis.low, axis.high) > axis.reach // 2:
            raise ShapeError(
                f"padding must be at most half the window, {axis.reach} // 2 = "
                f"{axis.reach // 2}, but spatial axis {i} is padded by "
                f"({axis.low}, {axis.high}); {given}"
            )


@lru_cache(maxsize=256)
def positions(axes: tuple[Axis, ...]) -> list[tuple[int, Index, Index]]:
    """List (code, outputs, inputs) of each kernel position that sees elements.

    The codes count the kernel positions in C order, from 1. The two indices lead over any number
    of axes before the spatial ones. Remembered, as a network asks for the same few again
    and again.
    """
    found: list[tuple[int, Index, Index]] = []
    for code, r in enumerate(np.ndindex(*(axis.kernel for axis in axes)), start=1):
        seen = [axis.seen(i) for axis, i in zip(axes, r, strict=True)]
        if all(t.stop > t.start for _, t in seen):
            outputs: Index = (..., *(p for p, _ in seen))
            inputs: Index = (..., *(t for _, t in seen))
            found.append((code, outputs, inputs))
    return found
