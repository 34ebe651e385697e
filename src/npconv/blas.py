"""BLAS held to one thread, so that sums are formed in one order whatever the machine."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from threading import Lock, local
from typing import Any

# A matrix product of fewer products than this has one thread in every BLAS we know of:
# OpenBLAS, the one in NumPy's wheels, starts a second from 9,216 on (a matrix and a vector).
SMALL = 8_192


class _Hold:
    """How many hold some BLAS to one thread now, and what the first of them found."""

    def __init__(self, *, of_a_thread: bool) -> None:
        self.of_a_thread = of_a_thread
        self.lock = Lock()
        self.holders = 0
        self.found: list[tuple[Any, int]] = []

    def __enter__(self) -> None:
        """Set one thread, unless another holder has."""
        with self.lock:
            self.holders += 1
            if self.holders == 1:
                # One by one, as threadpoolctl's own limits take ten times as long to set up.
                for library in _libraries():
                    if _is_of_a_thread(library) != self.of_a_thread:
                        continue
                    threads = library.get_num_threads()
                    if threads != 1:
                        _set(library, 1)
                        self.found.append((library, threads))

    def __exit__(self, *_: object) -> None:
        """Restore what was, unless another holder is left."""
        with self.lock:
            self.holders -= 1
            if not self.holders:
                self.restore()

    def restore(self) -> None:
        """Give each BLAS the threads it had."""
        while self.found:
            _set(*self.found.pop())

    def start_anew(self) -> None:
        """Forget, in a forked process, the holders in threads that it does not have."""
        self.lock, self.holders = Lock(), 0
        self.restore()


class _HoldOfAThread(local, _Hold):
    """One for each thread, as a BLAS on OpenMP keeps its number of threads for each."""

    def __init__(self) -> None:
        _Hold.__init__(self, of_a_thread=True)


_of_process, _of_thread = _Hold(of_a_thread=False), _HoldOfAThread()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_of_process.start_anew)


class one_thread:
    """Hold BLAS to one thread inside a ``with`` block, if threadpoolctl is installed.

    The number of BLAS's threads belongs to the process. So holders are counted, over all
    threads: the first sets it, the last to leave restores it. Were each to restore what
    it found, two that overlap would leave BLAS at one thread for good.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.blas import one_thread
    >>> with one_thread():
    ...     np.ones((2, 2)) @ np.ones((2, 2))
    array([[2., 2.],
           [2., 2.]])
    """

    def __enter__(self) -> None:
        """Hold."""
        _of_process.__enter__()
        _of_thread.__enter__()

    def __exit__(self, *_: object) -> None:
        """Let go."""
        _of_thread.__exit__()
        _of_process.__exit__()


def held_for(products: int) -> AbstractContextManager[None]:
    """Hold BLAS to one thread for a call of that many products; small ones need no hold."""
    return nullcontext() if products < SMALL else one_thread()


def can_hold() -> bool:
    """Whether there is threadpoolctl, and a BLAS that it knows."""
    return bool(_libraries())


@cache
def _libraries() -> list[Any]:
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return []
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


def _is_of_a_thread(library: Any) -> bool:
    return getattr(library, "threading_layer", None) == "openmp"


def _set(library: Any, threads: int) -> None:
    # threadpoolctl 3.8 lets one thread only set OpenBLAS's number, until that
    # thread's own limit ends, and ignores the others. We count over all threads ourselves.
    let_go = getattr(library, "clear_controlling_thread", lambda **_: None)
    let_go(force=True)
    library.set_num_threads(threads)
    let_go(force=True)
