"""The processors: how many this process may use, and one of its own for each thread of a call.

In a virtual machine an idle processor looks to the system as if its host had taken it away. So
a thread that wakes is put beside the one that woke it, and while a call's threads wait now and
then for each other, both share one processor: for some fifty milliseconds after a rest, two
threads took as long as one. Who is told where to work is not moved.
"""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import chain, cycle

# Where Linux keeps a container's limit, microseconds in a period: control groups version 2,
# then version 1.
_CPU_QUOTAS = (
    ("/sys/fs/cgroup/cpu.max",),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)


def usable_cpus() -> int:
    """Count the processors this process may run on: those it is bound to, or granted."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return max(1, min(count, math.ceil(_quota() or count)))


def _quota() -> float | None:
    """Say how many processors' time a container may use; None where there is no limit."""
    for names in _CPU_QUOTAS:
        try:
            # One file holds both numbers, or each has its own.
            words = " ".join(_read(name) for name in names).split()
        except OSError:
            continue
        if len(words) == 2 and all(word.isdecimal() for word in words) and int(words[1]):
            return int(words[0]) / int(words[1])
    return None


def _read(name: str) -> str:
    with open(name, encoding="ascii") as file:  # noqa: PTH123 - pathlib costs the import more
        return file.read()


def one_each(threads: int) -> tuple[int, ...]:
    """Give each of so many threads a processor, the first the one that the caller is on.

    None where there are more processors: the system knows better which of them share a core;
    nor where there are fewer, or the system does not tell.
    """
    here, usable = _here()(), _allowed()
    return (here, *usable - {here}) if len(usable) == threads and here in usable else ()


def bind(thread: int | None, processors: Sequence[int]) -> None:
    """Let a thread, by the system's number or 0 for this one, work on these alone, if any."""
    with suppress(OSError):  # not allowed, or the thread has ended
        if processors and thread is not None:
            os.sched_setaffinity(thread, processors)


@contextmanager
def apart(working: int, helpers: Sequence[int | None]) -> Iterator[None]:
    """Keep the caller where it is inside a ``with`` block, and who may help it elsewhere.

    ``helpers`` are the system's numbers of threads; ``working`` says how many will work, the
    caller among them.
    """
    places = one_each(working)
    if not places[1:]:
        yield
        return
    try:
        for thread, place in zip((0, *helpers), chain(places[:1], cycle(places[1:])), strict=False):
            bind(thread, [place])
        yield
    finally:
        for thread in (0, *helpers):
            bind(thread, places)


def _allowed() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


@cache
def _here() -> Callable[[], int]:
    """Find what tells which processor a thread is on: the system's C library, on Linux."""
    try:
        return ctypes.PyDLL(None).sched_getcpu
    except (AttributeError, OSError, TypeError):
        return lambda: -1
