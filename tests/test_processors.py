"""Processors: each thread of a call has one of its own after a rest, and its freedom back."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

from npconv import blas, processors, threads
from npconv.scratch import Scratch

USABLE = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
needs_two = pytest.mark.skipif(len(USABLE) < 2, reason="bound to one processor, or not Linux")


@pytest.fixture
def always_rested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "AFTER_REST", float("inf"))


def seen_by(number: int, *, fails: bool = False) -> list[set[int]]:
    """Run a job on each of so many threads at once, and say where each could have been."""
    meeting, seen = threading.Barrier(number), []

    def job(_scratch: Scratch) -> None:
        meeting.wait(60)
        seen.append(os.sched_getaffinity(0))
        meeting.wait(60)
        if fails:
            raise MemoryError

    threads.run(iter([job] * number), [Scratch() for _ in range(number)], multiply=False)
    return seen


def everyone() -> list[set[int]]:
    ids = [worker.native_id for worker in threads._pool.workers]
    return [os.sched_getaffinity(each) for each in (0, *filter(None, ids))]


@needs_two
@pytest.mark.usefixtures("always_rested")
def test_as_many_threads_as_processors_have_one_each() -> None:
    for _ in range(20):
        assert sorted(map(sorted, seen_by(len(USABLE)))) == [[each] for each in sorted(USABLE)]
        assert all(each == USABLE for each in everyone())


@needs_two
@pytest.mark.usefixtures("always_rested")
@pytest.mark.parametrize("more", [-1, 1])
def test_fewer_threads_or_more_are_left_to_the_system(more: int) -> None:
    if len(USABLE) + more > 1:
        assert all(each == USABLE for each in seen_by(len(USABLE) + more))


@needs_two
@pytest.mark.usefixtures("always_rested")
def test_an_error_lets_everyone_go_where_they_may() -> None:
    with pytest.raises(MemoryError):
        seen_by(len(USABLE), fails=True)
    assert all(each == USABLE for each in everyone())


@needs_two
@pytest.mark.usefixtures("always_rested")
def test_a_caller_that_is_bound_binds_nobody_for_good() -> None:
    some = set(sorted(USABLE)[1:])
    seen_by(len(USABLE))  # so there are threads that are not its own
    try:
        os.sched_setaffinity(0, some)
        assert all(each <= some or len(each) > 1 for each in seen_by(max(2, len(some))))
        assert os.sched_getaffinity(0) == some
    finally:
        os.sched_setaffinity(0, USABLE)
    assert all(each == USABLE for each in everyone())


@needs_two
@pytest.mark.usefixtures("always_rested")
def test_a_second_call_at_the_same_time_moves_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    other = processors.Placed(-1, [])
    monkeypatch.setitem(processors._placed, "call", other)
    assert all(each == USABLE for each in seen_by(len(USABLE)))
    assert processors._placed == {"call": other}


@needs_two
@pytest.mark.usefixtures("always_rested")
def test_what_an_interrupt_left_bound_is_undone_by_the_next_call() -> None:
    def interrupt(_scratch: Scratch) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "undo", lambda _: None)
        with pytest.raises(KeyboardInterrupt):
            threads.run(iter([interrupt] * 9), [Scratch() for _ in USABLE], multiply=False)
    assert len(os.sched_getaffinity(0)) == 1
    test_as_many_threads_as_processors_have_one_each()


@needs_two
@pytest.mark.usefixtures("always_rested")
def test_threads_of_a_blas_that_cannot_be_held_are_not_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[set[int]] = []
    scratches = [Scratch() for _ in USABLE]
    monkeypatch.setattr(blas, "_libraries", list)
    threads.run(iter([lambda _: seen.append(os.sched_getaffinity(0))] * 9), scratches)
    assert all(each == USABLE for each in seen)


@pytest.mark.usefixtures("always_rested")
@pytest.mark.parametrize("count", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("helping", [0, 1, 2, 7, 63])
def test_processors_of_other_machines(
    monkeypatch: pytest.MonkeyPatch, count: int, helping: int
) -> None:
    usable = set(range(5, 5 + count))
    helpers = dict.fromkeys(range(100, 100 + helping), usable | {999})
    before = {0: usable, **helpers}  # who helps may go further than the caller
    masks: dict[int, Any] = dict(before)
    monkeypatch.setattr(processors, "_here", lambda: lambda: 5 + count // 2)
    monkeypatch.setattr(os, "sched_getaffinity", masks.__getitem__, raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", masks.__setitem__, raising=False)
    placed = processors.apart(list(helpers))
    if 1 < count == helping + 1:
        assert sorted(map(list, masks.values())) == [[each] for each in sorted(usable)]
        assert masks[0] == [5 + count // 2]
    else:
        assert masks == before
    processors.undo(placed)
    assert masks == before


@needs_two
def test_threads_are_bound_for_a_while_after_each_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(processors, "monotonic", lambda: now)
    monkeypatch.setattr(processors, "_times", {"ended": 0.0, "rested": 0.0})
    for seconds, calls, bound in (
        (5, 1, True),
        (0.009, 11, True),
        (0.009, 5, False),
        (0.011, 1, True),
    ):
        for _ in range(calls):
            now += seconds
            assert all((len(each) == 1) is bound for each in seen_by(len(USABLE)))


def test_a_system_that_does_not_tell_moves_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "_here", lambda: lambda: -1)
    assert processors.here_and_others()[1] == []
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert processors.here_and_others()[1] == []
    assert processors.usable_cpus() >= 1
    placed = processors.apart([1, 2])
    assert placed is not None
    assert placed.masks == []
    processors.undo(placed)
    assert processors._placed == {}


@needs_two
@pytest.mark.usefixtures("always_rested")
@pytest.mark.parametrize("name", ["sched_setaffinity", "sched_getaffinity"])
def test_a_system_that_forbids_it_computes_all_the_same(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked = getattr(os, name)

    def forbid(thread: int, *processors: Any) -> Any:
        if thread:
            raise PermissionError
        return asked(thread, *processors)

    monkeypatch.setattr(os, name, forbid)
    assert len(seen_by(len(USABLE))) == len(USABLE)
    assert os.sched_getaffinity(0) == USABLE


def test_a_thread_that_has_helped_helps_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_pool", threads._Pool())
    for _ in range(100):
        seen_by(3)
    assert len(threads._pool.workers) == 2
