"""What a computation costs: counted from shapes, never measured.

The planner compares costs; tests assert them. `Cost.time` turns counts into a number to
compare by.
"""

from __future__ import annotations

from typing import NamedTuple

# A product inside a BLAS matrix product is the unit (about 1/40 ns on one core). A byte
# written and read again costs some five of them, a NumPy call a few microseconds. These
# are orders of magnitude, which is all that telling loops from a matrix product takes.
COST_OF_PRODUCT = 1.0
COST_OF_BYTE = 5.0
COST_OF_CALL = 100_000.0


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

    @property
    def time(self) -> float:
        """One number to compare by; the unit is a product in a matrix product."""
        return (
            self.multiplications * COST_OF_PRODUCT
            + self.bytes_moved * COST_OF_BYTE
            + self.calls * COST_OF_CALL
        )
