"""The kernel's side of Winograd's filtering: transformed once, into the order it is read in.

For each block of output channels: element by element of a tile, two vectors of output
channels at a time, for every input channel.
"""

from __future__ import annotations

from collections.abc import Callable

from npconv.compiled.blocks import FIRST, OUT, SCRATCH
from npconv.compiled.kernels.lanes import Lanes
from npconv.compiled.kernels.memory import get_int, setter
from npconv.compiled.kernels.winograd_parts import filters, kernel_in
from npconv.compiled.winograd_words import KERNEL


def make(dtype: str, tile: str, turned: str) -> Callable[..., None]:
    """Make the kernel's transform; ``"turned"`` exchanges its elements, for the input's gradient."""
    lanes, f = Lanes(dtype), filters(tile)
    one, put = kernel_in(lanes, dtype, f, turned == "turned"), setter(dtype)
    count, nbytes, elements = lanes.count, lanes.nbytes, f.elements

    def pack(block: int, part: int, worker: int) -> None:
        """Transform some input channels of the kernels of one vector of output channels."""
        C, K = get_int(block, KERNEL.C), get_int(block, KERNEL.K)
        width, chunk = get_int(block, KERNEL.block), get_int(block, KERNEL.chunk)
        parts, all_vectors = -(-C // chunk), -(-K // count)
        first, rest = part % parts * chunk, part // parts
        vector, group = rest % all_vectors, rest // all_vectors
        last = min(count, K - vector * count) - 1
        w = get_int(block, FIRST) + group * get_int(block, KERNEL.of_group)
        w += vector * count * get_int(block, KERNEL.of_out)
        k, j = vector // width, vector % width
        vectors = min(width, all_vectors - k * width)
        pair = min(2, vectors - j // 2 * 2)
        u = get_int(block, OUT) + group * get_int(block, KERNEL.u_group)
        u += ((k * width * elements + j // 2 * 2) * C + j % 2) * nbytes
        most = get_int(block, SCRATCH)
        for c in range(first, min(first + chunk, C)):
            largest = one(
                w + c * get_int(block, KERNEL.of_in), get_int(block, KERNEL.of_out), last,
                u + c * pair * nbytes, vectors * C * nbytes,
            )  # fmt: skip
            put(most, (group * all_vectors + vector) * C + c, largest)

    return pack
