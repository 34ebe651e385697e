"""Compiling before there is something to compute: everyday problems, run once each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from npconv.algorithms import REGISTRY
from npconv.errors import UnsupportedError
from npconv.functional import plan_conv
from npconv.gradients import conv_backward
from npconv.nn import SGD, Adam, BatchNorm, ReLU
from npconv.pooling import (
    avg_pool,
    avg_pool_backward,
    max_pool,
    max_pool_backward,
    max_pool_with_indices,
)
from npconv.problem import Direction
from npconv.settings import settings

DTYPES = ("float32", "float64", "float16", "int64")
# Input, kernel and options: windows of all common sizes, with and without stride, in one to
# three axes. Sizes decide between kernels too: many and few channels, wide and narrow rows.
PROBLEMS: tuple[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]], ...] = (
    ((1, 64, 32, 32), (64, 64, 3, 3), {"padding": 1}),
    ((1, 64, 7, 7), (64, 64, 3, 3), {"padding": 1}),
    ((1, 64, 28, 28), (64, 64, 3, 3), {"padding": 1, "stride": 2}),
    ((1, 3, 64, 64), (64, 3, 7, 7), {"padding": 3, "stride": 2}),
    ((1, 64, 28, 28), (64, 64, 1, 1), {}),
    ((1, 64, 28, 28), (64, 64, 1, 1), {"stride": 2}),
    ((2, 64, 400), (64, 64, 3), {"padding": 1}),
    ((1, 16, 8, 16, 16), (16, 16, 3, 3, 3), {"padding": 1}),
    *(
        ((1, 64, 56, 56), (64, 1, size, size), {"padding": size // 2, "stride": s, "groups": 64})
        for size in (3, 5, 7)
        for s in (1, 2)
    ),
    ((2, 64, 500), (64, 1, 31), {"padding": 15, "groups": 64}),
)
POOLS: tuple[tuple[tuple[int, ...], dict[str, Any]], ...] = tuple(
    (shape, {"kernel_size": size, "stride": stride, "padding": size // 3})
    for shape in ((1, 64, 400), (1, 64, 8, 8), (1, 64, 56, 56), (1, 16, 8, 28, 28))
    for size, stride in ((2, 2), (3, 1), (3, 2))
)


def tasks(dtypes: tuple[str, ...] = DTYPES) -> list[Callable[[], None]]:
    """List what is to be run; each compiles what it needs and is not there yet."""
    return [*_convolutions(dtypes), *_poolings(dtypes), *_layers(dtypes)]


def _convolutions(dtypes: tuple[str, ...]) -> Iterator[Callable[[], None]]:
    compiled = [name for name, algorithm in REGISTRY.items() if algorithm.engine == "compiled"]
    for dtype in dtypes:
        for problem in PROBLEMS:
            for name in compiled:
                yield partial(_convolve, problem, dtype, name)


def _convolve(problem: Any, dtype: str, name: str) -> None:
    x, w, options = problem
    for direction in Direction:
        for threads in (1, 2):
            try:
                with settings(threads=threads):
                    plan = plan_conv(
                        x, w, dtype=dtype, direction=direction.value, algorithm=name, **options
                    )
            except UnsupportedError:
                return
            y = plan.choice.problem.output_shape
            shapes = {"forward": (x, w), "input_grad": (y, w), "kernel_grad": (y, x)}
            first, second = (np.ones(shape, dtype) for shape in shapes[direction.value])
            plan(first, second)
            if direction is not Direction.KERNEL_GRAD:
                plan(first, plan.pack(second))


def _poolings(dtypes: tuple[str, ...]) -> Iterator[Callable[[], None]]:
    for dtype in dtypes:
        for shape, options in POOLS:
            yield partial(_pool, shape, options, dtype)


def _pool(shape: tuple[int, ...], options: dict[str, Any], dtype: str) -> None:
    x = np.ones(shape, dtype)
    y = max_pool(x, **options)
    max_pool_with_indices(x, **options)
    max_pool_backward(y, x, **options)
    avg_pool_backward(avg_pool(x, **options), x, **options)


def _layers(dtypes: tuple[str, ...]) -> Iterator[Callable[[], None]]:
    for dtype in dtypes:
        yield partial(_train, dtype)


def _train(dtype: str) -> None:
    x = np.ones((2, 4, 32, 32), dtype)
    conv_backward(x, x, np.ones((4, 4, 1, 1), dtype), needs="bias")
    if dtype.startswith("float"):
        norm, relu = BatchNorm(4, dtype=dtype), ReLU()
        relu.backward(relu.forward_sum(x, norm.forward(x, training=True)))
        norm.backward(relu.forward(x))
        # Steps of float16 are NumPy's.
        for optimizer in (Adam(norm), SGD(norm, momentum=0.9)) if dtype != "float16" else ():
            optimizer.step()
