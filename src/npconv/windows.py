"""Adjoint pairs of array rearrangements: im2col and col2im, pad and crop.

Each pair is one linear map and its transpose: ``<A x, y> == <x, A^T y>`` for all x and y.
None of them multiplies. Arrays have any number of leading axes (images, groups, channels)
before the spatial ones, and every function works for any number of spatial axes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache, reduce
from itertools import product
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import as_strided

from npconv.axis import Axis
from npconv.problem import Array

Index: TypeAlias = tuple[Any, ...]


def _positions(axes: Sequence[Axis]) -> Iterator[tuple[Index, Index]]:
    """Pair, for each kernel position, the column entries with the inputs seen there."""
    for position in product(*(enumerate(_seen(axis)) for axis in axes)):
        entries = (*(r for r, _ in position), *(outputs for _, (outputs, _) in position))
        yield (..., *entries), (..., *(inputs for _, (_, inputs) in position))


@lru_cache(maxsize=1024)
def _seen(axis: Axis) -> tuple[tuple[slice, slice], ...]:
    """Answer `Axis.seen` for every kernel position, once for tiles of the same shape."""
    return tuple(axis.seen(r) for r in range(axis.kernel))


def im2col(x: Array, axes: Sequence[Axis], col: Array | None = None) -> Array:
    """Copy out what each kernel position sees: ``(..., H, W)`` to ``(..., R, S, P, Q)``.

    Seen through one kernel position, all output positions together are just a strided
    slice of the input. So there is one copy per kernel position, not one per output.
    Outputs that look at padding there keep the zero.
    """
    shape = (
        *x.shape[: x.ndim - len(axes)],
        *(a.kernel for a in axes),
        *(a.out for a in axes),
    )
    if col is None:
        col = np.zeros(shape, x.dtype)
    elif not col.size:
        return col  # without channels a kernel may be of any size, too large to walk over
    else:
        col = col.reshape(shape)
        if any(axis.input_dilation > 1 for axis in axes):
            col[...] = 0  # holes lie between
        else:
            _zero_padding(col, axes)
    for entries, inputs in _positions(axes):
        col[entries] = x[inputs]
    return col


def windows_in_rows(x: Array, axes: Sequence[Axis], rows: Array) -> None:
    """Copy each window out as a row: ``(N, G, C, H, W)`` to ``(N, G, P, Q, C, R, S)``.

    The columns of `im2col`, transposed. Where windows are long, and far apart, this is one
    copy of long runs. There must be no padding, and no holes.
    """
    first: Index = (..., *(slice(-axis.low, None) for axis in axes))
    x = x[first]
    lead, steps = x.strides[: -len(axes)], x.strides[-len(axes) :]
    places = [axis.stride * step for axis, step in zip(axes, steps, strict=True)]
    elements = [axis.dilation * step for axis, step in zip(axes, steps, strict=True)]
    *outer, channel = lead
    seen = as_strided(x, rows.shape, (*outer, *places, channel, *elements), writeable=False)
    rows[...] = seen


def _zero_padding(col: Array, axes: Sequence[Axis]) -> None:
    """Write zeros where outputs look at padding along any axis."""
    rank = len(axes)
    entries: list[Any] = [slice(None)] * 2 * rank
    for i, axis in enumerate(axes):
        for r, (outputs, _) in enumerate(_seen(axis)):
            for strip in (slice(0, outputs.start), slice(outputs.stop, axis.out)):
                if strip.start < strip.stop:
                    here = list(entries)
                    here[i], here[rank + i] = r, strip
                    index: Index = (..., *here)
                    col[index] = 0


def col2im(col: Array, axes: Sequence[Axis], x: Array | None = None) -> Array:
    """Add every column entry back where `im2col` read it: ``(..., R, S, P, Q)`` to ``(..., H, W)``.

    The same slices as in `im2col`, with the arrow turned round. An input element that
    several windows saw receives the sum of their entries; what was padding is dropped.
    """
    lead = col.shape[: col.ndim - 2 * len(axes)]
    if x is None:
        x = np.zeros((*lead, *(axis.size for axis in axes)), col.dtype)
    else:
        x[...] = 0
    add_back(col, axes, x)
    return x


def add_back(col: Array, axes: Sequence[Axis], x: Array) -> None:
    """Do as `col2im` does to an ``x`` that holds something already."""
    for entries, inputs in _positions(axes):
        x[inputs] += col[entries]


def pad(x: Array, axes: Sequence[Axis]) -> Array:
    """Surround the input with zeros, or cut it where a pad is negative; spread it apart."""
    lead = x.shape[: x.ndim - len(axes)]
    padded = np.zeros((*lead, *(axis.padded for axis in axes)), x.dtype)
    there, here = kept(axes)
    padded[there] = x[here]
    return padded


def crop(padded: Array, axes: Sequence[Axis]) -> Array:
    """Drop the padding again (and give cut positions a zero): the adjoint of `pad`."""
    lead = padded.shape[: padded.ndim - len(axes)]
    x = np.zeros((*lead, *(axis.size for axis in axes)), padded.dtype)
    there, here = kept(axes)
    x[here] = padded[there]
    return x


def window(axes: Sequence[Axis], p: Sequence[int]) -> Index:
    """Give the slices of the padded input that the output at ``p`` reads."""
    return tuple(
        slice(i * axis.stride, i * axis.stride + axis.reach, axis.dilation)
        for axis, i in zip(axes, p, strict=True)
    )


def padded_terms(axes: Sequence[Axis]) -> Array | None:
    """Tell which padded positions are terms; None where all are: there are no holes.

    A position is a hole of ``input_dilation`` if it is one along any axis.
    """
    if not any(axis.has_holes for axis in axes):
        return None
    return _outer_and([~axis.is_hole(np.arange(axis.padded) - axis.low) for axis in axes])


def column_terms(axes: Sequence[Axis]) -> Array | None:
    """Tell which column entries ``(R, S, P, Q)`` are terms; None where all are."""
    if not any(axis.has_holes for axis in axes):
        return None
    each = []
    for axis in axes:
        r, p = np.arange(axis.kernel)[:, np.newaxis], np.arange(axis.out)
        each.append(~axis.is_hole(p * axis.stride + r * axis.dilation - axis.low))
    terms = _outer_and(each)  # (R, P, S, Q)
    rank = len(axes)
    return terms.transpose(*range(0, 2 * rank, 2), *range(1, 2 * rank, 2))


def _outer_and(each: list[Array]) -> Array:
    return reduce(np.logical_and.outer, each)


def kept(axes: Sequence[Axis]) -> tuple[Index, Index]:
    """Where padded input and input share elements, whatever the signs of the pads."""
    here, there = [], []
    for axis in axes:
        step = axis.input_dilation
        lo = max(0, -(axis.low // step))
        hi = max(lo, min(axis.size, (axis.padded - 1 - axis.low) // step + 1))
        here.append(slice(lo, hi))
        there.append(slice(lo * step + axis.low, hi * step + axis.low, step))
    return (..., *there), (..., *here)
