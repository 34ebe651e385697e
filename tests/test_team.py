"""The compiled engine's threads: every part once, whoever calls, from wherever."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import npconv
from npconv.compiled.prepared import FINITE_PART, is_finite
from npconv.compiled.team import _ASLEEP, _WORD, Team, team

X, W = (2, 32, 30, 31), (48, 32, 3, 3)
RNG = np.random.default_rng(0)
IMAGES, KERNEL = RNG.standard_normal(X).astype("f4"), RNG.standard_normal(W).astype("f4")


def bits(threads: int) -> bytes:
    with npconv.settings(threads=threads):
        return npconv.conv(IMAGES, KERNEL, padding=1, algorithm="direct").tobytes()


def asleep(worker: int) -> bool:
    return bool(team().words[_ASLEEP + _WORD * worker])


def until(condition: Callable[[], bool]) -> None:
    """Wait for other threads, which may get little of a busy machine."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.mark.parametrize("threads", [1, 2, 3, 7, 100])
def test_every_part_is_computed_once(threads: int) -> None:
    right = bits(1)
    for _ in range(20):
        assert bits(threads) == right


def test_a_team_that_fell_asleep_is_woken() -> None:
    right = bits(1)
    for _ in range(5):
        assert bits(3) == right
        time.sleep(0.02)
    assert sum(worker.is_alive() for worker, _ in team()._workers) >= 2


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("helping", [1, 2, 7])
def test_a_worker_is_woken_elsewhere_and_may_go_anywhere(
    monkeypatch: pytest.MonkeyPatch, count: int, helping: int
) -> None:
    usable, bound = list(range(count)), list[list[int]]()
    bits(8)
    until(lambda: all(asleep(i) for i in range(1, 8)))
    monkeypatch.setattr("npconv.compiled.team.here_and_others", lambda: (0, usable[1:]))
    monkeypatch.setattr("npconv.compiled.team.bind", lambda _, where: bound.append(list(where)))
    team().wake(helping)
    elsewhere = [[i] for i in usable[1:]] if count == helping + 1 else [usable[1:]] * helping
    assert bound[::2] == elsewhere
    assert bound[1::2] == [usable if count > 1 else []] * helping


def test_parts_report_what_they_find_wherever_they_are() -> None:
    for count in (1, 7, 31, 65, 150, FINITE_PART, FINITE_PART + 1, 5 * FINITE_PART + 3):
        numbers = np.ones(count, "f4")
        assert is_finite(numbers, 3)
        for place in range(count) if count < 200 else (0, count // 2, count - 1):
            for value in (np.nan, np.inf, -np.inf):
                numbers[place] = value
                assert not is_finite(numbers, 3)
            numbers[place] = 1


def test_what_a_call_brings_is_let_go() -> None:
    """Machine code is handed the arrays themselves, and holds none of them."""
    plan = npconv.plan_conv(X, W, padding=1, algorithm="direct")
    packed, out = plan.pack(KERNEL), np.empty(npconv.conv_output_shape(X, W, padding=1), "f4")
    assert packed.whole is not None
    held = IMAGES, packed.whole, out
    before = [sys.getrefcount(array) for array in held]
    for _ in range(10):
        plan(IMAGES, packed, out=out)
    assert [sys.getrefcount(array) for array in held] == before


def test_callers_do_not_wait_for_each_other() -> None:
    right = bits(1)
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(1 for _ in range(30) if bits(2) != right)

    callers = [threading.Thread(target=work) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # that is what is tested
def test_a_forked_process_has_a_team_of_its_own() -> None:
    right = bits(3)
    child = os.fork()
    if not child:
        os._exit(0 if bits(3) == right and bits(3) == right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert bits(3) == right


@pytest.mark.parametrize("how", ["threads", "processes"])
def test_inside_the_workers_of_joblib(how: Any) -> None:
    joblib = pytest.importorskip("joblib")
    right = bits(2)
    with joblib.Parallel(n_jobs=2, prefer=how) as workers:
        assert workers(joblib.delayed(bits)(2) for _ in range(8)) == [right] * 8


def test_a_process_ends_while_its_team_is_awake() -> None:
    code = (
        "import numpy as np, npconv\n"
        "x, w = np.ones((1, 32, 40, 40), 'f4'), np.ones((32, 32, 3, 3), 'f4')\n"
        "with npconv.settings(threads=3): npconv.conv(x, w, algorithm='direct')"
    )
    for _ in range(5):
        ended = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert (ended.returncode, ended.stderr) == (0, "")


def test_a_stopped_team_leaves_no_thread() -> None:
    mine = Team()
    mine._grow(2)
    workers = [worker for worker, _ in mine._workers]
    assert all(worker.is_alive() for worker in workers)
    mine.stop()
    assert not any(worker.is_alive() for worker in workers)
