"""Depthwise convolution as sums of shifted slices, in whole vectors.

With one input and one output channel for each group there is no matrix to multiply, only
rows to scale and add: each kernel element times what all outputs see through it, which in a
flat image (`npconv.flat`) is one long run:

    y[g]      =  sum over t of  w[g, t] * x[g, shift[t] :]
    dx[g]     =  the same with the kernel turned round, for each phase of a stride
    dw[g, t]  =  <dy[g], x[g, shift[t] :]>

`einsum` multiplies and adds in one pass over the cache, where `multiply` and `add` take two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from npconv.algorithms.protocol import DType, why_no_sums, why_no_tables
from npconv.axis import Axis
from npconv.cost import Cost
from npconv.flat import (
    BAND_BYTES,
    Flat,
    Shift,
    bands,
    clear_gaps,
    empty_flat,
    flat_grads,
    lay,
    lay_out,
    most_flat,
    put_back,
    put_with_bias,
    seen,
    without_gaps,
)
from npconv.problem import Array, ConvProblem, Direction
from npconv.scratch import Scratch
from npconv.unstrided import unstrided


class Slices:
    """One pass over the outputs for each kernel element, all groups in one call."""

    name = "slices"
    engine = "numpy"
    direct = True
    bands = True

    def forward(
        self,
        problem: ConvProblem,
        x: Array,
        w: Array,
        *,
        out: Array,
        bias: Array | None = None,
        scratch: Scratch,
    ) -> None:
        """Add up scaled slices, a band of outputs and some groups at a time."""
        if not problem.products:
            out[...] = 0 if bias is None else bias.reshape(*bias.shape, *(1,) * problem.rank)
            return
        flat, sets = lay(problem.axes), _sets(problem.axes)
        for images, groups, rows in _parts(problem, flat, x.dtype):
            some = x[images, groups, 0]
            flat_x, lead, added = lay_out(flat, some, scratch), some.shape[:2], None
            if bias is not None:
                added = bias[groups].reshape(-1, *(1,) * problem.rank)
            for start, stop in bands(flat, rows):
                begin, length = start * flat.row, flat.length(stop - start)
                shape = (*lead, (stop - start) * flat.row)
                sums = scratch.array("sums", shape, x.dtype)
                for i, each in enumerate(sets):
                    slices = seen(flat_x, flat, lead, each, begin, length)
                    kernel = w[(groups, *each.taps)]
                    target = scratch.array("products", shape, x.dtype) if i else sums
                    _scaled_sum(slices, kernel, target[..., :length])
                    if i:
                        np.add(sums, target, out=sums)
                y = out[images, groups, 0, start:stop]
                put_with_bias(without_gaps(flat, sums, stop - start), added, y)

    def input_grad(
        self, problem: ConvProblem, dy: Array, w: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Convolve dy with the kernel that `pack` has turned round, or add to slices of dx.

        With a stride, phase by phase.
        """
        if not problem.products:
            out[...] = 0
        elif w.ndim == 1 + problem.rank:
            for phase in unstrided(problem):
                place, kernel = out[(..., *phase.inputs)], w[(slice(None), *phase.taps)]
                self.forward(phase.problem, dy, kernel, out=place, scratch=scratch)
        else:
            self._add_up(problem, dy, w[:, 0, 0], out, scratch)

    def _add_up(
        self, problem: ConvProblem, dy: Array, w: Array, out: Array, scratch: Scratch
    ) -> None:
        flat = lay(problem.axes)
        for images, groups, rows in _parts(problem, flat, dy.dtype):
            lead = (images.stop - images.start, groups.stop - groups.start)
            dx = empty_flat(flat, lead, scratch, dy.dtype)
            for clear in (False, True):
                dx[...] = 0
                for start, stop in bands(flat, rows):
                    grads = flat_grads(flat, dy[images, groups, :, start:stop], scratch)[:, :, 0]
                    band = (start, stop)
                    _add_slices(flat, grads, w[groups], dx, band, scratch, clear=clear)
                # The zeros in the gaps of dY, times Inf, would be NaN beside the right place.
                if not flat.has_gaps or dx.dtype.kind not in "fc" or np.isfinite(dx.sum()):
                    break
            put_back(flat, dx, out[images, groups, 0])

    def kernel_grad(
        self, problem: ConvProblem, x: Array, dy: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Form the scalar product of dy with every slice; add up band after band."""
        if not problem.products:
            return
        flat = lay(problem.axes)
        dw = scratch.array("sum", (problem.G, *problem.kernel), x.dtype)
        for clear in (False, True):
            dw[...] = 0
            for images, groups, rows in _parts(problem, flat, x.dtype):
                flat_x = lay_out(flat, x[images, groups, 0], scratch)
                for start, stop in bands(flat, rows):
                    # `vecdot` conjugates its first argument.
                    grads = dy[images, groups, :, start:stop].conj()
                    grads = flat_grads(flat, grads, scratch)[:, :, 0]
                    band = (start, stop)
                    _add_products(flat, flat_x, grads, dw[groups], band, scratch, clear=clear)
            # The zeros in the gaps of dY meet what they should not: Inf or NaN, it may be.
            if not flat.has_gaps or dw.dtype.kind not in "fc" or np.isfinite(dw.sum()):
                break
        out += dw[:, np.newaxis, np.newaxis]

    def pack(self, problem: ConvProblem, direction: Direction, w: Array) -> Array:
        """Drop the axes of one: ``(G, R, S)``; turned round for the input's gradient.

        Not if it is not finite: turned, it meets zeros of padding, which are no terms there.
        Then it stays as it is.
        """
        if direction is not Direction.INPUT_GRAD:
            return w[:, 0, 0]
        if not (w.dtype.kind not in "fc" or np.isfinite(w).all()):
            return w
        return np.flip(w[:, 0, 0], axis=tuple(range(1, 1 + problem.rank)))

    def why_not(self, problem: ConvProblem, direction: Direction, dtype: DType) -> str | None:
        """Serve one channel for each group, in machine numbers, without holes."""
        if (problem.K, problem.C) != (1, 1):
            return (
                "it serves one input and one output channel for each group, not "
                f"{problem.C} and {problem.K}"
            )
        if dtype.kind == "O":
            return "it scales vectors of machine numbers; exact objects are for 'naive'"
        if any(axis.input_dilation > 1 for axis in problem.axes):
            return "its rows have no holes: it does not serve input_dilation"
        return why_no_sums(dtype) or why_no_tables(problem, direction)

    def cost(
        self,
        problem: ConvProblem,
        direction: Direction,
        dtype: DType,
        whole: ConvProblem | None = None,
    ) -> Cost:
        """Count a product for each element and output, and the flat images."""
        held = _held(problem, dtype)
        if direction is Direction.INPUT_GRAD and not why_no_tables(problem, direction):
            held = max([held, *(_held(phase.problem, dtype) for phase in unstrided(problem))])
        images, kernel = problem.N * problem.G, problem.G * problem.taps
        dx, y = images * math.prod(map(most_flat, problem.axes)), images * problem.pixels
        parts = max(1, -(-3 * max(dx, y) * dtype.itemsize // BAND_BYTES))
        sets = 2 * math.prod(min(axis.stride, axis.kernel) for axis in problem.axes)
        return Cost(
            multiplications=problem.products,
            bytes_moved=2 * (dx + sets * y) * dtype.itemsize,
            workspace=(held + 3 * kernel) * dtype.itemsize,
            error_growth=problem.terms(direction) + 1,
            calls=10 + parts * (3 + 2 * sets),
        )


def _parts(problem: ConvProblem, flat: Flat, dtype: DType) -> Iterator[tuple[slice, slice, int]]:
    """Cut images and groups, and say how many rows are computed together."""
    room, rows = BAND_BYTES // dtype.itemsize, flat.out[0]
    several = room // (flat.channel + 2 * rows * flat.row)
    if not several:
        rows = max(1, room // (2 * flat.row))
    groups = max(1, min(several, problem.G))
    images = max(1, several // groups) if groups == problem.G else 1
    for g in range(0, problem.G, groups):
        for n in range(0, problem.N, images):
            yield (
                slice(n, min(n + images, problem.N)),
                slice(g, min(g + groups, problem.G)),
                rows,
            )


def _held(problem: ConvProblem, dtype: DType) -> int:
    """Bound the elements that all this takes: `_parts`, with bounds for what is laid out."""
    first, *others = [most_flat(axis) for axis in problem.axes]
    row, room = math.prod(others), BAND_BYTES // dtype.itemsize
    image = (first + 1) * row
    most = max(room, image + max(room, 2 * row))
    # Conjugates are copied, and so is dy where it has gaps.
    return 2 * min(problem.N * problem.G * (image + 2 * problem.axes[0].out * row), most)


@lru_cache(maxsize=128)
def _sets(axes: tuple[Axis, ...]) -> list[Shift]:
    """Give the kernel's elements in sets over which `einsum` runs outside of the outputs.

    It runs inside over the axis with the smallest step, and of two with the same step over
    the wrong one. So neighbours along the last axis go to different sets.
    """
    sets = []
    for shift in lay(axes).shifts:
        *taps, last = shift.taps
        if shift.apart[-1] != 1:
            sets.append(shift)
            continue
        for odd in (0, 1):
            number = (*shift.number[:-1], (shift.number[-1] + 1 - odd) // 2)
            if not number[-1]:
                continue
            start = last.start + odd * last.step
            every = slice(start, last.stop, 2 * last.step)
            apart = (*shift.apart[:-1], 2)
            sets.append(Shift((*taps, every), number, shift.offset + odd, apart))
    return sets


def _scaled_sum(slices: Array, kernel: Array, out: Array) -> None:
    """Sum slices ``(n, G, R, S, length)`` times ``kernel (G, R, S)`` over R and S."""
    taps = list(range(3, 1 + slices.ndim - 1))
    np.einsum(slices, [0, 1, *taps, 2], kernel, [1, *taps], [0, 1, 2], out=out)


def _add_slices(
    flat: Flat,
    grads: Array,
    w: Array,
    dx: Array,
    band: tuple[int, int],
    scratch: Scratch,
    *,
    clear: bool,
) -> None:
    """Add ``w (G, R, S)`` times ``grads (n, G, rows * row)`` to slices of flat images."""
    (start, stop), lead = band, grads.shape[:2]
    length = flat.length(stop - start)
    product = scratch.array("products", grads.shape, grads.dtype)
    for shift in flat.shifts:
        there = seen(dx, flat, lead, shift, start * flat.row, length)
        kernel = w[(slice(None), *shift.taps)]
        for tap in np.ndindex(shift.number):
            np.multiply(grads, kernel[(slice(None), *tap)][:, np.newaxis], out=product)
            if clear:
                clear_gaps(flat, product, stop - start)
            place = there[(slice(None), slice(None), *tap)]
            np.add(place, product[..., :length], out=place)


def _add_products(
    flat: Flat,
    images: Array,
    grads: Array,
    dw: Array,
    band: tuple[int, int],
    scratch: Scratch,
    *,
    clear: bool,
) -> None:
    """Add the scalar products of ``grads (n, G, rows * row)`` with slices to ``dw (G, R, S)``."""
    (start, stop), lead = band, grads.shape[:2]
    length = flat.length(stop - start)
    for shift in flat.shifts:
        slices = seen(images, flat, lead, shift, start * flat.row, length)
        place = dw[(slice(None), *shift.taps)]
        if not clear:
            ones = (1,) * len(shift.number)
            dy = grads[..., :length].reshape(*lead, *ones, length)
            place += np.vecdot(dy, slices).sum(axis=0)
            continue
        cleared = scratch.array("products", grads.shape, grads.dtype)
        for tap in np.ndindex(shift.number):
            cleared[..., :length] = slices[(slice(None), slice(None), *tap)]
            clear_gaps(flat, cleared, stop - start)
            place[(slice(None), *tap)] += np.vecdot(grads, cleared).sum(axis=0)
