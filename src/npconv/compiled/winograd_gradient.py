"""The kernel's gradient by Winograd's filtering, prepared: chunk by chunk of tiles.

Each thread works for itself, so that nothing it transforms has to come from another one's
cache: on some of the chunks, whose sums are a stream (`npconv.compiled.partial_sums`), and
where there are too few streams on some of the output channels, for which it transforms the
input once more.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from npconv.algorithms.protocol import DType
from npconv.compiled import partial_sums
from npconv.compiled.blocks import FIRST, SECOND
from npconv.compiled.machine_code import address_of
from npconv.compiled.prepared import Prepared, Step, Strides, step
from npconv.compiled.registers import block_rows
from npconv.compiled.winograd import Tiling, odd_lines, tiling, whole_lines, words
from npconv.compiled.winograd_checks import check_words
from npconv.compiled.winograd_pictures import (
    Picture,
    SubKernel,
    pictures,
    sub_kernels,
    taps_in_bytes,
)
from npconv.compiled.winograd_steps import plain_cuts
from npconv.compiled.winograd_words import ALONE_BYTES, GradientWords, StreamWords
from npconv.problem import ConvProblem
from npconv.scratch import LINES

# Transformed inputs and gradients of a chunk should stay in the second cache; but fewer tiles
# would not be worth transforming their sums back, as long as they stay in the third.
CHUNK_BYTES, FEW_TILES, MOST_BYTES = 5 * 2**18, 64, 5 * 2**20
# Output channels, and vectors of input channels, that are multiplied together: at most.
ROWS, COLUMNS = 28, 4
CLOSER_BYTES = 4 * 2**20  # of the check's sums, or it does without them


class Chunks(NamedTuple):
    """How a kernel's gradient is cut; sizes in bytes."""

    tiles: int
    number: int
    streams: int
    ranges: int  # of output channels, each of so many vectors
    vectors: int
    v_tile: int
    m_tile: int
    rows: int
    columns: int
    column_parts: int
    u_row: int
    m_at: int  # what a thread has of its own: V, then M, then this
    own_at: int
    each: int
    squares_at: int
    norms_at: int
    of_part: int  # numbers whose squares a part of a stream sums
    sums_at: int
    closer_at: int  # room for the check, should it have to look closely; 0 for none
    total: int


