"""Sums over windows of one channel: depthwise convolution, and its kernel's gradient.

Vectors run along a row of outputs. In forward a few of them are held in registers while
the window's elements go by; in the kernel's gradient one vector for each element is.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from npconv.compiled.microkernel import block_for, row_product, window_sums
from npconv.problem import Array

VECTORS = 4  # of outputs at a time; fewer for short rows


class Windows(NamedTuple):
    """What is compiled for one dtype, and how far beyond a row it may read."""

    sums: Any
    products: Any
    lanes: int

    @property
    def beyond(self) -> int:
        """Numbers read, and not used, behind the last one."""
        return VECTORS * self.lanes


@cache
def windows_for(dtype: np.dtype[Any]) -> Windows:
    """Compile for a dtype."""
    lanes = block_for(dtype).lanes
    return Windows(_sums_for(dtype, lanes), _products_for(dtype, lanes), lanes)


def _sums_for(dtype: np.dtype[Any], lanes: int) -> Any:
    one, two, four = (window_sums(dtype, vectors, lanes) for vectors in (1, 2, VECTORS))
    item = dtype.itemsize

    @njit(nogil=True)
    def sums(
        w: Array, s: Array, x: Array, apart: int, a: Array, rows: Array, run: int, y: Array
    ) -> None:
        """Write ``y[g, p, q] = sum over t of w[g, s[t]] * x[g * apart + a[t] + rows[p] + q]``."""
        G, T = y.shape[0], a.size
        for g in range(G):
            kernel = w.ctypes.data + g * w.strides[0]
            for p in range(rows.size):
                image = x.ctypes.data + (g * apart + rows[p]) * item
                row = y.ctypes.data + g * y.strides[0] + p * run * item
                for q in range(0, run, VECTORS * lanes):
                    count = min(VECTORS * lanes, run - q)
                    seen, to = image + q * item, row + q * item
                    if count > 2 * lanes:
                        four(kernel, s.ctypes.data, seen, a.ctypes.data, to, T, count)
                    elif count > lanes:
                        two(kernel, s.ctypes.data, seen, a.ctypes.data, to, T, count)
                    else:
                        one(kernel, s.ctypes.data, seen, a.ctypes.data, to, T, count)

    return sums


def _products_for(dtype: np.dtype[Any], lanes: int) -> Any:
    product, item = row_product(dtype, lanes), dtype.itemsize

    @njit(nogil=True)
    def products(
        dy: Array, x: Array, apart: int, a: Array, rows: Array, run: int, dw: Array
    ) -> None:
        """Add to ``dw[g, t]`` the sum of ``dy[g, p, q] * x[g * apart + a[t] + rows[p] + q]``."""
        held = np.zeros(lanes, dw.dtype)
        for g in range(dw.shape[0]):
            for t in range(a.size):
                held[:] = 0
                for p in range(rows.size):
                    image = x.ctypes.data + (g * apart + a[t] + rows[p]) * item
                    row = dy.ctypes.data + g * dy.strides[0] + p * run * item
                    product(held.ctypes.data, image, row, run)
                total = dw[g, t]
                for i in range(lanes):
                    total += held[i]
                dw[g, t] = total

    return products
