"""Threads of BLAS, which NumPy's matrix products run on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold BLAS to one thread inside a ``with`` block, if threadpoolctl is installed.

    The matrices of a small network are done before a second thread has woken up, and
    threads that wait for each other spin: on two cores training takes twice as long with
    two threads as with one. The limit is process-wide, so this is for programs, not for
    functions that others may call side by side.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.blas import one_thread
    >>> with one_thread():
    ...     np.ones((2, 2)) @ np.ones((2, 2))
    array([[2., 2.],
           [2., 2.]])
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        yield
        return
    with threadpool_limits(limits=1, user_api="blas"):
        yield
