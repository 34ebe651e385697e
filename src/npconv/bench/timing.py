"""One timing: the median of enough calls."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable

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
