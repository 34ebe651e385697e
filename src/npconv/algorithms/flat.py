"""im2col, tuned: columns copied in long runs, a few at a time, into the cache.

The same products as in `npconv.algorithms.im2col`, over columns that are shifted copies of
a flat image (`npconv.flat`), so that each row of the column matrix is a single run:

    Y    (K, P*Q)    =  W   (K, C*R*S)  @  col (C*R*S, P*Q)
    dW   (K, C*R*S)  =  dY  (K, P*Q)    @  col^T
    dcol (C*R*S, P*Q) =  W^T             @  dY         added up in a flat dX

each for a band of rows of Y at a time. A band is as large as the cache holds beside its
outputs, which are copied to their place, bias added, while they are still there. A kernel of
one element needs no columns, and an image without padding no copy. Several small images, or
groups, share a band: that saves calls into NumPy, and each still has a product of its own.

The input's gradient is the first line, too, with the kernel turned round, under a stride once
for each phase (`npconv.unstrided`), where copying columns of dY and turning the kernel take less
than adding up.
"""

from __future__ import annotations

import math

import numpy as np

from npconv.algorithms.flat_bands import (
    FEWEST,
    Step,
    held_by,
    layout,
    parts,
    turns,
    unit_of,
)
from npconv.algorithms.protocol import DType, why_no_sums
from npconv.axis import Axis
from npconv.cost import Cost, Packing
from npconv.flat import (
    BAND_BYTES,
    Flat,
    bands,
    clear_gaps,
    empty_flat,
    flat_grads,
    lay_out,
    most_flat,
    put_back,
    put_with_bias,
    seen,
    without_gaps,
)
from npconv.problem import Array, ConvProblem, Direction
from npconv.products import as_matrices, matmul, matmul_workspace, written_as
from npconv.scratch import Scratch
from npconv.unstrided import convolutions, turned_kernel


