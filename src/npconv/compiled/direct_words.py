"""What the kernels of direct summation are told, once planned: words, and tables of places."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from npconv.compiled.direct import Layout, Pieces, flattened, layout, together
from npconv.compiled.direct_kernel import RawKernel, in_order, sources
from npconv.compiled.direct_phases import rows_seen
from npconv.compiled.kernels.words import DEPTH
from npconv.compiled.phases import RANK, axes_of
from npconv.compiled.prepared import Prepared, Strides, address, step
from npconv.compiled.registers import CACHE_LINE, SUMS, TILE_BYTES, sum_bytes
from npconv.problem import Array, ConvProblem

WORKER_WORD = 4  # of those that `words` makes
PAGE, WAYS = 4096, 8  # bytes after which a cache's sets come again, lines of a set
# What a band may take of the second cache, in bytes of lines; how many times as much as its own
# numbers; and how many blocks of output channels have to read it, before it is better gathered.
LYING, SPARSE, READS = 2**18, 1.5, 8


def as_it_is_read(
    problem: ConvProblem, x: Strides, y: Strides
) -> tuple[ConvProblem, Strides, Strides]:
    """Pose a problem along a single axis where it can be, and its arrays lie so."""
    flat = flattened(problem)
    if flat is problem or not (_follow(problem, x) and _follow(problem, y)):
        return problem, x, y
    return flat, (*x[:3], x[-1]), (*y[:3], y[-1])


def _follow(problem: ConvProblem, strides: Strides) -> bool:
    """Whether rows follow each other in an array of the problem's input, or output."""
    steps = [math.prod(problem.size[i + 1 :]) for i in range(problem.rank)]
    return all(
        size == 1 or stride == step * strides[-1]
        for size, stride, step in zip(problem.size, strides[3:], steps, strict=True)
    )


@lru_cache(maxsize=1024)
def prepare(
    problem: ConvProblem,
    dtype: str,
    x: Strides,
    y: Strides,
    threads: int,
    raw: RawKernel | None = None,
) -> Prepared:
    """Prepare a forward problem for arrays of these strides, in the inner layout.

    Its kernel is packed, or ``raw``.
    """
    itemsize = sum_bytes(dtype)
    posed, x, y = as_it_is_read(problem, x, y)
    how = layout(posed, itemsize, threads, as_it_lies=True)
    if raw is not None:  # however often it is read: there is room for a piece of it
        how = how._replace(once=True)
        raw = raw if posed is problem else raw.flattened
    problem = posed
    constants, kept = words(problem, how, dtype, x, y, raw=raw)
    kernel, parts = ("direct", how.mode, dtype), problem.N * problem.G * how.parts
    one = step(kernel, constants, parts, kept)
    # A turned kernel that meets padding must be finite: what is padding is no term there.
    judges = (
        raw is not None and raw.turned and not all(stays_inside(problem, p) for p in how.pieces)
    )
    return Prepared.of((one,), how.worker_numbers * itemsize * threads, threads, judges=judges)


def words(
    problem: ConvProblem, how: Layout, dtype: str, x: Strides, y: Strides,
    w: tuple[int, ...] = (0, 0), *, raw: RawKernel | None = None,
) -> tuple[list[int], list[Array]]:  # fmt: skip
    """Make the words of a block (see `npconv.compiled.kernels.words`), and their tables."""
    itemsize, blocks = sum_bytes(dtype), np.array(how.blocks, np.int64).ravel()
    bases = np.arange(how.block_vectors) * how.lanes
    steps = np.arange(DEPTH) * how.block_vectors * how.lanes
    rows, kept, packed = [], [blocks, bases, steps], 0
    for piece, count in zip(how.pieces, together(how.pieces), strict=True):
        can = dtype not in SUMS and reads_in_place(problem, how, piece, x, itemsize)
        row, tables = _phase_words(how, piece, x if can else None, _spatial(y), packed)
        seen = _terms_seen(problem, how, piece)
        places, *runs = (None, 0, 0) if raw is None else sources(problem, piece.phase, raw)
        where = 0 if places is None else address(places)
        rows.append([*row, where, *runs, count, seen.ctypes.data])
        kept += [*tables, seen] if places is None else [*tables, seen, places]
        packed += how.packed_of(piece)
    table = np.array(rows, np.int64)
    return [
        problem.G, problem.C, problem.K,
        how.band_numbers * itemsize, how.worker_numbers * itemsize,
        table.ctypes.data, how.parts, how.packed, blocks.ctypes.data,
        *x[:3], *_spatial(x), *(axis.size for axis in axes_of(problem)),
        *y[:3], how.block_vectors, (how.worker_numbers - how.piece_numbers) * itemsize,
        *(w if raw is None else raw.rows),
        *(each.ctypes.data if how.packs_tiles else 0 for each in (bases, steps)),
    ], [table, *kept]  # fmt: skip


