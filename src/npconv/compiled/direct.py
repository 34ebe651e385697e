"""Direct summation as the compiled engine runs it: which phases, bands and blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from npconv.axis import Axis
from npconv.compiled.bands import Band, band
from npconv.compiled.direct_phases import find, share_seen
from npconv.compiled.kernels.words import DEPTH
from npconv.compiled.phases import Phase, phases
from npconv.compiled.registers import HEIGHTS, TILE_BYTES, accumulators, vector_bytes
from npconv.phases import AxisPhase
from npconv.problem import ConvProblem
from npconv.scratch import LINES

# Outputs of a band: so many that what they share is read seldom, so few that it stays in the
# cache. Numbers of a band, likewise.
OUTPUTS, NUMBERS = {"broadcast": 168, "shifted": 480}, 2**17
ROWS_A_SHARED = 3  # of a band, for each row of inputs that it shares with the next one
CHANNELS_A_PART = 48  # or a band is read from the image too often
# Output channels for which it is worth copying together what a shifted tile reads of an image;
# and bytes of that at most, which leave half of the first cache to the kernel and the result.
CHANNELS_A_TILE, COPIED_BYTES = 32, 2**14
WAITING = {1: 1, 2: 1}  # rows that could be computed while blocks of so many rows wait


class Pieces(NamedTuple):
    """One phase cut into bands; the last one along rows has ``last`` columns."""

    phase: Phase
    band: Band
    last: int
    rows: int  # how many bands there are along rows, and along columns
    columns: int

    @property
    def number(self) -> int:
        """Count the bands."""
        return self.phase.axes[0].number * self.rows * self.columns


class Layout(NamedTuple):
    """How one problem is computed; made from shapes alone."""

    mode: str  # which factor runs along vectors: see `npconv.compiled.kernels.blocks_of_sums`
    blocks: tuple[tuple[int, int], ...]  # first output channel and number, of each block
    chunks: int  # parts that share a band
    pieces: tuple[Pieces, ...]
    channels: int
    lanes: int
    once: bool = False  # whether each element of the kernel is read once, by one part
    skips: bool = False  # whether some are not read where they meet padding
    trims: bool = False  # whether that is so row by row: then the kernel's rows come first
    reads: int = 1  # how many blocks of output channels read a band once it is gathered

    @property
    def packed(self) -> int:
        """Count the numbers of one group's packed kernel."""
        return sum(self.packed_of(p) for p in self.pieces)

    def packed_of(self, piece: Pieces) -> int:
        """Count those of one phase."""
        return self.terms(piece) * sum(width for _, width in self.blocks)

    def terms(self, piece: Pieces) -> int:
        """Count the products that are summed for an output of a phase."""
        return self.channels * len(piece.phase.taps)

    def a_piece(self, piece: Pieces) -> int:
        """Say how many terms of a phase are summed before other outputs are.

        Half as many where each reads a line of the image that no other term reads.
        """
        alone = len(piece.phase.axes[-1].taps) == 1
        return DEPTH // 2 if self.mode == "broadcast" and alone else DEPTH

    @property
    def band_numbers(self) -> int:
        """Bound the numbers of a band, and of the vector read behind it."""
        most = max((p.band.channel for p in self.pieces), default=0)
        return whole_lines(self.channels * most + 4 * self.lanes)

    @property
    def tile_numbers(self) -> int:
        """Bound the numbers of a tile."""
        width = max((width for _, width in self.blocks), default=0)
        return max((self._tile(p.band, width) for p in self.pieces), default=0)

    def _tile(self, band: Band, width: int) -> int:
        if self.mode == "broadcast":
            return band.rows * band.columns * width
        return width * self.block_vectors * self.lanes

    @property
    def block_vectors(self) -> int:
        """Count the vectors of a shifted tile: whole blocks, that fill the same lines or more."""
        height = max((height for _, height in self.blocks), default=1)
        each = max(1, min(6, accumulators() // height))
        if self.trims:  # the fewer rows of outputs a tile has, the less of them is padding
            return each
        return -(-TILE_BYTES // (each * vector_bytes())) * each

    @property
    def worker_numbers(self) -> int:
        """Count the numbers each thread works in."""
        return whole_lines(self.band_numbers + self.tile_numbers) + self.piece_numbers

    @property
    def piece_numbers(self) -> int:
        """Bound the numbers of a kernel's piece, or of what a shifted tile reads for a piece."""
        if self.packs_tiles:
            return whole_lines(DEPTH * self.block_vectors * self.lanes)
        width = max((width for _, width in self.blocks), default=0)
        return whole_lines(DEPTH * width) if self.once else 0

    @property
    def packs_tiles(self) -> bool:
        """Whether what a tile reads is copied together, into the first cache.

        There its vectors begin with a line, and no two lines push each other out.
        """
        channels = sum(width for _, width in self.blocks)
        terms = max((self.terms(p) for p in self.pieces), default=0)
        return (
            self.mode == "shifted"
            and channels >= CHANNELS_A_TILE * self.chunks
            and min(terms, DEPTH) * TILE_BYTES <= COPIED_BYTES
        )

    @property
    def parts(self) -> int:
        """Count the parts of an image and group."""
        return bands_of(self.pieces) * self.chunks


def together(pieces: Sequence[Pieces]) -> list[int]:
    """Count the phases that one part computes: those whose outputs lie between each other's.

    They share every cache line of the result. Behind the first of them stand zeros.
    """
    counts: list[int] = []
    for i, piece in enumerate(pieces):
        first = len(counts) - 1
        while first > 0 and not counts[first]:
            first -= 1
        rows = piece.phase.axes[:2], piece.number
        if i and rows == (pieces[first].phase.axes[:2], pieces[first].number):
            counts[first] += 1
            counts.append(0)
        else:
            counts.append(1)
    return counts


def bands_of(pieces: Sequence[Pieces]) -> int:
    """Count the bands of an image and group; those of phases that lie together are one."""
    counts = together(pieces)
    return sum(p.number for p, count in zip(pieces, counts, strict=True) if count)


def whole_lines(numbers: int) -> int:
    """Round up, so that what follows begins with a cache line."""
    return -(-numbers // 16) * 16


@lru_cache(maxsize=1024)
def layout(
    problem: ConvProblem, itemsize: int, threads: int = 1, *, as_it_lies: bool = False
) -> Layout:
    """Lay out a forward problem (for the input's gradient: `ConvProblem.turned`).

    ``as_it_lies`` says that rows do not follow each other in memory. Neither bands nor
    chunks change a bit of the result, so the number of threads may have a say in them.
    """
    lanes, flat = vector_bytes() // itemsize, flattened(problem)
    mode, found, skips, trims = find(
        flat, lanes
    )  # the same however arrays lie, as kernels are packed
    if not as_it_lies:
        problem = flat
    elif flat is not problem:
        found = tuple(phases(problem))
    blocks = blocks_of(problem.K, lanes, mode)
    pieces = [pieces_of(problem, phase, mode, lanes, OUTPUTS[mode]) for phase in found]
    bands = problem.N * problem.G * bands_of(pieces)
    parts = min(-(-parts_for(threads) // max(bands, 1)), problem.K // CHANNELS_A_PART)
    chunks = max(1, min(len(blocks), parts))
    once = mode == "broadcast" and bands_of(pieces) == len(pieces) == 1
    reads = len(blocks) // chunks
    return Layout(mode, blocks, chunks, tuple(pieces), problem.C, lanes, once, skips, trims, reads)


def parts_for(threads: int) -> int:
    """Say into how many parts work is cut, so that threads end at about the same time."""
    return 1 if threads == 1 else 4 * threads


def flattened(problem: ConvProblem) -> ConvProblem:
    """Pose a problem whose outputs read one input each along a single axis."""
    if problem.rank > 1 and all(axis.is_plain for axis in problem.axes):
        return problem._replace(axes=(Axis(math.prod(problem.size), 1),))
    return problem


def blocks_of(K: int, lanes: int, mode: str) -> tuple[tuple[int, int], ...]:
    """Cut output channels into blocks: of about equally many vectors, or of `HEIGHTS` rows."""
    if not K:
        return ()
    if mode == "broadcast":
        vectors = -(-K // lanes)
        most = 4 if accumulators() >= 16 else 3
        count = -(-vectors // most)
        ends = [vectors * (i + 1) // count * lanes for i in range(count)]
        return tuple(zip([0, *ends[:-1]], np.diff([0, *ends]).tolist(), strict=True))
    most = 8 if accumulators() >= 24 else 4
    heights = [most] * max(0, (K - 1) // most - 1)
    heights += _heights(K - sum(heights), max(6, most))
    starts = np.cumsum([0, *heights[:-1]]).tolist()
    return tuple(zip(starts, heights, strict=True))


@cache
def _heights(K: int, most: int) -> list[int]:
    """Cut a few output channels into as few blocks as can be, of about as many rows each."""
    allowed = [height for height in HEIGHTS if height <= most]
    if K in allowed:
        return [K]
    cuts = [[height, *_heights(K - height, most)] for height in allowed if height < K]
    return min(cuts, key=lambda cut: (len(cut), max(cut)))


def pieces_of(problem: ConvProblem, phase: Phase, mode: str, lanes: int, outputs: int) -> Pieces:
    """Cut a phase into bands of about so many outputs, rows whole where they are not long."""
    _, all_rows, all_columns = (axis.number for axis in phase.axes)
    neighbours = mode == "shifted"

    def numbers(rows: int, columns: int) -> int:
        return problem.C * band(phase, rows, columns, neighbours=neighbours).channel

    columns = all_columns
    if columns > 2 * outputs:
        columns = _even(all_columns, outputs, 3 * lanes)
    while columns > lanes and numbers(1, columns) > NUMBERS:
        columns = _even(all_columns, columns // 2, lanes)
    rows = max(1, outputs // columns)
    if neighbours:
        rows = max(rows, ROWS_A_SHARED * _shared(phase.axes[1]))
    rows = _even(all_rows, rows)
    while rows > 1 and numbers(rows, columns) > NUMBERS:
        rows = _even(all_rows, rows // 2)
    count = -(-all_columns // columns)
    last = all_columns - (count - 1) * columns
    return Pieces(
        phase,
        band(phase, rows, columns, neighbours=neighbours),
        last,
        -(-all_rows // rows),
        count,
    )


def _shared(axis: AxisPhase) -> int:
    """Count the inputs that two neighbouring outputs read both, along one axis."""
    reach = max(axis.reads, default=0) - min(axis.reads, default=0) + 1
    return max(0, reach - axis.step)


def _even(whole: int, most: int, multiple: int = 1) -> int:
    """Cut something into pieces of at most so much, about equally large."""
    count = -(-whole // most)
    piece = -(-whole // count)
    return min(whole, -(-piece // multiple) * multiple)


# ---- what it takes -----------------------------------------------------------------------


def workspace(problem: ConvProblem, itemsize: int) -> int:
    """Bound the bytes one thread works in, however arrays lie."""
    each = (layout(problem, itemsize, as_it_lies=lies) for lies in (False, True))
    return max(how.worker_numbers for how in each) * itemsize + LINES


def counts(problem: ConvProblem, itemsize: int) -> tuple[int, int]:
    """Count the products formed, in whole vectors, and the numbers moved.

    Each image reads the packed kernel. Blocks of one or two rows wait for what they load.
    """
    how = layout(problem, itemsize)
    products = moved = 0
    width = sum(width for _, width in how.blocks)
    if how.mode == "shifted":
        width += sum(WAITING.get(height, 0) for _, height in how.blocks)
    for piece in how.pieces:
        outputs, terms = piece.phase.outputs, how.terms(piece)
        if how.trims:
            terms = math.ceil(terms * share_seen(problem, piece.phase))
        columns = piece.phase.axes[-1].number
        if how.mode == "broadcast":
            products += outputs * terms * width
        else:
            products += outputs * terms * width * -(-columns // how.lanes) * how.lanes // columns
        moved += piece.number * problem.C * piece.band.channel + 2 * outputs * problem.K
    images = problem.N * problem.G
    return images * products, images * (moved + how.packed)
