"""Winograd's minimal filtering: small transforms, and fewer products between them.

The outputs are cut into tiles of ``m`` along each axis. A tile reads ``t = m + r - 1``
inputs, overlapping the next by ``r - 1``. With the matrices of
`npconv.algorithms.winograd_matrices`, applied along every axis (for pictures from both
sides; Lavin and Gray, 2016):

    V (T, C)  =  input transform of the tiles        for each of t*t elements
    U (C, K)  =  kernel transform of the kernel      for each of t*t elements
    M (T, K)  =  V (T, C) @ U (C, K)                 t*t products instead of m*m*r*r
    Y         =  output transform of M

The input's gradient is a forward convolution itself, with the kernel turned round. The
kernel's gradient is the adjoint of the line above that is linear in ``w``: the transposed
output transform of dY, a product with V for each element, the transposed kernel transform.

All of it runs chunk by chunk, so that what is between the steps stays near, and with
channels last: `npconv.tiled` says why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from npconv.algorithms.protocol import DType, why_no_sums
from npconv.algorithms.winograd_matrices import F_1_1, Filtering, transpose
from npconv.algorithms.winograd_tiles import (
    blocks,
    choose_filters,
    cut_chunks,
    dense,
    elements,
    filters_of,
    largest_block,
    largest_chunk,
    most_tiles,
    tile_counts,
    windows,
)
from npconv.cost import Cost, Packing
from npconv.problem import Array, ConvProblem, Direction
from npconv.scratch import LINES, Scratch
from npconv.strays import Strays, frame
from npconv.tiled import (
    STRIP,
    Chunk,
    Tiling,
    back,
    band_numbers,
    forth,
    in_order,
    room_for_products,
    tiles_a_strip,
)


class Winograd:
    """Tiles of 4 outputs (2 where there are no more) along each axis of kernel size 3."""

    name = "winograd"
    engine = "numpy"
    direct = False
    bands = True
    marks_doubt = False

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
        if not problem.products:
            out[...] = 0 if bias is None else bias.reshape(*bias.shape, *(1,) * problem.rank)
            return
        filters = filters_of(problem, w.shape[: windows(problem)])  # as the kernel was packed
        outward, t = [f.output for f in filters if f.t > 1], elements(filters)
        for images, chunk in cut_chunks(problem, filters, x.dtype):
            some = x[images]
            V = _transformed_input(chunk, filters, some, scratch)
            M = room_for_products(t, problem.G, V.shape[-2], problem.K, x.dtype, scratch)
            # Image by image, so that none of its bits depend on others.
            # (t, t, G, n, T, K) = (t, t, G, n, T, C) @ (t, t, G, 1, C, K)
            V, by_image = (a.reshape(*a.shape[:-2], len(some), -1, a.shape[-1]) for a in (V, M))
            np.matmul(V, w[..., np.newaxis, :, :], out=by_image)
            y = out[(images, slice(None), slice(None), *chunk.outputs)]
            back(outward, M, chunk.written, bias, y, scratch)

    def input_grad(
        self, problem: ConvProblem, dy: Array, w: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Convolve dy with the kernel that `pack` has turned round."""
        self.forward(problem.turned, dy, w, out=out, scratch=scratch)

    def kernel_grad(
        self, problem: ConvProblem, x: Array, dy: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Go back through the forward transforms, some channels after the other."""
        if not problem.products:
            return
        filters = choose_filters(problem, Direction.KERNEL_GRAD)
        transform = dense([f.kernel for f in filters], x.dtype)
        K, C = largest_block(problem)
        each = list(cut_chunks(problem._replace(N=1, K=K, C=C), filters, x.dtype))
        pieces = [chunk for _, chunk in each]
        for k, c in blocks(problem):
            dU = _kernel_products(pieces, filters, x[:, :, c], dy[:, :, k], scratch)
            # (G*K*C, R*S) = (G*K*C, t*t) @ (t*t, R*S)
            dw = scratch.array("products", (dU.size // len(transform), problem.taps), x.dtype)
            np.matmul(dU.reshape(len(transform), -1).T, transform, out=dw)
            out[:, k, c] += dw.reshape(*dU.shape[-3:], *problem.kernel)

    def pack(self, problem: ConvProblem, direction: Direction, w: Array) -> Array:
        """Transform the kernel: ``(t, t, G, C, K)``; turned round for the input's gradient."""
        filters = choose_filters(problem, direction)
        transform = dense([f.kernel for f in filters], w.dtype)
        if direction is Direction.INPUT_GRAD:  # sums run over K, and the elements backwards
            transform = transform[:, ::-1].copy()
        else:
            w = w.swapaxes(1, 2)
        G, one, other = w.shape[:3]
        rows = np.ascontiguousarray(w).reshape(G * one * other, problem.taps)
        U = np.empty((len(transform), len(rows)), w.dtype)
        # (t*t, G*C*K) = (t*t, R*S) @ (R*S, G*C*K)
        np.matmul(transform, rows.T, out=U)
        return U.reshape(*elements(filters), G, one, other)

    def why_not(self, problem: ConvProblem, direction: Direction, dtype: DType) -> str | None:
        """Serve windows of 3 in one or two axes, in numbers that can be divided."""
        if dtype.kind not in "fc":
            return why_no_sums(dtype) or f"its transforms divide, which {dtype} cannot"
        if any(a.stride > 1 or a.input_dilation > 1 or a.reach != a.kernel for a in problem.axes):
            return "its tiles need stride 1, dilation 1 and input_dilation 1"
        if not set(problem.kernel) <= {1, 3} or windows(problem) not in (1, 2):
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
        count = _count(problem, direction, dtype)
        return Cost(
            multiplications=count.multiplications,
            bytes_moved=count.moved * dtype.itemsize,
            # A tile's filtering is that of the whole, or a smaller one in a kernel's gradient.
            workspace=_held(whole or problem, problem, direction, dtype) * dtype.itemsize,
            error_growth=growth(problem, direction),
            calls=count.calls,
            packing=count.packing,
        )

    def strays(self, problem: ConvProblem, direction: Direction) -> Strays:
        """Tiles at the border multiply what they read there with all of the kernel."""
        return frame((problem.turned if direction is Direction.INPUT_GRAD else problem).axes)


# ---- transforms --------------------------------------------------------------------------


def _transformed_input(
    chunk: Chunk, filters: Sequence[Filtering], x: Array, scratch: Scratch
) -> Array:
    """Transform the tiles of the input: ``V (t, t, G, T, C)``."""
    x = x[(slice(None), slice(None), slice(None), *chunk.inputs)]
    matrices = [f.input for f in filters if f.t > 1]
    return forth(matrices, x, chunk.read, "tiles", scratch)


def _transformed_grad(
    chunk: Chunk, filters: Sequence[Filtering], dy: Array, scratch: Scratch
) -> Array:
    """Transform the tiles of the outputs' gradient, likewise: ``dM (t, t, G, T, K)``."""
    dy = dy[(slice(None), slice(None), slice(None), *chunk.outputs)]
    matrices = [transpose(f.output) for f in filters if f.t > 1]
    return forth(matrices, dy, chunk.written, "grads", scratch)


def _kernel_products(
    pieces: Sequence[Chunk],
    filters: Sequence[Filtering],
    x: Array,
    dy: Array,
    scratch: Scratch,
) -> Array:
    """Add up ``dU (t, t, G, K, C)`` over chunks of one image after the other."""
    dU = scratch.array("sum", (*elements(filters), *dy.shape[1:3], x.shape[2]), x.dtype)
    for n in range(len(x)):
        for i, chunk in enumerate(pieces):
            V = _transformed_input(chunk, filters, x[n : n + 1], scratch)
            dM = _transformed_grad(chunk, filters, dy[n : n + 1], scratch)
            first = not n and not i
            product = dU if first else scratch.array("products", dU.shape, x.dtype)
            # (t, t, G, K, C) = (t, t, G, K, T) @ (t, t, G, T, C)
            np.matmul(dM.swapaxes(-2, -1), V, out=product)
            if not first:
                np.add(dU, product, out=dU)
    return dU


# ---- counts ------------------------------------------------------------------------------


class _Count(NamedTuple):
    multiplications: int
    moved: int  # elements written and read between the steps
    calls: int
    packing: Packing


def _count(problem: ConvProblem, direction: Direction, dtype: DType) -> _Count:
    """Count what one problem takes, transforms and kernel included."""
    filters = choose_filters(problem, direction)
    if direction is Direction.INPUT_GRAD:
        problem = problem.turned
    K, C = problem.K, problem.C
    again_in = again_out = 1
    if direction is Direction.KERNEL_GRAD:
        K, C = largest_block(problem)
        again_in, again_out = -(-problem.K // K), -(-problem.C // C)
    counts, _ = largest_chunk(problem._replace(K=K, C=C), filters, dtype)
    all_counts = tile_counts(problem, filters)
    pieces = [-(-n // max(count, 1)) for n, count in zip(all_counts, counts, strict=True)]
    axes = [axis.tile((0, axis.out), axis.reads(0, axis.out)) for axis in problem.axes]
    # Tiles of inputs overlap in a chunk, and are read again in the next.
    read = [
        axis.size + (n - 1) * (f.t - f.m) for axis, n, f in zip(axes, pieces, filters, strict=True)
    ]
    t, T = math.prod(f.t for f in filters), math.prod(all_counts)
    images = problem.N * problem.G
    inputs, outputs = again_in * images * problem.C, again_out * images * problem.K
    # A few channels of a position take as long as whole lines of the cache do.
    line = LINES // dtype.itemsize
    lines = again_in * images * max(problem.C, line) + again_out * images * max(problem.K, line)
    kernels = problem.G * problem.K * problem.C
    last = in_order([f.t for f in filters])[-1]
    strips = -(-counts[last] // tiles_a_strip(Tiling(filters[last].m, 0, counts[last])))
    made = problem.N * again_in * again_out * math.prod(pieces)
    sums = 4 * t * problem.G * K * C * made if direction is Direction.KERNEL_GRAD else 0
    packing, in_place = Packing(), 2 * t * kernels
    if direction is not Direction.KERNEL_GRAD:
        packing, in_place = Packing(t * problem.taps * kernels, t * kernels), t * kernels
    return _Count(
        multiplications=t * images * problem.K * problem.C * T
        + t * problem.taps * kernels
        + inputs * _products(filters, all_counts, read, [f.t for f in filters], axes[last].low)
        + outputs * _products(filters, all_counts, problem.out, [f.m for f in filters], 0),
        moved=2 * t * T * lines + in_place + sums,
        calls=10 + made * (12 + t // 4 + 2 * (strips - 1)),
        packing=packing,
    )


def _products(
    filters: Sequence[Filtering],
    counts: Sequence[int],
    there: Sequence[int],
    width: Sequence[int],
    low: int,
) -> int:
    """Products formed by a transform for each channel: in bands along one axis, then the other."""
    *others, last = in_order([f.t for f in filters])
    tiling = Tiling(filters[last].m, width[last], counts[last])
    band = band_numbers(tiling, low, there[last])
    total = math.prod(there[i] for i in others) * filters[last].t * band
    if others and filters[others[-1]].t > 1:
        first = others[-1]
        total += filters[first].t * width[first] * filters[last].t * math.prod(counts)
    return total


def _held(whole: ConvProblem, tile: ConvProblem, direction: Direction, dtype: DType) -> int:
    """Count the elements of all working arrays, and those of a kernel transformed."""
    filters = choose_filters(whole, direction)
    t, problem = math.prod(f.t for f in filters), tile
    if direction is Direction.INPUT_GRAD:
        problem = tile.turned
    if direction is not Direction.KERNEL_GRAD:
        kernels = problem.G * problem.K * problem.C
        return _held_by_chunk(problem, filters, dtype) + (t + problem.taps) * kernels
    K, C = largest_block(problem)
    sums = problem.G * K * C * (2 * t + problem.taps)
    return _held_by_chunk(problem._replace(K=K, C=C), filters, dtype) + sums


def _held_by_chunk(problem: ConvProblem, filters: Sequence[Filtering], dtype: DType) -> int:
    """Bound the elements that a chunk's steps have between them.

    In no smaller problem they are more: though its chunks, cut in equal pieces, may be larger.
    """
    counts = tile_counts(problem, filters)
    *beside, last = in_order([f.t for f in filters])
    first, rows = F_1_1, 1
    if beside and filters[beside[-1]].t > 1:
        first, rows = filters[beside[-1]], counts[beside.pop()]
    lines, second, columns = math.prod(counts[i] for i in beside), filters[last], counts[last]
    T = min(most_tiles(problem, filters, dtype), problem.N * lines * rows * columns)
    lines *= problem.N
    few = min(T, lines)
    image = half = bands = 0
    n = min(columns, max(1, STRIP // second.m))
    for channels, high, wide in (
        (problem.C, first.t, second.t),
        (problem.K, first.m, second.m),
    ):
        # A chunk of ``few`` times a by b tiles; a + b <= a * b + 1.
        more = max(first.m * (wide - second.m), second.m * (high - first.m))
        beyond = few * (high - first.m) * (wide - second.m)
        most = T * first.m * second.m + (T + few) * more + beyond
        whole = lines * ((rows - 1) * first.m + high)
        image = max(image, channels * min(most, whole * ((columns - 1) * second.m + wide)))
        half = max(half, channels * second.t * min(T * high, whole * columns))
        bands += 3 * n * second.t * ((n - 1) * second.m + wide)
    half = half if first is not F_1_1 else 0
    t = first.t * second.t
    return problem.G * (t * T * (problem.C + problem.K) + image + half) + bands


def growth(problem: ConvProblem, direction: Direction) -> float:
    """Estimate the growth of rounding errors; see `growth_of`."""
    filters = choose_filters(problem, direction)
    if direction is Direction.FORWARD:
        terms = problem.C
    elif direction is Direction.INPUT_GRAD:
        terms = problem.K
    else:
        terms = problem.N * math.prod(tile_counts(problem, filters))
    return growth_of(filters, terms, direction)


def growth_of(filters: Sequence[Filtering], terms: int, direction: Direction) -> float:
    """Estimate the growth of rounding errors where products of so many ``terms`` are summed.

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
    gain = math.prod(f.gain(direction) for f in filters)
    sums = math.prod(f.t for f in filters)
    axes = sum(f.t > 1 for f in filters)
    return gain * (3 / max(axes, 1) + terms / (4 * math.sqrt(sums)))
