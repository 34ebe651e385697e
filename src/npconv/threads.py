"""Tiles over threads: jobs in any order, what they add up in a fixed one.

NumPy lets go of the interpreter inside matrix products and copies, so Python threads share
the machine. The calling thread works too, so nothing waits when the others are busy, and
calls from many threads at once share one pool.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import islice
from queue import SimpleQueue
from threading import Condition, Lock, Thread
from typing import TypeAlias

import numpy as np

from npconv.blas import can_hold, one_thread
from npconv.processors import apart, undo
from npconv.scratch import Scratch

# A job computes with working arrays of its own. What it returns is called in the order of
# the jobs: there sums of several jobs are formed. All jobs return one, or none does.
Job: TypeAlias = Callable[[Scratch], Callable[[], None] | None]


def run(jobs: Iterator[Job], scratches: Sequence[Scratch], *, multiply: bool = True) -> None:
    """Run jobs on as many threads as there are scratches, the caller's among them.

    ``multiply`` says that there are matrix products among what they do, and so BLAS is held.
    """
    if len(scratches) == 1:
        _alone(jobs, scratches[0])
        return
    first = deque(islice(jobs, len(scratches)))  # there may be a million: never all of them
    others = scratches[1 : len(first)]
    queue = _Queue(_after(first, jobs), multiply=multiply)
    helpers = [_Help(partial(queue.help, scratch)) for scratch in others]
    workers, placed = _pool.hire(len(helpers)), None
    try:
        # What a BLAS that cannot be held starts in a job would be bound, too, and for good.
        if can_hold() or not multiply:
            placed = apart([worker.native_id for worker in workers])
        for worker, helper in zip(workers, helpers, strict=False):
            worker.asked.put(helper)
        queue.work(scratches[0])
    finally:
        undo(placed)
        failed = [helper.end() for helper in helpers]
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

    def __init__(self, jobs: Iterator[Job], *, multiply: bool) -> None:
        self._jobs, self._hold = jobs, one_thread if multiply else nullcontext
        self._taken = self._next_to_add = 0
        self._failed = False
        self._turn = Condition()

    def help(self, scratch: Scratch) -> None:
        """Work on a thread that does not hold BLAS as the caller's does."""
        with self._hold():
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


class _Help:
    """What one thread is asked for; who claims it first begins it or, the caller, calls it off."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work: Callable[[], None] | None = work
        self._claimed, self._running = Lock(), Lock()
        self._running.acquire()
        self._error: BaseException | None = None

    def begin(self, first: Callable[[], None]) -> None:
        """Do what is asked, unless it is called off; ``first`` comes before the caller goes on."""
        if not self._work or not self._claimed.acquire(blocking=False):
            first()
            return
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - the caller raises it
            self._error = error
        finally:
            self._work = None
            first()
            self._running.release()

    def end(self) -> BaseException | None:
        """Call it off, or wait for its end; say what went wrong."""
        if self._claimed.acquire(blocking=False):
            self._work = None  # holds on to arrays
        else:
            self._running.acquire()
        return self._error


class _Worker(Thread):
    """A thread that does what is put into its queue, and then is idle again."""

    def __init__(self, idle: list[_Worker]) -> None:
        super().__init__(name="npconv", daemon=True)
        self.asked: SimpleQueue[_Help] = SimpleQueue()
        self._rest = partial(idle.append, self)

    def run(self) -> None:
        """Serve for ever."""
        while True:
            self.asked.get().begin(self._rest)


class _Pool:
    """The threads all calls share, started when first needed.

    An executor's futures would take as long again as it takes to wake a thread, some 50
    microseconds, and its threads make every end of a process wait.
    """

    # More than the machine has would only wait, but settings may ask for it.
    most = max(32, os.cpu_count() or 1)

    def __init__(self) -> None:
        self.start_anew()

    def start_anew(self) -> None:
        """Begin without threads: in a forked process, too, there are none."""
        self._idle: list[_Worker] = []
        self.workers: list[_Worker] = []

    def hire(self, number: int) -> list[_Worker]:
        """Give idle threads, or new ones; there may be fewer, or none, so the caller works too."""
        hired: list[_Worker] = []
        while len(hired) < number:
            try:
                hired.append(self._idle.pop())
            except IndexError:
                if len(self.workers) >= self.most:
                    break
                worker = _Worker(self._idle)
                try:
                    worker.start()
                except RuntimeError:  # no more threads, or the interpreter is about to end
                    break
                self.workers.append(worker)
                hired.append(worker)
        return hired


_pool = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.start_anew)
