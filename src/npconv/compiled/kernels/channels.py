"""Loops over all that a channel holds: rows of numbers, one for each image.

Sums are formed in float64 whatever the numbers are, in an order that only shapes fix: image
by image, in some vectors side by side, which are added up in the end. The kernel here is sums
over space of a channel in some images: the gradient of a bias, means of all of space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types

from npconv.compiled.blocks import CALL_WORDS, FIRST, OUT
from npconv.compiled.kernels.arithmetic import pick
from npconv.compiled.kernels.loops import Held, loop
from npconv.compiled.kernels.memory import DOUBLE, I64, at, emitted, get_int
from npconv.compiled.kernels.row_vectors import RowVectors
from npconv.compiled.registers import ITEMSIZES

# Sums that a part forms, and all there are; images, images in a sum.
MANY, ALL, IMAGES, CHUNK, CHANNELS, SIZE, X_N, X_C = range(CALL_WORDS, CALL_WORDS + 8)
UNROLLED = 2  # vectors of numbers side by side: a sum waits for its last addend

# Writes what is done at a place of (image, element); the mask is None where all lanes are there.
Body = Callable[[Any, Any, int], None]


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


def each_vector(b: Any, V: RowVectors, images: Any, size: Any, body: Body) -> None:
    """Write loops over images and their rows, a few vectors at a time, then one by one."""
    several = UNROLLED * V.lanes
    unrolled = b.sub(size, b.srem(size, I64(several)))
    with loop(b, I64(0), images) as n:
        with loop(b, I64(0), unrolled, several) as j:
            for u in range(UNROLLED):
                body((n, b.add(j, I64(u * V.lanes))), None, u)
        with loop(b, unrolled, size, V.lanes) as j:
            body((n, j), V.between(b, j, I64(0), size), 0)


def summing(
    dtype: str, count: int, addends: Callable[..., Sequence[Any]], arguments: Sequence[Any]
) -> Any:
    """Make ``(images, size, to, *arguments)`` that writes float64 sums, one behind the other.

    ``addends(builder, place, mask, *arguments)`` gives as many as there are sums: each the
    float64 vectors that `widened` makes of a vector of numbers.
    """
    V, W = RowVectors(dtype), RowVectors("float64")
    halves = V.lanes // W.lanes

    def sums(b: Any, images: Any, size: Any, to: Any, *given: Any) -> None:
        names = [(u, h) for u in range(UNROLLED) for h in range(halves)]
        held = [Held(b, W.type, names) for _ in range(count)]
        for each in held:
            each.fill(W.zero)

        def add(place: Any, mask: Any, u: int) -> None:
            for sum_, vectors in zip(held, addends(b, place, mask, *given), strict=True):
                for h, vector in enumerate(vectors):
                    sum_[u, h] = b.fadd(sum_[u, h], vector)

        each_vector(b, V, images, size, add)
        for i, each in enumerate(held):
            total = each[names[0]]
            for name in names[1:]:
                total = b.fadd(total, each[name])
            b.store(W.total(b, total), at(b, DOUBLE, to, I64(i)))

    return emitted(sums, (*(types.int64,) * 3, *arguments))


def widened(b: Any, V: RowVectors, vector: Any) -> list[Any]:
    """Turn a vector of numbers into vectors of float64."""
    if V.itemsize == 8:
        return [vector]
    half = V.lanes // 2
    wide = ir.VectorType(DOUBLE, half)
    return [b.fpext(pick(b, vector, vector, range(k, k + half)), wide) for k in (0, half)]


class Rows:
    """An operand's numbers: where the channel begins, and how many bytes its images are apart."""

    def __init__(self, b: Any, V: RowVectors, address: Any, apart: Any) -> None:
        self.b, self.V, self.address, self.apart = b, V, address, apart

    def load(self, place: Any, mask: Any, fill: Any) -> Any:
        """Read a vector; ``fill`` stands where the mask says that there is nothing."""
        row, j = self._row(place)
        return self.V.load(self.b, row, j, mask, fill)

    def store(self, place: Any, mask: Any, value: Any) -> None:
        """Write a vector where the mask says so."""
        row, j = self._row(place)
        self.V.store(self.b, row, j, value, mask)

    def _row(self, place: Any) -> tuple[Any, Any]:
        n, j = place
        return self.b.add(self.address, self.b.mul(n, self.apart)), j
