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
from npconv.compiled import channels, small_pooling
from npconv.compiled import sliding_words as words
from npconv.compiled.blocks import FIRST, OUT, SCRATCH
from npconv.compiled.prepared import Prepared, Step, Strides, lies_in_rows, strides_of
from npconv.compiled.sliding import Sliding, sliding
from npconv.memory import new_array
from npconv.numbers import DType
from npconv.pool_geometry import HashedOnce, Pool
from npconv.problem import Array, ConvProblem
from npconv.scratch import Scratch
from npconv.settings import current_settings

# A slice of images that is copied, or needs working arrays, takes about so many bytes: it
# stays in the second-level cache, and under any sensible workspace limit.
SLICE = 2**20
# Windows of more elements than this are not for vectors along rows.
MOST_TAPS = 1024


def why_not(pool: Pool, *dtypes: DType) -> str | None:
    """Say why it does not serve; `npconv.pooling` then takes the other engine."""
    if len(set(dtypes)) > 1 or dtypes[0].char not in "fd":
        return "its kernels are for float32 and float64"
    return _why_not(pool, dtypes[0].itemsize, current_settings().workspace_limit)


@lru_cache(maxsize=256)
def _why_not(pool: Pool, itemsize: int, limit: int) -> str | None:
    (_, c, *space), axes = pool.order, list(range(len(pool.shape)))
    if space != axes[2:] and [*space, c] != axes[1:]:
        return "images and channels lie between the axes of space"
    if 0 in (pool.shape[axis] for axis in space):
        return "windows see padding alone"
    if pool.is_global:
        return None
    taps = math.prod(window.axis.kernel for window in pool.windows)
    if taps > MOST_TAPS or math.prod(pool.shape) >= 2**31:
        return "windows or images are too large"
    x, y = (
        math.prod(shape) // max(shape[pool.order[0]], 1)
        for shape in (pool.shape, pool.output_shape)
    )
    if (x + 2 * y) * itemsize > limit:  # copied, and marks or shares
        return "an image is larger than what may be worked with"
    return None


# ---- the five -----------------------------------------------------------------------------


def largest(pool: Pool, x: Array) -> Array | None:
    """Take the largest element of every window; None where that is a reduction of NumPy's own."""
    if pool.is_global:
        return None
    if small_pooling.serves(pool, x):
        return small_pooling.largest(pool, x)
    result, y = pool.new_output(x.dtype)
    lie = _Posed.of(pool)
    to = lie.of_array(y)
    for images, seen in _slices(lie.of_array(pool.crop(x))):
        _run(lie, "max", seen, to[images])
    return result


def largest_with_places(pool: Pool, x: Array) -> tuple[Array, Array] | None:
    """Say also where it stood; None as above, or where a window found nothing above -inf."""
    if pool.is_global:
        return None
    if small_pooling.serves(pool, x):
        return small_pooling.largest_with_places(pool, x)
    result, y = pool.new_output(x.dtype)
    found, places = pool.new_output(np.dtype(np.int64))
    lie, flags = _Posed.of(pool), np.zeros(1, np.int64)
    to, where = lie.of_array(y), lie.of_array(places)
    for images, seen in _slices(lie.of_array(pool.crop(x))):
        _run(lie, "places", seen, to[images], second=where[images], flags=flags)
    return None if flags.any() else (result, found)