def chunks(problem: ConvProblem, cut: Tiling, threads: int) -> Chunks:
    """Cut; what is summed in which order depends on the problem alone."""
    nbytes = cut.lanes * cut.item
    v_tile = odd_lines(cut.inputs * nbytes)
    tile = cut.elements * (v_tile + odd_lines(cut.outputs * nbytes))
    most = max(1, CHUNK_BYTES // tile, min(FEW_TILES, MOST_BYTES // tile))
    number = max(1, -(-cut.tiles // most))
    tiles = -(-cut.tiles // number)
    streams = partial_sums.streams(problem, cut.item, number)
    ranges = min(-(-threads // (streams * problem.G)), cut.outputs) or 1
    vectors = -(-cut.outputs // ranges)
    ranges = -(-cut.outputs // max(vectors, 1))
    m_tile = odd_lines(vectors * nbytes)
    columns = max(1, min(COLUMNS, cut.inputs))
    width = min(vectors * cut.lanes, problem.K)
    most = ROWS // block_rows() * block_rows() or ROWS  # whole blocks of the product, if any
    rows = max(1, -(-width // max(1, -(-width // most))))  # about equally many at a time
    u_row = odd_lines(columns * nbytes)
    m_at = whole_lines(cut.elements * odd_lines(tiles * v_tile))
    own_at = m_at + whole_lines(cut.elements * odd_lines(tiles * m_tile))
    own = whole_lines(max(cut.elements * odd_lines(rows * u_row), cut.strip))
    squares_at, of_part = own_at + own, (cut.inputs + vectors) * cut.lanes
    each = squares_at + whole_lines(of_part * cut.item) + 3 * ALONE_BYTES
    norms_at = threads * each
    sums_at = norms_at + whole_lines(8 * of_part * problem.G * streams * ranges)
    closer_at = sums_at + whole_lines(partial_sums.nbytes(problem, cut.item, streams))
    room = 8 * problem.G * problem.C * (problem.K + 1)
    room = room if room <= CLOSER_BYTES else 0
    return Chunks(
        tiles, number, streams, ranges, vectors, v_tile, m_tile, rows, columns,
        -(-cut.inputs // columns), u_row, m_at, own_at, each, squares_at, norms_at,
        of_part, sums_at, closer_at if room else 0, closer_at + room,
    )  # fmt: skip


def workspace(problem: ConvProblem, dtype: DType, threads: int) -> int:
    """Count the bytes that all this takes, without a copy of an operand."""
    return max(chunks(*each, threads).total for each in plain_cuts(problem, dtype)) + LINES


@lru_cache(maxsize=1024)
def prepare_gradient(
    problem: ConvProblem, dtype: DType, x: Strides, dy: Strides, threads: int, adds: bool
) -> Prepared:
    """Prepare the kernel's gradient, which is added to what is there, or written."""
    steps: list[Step] = []
    room = 0
    for kernel in sub_kernels(problem):
        begun = adds
        for part in kernel.parts:
            cut = tiling(part.problem, dtype, kernel.tile)
            of = chunks(part.problem, cut, threads)
            room = max(room, of.total)
            for one in pictures(problem, part, x, dy):
                steps += _picture(problem, kernel, one, cut, of, begun, dtype)
                begun = True
                check = check_words(one, cut)._replace(
                    norms=of.norms_at, streams=of.streams, ranges=of.ranges, of_part=of.of_part,
                    of_inputs=cut.inputs * cut.lanes, of_range=of.vectors * cut.lanes,
                    closer=of.closer_at,
                )  # fmt: skip
                steps.append(step(("winograd_check", "gradient", str(dtype)), check, problem.G))
    return Prepared.of(steps, room, threads)


def _picture(
    whole: ConvProblem, kernel: SubKernel, one: Picture, cut: Tiling, of: Chunks, adds: bool,
    dtype: DType,
) -> list[Step]:  # fmt: skip
    """Transform both operands of each chunk, multiply, transform back; then add streams up."""
    problem = one.problem
    v_element, m_element = odd_lines(of.tiles * of.v_tile), odd_lines(of.tiles * of.m_tile)
    inputs = words(one, cut, 0, 1)._replace(
        operand=FIRST, first=0, panel=of.tiles, panels=1, channels=1, parts=cut.inputs,
        v=0, v_panel=0, v_worker=of.each, v_tile=of.v_tile, v_element=v_element,
        own=of.own_at, own_bytes=of.each, strip=0,
    )  # fmt: skip
    grads = inputs._replace(
        operand=SECOND, x_at=inputs.y_at, x_image=inputs.y_image, x_group=inputs.y_group,
        x_channel=inputs.y_channel, x_row=inputs.y_row, x_pixel=inputs.y_pixel,
        C=problem.K, H=inputs.P, W=inputs.Q, top=0, left=0, parts=cut.outputs,
        v=of.m_at, v_tile=of.m_tile, v_element=m_element,
    )  # fmt: skip
    # Streams have the elements of this kernel alone, side by side.
    taps, at, of_row, of_tap = kernel.elements, 0, kernel.sizes[-1] * cut.item, cut.item
    if of.streams == 1:
        taps, (at, of_row, of_tap) = whole.taps, taps_in_bytes(whole, kernel, cut.item)
    of_kernel = taps * cut.item
    products = GradientWords(
        problem.C, problem.K, of.tiles, 0, 0, of.v_tile, v_element,
        of.m_at, 0, of.m_tile, m_element, of.rows, 1,
        of.columns, of.column_parts, of.own_at, of.each, of.u_row, odd_lines(of.rows * of.u_row),
        problem.K * problem.C * of_kernel, of_kernel, at, of_row, of_tap, int(adds),
    )  # fmt: skip
    told = [np.array(each, np.int64) for each in (inputs, grads, products)]
    variant = (str(dtype), cut.variant)
    kernels = [("winograd", "inputs"), ("winograd", "grads"), ("winograd_gradient",)]
    told_words: list[int] = [
        *(each.ctypes.data for each in told), *map(len, told),
        *(address_of(*kernel, *variant) for kernel in kernels),
        of.number, of.streams, of.ranges, of.tiles, cut.tiles, cut.inputs, cut.outputs,
        of.vectors, cut.lanes, problem.C * of_kernel, cut.item, of.each,
        of.sums_at, partial_sums.nbytes(problem, cut.item, 2) // 2, int(adds),
        of.squares_at, of.norms_at, of.of_part,
    ]  # fmt: skip
    parts = problem.G * of.streams * of.ranges
    steps = [step(("winograd", "stream", str(dtype)), StreamWords(*told_words), parts, told)]
    if of.streams > 1:
        at, strides = _strides_of(whole, kernel)
        name, count = str(dtype), of.streams
        added = partial_sums.add_up(problem, name, count, of.sums_at, strides, first=at, adds=adds)
        steps.append(added)
    return steps


def _strides_of(problem: ConvProblem, kernel: SubKernel) -> tuple[int, Strides]:
    """Say where a kernel's elements lie among all of them, in elements."""
    shape = (problem.G, problem.K, problem.C, *problem.kernel)
    whole = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    taps = list(zip(kernel.taps, whole[3:], strict=True))
    first = sum(each.first * stride for each, stride in taps)
    return first, (*whole[:3], *(each.apart * stride for each, stride in taps))
