"""Winograd's minimal filtering: small transforms, and fewer products between them.

The outputs are cut into tiles of ``m`` along each axis. A tile reads ``t = m + r - 1``
inputs, overlapping the next by ``r - 1``. With the matrices of
`npconv.algorithms.winograd_matrices`, applied along every axis (for pictures from both
sides; Lavin and Gray, 2016):

    V (C, T)  =  input transform of the tiles        for each of t*t elements
    U (K, C)  =  kernel transform of the kernel      for each of t*t elements
    M (K, T)  =  U (K, C) @ V (C, T)                 t*t products instead of m*m*r*r
    Y         =  output transform of M

The input's gradient is a forward convolution itself, with the kernel turned round. The
kernel's gradient is the adjoint of the line above that is linear in ``w``: the transposed
output transform of dY, a product with V for each element, the transposed kernel transform.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from npconv.algorithms.protocol import DType, why_no_sums
from npconv.algorithms.winograd_matrices import (
    BY_TILE,
    F_1_1,
    F_2_3,
    F_4_3,
    Filtering,
    Matrix,
    numbers,
    transpose,
)
from npconv.axis import Axis
from npconv.cost import Cost
from npconv.problem import Array, ConvProblem, Direction
from npconv.scratch import Scratch
from npconv.strays import Strays, frame
from npconv.windows import im2col, untile

Lend: TypeAlias = Callable[[int, tuple[int, ...], DType], Array]


class Winograd:
    """Tiles of 4 outputs (2 where there are no more) along each axis of kernel size 3."""

    name = "winograd"
    engine = "numpy"
    direct = False
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
        """Transform the tiles, multiply element by element, transform back."""
        filters = [BY_TILE[t] for t in w.shape[1:-2]]  # as the kernel was packed
        V = _transformed_input(problem, filters, x, scratch)
        shape = (*V.shape[:-2], problem.K, V.shape[-1])
        # (N, G, t, t, K, T) = (G, t, t, K, C) @ (N, G, t, t, C, T)
        M = np.matmul(w, V, out=scratch.array("products", shape, V.dtype))
        del V  # its memory may be the next step's
        y = _along([f.output for f in filters], M, _lend(scratch, "half", "products"))
        if bias is not None:
            y += bias.reshape(problem.G, *(1,) * problem.rank, problem.K, 1)
        _scatter(y, _tiles_of_outputs(problem, filters), out)

    def input_grad(
        self, problem: ConvProblem, dy: Array, w: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Convolve dy with the kernel that `pack` has turned round."""
        self.forward(problem.turned, dy, w, out=out, scratch=scratch)

    def kernel_grad(
        self, problem: ConvProblem, x: Array, dy: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Go back through the forward transforms, one image after the other."""
        filters = _filters(problem, Direction.KERNEL_GRAD)
        V = _transformed_input(problem, filters, x, scratch)
        dM = _transformed_grad(problem, filters, dy, scratch)
        dU = scratch.array("products", (*dM.shape[1:-1], problem.C), dM.dtype)
        for n in range(problem.N):
            # (G, t, t, K, C) = (G, t, t, K, T) @ (G, t, t, T, C)
            np.matmul(dM[n], V[n].swapaxes(-1, -2), out=dU)
            back = [transpose(f.kernel) for f in filters]
            dw = _along(back, dU, _lend(scratch, "half", "products"))
            out += np.moveaxis(dw, (-2, -1), (1, 2))

    def pack(self, problem: ConvProblem, direction: Direction, w: Array) -> Array:
        """Transform the kernel: ``(G, t, t, K, C)``; turned round for the input's gradient."""
        filters = _filters(problem, direction)
        if direction is Direction.INPUT_GRAD:
            w = np.flip(w, axis=tuple(range(3, w.ndim))).swapaxes(1, 2)
        w = np.ascontiguousarray(np.moveaxis(w, (1, 2), (-2, -1)))
        return _along([f.kernel for f in filters], w, lambda _, *what: np.empty(*what))

    def why_not(self, problem: ConvProblem, direction: Direction, dtype: DType) -> str | None:
        """Serve windows of 3 in one or two axes, in numbers that can be divided."""
        if dtype.kind not in "fc":
            return why_no_sums(dtype) or f"its transforms divide, which {dtype} cannot"
        if any(a.stride > 1 or a.has_holes or a.reach != a.kernel for a in problem.axes):
            return "its tiles need stride 1, dilation 1 and input_dilation 1"
        if not set(problem.kernel) <= {1, 3} or _windows(problem) not in (1, 2):
            return f"it serves kernels of 3 in one or two axes (1 in others), not {problem.kernel}"
        return None

    def cost(
        self,
        problem: ConvProblem,
        direction: Direction,
        dtype: DType,
        whole: ConvProblem | None = None,
    ) -> Cost:
        """Count products, transforms and the arrays between them."""
        # A tile's filtering is that of the whole, or a smaller one in a kernel's gradient.
        count = _count(problem, direction, _filters(whole or problem, direction))
        return Cost(
            multiplications=count.multiplications,
            # Gathering and scattering jump about, and take as long as the transforms.
            bytes_moved=4 * count.elements * dtype.itemsize,
            workspace=count.elements * dtype.itemsize,
            error_growth=growth(problem, direction),
            calls=count.calls,
        )

    def strays(self, problem: ConvProblem, direction: Direction) -> Strays:
        """Tiles at the border multiply what they read there with all of the kernel."""
        return frame((problem.turned if direction is Direction.INPUT_GRAD else problem).axes)


# ---- which tiles -------------------------------------------------------------------------


def _windows(problem: ConvProblem) -> int:
    """Count the axes along which there is something to transform."""
    return problem.kernel.count(3)


def _widest(axis: Axis) -> Filtering:
    return F_4_3 if axis.kernel == 3 else F_1_1


def _filters(problem: ConvProblem, direction: Direction) -> list[Filtering]:
    """Choose the filtering of each axis by what is written along it.

    Beyond two outputs, tiles of 4 never take more products than tiles of 2.
    """
    written = problem.size if direction is Direction.INPUT_GRAD else problem.out
    return [
        F_2_3 if axis.kernel == 3 and count <= F_2_3.m else _widest(axis)
        for axis, count in zip(problem.axes, written, strict=True)
    ]


def _tiles_of_inputs(problem: ConvProblem, filters: Sequence[Filtering]) -> list[Axis]:
    """Slide a window of ``t`` in steps of ``m`` over each axis: a tile is its window."""
    axes = []
    for axis, f in zip(problem.axes, filters, strict=True):
        padded = (-(-axis.out // f.m) - 1) * f.m + f.t
        high = padded - axis.size - axis.low
        axes.append(Axis(axis.size, f.t, f.m, axis.low, high))
    return axes


def _tiles_of_outputs(problem: ConvProblem, filters: Sequence[Filtering]) -> list[Axis]:
    """The same for outputs: windows of ``m`` that do not overlap; the last may stand over."""
    return [
        Axis(a.out, f.m, f.m, 0, -a.out % f.m) for a, f in zip(problem.axes, filters, strict=True)
    ]


# ---- transforms --------------------------------------------------------------------------


def _along(matrices: Sequence[Matrix], a: Array, lend: Lend) -> Array:
    """Multiply a matrix along each tile axis of ``(..., t, t, K or C, T)``, one by one."""
    flat = a.reshape(*a.shape[:-2], a.shape[-2] * a.shape[-1])
    first, turn = flat.ndim - 1 - len(matrices), 0
    for axis, matrix in enumerate(matrices, first):
        if len(matrix) == len(matrix[0]) == 1:  # an axis without a window
            continue
        shape = (*flat.shape[:axis], len(matrix), *flat.shape[axis + 1 :])
        result = lend(turn, shape, flat.dtype)
        # (..., m, n) = (m, t) @ (..., t, n), the tile axis moved beside n. To BLAS these
        # views are matrices still, and it is some three times faster than adding up rows.
        np.matmul(
            numbers(matrix, flat.dtype),
            np.moveaxis(flat, axis, -2),
            out=np.moveaxis(result, axis, -2),
        )
        flat, turn = result, turn + 1
    return flat.reshape(*flat.shape[:-1], *a.shape[-2:])


def _lend(scratch: Scratch, *roles: str) -> Lend:
    """Write each step of `_along` where the step before the last one lies: no longer needed."""
    return lambda turn, shape, dtype: scratch.array(roles[turn % 2], shape, dtype)


def _transformed_input(
    problem: ConvProblem, filters: Sequence[Filtering], x: Array, scratch: Scratch
) -> Array:
    """Gather the tiles of the input and transform them: ``V (N, G, t, t, C, T)``."""
    roles = _roles(problem, "tiles")
    tiles = _gather(x, _tiles_of_inputs(problem, filters), roles[1], scratch)
    return _along([f.input for f in filters], tiles, _lend(scratch, *roles))


def _transformed_grad(
    problem: ConvProblem, filters: Sequence[Filtering], dy: Array, scratch: Scratch
) -> Array:
    """Gather the tiles of the outputs' gradient, likewise: ``dM (N, G, t, t, K, T)``."""
    roles = _roles(problem, "grads")
    tiles = _gather(dy, _tiles_of_outputs(problem, filters), roles[1], scratch)
    back = [transpose(f.output) for f in filters]
    return _along(back, tiles, _lend(scratch, *roles))


def _roles(problem: ConvProblem, final: str) -> tuple[str, str]:
    """Where the first step of a transform writes, and where it reads; the last writes `final`."""
    return ("half", final) if _windows(problem) == 2 else (final, "half")


def _gather(x: Array, axes: Sequence[Axis], role: str, scratch: Scratch) -> Array:
    """Copy tiles out as ``(N, G, t, t, C, T)``: `im2col`, with a tile for a window."""
    N, G, C = x.shape[:3]
    tile, count = [a.kernel for a in axes], [a.out for a in axes]
    tiles = scratch.array(role, (N, G, *tile, C, *count), x.dtype)
    im2col(x, axes, np.moveaxis(tiles, 2 + len(axes), 2))
    return tiles.reshape(N, G, *tile, C, math.prod(count))


def _scatter(y: Array, axes: Sequence[Axis], out: Array) -> None:
    """Lay the tiles ``(N, G, m, m, K, T)`` side by side."""
    y = np.moveaxis(y, -2, 2)
    untile(y.reshape(*y.shape[:-1], *(a.out for a in axes)), axes, out)


# ---- counts ------------------------------------------------------------------------------


class _Count(NamedTuple):
    multiplications: int
    elements: int  # of all working arrays
    calls: int


def _count(problem: ConvProblem, direction: Direction, filters: Sequence[Filtering]) -> _Count:
    """Count what one problem takes with these filterings."""
    if direction is Direction.INPUT_GRAD:
        problem = problem.turned
    images, T = problem.N * problem.G, math.prod(a.out for a in _tiles_of_inputs(problem, filters))
    inputs, outputs = images * problem.C * T, images * problem.K * T
    kernels = problem.G * problem.K * problem.C
    if direction is Direction.KERNEL_GRAD:
        transforms = [
            ([f.input for f in filters], inputs),
            ([transpose(f.output) for f in filters], outputs),
            ([transpose(f.kernel) for f in filters], problem.N * kernels),
        ]
    else:
        transforms = [
            ([f.input for f in filters], inputs),
            ([f.output for f in filters], outputs),
            ([f.kernel for f in filters], kernels),
        ]
    t = math.prod(f.t for f in filters)
    return _Count(
        multiplications=t * images * problem.K * problem.C * T
        + sum(_products(matrices) * times for matrices, times in transforms),
        # Inputs, outputs and kernels transformed, one step of any of them, and what a
        # kernel or a gradient was before its transform.
        elements=t * (inputs + outputs + kernels + max(inputs, outputs, kernels))
        + math.prod(f.m for f in filters) * outputs
        + problem.taps * kernels,
        calls=10 + 2 * t + images,
    )


def _products(matrices: Sequence[Matrix]) -> int:
    """Products formed by `_along` for each of what stands behind the tile axes."""
    shape, total = [len(matrix[0]) for matrix in matrices], 0
    for i, matrix in enumerate(matrices):
        if len(matrix) * len(matrix[0]) > 1:
            total += len(matrix) * math.prod(shape)
            shape[i] = len(matrix)
    return total


def growth(problem: ConvProblem, direction: Direction) -> float:
    """Estimate the growth of rounding errors.

    What the transforms and the products make of the operands' magnitudes is bounded by
    `Filtering.gain`, for all data. How many round-offs of that an error is, is statistics,
    in the manner of Higham and Mary (A new approach to probabilistic rounding error
    analysis, 2019). A dozen roundings along each axis are independent, each ``u**2 / 3``
    squared on average: 2 round-offs, and 3 to be sure; half of that in two axes, as most
    errors pass only one of the transforms. In a sum of like terms roundings go the same
    way: by up to 1/4 round-off a term, each of the ``t**axes`` sums its own way.

    Hill climbing towards large errors came to three quarters of this. With all roundings of
    the largest size and of one sign it would be some fifty times as large, and tell nothing.
    """
    filters = _filters(problem, direction)
    if direction is Direction.FORWARD:
        terms = problem.C
    elif direction is Direction.INPUT_GRAD:
        terms = problem.K
    else:
        terms = problem.N * math.prod(axis.out for axis in _tiles_of_inputs(problem, filters))
    gain = math.prod(f.gain(direction) for f in filters)
    sums = math.prod(f.t for f in filters)
    return gain * (3 / max(_windows(problem), 1) + terms / (4 * math.sqrt(sums)))
