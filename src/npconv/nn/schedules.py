"""Learning rates over time: functions of the step that give a factor for ``lr``."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from npconv.options import real_number

# (step, steps in all) to the factor that multiplies the optimiser's lr
Schedule: TypeAlias = Callable[[int, int], float]


@dataclass(frozen=True, slots=True)
class CosineSchedule:
    """Half a cosine from 1 down to `final`, after a linear warm-up.

    Parameters
    ----------
    warmup : float
        Share of all steps over which the factor climbs to 1, from 0 to 1.
    final : float
        Factor at the end, from 0 to 1.

    Raises
    ------
    DTypeError, UnsupportedError
        Arguments that are no numbers or out of range.

    References
    ----------
    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017;
    for the warm-up Goyal et al., "Accurate, Large Minibatch SGD", 2017.

    Examples
    --------
    >>> from npconv.nn import CosineSchedule
    >>> schedule = CosineSchedule(warmup=0.5)
    >>> [schedule(step, 8) for step in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 0.8535533905932737]
    """

    warmup: float = 0.0
    final: float = 0.0

    def __post_init__(self) -> None:
        for name in ("warmup", "final"):
            real_number(name, getattr(self, name), at_least=0, at_most=1)

    def __call__(self, step: int, steps: int) -> float:
        """Give the factor for step number `step` of `steps`, counted from 0."""
        climbing = round(self.warmup * steps)
        if step < climbing:
            return (step + 1) / climbing
        done = (step - climbing) / max(steps - climbing, 1)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2