class FlatColumns:
    """Shifted copies of a flat image for columns; one matrix product for each band."""

    name = "flat"
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
        """Multiply the kernel matrix with the columns, band by band."""
        if not problem.products:  # a kernel may then be of any size, too large to lay out
            out[...] = 0 if bias is None else bias.reshape(*bias.shape, *(1,) * problem.rank)
            return
        flat, step = layout(problem, Direction.FORWARD, x.dtype)
        for images, groups in parts(problem, step):
            some = x[images, groups]
            flat_x, added = _laid_out(flat, some, scratch), None
            if bias is not None:
                added = bias[groups].reshape(-1, problem.K, *(1,) * problem.rank)
            for start, stop in bands(flat, step.rows):
                col = _columns(flat, flat_x, some, (start, stop), scratch)
                y = out[images, groups, :, start:stop]
                # (n, G, K, p*Q) = (G, K, C*R*S) @ (n, G, C*R*S, p*Q)
                _multiply(flat, w[groups], col, added, y, scratch)

    def input_grad(
        self, problem: ConvProblem, dy: Array, w: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Convolve dy with the turned kernel, or add the columns' gradients up: see `pack`."""
        if not problem.products:
            out[...] = 0
        elif w.ndim == 3:
            for part, place in convolutions(problem):
                here = out[(..., *part.inputs)]
                self.forward(part.problem, dy, w[:, :, place], out=here, scratch=scratch)
        else:
            self._add_up(problem, dy, w[:, 0], out, scratch)

    def _add_up(
        self, problem: ConvProblem, dy: Array, w: Array, out: Array, scratch: Scratch
    ) -> None:
        flat, step = layout(problem, Direction.INPUT_GRAD, dy.dtype)
        for images, groups in parts(problem, step):
            lead = (images.stop - images.start, groups.stop - groups.start, problem.C)
            dx = empty_flat(flat, lead, scratch, dy.dtype)
            for clear in (False, True):
                dx[...] = 0
                for start, stop in bands(flat, step.rows):
                    grads = flat_grads(flat, dy[images, groups, :, start:stop], scratch)
                    # (n, G, C*R*S, p*Q) = (G, C*R*S, K) @ (n, G, K, p*Q)
                    dcol = _column_grads(flat, w[groups], grads, stop - start, scratch)
                    if clear:
                        clear_gaps(flat, dcol, stop - start)
                    _add_back(flat, dcol, dx, lead, start, stop)
                # The zeros in the gaps of dY, times Inf, would be NaN beside the right place.
                if not flat.has_gaps or dx.dtype.kind not in "fc" or np.isfinite(dx.sum()):
                    break
            put_back(flat, dx, out[images, groups])

    def kernel_grad(
        self, problem: ConvProblem, x: Array, dy: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Multiply the outputs' gradient, flat, with the columns; add up band after band."""
        if not problem.products:
            return
        flat, step = layout(problem, Direction.KERNEL_GRAD, x.dtype)
        shape = (problem.G, problem.K, problem.C * problem.taps)
        place = as_matrices(out, shape, x.dtype)
        dw = scratch.array("sum", shape, x.dtype) if place is None else place
        for clear in (False, True):
            _sum_bands(problem, flat, step, x, dy, dw, clear, scratch)
            # The zeros in the gaps of dY meet what they should not: Inf or NaN, it may be.
            if not flat.has_gaps or dw.dtype.kind not in "fc" or np.isfinite(dw.sum()):
                break
        if place is None:
            out[...] = dw.reshape(out.shape)

    def pack(self, problem: ConvProblem, direction: Direction, w: Array) -> Array:
        """Write each kernel as one row: ``(G, K, C*R*S)``.

        For the input's gradient it is turned round and reads dY, ``(G, C, K*R*S)``, where
        `turns` says so; else it stays as it is, ``(G, 1, K, C*R*S)``. Turned it meets zeros
        of padding, too, which are no terms there: so it must be finite.
        """
        if direction is not Direction.INPUT_GRAD:
            return _as_rows(problem, w)
        if not turns(problem) or not (w.dtype.kind not in "fc" or np.isfinite(w).all()):
            return _as_rows(problem, w)[:, np.newaxis]
        if problem.taps == 1:  # BLAS reads it either way
            return _as_rows(problem, w).swapaxes(1, 2)
        return turned_kernel(problem, w)

    def why_not(self, problem: ConvProblem, direction: Direction, dtype: DType) -> str | None:
        """Serve whatever can be multiplied as matrices of machine numbers, without holes."""
        if dtype.kind == "O":
            return "it multiplies matrices of machine numbers; exact objects are for 'naive'"
        if any(axis.input_dilation > 1 for axis in problem.axes):
            return "its rows have no holes: it does not serve input_dilation"
        return why_no_sums(dtype)

    def cost(
        self,
        problem: ConvProblem,
        direction: Direction,
        dtype: DType,
        whole: ConvProblem | None = None,
    ) -> Cost:
        """Count the flat images, the columns, and what a band writes before it is in place."""
        kernel = problem.G * problem.K * problem.C * problem.taps
        turned = direction is Direction.INPUT_GRAD and turns(whole or problem)
        held = held_by(problem, direction, dtype)
        if turned:  # unless the kernel is not finite
            each = (part.problem for part, _ in convolutions(problem))
            held = max([held, *(held_by(part, Direction.FORWARD, dtype) for part in each)])
        images, outputs = problem.N * problem.G, problem.pixels
        dx, y = problem.C * math.prod(map(most_flat, problem.axes)), problem.K * outputs
        columns = (problem.K if turned else problem.C) * problem.taps * outputs
        phases = math.prod(min(axis.stride, max(axis.size, 1)) for axis in problem.axes)
        # What is done in steps takes four times as long as in a row.
        steps = 8 if any(axis.stride > 1 for axis in problem.axes) else 2
        moved = images * (2 * columns + steps * dx + 2 * y)
        if direction is Direction.INPUT_GRAD:  # each phase lays dY out anew
            moved += images * (2 * (phases - 1) * y if turned else steps * columns)
        if direction is Direction.KERNEL_GRAD:
            moved += 4 * kernel
        bands_made = max(
            phases if turned else 1,
            -(-images * columns // max(BAND_BYTES // dtype.itemsize, FEWEST * unit_of(problem))),
        )
        if direction is not Direction.KERNEL_GRAD:  # BLAS reads, writes and reads it each time
            moved += 3 * kernel * max(problem.N, bands_made // max(1, problem.G))
        adds_up = direction is Direction.INPUT_GRAD and not turned
        adds = problem.taps if adds_up else math.prod(map(_runs, problem.axes))
        return Cost(
            multiplications=problem.products,
            bytes_moved=moved * dtype.itemsize,
            workspace=(held + kernel) * dtype.itemsize
            + matmul_workspace(held, held + kernel, held + kernel, dtype),
            error_growth=problem.terms(direction) + 1,
            calls=10 + bands_made * (3 + adds) + images,
            packing=Packing(numbers=kernel if turned else 0),
        )


def _runs(axis: Axis) -> int:
    """Count the runs of kernel elements along an axis whose columns one call copies."""
    return min(axis.kernel, axis.stride // math.gcd(axis.stride, axis.dilation))


# ---- bands -------------------------------------------------------------------------------


def _as_rows(problem: ConvProblem, w: Array) -> Array:
    shape = (problem.G, problem.K, problem.C * problem.taps)
    rows = as_matrices(w, shape, w.dtype)
    return np.ascontiguousarray(w).reshape(shape) if rows is None else rows


def _laid_out(flat: Flat, x: Array, scratch: Scratch) -> Array | None:
    """Lay images out, unless they are the columns: each output reads one element, its own."""
    if flat.as_it_lies and math.prod(flat.kernel) == 1:
        lead, inputs = x.shape[:3], math.prod(x.shape[3:])
        if as_matrices(x, (*lead, inputs), x.dtype) is not None:
            return None
    return lay_out(flat, x, scratch)


def _columns(
    flat: Flat,
    images: Array | None,
    x: Array,
    band: tuple[int, int],
    scratch: Scratch,
    *,
    clear: bool = False,
) -> Array:
    """Copy the columns of a band ``(n, G, C*R*S, length)``, or view what lies as columns do."""
    (n, G, C), (start, stop), taps = x.shape[:3], band, math.prod(flat.kernel)
    length, begin = flat.length(stop - start), start * flat.row
    lead = n, G, C
    if images is None:
        return x[:, :, :, start:stop].reshape(n, G, C, length)
    if taps == 1 and not clear:
        return seen(images, flat, lead, flat.shifts[0], begin, length).reshape(n, G, C, length)
    width = (stop - start) * flat.row
    col = scratch.array("columns", (n, G, C, *flat.kernel, width), images.dtype)
    for shift in flat.shifts:
        col[(..., *shift.taps, slice(length))] = seen(images, flat, lead, shift, begin, length)
    if clear:
        clear_gaps(flat, col, stop - start)
    return col.reshape(n, G, C * taps, width)[..., :length]


def _multiply(
    flat: Flat, w: Array, col: Array, bias: Array | None, y: Array, scratch: Scratch
) -> None:
    """Write ``w @ col`` and the bias to their place, without the gaps."""
    n, G, K, rows = y.shape[:4]
    if not flat.has_gaps:
        with written_as(y, (n, G, K, rows * flat.row), col.dtype, scratch) as lines:
            matmul(w, col, out=lines)
            if bias is not None:
                np.add(lines, bias.reshape(*bias.shape[:2], 1), out=lines)
        return
    lines = scratch.array("product", (n, G, K, rows * flat.row), col.dtype)
    matmul(w, col, out=lines[..., : col.shape[-1]])
    put_with_bias(without_gaps(flat, lines, rows), bias, y)


def _column_grads(flat: Flat, w: Array, grads: Array, rows: int, scratch: Scratch) -> Array:
    """Multiply ``(n, G, C*R*S, rows * row)``."""
    shape = (grads.shape[0], w.shape[0], w.shape[2], rows * flat.row)
    dcol = scratch.array("columns", shape, grads.dtype)
    return matmul(w.swapaxes(1, 2), grads, out=dcol)


def _add_back(
    flat: Flat, dcol: Array, dx: Array, lead: tuple[int, ...], start: int, stop: int
) -> None:
    """Add each row of the columns' gradients, shifted, to the flat input gradient."""
    begin, length = start * flat.row, flat.length(stop - start)
    dcol = dcol.reshape(*lead, *flat.kernel, dcol.shape[-1])
    for shift in flat.shifts:
        here, there = (
            dcol[(..., *shift.taps, slice(length))],
            seen(dx, flat, lead, shift, begin, length),
        )
        for tap in np.ndindex(shift.number):
            index = (slice(None), slice(None), slice(None), *tap)
            np.add(there[index], here[index], out=there[index])


def _sum_bands(
    problem: ConvProblem,
    flat: Flat,
    step: Step,
    x: Array,
    dy: Array,
    dw: Array,
    clear: bool,
    scratch: Scratch,
) -> None:
    """Write the sum of all bands' products into ``dw (G, K, C*R*S)``, in a fixed order."""
    for images, groups in parts(problem, step):
        some, sums = x[images, groups], dw[groups]
        flat_x = _laid_out(flat, some, scratch)
        for start, stop in bands(flat, step.rows):
            grads = flat_grads(flat, dy[images, groups, :, start:stop], scratch)
            band = (start, stop)
            col = _columns(flat, flat_x, some, band, scratch, clear=clear)
            first = not images.start and not start
            # (n, G, K, C*R*S) = (n, G, K, p*Q) @ (n, G, p*Q, C*R*S)
            grads = grads[..., : col.shape[-1]]
            if first and len(some) == 1:
                matmul(grads[0], col[0].swapaxes(1, 2), out=sums)
                continue
            part = scratch.array("part", (len(some), *sums.shape), x.dtype)
            matmul(grads, col.swapaxes(2, 3), out=part)
            if first:
                part.sum(axis=0, out=sums)
            else:
                np.add(sums, part[0] if len(part) == 1 else part.sum(axis=0), out=sums)
