"""Convolution as one matrix product: lay out the windows as columns, multiply once.

Every receptive field becomes a column of a matrix, every kernel a row of another, and
all outputs are their product (Chellapilla, Puri and Simard, 2006):

    Y (K, P*Q)  =  W (K, C*R*S)  @  col (C*R*S, P*Q)

Each gradient is a matrix product with the same columns:

    dW   = dY @ col^T               the kernel's, because Y is linear in W
    dcol = W^T @ dY                 the columns', because Y is linear in col
    dX   = col2im(dcol)             the input's, because im2col only copies

`@` runs over images ``n`` and groups ``g`` one by one, so an image's bits do not depend on
the batch it is in.
"""

from __future__ import annotations

import math

import numpy as np

from npconv.algorithms import holes
from npconv.algorithms.protocol import DType, why_no_sums
from npconv.cost import Cost
from npconv.problem import Array, ConvProblem, Direction
from npconv.products import as_matrices, matmul, matmul_workspace, written_as
from npconv.scratch import Scratch
from npconv.windows import add_back, im2col, windows_in_rows

# Elements along the last axis of a window from which it is worth a copy of its own.
LONG = 16


class Im2col:
    """Columns, then one BLAS matrix product for each image and group."""

    name = "im2col"
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
        """Multiply the kernel matrix with the columns."""
        col = self._columns(problem, x, scratch)
        shape = (problem.N, problem.G, problem.K, problem.pixels)
        with written_as(out, shape, col.dtype, scratch) as y:
            # (N, G, K, P*Q) = (G, K, C*R*S) @ (N, G, C*R*S, P*Q)
            matmul(w, col, out=y)
            holes.mend_outputs(problem, y, w, col)
            if bias is not None:
                np.add(y, bias[:, :, np.newaxis], out=y)

    def input_grad(
        self, problem: ConvProblem, dy: Array, w: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Give each column its gradient, then add the columns up where they were read.

        One row of the kernel at a time, so that its columns are still in the cache when
        they are added up, and only for the rows of outputs that read this tile through it.
        """
        rows = w.reshape(problem.G, problem.K, problem.C, *problem.kernel)
        dx = out if out.dtype == dy.dtype else scratch.array("grad", out.shape, dy.dtype)
        dx[...] = 0
        for r in range(problem.kernel[0]):
            outputs, inputs = problem.axes[0].seen(r)
            if outputs.start != outputs.stop:  # else it sees padding only
                seen, there = dy[:, :, :, outputs], dx[:, :, :, inputs]
                self._add_row(problem, seen, rows[:, :, :, r], there, scratch)
        if dx is not out:
            out[...] = dx

    def _add_row(
        self, problem: ConvProblem, dy: Array, row: Array, dx: Array, scratch: Scratch
    ) -> None:
        """Add what one row of the kernel, ``(G, K, C, S)``, makes of the outputs it gave."""
        G, K, C, *taps = row.shape
        pixels = dy.shape[3:]
        row = row.reshape(G, K, C * math.prod(taps))
        # (N, G, C*S, P*Q) = (G, C*S, K) @ (N, G, K, P*Q)
        shape = (problem.N, G, row.shape[2], math.prod(pixels))
        dcol = scratch.array("columns", shape, dy.dtype)
        matmul(row.swapaxes(1, 2), dy.reshape(problem.N, G, K, shape[3]), out=dcol)
        dcol = dcol.reshape(problem.N, G, C, *taps, *pixels)
        # Each row of outputs sees its own row of inputs: that axis is one of the leading ones.
        add_back(np.moveaxis(dcol, 2 + problem.rank, 3), problem.axes[1:], dx)

    def kernel_grad(
        self, problem: ConvProblem, x: Array, dy: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Multiply the outputs' gradient with the columns, transposed."""
        col = self._columns(problem, x, scratch)
        dy = dy.reshape(problem.N, problem.G, problem.K, problem.pixels)
        # (N, G, K, C*R*S) = (N, G, K, P*Q) @ (N, G, P*Q, C*R*S)
        shape = (problem.N, problem.G, problem.K, problem.C * problem.taps)
        dw = matmul(dy, col.swapaxes(2, 3), out=scratch.array("product", shape, col.dtype))
        holes.mend_kernel_grad(problem, dw, dy, col)
        out += dw.sum(axis=0, dtype=dw.dtype).reshape(out.shape)

    def _columns(self, problem: ConvProblem, x: Array, scratch: Scratch) -> Array:
        """Return ``(N, G, C*R*S, P*Q)``: rows are channel and kernel position."""
        shape = (problem.N, problem.G, problem.C * problem.taps, problem.pixels)
        if all(axis.is_plain for axis in problem.axes):  # a kernel of one element sees the image
            seen = as_matrices(x, shape, x.dtype)
            if seen is not None:
                return seen
        col = scratch.array("columns", shape, x.dtype)
        if _has_long_windows(problem):
            rows = col.reshape(*shape[:2], *problem.out, problem.C, *problem.kernel)
            windows_in_rows(x, problem.axes, rows)
            return rows.reshape(*shape[:2], shape[3], shape[2]).swapaxes(2, 3)
        im2col(x, problem.axes, col)
        return col

    def pack(self, problem: ConvProblem, direction: Direction, w: Array) -> Array:
        """Write each kernel as one row: ``(G, K, C*R*S)``."""
        return np.ascontiguousarray(w.reshape(problem.G, problem.K, problem.C * problem.taps))

    def why_not(self, problem: ConvProblem, direction: Direction, dtype: DType) -> str | None:
        """Serve whatever can be multiplied as matrices of machine numbers."""
        if dtype.kind == "O":
            return "it multiplies matrices of machine numbers; exact objects are for 'naive'"
        return why_no_sums(dtype)

    def cost(
        self,
        problem: ConvProblem,
        direction: Direction,
        dtype: DType,
        whole: ConvProblem | None = None,
    ) -> Cost:
        """Count the columns, and what the product writes before it goes to its place."""
        images = problem.N * problem.G
        columns = images * problem.C * problem.taps * problem.pixels
        held = columns
        if direction is Direction.INPUT_GRAD:  # those of one row of the kernel
            held //= max(1, problem.kernel[0])
        y = images * problem.K * problem.pixels
        dx = images * problem.C * math.prod(problem.size)
        dw = problem.G * problem.K * problem.C * problem.taps
        # The product, and a copy of dy where it cannot be reshaped as it lies.
        beside = {
            Direction.FORWARD: y,
            Direction.INPUT_GRAD: dx + y,
            Direction.KERNEL_GRAD: (problem.N + 1) * dw + y,
        }[direction]
        # Products are written to, and read from, their places. Columns are added up where they were
        # read; under a stride that takes half as long again, and so does copying.
        strided = any(axis.stride > 1 for axis in problem.axes)
        moved = {
            Direction.FORWARD: columns if strided else 0,
            Direction.INPUT_GRAD: 2 * dx + (3 if strided else 2) * columns,
            Direction.KERNEL_GRAD: 2 * beside + (columns if strided else 0),
        }[direction]
        makes_rows = direction is not Direction.INPUT_GRAD and _has_long_windows(problem)
        # BLAS reads, writes and reads the kernel for each image; for the input's gradient each row
        # of it is copied before, from numbers far apart.
        copied = {
            Direction.FORWARD: 3 * problem.N * dw,
            Direction.INPUT_GRAD: 4 * dw,
            Direction.KERNEL_GRAD: 0,
        }[direction]
        return Cost(
            multiplications=problem.products,
            bytes_moved=(2 * columns + moved + copied) * dtype.itemsize,
            workspace=(held + beside + dw) * dtype.itemsize
            + matmul_workspace(held, y + dw, held + beside, dtype)
            + holes.workspace(problem, dtype),
            error_growth=_roundings(problem, direction),
            calls=10
            + (1 if makes_rows else problem.taps)
            + images * (columns // held if held else 1),
        )


def _has_long_windows(problem: ConvProblem) -> bool:
    """Whether windows are copied whole: they begin far apart, and do not look at padding."""
    last = problem.axes[-1]
    return (
        last.kernel >= LONG
        and last.stride > last.dilation == 1
        and not any(axis.low > 0 or axis.high > 0 or axis.has_holes for axis in problem.axes)
    )


def _roundings(problem: ConvProblem, direction: Direction) -> int:
    """Bound the round-offs that reach any term: its product's, and those of the sums it is in.

    BLAS may add up in any order. An input's gradient is a sum over output channels for each
    kernel position, and then the sum of these.
    """
    if direction is Direction.INPUT_GRAD:
        return problem.K + problem.taps
    return problem.terms(direction) + 1
