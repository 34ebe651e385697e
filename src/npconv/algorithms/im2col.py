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
from npconv.products import matmul, matmul_workspace
from npconv.scratch import Scratch
from npconv.windows import col2im, im2col


class Im2col:
    """Columns, then one BLAS matrix product for each image and group."""

    name = "im2col"
    engine = "numpy"
    direct = True

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
        # (N, G, K, P*Q) = (G, K, C*R*S) @ (N, G, C*R*S, P*Q)
        shape = (problem.N, problem.G, problem.K, problem.pixels)
        y = matmul(w, col, out=scratch.array("product", shape, col.dtype))
        holes.mend_outputs(problem, y, w, col)
        if bias is not None:
            y += bias[:, :, np.newaxis]
        out[...] = y.reshape(out.shape)

    def input_grad(
        self, problem: ConvProblem, dy: Array, w: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Give each column its gradient, then add the columns up where they were read."""
        dy = dy.reshape(problem.N, problem.G, problem.K, problem.pixels)
        # (N, G, C*R*S, P*Q) = (G, C*R*S, K) @ (N, G, K, P*Q)
        shape = (problem.N, problem.G, problem.C * problem.taps, problem.pixels)
        dcol = matmul(w.swapaxes(1, 2), dy, out=scratch.array("columns", shape, dy.dtype))
        dx = scratch.array("grad", out.shape, dy.dtype)
        col2im(dcol.reshape(*dx.shape[:3], *problem.kernel, *problem.out), problem.axes, dx)
        out[...] = dx

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
        col = scratch.array("columns", shape, x.dtype)
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

    def cost(self, problem: ConvProblem, direction: Direction, dtype: DType) -> Cost:
        """Count the columns, and what the product writes before it goes to its place."""
        images = problem.N * problem.G
        columns = images * problem.C * problem.taps * problem.pixels
        y = images * problem.K * problem.pixels
        dx = images * problem.C * math.prod(problem.size)
        dw = problem.G * problem.K * problem.C * problem.taps
        # The product, and a copy of dy where it cannot be reshaped as it lies.
        beside = {
            Direction.FORWARD: y,
            Direction.INPUT_GRAD: dx + y,
            Direction.KERNEL_GRAD: (problem.N + 1) * dw + y,
        }[direction]
        return Cost(
            multiplications=problem.products,
            bytes_moved=(2 * columns + 2 * beside) * dtype.itemsize,
            workspace=(columns + beside + dw) * dtype.itemsize
            + matmul_workspace(columns, y + dw, columns + beside, dtype)
            + holes.workspace(problem, dtype),
            error_growth=problem.terms(direction) + 1,
            calls=10 + problem.taps + images,
        )
