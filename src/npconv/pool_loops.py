"""Pooling by NumPy: passes over strided slices, tiles of them shared among threads.

Seen through one kernel position, all windows together are a strided slice of the input
(`Axis.seen`). So a pooling is one pass over such a slice per kernel position, and never
a view of every window, whose reduction over two short axes is 6 to 8 times slower. Where it
need not be known which element won, axes are gone through one after the other
(`npconv.pool_passes`). One window that sees everything is a reduction of NumPy's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from npconv import threads
from npconv.axis import Axis
from npconv.numbers import DType
from npconv.pool_geometry import TILE, Pool, Tile, positions
from npconv.pool_passes import is_flat, reduced, spread, sum_of_all
from npconv.problem import Array
from npconv.scratch import Scratch, lent
from npconv.settings import current_settings

# Elements that the passes of a thread go over, at the least: half as long as they take, it takes
# to wake one.
SHARED = 2**21


def largest(pool: Pool, x: Array) -> Array:
    """Take the largest element of every window."""
    result, y = pool.new_output(x.dtype)
    start, whole = _lowest(x.dtype), _sees_all(pool, x)
    flat = is_flat(pool.whole, x.dtype, doubles=True)
    seen = pool.crop(x)

    def job(at_x: Tile, at_y: Tile, axes: tuple[Axis, ...], scratch: Scratch) -> None:
        if whole:
            y[at_y] = seen[at_x].max(axis=pool.axes, keepdims=True)
            return
        with np.errstate(invalid="ignore"):  # bfloat16 warns of NaN, as NumPy's own do not
            best = reduced(np.maximum, start, seen[at_x], axes, x.dtype, scratch, flat=flat)
        y[at_y] = best

    _run(pool, job)
    return result


def largest_with_places(pool: Pool, x: Array) -> tuple[Array, Array]:
    """Take the largest element of every window, and say where it stood."""
    result, y = pool.new_output(x.dtype)
    found, indices = pool.new_output(np.dtype(np.int64))
    found[...] = -1
    seen, whole = pool.crop(x), _sees_all(pool, x)

    def job(at_x: Tile, at_y: Tile, axes: tuple[Axis, ...], _scratch: Scratch) -> None:
        if whole:
            indices[at_y], y[at_y] = _first_of_all(seen[at_x], pool)
            return
        y[at_y], winner = _winners(seen[at_x], axes)
        indices[at_y] = _places(pool, at_x, axes, winner)

    _run(pool, job)
    return result, found


def largest_grad(pool: Pool, dy: Array, x: Array) -> Array:
    """Hand each window's gradient to the element that won it."""
    dtype = dy.dtype
    result, dx = pool.new_input_grad(_wide(dtype))
    seen, grads, whole = pool.crop(x), pool.view(dy), _sees_all(pool, x)

    def job(
        at_x: Tile, at_y: Tile, axes: tuple[Axis, ...], _scratch: Scratch
    ) -> Callable[[], None]:
        if whole:
            place, _ = _first_of_all(seen[at_x], pool)
            flat = np.zeros((*place.shape[:2], math.prod(pool.space)), dx.dtype)
            np.put_along_axis(flat, place.reshape(*place.shape[:2], 1),
                              grads[at_y].reshape(*place.shape[:2], 1), -1)  # fmt: skip
            dx[at_x] = flat.reshape(dx[at_x].shape)
            return _nothing
        _, winner = _winners(seen[at_x], axes)
        share = np.ascontiguousarray(grads[at_y])
        dx_tile, add = _target(pool, dx, at_x, at_y)
        # A product is 5 times faster than `where`, but 0 * Inf would be NaN.
        finite = bool(np.isfinite(share).all())
        for code, outputs, inputs in positions(axes):
            won, here = winner[outputs] == code, share[outputs]
            gained = here * won if finite else np.where(won, here, dtype.type(0))
            part = dx_tile[inputs]
            np.add(part, gained, out=part)
        return add

    _run(pool, job)
    return result.astype(dtype, copy=False)


