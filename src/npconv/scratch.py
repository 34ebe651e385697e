"""Working arrays of one call, kept from tile to tile."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike

from npconv.problem import Array


class Scratch:
    """Hands out working arrays by role; the next tile gets the same memory again.

    Fresh memory costs a page fault for every 4 KiB, more than filling it does. Arrays are
    allocated by NumPy, so that `tracemalloc` counts them.

    ``threads`` is how many an algorithm may use within itself. ``flags``, one integer for each
    image (one for a kernel's gradient), is where it marks results that `npconv.trust` shall
    look at, if it looks itself first.
    """

    threads = 1
    flags: Array | None = None

    def __init__(self) -> None:
        self._buffers: dict[str, Array] = {}

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
        return buffer[:nbytes].view(dtype).reshape(shape)
