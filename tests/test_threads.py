"""Threads: the same bits for any number of them, and BLAS held while anyone needs it held."""

from __future__ import annotations

import os
import threading
import tracemalloc
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

import npconv
from npconv import blas, scratch, threads
from npconv.compiled import why_missing
from npconv.problem import Direction
from npconv.scratch import Scratch
from oracle import Array

DIRECTIONS = [direction.value for direction in Direction]
CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "2d": ((3, 24, 60, 50), (32, 24, 3, 3), {"padding": 1}),
    "strided": ((2, 24, 90, 80), (32, 24, 5, 5), {"stride": 2, "padding": 2}),
    "groups": ((2, 32, 64, 64), (64, 8, 3, 3), {"groups": 4, "dilation": 2}),
    "modes": ((2, 16, 70, 50), (32, 16, 3, 3), {"padding": 2, "padding_mode": "reflect"}),
    "1d": ((4, 32, 4000), (32, 32, 5), {"padding": "same"}),
    "3d": ((2, 8, 20, 24, 24), (16, 8, 3, 3, 3), {"padding": 1}),
    "large kernel": ((1, 4, 48, 48), (4, 4, 15, 15), {"padding": "same"}),
}


def operands(name: str, direction: str, dtype: str) -> tuple[Array, Array]:
    x, w, options = CASES[name]
    y = npconv.conv_output_shape(x, w, **options)
    rng = np.random.default_rng(0)
    shapes = {"forward": (x, w), "input_grad": (y, w), "kernel_grad": (y, x)}[direction]
    first, second = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    return first, second


def plan_of(name: str, direction: str, dtype: str, N: int | None = None) -> npconv.Plan:
    x, w, options = CASES[name]
    x = (N or x[0], *x[1:])
    return npconv.plan_conv(x, w, direction=direction, dtype=dtype, **options)


def kernel_bytes(plan: npconv.Plan) -> int:
    """What all threads share: a kernel in a form of NumPy's engine, if channels are not cut."""
    best, cut, problem = plan.choice.best, plan.choice.cut, plan.choice.problem
    whole = (cut.groups, cut.K, cut.C) == (problem.G, problem.K, problem.C)
    if best.algorithm.engine == "compiled" or not whole:
        return 0
    return best.cost.packing.numbers * plan.choice.numbers.accumulator.itemsize


@pytest.mark.parametrize("name", ["winograd", "fft", "flat", "im2col"])
@pytest.mark.parametrize("direction", ["forward", "input_grad"])
def test_a_kernel_in_its_form_is_there_once_for_all_threads(direction: str, name: str) -> None:
    """So it counts once; and that is still a bound for all the memory there is."""
    shapes: Any = (1, 64, 80, 80), (64, 64, 3, 3)
    x, w = (np.ones(shape, np.float32) for shape in shapes)
    with npconv.settings(threads=2, engine="numpy"):
        plan = npconv.plan_conv(*shapes, padding=1, algorithm=name, direction=direction)
        once = plan.choice.best.workspace
        assert plan.choice.threads == 2
        assert once < plan.workspace_bytes <= 2 * once
        plan(x, w)  # what Python keeps for later calls
        scratch._shelf.clear()
        tracemalloc.start()
        try:
            result = plan(x, w)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak - result.nbytes <= plan.workspace_bytes + 2**17
    assert peak - result.nbytes > once / 3  # it is not for nothing
    limit = 34 * 2**20
    with npconv.settings(threads=2, engine="numpy", workspace_limit=limit):
        large: Any = (1, 256, 56, 56), (256, 256, 3, 3)
        choice = npconv.plan_conv(*large, padding=1, algorithm=name, direction=direction).choice
        assert choice.workspace <= limit
        if name == "winograd":
            assert choice.threads == 2 > limit // choice.best.workspace


