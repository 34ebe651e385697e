"""Kernels as Winograd's transforms take them and give them: some vectors of taps at a time.

They come side by side, in whole vectors; or, where a stride has cut the kernel, among others.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import Any

from numba import types

from npconv.algorithms.winograd_matrices import transpose
from npconv.compiled.kernels.lanes import Lanes
from npconv.compiled.kernels.loops import Held, either
from npconv.compiled.kernels.memory import I32, I64, KINDS, emitted
from npconv.compiled.kernels.winograd_parts import Filters, element_loader, transformed
from npconv.compiled.kernels.winograd_pixels import up_to
from npconv.compiled.registers import CACHE_LINE

# How many input channels before theirs kernels are called into the cache.
COMING = 12


def kernel_in(lanes: Lanes, dtype: str, f: Filters, turned: bool) -> Any:
    """Make ``(w, of_out, of_in, of_row, of_tap, last, u, of_element)``: transform some kernels.

    The kernels of an input channel with as many output channels as lanes, ``of_out`` apart;
    behind the ``last`` one it is repeated. Returns the largest magnitude in them.
    """
    r_w, taps = f.w.r, f.h.r * f.w.r

    def emit(
        builder: Any, w: Any, of_out: Any, of_in: Any, of_row: Any, of_tap: Any, last: Any,
        u: Any, of_element: Any,
    ) -> Any:  # fmt: skip
        places = []
        for i in range(lanes.count):
            within = builder.icmp_signed("<=", I64(i), last)
            places.append(builder.mul(builder.select(within, I64(i), last), of_out))
        held = Held(builder, lanes.type, range(taps))

        def read(together: bool) -> None:
            if together:
                coming = builder.add(w, builder.mul(of_in, I64(COMING)))
                found = _kernels_together(lanes, builder, w, places, taps, coming)
            else:
                found = _taps_apart(lanes, builder, w, places, _offsets(builder, f, of_row, of_tap))
            for i, tap in enumerate(found):
                held[i] = tap

        either(builder, _are_together(lanes, builder, f, of_row, of_tap), read)
        found = [held[i] for i in held.names]
        largest = lanes.zero
        for tap in found:
            largest = lanes.larger(builder, lanes.magnitude(builder, tap), largest)
        if turned:
            found.reverse()
        values = transformed(
            lanes, builder, f.h.kernel, f.w.kernel, lambda i, j: found[i * r_w + j]
        )
        for value, place in zip(values, lanes.every(builder, u, of_element), strict=False):
            lanes.span.store(builder, place, value)
        return lanes.largest(builder, largest)

    return emitted(emit, 8, KINDS[dtype][0])


def _are_together(lanes: Lanes, builder: Any, f: Filters, of_row: Any, of_tap: Any) -> Any:
    """Whether the elements of a kernel lie side by side: there are no others between them."""
    row = builder.icmp_signed("==", of_row, I64(f.w.r * lanes.itemsize))
    return builder.and_(row, builder.icmp_signed("==", of_tap, I64(lanes.itemsize)))


def _offsets(builder: Any, f: Filters, of_row: Any, of_tap: Any) -> list[Any]:
    """Say how many bytes behind the first element of a kernel each one lies."""
    return [
        builder.add(builder.mul(of_row, I64(i)), builder.mul(of_tap, I64(j)))
        for i, j in product(range(f.h.r), range(f.w.r))
    ]


def _kernels_together(
    lanes: Lanes, builder: Any, w: Any, places: Sequence[Any], taps: int, coming: Any
) -> list[Any]:
    """Load kernels in vectors, and turn them so that lanes are kernels."""
    found: list[Any] = []
    for start in range(0, taps, lanes.count):
        rows, mask = [], lanes.mask(builder, I64(0), I64(taps - start))
        for place in places:
            offset = builder.add(place, I64(start * lanes.itemsize))
            rows.append(lanes.load_some(builder, mask, w, offset))
            if start * lanes.itemsize % CACHE_LINE == 0:
                lanes.prefetch(builder, coming, offset)
        found += lanes.transposed(builder, rows)
    return found[:taps]


def _taps_apart(
    lanes: Lanes, builder: Any, w: Any, places: Sequence[Any], offsets: Sequence[Any]
) -> list[Any]:
    """Load kernels number by number."""
    return [
        lanes.gathered(builder, w, [builder.add(place, offset) for place in places])
        for offset in offsets
    ]


def kernel_back(lanes: Lanes, f: Filters) -> Any:
    """Make ``(u, of_element, dw, of_kernel, of_row, of_tap, last, adds)``.

    It transforms sums of products back to kernels, from one vector of input channels. Kernels
    up to channel ``last`` are written, or added to what is there. Returns 1 where one is not
    finite.
    """
    taps = f.h.r * f.w.r
    back = transpose(f.h.kernel), transpose(f.w.kernel)

    def emit(
        builder: Any, u: Any, of_element: Any, dw: Any, of_kernel: Any, of_row: Any, of_tap: Any,
        last: Any, adds: Any,
    ) -> Any:  # fmt: skip
        load = element_loader(lanes, builder, u, of_element, f)
        found, doubt = list(transformed(lanes, builder, *back, load)), lanes.zero
        for value in found:
            doubt = lanes.fma(builder, value, lanes.zero, doubt)
        added = builder.icmp_signed("!=", adds, I64(0))

        def together() -> None:
            for start in range(0, taps, lanes.count):
                some = found[start : start + lanes.count]
                some += [lanes.zero] * (lanes.count - len(some))
                kernels = lanes.transposed(builder, some)
                mask = lanes.mask(builder, I64(0), I64(taps - start))
                offsets = [(i * taps + start) * lanes.itemsize for i in range(lanes.count)]
                write = partial(_write_kernels, lanes, builder, mask, kernels, dw, offsets, last)
                either(builder, added, write)

        def apart() -> None:
            offsets = _offsets(builder, f, of_row, of_tap)
            _write_taps(lanes, builder, found, dw, of_kernel, offsets, last, added)

        whole = builder.icmp_signed("==", of_kernel, I64(taps * lanes.itemsize))
        either(builder, whole, lambda all_of_it: together() if all_of_it else apart())
        return lanes.any_nan(builder, doubt)

    return emitted(emit, 8, types.int64)


def _write_taps(
    lanes: Lanes, builder: Any, found: Sequence[Any], dw: Any, of_kernel: Any,
    offsets: Sequence[Any], last: Any, added: Any,
) -> None:  # fmt: skip
    """Write elements that lie apart, number by number, or add them to what is there."""

    def put(i: int) -> None:
        of_lane = builder.mul(of_kernel, I64(i))
        for value, offset in zip(found, offsets, strict=True):
            place = lanes.number_at(builder, dw, builder.add(of_lane, offset))
            was = builder.select(added, builder.load(place), lanes.scalar(0.0))
            builder.store(builder.fadd(builder.extract_element(value, I32(i)), was), place)

    up_to(lanes, builder, last, put)


def _write_kernels(
    lanes: Lanes, builder: Any, mask: Any, kernels: Sequence[Any], dw: Any, offsets: Sequence[int],
    last: Any, added: bool,
) -> None:  # fmt: skip
    """Write some lanes of each kernel up to the ``last``, or add them to what is there."""
    places, values = [], list(kernels)
    # All are read before any is written: a vector that overlaps the last one written would
    # wait for it.
    for i, offset in enumerate(offsets):
        within = builder.icmp_signed("<=", I64(i), last)
        places.append(builder.add(dw, builder.select(within, I64(offset), I64(0))))
        if added:
            values[i] = builder.fadd(values[i], lanes.load_some(builder, mask, places[i]))

    def put(i: int) -> None:
        lanes.store_some(builder, mask, values[i], places[i])

    up_to(lanes, builder, last, put)
