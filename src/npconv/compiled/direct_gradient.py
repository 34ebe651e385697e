"""The kernel's gradient as the compiled engine runs it."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from npconv.compiled import direct
from npconv.compiled.direct import NUMBERS, Layout
from npconv.compiled.phases import phases
from npconv.compiled.prepared import Prepared, Strides, step
from npconv.compiled.registers import sum_bytes, vector_bytes
from npconv.problem import ConvProblem

# Outputs of a band: with their gradients, transposed, they stay in the first cache.
OUTPUTS = 96
# Numbers of a tile; and terms it should have, or the gradients are transposed too often.
TILE, TERMS = 2**16, 96


class GradientLayout(NamedTuple):
    """How one kernel gradient is computed."""

    bands: Layout
    channels: int  # of a chunk
    panel_numbers: int
    tile_numbers: int

    @property
    def worker_numbers(self) -> int:
        """Count the numbers each thread works in."""
        return self.bands.band_numbers + self.panel_numbers + self.tile_numbers


@lru_cache(maxsize=1024)
def layout(
    problem: ConvProblem, itemsize: int, threads: int = 1, *, as_it_lies: bool = False
) -> GradientLayout:
    """Lay out a kernel's gradient. How channels are cut changes no bit of it."""
    lanes = vector_bytes() // itemsize
    if not as_it_lies:
        problem = direct.flattened(problem)
    (phase,) = phases(problem)
    blocks = direct.blocks_of(problem.K, lanes, "broadcast")
    width = max((width for _, width in blocks), default=lanes)
    taps = max(problem.taps, 1)
    chunks = -(-direct.parts_for(threads) // max(1, len(blocks) * problem.G))
    channels = max(-(-problem.C // chunks), -(-TERMS // taps))
    channels = min(channels, max(1, TILE // (taps * width)), max(problem.C, 1))
    # Bands say in what order sums are formed: nothing of how channels are cut goes into them.
    piece = direct.pieces_of(problem._replace(C=1), phase, "broadcast", lanes, OUTPUTS)
    while channels > 1 and channels * piece.band.channel > NUMBERS:
        channels = -(-channels // 2)
    bands = Layout("broadcast", blocks, -(-problem.C // channels), (piece,), channels, lanes)
    outputs = piece.band.rows * piece.band.columns
    panel, tile = outputs * width, channels * taps * width
    return GradientLayout(bands, channels, direct.whole_lines(panel), direct.whole_lines(tile))


@lru_cache(maxsize=1024)
def prepare(
    problem: ConvProblem, dtype: str, x: Strides, y: Strides, w: Strides, threads: int
) -> Prepared:
    """Prepare for an input, an outputs' gradient and a kernel's gradient of these strides."""
    itemsize = sum_bytes(dtype)
    flat, x, y = direct.as_it_is_read(problem, x, y)
    how = layout(flat, itemsize, threads, as_it_lies=flat is problem)
    constants, kept = direct.words(flat, how.bands, dtype, x, y)
    group, row, channel, *taps = w
    places = np.arange(problem.C) * channel
    for stride, size in zip(taps, problem.kernel, strict=True):
        places = np.add.outer(places, np.arange(size) * stride)
    places = np.ascontiguousarray(places.ravel())
    in_order = bool((places == np.arange(places.size)).all())
    constants[direct.WORKER_WORD] = how.worker_numbers * itemsize
    constants += [
        problem.N, how.panel_numbers * itemsize, how.channels, problem.taps,
        group, row, places.ctypes.data, in_order,
    ]  # fmt: skip
    parts = problem.G * how.bands.chunks * len(how.bands.blocks)
    one = step(("direct_gradient", dtype), constants, parts, (*kept, places))
    return Prepared((one,), how.worker_numbers * itemsize * threads, threads)


def workspace(problem: ConvProblem, itemsize: int) -> int:
    """Bound the bytes one thread works in, however arrays lie."""
    if not math.prod((problem.C, problem.taps, problem.pixels)):
        return 64
    each = (layout(problem, itemsize, as_it_lies=lies) for lies in (False, True))
    return max(how.worker_numbers for how in each) * itemsize + 64


def counts(problem: ConvProblem, itemsize: int) -> tuple[int, int]:
    """Count the products formed, in whole vectors, and the numbers moved."""
    how = layout(problem, itemsize)
    (piece,), blocks = how.bands.pieces, how.bands.blocks
    images, terms = problem.N * problem.G, problem.C * problem.taps
    width = sum(width for _, width in blocks)
    band = piece.number * problem.C * piece.band.channel * len(blocks)
    panels = problem.pixels * width * how.bands.chunks
    products = images * problem.pixels * terms * width
    return products, images * (band + 2 * panels) + 2 * problem.G * terms * width