@pytest.mark.skipif(why_missing() is not None, reason="without Numba")
@pytest.mark.parametrize("direction", ["forward", "input_grad"])
@pytest.mark.parametrize(("C", "size", "R"), [(256, 14, 3), (384, 12, 3), (256, 14, 5)])
def test_a_kernel_in_pieces_is_not_there_at_all(C: int, size: int, R: int, direction: str) -> None:
    """Of a large one the compiled engine transforms some at a time: nothing is there once."""
    asked: Any = {"padding": 1, "algorithm": "winograd_fused", "direction": direction}
    bounds = []
    for count in (1, 2, 8, 128):
        with npconv.settings(threads=count):
            plan = npconv.plan_conv((1, size, size, C), (C, C, R, R), layout="NHWC", **asked)
        choice = plan.choice
        assert choice.threads * choice.best.workspace <= plan.workspace_bytes <= 2**26
        bounds.append(plan.workspace_bytes)
    assert bounds == sorted(bounds)


@pytest.mark.parametrize("accuracy", ["standard", "strict"])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", CASES)
def test_the_same_bits_on_1_2_and_4_threads(name: str, direction: str, accuracy: str) -> None:
    first, second = operands(name, direction, "f4")
    found = []
    for count in (1, 2, 4, 2):
        with npconv.settings(threads=count, workspace_limit=2**24, accuracy=accuracy):
            plan = plan_of(name, direction, "f4")
            once, shared = plan.choice.best.workspace, kernel_bytes(plan)
            assert plan.choice.threads == min(count, (2**24 - shared) // (once - shared))
            assert plan.choice.workspace <= 2**24
            found.append(plan(first, second).tobytes())
    assert len(set(found)) == 1


@pytest.mark.parametrize("accuracy", ["standard", "strict"])
@pytest.mark.parametrize("direction", ["forward", "input_grad"])
@pytest.mark.parametrize("name", CASES)
def test_the_same_bits_in_any_batch(name: str, direction: str, accuracy: str) -> None:
    first, second = operands(name, direction, "f4")
    with npconv.settings(threads=2, accuracy=accuracy):
        whole = plan_of(name, direction, "f4")(first, second)
        for start, stop in ((0, 1), (1, len(first)), (0, len(first) - 1)):
            if start < stop:
                plan = plan_of(name, direction, "f4", stop - start)
                np.testing.assert_array_equal(plan(first[start:stop], second), whole[start:stop])


def test_short_steps_are_not_shared() -> None:
    """Threads would wait for each other's turn at the interpreter for longer than they work."""
    with npconv.settings(threads=2, engine="numpy"):
        for direction in DIRECTIONS:
            plan = npconv.plan_conv((32, 6, 14, 14), (16, 6, 5, 5), direction=direction)
            assert plan.choice.threads == 1


def test_blas_threads_do_not_change_bits() -> None:
    limits = pytest.importorskip("threadpoolctl").threadpool_limits
    found = set()
    for count in (1, 2, 4):
        with limits(limits=count, user_api="blas"):
            for direction in DIRECTIONS:
                first, second = operands("2d", direction, "f4")
                found.add((direction, plan_of("2d", direction, "f4")(first, second).tobytes()))
    assert len(found) == len(DIRECTIONS)


# ---- the hold on BLAS ------------------------------------------------------------------------


def blas_threads() -> list[int]:
    return [library.get_num_threads() for library in blas._libraries()]


@pytest.fixture
def two_blas_threads() -> Iterator[None]:
    limits = pytest.importorskip("threadpoolctl").threadpool_limits
    with limits(limits=2, user_api="blas"):
        if blas_threads() != [2] * len(blas_threads()) or not blas_threads():
            pytest.skip("this BLAS cannot have two threads")
        yield


@pytest.mark.usefixtures("two_blas_threads")
def test_two_holds_that_overlap_restore_what_was() -> None:
    first, second = blas.one_thread(), blas.one_thread()
    before = blas_threads()
    first.__enter__()
    second.__enter__()
    assert set(blas_threads()) == {1}
    first.__exit__(None, None, None)  # not the innermost: they overlap
    assert set(blas_threads()) == {1}
    second.__exit__(None, None, None)
    assert blas_threads() == before


@pytest.mark.usefixtures("two_blas_threads")
def test_holds_of_many_threads_restore_what_was() -> None:
    before = blas_threads()
    wrong: list[int] = []

    def hold() -> None:
        for _ in range(200):
            with blas.one_thread():
                wrong.extend(n for n in blas_threads() if n != 1)

    workers = [threading.Thread(target=hold) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
    assert blas_threads() == before


@pytest.mark.usefixtures("two_blas_threads")
def test_an_error_inside_lets_go() -> None:
    before = blas_threads()
    with pytest.raises(ZeroDivisionError), blas.one_thread():
        raise ZeroDivisionError
    assert blas_threads() == before


@pytest.mark.usefixtures("two_blas_threads")
def test_small_calls_do_not_hold() -> None:
    with blas.held_for(blas.SMALL - 1):
        assert blas_threads()[0] == 2
    with blas.held_for(blas.SMALL):
        assert blas_threads()[0] == 1


def test_without_threadpoolctl_results_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = operands("groups", "forward", "f8")
    right = plan_of("groups", "forward", "f8")(first, second)
    monkeypatch.setattr(blas, "_libraries", list)
    np.testing.assert_allclose(plan_of("groups", "forward", "f8")(first, second), right)
    assert not blas.can_hold()


class PerThread(threading.local):
    """A BLAS on OpenMP: each thread has a number of threads of its own."""

    threading_layer = "openmp"
    threads = 2

    def get_num_threads(self) -> int:
        return self.threads

    def set_num_threads(self, threads: int) -> None:
        self.threads = threads


def test_each_thread_holds_a_blas_that_counts_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    library = PerThread()
    monkeypatch.setattr(blas, "_libraries", lambda: [library])
    seen: list[int] = []

    def job(_scratch: Scratch) -> None:
        threading.Event().wait(0.01)
        seen.append(library.get_num_threads())

    with blas.one_thread():
        threads.run(iter([job] * 20), [Scratch() for _ in range(4)])
    assert seen == [1] * 20
    assert library.get_num_threads() == 2


# ---- the pool --------------------------------------------------------------------------------


def test_what_jobs_return_is_called_in_their_order() -> None:
    order: list[int] = []

    def job(i: int, _scratch: Scratch) -> Any:
        threading.Event().wait(0.002 * (5 - i % 5))
        return partial(order.append, i)

    threads.run((partial(job, i) for i in range(40)), [Scratch() for _ in range(4)])
    assert order == list(range(40))


@pytest.mark.parametrize("count", [1, 4])
def test_a_job_that_fails_stops_the_rest(count: int) -> None:
    done: list[int] = []

    def job(i: int, _scratch: Scratch) -> Any:
        if i == 5:
            raise MemoryError("no room for job 5")
        return partial(done.append, i)

    with pytest.raises(MemoryError, match="job 5"):
        threads.run((partial(job, i) for i in range(1000)), [Scratch() for _ in range(count)])
    assert done == list(range(5))


def test_many_threads_call_at_once() -> None:
    first, second = operands("2d", "forward", "f4")
    right = plan_of("2d", "forward", "f4")(first, second)
    results: list[Array] = []

    def call() -> None:
        with npconv.settings(threads=4):
            results.append(plan_of("2d", "forward", "f4")(first, second))

    workers = [threading.Thread(target=call) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 8
    for result in results:
        np.testing.assert_array_equal(result, right)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_computes_too() -> None:
    first, second = operands("2d", "forward", "f4")
    with npconv.settings(threads=2):
        right = plan_of("2d", "forward", "f4")(first, second)
        child = os.fork()
        if child == 0:  # pragma: no cover - another process
            same = np.array_equal(plan_of("2d", "forward", "f4")(first, second), right)
            os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_working_arrays_are_kept_where_the_limit_leaves_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shelf: list[Scratch] = []
    monkeypatch.setattr(scratch, "_shelf", shelf)
    roomy, tight = 2**30, scratch.KEPT_BYTES
    with scratch.lent(1, 1000, roomy) as [kept]:
        kept.array("some", (10,), np.float32)
    assert shelf == [kept]
    with scratch.lent(1, 1000, roomy) as [again]:
        assert again is kept
    with scratch.lent(1, 1000, tight) as [new]:
        assert new is not kept
        assert not shelf
    assert not shelf
    with scratch.lent(1, 1000, roomy) as [large]:
        large.array("some", (scratch.KEPT_BYTES + 1,), np.uint8)
    assert not shelf
    with pytest.raises(ZeroDivisionError), scratch.lent(1, 1000, roomy):
        1 / 0  # noqa: B018 - it raises
    assert not shelf
