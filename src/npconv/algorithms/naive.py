"""Convolution by its definition: plain loops, one window at a time.

    y[n, k, p] = sum over c, r of  w[k, c, r] * x_padded[n, c, p * stride + r * dilation]

This file is the meaning of convolution in npconv; every other algorithm is compared with
it. Letters are those of the table in `npconv.problem`; ``p`` is an output position and
``r`` a kernel position, (row, column) for pictures. ``g`` runs over groups: channels of
one group never meet those of another, and with one group you may read past the ``g``.
``terms`` is None but for ``input_dilation``, whose holes are no terms of the sum.
"""

from __future__ import annotations

import math

import numpy as np

from npconv.algorithms.protocol import DType, why_no_sums
from npconv.cost import Cost
from npconv.problem import Array, ConvProblem, Direction
from npconv.scratch import Scratch
from npconv.windows import crop, pad, padded_terms, window


class Naive:
    """Loops over batch, output channel and position; inside, a sum over the window."""

    name = "naive"
    engine = "numpy"
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
        """Lay the kernel on every window; multiply, add up."""
        x_padded, terms = pad(x, problem.axes), padded_terms(problem.axes)
        for n in range(problem.N):
            for g, k in np.ndindex(problem.G, problem.K):
                for p in np.ndindex(problem.out):
                    here = window(problem.axes, p)
                    seen = x_padded[(n, g, slice(None), *here)]
                    y = (seen * w[g, k]).sum(where=terms is None or terms[here], initial=0)
                    out[(n, g, k, *p)] = y if bias is None else y + bias[g, k]

    def input_grad(
        self, problem: ConvProblem, dy: Array, w: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Hand every output's gradient back to the window it was computed from."""
        padded = tuple(axis.padded for axis in problem.axes)
        dx_padded = np.zeros((problem.N, problem.G, problem.C, *padded), dy.dtype)
        for n in range(problem.N):
            for g, k in np.ndindex(problem.G, problem.K):
                for p in np.ndindex(problem.out):
                    seen = dx_padded[(n, g, slice(None), *window(problem.axes, p))]
                    seen += w[g, k] * dy[(n, g, k, *p)]  # a view: this adds to dx_padded
        out[...] = crop(dx_padded, problem.axes)

    def kernel_grad(
        self, problem: ConvProblem, x: Array, dy: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Add up the windows, each weighted by the gradient of the output it made."""
        x_padded, terms = pad(x, problem.axes), padded_terms(problem.axes)
        for n in range(problem.N):
            for g, k in np.ndindex(problem.G, problem.K):
                for p in np.ndindex(problem.out):
                    here = window(problem.axes, p)
                    dw = x_padded[(n, g, slice(None), *here)] * dy[(n, g, k, *p)]
                    out[g, k] += dw if terms is None else np.where(terms[here], dw, 0)

    def pack(self, problem: ConvProblem, direction: Direction, w: Array) -> Array:
        """Loops read the kernel as it is."""
        return w

    def why_not(self, problem: ConvProblem, direction: Direction, dtype: DType) -> str | None:
        """Serve everything: this is what the others are compared with."""
        return why_no_sums(dtype)

    def cost(
        self,
        problem: ConvProblem,
        direction: Direction,
        dtype: DType,
        whole: ConvProblem | None = None,
    ) -> Cost:
        """Count a few NumPy calls for every output element."""
        windows = problem.N * problem.G * problem.K * problem.pixels
        channels = problem.N * problem.G * problem.C
        padded = channels * math.prod(axis.padded for axis in problem.axes)
        unpadded = channels * math.prod(problem.size)
        # The padded copy, which positions are terms, the crop, and one window's products.
        elements = 2 * padded + unpadded + 3 * problem.C * problem.taps
        return Cost(
            multiplications=problem.products,
            bytes_moved=2 * problem.products * dtype.itemsize,
            workspace=elements * dtype.itemsize,
            error_growth=_roundings(problem, direction),
            calls=1 + 3 * windows,
        )


def _roundings(problem: ConvProblem, direction: Direction) -> int:
    """Bound the round-offs that reach any term: its product's, and those of the sums it is in.

    NumPy sums contiguous elements in pairs of halves, and halves of up to 128 elements in
    eight partial sums (Higham, The Accuracy of Floating Point Summation, 1993, shows why).
    A gradient's terms are added one by one, as are those between holes.
    """
    n = problem.terms(direction)
    if direction is not Direction.FORWARD or any(axis.has_holes for axis in problem.axes):
        return n + 1
    halvings = 0
    while n > 128:
        n = (n + 1) // 2 + 7  # halves begin at multiples of eight
        halvings += 1
    return 1 + halvings + min(n, n // 8 + 3 + 7)
