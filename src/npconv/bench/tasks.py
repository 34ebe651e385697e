"""What is timed: one problem in one direction, as data that goes from process to process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np

import npconv
from npconv.bench.layers import LAYERS
from npconv.problem import Array


class Task(NamedTuple):
    """One call to time.

    ``kind`` is "conv", "transpose", "max_pool", "avg_pool" or "training"; "packed" and
    "held", convolutions by a plan, with and without a packed kernel, which peers that have
    no plans compute as they can; "sgemm" and "copy", which tell what the machine can do.
    ``direction`` is "forward" or "backward", which means all three gradients.

    Examples
    --------
    >>> from npconv.bench.tasks import Task
    >>> task = Task("conv", "small", (1, 1, 4, 4), (1, 1, 3, 3), {"padding": 1})
    >>> Task.of(task._asdict()) == task
    True
    """

    kind: str
    name: str
    input: tuple[int, ...] = ()
    kernel: tuple[int, ...] = ()
    options: Mapping[str, Any] = {}
    dtype: str = "float32"
    direction: str = "forward"
    algorithm: str = "auto"

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Read what `_asdict` gave, which JSON has made lists of."""
        read: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
        }
        return cls(**read)


class CannotServe(Exception):
    """A library does not have this; the message says what."""


def layer_task(name: str, direction: str = "forward", **changes: Any) -> Task:
    """Pose a layer of the table."""
    x, w, options = LAYERS[name]
    kind = "packed" if direction == "forward" else "conv"
    return Task(kind, name, x, w, options, direction=direction)._replace(**changes)


def operands(task: Task) -> list[Array]:
    """Draw a task's arrays, the same in every process: input, kernel, output's gradient.

    Examples
    --------
    >>> from npconv.bench.tasks import layer_task, operands
    >>> [array.shape for array in operands(layer_task("demo.8x8", "backward"))]
    [(2, 3, 8, 8), (4, 3, 3, 3), (2, 4, 8, 8)]
    """
    shapes = [task.input] if task.kind.endswith("pool") else [task.input, task.kernel]
    if task.direction == "backward":
        shapes.append(npconv.conv_output_shape(task.input, task.kernel, **task.options))
    rng, dtype = np.random.default_rng(0), np.dtype(task.dtype)
    if dtype.kind == "i":
        return [rng.integers(-8, 9, shape, dtype) for shape in shapes]
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def fingerprint(arrays: list[Array]) -> list[float]:
    """Boil results down to a few numbers that other results do not share.

    Their norm, and their projection on a wave that does not repeat: a transposed axis, a
    flipped kernel or another padding shows.
    """
    found = []
    for array in arrays:
        flat = np.asarray(array, np.float64).ravel()
        found += [float(np.linalg.norm(flat)), float(flat @ np.cos(np.arange(flat.size)))]
    return found


def agree(one: list[float], other: list[float], dtype: str) -> bool:
    """Tell whether two fingerprints may be of the same results, rounded differently.

    Examples
    --------
    >>> from npconv.bench.tasks import agree
    >>> agree([10.0, 1.0], [10.0001, 1.0001], "float32"), agree([10.0, 1.0], [10, 2], "float32")
    (True, False)
    """
    if len(one) != len(other):
        return False
    near = {"float16": 3e-2, "float32": 1e-3}.get(dtype, 1e-9)
    norms = [norm for norm in one[::2] for _ in range(2)]
    return all(
        abs(a - b) <= near * max(norm, 1e-30) for a, b, norm in zip(one, other, norms, strict=True)
    )
