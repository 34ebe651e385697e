"""Kernel gradients whose sums are formed in streams: the same bits whoever forms them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import npconv
from npconv.compiled import direct_gradient, why_missing
from npconv.compiled.winograd import tiling
from npconv.compiled.winograd_gradient import chunks
from npconv.problem import Array, ConvProblem

pytestmark = pytest.mark.skipif(bool(why_missing()), reason="the compiled engine is not there")

# Few channels and many outputs, so that threads share bands, or chunks of tiles.
SHAPES: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((3, 3, 60, 70), (10, 3, 3, 3), {"padding": 1}),
    ((1, 2, 90, 90), (20, 2, 7, 7), {"stride": 2, "padding": 3}),
    ((4, 6, 40, 50), (6, 3, 3, 3), {"padding": 1, "groups": 2}),
    ((2, 4, 9000), (8, 4, 3), {"padding": 1}),
    ((1, 3, 12, 30, 30), (16, 3, 3, 3, 3), {"padding": 1}),
]


def operands(x: tuple[int, ...], w: tuple[int, ...], dtype: str, **options: Any) -> list[Array]:
    rng = np.random.default_rng(3)
    shapes = (npconv.conv_output_shape(x, w, **options), x)
    return [rng.integers(-3, 4, shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize(("x", "w", "options"), SHAPES)
def test_direct_sums_in_streams(
    x: tuple[int, ...], w: tuple[int, ...], options: dict[str, Any], dtype: str
) -> None:
    layout = direct_gradient.layout(ConvProblem.of(x, w, **options), 4)
    assert layout.streams > 1
    dy, seen = operands(x, w, dtype, **options)
    if dtype == "float16":  # sums that it can hold
        dy, seen = (a * (np.arange(a.size).reshape(a.shape) % 97 == 0) for a in (dy, seen))
    exact = npconv.conv_kernel_grad(dy, seen, w, dtype="float64", algorithm="im2col", **options)
    for threads in (1, 2, 5):
        with npconv.settings(threads=threads):
            found = npconv.conv_kernel_grad(dy, seen, w, algorithm="direct", **options)
            np.testing.assert_array_equal(found, exact.astype(dtype))
            strided = np.ones((*w[:-1], 2 * w[-1]), dtype)[..., ::2]
            npconv.conv_kernel_grad(dy, seen, w, algorithm="direct", out=strided, **options)
        np.testing.assert_array_equal(strided, found)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("x", "w", "options", "streams"),
    [
        ((8, 64, 28, 28), (64, 64, 3, 3), {"padding": 1}, True),
        ((5, 20, 61, 40), (70, 20, 3, 3), {"padding": 1}, True),
        ((1, 96, 12, 12), (100, 96, 3, 3), {"padding": 1}, False),
        ((6, 40, 30, 30), (60, 20, 3, 3), {"groups": 2}, True),
        ((2, 33, 4, 20, 30), (40, 33, 1, 3, 3), {}, False),
    ],
)
def test_winograd_sums_in_streams_or_ranges(
    x: tuple[int, ...], w: tuple[int, ...], options: dict[str, Any], streams: bool, dtype: str
) -> None:
    problem = ConvProblem.of(x, w, **options)
    of = chunks(problem, tiling(problem, np.dtype("f4")), 3)
    assert (of.streams > 1) == streams
    assert streams or of.ranges > 1
    dy, seen = (array + np.float32(0.25) for array in operands(x, w, dtype, **options))
    results = []
    for threads in (1, 2, 3, 7):
        with npconv.settings(threads=threads):
            results.append(
                npconv.conv_kernel_grad(dy, seen, w, algorithm="winograd_fused", **options)
            )
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
    exact = npconv.conv_kernel_grad(dy, seen, w, dtype="float64", algorithm="im2col", **options)
    size = npconv.conv_kernel_grad(abs(dy), abs(seen), w, dtype="float64", **options).max()
    growth = npconv.plan_conv(
        x, w, dtype=dtype, direction="kernel_grad", algorithm="winograd_fused", **options
    ).error_growth
    assert np.abs(results[0] - exact).max() <= growth * np.finfo(dtype).eps / 2 * size
