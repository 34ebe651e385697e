"""Images in overlapping tiles, channels last, and a small matrix along each axis of the tiles.

What `npconv.algorithms.winograd` needs of memory. With its channels last, an image gives
BLAS all tiles of an axis as they lie: the ``t`` positions of one tile are ``t`` rows of a
matrix, from each row to the next as far as from position to position. So tiles are never
gathered, and results are written where the next step reads them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from npconv.axis import Axis
from npconv.problem import Array
from npconv.scratch import Scratch
from npconv.windows import kept

# Elements between the channels of two positions of a result. To read one channel of many
# positions that are a power of two apart takes three times as long: they share few places in
# the cache.
APART = 16
# Bytes after which places in the first cache repeat, and how many lines share one there.
PAGE, FEW_LINES = 4096, 8


class Tiling(NamedTuple):
    """One axis in tiles: ``m`` positions forth from each to the next, ``t`` in each."""

    m: int
    t: int
    number: int

    @property
    def length(self) -> int:
        """Positions of all tiles."""
        return (self.number - 1) * self.m + self.t

    @property
    def is_tiled(self) -> bool:
        """Whether there is anything to transform along it."""
        return self.t > 1


class Chunk(NamedTuple):
    """Outputs that are computed in one go, the inputs they read, and both in tiles."""

    outputs: tuple[slice, ...]
    inputs: tuple[slice, ...]
    axes: tuple[Axis, ...]
    read: tuple[Tiling, ...]
    written: tuple[Tiling, ...]


def chunks(
    axes: Sequence[Axis], m: Sequence[int], t: Sequence[int], most: Sequence[int]
) -> tuple[Chunk, ...]:
    """Cut outputs in pieces of at most ``most`` tiles along each axis."""
    pieces = []
    for axis, width, reach, number in zip(axes, m, t, most, strict=True):
        step, found = max(1, width * number), []
        for start in range(0, axis.out, step):
            stop = min(start + step, axis.out)
            inputs, tiles = axis.reads(start, stop), -(-(stop - start) // width)
            tilings = Tiling(width, reach, tiles), Tiling(width, width, tiles)
            piece = axis.tile((start, stop), inputs)
            found.append((slice(start, stop), slice(*inputs), piece, *tilings))
        pieces.append(found)
    return tuple(Chunk(*zip(*each, strict=True)) for each in product(*pieces))


def fitting(counts: Sequence[int], most: int) -> tuple[int, ...]:
    """Cut numbers of tiles, the first axis first, until no more than ``most`` are in a piece."""
    found = list(counts)
    for i, count in enumerate(counts):
        rest = math.prod(found[i + 1 :])
        pieces = -(-count // max(1, most // max(rest, 1)))
        found[i] = -(-count // max(pieces, 1))
        most = max(1, most // max(found[i], 1))
    return tuple(found)


def channels_last(
    x: Array,
    axes: Sequence[Axis],
    tilings: Sequence[Tiling],
    roles: tuple[str, str],
    room: int,
    scratch: Scratch,
) -> Array:
    """Copy ``(n, G, C, *size)`` out as ``(n, *length, G, C)``, padded with zeros.

    ``roles`` are that of the copy, and of what has room for ``room`` numbers of each channel.
    """
    x = _off_the_page(x, roles[1], room, scratch)
    role, lengths = roles[0], [tiling.length for tiling in tilings]
    image = scratch.array(role, (len(x), *lengths, *x.shape[1:3]), x.dtype)
    wide = [
        axis._replace(high=length - axis.size - axis.low)
        for axis, length in zip(axes, lengths, strict=True)
    ]
    (_, *there), (_, *here) = kept(wide)
    for i, (place, length) in enumerate(zip(there, lengths, strict=True)):
        before = (slice(None), *there[:i])
        for strip in (slice(0, place.start), slice(place.stop, length)):
            image[(*before, strip)] = 0
    image[(slice(None), *there)] = np.moveaxis(x[(..., *here)], (1, 2), (-2, -1))
    return image


def _off_the_page(x: Array, role: str, room: int, scratch: Scratch) -> Array:
    """Copy images whose channels are whole pages apart: one number of each shares a few lines.

    Read channel after channel they leave the cache before the next one is read.
    """
    *lead, width = x.shape
    numbers = math.prod(lead[3:]) * (width + APART)
    if x.strides[2] % PAGE or x.shape[2] <= FEW_LINES or numbers > room:
        return x
    apart = scratch.array(role, (*lead, width + APART), x.dtype)[..., :width]
    apart[...] = x
    return apart


def forth(
    matrices: Sequence[Array],
    image: Array,
    tilings: Sequence[Tiling],
    roles: Sequence[str],
    scratch: Scratch,
) -> Array:
    """Apply a matrix ``(e, t)`` to all tiles along each tiled axis, the first axis first.

    From ``(n, *length, G, C)`` to ``(*e, n, *number, G, C)``, the first axis's ``e`` last.
    ``roles`` are those of the steps' results.
    """
    lead, steps = 0, [(i, each) for i, each in enumerate(tilings) if each.is_tiled]
    for role, matrix, (i, tiling) in zip(roles, matrices, steps, strict=True):
        axis = lead + 1 + i
        before, behind = image.shape[:axis], image.shape[axis + 1 :]
        strides, step = image.strides[:axis], image.strides[axis]
        rows: Array = np.ndarray(
            (*before, tiling.number, tiling.t, math.prod(behind)),
            image.dtype,
            image,
            0,
            (*strides, tiling.m * step, step, image.itemsize),
        )
        shape = (len(matrix), *before, tiling.number, *behind)
        result = scratch.array(role, shape, image.dtype)
        lines = result.reshape(*shape[: axis + 2], rows.shape[-1])
        # (..., number, e, n) = (e, t) @ (..., number, t, n)
        np.matmul(matrix, rows, out=lines.transpose(*range(1, axis + 2), 0, axis + 2))
        image, lead = result, lead + 1
    return image


def back(
    matrices: Sequence[Array],
    tiles: Array,
    tilings: Sequence[Tiling],
    roles: Sequence[str],
    scratch: Scratch,
) -> Array:
    """Apply a matrix ``(m, e)`` where `forth` applied one, and lay the results side by side.

    From ``(*e, n, *number, G, K)`` to ``(n, *number * m, G * K)``; the first of ``matrices`` is for
    the first tiled axis, whose ``e`` stands last.
    """
    if len(matrices) == 2:
        shape = (len(matrices[1]), *tiles.shape[1:])
        half = scratch.array(roles[0], shape, tiles.dtype)
        rows, lines = (a.reshape(*a.shape[:3], -1).transpose(1, 2, 0, 3) for a in (tiles, half))
        # (e, n, m, T*G*K) = (m, e) @ (e, n, e, T*G*K)
        np.matmul(matrices[1], rows, out=lines)
        tiles = half.swapaxes(0, 1)
    n, *numbers, G, K = tiles.shape[len(matrices) :]
    split, numbered, widths = [n], [], []
    for number, tiling in zip(numbers, tilings, strict=True):
        numbered.append(len(split))
        split.append(number)
        if tiling.is_tiled:
            widths.append(len(split))
            split.append(tiling.m)
    image = scratch.array(roles[-1], (*split, G * K + APART), tiles.dtype)[..., : G * K]
    first, *second = widths
    places = image.transpose(*second, 0, *numbered, first, len(split))
    rows = tiles.reshape(*tiles.shape[:-2], G * K)
    rows = rows.transpose(*range(1, rows.ndim - 1), 0, rows.ndim - 1)
    # (m, n, *number, m, G*K) = (m, e) @ (m, n, *number, e, G*K)
    np.matmul(matrices[0], rows, out=places)
    lengths = [number * tiling.m for number, tiling in zip(numbers, tilings, strict=True)]
    return image.reshape(n, *lengths, G * K)
