"""Hyperparameters as users write them: one real number each, checked."""

from __future__ import annotations

import math
from typing import Any

from npconv.errors import UnsupportedError
from npconv.options import finite_number


def real_number(
    name: str, value: Any, *, at_least: float = -math.inf, at_most: float = math.inf
) -> float:
    """Return `value` as a float, or say which range it misses."""
    number = finite_number(name, value)
    if not at_least <= number <= at_most:
        raise UnsupportedError(
            f"{name} must be from {at_least:g} to {at_most:g}, but {name}={value!r}"
        )
    return number
