"""Working arrays of a call, kept from tile to tile, and the smaller ones from call to call."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike

from npconv.problem import Array

LINES = 128  # bytes of two lines of a cache, which are read together: arrays begin there


class Scratch:
    """Hands out working arrays by role; the next tile gets the same memory again.

    Fresh memory costs a page fault for every 4 KiB, more than filling it does. Arrays are
    allocated by NumPy, so that `tracemalloc` counts them.

    ``threads`` says how many an algorithm may use that has threads of its own, as those of
    the compiled engine have. ``flags``, one integer for each image (one for a kernel's
    gradient), is where it marks results that `npconv.trust` shall look at, if it looks itself
    first.
    """

    flags: Array | None = None

    def __init__(self, threads: int = 1) -> None:
        self._buffers: dict[str, Array] = {}
        self.threads = threads

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(buffer.nbytes for buffer in self._buffers.values())

    def array(self, role: str, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """Return an uninitialised C-contiguous array, valid until ``role`` is asked again."""
        dtype = np.dtype(dtype)
        if dtype.hasobject:  # references cannot share bytes with numbers
            return np.empty(shape, dtype)
        nbytes = math.prod(shape) * dtype.itemsize
        buffer = self._buffers.get(role)
        if buffer is None or buffer.size < nbytes:
            self._buffers.pop(role, None)  # let go before growing, not after
            del buffer
            buffer = self._buffers[role] = np.empty(nbytes, np.uint8)
        return np.ndarray(shape, dtype, buffer)


# What is kept between calls, at most, in all.
KEPT_BYTES = 16 * 2**20
_shelf: list[Scratch] = []


def let_go() -> None:
    """Keep nothing of earlier calls: what a transform worked in, beside the summation after it."""
    _shelf.clear()


class lent:
    """Lend working arrays for a call, of earlier ones if they fit: for ``number`` threads.

    Each of them may have ``shared_by`` threads of its own.

    The call will take ``needed`` bytes. Where these and what is kept might pass ``limit``,
    nothing is. Lists are changed in one step, so that calls in many threads may do this.
    """

    def __init__(self, number: int, needed: int, limit: int, *, shared_by: int = 1) -> None:
        self._keeps = needed + KEPT_BYTES <= limit
        self._scratches: list[Scratch] = []
        if not self._keeps:
            let_go()
        for _ in range(number):
            try:
                self._scratches.append(_shelf.pop())
            except IndexError:
                self._scratches.append(Scratch())
            self._scratches[-1].threads = shared_by

    def __enter__(self) -> list[Scratch]:
        """Lend them."""
        return self._scratches

    def __exit__(self, error: object, *_: object) -> None:
        """Keep them for the next call; after an error they are let go."""
        if self._keeps and error is None:
            room = KEPT_BYTES - sum(scratch.nbytes for scratch in _shelf.copy())
            for scratch in self._scratches:
                room -= scratch.nbytes
                if room >= 0:
                    _shelf.append(scratch)
