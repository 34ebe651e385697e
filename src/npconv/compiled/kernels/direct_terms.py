"""What a shifted tile reads of an image for some terms, copied together.

Where an image lies it may begin anywhere in a line, and its channels far apart: half of the
vectors then cross lines, and lines push each other out of the first cache. A copy costs one
load and one store for each vector, that all output channels read. (So GotoBLAS packs both
factors: Goto and van de Geijn, Anatomy of High-Performance Matrix Multiplication, 2008.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npconv.compiled.kernels.memory import I64, emitted, get_int
from npconv.compiled.kernels.vectors import Vectors


def packed_terms(v: Vectors) -> Callable[..., None]:
    """Copy vectors, of ``most`` a row, that begin ``steps`` behind each of ``bases``."""
    nbytes, item = v.lanes * v.itemsize, v.itemsize

    def copied(builder: Any, to: Any, source: Any) -> None:
        v.store(builder, to, I64(0), v.load(builder, source, I64(0)))

    copy = emitted(copied, 2)

    def pack(to: int, most: int, x: int, bases: int, vectors: int, steps: int, terms: int) -> None:
        for t in range(terms):
            row, source = to + t * most * nbytes, x + item * get_int(steps, t)
            for j in range(vectors):
                copy(row + j * nbytes, source + item * get_int(bases, j))

    return pack
