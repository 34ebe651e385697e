"""Calls under watch: their time, their memory, and what they leave of what they were given."""

from __future__ import annotations

import signal
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import npconv
from npconv.compiled import machine_code
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


_peaks = [0]  # bytes, before something was compiled in the middle of a call
_compiled = machine_code.compiled


def _unwatched(key: tuple[str, ...]) -> bytes:
    """Compile a kernel that is not kept yet: its time and memory are Numba's, and paid once."""
    if not tracemalloc.is_tracing():
        return _compiled(key)
    _peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    left = signal.setitimer(signal.ITIMER_REAL, 0)[0] if hasattr(signal, "setitimer") else 0
    try:
        return _compiled(key)
    finally:
        if left:
            signal.setitimer(signal.ITIMER_REAL, left)
        tracemalloc.start()


machine_code.compiled = _unwatched


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns or raises, within its time and memory."""
    _peaks[:] = [0]
    tracemalloc.start()
    try:
        with time_limit():
            found = call()
    except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
        found = error
    finally:
        peak = max(*_peaks, tracemalloc.get_traced_memory()[1])
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
