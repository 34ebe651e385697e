"""Winograd's minimal filtering, compiled: a panel of tiles at a time, nothing written between.

The arithmetic of `npconv.algorithms.winograd`, with channels in the lanes of vectors:

    V (t*t, T, C)  =  input transform of a panel of T tiles
    M (t*t, T, K)  =  V (T, C) @ U (C, K)            for each of t*t elements
    Y              =  output transform of M, plus bias, turned back into rows of pixels

The image is turned channel-last a few rows at a time, so every transform is the same
arithmetic in all lanes (Lavin and Gray, 2016; the layout is that of Jia, Zlateski, Durand and
Li, Optimizing N-dimensional, Winograd-based convolution for manycore CPUs, 2018). A row of
V and M belongs to one tile, so panels may hold tiles of several images, and no bit depends
on how tiles fall into panels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from npconv.algorithms.protocol import DType
from npconv.algorithms.winograd import growth_of
from npconv.algorithms.winograd_matrices import BY_TILE, Filtering, Matrix, transpose
from npconv.compiled import why_missing
from npconv.compiled.prepared import Prepared, Strides, in_rows, run, strides_of, written
from npconv.compiled.winograd import Tiling
from npconv.compiled.winograd_gradient import FEW_TILES, prepare_gradient, workspace
from npconv.compiled.winograd_pictures import (
    LONGEST,
    plain_parts,
    sub_kernels,
    tile_axes,
    tile_places,
    together,
)
from npconv.compiled.winograd_steps import (
    most_bytes,
    packed_shape,
    places,
    plain_cuts,
    prepare_forward,
    prepare_pack,
    tile_bytes,
    whole_bytes,
)
from npconv.cost import Cost, Packing
from npconv.lattices import axis_parts, classes, count_lattices, is_whole
from npconv.problem import Array, ConvProblem, Direction
from npconv.scratch import Scratch
from npconv.strays import Strays, frame

# Plain convolutions that one may be cut into (a dilation of 6 along two axes): tiles of smaller
# ones would be empty. And kernels: the bound of the error grows with what is added up. And
# outputs along an axis for which tiles of 4 would be mostly empty.
MOST_PARTS, MOST_KERNELS, FEW_OUTPUTS = 36, 8, 2
# Tiles that could be added to a sum of the kernel's gradient while it is begun and put aside.
WAITING = 6


class WinogradFused:
    """Tiles of 4 outputs (2 where there are no more) along each axis with a window.

    A stride, a dilation, or holes in the input make several plain convolutions of one
    (`npconv.lattices`), whose results lie between each other or add up.
    """

    name = "winograd_fused"
    engine = "compiled"
    direct = False
    bands = False
    marks_doubt = True  # in `Scratch.flags`

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
        """Multiply panel by panel, by a kernel that is packed, or as it came."""
        _convolve(problem, Direction.FORWARD, x, w, out, bias, scratch)

    def input_grad(
        self, problem: ConvProblem, dy: Array, w: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Convolve dy with the kernel turned round; its transform turns it."""
        _convolve(problem, Direction.INPUT_GRAD, dy, w, out, None, scratch)

    def kernel_grad(
        self, problem: ConvProblem, x: Array, dy: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Sum over tiles, chunk after chunk, and add that to ``out``."""
        x, dy = in_rows(x, "x", scratch), in_rows(dy, "dy", scratch)
        threads = scratch.threads
        made = prepare_gradient(problem, x.dtype, strides_of(x), strides_of(dy), threads, True)
        dw = out
        if not out.flags.c_contiguous or not out.flags.aligned:
            dw = scratch.array("result", out.shape, x.dtype)
            dw[...] = 0
        run(made, x, dy, dw, None, scratch, scratch.flags)
        if dw is not out:
            out += dw

    def prepare(
        self,
        problem: ConvProblem,
        direction: Direction,
        dtype: DType,
        strides: tuple[Strides, Strides, Strides],
        threads: int,
    ) -> Prepared | None:
        """Prepare a run for arrays whose rows lie in one piece each.

        With FLAGS, one integer for each image (one for the kernel's gradient), those not to be
        trusted are made 1: see `npconv.trust`.
        """
        x, y, w = strides
        if not (x[-1] == 1 or problem.size[-1] == 1) or not (y[-1] == 1 or problem.out[-1] == 1):
            return None
        if direction is Direction.KERNEL_GRAD:
            kernel = (problem.G, problem.K, problem.C, *problem.kernel)
            if w != tuple(math.prod(kernel[i + 1 :]) for i in range(len(kernel))):
                return None
            return prepare_gradient(problem, dtype, x, y, threads, False)
        turned, tile = direction is Direction.INPUT_GRAD, None if len(w) == 3 else w[1:3]
        if turned:
            return prepare_forward(problem.turned, dtype, y, x, threads, tile, turned)
        return prepare_forward(problem, dtype, x, y, threads, tile, turned)

    def pack_whole(
        self,
        problem: ConvProblem,
        direction: Direction,
        w: Array,
        threads: int,
        *,
        keep: bool = False,
    ) -> Array | None:
        """Transform the kernel to keep it; for one call, leave that to the run."""
        if keep:
            return self.pack(problem, direction, w, threads)
        return self.bring(problem, direction, w)

    def whole_workspace(
        self, problem: ConvProblem, direction: Direction, dtype: DType, threads: int
    ) -> int:
        """Count what threads work in, and the kernel, transformed or copied."""
        if direction is Direction.KERNEL_GRAD:
            return workspace(problem, dtype, threads)
        posed = problem.turned if direction is Direction.INPUT_GRAD else problem
        if threads == 1:
            return most_bytes(posed, dtype)
        return whole_bytes(posed, dtype, threads)

    def takes(self, result: DType, accumulator: DType) -> bool:
        """Whether arrays of these numbers can be read and written without a cast."""
        return result == accumulator

    def pack(self, problem: ConvProblem, direction: Direction, w: Array, threads: int = 1) -> Array:
        """Transform the kernel: ``(G, t, t, ...)``, and behind it what the checks want."""
        turned, w = direction is Direction.INPUT_GRAD, np.ascontiguousarray(w)
        posed = problem.turned if turned else problem
        packed = np.empty(packed_shape(posed.one_image, w.dtype), w.dtype)
        if packed.size:
            made = prepare_pack(posed.one_image, turned, w.dtype, threads)
            run(made, w, None, packed, None, Scratch())
        return packed

    def bring(self, problem: ConvProblem, direction: Direction, w: Array) -> Array:
        """Give the kernel as `forward` takes it for one call: ``(G, K*C, taps)``, as it came.

        A large one is transformed piece by piece, and never leaves the cache.
        """
        return np.ascontiguousarray(w).reshape(problem.G, problem.K * problem.C, problem.taps)

    def why_not(self, problem: ConvProblem, direction: Direction, dtype: DType) -> str | None:
        """Serve what a few plain convolutions with windows are the sum of."""
        missing = why_missing()
        if missing:
            return missing
        if dtype not in (np.float32, np.float64):
            return f"its kernels are for float32 and float64, not {dtype}"
        return _why_no_tiles(problem.turned if direction is Direction.INPUT_GRAD else problem)

    def cost(
        self,
        problem: ConvProblem,
        direction: Direction,
        dtype: DType,
        whole: ConvProblem | None = None,
    ) -> Cost:
        """Count products in whole vectors, the transforms, and what they read and write."""
        turned = direction is Direction.INPUT_GRAD
        posed, whole = (each.turned if turned else each for each in (problem, whole or problem))
        if _why_no_tiles(whole):  # and so refused
            return Cost(problem.products, 0, 0, 1.0)
        packing = _packing(posed, dtype, direction)
        each = [(*one, direction) for one in plain_cuts(posed, dtype)]
        return Cost(
            multiplications=sum(_multiplications(*one) for one in each) + packing.products,
            bytes_moved=sum(_bytes_moved(*one) for one in each) + packing.numbers * dtype.itemsize,
            workspace=_workspace(posed, direction, dtype),
            error_growth=_growth(posed, direction),
            calls=10 * len(each),
            packing=packing,
        )

    def strays(self, problem: ConvProblem, direction: Direction) -> Strays:
        """Tiles at the border multiply what they read there with all of the kernel."""
        return frame((problem.turned if direction is Direction.INPUT_GRAD else problem).axes)


@lru_cache(maxsize=1024)
def _why_no_tiles(posed: ConvProblem) -> str | None:
    """Say why a forward problem, or its plain ones, cannot be cut into tiles; None if they can."""
    along = list(zip(posed.axes, together(posed), strict=True))
    # Sizes may be anything, so nothing is listed before it is known to be short.
    count = math.prod(map(count_lattices, posed.axes))
    count = max(count, math.prod(-(-axis.kernel // most) for axis, most in along))
    if count <= MOST_PARTS:
        count = math.prod(len(axis_parts(*each)) for each in along)
    if count > MOST_PARTS:
        return f"it would be {count} plain convolutions or more, and {MOST_PARTS} are its limit"
    kernels = math.prod(len(classes(*each)) for each in along)
    if kernels > MOST_KERNELS:
        return f"its kernel would be cut into {kernels}, and {MOST_KERNELS} are its limit"
    if all(classes(*each)[0].number == 1 for each in along):
        return "no two kernel elements work together: there is nothing to transform"
    found = plain_parts(posed)
    if {tile_places(part.problem) for part in found} != {tile_places(posed)}:
        return "of a kernel's classes some have no window where others have one"
    tiled = [i for i in tile_places(posed) if i >= 0 and posed.axes[i].kernel > 1]
    least = min(max(part.problem.axes[i].out for part in found) for i in tiled)
    # For three elements alone there are smaller tiles.
    alone = len(found) == 1 and all(posed.axes[i].kernel == LONGEST for i in tiled)
    if least <= FEW_OUTPUTS and not alone:
        return f"with {FEW_OUTPUTS} outputs or fewer its tiles of 4 would be mostly empty"
    served = {part.taps for part in found}
    if not is_whole(posed) or any(kernel.taps not in served for kernel in sub_kernels(posed)):
        return "some outputs see no kernel element, or some elements no input"
    return None


def _convolve(
    problem: ConvProblem,
    direction: Direction,
    x: Array,
    w: Array,
    out: Array,
    bias: Array | None,
    scratch: Scratch,
) -> None:
    x, bias = in_rows(x, "operand", scratch), None if bias is None else np.ascontiguousarray(bias)
    turned, tile = direction is Direction.INPUT_GRAD, None if w.ndim == 3 else w.shape[1:3]
    posed, threads = problem.turned if turned else problem, scratch.threads
    with written(out, x.dtype, scratch, in_rows=True) as y:
        lies = strides_of(x), strides_of(y)
        made = prepare_forward(posed, x.dtype, *lies, threads, tile, turned)
        run(made, x, w, y, bias, scratch, scratch.flags)


# ---- counts ------------------------------------------------------------------------------


def _multiplications(posed: ConvProblem, cut: Tiling, direction: Direction) -> int:
    """Count products but the kernel's: those of a tile are formed for whole vectors of channels."""
    inputs, outputs = cut.inputs * cut.lanes, cut.outputs * cut.lanes
    tiles, kernels = posed.G * cut.tiles * slices_of(posed), 0
    products = cut.elements * tiles
    if direction is Direction.KERNEL_GRAD:
        waiting = posed.G * slices_of(posed) * WAITING * max(cut.tiles, FEW_TILES) // FEW_TILES
        products = (products + cut.elements * waiting) * posed.K * inputs
        outward = [transpose(f.output) for f in (cut.h, cut.w)]
        kernels = posed.G * posed.C * outputs * -(-cut.tiles // FEW_TILES) * slices_of(posed)
    else:
        products *= posed.C * outputs
        outward = [f.output for f in (cut.h, cut.w)]
    inward = _products([f.input for f in (cut.h, cut.w)]) * tiles * inputs
    return (
        products
        + inward
        + _products(outward) * tiles * outputs
        + _products([f.kernel for f in (cut.h, cut.w)]) * kernels
    )


def _packing(posed: ConvProblem, dtype: DType, direction: Direction) -> Packing:
    """Count the kernel's transform, where it is of one."""
    if direction is Direction.KERNEL_GRAD:
        return Packing()
    products = numbers = 0
    for place in places(posed, dtype):
        cut = place.cut
        kernels = posed.G * posed.C * cut.outputs * cut.lanes
        products += _products([f.kernel for f in (cut.h, cut.w)]) * kernels
        numbers += posed.G * cut.u_bytes // cut.item
    return Packing(products, numbers)


def slices_of(posed: ConvProblem) -> int:
    """Count the pictures that are filtered: one for each position of the other axes."""
    return posed.pixels // max(1, math.prod(axis.out for axis in tile_axes(posed)))


def _products(matrices: Sequence[Matrix]) -> int:
    """Products of a tile's transform along both axes, of numbers that are not zero."""
    h, w = matrices
    full = [sum(above != 0 for row in matrix for above, _ in row) for matrix in matrices]
    return full[0] * len(w[0]) + len(h) * full[1]


def _bytes_moved(posed: ConvProblem, cut: Tiling, direction: Direction) -> int:
    """Count V, M and the kernel's transform, written and read, and the image turned."""
    tiles = posed.G * cut.tiles * cut.elements * slices_of(posed)
    moved = 2 * tiles * (cut.inputs + cut.outputs) * cut.lanes * cut.item
    again = -(-cut.tiles // FEW_TILES) + 1 if direction is Direction.KERNEL_GRAD else cut.panels
    return moved + posed.G * cut.u_bytes * again * slices_of(posed)


def _workspace(posed: ConvProblem, direction: Direction, dtype: DType) -> int:
    """Bound the working memory for each thread, and copies of what lies in no order."""
    y = posed.N * posed.G * posed.K * posed.pixels * dtype.itemsize
    if direction is Direction.KERNEL_GRAD:
        return workspace(posed, dtype, 1) + y
    return tile_bytes(posed, dtype) + y


def _growth(posed: ConvProblem, direction: Direction) -> float:
    """Estimate the growth of errors where several parts add up: their squares do, too."""
    found: dict[Any, list[float]] = {}
    for kernel in sub_kernels(posed):
        filters, terms = [BY_TILE[t] for t in kernel.tile], posed.C
        if direction is Direction.KERNEL_GRAD:
            terms = posed.N * sum(_tiles(part.problem, filters) for part in kernel.parts)
            found[kernel.taps] = [growth_of(filters, terms, direction)] + [0] * (
                len(kernel.parts) - 1
            )
            continue
        for part in kernel.parts:
            found.setdefault(part.written, []).append(growth_of(filters, terms, direction))
    return max(math.hypot(*each) + len(each) - 1 for each in found.values())


def _tiles(posed: ConvProblem, filters: Sequence[Filtering]) -> int:
    """Count the tiles of an image."""
    axes = zip(tile_axes(posed), filters, strict=True)
    return slices_of(posed) * math.prod(-(-axis.out // f.m) for axis, f in axes)
