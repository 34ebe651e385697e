"""The oracle of im2col, col2im and pooling proves itself, by hand and by exact identities."""

from __future__ import annotations

from math import inf, nan, prod
from typing import Any

import numpy as np
import pytest

from oracle_windows import Pool, col2im, im2col
from test_oracle import equal, inner, integers, line, some_problems


def test_rows_are_channels_then_kernel_positions_and_columns_are_outputs() -> None:
    x = np.arange(12).reshape(1, 2, 2, 3)
    expected = [[0, 1], [1, 2], [3, 4], [4, 5], [6, 7], [7, 8], [9, 10], [10, 11]]
    assert im2col(x, (2, 2)).tolist() == [expected]
    assert im2col(x.astype(np.int16), (2, 2)).dtype == np.int16


def test_columns_of_a_padded_image_and_back() -> None:
    x = np.array([[[3, 4, 5]]])
    assert im2col(x, [2], padding=[(1, 0)]).tolist() == [[[0, 3, 4], [3, 4, 5]]]
    col = np.array([[[1, 2, 3], [10, 20, 30]]])
    assert col2im(col, (1, 1, 3), [2], padding=[(1, 0)]).tolist() == [[[12, 23, 30]]]


def test_convolution_is_kernel_times_columns_and_col2im_the_adjoint() -> None:
    for problem, rng in some_problems(200, frozenset({"padding_modes"})):
        names = ("stride", "padding", "dilation", "padding_mode")
        options = {name: problem.options[name] for name in names if name in problem.options}
        oracle = problem.oracle
        N, C, K = oracle.x["N"], oracle.w["I"], oracle.w["O"]
        shape = (N, C, *(axis.size for axis in oracle.axes))
        kernel_size = [axis.kernel for axis in oracle.axes]
        x, w = integers(rng, shape), integers(rng, (K, C * prod(kernel_size)))
        col = im2col(x, kernel_size, **options)
        plain = type(oracle)(shape, (K, C, *kernel_size), **options)
        y = plain.forward(x, w.reshape(plain.kernel_shape))
        assert (w @ col).tolist() == y.reshape(N, K, col.shape[2]).tolist(), problem
        dcol = integers(rng, col.shape)
        dx = col2im(dcol, shape, kernel_size, **options)
        assert inner(col, dcol) == inner(x, dx), problem


def test_max_pool_by_hand() -> None:
    pool = Pool((1, 1, 5), 2)
    y, where, _ = pool.max(line(1, 5, 2, nan, 3))
    equal(y, 5, nan)
    assert where.tolist() == [[[1, 3]]]
    equal(Pool((1, 1, 5), 2, ceil_mode=True).max(line(1, 5, 2, nan, 3))[0], 5, nan, 3)
    # The first of ties wins, a NaN over all, and padding never.
    tied = line(7, 7, -inf, -1)
    assert Pool((1, 1, 4), 2, 1).max(tied)[1].tolist() == [[[0, 1, 3]]]
    equal(Pool((1, 1, 4), 2, padding=1).max(line(-1, -2, -3, -4))[0], -1, -2, -4)
    dx = Pool((1, 1, 4), 2, 1).max_backward(line(1, 10, 100), tied)
    equal(dx, 1, 10, 0, 100)


def test_indices_are_flat_over_space() -> None:
    x = np.zeros((2, 3, 4, 2))  # NHWC
    x[1, 2, 3, 1] = 1
    where = Pool(x.shape, (3, 4), layout="NHWC").max(x)[1]
    assert where.tolist() == [[[[0, 0]]], [[[0, 2 * 4 + 3]]]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"padding": 1}, [3 / 3, 9 / 3]),
        ({"padding": 1, "ceil_mode": True}, [3 / 3, 9 / 3, 4 / 2]),
        ({"padding": 1, "count_include_pad": False}, [3 / 2, 9 / 3]),
        ({"padding": 1, "ceil_mode": True, "count_include_pad": False}, [1.5, 3, 4]),
        ({"padding": [(0, 1)], "dilation": 2}, [(1 + 3) / 3]),
    ],
)
def test_avg_pool_by_hand(options: dict[str, Any], expected: list[float]) -> None:
    include = {"count_include_pad": options.pop("count_include_pad", True)}
    pool = Pool((1, 1, 4), 3, 2, **options)
    equal(pool.avg(line(1, 2, 3, 4), **include), *expected)
    dy = np.ones(pool.output_shape)
    # The adjoint: <avg(x), dy> = <x, avg_backward(dy)>
    assert inner(pool.avg(line(1, 2, 3, 4), **include), dy) == pytest.approx(
        inner(line(1, 2, 3, 4), pool.avg_backward(dy, **include)), rel=1e-15
    )


def test_ceil_mode_drops_a_window_that_starts_beyond_the_input() -> None:
    # Windows begin at -1, 1 and, rounded up, 3, where there is only the high pad.
    assert Pool((1, 1, 3), 2, 2, padding=1, ceil_mode=True).output_shape == (1, 1, 2)
