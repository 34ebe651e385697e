"""How far a result may lie from the exact one: computed, never tuned.

An algorithm states a growth factor g with |error| <= g * u * (|input| * |kernel|) for every
element, u being the unit round-off.  For direct summation of n products g is n: one rounding
for each product and n - 1 for the sums (Higham, Accuracy and Stability of Numerical Algorithms,
2002, section 3.1, to first order in u).
"""

from __future__ import annotations

from typing import Any

import ml_dtypes

from oracle import Array


def unit_roundoff(dtype: Any) -> float:
    """Half the distance from 1 to the next number: the worst relative error of one rounding."""
    return float(finfo(dtype).eps) / 2


def finfo(dtype: Any) -> Any:
    """What NumPy tells of its floats, of bfloat16 too."""
    return ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call] # it comes without types


def bound(magnitude: Array, dtype: Any, growth: float) -> Array:
    """The largest error allowed to each element.

    `magnitude` is the sum of |products|.  What a result is compared with is itself the exact
    value rounded to float64, which is granted on top, and so is what is too small for `dtype`.
    """
    allowed: Array = (growth * unit_roundoff(dtype) + unit_roundoff(float)) * magnitude
    allowed += float(finfo(dtype).smallest_subnormal)
    return allowed