def reads_in_place(
    problem: ConvProblem, how: Layout, piece: Pieces, x: Strides, itemsize: int
) -> bool:
    """Whether a phase's outputs can be computed from the image as it lies.

    There must be no padding. Channels that lie a multiple of a page apart would push each
    other out of the cache, and so would lines that hold little of what is read. Where vectors
    run along the image, they are read whole.
    """
    if not stays_inside(problem, piece):
        return False
    apart = abs(x[2]) * itemsize
    if how.channels > 1 and apart >= PAGE and not 1 / 16 <= apart % PAGE / PAGE <= 15 / 16:
        return False
    if how.mode == "shifted" and _crowded(apart, min(how.channels, DEPTH)):
        return False
    if how.reads >= READS and _lies_sparsely(how, piece, x, itemsize):
        return False
    columns = piece.band.columns, piece.last
    whole = all(count % how.lanes == 0 for count in columns)
    return how.mode == "broadcast" or (whole and piece.phase.axes[-1].step == x[-1] == 1)


def _crowded(apart: int, rows: int) -> bool:
    """Whether rows of a tile that lie so many bytes apart fill a set of the first cache alone."""
    across = TILE_BYTES // CACHE_LINE + 1
    lines = np.add.outer(np.arange(rows) * apart // CACHE_LINE, np.arange(across))
    return bool(np.bincount(lines.ravel() % (PAGE // CACHE_LINE)).max(initial=0) >= WAYS)


def _lies_sparsely(how: Layout, piece: Pieces, x: Strides, itemsize: int) -> bool:
    """Whether the lines of a band hold little of it, under a stride, and are too many."""
    planes, rows, columns = piece.band.slots
    if abs(x[2]) * itemsize < CACHE_LINE:  # lines hold several channels
        return False
    reach = columns.inputs.max() - columns.inputs.min() + 1
    lines = planes.number * rows.number * (reach * abs(x[-1]) * itemsize // CACHE_LINE + 1)
    lying = CACHE_LINE * how.channels * lines
    return bool(lying > max(LYING, SPARSE * how.channels * piece.band.channel * itemsize))


def stays_inside(problem: ConvProblem, piece: Pieces) -> bool:
    """Whether the outputs of a phase read no padding."""
    return all(
        axis.reads
        and min(axis.reads) >= 0
        and max(axis.reads) + (axis.number - 1) * axis.step < whole.size
        for axis, whole in zip(piece.phase.axes, axes_of(problem), strict=True)
    )


def _spatial(strides: Strides) -> tuple[int, ...]:
    return (*(0,) * (RANK - len(strides[3:])), *strides[3:])


def _phase_words(
    how: Layout, piece: Pieces, x: Strides | None, y: tuple[int, ...], packed: int
) -> tuple[list[int], list[Array]]:
    """Make the words of a phase, and their tables; ``x`` is there where it is read in place."""
    planes, heights, widths = piece.phase.axes
    here, kept = piece.band, []

    def keep(numbers: Array) -> int:
        kept.append(np.ascontiguousarray(numbers, np.int64))
        return int(kept[-1].ctypes.data)

    if x is None:
        channel, (bases, taps) = here.channel, here.offsets
    else:
        channel, (bases, taps) = x[2], _places(piece, _spatial(x))
    bases = bases.reshape(here.rows, here.columns)
    shape = [len(axis.taps) for axis in piece.phase.axes]
    terms = np.add.outer(np.arange(how.channels) * channel, taps.reshape(shape))
    terms = in_order(terms, how.trims)
    blocks, (in_planes, in_rows, in_columns) = len(how.blocks), here.slots
    return [
        piece.number * how.chunks, planes.number, piece.rows, piece.columns,
        how.chunks, -(-blocks // how.chunks), blocks,
        here.rows, heights.number, here.columns, widths.number,
        terms.size, keep(terms),
        *(keep(_starts(bases, n, how)) for n in (here.columns, piece.last)), packed,
        in_planes.number, in_rows.number,
        len(in_columns.firsts), in_columns.length, in_columns.between,
        keep(in_planes.inputs), keep(in_rows.inputs), keep(np.array(in_columns.firsts)),
        *(axis.step for axis in piece.phase.axes),
        sum(axis.first * stride for axis, stride in zip(piece.phase.axes, y, strict=True)),
        *(axis.apart * stride for axis, stride in zip(piece.phase.axes, y, strict=True)),
        x is not None, how.a_piece(piece),
    ], kept  # fmt: skip


def _terms_seen(problem: ConvProblem, how: Layout, piece: Pieces) -> Array:
    """Say from and up to which term each row of a phase's outputs sees the image."""
    seen = rows_seen(problem, piece.phase)
    if not how.trims:
        seen[:] = 0, len(piece.phase.axes[1].taps)
    return seen * (how.terms(piece) // max(1, len(piece.phase.axes[1].taps)))


def _places(piece: Pieces, x: tuple[int, ...]) -> tuple[Array, Array]:
    """Say where in an image a band's outputs begin to read, and through each kernel element."""
    _, heights, widths = piece.phase.axes
    rows = np.arange(piece.band.rows) * heights.step * x[1]
    bases = np.add.outer(rows, np.arange(piece.band.columns) * widths.step * x[2])
    reads: Array = np.zeros(1, np.int64)
    for axis, stride in zip(piece.phase.axes, x, strict=True):
        reads = np.add.outer(reads, np.array(axis.reads, np.int64) * stride).ravel()
    return bases.ravel(), reads


def _starts(bases: Array, columns: int, how: Layout) -> Array:
    """Say where blocks of a band begin: at every output, or at every vector of a row."""
    return bases[:, : columns : 1 if how.mode == "broadcast" else how.lanes]
