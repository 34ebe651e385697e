"""The kernel's gradient by Winograd's filtering, prepared: chunk by chunk of tiles."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from npconv.algorithms.protocol import DType
from npconv.compiled.blocks import FIRST, SECOND
from npconv.compiled.prepared import Prepared, Step, Strides, step
from npconv.compiled.winograd import Tiling, odd_lines, slices, tiling, whole_lines, words
from npconv.compiled.winograd_steps import check_words
from npconv.compiled.winograd_words import GradientWords, Words
from npconv.problem import ConvProblem

# Transformed inputs and gradients of a chunk should stay in the second cache; but fewer tiles
# would not be worth transforming their sums back, as long as they stay in the third.
CHUNK_BYTES, FEW_TILES, MOST_BYTES = 5 * 2**18, 64, 5 * 2**20
# Output channels, and vectors of input channels, of one part: at most.
ROWS, COLUMNS = 28, 4


class Chunks(NamedTuple):
    """How a kernel's gradient is cut; sizes in bytes."""

    tiles: int
    number: int
    v_tile: int
    m_tile: int
    rows: int
    row_parts: int
    columns: int
    column_parts: int
    u_row: int
    own: int  # of each thread
    total: int


def chunks(problem: ConvProblem, cut: Tiling, threads: int) -> Chunks:
    """Cut; what is summed in which order depends on the problem alone."""
    nbytes, G = cut.lanes * cut.item, problem.G
    v_tile, m_tile = (odd_lines(n * nbytes) for n in (cut.inputs, cut.outputs))
    tile = G * cut.elements * (v_tile + m_tile)
    most = max(1, CHUNK_BYTES // tile, min(FEW_TILES, MOST_BYTES // tile))
    count = max(1, -(-cut.tiles // most))
    tiles = -(-cut.tiles // count)
    columns = max(1, min(COLUMNS, cut.inputs))
    column_parts = -(-cut.inputs // columns)
    # Each thread gets as many parts.
    row_parts = -(-problem.K // ROWS)
    if row_parts * column_parts * G < 8 * threads:
        row_parts = min(-(-row_parts // threads) * threads, max(1, problem.K // 8))
    rows = max(1, -(-problem.K // max(1, row_parts)))
    u_row = odd_lines(columns * nbytes)
    own = whole_lines(max(cut.elements * odd_lines(rows * u_row), cut.strip))
    kept = G * cut.elements * (odd_lines(tiles * v_tile) + odd_lines(tiles * m_tile))
    total = whole_lines(kept) + threads * own
    return Chunks(
        tiles, count, v_tile, m_tile, rows, row_parts, columns, column_parts, u_row, own, total
    )


@lru_cache(maxsize=1024)
def prepare_gradient(
    problem: ConvProblem, dtype: DType, x: Strides, dy: Strides, threads: int, adds: bool
) -> Prepared:
    """Prepare the kernel's gradient, which is added to what is there, or written."""
    cut = tiling(problem, dtype)
    of = chunks(problem, cut, threads)
    steps: list[Step] = []
    for one in slices(problem, x, dy):
        inputs = words(problem, cut, x, dy, 0, threads, one)
        for i in range(of.number):
            steps += _chunk(problem, cut, of, inputs, i, adds or bool(steps), dtype)
        check = check_words(problem, cut, x, dy, one)
        steps.append(step(("winograd_check", "gradient", str(dtype)), check, problem.G))
    return Prepared(tuple(steps), of.total, threads)


def _chunk(
    problem: ConvProblem, cut: Tiling, of: Chunks, inputs: Words,
    i: int, adds: bool, dtype: DType,
) -> list[Step]:  # fmt: skip
    """Transform both operands of a chunk, then multiply and transform back."""
    v_element, m_element = odd_lines(of.tiles * of.v_tile), odd_lines(of.tiles * of.m_tile)
    v_group, m_group = cut.elements * v_element, cut.elements * m_element
    m = problem.G * v_group
    own = whole_lines(m + problem.G * m_group)
    here = min(of.tiles, cut.tiles - i * of.tiles)
    inputs = inputs._replace(
        operand=FIRST, first=i * of.tiles, panel=of.tiles, panels=1, channels=1, parts=cut.inputs,
        v=0, v_panel=v_group, v_worker=0, v_tile=of.v_tile, v_element=v_element,
        own=own, own_bytes=of.own, strip=0,
    )  # fmt: skip
    grads = inputs._replace(
        operand=SECOND, x_at=inputs.y_at, x_image=inputs.y_image, x_group=inputs.y_group,
        x_channel=inputs.y_channel, x_row=inputs.y_row,
        C=problem.K, H=inputs.P, W=inputs.Q, top=0, left=0, parts=cut.outputs,
        v=m, v_panel=m_group, v_tile=of.m_tile, v_element=m_element,
    )  # fmt: skip
    made = GradientWords(
        problem.C, problem.K, here, 0, v_group, of.v_tile, v_element,
        m, m_group, of.m_tile, m_element, of.rows, of.row_parts,
        of.columns, of.column_parts, own, of.own, of.u_row, odd_lines(of.rows * of.u_row),
        problem.K * problem.C * problem.taps * cut.item, int(adds),
    )  # fmt: skip
    variant, parts = (str(dtype), cut.variant), problem.G * of.row_parts * of.column_parts
    return [
        step(("winograd", "transform", *variant), inputs, problem.G * cut.inputs),
        step(("winograd", "grads", *variant), grads, problem.G * cut.outputs),
        step(("winograd_gradient", *variant), made, parts),
    ]
