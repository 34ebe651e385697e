"""Passes over all windows together: one for each kernel position, axis after axis.

A window of 3x3 takes 3 + 3 passes, rows first. There are two ways to take them, which differ
in what a pass goes over:

- in steps: a strided slice, through which one kernel position is seen. It holds no more than is
  wanted, but breaks off after each row, and NumPy's loops over numbers apart have no vectors.
- flat: all there is, as one run of memory, and the same run shifted by a kernel position. Of
  what comes out, outputs are picked in the end. Runs that reach from one row into the next
  give numbers nobody asked for; a number costs a fifth of what it costs in steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from npconv.axis import Axis
from npconv.numbers import DType
from npconv.pool_geometry import Index
from npconv.problem import Array
from npconv.scratch import Scratch

# Nanoseconds that a number takes in a run of float32, apart from its neighbours, and more for
# the begin of each run: their ratios decide.
IN_A_RUN, APART, BEGIN = 0.12, 0.8, 16
# Up to so many elements, `einsum` adds up with no more round-offs than `sum`, which begins anew
# in each piece of 128 of them, and takes a quarter of the time.
FEW = 128


def reduced(
    ufunc: np.ufunc,
    start: Any,
    x: Array,
    axes: tuple[Axis, ...],
    dtype: DType,
    scratch: Scratch,
    *,
    flat: bool,
) -> Array:
    """Reduce all windows of ``x (N, C, *size)``; what is returned may lie in scratch, or in ``x``.

    ``start`` is what changes nothing: padding counts as that.
    """
    way = _flat if flat else _in_steps
    return way(ufunc, start, x, axes, dtype, scratch)


@lru_cache(maxsize=256)
def is_flat(axes: tuple[Axis, ...], dtype: DType, *, doubles: bool) -> bool:
    """Say which way takes less: see `_windows` for what doubles.

    NumPy has no vectors for float16 and bfloat16.
    """
    if dtype.kind == "V" or dtype == np.float16:
        return False
    padded, pads = [axis.padded for axis in axes], any(axis.low or axis.high for axis in axes)
    out = [axis.out for axis in axes]
    rows, number = math.prod(out[:-1]), math.prod(padded)
    passes = [(axis.kernel - 1).bit_length() if doubles else axis.kernel - 1 for axis in axes]
    flat = sum(passes) * number * IN_A_RUN
    flat += rows * BEGIN + math.prod(out) * APART / 2
    flat += number * IN_A_RUN + number / padded[-1] * BEGIN if pads else 0.0
    steps = 0.0
    for i, axis in enumerate(axes):
        if axis.is_plain:
            continue
        is_last = i == len(axes) - 1
        run = out[-1] if is_last else math.prod(axis.size for axis in axes[i + 1 :])
        runs = math.prod(out[: i if is_last else i + 1])
        each = APART if is_last and axis.stride > 1 else IN_A_RUN
        steps += axis.kernel * runs * (BEGIN + run * each)
    return flat < steps


def _flat(
    ufunc: np.ufunc, start: Any, x: Array, axes: tuple[Axis, ...], dtype: DType, scratch: Scratch
) -> Array:
    x = _padded(start, x, axes, dtype, scratch)
    lead, size = x.shape[: x.ndim - len(axes)], x.shape[x.ndim - len(axes) :]
    run = x.reshape(-1)
    pitches = [math.prod(size[i + 1 :]) for i in range(len(axes))]
    spare = [scratch.array(f"run {i}", run.shape, dtype) for i in range(2)]
    for axis, pitch in zip(axes, pitches, strict=True):
        run = _windows(ufunc, run, axis.kernel, axis.dilation * pitch, spare)
    first = sum(max(0, -axis.low) * pitch for axis, pitch in zip(axes, pitches, strict=True))
    steps = [axis.stride * pitch for axis, pitch in zip(axes, pitches, strict=True)]
    leads = [math.prod((*lead[i + 1 :], *size)) for i in range(len(lead))]
    return np.ndarray(
        (*lead, *(axis.out for axis in axes)),
        dtype,
        run,
        first * dtype.itemsize,
        [step * dtype.itemsize for step in (*leads, *steps)],
    )


def _windows(ufunc: np.ufunc, run: Array, kernel: int, apart: int, spare: list[Array]) -> Array:
    """Reduce the windows that begin at each element of a run, of elements so far apart.

    A maximum may see an element twice: so its windows double. ``run`` is not ``spare[0]``, then
    or in the end.
    """
    seen, y, doubles = 1, run, ufunc is np.maximum
    while seen < kernel:
        more = min(seen, kernel - seen) if doubles else 1
        length = run.size - (seen + more - 1) * apart
        other = y[more * apart :] if doubles else run[seen * apart :]
        here = y[:length]
        if doubles or y is run:
            here = spare[0][:length]
            spare.reverse()
        ufunc(y[:length], other[:length], out=here)
        y, seen = here, seen + more
    return y


def _padded(start: Any, x: Array, axes: Sequence[Axis], dtype: DType, scratch: Scratch) -> Array:
    """Give ``x`` with its pads as one run of memory: itself, where it lies so."""
    pads = [(max(axis.low, 0), max(axis.high, 0)) for axis in axes]
    has_pads = any(low or high for low, high in pads)
    if not has_pads and x.dtype == dtype and x.flags.c_contiguous:
        return x
    lead, size = x.shape[: x.ndim - len(axes)], x.shape[x.ndim - len(axes) :]
    sizes = [low + n + high for n, (low, high) in zip(size, pads, strict=True)]
    padded = scratch.array("padded", (*lead, *sizes), dtype)
    if has_pads:
        padded[...] = start
    inside = [slice(low, low + n) for n, (low, _) in zip(size, pads, strict=True)]
    index: Index = (..., *inside)
    padded[index] = x
    return padded


def _in_steps(
    ufunc: np.ufunc, start: Any, x: Array, axes: tuple[Axis, ...], dtype: DType, scratch: Scratch
) -> Array:
    lead = x.ndim - len(axes)
    passes = [i for i, axis in enumerate(axes) if not axis.is_plain] or [0]
    for i in passes:
        shape = (*x.shape[: lead + i], axes[i].out, *x.shape[lead + i + 1 :])
        y = scratch.array(f"pass {i}", shape, dtype)
        _reduced_along(ufunc, start, x, lead + i, axes[i], y)
        x = y
    return x


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


def sum_of_all(x: Array, axes: tuple[int, ...], dtype: DType) -> Array:
    """Add up over space, ``axes``, in ``dtype``."""
    total: Array
    count = math.prod(x.shape[axis] for axis in axes)
    if count > FEW or x.dtype != dtype or not x.flags.c_contiguous:
        total = np.sum(x, axis=axes, keepdims=True, dtype=dtype)
        return total
    lead = x.shape[: x.ndim - len(axes)]
    total = np.einsum("ncx->nc", x.reshape(*lead, count))
    return total.reshape(*lead, *(1,) * len(axes))


def spread(share: Array, axes: tuple[Axis, ...], out: Array, scratch: Scratch) -> None:
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
