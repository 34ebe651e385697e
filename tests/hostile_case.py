"""What a hostile case is: a valid call with one argument replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hostile_values import Hostile
from oracle import Array

Arguments = dict[str, Any]


def numbers(*shape: int) -> Array:
    """Small whole numbers, so that every sum is exact."""
    return np.random.default_rng(sum(shape)).integers(-4, 5, shape).astype(float)


X, W, Y, COL = (2, 4, 5, 6), (6, 2, 3, 3), (2, 6, 3, 3), (2, 36, 9)
WINDOW = {"stride": 2, "padding": 1}
OPTIONS = {**WINDOW, "groups": 2}


@dataclass(frozen=True)
class Call:
    """A valid call, and hostile values for its arguments."""

    id: str
    function: Callable[..., Any]
    arguments: Callable[[], Arguments]
    hostile: dict[str, list[Hostile]] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One argument of a call replaced."""

    call: Call
    argument: str
    value: Hostile

    def __str__(self) -> str:
        return f"{self.call.id}-{self.argument}-{self.value.id}"

    def arguments(self) -> Arguments:
        return {**self.call.arguments(), self.argument: self.value.make()}
