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

from functools import lru_cache

import numpy as np

from npconv.algorithms.protocol import DType
from npconv.algorithms.winograd import Winograd
from npconv.compiled import why_missing
from npconv.compiled.prepared import Prepared, Strides, address, step, strides_of
from npconv.compiled.winograd import (
    Tiling,
    is_shared,
    kernel_chunk,
    kernel_words,
    scratch_bytes,
    tiling,
    words,
)
from npconv.cost import Cost
from npconv.problem import Array, ConvProblem, Direction
from npconv.scratch import Scratch
from npconv.strays import Strays


class WinogradFused:
    """Tiles of 4 outputs (2 where there are no more) along each axis of kernel size 3."""

    name = "winograd_fused"
    engine = "compiled"
    direct = False

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
        """Run the prepared steps."""
        x = _with_unit_stride(x, scratch)
        threads = getattr(scratch, "threads", 1)
        made = prepare(
            problem, Direction.FORWARD, x.dtype, strides_of(x), strides_of(out), threads
        )
        memory = scratch.array("winograd", (made.scratch + 64,), np.uint8)
        start = -address(memory) % 64 + address(memory)
        made.run(address(x), address(w), address(out), address(bias), start)


@lru_cache(maxsize=1024)
def prepare(
    problem: ConvProblem,
    direction: Direction,
    dtype: DType,
    x_strides: Strides,
    out_strides: Strides,
    threads: int,
) -> Prepared:
    """Prepare a direction of a problem for operands that lie so."""
    posed = problem.turned if direction is Direction.INPUT_GRAD else problem
    cut = tiling(posed, dtype)
    constants = words(posed, cut, x_strides, out_strides, packed_size(posed, cut), threads)
    variant = (str(dtype), f"{cut.h.t}x{cut.w.t}")
    panels = posed.G * cut.panels
    if is_shared(cut, posed.G, threads):
        steps = (
            step(("winograd", "transform", *variant), constants, panels * constants.parts),
            step(("winograd", "multiply", *variant), constants, panels * constants.blocks),
        )
    else:
        steps = (step(("winograd", "fused", *variant), constants, panels),)
    return Prepared(steps, scratch_bytes(cut, posed.G, threads), threads)


def packed_size(problem: ConvProblem, cut: Tiling) -> int:
    """Count the numbers of one group's kernel, transformed."""
    return cut.elements * cut.vectors[1] * cut.lanes * problem.C


def pack(problem: ConvProblem, direction: Direction, w: Array, threads: int = 1) -> Array:
    turned = direction is Direction.INPUT_GRAD
    posed = (problem.turned if turned else problem).one_image
    cut, w = tiling(posed, w.dtype), np.ascontiguousarray(w)
    size = packed_size(posed, cut)
    U = np.empty((posed.G, size), w.dtype)
    near, far = posed.taps, posed.taps * w.shape[2]
    of_out, of_in = (near, far) if turned else (far, near)
    most = np.empty((posed.G, cut.vectors[1], posed.C), w.dtype)
    parts = posed.G * cut.vectors[1] * -(-posed.C // kernel_chunk(posed.C))
    variant = ("winograd_kernel", str(w.dtype), f"{cut.h.t}x{cut.w.t}", "turned" if turned else "as_is")
    made = step(variant, kernel_words(posed, cut, of_out, of_in, size), parts)
    Prepared((made,), 0, threads).run(address(w), 0, address(U), 0, address(most))
    return U


def _with_unit_stride(x: Array, scratch: Scratch) -> Array:
    """Copy an array whose rows do not lie in one piece."""
    if x.shape[-1] > 1 and x.strides[-1] != x.itemsize:
        copy = scratch.array("operand", x.shape, x.dtype)
        copy[...] = x
        return copy
    return x
