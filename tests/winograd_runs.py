"""Runs of Winograd compiled, step by step, and with cuts that are not its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import npconv
from npconv.algorithms.winograd_fused import WinogradFused
from npconv.compiled import winograd, winograd_gradient, winograd_steps
from npconv.compiled.prepared import Prepared, from_a_line, strides_of
from npconv.problem import ConvProblem, Direction
from npconv.scratch import LINES
from oracle import Array

ALGORITHM = WinogradFused()
FEW = 3  # threads, of which a test's machine has hardly more


def operands(x: Any, w: Any, **options: Any) -> tuple[Array, Array, Array]:
    rng, y = np.random.default_rng(0), npconv.conv_output_shape(x, w, **options)
    a, b, c = (rng.standard_normal(shape).astype("f4") for shape in (x, w, y))
    return a, b, c


def prepared_run(
    problem: ConvProblem, direction: Direction, data: Any, threads: int, *, packed: bool
) -> tuple[Array, Array]:
    """Run prepared steps themselves; give the result and the flags."""
    return run_and_keep(problem, direction, data, threads, packed=packed)[:2]


def run_and_keep(
    problem: ConvProblem, direction: Direction, data: Any, threads: int, *, packed: bool
) -> tuple[Array, Array, Array]:
    """Give also the working memory, as it was left.

    A run for many threads is cut as for many, and done by a few.
    """
    x, w, dy = (np.ascontiguousarray(a) for a in data)
    views = problem.view_input(x), problem.view_kernel(w), problem.view_output(dy)
    flags = np.zeros(problem.N, np.int64)
    if direction is Direction.FORWARD:
        first, out = views[0], np.full_like(views[2], np.nan)
    elif direction is Direction.INPUT_GRAD:
        first, out = views[2], np.full_like(views[0], np.nan)
    else:
        first, out = views[0], np.full_like(views[1], np.nan)
    second = views[2]
    if direction is not Direction.KERNEL_GRAD:
        second = (ALGORITHM.pack if packed else ALGORITHM.bring)(problem, direction, views[1])
    here = {Direction.INPUT_GRAD: (out, first), Direction.KERNEL_GRAD: (first, second)}
    lies = [strides_of(each) for each in here.get(direction, (first, out))]
    last = strides_of(out) if direction is Direction.KERNEL_GRAD else second.shape
    made = ALGORITHM.prepare(problem, direction, x.dtype, (lies[0], lies[1], last), threads)
    assert made is not None
    # NaN, before anything is written.
    scratch = from_a_line(np.full(made.scratch + LINES, 0xFF, np.uint8))
    made = Prepared.of(made.steps, made.scratch, min(threads, FEW), judges=made.judges)
    made.run(first, second, out, None, scratch, flags)
    return out, flags, scratch


@contextmanager
def cut_otherwise(module: Any, **constants: int) -> Iterator[None]:
    """Let constants of a module differ, and forget what was prepared with either."""
    caches = winograd.tiling, winograd_steps.prepare_forward, winograd_gradient.prepare_gradient
    with pytest.MonkeyPatch.context() as patch:
        for name, value in constants.items():
            patch.setattr(module, name, value)
        for cached in caches:
            cached.cache_clear()
        try:
            yield
        finally:
            for cached in caches:
                cached.cache_clear()
