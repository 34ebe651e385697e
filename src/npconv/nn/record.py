"""The record of a training run: its epochs, and what its bits depend on beside the data."""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any

import numpy as np

from npconv._version import __version__
from npconv.processors import usable_cpus
from npconv.settings import current_settings

# How BLAS libraries are told their number of threads, on which their sums depend.
_THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch's figures: means over all examples; None for what was not asked for.

    `loss` and `metric` are those of the mini-batches as they were trained on (augmented,
    with dropout, while the weights moved), the validation's those of the epoch's end.
    `learning_rate` is that of the last step.

    Examples
    --------
    >>> from npconv.nn import Epoch
    >>> Epoch(number=1, loss=0.5, learning_rate=0.1, seconds=2.0).validation_loss is None
    True
    """

    number: int
    loss: float
    learning_rate: float
    seconds: float
    metric: float | None = None
    validation_loss: float | None = None
    validation_metric: float | None = None


@dataclass(slots=True)
class History:
    """The epochs of a training run, in order.

    Examples
    --------
    >>> from npconv.nn import Epoch, History
    >>> history = History([Epoch(1, 0.5, 0.1, 2.0), Epoch(2, 0.25, 0.1, 2.0)])
    >>> history.column("loss")
    [0.5, 0.25]
    """

    epochs: list[Epoch] = field(default_factory=list)

    def column(self, name: str) -> list[Any]:
        """List one figure of all epochs, such as ``"validation_loss"``."""
        return [getattr(epoch, name) for epoch in self.epochs]

    def as_dicts(self) -> list[dict[str, Any]]:
        """List the epochs as plain data, such as JSON holds."""
        return [asdict(epoch) for epoch in self.epochs]

    def __len__(self) -> int:
        return len(self.epochs)


def environment() -> dict[str, Any]:
    """Describe versions, machine and settings as plain data."""
    config = np.show_config(mode="dicts") or {}
    blas = config.get("Build Dependencies", {}).get("blas", {})
    return {
        "npconv": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "vector extensions": config.get("SIMD Extensions", {}).get("found", []),
        "blas": f"{blas.get('name')} {blas.get('version')}",
        "blas threads": {
            name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ
        },
        "processors": usable_cpus(),
        "settings": current_settings()._asdict(),
    }


def describe(function: Callable[..., Any] | None) -> str | None:
    """Name a callable, the same way in every process."""
    if function is None:
        return None
    if isinstance(function, functools.partial):
        return f"{describe(function.func)} with {function.args} {function.keywords}"
    if is_dataclass(function):
        return repr(function)
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{getattr(function, '__module__', '')}.{name}"


def differences(recorded: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """List what differs, as ``name was ..., is ...``."""
    return [
        f"{name} was {recorded.get(name)!r}, is {now.get(name)!r}"
        for name in sorted(recorded.keys() | now.keys())
        if recorded.get(name) != now.get(name)
    ]
