"""What a computation costs: counted from shapes, never measured.

The planner compares costs; tests assert them. `seconds` turns counts into a time to compare
by, with rates fitted to one machine (`npconv.rates`). On another all of them are some other
times as long, and what is fastest is mostly the same. But where vectors are half as wide,
products take twice as long, and what is moved does not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npconv.rates import RATES, VECTOR_BYTES

# What has no vectors of its own making: NumPy's transforms, and its loops over whole arrays.
_NO_VECTORS = frozenset({"naive", "slices", "fft"})


class Packing(NamedTuple):
    """What bringing the kernel into an algorithm's own form takes.

    Attributes
    ----------
    products
        Those of `Cost.multiplications` that are formed then.
    numbers
        Numbers written.
    """

    products: int = 0
    numbers: int = 0


class Cost(NamedTuple):
    """Counts for one problem, or one tile of it.

    Attributes
    ----------
    multiplications
        Scalar products formed.
    bytes_moved
        Bytes written to and read from working arrays.
    workspace
        Most bytes of working arrays alive at once, beyond operands and result.
    error_growth
        ``g`` in ``|error| <= g * u * (|input| * |kernel|)``, ``u`` the unit round-off.
    calls
        Calls into NumPy: what a small problem pays for.
    packing
        What a plan that holds a packed kernel is spared.
    """

    multiplications: int
    bytes_moved: int
    workspace: int
    error_growth: float
    calls: int = 1
    packing: Packing = Packing()


def repeated(cost: Cost, images: int) -> Cost:
    """Count for so many images what one takes: all but the kernel's packing, and the memory."""
    products = cost.multiplications - cost.packing.products
    return cost._replace(
        multiplications=images * products + cost.packing.products,
        bytes_moved=images * cost.bytes_moved,
        calls=images * cost.calls,
    )


def seconds(
    name: str, direction: str, cost: Cost, dtype: np.dtype, *,
    packed: bool = False, vector_bytes: int = VECTOR_BYTES,
) -> float:  # fmt: skip
    """Estimate the time an algorithm takes, with the kernel packed beforehand or as it is."""
    rates = RATES.get((name, direction), RATES["im2col", direction])
    product, byte, call, number, run = rates
    # Vectors hold half as many numbers of twice the size; a complex product is four real.
    size = dtype.itemsize / 4
    if name not in _NO_VECTORS:
        product *= VECTOR_BYTES / vector_bytes
    spared = cost.packing.products if packed else 0
    products = (cost.multiplications - spared) * size * (2 if dtype.kind == "c" else 1)
    packing = 0.0 if packed else cost.packing.numbers * size * number
    return 1e-9 * (products * product + cost.bytes_moved * byte + cost.calls * call + packing + run)
