"""The gradient of max pooling: every output's goes to the element that won its window.

Places were found before (`npconv.compiled.kernels.pool`). An item is a whole image of a
channel, or of all channels where they are innermost: so nobody else adds to its elements.
"""

from __future__ import annotations

from collections.abc import Callable

from npconv.compiled import words
from npconv.compiled.blocks import FIRST, OUT, SECOND
from npconv.compiled.kernels.memory import get_int, getter, setter
from npconv.compiled.kernels.row_vectors import ITEM


def make(dtype: str) -> Callable[..., None]:
    """Make the kernel; FIRST is the outputs' gradient, SECOND the places."""
    get, put, item = getter(dtype), setter(dtype), ITEM[dtype]

    def kernel(block: int, part: int, worker: int) -> None:
        G, outers = get_int(block, words.G), get_int(block, words.OUTERS)
        columns, rows = get_int(block, words.OUT_WIDTH), get_int(block, words.ROWS)
        n, g = part // G, part % G
        size, apart = get_int(block, words.IMAGE), get_int(block, words.OUT_STEP)
        x = n * get_int(block, words.X_N) + g * get_int(block, words.X_G)
        dx = get_int(block, OUT) + x * item
        for i in range(size):
            put(dx, i, 0.0)
        y = n * get_int(block, words.Y_N) + g * get_int(block, words.Y_G)
        for at_outer in range(outers):
            outer = get_int(block, words.OUTER_TABLE) + 8 * words.OUTER_WORDS * at_outer
            for row in range(rows):
                at_row = y + get_int(outer, words.TO) + row * get_int(block, words.X_PITCH)
                dy = get_int(block, FIRST) + at_row * item
                places = get_int(block, SECOND) + at_row * 8
                for q in range(columns):
                    place = get_int(places, q) * apart + (q if apart > 1 else 0)
                    put(dx, place, get(dx, place) + get(dy, q))

    return kernel
