"""What a run's bits depend on beside the data: versions, machine, settings, choices."""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Callable
from dataclasses import is_dataclass
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
