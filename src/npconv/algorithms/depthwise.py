"""Depthwise convolution, compiled: one channel for each group, in vectors along rows.

With one input and one output channel for each group there is no matrix product to speak of:
each output is a sum of ``R*S`` products. So a row of outputs is held in vector registers while
the kernel's elements go by (Zhang, Lo and Lu, High Performance Depthwise and Pointwise
Convolutions on Mobile Devices, 2020). The input's gradient is a forward convolution with the
kernel turned round, read through another table; see `npconv.compiled.offsets` for strides.
"""

from __future__ import annotations

import math

import numpy as np

from npconv.algorithms.direct import Direct
from npconv.algorithms.im2col import Im2col
from npconv.algorithms.protocol import DType
from npconv.compiled.offsets import Grid, grid, most_padded, padded
from npconv.cost import Cost
from npconv.matrices import written_as
from npconv.problem import Array, ConvProblem, Direction
from npconv.scratch import Scratch


class Depthwise:
    """Rows of outputs in registers, all groups of an image in one call."""

    name = "depthwise"
    engine = "compiled"
    direct = True
    bands = False

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
        """Sum over windows, phase by phase, image by image."""
        if w.ndim == 3:  # see `Direct.pack`
            Direct().forward(problem, x, w, out=out, bias=bias, scratch=scratch)
        else:
            _convolve(problem, False, x, w, out, bias, scratch)

    def input_grad(
        self, problem: ConvProblem, dy: Array, w: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Convolve dy with the kernel turned round: it is read so, not written."""
        if w.ndim == 3:  # see `Direct.pack`
            Direct().input_grad(problem, dy, w, out=out, scratch=scratch)
        else:
            _convolve(problem.turned, True, dy, w, out, None, scratch)

    def kernel_grad(
        self, problem: ConvProblem, x: Array, dy: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Sum products of rows, image after image."""
        from npconv.compiled.windows import windows_for

        compiled, where = windows_for(x.dtype), grid(problem.axes)
        (phase,) = where.phases
        dw = scratch.array("sum", (problem.G, problem.taps), x.dtype)
        dw[...] = 0
        grads = scratch.array("grads", (problem.G, *problem.out), x.dtype)
        for n in range(problem.N):
            images = padded(problem.axes, where, x[n, :, 0], scratch)
            grads[...] = dy[n, :, 0]
            rows, apart = phase.b[:: phase.run], _apart(where)
            compiled.products(grads, images, apart, phase.a, rows, phase.run, dw)
        out += dw.reshape(out.shape)

    def pack(self, problem: ConvProblem, direction: Direction, w: Array) -> Array:
        """Leave the kernel as it is: ``(G, R*S)``; see `Direct.pack`."""
        return Direct().pack(problem, direction, w)

    def why_not(self, problem: ConvProblem, direction: Direction, dtype: DType) -> str | None:
        """Serve one channel for each group, where `direct` can."""
        if (problem.K, problem.C) != (1, 1):
            return (
                "it serves one input and one output channel for each group, not "
                f"{problem.C} and {problem.K}"
            )
        return Direct().why_not(problem, direction, dtype)

    def cost(
        self,
        problem: ConvProblem,
        direction: Direction,
        dtype: DType,
        whole: ConvProblem | None = None,
    ) -> Cost:
        """Count the padded image, its result, and a call for each image."""
        posed = problem.turned if direction is Direction.INPUT_GRAD else problem
        image = posed.G * math.prod(map(most_padded, posed.axes))
        y, kernel = posed.G * posed.pixels, posed.G * posed.taps
        needed = (image + y + 2 * kernel + 128) * dtype.itemsize
        needed += 8 * (4 * posed.taps + 4 * posed.pixels + 32)
        if direction is Direction.INPUT_GRAD or any(a.has_holes for a in posed.axes):
            instead = Im2col().cost(problem.one_image, direction, dtype)  # see `Direct.pack`
            needed = max(needed, instead.workspace)
        # Rows are computed in whole vectors.
        row = posed.axes[-1].out if posed.axes[-1].out else 1
        return Cost(
            multiplications=problem.products // row * -(-row // 16) * 16,
            bytes_moved=2 * (posed.N * (image + y) + kernel) * dtype.itemsize,
            workspace=needed,
            error_growth=problem.terms(direction) + 1,
            calls=10 + 4 * posed.N,
        )


def _convolve(
    problem: ConvProblem,
    turned: bool,
    x: Array,
    w: Array,
    out: Array,
    bias: Array | None,
    scratch: Scratch,
) -> None:
    from npconv.compiled.windows import windows_for

    compiled, where = windows_for(x.dtype), grid(problem.axes)
    for n in range(problem.N):
        images = padded(problem.axes, where, x[n, :, 0], scratch, beyond=compiled.beyond)
        for phase in where.phases:
            target, shape = out[(n, slice(None), 0, *phase.outputs)], (problem.G, len(phase.b))
            elements = problem.taps - 1 - phase.taps if turned else phase.taps
            with written_as(target, shape, x.dtype, scratch) as y:
                if len(elements):
                    rows, apart = phase.b[:: phase.run], _apart(where)
                    compiled.sums(w, elements, images, apart, phase.a, rows, phase.run, y)
                else:
                    y[...] = 0
                if bias is not None:
                    np.add(y, bias, out=y)


def _apart(where: Grid) -> int:
    """Count the elements from one image to the next."""
    return math.prod(where.size)
