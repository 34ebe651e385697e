"""Tiles over threads: jobs in any order, what they add up in a fixed one.

NumPy lets go of the interpreter inside matrix products and copies, so Python threads share
the machine. The calling thread works too, so nothing waits when the others are busy, and
calls from many threads at once share one pool.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from threading import Condition, Lock
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from npconv.blas import one_thread
from npconv.scratch import Scratch

if TYPE_CHECKING:  # some milliseconds, which `import npconv` need not spend
    from concurrent.futures import Executor

# A job computes with working arrays of its own. What it returns is called in the order of
# the jobs: there sums of several jobs are formed. All jobs return one, or none does.
Job: TypeAlias = Callable[[Scratch], Callable[[], None] | None]


def run(jobs: Iterator[Job], scratches: Sequence[Scratch]) -> None:
    """Run jobs on as many threads as there are scratches, the caller's among them."""
    if len(scratches) == 1:
        _alone(jobs, scratches[0])
        return
    first = deque(islice(jobs, len(scratches)))  # there may be a million: never all of them
    others = scratches[1 : len(first)]
    queue = _Queue(_after(first, jobs))
    helpers = [_pool.executor().submit(queue.help, scratch) for scratch in others]
    try:
        queue.work(scratches[0])
    finally:
        failed = [helper.exception() for helper in helpers if not helper.cancel()]
    for error in failed:
        if error:
            raise error


def _alone(jobs: Iterator[Job], scratch: Scratch) -> None:
    with np.errstate(all="ignore"):
        for job in jobs:
            add = job(scratch)
            if add:
                add()
            del job, add  # before the next job is made


def _after(first: deque[Job], jobs: Iterator[Job]) -> Iterator[Job]:
    """Go through jobs without holding on to one: what it works with may be large."""
    while first:
        yield first.popleft()
    yield from jobs


class _Queue:
    """Jobs, handed out one by one; the first that fails stops the rest."""

    def __init__(self, jobs: Iterator[Job]) -> None:
        self._jobs = jobs
        self._taken = self._next_to_add = 0
        self._failed = False
        self._turn = Condition()

    def help(self, scratch: Scratch) -> None:
        """Work on a thread that does not hold BLAS as the caller's does."""
        with one_thread():
            self.work(scratch)

    def work(self, scratch: Scratch) -> None:
        """Take jobs until there are no more."""
        try:
            with np.errstate(all="ignore"):
                while taken := self._take():
                    number, job = taken
                    add = job(scratch)
                    if add:
                        self._add(number, add)
                    del taken, job, add  # before the next job is made
        except BaseException:
            with self._turn:
                self._failed = True
                self._turn.notify_all()
            raise

    def _take(self) -> tuple[int, Job] | None:
        with self._turn:
            job = None if self._failed else next(self._jobs, None)
            if job is None:
                return None
            self._taken += 1
            return self._taken - 1, job

    def _add(self, number: int, add: Callable[[], None]) -> None:
        """Wait for all jobs before this one, then let it add; additions never overlap."""
        with self._turn:
            self._turn.wait_for(lambda: self._next_to_add == number or self._failed)
            if not self._failed:
                add()
            self._next_to_add += 1
            self._turn.notify_all()


class _Pool:
    """The threads all calls share, made when first needed."""

    def __init__(self) -> None:
        self._executor: Executor | None = None
        self._lock = Lock()

    def executor(self) -> Executor:
        """Give the executor."""
        with self._lock:
            if self._executor is None:
                from concurrent.futures import ThreadPoolExecutor

                # More than the machine has would only wait, but settings may ask for it.
                self._executor = ThreadPoolExecutor(max(32, os.cpu_count() or 1), "npconv")
            return self._executor

    def start_anew(self) -> None:
        """Forget, in a forked process, threads that it does not have."""
        self._executor, self._lock = None, Lock()


_pool = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.start_anew)
