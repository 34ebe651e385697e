"""The shapes that direct summation's blocks take: all heights, all distances of outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import npconv
from npconv.compiled import why_missing
from npconv.compiled.direct import bands_of, blocks_of, layout, together
from npconv.compiled.direct_packing import _runs
from npconv.problem import ConvProblem

pytestmark = pytest.mark.skipif(bool(why_missing()), reason="the compiled engine is not there")


@pytest.mark.parametrize("K", range(1, 20))
def test_blocks_of_every_height(K: int) -> None:
    blocks = blocks_of(K, 16, "shifted")
    assert [start for start, _ in blocks] == np.cumsum([0, *(h for _, h in blocks)])[:-1].tolist()
    assert sum(height for _, height in blocks) == K
    assert len(blocks) <= -(-K // 8) + 1
    rng = np.random.default_rng(K)
    x, w = rng.integers(-3, 4, (1, 3, 9, 70)), rng.integers(-3, 4, (K, 3, 3, 3))
    for dtype in ("float32", "float64", "float16"):
        pair = x.astype(dtype), w.astype(dtype)
        found = npconv.conv(*pair, padding=1, algorithm="direct")
        np.testing.assert_array_equal(found, npconv.conv(x, w, padding=1))


@pytest.mark.parametrize("channels", [5, 40])
@pytest.mark.parametrize("stride", range(1, 7))
def test_outputs_that_lie_apart(stride: int, channels: int) -> None:
    """The input's gradient of a stride is written with gaps, which other phases fill."""
    rng = np.random.default_rng(stride)
    for kernel in (1, 3, 4):
        options: dict[str, Any] = {"stride": stride, "padding": kernel // 2}
        w, x = (6, channels, kernel, kernel), (2, channels, 23, 41)
        dy = rng.integers(-3, 4, npconv.conv_output_shape(x, w, **options))
        weights = rng.integers(-3, 4, w)
        exact = npconv.conv_input_grad(dy, weights, x, **options)
        for dtype in ("float32", "float64", "float16"):
            pair = dy.astype(dtype), weights.astype(dtype)
            for threads in (1, 3):
                with npconv.settings(threads=threads):
                    found = npconv.conv_input_grad(*pair, x, algorithm="direct", **options)
                np.testing.assert_array_equal(found, exact)


def test_phases_between_each_other_are_one_part() -> None:
    problem = ConvProblem.of((1, 4, 32, 32), (4, 4, 3, 3), stride=2, padding=1).turned
    pieces = layout(problem, 4).pieces
    assert together(pieces) == [2, 0, 2, 0]
    assert bands_of(pieces) * 2 == sum(piece.number for piece in pieces)
    single = layout(ConvProblem.of((1, 4, 32, 32), (4, 4, 3, 3)), 4).pieces
    assert together(single) == [1]


def test_runs_of_places() -> None:
    assert _runs(np.arange(12), [12, 4]) == (12, 1)
    assert _runs(np.array([3, 2, 1, 0, 13, 12, 11, 10]), [8, 4]) == (4, -1)
    assert _runs(np.array([0, 7, 9, 20]), [4, 4]) == (1, 1)
    assert _runs(np.zeros(0, np.int64), [0, 0]) == (1, 1)
    assert _runs(np.array([5]), [1, 1]) == (1, 1)


def test_an_element_that_meets_padding_alone_is_a_term() -> None:
    """Beside holes it is in no phase's packed kernel; but Inf * 0 is NaN."""
    x, w = np.ones((1, 1, 1, 1), np.float32), np.ones((1, 1, 1, 3), np.float32)
    w[..., 0] = np.inf
    options: dict[str, Any] = {"padding": [(0, 0), (1, 1)], "input_dilation": (1, 2)}
    right = npconv.conv(x, w, algorithm="naive", **options)
    assert np.isnan(right).any()
    np.testing.assert_array_equal(npconv.conv(x, w, algorithm="direct", **options), right)


def test_winograd_takes_no_holes_even_where_there_are_none() -> None:
    shapes: Any = (1, 2, 1, 4), (4, 2, 3, 3)
    with pytest.raises(npconv.UnsupportedError, match="input_dilation 1"):
        npconv.plan_conv(*shapes, algorithm="winograd", padding=2, input_dilation=(2, 1))