def mean(pool: Pool, x: Array, include_pad: bool) -> Array:
    """Take the mean of every window."""
    dtype = mean_dtype(x.dtype)
    result, y = pool.new_output(dtype)
    seen, wide = pool.crop(x), _wide(dtype)
    flat = is_flat(pool.whole, wide, doubles=False)
    counts = [window.counts(include_pad) for window in pool.windows]

    def job(at_x: Tile, at_y: Tile, axes: tuple[Axis, ...], scratch: Scratch) -> None:
        if pool.is_global:
            total = sum_of_all(seen[at_x], pool.axes, wide)
        else:  # a pad of -0.0 leaves every sum as it is
            total = reduced(np.add, -0.0, seen[at_x], axes, wide, scratch, flat=flat)
        place = y[at_y]
        with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN the docstring promises
            sizes = _window_sizes(counts, at_y, wide)
            if dtype == wide:
                np.divide(total, sizes, out=place)
            else:
                place[...] = total / sizes

    _run(pool, job)
    return result


def mean_grad(pool: Pool, dy: Array, include_pad: bool) -> Array:
    """Share each window's gradient out among its elements."""
    dtype = mean_dtype(dy.dtype)
    result, dx = pool.new_input_grad(_wide(dtype))
    grads = pool.view(dy)
    # A window without elements has no one to share with; 1 spares it a division by 0.
    counts = [np.maximum(window.counts(include_pad), 1) for window in pool.windows]

    def job(at_x: Tile, at_y: Tile, axes: tuple[Axis, ...], scratch: Scratch) -> Callable[[], None]:
        share = scratch.array("share", grads[at_y].shape, dx.dtype)
        np.divide(grads[at_y], _window_sizes(counts, at_y, dx.dtype), out=share)
        dx_tile, add = _target(pool, dx, at_x, at_y)
        if pool.is_global:
            dx_tile[...] = share
            return add
        spread(share, axes, dx_tile, scratch)
        return add

    _run(pool, job)
    return result.astype(dtype, copy=False)


# ---- tiles -----------------------------------------------------------------------------------


