"""Arrays seen as stacks of matrices, so that products read and write them where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from npconv.problem import Array
from npconv.scratch import Scratch


def as_matrices(a: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array | None:
    """View an array as matrices that BLAS can read or write, if it lies in memory as such."""
    if a.dtype != dtype or not a.size or not a.flags.aligned:
        return None
    matrices = a.reshape(shape)
    row, element = matrices.strides[-2:]
    lies_so = element == dtype.itemsize and row >= shape[-1] * element
    return matrices if lies_so and np.may_share_memory(matrices, a) else None


@contextmanager
def written_as(
    out: Array, shape: tuple[int, ...], dtype: np.dtype[Any], scratch: Scratch
) -> Iterator[Array]:
    """Lend matrices to write ``out`` through: itself, or a working array that is copied to it."""
    matrices = as_matrices(out, shape, dtype)
    if matrices is not None:
        yield matrices
        return
    matrices = scratch.array("product", shape, dtype)
    yield matrices
    out[...] = matrices.reshape(out.shape)
