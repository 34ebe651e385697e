"""The kernel's gradient as the compiled engine runs it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from npconv.compiled import direct, direct_words, partial_sums
from npconv.compiled.blocks import FIRST, SECOND
from npconv.compiled.direct import NUMBERS, Layout, Pieces
from npconv.compiled.phases import phases
from npconv.compiled.prepared import Prepared, Strides, step
from npconv.compiled.registers import sum_bytes, vector_bytes
from npconv.problem import ConvProblem
from npconv.scratch import LINES

# Outputs of a band: with their gradients, transposed, they stay in the first cache.
OUTPUTS = 96
# Numbers of a tile; and terms it should have, or the gradients are transposed too often.
TILE, TERMS = 2**16, 96
# Parts that are enough for threads to share, and products that are worth sharing.
ENOUGH, SHARED_PRODUCTS = 8, 2**20


class GradientLayout(NamedTuple):
    """How one kernel gradient is computed."""

    bands: Layout
    channels: int  # of a chunk
    blocks: int  # of outputs' channels that share what is gathered
    panel_numbers: int
    tile_numbers: int
    streams: int

    @property
    def worker_numbers(self) -> int:
        """Count the numbers each thread works in."""
        return self.bands.band_numbers + self.panel_numbers + self.tile_numbers


def posed(problem: ConvProblem) -> ConvProblem:
    """Exchange input and outputs' gradient where both are read alike, and the input is smaller.

    Of the two, the one in the place of the outputs' gradient is transposed.
    """
    if problem.C < problem.K and all(axis.is_plain for axis in problem.axes):
        return problem._replace(C=problem.K, K=problem.C)
    return problem


@lru_cache(maxsize=1024)
def layout(
    problem: ConvProblem, itemsize: int, threads: int = 1, *, as_it_lies: bool = False
) -> GradientLayout:
    """Lay out a kernel's gradient. How channels are cut changes no bit of it."""
    lanes, problem = vector_bytes() // itemsize, posed(problem)
    if not as_it_lies:
        problem = direct.flattened(problem)
    (phase,) = phases(problem)
    blocks = direct.blocks_of(problem.K, lanes, "broadcast")
    # Bands say in what order sums are formed: nothing of how channels are cut goes into them.
    piece = direct.pieces_of(problem._replace(C=1), phase, "broadcast", lanes, OUTPUTS)
    streams = _streams(problem, piece, len(blocks), itemsize)
    cut = _cut(problem, piece, blocks, streams, threads)
    bands = Layout(
        "broadcast", blocks, -(-problem.C // cut.channels), (piece,), cut.channels, lanes
    )
    panel = (
        piece.band.rows * piece.band.columns * max((width for _, width in blocks), default=lanes)
    )
    panel, tile = direct.whole_lines(panel), direct.whole_lines(cut.tile)
    return GradientLayout(bands, cut.channels, cut.blocks, panel, tile, streams)


class _Cut(NamedTuple):
    """How a part is cut: so many blocks of outputs' channels, so many channels of the input."""

    blocks: int
    channels: int
    tile: int


def _cut(
    problem: ConvProblem,
    piece: Pieces,
    blocks: Sequence[tuple[int, int]],
    streams: int,
    threads: int,
) -> _Cut:
    """Choose between gathering once for each few blocks, and transposing for each few channels."""
    wanted, found = direct.parts_for(threads), []
    padded = not direct_words.stays_inside(problem, piece)
    for groups in range(1, len(blocks) + 1) if padded else (max(1, len(blocks)),):
        each = -(-len(blocks) // groups)
        width = max(
            (sum(w for _, w in blocks[i : i + each]) for i in range(0, len(blocks), each)),
            default=1,
        )
        channels = _channels(problem, piece, width, -(-wanted // (groups * problem.G)))
        chunks = -(-problem.C // channels)
        gathered = groups * problem.C * piece.number * piece.band.channel
        transposed = chunks * problem.K * problem.pixels
        parts = groups * chunks * problem.G * streams
        cut = _Cut(each, channels, channels * max(problem.taps, 1) * width)
        found.append((-min(parts, wanted), gathered + transposed, cut))
    return min(found)[-1]


def _channels(problem: ConvProblem, piece: Pieces, width: int, chunks: int) -> int:
    """Say how many channels a part has, of so many: its tile, and its band, stay in the cache."""
    taps = max(problem.taps, 1)
    channels = max(-(-problem.C // chunks), -(-TERMS // taps))
    channels = min(channels, max(1, TILE // (taps * width)), max(problem.C, 1))
    while channels > 1 and channels * piece.band.channel > NUMBERS:
        channels = -(-channels // 2)
    return channels


def _streams(problem: ConvProblem, piece: Pieces, blocks: int, itemsize: int) -> int:
    """Share bands, where there are too few channels for threads to share."""
    parts = problem.G * blocks * -(-problem.C * problem.taps // TERMS)
    if parts >= ENOUGH or problem.products < SHARED_PRODUCTS:
        return 1
    return partial_sums.streams(problem, itemsize, problem.N * piece.number)


@lru_cache(maxsize=1024)
def prepare(
    problem: ConvProblem, dtype: str, x: Strides, y: Strides, w: Strides, threads: int
) -> Prepared:
    """Prepare for an input, an outputs' gradient and a kernel's gradient of these strides."""
    itemsize, here = sum_bytes(dtype), posed(problem)
    exchanged = here is not problem
    operands = (SECOND, FIRST) if exchanged else (FIRST, SECOND)
    of_w = (w[0], w[2], w[1], *w[3:]) if exchanged else w
    flat, x, y = direct_words.as_it_is_read(here, *((y, x) if exchanged else (x, y)))
    how = layout(flat, itemsize, threads, as_it_lies=flat is here)
    constants, kept = direct_words.words(flat, how.bands, dtype, x, y, of_w[:2])
    places, in_order = partial_sums.places_of(here, of_w)
    own = how.worker_numbers * itemsize
    constants[direct_words.WORKER_WORD] = own
    constants += [
        problem.N, how.panel_numbers * itemsize, how.channels, problem.taps,
        places.ctypes.data, in_order,
        how.streams, threads * own, partial_sums.nbytes(problem, itemsize, 2) // 2,
        1 if exchanged else here.C * here.taps, *operands, how.blocks,
    ]  # fmt: skip
    groups = -(-len(how.bands.blocks) // max(1, how.blocks))
    parts = problem.G * how.bands.chunks * groups * how.streams
    steps = [step(("direct_gradient", dtype), constants, parts, (*kept, places))]
    if how.streams > 1:
        steps.append(partial_sums.add_up(problem, dtype, how.streams, threads * own, w))
    sums = partial_sums.nbytes(problem, itemsize, how.streams)
    return Prepared.of(steps, threads * own + sums, threads)


def workspace(problem: ConvProblem, itemsize: int, threads: int) -> int:
    """Bound the bytes that threads work in, however arrays lie."""
    if not math.prod((problem.C, problem.taps, problem.pixels)):
        return LINES
    ways = [layout(problem, itemsize, threads, as_it_lies=lies) for lies in (False, True)]
    sums = max(partial_sums.nbytes(problem, itemsize, how.streams) for how in ways)
    return threads * (max(how.worker_numbers for how in ways) * itemsize + LINES) + sums


def counts(problem: ConvProblem, itemsize: int) -> tuple[int, int]:
    """Count the products formed, in whole vectors, and the numbers moved."""
    how, problem = layout(problem, itemsize), posed(problem)
    (piece,), blocks = how.bands.pieces, how.bands.blocks
    images, terms = problem.N * problem.G, problem.C * problem.taps
    width = sum(width for _, width in blocks)
    groups = -(-len(blocks) // max(1, how.blocks))
    band = piece.number * problem.C * piece.band.channel * groups
    panels = problem.pixels * width * how.bands.chunks
    products = images * problem.pixels * terms * width
    return products, images * (band + 2 * panels) + 2 * problem.G * terms * width
