"""The compiled engine's own threads: a few that wait in machine code, then fall asleep.

A sleeping thread takes some 50 microseconds to wake, as long as a small convolution. So who
has worked stays awake for a moment. The leader never waits for a thread that has not begun:
where the team is busy or asleep, it computes alone.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from threading import Lock, Thread

import numpy as np

from npconv.compiled.machine_code import address_of, function
from npconv.processors import bind, here_and_others

AWAKE_SECONDS = 2e-3
MOST_WORKERS = 64
_WORD, _STOP, _DATA, _ASLEEP = 8, 56, 64, 72  # see `npconv.compiled.kernels.team`
# Twelve integers in one string of bytes: as arguments they take up to three times as long.
_order = struct.Struct("12q").pack


@cache
def data_offset() -> int:
    """Find where in an array object NumPy keeps the address of its numbers.

    Asking NumPy for it takes a microsecond an array, and there are four in a call. The place
    is part of NumPy's binary interface; here it is looked up rather than known.
    """
    arrays = [np.empty(n, np.uint8) for n in (10, 1000, 100_000)]
    for offset in range(16, 64, 8):
        found = [ctypes.c_size_t.from_address(id(array) + offset).value for array in arrays]
        if found == [array.ctypes.data for array in arrays]:
            return offset
    raise AssertionError("an array knows where its numbers are")


class Team:
    """Workers that share memory with whoever leads; made when first needed."""

    def __init__(self) -> None:
        words = np.zeros(_ASLEEP + _WORD * (MOST_WORKERS + 2), np.int64)
        self._words = words[-words.ctypes.data % 64 // 8 :]  # begin with a cache line
        self._memory = self._words.ctypes.data
        ignored = self._ignored = np.zeros(2, np.int64)
        self._two = ignored.ctypes.data, ignored.ctypes.data + 8
        self._words[_DATA] = data_offset()
        self._lead = function(address_of("team", "lead"), ctypes.c_char_p)
        self._serve = function(address_of("team", "serve"), *(ctypes.c_int64,) * 3)
        self._patience = 0
        self._workers: list[tuple[Thread, Lock]] = []
        self._growing = Lock()

    def run(
        self, kernel: int, constants: int, count: int, parts: int, threads: int,
        brought: tuple[int, ...],
    ) -> None:  # fmt: skip
        """Run all parts of a kernel on up to so many threads, the caller's among them.

        The first words of its block are what is ``brought``: where four arrays begin, of which
        the objects are told, or 0, and two addresses. The rest are ``count`` constants.
        """
        if threads > 1 and parts > 1:
            threads = min(threads, parts, MOST_WORKERS + 1)
            self._wake(threads - 1)
        order = _order(self._memory, kernel, constants, count, parts, threads, *brought)
        self._lead(*self._two, order)

    def _wake(self, count: int) -> None:
        if len(self._workers) < count:
            self._grow(count)
        words = self._words
        asleep = [i for i in range(count) if words[_ASLEEP + _WORD * (i + 1)]]
        here, others = here_and_others() if asleep else (-1, [])
        for i in asleep:
            thread, wake = self._workers[i]
            # Where it begins, not where it stays.
            bind(thread.native_id, others[i : i + 1] if len(others) == count else others)
            words[_ASLEEP + _WORD * (i + 1)] = 0
            with suppress(RuntimeError):  # another caller was first
                wake.release()
            bind(thread.native_id, others and [here, *others])

    def _grow(self, count: int) -> None:
        with self._growing:
            if not self._patience:
                self._patience = self._spins_for(AWAKE_SECONDS)
            while len(self._workers) < count:
                wake = Lock()
                wake.acquire()
                job: Callable[..., None] = self._work
                arguments = (len(self._workers) + 1, wake)
                thread = Thread(target=job, args=arguments, name="npconv", daemon=True)
                self._workers.append((thread, wake))
                thread.start()

    def _spins_for(self, seconds: float) -> int:
        """Measure how often a worker looks for work in that time."""
        spins, last = 2000, MOST_WORKERS + 1
        start = time.perf_counter()
        self._serve(*self._two, self._memory, last, spins)
        return max(1, int(spins * seconds / (time.perf_counter() - start)))

    def _work(self, worker: int, wake: Lock) -> None:
        while not self._words[_STOP]:
            self._serve(*self._two, self._memory, worker, self._patience)
            if not self._words[_STOP]:
                wake.acquire()

    def stop(self) -> None:
        """Send the workers home, before what they execute goes."""
        self._words[_STOP] = 1
        for thread, wake in self._workers:
            with suppress(RuntimeError):  # it is awake
                wake.release()
            thread.join()


class _OfProcess:
    """The team of this process."""

    def __init__(self) -> None:
        self.team: Team | None = None
        self.lock = Lock()

    def start_anew(self) -> None:
        """Forget, in a forked process, threads that it does not have."""
        self.team, self.lock = None, Lock()

    def stop(self) -> None:
        """Stop them at the end."""
        if self.team:
            self.team.stop()


_of_process = _OfProcess()
atexit.register(_of_process.stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_of_process.start_anew)


def team() -> Team:
    """Give the team, made at first use."""
    found = _of_process.team
    if found is None:
        with _of_process.lock:
            found = _of_process.team
            if found is None:
                found = _of_process.team = Team()
    return found
