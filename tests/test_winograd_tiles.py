"""Which tiles Winograd's filtering takes in the compiled engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import npconv
from npconv.compiled import why_missing
from npconv.compiled.winograd_pictures import sub_kernels
from npconv.compiled.winograd_steps import most_bytes, whole_bytes
from npconv.problem import ConvProblem, Direction

pytestmark = pytest.mark.skipif(why_missing() is not None, reason="without Numba")


@pytest.mark.parametrize("direction", [direction.value for direction in Direction])
def test_large_kernels_on_small_images_have_small_tiles(direction: str) -> None:
    """To read a kernel of 36 elements a tile would take longest; sums of 16 are exact here."""
    options: dict[str, Any] = {"padding": 1, "direction": direction}
    for size, C, t in ((7, 300, 4), (10, 300, 4), (14, 300, 6), (7, 64, 6)):
        problem = ConvProblem.of((1, C, size, size), (C, C, 3, 3), padding=1)
        assert [kernel.tile for kernel in sub_kernels(problem)] == [(t, t)]
    x, w = (3, 300, 7, 7), (300, 300, 3, 3)
    rng = np.random.default_rng(0)
    first, second = (rng.integers(-2, 3, shape).astype(np.float32) for shape in (x, w))
    if direction == "kernel_grad":
        second = rng.integers(-2, 3, x).astype(np.float32)
    exact = npconv.plan_conv(x, w, algorithm="direct", **options)(first, second)
    for threads in (1, 3):
        with npconv.settings(threads=threads):
            plan = npconv.plan_conv(x, w, algorithm="winograd_fused", **options)
            np.testing.assert_array_equal(plan(first, second), exact)
            if direction != "kernel_grad":
                np.testing.assert_array_equal(plan(first, plan.pack(second)), exact)


@pytest.mark.parametrize("direction", ["forward", "input_grad"])
@pytest.mark.parametrize(("channels", "size"), [(300, 7), (300, 10), (300, 14), (128, 22)])
def test_no_limit_makes_bits_depend_on_the_batch(channels: int, size: int, direction: str) -> None:
    """Images go whole, or in blocks of channels and bands of rows, alone as among others."""
    rng, options = np.random.default_rng(0), {"padding": 1, "direction": direction}
    x = rng.standard_normal((4, channels, size, size)).astype(np.float32)
    w = rng.standard_normal((channels, channels, 3, 3)).astype(np.float32)
    ways = set()
    for limit in (4, 5, 6, 8, 64):
        here = set()
        found = []
        with npconv.settings(workspace_limit=limit * 2**20):
            for n in (1, 2, 4):
                asked: Any = {**options, "algorithm": "winograd_fused"}
                plan = npconv.plan_conv((n, *x.shape[1:]), w.shape, **asked)
                here.add(plan.choice.runs is None)
                found += [plan(x[:n], w)[0], plan(x[:n], plan.pack(w))[0]]
        for other in found[1:]:
            np.testing.assert_array_equal(other, found[0])
        assert len(here) == 1
        ways |= here
    assert ways == {True, False}


@pytest.mark.parametrize("item", [np.float32, np.float64])
@pytest.mark.parametrize("options", [{}, {"groups": 2}, {"stride": 2}, {"dilation": 2}])
@pytest.mark.parametrize("size", [(7, 7), (22, 9), (3, 12, 30), (50,)])
def test_what_one_thread_needs_is_a_bound_for_any_number_of_images(
    size: tuple[int, ...], options: dict[str, int], item: type[np.generic]
) -> None:
    """Or a few could be computed whole, and more of them not."""
    dtype, window, asked = np.dtype(item), (3,) * len(size), dict[str, Any](options)
    for C, K in ((3, 64), (64, 20), (300, 300), (1000, 8)):
        groups = options.get("groups", 1)
        shapes = (1, C * groups, *size), (K * groups, C, *window)
        posed = ConvProblem.of(*shapes, padding=2, **asked)
        bound = most_bytes(posed, dtype)
        images = (*range(1, 70), 100, 1000, 10000)
        needed = [whole_bytes(posed._replace(N=n), dtype, 1) for n in images]
        assert max(needed) <= bound <= 8 * max(needed)
