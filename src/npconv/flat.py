"""Images laid out flat, so that what one kernel element sees is one long run of memory.

A picture is copied once, padded, row after row. Then all outputs together see, through one
kernel element, the picture shifted: not a rectangle with a jump after each row, but a
single run that begins elsewhere. What stands between two rows gives outputs that nobody
asked for: gaps. They are left out when results are copied to their place, and hold zeros
where results are read. One pad between two rows serves both, as the high one of the first
and the low one of the second.

With a stride, every axis is kept in parts: element ``t`` in part ``t % stride``, at
``t // stride``. So neighbouring outputs read neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from npconv.axis import Axis
from npconv.problem import Array
from npconv.products import as_matrices
from npconv.scratch import Scratch

Index: TypeAlias = tuple[Any, ...]

# What a band and all that is computed with it may take: what a core has of the caches that it
# shares with others. In a third of it, which a core has for itself, bands of many small images or
# groups would take half as long again: each is a few calls, and in threads each of these waits
# for its turn at the interpreter.
BAND_BYTES = 3 * 2**20


class Shift(NamedTuple):
    """Kernel elements, evenly spaced along each axis, and where they look in a flat image."""

    taps: Index
    number: tuple[int, ...]
    offset: int
    apart: tuple[int, ...]


class Flat(NamedTuple):
    """How images lie flat, and outputs beside them.

    Attributes
    ----------
    parts, size, channel
        How many parts each axis is kept in; the size of one of them; elements of all.
    reach
        Where reading ends, a little behind the image if its last row has a pad there.
    copies
        Pairs places in ``(*parts, *size)`` with inputs.
    covered
        Whether these are all places.
    as_it_lies
        Whether an image need not be copied.
    kernel, out
        How many kernel elements, and outputs, there are along each axis.
    pitches
        What ``out`` becomes, along all axes but the first, with the gaps.
    row, line
        Elements from one output to the next along the first axis; the same for the last one,
        without the gap behind it.
    shifts
        The kernel's elements, in sets that are evenly spaced.
    """

    parts: tuple[int, ...]
    size: tuple[int, ...]
    channel: int
    reach: int
    copies: tuple[tuple[Index, Index], ...]
    covered: bool
    as_it_lies: bool
    kernel: tuple[int, ...]
    out: tuple[int, ...]
    pitches: tuple[int, ...]
    row: int
    line: int
    shifts: tuple[Shift, ...]

    def length(self, rows: int) -> int:
        """Elements that so many outputs along the first axis span."""
        return (rows - 1) * self.row + self.line

    @property
    def has_gaps(self) -> bool:
        """Whether there is something between two rows of outputs."""
        return self.pitches != self.out[1:]


class _Line(NamedTuple):
    """One axis of the layout, from the first position that is read: ``reads`` are the others."""

    axis: Axis
    reads: tuple[int, ...]
    parts: tuple[int, ...]
    size: int

    def copies(self) -> list[tuple[int, slice, slice]]:
        """Say which places of each part hold which inputs."""
        found, step, low = [], self.axis.stride, self.axis.low
        for i, part in enumerate(self.parts):
            first = max(0, -low)
            first += (part - first - low) % step
            place = (first + low) // step
            count = min(len(range(first, self.axis.size, step)), self.size - place)
            if count > 0:
                inputs = slice(first, first + (count - 1) * step + 1, step)
                found.append((i, slice(place, place + count), inputs))
        return found

    def runs(self, stride: int, part_stride: int) -> list[tuple[slice, int, int, int]]:
        """Sort the elements by the part they read: ``(taps, count, offset, apart)``."""
        found = []
        for i, part in enumerate(self.parts):
            taps = [r for r, t in enumerate(self.reads) if t % self.axis.stride == part]
            places = [self.reads[r] // self.axis.stride for r in taps]
            step, apart = 1, 0
            if len(taps) > 1:
                step, apart = taps[1] - taps[0], places[1] - places[0]
            offset = i * part_stride + places[0] * stride
            found.append((slice(taps[0], taps[-1] + 1, step), len(taps), offset, apart * stride))
        return found


@lru_cache(maxsize=128)
def lay(axes: tuple[Axis, ...]) -> Flat:
    """Lay out the images of a problem without holes; remembered, as tiles have few shapes."""
    lines = [_line(axis, first=i == 0) for i, axis in enumerate(axes)]
    parts, size = [len(line.parts) for line in lines], [line.size for line in lines]
    image = math.prod(size)
    strides = [math.prod(size[i + 1 :]) for i in range(len(size))]
    part_strides = [image * math.prod(parts[i + 1 :]) for i in range(len(size))]
    shifts = [
        _shift(each)
        for each in product(*map(_Line.runs, lines, strides, part_strides))
    ]  # fmt: skip
    copies = [_copy(each) for each in product(*map(_Line.copies, lines))]
    out, inputs = tuple(axis.out for axis in axes), [axis.size for axis in axes]
    span = 1 + sum((n - 1) * stride for n, stride in zip(out, strides, strict=True))
    reach = span + max((_last(shift) for shift in shifts), default=0)
    channel = image * math.prod(parts)
    same = size == inputs and not any(axis.low or axis.stride > 1 for axis in axes)
    return Flat(
        parts=tuple(parts),
        size=tuple(size),
        channel=channel,
        reach=reach,
        copies=tuple(copies),
        covered=sum(_elements(there, size) for there, _ in copies) == channel,
        as_it_lies=same and reach <= channel,
        kernel=tuple(axis.kernel for axis in axes),
        out=out,
        pitches=tuple(size[1:]),
        row=strides[0],
        line=span - (out[0] - 1) * strides[0],
        shifts=tuple(shifts),
    )


def _line(axis: Axis, *, first: bool) -> _Line:
    reads = tuple(r * axis.dilation for r in range(axis.kernel))
    places = reads[-1] // axis.stride + axis.out
    size = places
    if not first:
        # What is read beyond a row's end is the low padding of the next.
        stop = min(places, (axis.low + axis.size - 1) // axis.stride + 1)
        size = max(stop, places - max(0, axis.low) // axis.stride, axis.out)
    parts = tuple(sorted({t % axis.stride for t in reads}))
    return _Line(axis, reads, parts, size)


def _shift(each: Sequence[tuple[slice, int, int, int]]) -> Shift:
    taps, count, offset, apart = zip(*each, strict=True)
    return Shift(taps, count, sum(offset), apart)


def _copy(each: Sequence[tuple[int, slice, slice]]) -> tuple[Index, Index]:
    part, places, inputs = zip(*each, strict=True)
    return (*part, *places), inputs


def _last(shift: Shift) -> int:
    return shift.offset + sum((n - 1) * d for n, d in zip(shift.number, shift.apart, strict=True))


def _elements(there: Index, size: Sequence[int]) -> int:
    places = there[len(size) :]
    return math.prod(len(range(*p.indices(n))) for p, n in zip(places, size, strict=True))


def most_flat(axis: Axis) -> int:
    """Bound the elements of an axis that is laid out, over all its parts."""
    return (axis.out - 1) * axis.stride + axis.reach + 2 * axis.stride


def empty_flat(flat: Flat, lead: tuple[int, ...], scratch: Scratch, dtype: Any) -> Array:
    """Give memory for images ``(*lead, *parts, *size)``, flat and with what is read behind."""
    count = math.prod(lead)
    length = max(count * flat.channel, (count - 1) * flat.channel + flat.reach)
    return scratch.array("images", (length,), dtype)


def lay_out(flat: Flat, x: Array, scratch: Scratch) -> Array:
    """Copy images ``(..., *size)`` out flat, all in one; or give them as they lie."""
    lead = x.shape[: x.ndim - len(flat.size)]
    if flat.as_it_lies and x.flags.c_contiguous and x.flags.aligned:
        return x.reshape(-1)
    images = empty_flat(flat, lead, scratch, x.dtype)
    count = math.prod(lead) * flat.channel
    images[count if flat.covered else 0 :] = 0
    places = images[:count].reshape(*lead, *flat.parts, *flat.size)
    for there, here in flat.copies:
        places[(..., *there)] = x[(..., *here)]
    return images


def put_back(flat: Flat, images: Array, x: Array) -> None:
    """Copy flat images to where `lay_out` had them from; what was not read gets a zero."""
    lead = x.shape[: x.ndim - len(flat.size)]
    count = math.prod(lead) * flat.channel
    places = images[:count].reshape(*lead, *flat.parts, *flat.size)
    inputs = x.shape[len(lead) :]
    if sum(_elements((*here, *here), inputs) for _, here in flat.copies) < math.prod(inputs):
        x[...] = 0
    for there, here in flat.copies:
        x[(..., *here)] = places[(..., *there)]


def seen(
    images: Array, flat: Flat, lead: tuple[int, ...], shift: Shift, start: int, length: int
) -> Array:
    """View what kernel elements see of images: ``(*lead, *count, length)``."""
    item = images.itemsize
    steps = [flat.channel * math.prod(lead[i + 1 :]) * item for i in range(len(lead))]
    return np.ndarray(
        (*lead, *shift.number, length),
        images.dtype,
        images,
        (shift.offset + start) * item,
        (*steps, *(step * item for step in shift.apart), item),
    )


def without_gaps(flat: Flat, array: Array, rows: int) -> Array:
    """View flat outputs ``(..., rows * row)`` as ``(..., rows, *out[1:])``."""
    lines = array.reshape(*array.shape[:-1], rows, *flat.pitches)
    index: Index = (..., *(slice(n) for n in flat.out[1:]))
    return lines[index] if flat.has_gaps else lines


def clear_gaps(flat: Flat, array: Array, rows: int) -> None:
    """Write zeros between the rows of flat outputs ``(..., rows * row)``."""
    lines, behind = array.reshape(*array.shape[:-1], rows, *flat.pitches), len(flat.pitches)
    for i, (number, pitch) in enumerate(zip(flat.out[1:], flat.pitches, strict=True), 1):
        if number < pitch:
            gap: Index = (..., slice(number, None), *(slice(None),) * (behind - i))
            lines[gap] = 0


def flat_grads(flat: Flat, dy: Array, scratch: Scratch) -> Array:
    """Give outputs' gradients ``(n, G, K, rows * row)``, with zeros in the gaps."""
    n, G, K, rows = dy.shape[:4]
    shape = (n, G, K, rows * flat.row)
    if not flat.has_gaps:
        lines = as_matrices(dy, shape, dy.dtype)
        if lines is not None:
            return lines
    lines = scratch.array("grads", shape, dy.dtype)
    clear_gaps(flat, lines, rows)
    without_gaps(flat, lines, rows)[...] = dy
    return lines


def put_with_bias(result: Array, bias: Array | None, y: Array) -> None:
    """Copy a band of results to its place, and add the bias on the way."""
    if bias is None:
        y[...] = result
    elif y.dtype == result.dtype:
        np.add(result, bias, out=y)
    else:  # rounded once, after the bias
        np.add(result, bias, out=result)
        y[...] = result


def bands(flat: Flat, rows: int) -> Iterator[tuple[int, int]]:
    """Cut the outputs into bands along the first axis, equally high and at most ``rows``."""
    total = flat.out[0]
    rows = -(-total // -(-total // max(1, rows)))
    for start in range(0, total, rows):
        yield start, min(start + rows, total)
