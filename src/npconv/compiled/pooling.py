"""Pooling by the compiled engine: the same answers as `npconv.pool_loops`, for its two dtypes.

Windows slide along the axis that is innermost in memory: the last of space, or, where they
are innermost, the channels, through windows of one element.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from npconv.axis import Axis
from npconv.compiled import words
from npconv.compiled.blocks import FIRST, OUT, SCRATCH
from npconv.compiled.prepared import Prepared, Step, Strides, address, strides_of
from npconv.compiled.sliding import Sliding, sliding, with_tables
from npconv.memory import new_array
from npconv.numbers import DType
from npconv.pool_geometry import Pool
from npconv.problem import Array, ConvProblem
from npconv.settings import current_settings

# A slice of images that is copied, or needs working arrays, takes about so many bytes: it
# stays in the second-level cache, and under any sensible workspace limit.
SLICE = 2**20
# Windows of more elements than this are not for vectors along rows.
MOST_TAPS = 1024


def why_not(pool: Pool, *dtypes: DType) -> str | None:
    """Say why it does not serve; `npconv.pooling` then takes the other engine."""
    if any(dtype not in (np.float32, np.float64) for dtype in dtypes) or len(set(dtypes)) > 1:
        return "its kernels are for float32 and float64"
    (_, c, *space), axes = pool.order, list(range(len(pool.shape)))
    if space != axes[2:] and [*space, c] != axes[1:]:
        return "images and channels lie between the axes of space"
    taps = math.prod(window.axis.kernel for window in pool.windows)
    if taps > MOST_TAPS or math.prod(pool.shape) >= 2**31:
        return "windows or images are too large"
    one = math.prod(pool.output_shape) // max(pool.shape[pool.order[0]], 1)
    if 16 * one * dtypes[0].itemsize > current_settings().workspace_limit:
        return "an image is larger than what may be worked with"
    return None


# ---- the five -----------------------------------------------------------------------------


def largest(pool: Pool, x: Array) -> Array:
    """Take the largest element of every window."""
    result, y = pool.new_output(x.dtype)
    lie = _Posed.of(pool)
    to = lie.of_array(y)
    for images, seen in _slices(lie.of_array(pool.crop(x))):
        _run(lie, "max", seen, to[images])
    return result


def largest_with_places(pool: Pool, x: Array) -> tuple[Array, Array] | None:
    """Say also where it stood; None where a window found nothing above -inf."""
    result, y = pool.new_output(x.dtype)
    found, places = pool.new_output(np.dtype(np.int64))
    lie, flags = _Posed.of(pool), np.zeros(1, np.int64)
    to, where = lie.of_array(y), lie.of_array(places)
    for images, seen in _slices(lie.of_array(pool.crop(x))):
        _run(lie, "places", seen, to[images], second=where[images], flags=flags)
    return None if flags.any() else (result, found)


def largest_grad(pool: Pool, dy: Array, x: Array) -> Array | None:
    """Hand each output's gradient to the winner; None where a window had none above -inf."""
    result = new_array("the gradient of input", pool.shape, dy.dtype)
    lie, flags = _Posed.of(pool), np.zeros(1, np.int64)
    seen, grads, dx = (lie.of_array(a) for a in (pool.crop(x), pool.view(dy), pool.view(result)))
    count = max(1, SLICE // max(1, grads[:1].nbytes))
    for n in range(0, len(grads), count):
        images = slice(n, n + count)
        y = np.empty(grads[images].shape, dy.dtype)
        places = np.empty(y.shape, np.int64)
        _run(lie, "places", _rows(seen[images]), y, second=places, flags=flags)
        if flags.any():
            return None
        g, to = np.ascontiguousarray(grads[images]), dx[images]
        run = _scatter(lie, len(g), g.dtype.name, strides_of(g), strides_of(to), _threads())
        run.run(g, places, to, None)
    return result


def mean(pool: Pool, x: Array, include_pad: bool) -> Array:
    """Take the mean of every window."""
    result, y = pool.new_output(x.dtype)
    lie = _Posed.of(pool, tuple(tuple(w.counts(include_pad)) for w in pool.windows))
    to = lie.of_array(y)
    for images, seen in _slices(lie.of_array(pool.crop(x))):
        _run(lie, "mean", seen, to[images])
    return result


def mean_grad(pool: Pool, dy: Array, include_pad: bool) -> Array:
    """Share each output's gradient out among its window's elements."""
    result = new_array("the gradient of input", pool.shape, dy.dtype)
    if any(window.axis.size < size for window, size in zip(pool.windows, pool.space, strict=True)):
        result[...] = 0
    sizes = tuple(tuple(np.maximum(w.counts(include_pad), 1)) for w in pool.windows)
    lie = _Posed.of(pool, sizes)
    grads, dx = lie.of_array(pool.view(dy)), lie.of_array(pool.crop(result))
    count = max(1, SLICE // max(1, grads[:1].nbytes))
    for n in range(0, len(grads), count):
        g, to = _rows(grads[n : n + count]), dx[n : n + count]
        share = np.empty(g.shape, g.dtype)
        run = _shares(lie, len(g), g.dtype.name, *map(strides_of, (g, share, to)), _threads())
        run.run(g, None, to, None, address(share))
    return result


# ---- how arrays lie ------------------------------------------------------------------------


class _Posed(NamedTuple):
    """A pooling posed for vectors along the innermost axis."""

    problem: ConvProblem  # of one image
    channels_last: bool
    sizes: tuple[tuple[int, ...], ...]  # of windows, along each axis
    places: Strides
    first: int  # the place of the first that is not cropped
    elements: int  # of one image's group, what is cropped included

    @classmethod
    def of(cls, pool: Pool, sizes: tuple[tuple[int, ...], ...] = ()) -> _Posed:
        axes, C = tuple(window.axis for window in pool.windows), pool.shape[pool.order[1]]
        sizes = sizes or tuple((1,) * axis.out for axis in axes)
        last = pool.order[1] == len(pool.shape) - 1
        space = pool.space
        places = [math.prod(space[i + 1 :]) for i in range(len(space))]
        first = sum(w.crop * place for w, place in zip(pool.windows, places, strict=True))
        if last:
            axes, sizes, places = (*axes, Axis(C, 1)), (*sizes, (1,) * C), [*places, 0]
        problem = ConvProblem(1, 1, 1, axes, groups=1 if last else C)
        elements = math.prod(space) * (C if last else 1)
        return cls(problem, last, sizes, tuple(places), first, elements)

    def of_array(self, a: Array) -> Array:
        """View ``(N, C, *spatial)`` as ``(N, G, 1, *axes)``."""
        if self.channels_last:
            return np.moveaxis(a, 1, -1)[:, np.newaxis, np.newaxis]
        return a[:, :, np.newaxis]


def _slices(x: Array) -> Iterator[tuple[slice, Array]]:
    """Give images whose rows lie in one piece: all, or, where they are copied, some by some."""
    count = len(x) if _lies_in_rows(x) else max(1, SLICE // max(1, x[:1].nbytes))
    for n in range(0, len(x), max(count, 1)):
        images = slice(n, n + count)
        yield images, _rows(x[images])


def _rows(x: Array) -> Array:
    return x if _lies_in_rows(x) else np.ascontiguousarray(x)


def _lies_in_rows(x: Array) -> bool:
    item = x.dtype.itemsize
    whole = not any(stride % item for stride in x.strides)
    return whole and x.strides[-1] == item and x.flags.aligned


def _threads() -> int:
    return current_settings().threads


def _run(
    lie: _Posed, what: str, x: Array, y: Array, second: Array | None = None,
    flags: Array | None = None,
) -> None:  # fmt: skip
    lies = x.dtype.name, strides_of(x), strides_of(y), _threads()
    run = _windows(lie, what, len(x), *lies)
    run.run(x, second, y, None, 0, address(flags))


# ---- preparation ---------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _windows(
    lie: _Posed, what: str, images: int, dtype: str, x: Strides, y: Strides, threads: int
) -> Prepared:
    problem, start = lie.problem._replace(N=images), -np.inf if what != "mean" else 0.0
    found = sliding(problem, False, x, y, lie.places)
    steps = [_step(each, lie, what, dtype, FIRST, OUT, start) for each in found]
    return Prepared(tuple(steps), 0, threads)


@lru_cache(maxsize=256)
def _shares(
    lie: _Posed, images: int, dtype: str, dy: Strides, share: Strides, dx: Strides, threads: int
) -> Prepared:
    """Divide by windows' sizes, then add up: a convolution with ones, turned round."""
    problem = lie.problem._replace(N=images)
    alone = problem._replace(axes=tuple(Axis(axis.out, 1) for axis in problem.axes))
    steps = [
        _step(each, lie, "mean", dtype, FIRST, SCRATCH) for each in sliding(alone, False, dy, share)
    ]
    steps += [
        _step(each, lie, "sum", dtype, SCRATCH, OUT)
        for each in sliding(problem.turned, True, share, dx)
    ]
    return Prepared(tuple(steps), 0, threads)


def _step(
    windows: Sliding, lie: _Posed, what: str, dtype: str, source: int, target: int,
    padding: float = 0.0,
) -> Step:  # fmt: skip
    *outer, rows, columns = lie.sizes if len(lie.sizes) > 1 else ((1,), *lie.sizes)
    places = lie.places if len(lie.places) > 1 else (0, *lie.places)
    outers: Array = np.ones((), dtype)
    for sizes in outer:
        outers = np.multiply.outer(outers, np.array(sizes, dtype))
    more = np.ones(64 // 4, dtype)  # a vector's load may begin with the last column
    if what == "sum":
        outers = np.ones(math.prod(windows.problem.out[:-2]), dtype)
    told: dict[int, Any] = {
        words.PLACE_FIRST: lie.first,
        words.PLACE_ROW: places[-2],
        words.PLACE_COLUMN: places[-1],
        words.SOURCE: source,
        words.TARGET: target,
        words.OUTER_SIZES: outers.reshape(-1),
        words.ROW_SIZES: np.array(rows, dtype),
        words.COLUMN_SIZES: np.concatenate([np.array(columns, dtype), more]),
    }
    return windows.step(f"pool.{what}", dtype, told, padding=padding)


@lru_cache(maxsize=256)
def _scatter(
    lie: _Posed, images: int, dtype: str, dy: Strides, dx: Strides, threads: int
) -> Prepared:
    problem = lie.problem
    out = problem.out if problem.rank > 1 else (1, *problem.out)
    outer, pitch = out[:-2], dy[-2] if problem.rank > 1 else 0
    outers = [
        [sum(p * stride for p, stride in zip(place, dy[3:], strict=False)), 0, 0]
        for place in np.ndindex(outer)
    ]
    told = {
        words.G: problem.G, words.OUTERS: len(outers),
        words.X_N: dx[0], words.X_G: dx[1], words.X_PITCH: pitch,
        words.Y_N: dy[0], words.Y_G: dy[1], words.ROWS: out[-2], words.OUT_WIDTH: out[-1],
        words.OUT_STEP: out[-1] if lie.channels_last else 1, words.IMAGE: lie.elements,
    }  # fmt: skip
    tables = {words.OUTER_TABLE: outers}
    made = with_tables(("pool_grad", dtype), told, tables, images * problem.G)
    return Prepared((made,), 0, threads)
