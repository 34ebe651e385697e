"""Direct summation, compiled: one matrix product that reads its columns from the image.

The same product as `im2col`'s, ``y (K, P*Q) = w (K, C*R*S) @ columns (C*R*S, P*Q)``, but the
columns are never written: a few of them at a time are gathered into the cache, where a
micro-kernel multiplies them (`npconv.compiled.products`). The input's gradient is a forward
convolution of dY (`ConvProblem.turned`), whose outputs fall into one phase for each step of
the stride, so that no product is with a zero between elements. The kernel's gradient is the
product with the sum over outputs (Goto and van de Geijn, Anatomy of High-Performance Matrix
Multiplication, 2008; Chetlur and others, cuDNN, 2014, for columns that are not written).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from npconv.algorithms.im2col import Im2col
from npconv.algorithms.protocol import DType
from npconv.compiled import why_missing
from npconv.compiled.offsets import Grid, Phase, grid, most_padded, padded
from npconv.cost import Cost
from npconv.matrices import written_as
from npconv.problem import Array, ConvProblem, Direction
from npconv.scratch import Scratch

if TYPE_CHECKING:
    from npconv.compiled.products import Products


class Direct:
    """A register-blocked matrix product, straight from the padded image."""

    name = "direct"
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
        """Multiply phase by phase, image by image, group by group."""
        if w.ndim == 3:  # see `pack`
            for n in range(problem.N):
                one = slice(n, n + 1)
                Im2col().forward(
                    problem.one_image, x[one], w, out=out[one], bias=bias, scratch=scratch
                )
        else:
            _convolve(problem, False, x, w, out, bias, scratch)

    def input_grad(
        self, problem: ConvProblem, dy: Array, w: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Convolve dy with the kernel turned round: it is read so, not written."""
        if w.ndim == 3:  # see `pack`
            for n in range(problem.N):
                one = slice(n, n + 1)
                Im2col().input_grad(problem.one_image, dy[one], w, out=out[one], scratch=scratch)
        else:
            _convolve(problem.turned, True, dy, w, out, None, scratch)

    def kernel_grad(
        self, problem: ConvProblem, x: Array, dy: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Sum over outputs, image after image.

        With many outputs their gradient is gathered, and the result comes transposed; with
        few, the columns are.
        """
        compiled, where = _compiled(x.dtype), grid(problem.axes)
        (phase,) = where.phases
        terms, pixels = _terms(problem, where, phase), np.arange(problem.pixels)
        channels = np.arange(problem.K) * problem.pixels
        transposed, block = _is_transposed(problem), compiled.block.rows
        buffer = scratch.array("panels", (compiled.buffer_size,), x.dtype)
        shape = (len(terms), problem.K) if transposed else (problem.K, len(terms))
        dw = scratch.array("sum", (problem.G, *shape), x.dtype)
        grads = scratch.array("grads", (problem.K, *problem.out), x.dtype)
        for n, g in np.ndindex(problem.N, problem.G):
            image = padded(problem.axes, where, x[n, g], scratch)
            grads[...] = dy[n, g]
            here = grads.reshape(-1), pixels
            if transposed:
                factors = image, _rows(terms, block), phase.b, *here, channels, 1
            else:
                factors = here[0], _rows(channels, block), pixels, image, phase.b, terms, 1
            compiled.multiply(*factors, dw[g], n > 0, buffer)
        if problem.N:
            out += (dw.swapaxes(1, 2) if transposed else dw).reshape(out.shape)

    def pack(self, problem: ConvProblem, direction: Direction, w: Array) -> Array:
        """Leave the kernel as it is, in one piece: ``(G, K*C*R*S)``.

        Padding is multiplied too. That makes no difference where it is a value, or where the
        kernel is finite; but where it is no term (in a gradient, beside holes), Inf * 0 would be
        NaN. Such a kernel stays as `im2col` takes it, who then computes instead.
        """
        bare = direction is Direction.INPUT_GRAD or any(a.has_holes for a in problem.axes)
        if bare and not np.isfinite(w).all():
            return Im2col().pack(problem, direction, w)
        return np.ascontiguousarray(w).reshape(problem.G, -1)

    def why_not(self, problem: ConvProblem, direction: Direction, dtype: DType) -> str | None:
        """Serve float32 and float64, where Numba is."""
        missing = why_missing()
        if missing:
            return missing
        if dtype not in (np.float32, np.float64):
            return f"its kernels are for float32 and float64, not {dtype}"
        if direction is Direction.KERNEL_GRAD and any(a.input_dilation > 1 for a in problem.axes):
            return "in the kernel's gradient it does not serve input_dilation"
        return None

    def cost(
        self,
        problem: ConvProblem,
        direction: Direction,
        dtype: DType,
        whole: ConvProblem | None = None,
    ) -> Cost:
        """Count the padded image of one group, the panels, and what cannot be written in place."""
        posed = problem.turned if direction is Direction.INPUT_GRAD else problem
        images, terms = posed.N * posed.G, posed.C * posed.taps
        image = posed.C * math.prod(map(most_padded, posed.axes))
        y, kernel = posed.K * posed.pixels, posed.G * posed.K * terms
        tables = 8 * (4 * terms + 4 * posed.pixels + 2 * posed.K + 32)
        needed = image + 2 * kernel + _BUFFER
        # Blocks are 8 rows high, and vectors have 16 numbers or fewer.
        products = problem.products // max(posed.K, 1) * -(-posed.K // 8) * 8
        gathered = terms * posed.pixels
        if direction is Direction.KERNEL_GRAD:
            needed += y + kernel
            if _is_transposed(posed):
                products = problem.products // max(posed.K, 1) * -(-posed.K // 16) * 16
                gathered = 4 * y  # one number at a time
        else:
            needed += y
        needed = needed * dtype.itemsize + tables
        if direction is Direction.INPUT_GRAD or any(a.has_holes for a in posed.axes):
            instead = Im2col().cost(problem.one_image, direction, dtype)  # see `pack`
            needed = max(needed, instead.workspace)
        if direction is Direction.INPUT_GRAD:
            gathered += 4 * kernel // max(images, 1)  # rows of a turned kernel lie far apart
        return Cost(
            multiplications=products,
            bytes_moved=(images * (2 * image + 2 * y + gathered) + 2 * kernel) * dtype.itemsize,
            workspace=needed,
            error_growth=problem.terms(direction) + 1,
            calls=10 + 4 * images,
        )


# More numbers than the buffer of any block takes.
_BUFFER = (256 * 8 + 16) * 64


def _is_transposed(problem: ConvProblem) -> bool:
    """Whether the kernel's gradient gathers the outputs' gradient, and not the columns."""
    return problem.pixels > 2 * problem.K


def _compiled(dtype: DType) -> Products:
    from npconv.compiled.products import products_for

    return products_for(dtype)


def _rows(offsets: Array, block: int) -> Array:
    """Repeat the last offset, so that a last block that stands over reads something."""
    return np.append(offsets, np.repeat(offsets[-1:], block - 1))


def _convolve(
    problem: ConvProblem,
    turned: bool,
    x: Array,
    w: Array,
    out: Array,
    bias: Array | None,
    scratch: Scratch,
) -> None:
    compiled, where = _compiled(x.dtype), grid(problem.axes)
    tables = _tables(problem.one_image, turned, compiled.block.rows)
    buffer = scratch.array("panels", (compiled.buffer_size,), x.dtype)
    for n, g in np.ndindex(problem.N, problem.G):
        image = padded(problem.axes, where, x[n, g], scratch)
        for phase, (rows, steps, terms) in zip(where.phases, tables, strict=True):
            target, shape = out[(n, g, slice(None), *phase.outputs)], (problem.K, len(phase.b))
            with written_as(target, shape, x.dtype, scratch) as y:
                if len(terms):
                    columns = image, terms, phase.b, phase.run
                    compiled.multiply(w[g], rows, steps, *columns, y, False, buffer)
                else:
                    y[...] = 0
                if bias is not None:
                    np.add(y, bias[g][:, np.newaxis], out=y)


@lru_cache(maxsize=8)
def _tables(problem: ConvProblem, turned: bool, block: int) -> list[tuple[Array, Array, Array]]:
    """Say for each phase where in the kernel its rows and steps lie, and its terms in an image.

    Of a kernel that is to be turned, rows are its input channels and steps go through its
    output channels, and through its elements from the last one on.
    """
    where, taps = grid(problem.axes), problem.taps
    of_row, of_channel = problem.C * taps, taps
    if turned:
        of_row, of_channel = taps, problem.K * taps
    at, tables = _rows(np.arange(problem.K) * of_row, block), []
    for phase in where.phases:
        elements = taps - 1 - phase.taps if turned else phase.taps
        steps = np.add.outer(np.arange(problem.C) * of_channel, elements).ravel()
        tables.append((at, steps, _terms(problem, where, phase)))
    return tables


def _terms(problem: ConvProblem, where: Grid, phase: Phase) -> Array:
    """Repeat the offsets of one channel's terms for all of them."""
    channels = np.arange(problem.C) * math.prod(where.size)
    return np.add.outer(channels, phase.a).ravel()