def _run(pool: Pool, job: Callable[..., Any]) -> None:
    """Run a job for every tile, on as many threads as there is work for."""
    settings = current_settings()
    number = min(settings.threads, max(1, pool.work // SHARED))
    with lent(number, number * 4 * TILE * 8, settings.workspace_limit) as scratches:
        threads.run((partial(job, *tile) for tile in pool.tiles()), scratches, multiply=False)


def _nothing() -> None:
    """Add nothing: the tile was alone in what it wrote to."""


def _target(pool: Pool, dx: Array, at_x: Tile, at_y: Tile) -> tuple[Array, Callable[[], None]]:
    """Give what a tile adds to, and what is to be done in the tiles' order.

    Tiles of one image share the rows between them.
    """
    rows = at_y[2]
    if rows.stop - rows.start == pool.out[0]:
        return dx[at_x], _nothing
    part = np.zeros(dx[at_x].shape, dx.dtype)

    def add() -> None:
        dx[at_x] += part

    return part, add


def _sees_all(pool: Pool, x: Array) -> bool:
    return pool.is_global and x.dtype.kind != "V"  # bfloat16's NaN does not win


def _first_of_all(x: Array, pool: Pool) -> tuple[Array, Array]:
    """Find the place and the value of the largest of all: of equals the first, NaN over all."""
    flat = x.reshape(*x.shape[:2], -1)
    place = flat.argmax(axis=-1, keepdims=True)
    best, one = np.take_along_axis(flat, place, -1), (*x.shape[:2], *(1,) * pool.rank)
    return place.reshape(one), best.reshape(one)


def _winners(x: Array, axes: tuple[Axis, ...]) -> tuple[Array, Array]:
    """Find the maximum of every window, and the code of the kernel position that saw it.

    Codes count the kernel positions in C order from 1; 0 is the code of nobody. Axis after
    axis, where that is less to do; the last one first, so that rows are compared by the first
    winner in each.
    """
    kind = np.min_scalar_type(math.prod(axis.kernel for axis in axes))
    has_nan = is_float(x.dtype) and bool(np.isnan(x).any())
    lead, codes, winner = x.ndim - len(axes), 1, np.ones((1,) * x.ndim, kind)
    if _at_once_is_less(axes):
        shape = (*x.shape[:lead], *(axis.out for axis in axes))
        seen = [(code - 1, p, t) for code, p, t in positions(axes)]
        return _winners_among(x, winner, shape, seen, has_nan=has_nan)
    winner = np.broadcast_to(winner, x.shape)
    for i in reversed(range(len(axes))):
        axis, before = axes[i], (slice(None),) * (lead + i)
        shape = (*x.shape[: lead + i], axis.out, *x.shape[lead + i + 1 :])
        each = [(r * codes, *axis.seen(r)) for r in range(axis.kernel)]
        seen = [(code, (*before, p), (*before, t)) for code, p, t in each]
        x, winner = _winners_among(x, winner, shape, seen, has_nan=has_nan)
        codes *= axis.kernel
    return x, winner


def _at_once_is_less(axes: tuple[Axis, ...]) -> bool:
    at_once = math.prod(axis.kernel * axis.out for axis in axes)
    one_by_one = sum(
        math.prod(axis.size for axis in axes[:i])
        * axes[i].kernel
        * math.prod(axis.out for axis in axes[i:])
        for i in range(len(axes))
    )
    return at_once <= one_by_one


def _winners_among(
    x: Array,
    inner: Array,
    shape: tuple[int, ...],
    seen: Sequence[tuple[int, Any, Any]],
    *,
    has_nan: bool,
) -> tuple[Array, Array]:
    """Find who wins of those whose codes are in ``inner``, moved on by each position's.

    Masked assignments would say this more simply, but take 10 times as long as the
    arithmetic here: their branches follow the data.
    """
    best, winner = np.full(shape, _lowest(x.dtype), x.dtype), np.zeros(shape, inner.dtype)
    all_same = inner.shape != x.shape  # not winners of another axis, of which there may be one
    for more, outputs, inputs in seen:
        # One strided pass to gather; all that follows then runs over contiguous memory.
        candidate = np.ascontiguousarray(x[inputs])
        held, holder = best[outputs], winner[outputs]
        # Strict, so that the first of equals stays; but -inf, too, wins against nobody.
        with np.errstate(invalid="ignore"):  # bfloat16 warns of NaN, as NumPy's own do not
            wins = (candidate > held) | (holder == 0)
            if has_nan:
                wins |= np.isnan(candidate) & ~np.isnan(held)
            np.maximum(held, candidate, out=held)
        if all_same:
            code = wins * inner.dtype.type(more + 1)
        else:
            code = inner[inputs]
            wins &= code != 0
            code = (code + inner.dtype.type(more)) * wins
        np.maximum(holder, code, out=holder)  # codes increase
    return best, winner


def _places(pool: Pool, at_x: Tile, axes: tuple[Axis, ...], winner: Array) -> Array:
    """Say where winners stand in their image: that of the window, and of the code in it."""
    tiles = zip(at_x[2:], pool.windows, strict=True)
    places = _flat(winner, axes, pool.space, [t.start + window.crop for t, window in tiles])
    places[winner == 0] = -1
    return places


def _flat(
    winner: Array, axes: tuple[Axis, ...], space: Sequence[int], first: Sequence[int]
) -> Array:
    """Count winners' places in ``space``, where the axes begin at ``first``."""
    code_at, begin = np.zeros(1, np.int64), np.zeros(1, np.int64)
    for i, axis in enumerate(axes):
        apart = math.prod(space[i + 1 :])
        windows = np.arange(axis.out) * axis.stride - axis.low + first[i]
        begin = np.add.outer(begin, windows * apart)
        code_at = np.add.outer(code_at, np.arange(axis.kernel) * axis.dilation * apart)
    places: Array = code_at.reshape(-1)[winner.astype(np.intp) - 1]
    places += begin[0]
    return places


def _window_sizes(counts: Sequence[Array], at_y: Tile, dtype: DType) -> Array:
    """Multiply the counts per axis to the divisors of a tile's windows."""
    sizes: Array = np.ones((), dtype)
    for axis_counts, outputs in zip(counts, at_y[2:], strict=True):
        sizes = sizes[..., None] * axis_counts[outputs].astype(dtype)
    return sizes


# ---- dtypes ----------------------------------------------------------------------------------


def is_float(dtype: DType) -> bool:
    """Whether it holds fractions; bfloat16's kind is V, of extensions."""
    return dtype.kind == "f" or dtype.name == "bfloat16"


def _lowest(dtype: DType) -> Any:
    """Where a maximum starts from."""
    if is_float(dtype):
        return -np.inf
    return False if dtype.kind == "b" else np.iinfo(dtype).min


def mean_dtype(dtype: DType) -> DType:
    """Say in which dtype means are given."""
    return dtype if is_float(dtype) else np.dtype(np.float64)


def _wide(dtype: DType) -> DType:
    """Choose the dtype sums are formed in."""
    small = dtype.itemsize == 2 and dtype.name in ("float16", "bfloat16")
    return np.dtype(np.float32) if small else dtype
