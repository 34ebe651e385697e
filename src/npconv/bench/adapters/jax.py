"""JAX: compiled by XLA for the processor; its arrays hold no packed weights."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from npconv.bench.adapters import Call
from npconv.bench.tasks import Task, operands


def version() -> str:
    """Tell JAX's version."""
    import jax

    return str(jax.__version__)


def prepare(task: Task, threads: int) -> Call:
    """Compile; XLA takes a thread for each processor it may use, so it may use that many."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    import jax
    from jax import lax

    stride, groups = task.options.get("stride", 1), task.options.get("groups", 1)
    padding, rank = task.options.get("padding", 0), len(task.input) - 2

    def conv(x: Any, w: Any) -> Any:
        return lax.conv_general_dilated(
            x, w, (stride,) * rank, [(padding, padding)] * rank, feature_group_count=groups
        )

    def backward(x: Any, w: Any, dy: Any) -> Any:
        _, pull = jax.vjp(conv, x, w)
        return *pull(dy), dy.sum(axis=(0, *range(2, dy.ndim)))

    chosen = jax.jit(backward if task.direction == "backward" else conv)
    arrays = [jax.device_put(array) for array in operands(task)]
    return Call(
        lambda: jax.block_until_ready(chosen(*arrays)),
        lambda found: [np.asarray(a) for a in (found if isinstance(found, tuple) else (found,))],
    )
