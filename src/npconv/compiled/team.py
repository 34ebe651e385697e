"""The compiled engine's own threads: a few that wait in machine code, then fall asleep.

A sleeping thread takes some 50 microseconds to wake, as long as a small convolution. So who
has worked stays awake for a moment. The leader never waits for a thread that has not begun:
where the team is busy or asleep, it computes alone.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread

import numpy as np

from npconv.compiled.machine_code import address_of, function
from npconv.processors import bind, here_and_others

AWAKE_SECONDS = 2e-3
MOST_WORKERS = 64
# See `npconv.compiled.kernels.team`.
_WORD, _STOP, _ASLEEP = 8, 56, 64


class Team:
    """Workers that share memory with whoever leads; made when first needed."""

    def __init__(self) -> None:
        words = np.zeros(_ASLEEP + _WORD * (MOST_WORKERS + 2), np.int64)
        self.words = words[-words.ctypes.data % 64 // 8 :]  # begin with a cache line
        # Runs all parts of a step, told in an order, with the caller and whoever is awake.
        self.lead = function(address_of("team", "lead"), ctypes.py_object)
        self._serve = function(address_of("team", "serve"), *(ctypes.c_int64,) * 3)
        self._patience = 0
        self._workers: list[tuple[Thread, Lock]] = []
        self._growing = Lock()

    def wake(self, count: int) -> None:
        """Wake so many workers, as far as they sleep."""
        if len(self._workers) < count:
            self._grow(count)
        words = self.words
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
        self._serve(self.words.ctypes.data, last, spins)
        return max(1, int(spins * seconds / (time.perf_counter() - start)))

    def _work(self, worker: int, wake: Lock) -> None:
        while not self.words[_STOP]:
            self._serve(self.words.ctypes.data, worker, self._patience)
            if not self.words[_STOP]:
                wake.acquire()

    def stop(self) -> None:
        """Send the workers home, before what they execute goes."""
        self.words[_STOP] = 1
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
