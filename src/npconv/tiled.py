"""Images in overlapping tiles, and a small matrix along each axis of the tiles.

What `npconv.algorithms.winograd` needs of memory. Between its steps channels are last: one
row of a matrix is all channels of a tile. They do not come so, and to put them last would take
longer than to transform them. But BLAS reads either factor turned as well: along the last axis,
the tiles of some positions are one product, with a matrix that has the small one along its
diagonal, once for each tile, and zeros beside it. To transform the tiles and to put channels
last, or back, is one step. Most of its products are with zeros, and still it is the faster.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import NamedTuple, TypeAlias

import numpy as np

from npconv.algorithms.protocol import DType
from npconv.algorithms.winograd_matrices import Matrix, numbers, transpose
from npconv.axis import Axis
from npconv.problem import Array
from npconv.scratch import Scratch
from npconv.windows import kept

# Positions whose tiles are transformed by one product: with fewer, BLAS lays out more than it
# multiplies, with more it multiplies with more zeros.
STRIP = 18
FEW = 64  # strips that are remembered for the next chunk


class Tiling(NamedTuple):
    """One axis in tiles: ``m`` positions forth from each to the next, ``t`` in each."""

    m: int
    t: int
    number: int

    @property
    def length(self) -> int:
        """Positions of all tiles."""
        return (self.number - 1) * self.m + self.t


class Side(NamedTuple):
    """The axes of inputs or of outputs, and the tiles over them: those with tiles come last."""

    order: tuple[int, ...]
    outer: tuple[Tiling, ...]
    last: Tiling
    there: tuple[slice, ...]  # where elements stand among the positions of the outer axes
    here: tuple[slice, ...]  # which they are
    low: int  # positions of the last axis's tiles before its first element
    size: int  # its elements

    @classmethod
    def of(cls, axes: Sequence[Axis], tilings: Sequence[Tiling]) -> Side:
        """Bring axes in their order; they begin where something is read (`Axis.tile`)."""
        *beside, at = in_order([tiling.t for tiling in tilings])
        wide = [
            axes[i]._replace(high=tilings[i].length - axes[i].size - axes[i].low) for i in beside
        ]
        (_, *there), (_, *here) = kept(wide)
        outer, low, size = tuple(tilings[i] for i in beside), axes[at].low, axes[at].size
        return cls((*beside, at), outer, tilings[at], tuple(there), tuple(here), low, size)


def in_order(t: Sequence[int]) -> list[int]:
    """Say in which order axes are taken whose tiles have so many positions."""
    return sorted(range(len(t)), key=lambda i: t[i] > 1)


class Chunk(NamedTuple):
    """Outputs that are computed in one go, the inputs they read, and both in tiles."""

    outputs: tuple[slice, ...]
    inputs: tuple[slice, ...]
    read: Side
    written: Side


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
            read = axis.tile((start, stop), inputs), Tiling(width, reach, tiles)
            written = Axis(stop - start, 1), Tiling(width, width, tiles)
            found.append((slice(start, stop), slice(*inputs), read, written))
        pieces.append(found)
    made = []
    for each in product(*pieces):
        outputs, inputs, *both = zip(*each, strict=True)
        sides = [Side.of(*zip(*side, strict=True)) for side in both]
        made.append(Chunk(outputs, inputs, *sides))
    return tuple(made)


def fitting(counts: Sequence[int], most: int) -> tuple[int, ...]:
    """Cut numbers of tiles, the first axis first, until no more than ``most`` are in a piece."""
    found = list(counts)
    for i, count in enumerate(counts):
        rest = math.prod(found[i + 1 :])
        pieces = -(-count // max(1, most // max(rest, 1)))
        found[i] = -(-count // max(pieces, 1))
        most = max(1, most // max(found[i], 1))
    return tuple(found)


@lru_cache(maxsize=64)
def _band(matrix: Matrix, m: int, tiles: int, places: tuple[int, int], dtype: DType) -> Array:
    """Lay a small matrix ``(e, t)`` once for each tile, ``m`` columns apart, with zeros beside.

    Of the columns those at ``places``: the others would read padding.
    """
    small = numbers(matrix, dtype)
    e, t = small.shape
    wide = np.zeros((tiles, e, (tiles - 1) * m + t), dtype)
    for i, rows in enumerate(wide):
        rows[:, i * m : i * m + t] = small
    band = np.ascontiguousarray(wide.reshape(tiles * e, -1)[:, slice(*places)])
    band.flags.writeable = False
    return band


# A strip: its elements, its positions, and the matrix between the two.
Strip: TypeAlias = tuple[slice, slice, Array]


def _bands(matrix: Matrix, tiling: Tiling, low: int, size: int, dtype: DType) -> Iterator[Strip]:
    """Walk over strips; a few are remembered.

    Tiles begin ``low`` positions before the ``size`` that there are.
    """
    return iter(_few(matrix, tiling, low, size, dtype) or _walk(matrix, tiling, low, size, dtype))


@lru_cache(maxsize=64)
def _few(matrix: Matrix, tiling: Tiling, low: int, size: int, dtype: DType) -> tuple[Strip, ...]:
    few = tiling.number <= FEW * tiles_a_strip(tiling)
    return tuple(_walk(matrix, tiling, low, size, dtype)) if few else ()


def _walk(matrix: Matrix, tiling: Tiling, low: int, size: int, dtype: DType) -> Iterator[Strip]:
    e, m, number, count = len(matrix), tiling.m, tiling.number, tiles_a_strip(tiling)
    for first in range(0, number, count):
        stop = min(first + count, number)
        begin, end = first * m - low, (stop - 1) * m + tiling.t - low
        start, end = (min(max(place, 0), size) for place in (begin, end))
        # Of padding alone, however far away, it has no columns.
        places = (start - begin, end - begin) if start < end else (0, 0)
        band = _band(matrix, m, stop - first, places, dtype)
        yield slice(first * e, stop * e), slice(start, end), band


def band_numbers(tiling: Tiling, low: int, size: int) -> int:
    """Count the numbers of all bands of a matrix with one row."""
    m, count = tiling.m, tiles_a_strip(tiling)
    whole, rest = divmod(tiling.number, count)
    total, begin = 0, -low
    for strips, tiles in ((whole, count), (1, rest)):
        step, width = tiles * m, (tiles - 1) * m + tiling.t
        ends = (_inside_of(size, place, step, strips) for place in (begin + width, begin))
        total += tiles * (next(ends) - next(ends))
        begin += strips * step
    return total


def _inside_of(size: int, first: int, step: int, number: int) -> int:
    """Add up ``first + i * step``, so many, each no less than 0 and no more than ``size``."""
    if not step:
        return 0
    low, high = (min(max(-(-(edge - first) // step), 0), number) for edge in (0, size))
    return (high - low) * (2 * first + (low + high - 1) * step) // 2 + (number - high) * size


def tiles_a_strip(tiling: Tiling) -> int:
    """Say how many tiles are one product, so that all strips have about as many."""
    return max(1, -(-tiling.number // max(1, -(-tiling.number * tiling.m // STRIP))))


def forth(matrices: Sequence[Matrix], x: Array, side: Side, role: str, scratch: Scratch) -> Array:
    """Apply a matrix ``(e, t)`` along each tiled axis to all tiles of ``x (n, G, C, *size)``.

    Gives ``(*e, G, T, C)``, tiles of all images one behind the other, in memory of ``role``.
    """
    order, outer, last, there, here, low, size = side
    *beside, at = (3 + i for i in order)
    x = _as_rows(x.transpose(0, *beside, 1, at, 2), scratch)
    n, G, C, e, two = len(x), x.shape[-3], x.shape[-1], len(matrices[-1]), len(matrices) == 2
    lengths = [each.length for each in outer]
    half = scratch.array("half" if two else role, (n, *lengths, last.number * e, G, C), x.dtype)
    for i, (place, length) in enumerate(zip(there, lengths, strict=True)):
        before = (slice(None), *there[:i])
        if place.start:
            half[(*before, slice(0, place.start))] = 0
        if place.stop < length:
            half[(*before, slice(place.stop, length))] = 0
    # (n, *outer, G, tiles*e, C) = (tiles*e, size) @ (n, *outer, G, size, C)
    seen, result = x[(slice(None), *here)], half[(slice(None), *there)].swapaxes(-3, -2)
    for elements, positions, band in _bands(matrices[-1], last, low, size, x.dtype):
        np.matmul(band, seen[..., positions, :], out=result[..., elements, :])
    if not two:
        return _by_element(half.reshape(-1, e, G, C))
    small, first = numbers(matrices[0], x.dtype), outer[-1]
    *lead, step = half.strides[: len(outer) + 1]
    behind = math.prod(half.shape[len(outer) + 1 :])
    tiles: Array = np.ndarray(
        (*half.shape[: len(outer)], first.number, first.t, behind),
        x.dtype,
        half,
        0,
        (*lead, first.m * step, step, x.itemsize),
    )
    V = scratch.array(role, (len(small), *tiles.shape[:-2], behind), x.dtype)
    # (n, *outer, number, e, N) = (e, t) @ (n, *outer, number, t, N)
    np.matmul(small, tiles, out=_inside(V))
    return _by_element(V.reshape(len(small), -1, e, G, C))


def room_for_products(
    elements: Sequence[int], groups: int, tiles: int, channels: int, dtype: DType, scratch: Scratch
) -> Array:
    """Give memory for ``(*e, G, T, K)``, as `back` reads it."""
    *outer, e = elements
    return _by_element(scratch.array("products", (*outer, tiles, e, groups, channels), dtype))


def back(
    matrices: Sequence[Matrix],
    M: Array,
    side: Side,
    bias: Array | None,
    place: Array,
    scratch: Scratch,
) -> None:
    """Apply a matrix ``(m, e)`` where `forth` applied one, and add a bias ``(G, K)``.

    Writes ``place (n, G, K, *out)``, whose numbers are rounded once where they are coarser.
    """
    order, outer, last, there, _, low, size = side
    *beside, at = (3 + i for i in order)
    target, n = place.transpose(0, *beside, 1, 2, at), len(place)
    e, G, K = M.shape[len(matrices) - 1], *place.shape[1:3]
    behind = (last.number * e, G, K)
    tiles = M.swapaxes(-3, -2).swapaxes(-4, -3)  # (*e, G, T, K) as it lies: (.., T, e, G, K)
    half = tiles.reshape(-1, *behind)
    if len(matrices) == 2:
        small = numbers(matrices[0], M.dtype)
        spread = (n, *(each.number for each in outer))
        half = scratch.array("half", (*spread, len(small), math.prod(behind)), M.dtype)
        products = tiles.reshape(len(tiles), *spread, math.prod(behind))
        # (n, *outer, number, m, N) = (m, e) @ (n, *outer, number, e, N)
        np.matmul(small, _inside(products), out=half)
    half = half.reshape(n, *(each.length for each in outer), *behind)
    y = target
    if y.dtype != M.dtype or not _is_matrix(y):
        y = scratch.array("image", target.shape, M.dtype)
    # (n, *outer, G, K, positions) = (n, *outer, G, K, tiles*e) @ (tiles*e, positions)
    turned = half[(slice(None), *there)].swapaxes(-3, -2).swapaxes(-2, -1)
    for elements, positions, band in _bands(transpose(matrices[-1]), last, low, size, M.dtype):
        np.matmul(turned[..., elements], band, out=y[..., positions])
    if bias is not None:
        np.add(y, bias[..., np.newaxis], out=y)
    if y is not target:
        target[...] = y


def _by_element(tiles: Array) -> Array:
    """View ``(..., T, e, G, C)`` as matrices: ``(..., e, G, T, C)``."""
    return tiles.swapaxes(-4, -3).swapaxes(-3, -2)


def _is_matrix(a: Array) -> bool:
    """Whether BLAS takes the last two axes as they lie."""
    (rows, columns), (down, right), item = a.shape[-2:], a.strides[-2:], a.itemsize
    as_is = right == item and down % item == 0 and down >= columns * item
    return as_is or (down == item and right % item == 0 and right >= rows * item)


def _as_rows(x: Array, scratch: Scratch) -> Array:
    """Copy images ``(n, *outer, G, size, C)`` that BLAS would not take as they lie."""
    if _is_matrix(x):
        return x
    copy = scratch.array("image", x.shape, x.dtype)
    copy[...] = x
    return copy


def _inside(tiles: Array) -> Array:
    """View ``(e, ..., N)`` as matrices: ``(..., e, N)``."""
    return tiles.transpose(*range(1, tiles.ndim - 1), 0, tiles.ndim - 1)
