"""Integers that would not fit are refused before anything is computed."""

from __future__ import annotations

from typing import Any

import numpy as np

from npconv.errors import RangeError
from npconv.problem import Array
from npconv.products import largest


def check_range(
    dtype: np.dtype[Any], terms: int, operands: dict[str, Array], bias: Array | None = None
) -> int:
    """Refuse what might not fit an integer dtype: sums of ``terms`` products of operands.

    Returns a bound of the sums' absolute values; 0 for dtypes that are no integers.

    Raises
    ------
    RangeError
        When ``terms * max|a| * max|b| + max|bias|`` exceeds the dtype, or when the dtype is
        unsigned and something is negative. True values decide, whatever the operands' dtypes.
    """
    if dtype.kind not in "iu":
        return 0
    most = int(np.iinfo(dtype).max)
    signed = operands if bias is None else {**operands, "bias": bias}
    for name, array in signed.items():
        if dtype.kind == "u" and array.size and array.dtype.kind != "b" and int(array.min()) < 0:
            raise RangeError(
                f"a result of {dtype} cannot be negative, but {name} holds {int(array.min())}"
            )
    sizes = {name: largest(array) for name, array in operands.items()}
    bound = terms
    for size in sizes.values():
        bound *= size
    added = 0 if bias is None else largest(bias)
    if bound + added > most:
        factors = " * ".join([str(terms), *(f"max|{n}| {v}" for n, v in sizes.items())])
        raise RangeError(
            f"sums of {terms} products might not fit the result dtype {dtype}: {factors} + "
            f"max|bias| {added} = {bound + added}, but its largest number is {most}; "
            "scale the operands down, or use a float dtype"
        )
    return bound + added
