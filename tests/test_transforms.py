"""What every algorithm promises that is not direct summation: its bits, memory and dtypes."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import npconv
from checks import largest, normals
from npconv.algorithms import REGISTRY
from npconv.problem import Direction
from problems import windows_of_three
from tolerance import unit_roundoff

TRANSFORMS = [name for name, algorithm in REGISTRY.items() if not algorithm.direct]
DIRECTIONS = [direction.value for direction in Direction]

pytestmark = pytest.mark.parametrize("algorithm", TRANSFORMS)


def test_gradients_are_adjoints(algorithm: str) -> None:
    for seed in range(40):
        problem = windows_of_three(seed)
        data = normals(problem, seed, np.float64)
        options: dict[str, Any] = {**problem.options, "algorithm": algorithm}
        y = npconv.conv(data.x, data.w, **options)
        dx = npconv.conv_input_grad(data.dy, data.w, data.x.shape, **options)
        dw = npconv.conv_kernel_grad(data.dy, data.x, data.w.shape, **options)
        size = np.sum(np.abs(y * data.dy)) + 1e-300
        assert abs(np.sum(y * data.dy) - np.sum(data.x * dx)) <= 1e-12 * size
        assert abs(np.sum(y * data.dy) - np.sum(data.w * dw)) <= 1e-12 * size


@pytest.mark.parametrize("dtype", ["float16", "complex64", "complex128"])
def test_other_dtypes(dtype: str, algorithm: str) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 2, 9, 8)).astype(dtype), rng.random((3, 2, 3, 3)).astype(dtype)
    if dtype[0] == "c" and REGISTRY[algorithm].engine == "compiled":  # whose numbers are real
        with pytest.raises(npconv.UnsupportedError, match=f"not {dtype}"):
            npconv.conv(x, w, algorithm=algorithm)
        return
    if dtype[0] == "c":
        x += 1j * rng.standard_normal(x.shape)
        w -= 1j * rng.standard_normal(w.shape)
    kinds = npconv.conv(x, w, algorithm=algorithm), npconv.conv(x, w, algorithm="naive")
    assert kinds[0].dtype == kinds[1].dtype == dtype
    plan = npconv.plan_conv(x.shape, w.shape, dtype=dtype, algorithm=algorithm)
    wide = [a.astype("complex128") for a in (x, w)]
    magnitude = npconv.conv(abs(wide[0]), abs(wide[1])).real
    error = abs(kinds[0].astype("complex128") - npconv.conv(*wide))
    assert np.all(error <= plan.error_growth * unit_roundoff(dtype) * largest(magnitude, 0))

    x = np.zeros((2, 1, 8, 8), np.float32)
    x[1, 0, ::2, ::2] = np.finfo(np.float32).max
    w = np.zeros((1, 1, 3, 3), np.float32)
    w[0, 0, 1, 1] = 1
    np.testing.assert_array_equal(npconv.conv(x, w, padding=1, algorithm=algorithm), x)
    dx = npconv.conv_input_grad(x, w, x.shape, padding=1, algorithm=algorithm)
    np.testing.assert_array_equal(dx, x)
    dw = npconv.conv_kernel_grad(w, x[1:, :, :5, :5], w.shape, algorithm=algorithm)
    np.testing.assert_array_equal(dw, npconv.conv_kernel_grad(w, x[1:, :, :5, :5], w.shape))


@pytest.mark.parametrize("direction", ["forward", "input_grad"])
def test_a_packed_kernel_gives_the_same_bits(direction: str, algorithm: str) -> None:
    rng = np.random.default_rng(0)
    x, w = (3, 2, 9, 9), rng.standard_normal((4, 2, 3, 3))
    plan = npconv.plan_conv(x, w.shape, dtype="float64", direction=direction, algorithm=algorithm)
    first = rng.standard_normal(x if direction == "forward" else (3, 4, 7, 7))
    first[1, 0, 2, 2] = np.nan  # computed again, by the packed kernel's direct form
    np.testing.assert_array_equal(plan(first, plan.pack(w)), plan(first, w))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("limit", [2**20, 2**22, 2**26])
@pytest.mark.parametrize("broken", [False, True], ids=["finite", "nan"])
def test_the_workspace_bound_holds(
    direction: str, limit: int, broken: bool, algorithm: str
) -> None:
    for x, w in [((2, 32, 40, 40), (48, 32, 3, 3)), ((1, 96, 9, 9), (80, 96, 3, 3))]:
        y = npconv.conv_output_shape(x, w, padding=1)
        shapes = {"forward": (x, w), "input_grad": (y, w), "kernel_grad": (y, x)}[direction]
        first, second = (np.ones(shape, np.float32) for shape in shapes)
        if broken:
            first[0, 0, 3, 3] = np.nan
        with npconv.settings(workspace_limit=limit):
            plan = npconv.plan_conv(x, w, direction=direction, padding=1, algorithm=algorithm)
        assert plan.workspace_bytes <= limit
        out = plan(first, second)
        tracemalloc.start()
        plan(first, second, out=out)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # Objects of Python itself (tiles, views, caches) are counted with the arrays.
        assert peak <= plan.workspace_bytes + 2**17, (x, w, peak, plan.workspace_bytes)


def test_the_bits_of_an_image_do_not_depend_on_its_company(algorithm: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((7, 5, 13, 11)).astype(np.float32)
    w = rng.standard_normal((6, 5, 3, 3)).astype(np.float32)
    x[2, 0, 3, 3], x[5, 1, 0, 0] = np.nan, np.inf
    y = npconv.conv(x, w, padding=1, algorithm=algorithm)
    dx = npconv.conv_input_grad(y, w, x.shape, padding=1, algorithm=algorithm)
    for n in range(len(x)):
        alone = npconv.conv(x[n : n + 1], w, padding=1, algorithm=algorithm)
        np.testing.assert_array_equal(alone[0], y[n])
        alone = npconv.conv_input_grad(y[n : n + 1], w, x[:1].shape, padding=1, algorithm=algorithm)
        np.testing.assert_array_equal(alone[0], dx[n])
