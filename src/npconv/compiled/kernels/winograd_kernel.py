"""The kernel's side of Winograd's filtering: transformed once, into the order it is read in.

For each block of output channels: element by element of a tile, two vectors of output
channels at a time, for every input channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npconv.compiled.blocks import SCRATCH
from npconv.compiled.front_end import helper
from npconv.compiled.kernels.lanes import Lanes
from npconv.compiled.kernels.memory import get_int, getter, setter
from npconv.compiled.kernels.winograd_panels import odd_lines
from npconv.compiled.kernels.winograd_parts import Filters, filters
from npconv.compiled.kernels.winograd_taps import kernel_in
from npconv.compiled.registers import ITEMSIZES
from npconv.compiled.winograd_words import KERNEL


def make(what: str, dtype: str, tile: str = "") -> Callable[..., None]:
    """Make ``as_is`` or ``turned``, the transform of a kernel, or ``seen``, its summary."""
    return _seen(dtype) if what == "seen" else _pack(dtype, tile, what == "turned")


def _pack(dtype: str, tile: str, turned: bool) -> Callable[..., None]:
    one_vector = _one_vector(Lanes(dtype), dtype, filters(tile), turned)

    def pack(block: int, part: int, worker: int) -> None:
        """Transform some input channels of the kernels of two vectors of output channels.

        They lie side by side: for different threads, that would be too close.
        """
        C, width = get_int(block, KERNEL.C), get_int(block, KERNEL.block)
        chunk, here = get_int(block, KERNEL.chunk), get_int(block, KERNEL.vectors)
        parts, pairs = -(-C // chunk), pairs_of(here, width)
        first, rest = part % parts * chunk, part // parts
        pair, group = rest % pairs, rest // pairs
        of_block = (width + 1) // 2
        start, end = pair // of_block * width, (pair // of_block + 1) * width
        start += pair % of_block * 2
        for place in range(start, min(start + 2, end, here)):
            one_vector(block, group, place, first, min(first + chunk, C))

    return pack


@helper
def pairs_of(vectors: int, width: int) -> Any:
    """Count pairs of vectors, in blocks of so many; see `npconv.compiled.winograd.pairs_of`."""
    of_block = (width + 1) // 2
    return vectors // width * of_block + (vectors % width + 1) // 2


def _one_vector(lanes: Lanes, dtype: str, f: Filters, turned: bool) -> Any:
    one, put = kernel_in(lanes, dtype, f, turned), setter(dtype)
    count, nbytes, elements = lanes.count, lanes.nbytes, f.elements

    @helper
    def one_vector(block: int, group: int, place: int, first: int, stop: int) -> None:
        """Transform the kernels of vector ``place`` of these blocks."""
        C, K = get_int(block, KERNEL.C), get_int(block, KERNEL.K)
        width, here = get_int(block, KERNEL.block), get_int(block, KERNEL.vectors)
        vector = get_int(block, KERNEL.first) + place
        last = min(count, K - vector * count) - 1
        of_out, of_in = get_int(block, KERNEL.of_out), get_int(block, KERNEL.of_in)
        w = get_int(block, get_int(block, KERNEL.operand)) + vector * count * of_out
        w += group * get_int(block, KERNEL.of_group) + get_int(block, KERNEL.at)
        of_row, of_tap = get_int(block, KERNEL.of_row), get_int(block, KERNEL.of_tap)
        k, j = place // width, place % width
        vectors = min(width, here - k * width)
        of_element = odd_lines(vectors * C * nbytes)
        pair = min(2, vectors - j // 2 * 2)
        u = get_int(block, get_int(block, KERNEL.result)) + get_int(block, KERNEL.u)
        u += group * get_int(block, KERNEL.u_group)
        u += k * elements * odd_lines(width * C * nbytes) + (j // 2 * 2 * C + j % 2) * nbytes
        most = get_int(block, SCRATCH) + get_int(block, KERNEL.most)
        for c in range(first, stop):
            to = u + c * pair * nbytes
            largest = one(w + c * of_in, of_out, of_in, of_row, of_tap, last, to, of_element)
            put(most, (group * -(-K // count) + vector) * C + c, largest)

    return one_vector


def _seen(dtype: str) -> Callable[..., None]:
    get, put, item, count = getter(dtype), setter(dtype), ITEMSIZES[dtype], Lanes(dtype).count

    def seen(block: int, part: int, worker: int) -> None:
        """Find the largest magnitude for each input channel, and copy one output's whole kernel.

        Of the outputs, one whose vector has large magnitudes; as the transform turns them.
        """
        C, taps = get_int(block, KERNEL.C), get_int(block, KERNEL.taps)
        vectors = -(-get_int(block, KERNEL.K) // count)
        most = get_int(block, SCRATCH) + get_int(block, KERNEL.most)
        to = get_int(block, get_int(block, KERNEL.result)) + get_int(block, KERNEL.seen)
        to += part * get_int(block, KERNEL.seen_group)
        best, where = -1.0, 0
        for c in range(C):
            put(to, c, get(most, part * vectors * C + c))
        for vector in range(vectors):
            total = 0.0
            for c in range(C):
                one = get(most, (part * vectors + vector) * C + c)
                total += one
                if one > get(to, c):
                    put(to, c, one)
            if total > best:
                best, where = total, vector
        w = get_int(block, get_int(block, KERNEL.operand))
        w += part * get_int(block, KERNEL.of_group)
        w += where * count * get_int(block, KERNEL.of_out)
        turned = get_int(block, KERNEL.turned)
        for c in range(C):
            of = w + c * get_int(block, KERNEL.of_in)
            for tap in range(taps):
                one = get(of, taps - 1 - tap if turned else tap)
                put(to + C * item, c * taps + tap, abs(one))

    return seen
