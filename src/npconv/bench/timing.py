"""One timing: the median of enough calls; and what it was made on."""

from __future__ import annotations

import datetime
import gc
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import npconv

REPEATS, MOST = 3, 2000
SLOW = 1.0  # seconds; one such call says enough


def seconds_of(call: Callable[[], object], at_least: float = 0.005) -> float:
    """Time a call, again and again for ``at_least`` seconds, and give the median.

    It is called unmeasured first: caches and clocks belong to whoever ran before. A
    collection of garbage would hit some calls and not others, so there is none meanwhile.

    Examples
    --------
    >>> from npconv.bench.timing import seconds_of
    >>> 0 < seconds_of(lambda: sum(range(100)), at_least=0) < 1
    True
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        began = time.perf_counter()
        call()
        while time.perf_counter() - began < at_least / 2:
            call()
        return statistics.median(_times(call, at_least))
    finally:
        if collects:
            gc.enable()


def _times(call: Callable[[], object], at_least: float) -> list[float]:
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < MOST:
        start = time.perf_counter()
        call()
        end = time.perf_counter()
        times.append(end - start)
        if times[0] > SLOW or (len(times) >= REPEATS and end - began >= at_least):
            break
    return times


def machine() -> dict[str, str | int | None]:
    """Describe it: processor, cores, versions and date."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "npconv": npconv.__version__,
        "date": datetime.date.today().isoformat(),
    }


class Others:
    """How busy the machine is with something else, from now on; on Linux only.

    Two threads that wait for each other lose milliseconds whenever one of them has to
    share its processor: figures from a machine that was not idle say little.

    Examples
    --------
    >>> from npconv.bench.timing import Others
    >>> busy = Others().share()
    >>> busy is None or busy < 1000
    True
    """

    def __init__(self) -> None:
        self._began, self._busy, self._own = time.perf_counter(), _busy(), _own()

    def share(self) -> float | None:
        """Tell how many processors were busy with others, on average."""
        busy = _busy()
        if busy is None or self._busy is None:
            return None
        others = (busy - self._busy) - (_own() - self._own)
        return max(0.0, others / max(time.perf_counter() - self._began, 0.01))


def _busy() -> float | None:
    """Seconds that all processors have worked, for whomever."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _idle, _waiting, *more = map(
        int, stat.read_text().splitlines()[0].split()[1:9]
    )
    return (user + nice + system + sum(more)) / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    """Seconds of processor that this process and its ended children took."""
    return sum(os.times()[:4])
