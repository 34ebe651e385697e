"""Matrix products whose factors are never written out, but read where they lie.

    y (I, J)  =  P (I, T)  @  X (T, J)         P[i, t] = p[r[i] + s[t]],  X[t, j] = x[a[t] + b[j]]

In a forward convolution P is the kernel as it is, and X the columns: ``a`` says where an
output's terms lie in the image, ``b`` where outputs begin. X is gathered panel by panel into
a buffer that stays in the cache (implicit GEMM). In the kernel's gradient P is the columns,
transposed, and X the outputs' gradient: the sum is over outputs.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from npconv.compiled.microkernel import Block, block_for, block_product, row_copy
from npconv.problem import Array

# Terms summed before a block is written, and panels of X kept at a time: what a block reads
# of P stays in the first cache, X in the second.
DEPTH, PANELS = 256, 8


class Products(NamedTuple):
    """What is compiled for one dtype."""

    block: Block
    multiply: Any

    @property
    def buffer_size(self) -> int:
        """Count the numbers of the buffer `multiply` works in."""
        return (DEPTH * PANELS + self.block.rows + 1) * self.block.width


@cache
def products_for(dtype: np.dtype[Any]) -> Products:
    """Compile for a dtype."""
    block = block_for(dtype)
    return Products(block, _multiply_for(dtype, block))


def _gather_for(dtype: np.dtype[Any], block: Block) -> Any:
    lanes, width, item = block.lanes, block.width, dtype.itemsize
    copy = row_copy(dtype, block.vectors, lanes)

    @njit(nogil=True)
    def gather(
        x: Array, a: Array, b: Array, run: int, first: int, stop: int, buffer: Array
    ) -> None:
        """Copy columns ``first .. stop - 1`` panel by panel, each as wide as whole vectors.

        In ``b`` there are ``run`` numbers, one more than the last, between any two leaps.
        """
        T, image, panel = a.size, x.ctypes.data, buffer.ctypes.data
        for j0 in range(first, stop, width):
            count = min(width, stop - j0)
            wide = (count + lanes - 1) // lanes * lanes
            if run == 1:
                for t in range(T):
                    to = (j0 - first) * T + t * wide
                    for j in range(count):
                        buffer[to + j] = x[a[t] + b[j0 + j]]
                    for j in range(count, wide):
                        buffer[to + j] = 0
                continue
            for t in range(T):
                # In order: what a copy writes behind its end, the next one overwrites.
                to, j = (j0 - first) * T + t * wide, 0
                while j < count:
                    length = min(run - (j0 + j) % run, count - j)
                    copy(panel + (to + j) * item, image + (a[t] + b[j0 + j]) * item, length)
                    j += length

    return gather


def _multiply_for(dtype: np.dtype[Any], block: Block) -> Any:
    R, W, lanes = block.rows, block.width, block.lanes
    one, two, three = (block_product(dtype, R, vectors, lanes) for vectors in (1, 2, 3))
    gather, item, room = _gather_for(dtype, block), dtype.itemsize, PANELS * block.width

    @njit(nogil=True)
    def multiply(
        p: Array, r: Array, s: Array,
        x: Array, a: Array, b: Array, run: int,
        y: Array, add: bool, buffer: Array,
    ) -> None:  # fmt: skip
        """Write, or add, ``P @ X`` to ``y``, whose rows lie in one piece each.

        ``r`` is longer than ``y`` by a block less one: its last numbers are read, not used.
        """
        I, J, T = y.shape[0], b.size, a.size  # noqa: E741 # as in the formula
        stride = y.strides[0] // item
        corner = buffer[(DEPTH * PANELS + 1) * W :]  # where blocks go that stand over
        for j0 in range(0, J, room):
            j1 = min(j0 + room, J)
            for t0 in range(0, T, DEPTH):
                depth = min(DEPTH, T - t0)
                onto = int(add or t0 > 0)
                gather(x, a[t0 : t0 + depth], b, run, j0, j1, buffer)
                for i in range(0, I, R):
                    rows = min(R, I - i)
                    for j in range(j0, j1, W):
                        count = min(W, j1 - j)
                        panel = buffer.ctypes.data + (j - j0) * depth * item
                        whole = rows == R and count % lanes == 0
                        to = y.ctypes.data + (i * stride + j) * item
                        if not whole:
                            to = corner.ctypes.data
                        apart = stride if whole else W
                        over = onto if whole else 0
                        rows_at, steps_at = r.ctypes.data + 8 * i, s.ctypes.data + 8 * t0
                        if count > 2 * lanes:
                            three(p.ctypes.data, rows_at, steps_at, panel, to, depth, apart, over)
                        elif count > lanes:
                            two(p.ctypes.data, rows_at, steps_at, panel, to, depth, apart, over)
                        else:
                            one(p.ctypes.data, rows_at, steps_at, panel, to, depth, apart, over)
                        if not whole:
                            for k in range(rows):
                                for q in range(count):
                                    here = corner[k * W + q]
                                    y[i + k, j + q] = y[i + k, j + q] + here if onto else here

    return multiply
