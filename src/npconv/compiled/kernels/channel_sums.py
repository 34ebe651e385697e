"""Sums over space of a channel in some images: the gradient of a bias, means of all of space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types

from npconv.compiled.blocks import CALL_WORDS, FIRST, OUT
from npconv.compiled.kernels.channels import Rows, summing, widened
from npconv.compiled.kernels.memory import get_int
from npconv.compiled.kernels.row_vectors import RowVectors
from npconv.compiled.registers import ITEMSIZES

# Sums that a part forms, and all there are; images, images in a sum.
MANY, ALL, IMAGES, CHUNK, CHANNELS, SIZE, X_N, X_C = range(CALL_WORDS, CALL_WORDS + 8)


def make(dtype: str) -> Callable[..., None]:
    """Make the kernel: sums are float64, channel by channel, then the next images."""
    V, item = RowVectors(dtype), ITEMSIZES[dtype]

    def addends(b: Any, place: Any, mask: Any, x: Any, apart: Any) -> list[Any]:
        return [widened(b, V, Rows(b, V, x, apart).load(place, mask, V.zero))]

    add_up = summing(dtype, 1, addends, (types.int64, types.int64))

    def kernel(block: int, part: int, worker: int) -> None:
        C, chunk, many = get_int(block, CHANNELS), get_int(block, CHUNK), get_int(block, MANY)
        size, apart = get_int(block, SIZE), item * get_int(block, X_N)
        for number in range(part * many, min(part * many + many, get_int(block, ALL))):
            c, n = number % C, number // C * chunk
            x = get_int(block, FIRST)
            x += item * (n * get_int(block, X_N) + c * get_int(block, X_C))
            images = min(chunk, get_int(block, IMAGES) - n)
            add_up(images, size, get_int(block, OUT) + 8 * number, x, apart)

    return kernel