def largest_grad(pool: Pool, dy: Array, x: Array) -> Array | None:
    """Hand each output's gradient to the winner; None as above."""
    if pool.is_global:
        return None
    if small_pooling.serves(pool, x, dy):
        return small_pooling.largest_grad(pool, dy, x)
    result, dx = _new_grad(pool, dy.dtype)
    lie, flags = _Posed.of(pool), np.zeros(1, np.int64)
    seen, grads, dx = (lie.of_array(a) for a in (pool.crop(x), pool.view(dy), dx))
    count, scratch = max(1, SLICE // max(1, grads[:1].nbytes)), Scratch()
    for n in range(0, len(grads), count):
        images = slice(n, n + count)
        marks = scratch.array("marks", grads[images].shape, dy.dtype)
        _run(lie, "marks", _rows(seen[images]), marks, flags=flags)
        if flags.any():
            return None
        g, to = np.ascontiguousarray(grads[images]), dx[images]
        run = _won(lie, len(g), g.dtype, strides_of(g), strides_of(to), _threads())
        run.run(g, None, to, scratch=marks)
    return result


def mean(pool: Pool, x: Array, include_pad: bool) -> Array | None:
    """Take the mean of every window; None where NumPy has to."""
    if pool.is_global:
        total = channels.sums_of_images(pool.view(x))
        if total is None and x.size < channels.FEW_IN_ALL:
            with np.errstate(invalid="ignore"):  # of Inf and -Inf
                total = np.add.reduce(pool.view(x), pool.axes, np.float64)
        if total is None:
            return None
        total /= math.prod(sizes[0] for sizes in _sizes(pool, include_pad))
        result, y = pool.new_output(x.dtype)
        y[...] = total.reshape(y.shape)
        return result
    result, y = pool.new_output(x.dtype)
    lie = _Posed.of(pool, _sizes(pool, include_pad))
    to = lie.of_array(y)
    for images, seen in _slices(lie.of_array(pool.crop(x))):
        _run(lie, "mean", seen, to[images])
    return result


def mean_grad(pool: Pool, dy: Array, include_pad: bool) -> Array:
    """Share each output's gradient out among its window's elements."""
    result, dx = _new_grad(pool, dy.dtype)
    if pool.is_global:
        dx[...] = pool.view(dy) / math.prod(sizes[0] for sizes in _sizes(pool, include_pad))
        return result
    lie = _Posed.of(pool, _sizes(pool, include_pad, 1))
    grads, dx = lie.of_array(pool.view(dy)), lie.of_array(dx)
    count, scratch = max(1, SLICE // max(1, grads[:1].nbytes)), Scratch()
    for n in range(0, len(grads), count):
        g, to = _rows(grads[n : n + count]), dx[n : n + count]
        share = scratch.array("share", g.shape, g.dtype)
        run = _shares(lie, len(g), g.dtype, *map(strides_of, (g, share, to)), _threads())
        run.run(g, None, to, scratch=share)
    return result


@lru_cache(maxsize=256)
def _sizes(pool: Pool, include_pad: bool, least: int = 0) -> tuple[tuple[int, ...], ...]:
    counts = (np.maximum(window.counts(include_pad), least) for window in pool.windows)
    return tuple(tuple(axis.tolist()) for axis in counts)


# ---- how arrays lie ------------------------------------------------------------------------


class _Fields(NamedTuple):
    problem: ConvProblem  # of one image
    channels_last: bool
    sizes: tuple[tuple[int, ...], ...]  # of windows, along each axis
    places: Strides
    first: int  # the place of the first that is not cropped


class _Posed(HashedOnce, _Fields):
    """A pooling posed for vectors along the innermost axis."""

    @classmethod
    @lru_cache(maxsize=256)
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
        return cls(problem, last, sizes, tuple(places), first)

    def of_array(self, a: Array) -> Array:
        """View ``(N, C, *spatial)`` as ``(N, G, 1, *axes)``."""
        if self.channels_last:
            return np.moveaxis(a, 1, -1)[:, np.newaxis, np.newaxis]
        return a[:, :, np.newaxis]


def _slices(x: Array) -> Iterator[tuple[slice, Array]]:
    """Give images whose rows lie in one piece: all, or, where they are copied, some by some."""
    count = len(x) if lies_in_rows(x) else max(1, SLICE // max(1, x[:1].nbytes))
    for n in range(0, len(x), max(count, 1)):
        images = slice(n, n + count)
        yield images, _rows(x[images])


def _rows(x: Array) -> Array:
    return x if lies_in_rows(x) else np.ascontiguousarray(x)


def _threads() -> int:
    return current_settings().threads


def _run(
    lie: _Posed, what: str, x: Array, y: Array, second: Array | None = None,
    flags: Array | None = None,
) -> None:  # fmt: skip
    lies = x.dtype, strides_of(x), strides_of(y), _threads()
    run = _windows(lie, what, len(x), *lies)
    run.run(x, second, y, flags=flags)


# ---- preparation ---------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _windows(
    lie: _Posed, what: str, images: int, dtype: DType, x: Strides, y: Strides, threads: int
) -> Prepared:
    problem, start = lie.problem._replace(N=images), -np.inf if what != "mean" else 0.0
    found = sliding(problem, False, x, y, lie.places)
    steps = [_step(each, lie, what, dtype, FIRST, OUT, start) for each in found]
    return Prepared.of(steps, 0, threads)


@lru_cache(maxsize=256)
def _shares(
    lie: _Posed, images: int, dtype: DType, dy: Strides, share: Strides, dx: Strides, threads: int
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
    return Prepared.of(steps, 0, threads)


def _step(
    windows: Sliding, lie: _Posed, what: str, dtype: DType, source: int, target: int,
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
    return windows.step(f"pool.{what}", dtype.name, told, padding=padding)


@lru_cache(maxsize=256)
def _won(
    lie: _Posed, images: int, dtype: DType, dy: Strides, dx: Strides, threads: int
) -> Prepared:
    """Let every element look for itself among the winners of its windows."""
    turned = lie.problem._replace(N=images).turned
    nobody = np.array(-1, np.int32 if dtype == np.float32 else np.int64).view(dtype)
    steps = []
    for each in sliding(turned, True, dy, dx):
        places = lie.places if len(lie.places) > 1 else (0, *lie.places)
        outers = np.array(lie.first, np.int64)
        for size, place in zip(each.problem.out[:-2], places, strict=False):
            outers = np.add.outer(outers, np.arange(size) * place)
        told: dict[int, Any] = {
            words.PLACE_ROW: places[-2],
            words.PLACE_COLUMN: places[-1],
            words.FIRST_COLUMN: each.columns.phases[0].first,
            words.OUTER_PLACES: outers.reshape(-1),
        }
        steps.append(each.step("pool_grad", dtype.name, told, padding=nobody))
    return Prepared.of(steps, 0, threads)


def _new_grad(pool: Pool, dtype: DType) -> tuple[Array, Array]:
    """Allocate the gradient of input, with zeros where it is cropped; and its part."""
    result = new_array("the gradient of input", pool.shape, dtype)
    if any(window.axis.size < window.given for window in pool.windows):
        result[...] = 0
    return result, pool.crop(result)
