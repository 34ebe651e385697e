"""How much memory there is, so that impossible results are refused before they are tried."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import DTypeLike

from npconv.errors import CapacityError
from npconv.problem import Array

# Where Linux keeps a container's limit: control groups version 2, then version 1.
_CGROUP_FILES = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


@cache
def total_memory() -> int:
    """Bytes of memory of the machine, or of the container where that is less."""
    limits = [_machine_memory()]
    for name in _CGROUP_FILES:
        try:
            with open(name, encoding="ascii") as file:  # noqa: PTH123 - pathlib costs the import more
                text = file.read().strip()
        except OSError:
            continue
        if text.isdecimal():  # "max" means no limit
            limits.append(int(text))
    return min(limits)


def _machine_memory() -> int:
    if sys.platform == "win32":  # pragma: no cover - Windows alone
        kilobytes = ctypes.c_ulonglong()
        ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes))
        return kilobytes.value * 1024 or sys.maxsize
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_capacity(what: str, shape: Sequence[int], dtype: DTypeLike) -> None:
    """Refuse a result that the machine's memory cannot hold, with its size."""
    needed = math.prod(shape) * np.dtype(dtype).itemsize
    if needed > total_memory():
        raise CapacityError(
            f"{what} of shape {tuple(shape)} and dtype {np.dtype(dtype)} needs {needed:,} bytes, "
            f"but the memory here is {total_memory():,} bytes"
        )


def new_array(what: str, shape: Sequence[int], dtype: DTypeLike) -> Array:
    """Allocate a result, if there can be enough memory for it."""
    check_capacity(what, shape, dtype)
    try:
        return np.empty(tuple(shape), dtype)
    except (MemoryError, ValueError) as error:
        # ValueError: zero-size arrays whose other sizes overflow NumPy's counter
        raise CapacityError(
            f"{what} of shape {tuple(shape)} and dtype {np.dtype(dtype)} cannot be allocated: "
            f"{error}"
        ) from error
