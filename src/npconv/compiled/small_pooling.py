"""Max pooling of small images by the compiled engine: see its kernel, `small_pool`."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from npconv.compiled.prepared import Prepared, step
from npconv.memory import new_array
from npconv.numbers import DType
from npconv.pool_geometry import Index, Pool, positions
from npconv.problem import Array
from npconv.settings import current_settings

# Rows of so many outputs fill vectors by themselves.
WIDE = 16
# Elements of the largest image, entries of the largest table, and outputs that a table holds if
# there are enough.
MOST_ELEMENTS, MOST_ENTRIES, TOGETHER = 2**16, 2**14, 128
# Elements of a part of the work, some microseconds; fewer are not worth a second thread.
PART, FEW_FOR_TWO = 2**13, 2**15


def serves(pool: Pool, *arrays: Array) -> bool:
    """Whether the images are small enough, and lie in one piece."""
    return _serves(pool) and all(a.flags.c_contiguous and a.flags.aligned for a in arrays)


@lru_cache(maxsize=256)
def _serves(pool: Pool) -> bool:
    taps = math.prod(window.axis.kernel for window in pool.windows)
    return (
        pool.order == tuple(range(len(pool.shape)))
        and pool.out[-1] < WIDE
        and math.prod(pool.space) <= MOST_ELEMENTS
        and math.prod(pool.out) * taps <= MOST_ENTRIES
    )


def largest(pool: Pool, x: Array) -> Array:
    """Take the largest element of every window."""
    y = new_array("the output", pool.output_shape, x.dtype)
    _run(pool, "max", x.dtype, current_settings().threads).run(x, None, y)
    return y


def largest_with_places(pool: Pool, x: Array) -> tuple[Array, Array] | None:
    """Say also where it stood; None where a window found nothing above -inf."""
    y = new_array("the output", pool.output_shape, x.dtype)
    places, flags = np.empty(pool.output_shape, np.int64), np.zeros(1, np.int64)
    run = _run(pool, "places", x.dtype, current_settings().threads)
    run.run(x, places, y, flags=flags)
    return None if flags[0] else (y, places)


def largest_grad(pool: Pool, dy: Array, x: Array) -> Array | None:
    """Hand each output's gradient to the winner; None where a window had none above -inf."""
    dx = new_array("the gradient of input", pool.shape, dy.dtype)
    flags = np.zeros(1, np.int64)
    run = _run(pool, "grad", x.dtype, current_settings().threads)
    run.run(x, dy, dx, flags=flags)
    return None if flags[0] else dx


@lru_cache(maxsize=256)
def _run(pool: Pool, what: str, dtype: DType, threads: int) -> Prepared:
    size, outputs, planes = math.prod(pool.space), math.prod(pool.out), math.prod(pool.shape[:2])
    together = max(1, TOGETHER // max(outputs, 1))
    seen = _seen(pool)
    # A row for each element of a window, and a vector more; the planes one after the other.
    length = together * outputs + 64 // 4
    table = np.full((len(seen), length), -1, np.int32)
    starts = np.repeat(np.arange(together, dtype=np.int32) * size, outputs)
    for row, places in zip(table, seen, strict=True):
        many = np.tile(places.reshape(-1), together)
        row[: len(starts)] = np.where(many < 0, -1, many + starts)
    starts = np.concatenate([starts, np.zeros(64 // 4, np.int32)])
    chunk = together * max(1, PART // (together * max(size, 1)))
    parts = -(-planes // chunk) if size and outputs else 0
    words = (planes, chunk, together, size, outputs, len(seen), length)
    tables = (table.ctypes.data, starts.ctypes.data)
    one = step(("small_pool", what, dtype.name), (*words, *tables), parts, (table, starts))
    return Prepared.of((one,), 0, threads if planes * size >= FEW_FOR_TWO else 1)


def _seen(pool: Pool) -> list[Array]:
    """List the places that outputs see through each element of the windows, -1 for none."""
    every = np.arange(math.prod(pool.space), dtype=np.int32).reshape(1, 1, *pool.space)
    cut: Index = (..., *(slice(w.crop, w.crop + w.axis.size) for w in pool.windows))
    places, found = every[cut], []
    for _, outputs, inputs in positions(tuple(window.axis for window in pool.windows)):
        seen = np.full((1, 1, *pool.out), -1, np.int32)
        seen[outputs] = places[inputs]
        found.append(seen)
    return found
