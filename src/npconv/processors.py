"""The processors: how many this process may use, and one of its own for each thread of a call.

In a virtual machine an idle processor looks to the system as if its host had taken it away. So
a thread that wakes is put beside the one that woke it, and while a call's threads wait now and
then for each other, both share one processor: for some fifty milliseconds after a rest, two
threads took as long as one. A thread that is bound to a processor is not moved.
"""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import cache
from threading import get_ident
from time import monotonic
from typing import NamedTuple

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


class Placed(NamedTuple):
    """Threads that a call has bound to processors, its caller first, and where each might be."""

    caller: int
    masks: list[tuple[int, set[int]]]


# One call at a time. What an interrupt keeps a caller from undoing, its next call undoes.
_placed: dict[str, Placed] = {}
# Seconds without a call after which the system places threads badly, and for how long it does.
# Later it does well, and bound threads would only be unable to make way for others.
REST, AFTER_REST = 0.01, 0.1
_times = {"ended": 0.0, "rested": 0.0}
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_placed.clear)


def apart(helpers: Sequence[int | None]) -> Placed | None:
    """Bind the caller to the processor it is on, and each helper to one of its own.

    Helpers are told by the system's numbers of threads. Where there are more processors,
    nobody is moved, as the system knows better which of them share a core; nor where there are
    fewer, while another call's threads are bound, long after a rest, or where the system does not
    tell.
    """
    mine = Placed(get_ident(), [])
    found = _placed.setdefault("call", mine)
    if found is not mine and found.caller == mine.caller:
        undo(found)
        found = _placed.setdefault("call", mine)
    if found is not mine:
        return None
    now = monotonic()
    if now - _times["ended"] >= REST:
        _times["rested"] = now
    here, others = here_and_others() if now - _times["rested"] < AFTER_REST else (-1, [])
    if others and len(others) == len(helpers):
        for thread, place in zip((0, *helpers), (here, *others), strict=True):
            if thread is not None:
                with suppress(OSError):  # not allowed
                    mine.masks.append((thread, os.sched_getaffinity(thread)))
                    os.sched_setaffinity(thread, [place])
    return mine


def undo(placed: Placed | None) -> None:
    """Let threads go where they might before."""
    if placed:
        for each in placed.masks:
            bind(*each)
        _times["ended"] = monotonic()
        _placed.pop("call", None)


def here_and_others() -> tuple[int, list[int]]:
    """Say on which processor the caller is, and which others it may use; none if unknown."""
    here = _here()()
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    return here, sorted(usable - {here}) if here in usable else []


def bind(thread: int | None, processors: Collection[int]) -> None:
    """Let a thread, by the system's number or 0 for this one, work on these alone, if any."""
    if processors and thread is not None:
        with suppress(OSError):  # not allowed, or the thread has ended
            os.sched_setaffinity(thread, processors)


@cache
def _here() -> Callable[[], int]:
    """Find what tells which processor a thread is on: the system's C library, on Linux."""
    try:
        return ctypes.PyDLL(None).sched_getcpu
    except (AttributeError, OSError, TypeError):
        return lambda: -1
