"""Calls under watch: their time, their memory, and what they leave of what they were given."""

from __future__ import annotations

import signal
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import npconv
from oracle import Array

SECONDS = 20  # far more than any of these takes
MOST_BYTES = 100 * 2**20


class Hangs(BaseException):
    """Not an Exception, so that nothing on the way takes it for one of its own."""


@contextmanager
def time_limit() -> Iterator[None]:
    """Interrupt what takes too long; where there are no signals, pytest's own limit is left."""

    def interrupt(*_: object) -> None:
        raise Hangs(f"still running after {SECONDS} s")

    if not hasattr(signal, "setitimer"):
        yield
        return
    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns or raises, within its time and memory."""
    tracemalloc.start()
    try:
        with time_limit():
            found = call()
    except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
        found = error
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak - result_bytes(found) < MOST_BYTES
    return found


def result_bytes(result: Any) -> int:
    if isinstance(result, tuple):
        return sum(result_bytes(part) for part in result)
    return result.nbytes if isinstance(result, np.ndarray) else 0


def snapshot(value: Any) -> Any:
    """Everything of a value that a call could change, down to the bytes."""
    if isinstance(value, np.ndarray):
        # Of an axis that repeats one element, that element is enough.
        once = tuple(slice(1) if step == 0 else slice(None) for step in value.strides)
        layout = value.dtype, value.shape, value.strides, value.flags.writeable
        return id(value), *layout, np.asarray(value)[once].tobytes()
    if isinstance(value, npconv.Conv2dNumpy):
        return {name: (id(part), snapshot(part)) for name, part in vars(value).items()}
    if isinstance(value, tuple):
        return id(value), tuple(map(snapshot, value))
    return id(value), None if isinstance(value, int) else repr(value)


def watched(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """The outcome of a call that must leave its arguments alone."""
    before = {name: snapshot(value) for name, value in arguments.items()}
    dice = _global_generator()
    found = outcome(lambda: function(**arguments))
    assert {name: snapshot(value) for name, value in arguments.items()} == before
    if isinstance(found, Exception):
        np.testing.assert_array_equal(_global_generator(), dice)
    return found


def _global_generator() -> Array:
    """The key of NumPy's global generator, and its place in it."""
    state = np.random.get_state(legacy=True)
    assert isinstance(state, tuple)
    return np.hstack(state[1:3])
