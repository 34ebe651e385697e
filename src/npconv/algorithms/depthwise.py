"""Depthwise convolution, compiled: one channel for each group, in vectors along rows.

With one input and one output channel for each group there is no matrix product to speak of:
each output is a sum of ``R*S`` products. So a few rows of outputs are held in vector registers
while the kernel's elements go by, and a row of inputs, once loaded, serves every row of outputs
that sees it (Zhang, Lo and Lu, High Performance Depthwise and Pointwise Convolutions on Mobile
Devices, 2020). Images are read as they lie: at the borders, vectors are loaded in part. The
input's gradient is a forward convolution with the kernel turned round.
"""

from __future__ import annotations

import math

import numpy as np

from npconv.algorithms import by_image
from npconv.algorithms.protocol import DType, why_no_tables
from npconv.compiled import depthwise, why_missing
from npconv.compiled.prepared import (
    Prepared,
    Strides,
    in_rows,
    is_finite,
    run,
    strides_of,
    usable,
    written,
)
from npconv.cost import Cost
from npconv.problem import Array, ConvProblem, Direction
from npconv.scratch import Scratch


class Depthwise:
    """Rows of outputs in registers, all images and groups in one run."""

    name = "depthwise"
    engine = "compiled"
    direct = True
    bands = False

    def prepare(
        self,
        problem: ConvProblem,
        direction: Direction,
        dtype: DType,
        strides: tuple[Strides, Strides, Strides],
        threads: int,
    ) -> Prepared | None:
        """Prepare a run for arrays whose rows lie in one piece each."""
        x, y, w = strides
        if x[-1] != 1 or y[-1] != 1:
            return None
        if direction is Direction.KERNEL_GRAD:
            kernel = (problem.G, 1, 1, *problem.kernel)
            in_one_piece = tuple(math.prod(kernel[i + 1 :]) for i in range(len(kernel)))
            if w != in_one_piece:
                return None
        if direction is Direction.INPUT_GRAD:
            x, y = y, x
        return depthwise.prepare(problem, direction, dtype.name, x, y, threads)

    def pack_whole(
        self,
        problem: ConvProblem,
        direction: Direction,
        w: Array,
        threads: int,
        *,
        keep: bool = False,
    ) -> Array | None:
        """Leave the kernel as it is, in one piece; see `Direct.pack_whole`."""
        bare = direction is Direction.INPUT_GRAD or problem.spreads
        if not problem.products or (bare and not is_finite(w, threads)):
            return None
        return np.ascontiguousarray(w)

    def whole_workspace(
        self, problem: ConvProblem, direction: Direction, dtype: DType, threads: int
    ) -> int:
        """Count the sums of bands, and the kernel."""
        posed = problem.turned if direction is Direction.INPUT_GRAD else problem
        kernel = posed.G * posed.taps * dtype.itemsize
        if direction is Direction.KERNEL_GRAD:
            kernel += depthwise.scratch_bytes(posed, dtype.itemsize)
        return kernel + depthwise.table_bytes(posed, dtype.itemsize)

    def takes(self, result: DType, accumulator: DType) -> bool:
        """Whether arrays of these numbers can be read and written without a cast."""
        return result == accumulator

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
        """Sum over windows."""
        packed = self.pack_whole(problem, Direction.FORWARD, usable(w), scratch.threads)
        if packed is None:
            by_image.forward(problem, x, w, out=out, bias=bias, scratch=scratch)
        else:
            _convolve(problem, Direction.FORWARD, x, packed, out, bias, scratch)

    def input_grad(
        self, problem: ConvProblem, dy: Array, w: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Convolve dy with the kernel turned round: it is read so, not written."""
        packed = self.pack_whole(problem, Direction.INPUT_GRAD, usable(w), scratch.threads)
        if packed is None:
            by_image.input_grad(problem, dy, w, out=out, scratch=scratch)
        else:
            _convolve(problem, Direction.INPUT_GRAD, dy, packed, out, None, scratch)

    def kernel_grad(
        self, problem: ConvProblem, x: Array, dy: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Sum products of rows, image after image."""
        x, dy = in_rows(x, "x", scratch), in_rows(dy, "dy", scratch)
        lie, threads = (strides_of(x), strides_of(dy)), scratch.threads
        prepared = depthwise.prepare(problem, Direction.KERNEL_GRAD, x.dtype.name, *lie, threads)
        if prepared.steps:
            dw = scratch.array("sum", out.shape, x.dtype)
            run(prepared, x, dy, dw, None, scratch)
            out += dw

    def pack(self, problem: ConvProblem, direction: Direction, w: Array) -> Array:
        """Leave the kernel as it is."""
        return w

    bring = pack

    def why_not(self, problem: ConvProblem, direction: Direction, dtype: DType) -> str | None:
        """Serve one channel for each group, in float32 and float64, where Numba is."""
        if (problem.K, problem.C) != (1, 1):
            return (
                "it serves one input and one output channel for each group, not "
                f"{problem.C} and {problem.K}"
            )
        missing = why_missing()
        if missing:
            return missing
        if dtype not in (np.float32, np.float64):
            return f"its kernels are for float32 and float64, not {dtype}"
        if direction is Direction.KERNEL_GRAD and any(a.input_dilation > 1 for a in problem.axes):
            return "in the kernel's gradient it does not serve input_dilation"
        return why_no_tables(problem, direction)

    def cost(
        self,
        problem: ConvProblem,
        direction: Direction,
        dtype: DType,
        whole: ConvProblem | None = None,
    ) -> Cost:
        """Count both images, which are copied if their rows do not lie in one piece."""
        if why_no_tables(problem, direction):
            return by_image.COLUMNS.cost(problem, direction, dtype)
        posed = problem.turned if direction is Direction.INPUT_GRAD else problem
        x, y = (posed.N * posed.G * math.prod(each) for each in (posed.size, posed.out))
        kernel = posed.G * posed.taps
        needed = (x + y + 2 * kernel) * dtype.itemsize + depthwise.table_bytes(
            posed, dtype.itemsize
        )
        if direction is Direction.KERNEL_GRAD:
            needed += depthwise.scratch_bytes(posed, dtype.itemsize)
        if direction is Direction.INPUT_GRAD or posed.spreads:
            # Of what `pack_whole` does not take.
            needed = max(needed, by_image.workspace(problem, direction, dtype))
        # Rows are computed in whole vectors.
        row = posed.axes[-1].out if posed.axes[-1].out else 1
        return Cost(
            multiplications=problem.products // row * -(-row // 16) * 16,
            bytes_moved=(x + y + kernel) * dtype.itemsize,
            workspace=needed,
            error_growth=problem.terms(direction) + 1,
            calls=10,
        )


def _convolve(
    problem: ConvProblem,
    direction: Direction,
    x: Array,
    w: Array,
    out: Array,
    bias: Array | None,
    scratch: Scratch,
) -> None:
    x, bias = in_rows(x, "x", scratch), None if bias is None else np.ascontiguousarray(bias)
    with written(out, x.dtype, scratch, in_rows=True) as y:
        lie, threads = (strides_of(x), strides_of(y)), scratch.threads
        prepared = depthwise.prepare(problem, direction, x.dtype.name, *lie, threads)
        run(prepared, x, w, y, bias, scratch)
