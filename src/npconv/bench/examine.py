"""npconv by itself: what auto chose against what it could have, errors, and memory."""

from __future__ import annotations

import ctypes
import gc
import statistics
import tracemalloc
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import npconv
from npconv.bench.adapters.ours import called, plan
from npconv.bench.tasks import Task, operands
from npconv.bench.timing import seconds_of
from npconv.problem import Array
from npconv.settings import current_settings

DIRECTIONS = ("forward", "input_grad", "kernel_grad")
LOOPS = 1_000_000  # products beyond which nobody waits for `naive`
HOPELESS = 4.0  # times the best: timed once only


def examine(task: Task, what: str, rounds: int = 1, at_least: float = 0.005) -> dict[str, Any]:
    """Examine one direction of a layer.

    ``what`` is "choice", of a plan whose kernel is packed; "call", the choice of a call that
    has to pack it; or "memory".
    """
    arrays = dict(zip("xwy", operands(task._replace(direction="backward")), strict=True))
    names = {"forward": "xw", "input_grad": "yw", "kernel_grad": "yx"}[task.direction]
    pair = [arrays[name] for name in names]
    if what == "memory":
        return _memory(task, pair)
    packed = what == "choice" and task.direction != "kernel_grad"
    auto = plan(task, task.direction).algorithm if packed else called(task, task.direction)
    return {"auto": auto, **_choice(task, pair, packed, rounds, at_least)}


# ---- what could have been chosen -------------------------------------------------------------


def _choice(
    task: Task, pair: list[Array], packed: bool, rounds: int, at_least: float
) -> dict[str, Any]:
    """Time every able algorithm in turns, and compare its result with strict float64."""
    plans, (first, second) = _able(task), pair
    calls = {
        name: partial(each, first, each.pack(second) if packed else second)
        for name, each in plans.items()
    }
    reference, size = _strictly(task, pair)
    largest = float(np.abs(reference).max())
    errors, of_bound = {}, {}
    for name, call in calls.items():
        wrong = np.abs(call() - reference)
        errors[name] = float(wrong.max()) / largest
        of_bound[name] = float((wrong / _allowed(plans[name], task, size)).max())
    return {
        "milliseconds": _in_turns(calls, rounds, at_least),
        "errors": errors,
        "of_bound": of_bound,
    }


def _allowed(plan: npconv.Plan, task: Task, size: Array) -> Array:
    """Give the stated bound: of each element for direct summation, else of the image."""
    if not plan.choice.best.algorithm.direct:
        part = None if task.direction == "kernel_grad" else tuple(range(1, size.ndim))
        size = size.max(axis=part, keepdims=True)
    bound: Array = plan.error_growth * (np.finfo(task.dtype).eps / 2) * size
    return np.maximum(bound, np.finfo(np.float64).tiny)


def _able(task: Task) -> dict[str, npconv.Plan]:
    """Plan with every algorithm that auto may choose in the engine in force."""
    engines = {"numpy", current_settings().engine}
    found = {}
    for name in npconv.algorithms():
        try:
            each = plan(task, task.direction, algorithm=name)
        except npconv.UnsupportedError:
            continue
        endless = name == "naive" and each.choice.problem.products > LOOPS
        if each.engine in engines and not endless:
            found[name] = each
    return found


def _strictly(task: Task, pair: list[Array]) -> tuple[Array, Array]:
    """Give the result by direct summation in float64, and the sum of its products' sizes."""
    wide = [array.astype(np.float64) for array in pair]
    with npconv.settings(accuracy="strict"):
        exact = plan(task, task.direction, dtype="float64")
    return exact(*wide), exact(*map(np.abs, wide))


def _in_turns(
    calls: Mapping[str, Callable[[], Array]], rounds: int, at_least: float
) -> dict[str, float]:
    """Time calls in alternating rounds; what is far behind after the first is let off."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        best = min((seconds[0] for seconds in times.values() if seconds), default=np.inf)
        for name, call in calls.items():
            if not times[name] or times[name][0] < HOPELESS * best:
                times[name].append(seconds_of(call, at_least))
    return {name: 1e3 * statistics.median(seconds) for name, seconds in times.items()}


# ---- memory ----------------------------------------------------------------------------------


def _memory(task: Task, pair: list[Array]) -> dict[str, Any]:
    """Measure what a call has alive at once beyond its operands, packed kernel and result.

    ``arrays`` is what NumPy allocated, the compiled engine's working arrays among it, as
    tracemalloc saw it. It does not see what BLAS and Numba allocate for themselves;
    ``resident``, on Linux, does: by how much the process grew, in pages touched.
    """
    chosen = plan(task, task.direction)
    first, second = pair
    other: Any = second if task.direction == "kernel_grad" else chosen.pack(second)
    for _ in range(2):  # compiled, and pools and caches filled
        result = chosen(first, other).nbytes
    gc.collect()
    tracemalloc.start()
    try:
        chosen(first, other)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        chosen(first, other)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    grown = _growth(partial(chosen, first, other))
    return {
        "algorithm": chosen.algorithm,
        "arrays": max(0, peak - before - result),
        "resident": None if grown is None else max(0, grown - result),
        "stated": chosen.workspace_bytes,
    }


def _growth(call: Callable[[], object]) -> int | None:
    """Tell by how many bytes the process grows at most, where Linux tells."""
    status, forget = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    try:
        # What earlier calls gave back, the C library may have kept for this one.
        ctypes.CDLL(None).malloc_trim(0)
        forget.write_text("5")  # let the peak start from here
        before = _kilobytes(status.read_text(), "VmRSS")
        call()
        return 1024 * (_kilobytes(status.read_text(), "VmHWM") - before)
    except (AttributeError, OSError, StopIteration, TypeError):
        return None


def _kilobytes(status: str, name: str) -> int:
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name))
