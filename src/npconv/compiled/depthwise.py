"""Depthwise convolution prepared for its kernels.

Forward and the input's gradient are one kernel, `npconv.compiled.kernels.depthwise`: the latter
is a forward convolution of dY (`ConvProblem.turned`).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from npconv.compiled import sliding_words as words
from npconv.compiled.prepared import Prepared, Step, Strides, step
from npconv.compiled.sliding import MOST_PARTS, PART, Sliding, shape_of, sliding
from npconv.problem import ConvProblem, Direction

# Bands of a channel's rows have sums of their own where there are fewer channels than this.
SUMS = 32


@lru_cache(maxsize=256)
def prepare(
    problem: ConvProblem,
    direction: Direction,
    dtype: str,
    x_strides: Strides,
    out_strides: Strides,
    threads: int,
) -> Prepared:
    """Prepare a run on arrays of these strides, counted in elements; the last is 1.

    They are those of the first operand and of the result, ``(N, G, C or K, *spatial)``; for
    the kernel's gradient those of x and dY, and the result, ``(G, K, C, *kernel)``, lies in
    one piece. Without outputs there is nothing to run, and nothing is written.
    """
    if direction is Direction.KERNEL_GRAD:
        found = sliding(problem, False, x_strides, out_strides)
        steps = [each for windows in found for each in _kernel_grad(windows, dtype)]
        room = scratch_bytes(problem, np.dtype(dtype).itemsize)
        return Prepared.of(steps, room, threads)
    turned = direction is Direction.INPUT_GRAD
    posed = problem.turned if turned else problem
    found = sliding(posed, turned, x_strides, out_strides)
    return Prepared.of([each.step("depthwise", dtype, {}) for each in found], 0, threads)


def _kernel_grad(windows: Sliding, dtype: str) -> list[Step]:
    problem = windows.problem
    planes, outers = windows.planes()
    channels, each = problem.G * problem.K, outers[0][words.END]
    bands = windows.bands(_rows_in_band(windows))
    work = windows.per_row * windows.most_rows * len(outers) // (each * len(bands)) + 1
    items, chunk = channels * each * len(bands), max(1, PART // (work * max(problem.N, 1)))
    told = {words.CHUNK: chunk, words.ITEMS: items, words.SIZE: channels * problem.taps}
    tables = {
        words.BAND_TABLE: bands,
        words.OUTER_TABLE: outers,
        words.PLANE_TABLE: planes,
        words.NOTHING: np.zeros((1, problem.size[-1]), dtype),
    }
    shape, _, _ = shape_of(windows.rows, windows.columns)
    variant = "depthwise_grad", dtype, shape
    steps = [windows.step_of(variant, told, tables, -(-items // chunk))]
    if len(bands) > 1:
        constants = [0] * (words.SIZE + 1 - words.CHUNK)
        constants[words.BANDS - words.CHUNK] = len(bands)
        constants[words.SIZE - words.CHUNK] = channels * problem.taps
        steps.append(step(("depthwise_grad", dtype, "sum"), constants, 1))
    return steps


def _pieces(problem: ConvProblem) -> int:
    """Say into how many bands of rows an image's channel is cut, each with sums of its own."""
    return -(-SUMS // max(problem.G * problem.K, 1))


def _rows_in_band(windows: Sliding) -> int:
    rows = -(-windows.most_rows // _pieces(windows.problem))
    return -(-rows // 4) * 4


def scratch_bytes(problem: ConvProblem, itemsize: int) -> int:
    """Bound what bands' sums take, in the kernel's gradient."""
    dilation = problem.axes[-2].dilation if problem.rank > 1 else 1
    bands = _pieces(problem) * min(dilation, MOST_PARTS)
    return bands * problem.G * problem.K * problem.taps * itemsize if bands > 1 else 0


def table_bytes(problem: ConvProblem, itemsize: int) -> int:
    """Bound what the tables take."""
    outers, rows = math.prod(problem.out[:-2]), math.prod(problem.out[-2:-1])
    planes = outers * problem.C * problem.taps
    return 8 * (8 * rows + 3 * outers + 5 * planes + 256) + problem.size[-1] * itemsize
