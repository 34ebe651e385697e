"""What a shifted tile reads of an image for some terms, copied together.

Where an image lies it may begin anywhere in a line, and its channels far apart: half of the
vectors then cross lines, and lines push each other out of the first cache. A copy costs one
load and one store for each vector, that all output channels read. (So GotoBLAS packs both
factors: Goto and van de Geijn, Anatomy of High-Performance Matrix Multiplication, 2008.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npconv.compiled.kernels.memory import I64, at, emitted, get_int
from npconv.compiled.kernels.vectors import Vectors

ABREAST = 3  # vectors of a block, and of a tile a few times as many


def packed_terms(v: Vectors) -> Callable[..., None]:
    """Copy vectors, of ``most`` a row, that begin ``steps`` behind each of ``bases``."""
    nbytes, item = v.lanes * v.itemsize, v.itemsize
    some, one = _copy(v, ABREAST), _copy(v, 1)

    def pack(to: int, most: int, x: int, bases: int, vectors: int, steps: int, terms: int) -> None:
        whole = vectors // ABREAST * ABREAST
        for t in range(terms):
            row, source = to + t * most * nbytes, x + item * get_int(steps, t)
            for j in range(0, whole, ABREAST):
                some(row + j * nbytes, source, bases + 8 * j)
            for j in range(whole, vectors):
                one(row + j * nbytes, source, bases + 8 * j)

    return pack


def _copy(v: Vectors, number: int) -> Any:
    """Make ``(to, source, bases)``: so many vectors, written side by side."""

    def copy(builder: Any, to: Any, source: Any, bases: Any) -> None:
        starts = [builder.load(at(builder, I64, bases, I64(j))) for j in range(number)]
        rows = [v.load(builder, source, start) for start in starts]
        for j, row in enumerate(rows):
            v.store(builder, to, I64(j * v.lanes), row)

    return emitted(copy, 3)
