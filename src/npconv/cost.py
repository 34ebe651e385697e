"""What a computation costs: counted from shapes, never measured.

The planner compares costs; tests assert them. `seconds` turns counts into a time to compare
by, with rates fitted to one machine (`npconv.rates`). On another all of them are some other
times as long, and what is fastest is mostly the same.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npconv.rates import RATES


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
    """

    multiplications: int
    bytes_moved: int
    workspace: int
    error_growth: float
    calls: int = 1


def seconds(name: str, direction: str, cost: Cost, dtype: np.dtype) -> float:
    """Estimate the time an algorithm takes."""
    product, byte, call, run = RATES.get((name, direction), RATES["im2col", direction])
    # Vectors hold half as many numbers of twice the size; a complex product is four real.
    products = cost.multiplications * dtype.itemsize / 4 * (2 if dtype.kind == "c" else 1)
    return 1e-9 * (products * product + cost.bytes_moved * byte + cost.calls * call + run)
