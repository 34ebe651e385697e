"""Pooling by NumPy: passes over strided slices, tiles of them shared among threads.

Seen through one kernel position, all windows together are a strided slice of the input
(`Axis.seen`). So a pooling is one pass over such a slice per kernel position, and never
a view of every window, whose reduction over two short axes is 6 to 8 times slower. Where it
need not be known which element won, axes are gone through one after the other: a window of
3x3 takes 3 + 3 passes, rows first, as their slices lie in one piece. One window that sees
everything is a reduction of NumPy's own.
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
from npconv.pool_geometry import Pool, Tile, positions
from npconv.problem import Array
from npconv.scratch import Scratch
from npconv.settings import current_settings


def largest(pool: Pool, x: Array) -> Array:
    """Take the largest element of every window."""
    result, y = pool.new_output(x.dtype)
    start, whole = _lowest(x.dtype), _sees_all(pool, x)
    seen = pool.crop(x)

    def job(at_x: Tile, at_y: Tile, axes: tuple[Axis, ...], scratch: Scratch) -> None:
        if whole:
            y[at_y] = seen[at_x].max(axis=pool.axes, keepdims=True)
            return
        with np.errstate(invalid="ignore"):  # bfloat16 warns of NaN, as NumPy's own do not
            _reduced(np.maximum, start, seen[at_x], axes, y[at_y], scratch)

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
        for code, outputs, inputs in positions(axes):
            np.copyto(
                indices[at_y][outputs],
                pool.places(at_x, inputs),
                where=winner[outputs] == code,
            )

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
        share_of = np.ascontiguousarray(grads[at_y])
        dx_tile, add = _target(pool, dx, at_x, at_y)
        # A product is 5 times faster than `where`, but 0 * Inf would be NaN.
        finite = bool(np.isfinite(share_of).all())
        for code, outputs, inputs in positions(axes):
            won, share = winner[outputs] == code, share_of[outputs]
            gained = share * won if finite else np.where(won, share, dtype.type(0))
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
    counts = [window.counts(include_pad) for window in pool.windows]

    def job(at_x: Tile, at_y: Tile, axes: tuple[Axis, ...], scratch: Scratch) -> None:
        total = scratch.array("total", y[at_y].shape, wide)
        if pool.is_global:
            np.sum(seen[at_x], axis=pool.axes, keepdims=True, dtype=wide, out=total)
        else:
            _reduced(np.add, 0, seen[at_x], axes, total, scratch)
        with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN the docstring promises
            np.divide(total, _window_sizes(counts, at_y, wide), out=total)
        y[at_y] = total

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
        _spread(share, axes, dx_tile, scratch)
        return add

    _run(pool, job)
    return result.astype(dtype, copy=False)


# ---- tiles -----------------------------------------------------------------------------------


def _run(pool: Pool, job: Callable[..., Any]) -> None:
    """Run a job for every tile."""
    scratches = [Scratch() for _ in range(current_settings().threads)]
    threads.run((partial(job, *tile) for tile in pool.tiles()), scratches)


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


# ---- passes ----------------------------------------------------------------------------------


def _reduced(
    ufunc: np.ufunc, start: Any, x: Array, axes: tuple[Axis, ...], out: Array, scratch: Scratch
) -> None:
    """Reduce all windows, axis after axis, into ``out``."""
    lead = x.ndim - len(axes)
    passes = [i for i, axis in enumerate(axes) if not axis.is_plain] or [0]
    for i in passes:
        shape = (*x.shape[: lead + i], axes[i].out, *x.shape[lead + i + 1 :])
        y = out if i == passes[-1] else scratch.array(f"pass {i}", shape, out.dtype)
        _reduced_along(ufunc, start, x, lead + i, axes[i], y)
        x = y


def _reduced_along(ufunc: np.ufunc, start: Any, x: Array, i: int, axis: Axis, out: Array) -> None:
    before = (slice(None),) * i
    seen = [axis.seen(r) for r in range(axis.kernel)]
    seen = [(p, t) for p, t in seen if t.stop > t.start]
    # Begin with a kernel element that all outputs see, if there is one.
    whole = [k for k, (p, _) in enumerate(seen) if len(range(axis.out)[p]) == axis.out]
    if whole:
        out[...] = x[(*before, seen.pop(whole[0])[1])]
    else:
        out[...] = start
    for p, t in seen:
        part = out[(*before, p)]
        ufunc(part, x[(*before, t)], out=part)


def _spread(share: Array, axes: tuple[Axis, ...], out: Array, scratch: Scratch) -> None:
    """Add to every element the shares of all windows that see it: the adjoint of sums."""
    lead = share.ndim - len(axes)
    for i in reversed(range(len(axes))):
        axis = axes[i]
        if axis.is_plain and i:
            continue
        target = out
        if any(not before.is_plain for before in axes[:i]) or i:
            shape = (*share.shape[: lead + i], axis.size, *share.shape[lead + i + 1 :])
            target = scratch.array(f"spread {i}", shape, out.dtype)
            target[...] = 0
        before = (slice(None),) * (lead + i)
        for r in range(axis.kernel):
            p, t = axis.seen(r)
            part = target[(*before, t)]
            np.add(part, share[(*before, p)], out=part)
        share = target


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

    Masked assignments would say this more simply, but take 10 times as long as the
    arithmetic here: their branches follow the data.
    """
    shape = (*x.shape[: x.ndim - len(axes)], *(axis.out for axis in axes))
    where = positions(axes)
    best = np.full(shape, _lowest(x.dtype), x.dtype)
    # 0 is the code of nobody: a window without elements.
    winner = np.zeros(shape, np.min_scalar_type(where[-1][0] if where else 0))
    has_nan = is_float(x.dtype) and bool(np.isnan(x).any())
    for code, outputs, inputs in where:
        # One strided pass to gather; all that follows then runs over contiguous memory.
        seen = np.ascontiguousarray(x[inputs])
        held, holder = best[outputs], winner[outputs]
        # Strict, so that the first of equals stays; but -inf, too, wins against nobody.
        with np.errstate(invalid="ignore"):  # bfloat16 warns of NaN, as NumPy's own do not
            wins = (seen > held) | (holder == 0)
            if has_nan:
                wins |= np.isnan(seen) & ~np.isnan(held)
            np.maximum(held, seen, out=held)
        np.maximum(holder, wins * winner.dtype.type(code), out=holder)  # codes increase
    return best, winner


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
    return np.dtype(np.float32) if dtype.name in ("float16", "bfloat16") else dtype
