"""npconv itself; the engine and the threads are set in the worker's environment."""

from __future__ import annotations

from typing import Any

import numpy as np

import npconv
from npconv.bench.adapters import Call
from npconv.bench.networks import training_step
from npconv.bench.tasks import Task, operands
from npconv.choosing import choice_for
from npconv.problem import Array, Direction
from npconv.settings import current_settings

MATRIX = 1536  # of sgemm: large enough for a BLAS to be at its best
COPIED = 2**27  # bytes, more than the caches a core has for itself


def version() -> str:
    """Tell npconv's version, after the engine was found to be there."""
    current_settings()
    return npconv.__version__


def prepare(task: Task, threads: int) -> Call:  # noqa: ARG001 - as every adapter
    """Get ready: plan and pack where the task says so, or make a plain call."""
    if task.kind == "training":
        return training_step(task.name)
    if task.kind in ("sgemm", "copy"):
        return _machine(task.kind)
    arrays, options = operands(task), task.options
    if task.kind == "transpose":
        return Call(lambda: npconv.conv_transpose(*arrays, **options), _one)
    if task.kind.endswith("pool"):
        pool = getattr(npconv, task.kind)
        return Call(lambda: pool(arrays[0], task.kernel, **options), _one)
    if task.direction == "backward":
        x, w, dy = arrays
        names = "+".join(called(task, name) for name in ("input_grad", "kernel_grad"))
        return Call(lambda: npconv.conv_backward(dy, x, w, **options), list, names)
    x, w = arrays
    if task.kind == "conv":
        return Call(lambda: npconv.conv(x, w, **options), _one, called(task))
    ready = plan(task)
    kernel: Any = ready.pack(w) if task.kind == "packed" else w
    return Call(lambda: ready(x, kernel), _one, ready.algorithm)


def plan(task: Task, direction: str = "forward", **changes: Any) -> npconv.Plan:
    """Plan a task in a direction of the planner's."""
    given = {"dtype": task.dtype, "algorithm": task.algorithm, **changes}
    return npconv.plan_conv(task.input, task.kernel, direction=direction, **given, **task.options)


def called(task: Task, direction: str = "forward") -> str:
    """Name the algorithm of a call without a plan, which has to pack its kernel."""
    number, way = np.empty(0, task.dtype), Direction(direction)
    shapes, options = (task.input, task.kernel), task.options
    return choice_for(way, *shapes, number, number, None, task.algorithm, options).best.name


def _one(array: Array) -> list[Array]:
    return [array]


def _machine(kind: str) -> Call:
    """Multiply two matrices, or copy: the roofs of the roofline."""
    if kind == "copy":
        source, target = np.ones(COPIED // 4, np.float32), np.zeros(COPIED // 4, np.float32)
        return Call(lambda: np.copyto(target, source), lambda _: [], f"{2 * COPIED}")
    a = np.random.default_rng(0).standard_normal((MATRIX, MATRIX)).astype(np.float32)
    b = a.T.copy()
    return Call(lambda: a @ b, lambda _: [], f"{2 * MATRIX**3}")
