"""Numbers of arrays that lie in one piece, each by itself: the rectifier and its gradient.

A sum is rounded before it is rectified, as it would be in an array of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npconv.compiled.blocks import CALL_WORDS, FIRST, OUT, SECOND
from npconv.compiled.front_end import helper
from npconv.compiled.kernels.channels import Rows, each_vector
from npconv.compiled.kernels.memory import I64, emitted, get_int
from npconv.compiled.kernels.row_vectors import RowVectors
from npconv.compiled.registers import ITEMSIZES

COUNT, CHUNK = CALL_WORDS, CALL_WORDS + 1


@helper
def chunk_of(block: int, part: int, item: int) -> Any:
    """Say how many bytes into every array a part's numbers begin, and how many there are."""
    chunk = get_int(block, CHUNK)
    return part * chunk * item, min(chunk, get_int(block, COUNT) - part * chunk)


def make(what: str, dtype: str) -> Callable[..., None]:
    """Make ``relu`` of FIRST, or ``relu_of_sum`` of FIRST and SECOND, or ``relu_grad``.

    The last is of outputs, FIRST, and their gradients, SECOND.
    """
    V, item = RowVectors(dtype), ITEMSIZES[dtype]
    zero = V.zero

    def emit(b: Any, count: Any, *addresses: Any) -> None:
        first, second, out = (Rows(b, V, address, I64(0)) for address in addresses)

        def body(place: Any, mask: Any, _: int) -> None:
            x = first.load(place, mask, zero)
            if what == "relu_of_sum":
                x = b.fadd(x, second.load(place, mask, zero))
            if what == "relu_grad":
                passes = b.fcmp_unordered("!=", x, zero)  # of NaN too
                result = b.select(passes, second.load(place, mask, zero), zero)
            else:
                result = b.select(b.fcmp_unordered(">", x, zero), x, zero)
            out.store(place, mask, result)

        each_vector(b, V, I64(1), count, body)

    write = emitted(emit, 4)

    def kernel(block: int, part: int, worker: int) -> None:
        first, count = chunk_of(block, part, item)
        write(
            count,
            get_int(block, FIRST) + first,
            get_int(block, SECOND) + first,
            get_int(block, OUT) + first,
        )

    return kernel
