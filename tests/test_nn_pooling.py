"""Pooling against plain loops, its adjoints, and its rules for ties, NaN and edges."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import npconv
from npconv import pool_geometry, pool_loops, pooling
from npconv.problem import Array
from npconv.settings import ENGINES


@pytest.fixture(autouse=True, params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "compiled":
        pytest.importorskip("numba", reason="the compiled engine needs it")
    with npconv.settings(engine=request.param):
        yield


LETTERS = {1: "W", 2: "HW", 3: "DHW"}


# ---- the oracle: windows one by one, in plain loops ---------------------------------------------


def axis_windows(
    size: int, k: int, s: int, low: int, high: int, d: int, ceil_mode: bool
) -> list[list[int | None]]:
    """For each window of one axis, what it sees: input positions, None for padding."""
    crop_low, crop_high = max(-low, 0), max(-high, 0)
    inside = list(range(size))[crop_low : size - crop_high]
    line = [None] * max(low, 0) + inside + [None] * max(high, 0)
    reach = d * (k - 1) + 1
    found: list[list[int | None]] = []
    start = 0
    while True:
        fits = start + reach <= len(line)
        # With ceil_mode one more window may begin, in the input or its low pad.
        overhangs = (
            ceil_mode and start - s + reach < len(line) and start < len(inside) + max(low, 0)
        )
        if not (fits or overhangs):
            return found
        found.append([line[t] for t in range(start, start + reach, d) if t < len(line)])
        start += s


def oracle(x: Array, windows: list[list[list[int | None]]]) -> list[Any]:
    """Each output's elements as (flat position, value), padding left out, and its full size."""
    found = []
    for n, c in np.ndindex(*x.shape[:2]):
        for seen in itertools.product(*windows):
            places = list(itertools.product(*seen))
            inside: list[Any] = [p for p in places if None not in p]
            flat = [int(np.ravel_multi_index(p, x.shape[2:])) for p in inside]
            found.append((flat, [x[(n, c, *p)] for p in inside], len(places)))
    return found


def oracle_max(found: list[Any], lowest: Any) -> tuple[list[Any], list[int]]:
    values, indices = [], []
    for flat, elements, _ in found:
        best, where = lowest, -1
        for place, element in zip(flat, elements, strict=True):
            beats = where < 0 or element > best or (element != element and best == best)
            if beats:
                best, where = element, place
        values.append(best)
        indices.append(where)
    return values, indices


pairs = st.tuples(st.integers(-2, 3), st.integers(-2, 3))


@st.composite
def problems(draw: st.DrawFn) -> tuple[tuple[int, ...], dict[str, Any], Any]:
    rank = draw(st.integers(1, 3))
    shape, axes = [draw(st.integers(0, 2)), draw(st.integers(0, 2))], []
    options: dict[str, Any] = {"ceil_mode": draw(st.booleans())}
    k, s, d, pads = [], [], [], []
    for _ in range(rank):
        k.append(draw(st.integers(1, 3)))
        s.append(draw(st.integers(1, 4)))
        d.append(draw(st.integers(1, 3)))
        reach = d[-1] * (k[-1] - 1) + 1
        most = reach // 2
        pads.append((draw(st.integers(-2, most)), draw(st.integers(-2, most))))
        size = draw(st.integers(max(reach - sum(pads[-1]), 0), max(reach - sum(pads[-1]), 0) + 5))
        shape.append(size)
        axes.append(axis_windows(size, k[-1], s[-1], *pads[-1], d[-1], options["ceil_mode"]))
    options |= {"kernel_size": k, "stride": s, "dilation": d, "padding": pads}
    return tuple(shape), options, axes


@settings(
    max_examples=300,
    deadline=None,
    # The fixture is a setting, always the same; and a busy machine draws slowly.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(problems(), st.integers(0, 2**32 - 1), st.sampled_from(["f8", "f4", "i8", "u1", "?"]))
def test_pooling_equals_loops(problem: Any, seed: int, dtype: str) -> None:
    shape, options, axes = problem
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 4, shape).astype(dtype)  # few values: many ties
    if dtype.startswith("f") and seed % 3 == 0:
        x[rng.random(shape) < 0.2] = np.nan
        x[rng.random(shape) < 0.2] = -np.inf
    found = oracle(x, axes)
    out = (*shape[:2], *map(len, axes))
    values, indices = oracle_max(found, pool_loops._lowest(x.dtype))

    y, where = pooling.max_pool_with_indices(x, **options)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, np.array(values, x.dtype).reshape(out))
    np.testing.assert_array_equal(where, np.array(indices, np.int64).reshape(out))
    np.testing.assert_array_equal(pooling.max_pool(x, **options), y)

    dy = rng.integers(-9, 9, out).astype(float)
    dx = np.zeros((*shape[:2], int(np.prod(shape[2:]))))
    for at, place in zip(np.ndindex(*out), indices, strict=True):
        if place >= 0:
            dx[(*at[:2], place)] += dy[at]
    np.testing.assert_array_equal(pooling.max_pool_backward(dy, x, **options), dx.reshape(shape))

    for include in (True, False):
        sizes = [full if include else len(flat) for flat, _, full in found]
        means = [
            sum(map(float, elements)) / size if size else np.nan
            for (_, elements, _), size in zip(found, sizes, strict=True)
        ]
        with np.errstate(invalid="ignore"):
            mean = pooling.avg_pool(x, **options, count_include_pad=include)
        assert mean.dtype == (x.dtype if dtype.startswith("f") else np.float64)
        tolerance = 1e-6 if dtype == "f4" else 1e-14
        np.testing.assert_allclose(
            mean, np.array(means).reshape(out), rtol=tolerance, atol=tolerance
        )
        dx = np.zeros((*shape[:2], int(np.prod(shape[2:]))))
        for at, (flat, _, _), size in zip(np.ndindex(*out), found, sizes, strict=True):
            for place in flat:
                dx[(*at[:2], place)] += dy[at] / size
        np.testing.assert_allclose(
            pooling.avg_pool_backward(dy, x, **options, count_include_pad=include),
            dx.reshape(shape),
            atol=1e-13,
        )


@pytest.mark.parametrize("layout", ["NHWC", "CHWN", "HNWC"])
@pytest.mark.parametrize("name", ["max_pool", "avg_pool"])
def test_layouts(name: str, layout: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 7, 8))
    order = ["NCHW".index(letter) for letter in layout]
    options: dict[str, Any] = {"stride": (2, 1), "padding": [(1, 0), (-1, 1)], "ceil_mode": True}
    forward, backward = getattr(pooling, name), getattr(pooling, name + "_backward")
    y = forward(x, (3, 2), **options)
    dy = rng.standard_normal(y.shape)
    turned = x.transpose(order)
    # Which engine serves depends on the layout; sums may be formed in another order.
    np.testing.assert_allclose(
        forward(turned, (3, 2), **options, layout=layout),
        y.transpose(order),
        rtol=0,
        atol=1e-14,
    )
    np.testing.assert_allclose(
        backward(dy.transpose(order), turned, (3, 2), **options, layout=layout),
        backward(dy, x, (3, 2), **options).transpose(order),
        rtol=0,
        atol=1e-14,
    )


def test_indices_follow_the_spatial_order_of_the_layout() -> None:
    x = np.zeros((1, 1, 2, 3))
    x[0, 0, 1, 2] = 1
    assert pooling.max_pool_with_indices(x, (2, 3))[1].item() == 5
    turned = x.transpose(0, 3, 2, 1)  # N W H C
    assert pooling.max_pool_with_indices(turned, (3, 2), layout="NWHC")[1].item() == 5


def test_ties_and_nan() -> None:
    y, where = pooling.max_pool_with_indices([[[2.0, 2.0, np.nan, 1.0, np.nan, 3.0]]], 3)
    np.testing.assert_array_equal(y, [[[np.nan, np.nan]]])
    np.testing.assert_array_equal(where, [[[2, 4]]])
    y, where = pooling.max_pool_with_indices([[[2.0, 2.0, -np.inf, -np.inf]]], 2)
    np.testing.assert_array_equal(y, [[[2, -np.inf]]])
    np.testing.assert_array_equal(where, [[[0, 2]]])
    # a gradient that is not finite reaches the winner alone
    dx = pooling.max_pool_backward([[[np.inf, np.nan]]], [[[1.0, 2.0, 3.0, 0.0]]], 2)
    np.testing.assert_array_equal(dx, [[[0, np.inf, np.nan, 0]]])


def test_named_paddings() -> None:
    x = np.arange(1.0, 6.0).reshape(1, 1, 5)
    assert pooling.max_pool(x, 2, 2, "same").tolist() == [[[2, 4, 5]]]
    assert pooling.max_pool(x, 2, 2, "same_lower").tolist() == [[[1, 3, 5]]]
    assert pooling.max_pool(x, 2, 2, "valid").tolist() == [[[2, 4]]]
    assert pooling.max_pool(-x, 3, 1, "causal").tolist() == [[[-1, -1, -1, -2, -3]]]
    assert pooling.avg_pool(x, 2, 2, "same").tolist() == [[[1.5, 3.5, 2.5]]]
    assert pooling.avg_pool(x, 2, 2, "same", count_include_pad=False).tolist() == [[[1.5, 3.5, 5]]]


def test_pieces_of_work_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 2, 9, 10))
    options: dict[str, Any] = {"stride": 1, "padding": 1, "dilation": 2, "ceil_mode": True}

    def everything() -> list[Array]:
        y, where = pooling.max_pool_with_indices(x, 3, **options)
        dy = np.arange(y.size).reshape(y.shape) - 100
        return [
            y,
            where,
            pooling.max_pool(x, 3, **options),
            pooling.max_pool_backward(dy, x, 3, **options),
            pooling.avg_pool(x, 3, **options),
            pooling.avg_pool_backward(9 * dy, x, 3, **options, count_include_pad=True).round(9),
        ]

    whole = everything()
    for tile in (1, 7, 30, 100, 200):
        monkeypatch.setattr(pool_geometry, "TILE", tile)
        for before, now in zip(whole, everything(), strict=True):
            np.testing.assert_array_equal(before, now)


def test_pieces_of_work_count_what_they_read() -> None:
    """With a stride that is more than they write, and counts half."""
    for shape, kernel in (((8, 64, 4000), 4), ((4, 64, 112, 112), 2), ((1, 1, 3000, 900), 3)):
        windows = (kernel,) * (len(shape) - 2)
        pool = pool_geometry.Pool.of(shape, windows, None, 0, 1, False, None)
        pieces = [[cut.stop - cut.start for cut in at_x] for at_x, _, _ in pool.tiles()]
        assert len(pieces) > 1
        assert max(map(math.prod, pieces)) <= 2 * pool_geometry.TILE
        assert sum(map(math.prod, pieces)) >= math.prod(shape)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", "i8", "?"])
@pytest.mark.parametrize("stride", [1, 3])
def test_both_ways_through_the_windows_are_one(
    monkeypatch: pytest.MonkeyPatch, stride: int, dtype: str
) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(-9, 10, (2, 3, 8, 9, 7)).astype(dtype)
    x = x if dtype != "f8" else x[..., ::-1]
    options: dict[str, Any] = {"stride": stride, "padding": [(1, 0), (-1, 1), (0, 1)]}
    options |= {"dilation": (1, 2, 1), "ceil_mode": True}
    found = []
    for flat in (True, False):
        monkeypatch.setattr(pool_loops, "is_flat", lambda *_, flat=flat, **__: flat)
        means = [
            pooling.avg_pool(x, (3, 2, 5), **options, count_include_pad=i) for i in (False, True)
        ]
        found.append([pooling.max_pool(x, (3, 2, 5), **options), *means])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_mean_of_all() -> None:
    x = np.random.default_rng(0).standard_normal((2, 5, 7, 7)).astype(np.float32)
    whole = pooling.avg_pool(x, 7)
    np.testing.assert_allclose(whole[..., 0, 0], x.mean((2, 3)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(pooling.avg_pool(x[1:], 7), whole[1:])


def test_float16_sums_in_float32() -> None:
    x = np.full((1, 1, 4096), 1, np.float16)
    assert pooling.avg_pool(x, 4096).item() == 1
    y = pooling.max_pool_backward(np.ones((1, 1, 3000), np.float16), np.eye(1, 3999)[None], 1000, 1)
    assert y.dtype == np.float16
    assert y[0, 0, 0] == 1


def test_bfloat16_is_pooled_as_float32_and_rounded() -> None:
    bfloat16 = pytest.importorskip("ml_dtypes", reason="it brings bfloat16").bfloat16
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 6)).astype(bfloat16)
    x[0, 0, 2, 3] = np.nan
    wide = x.astype(np.float32)
    for name in ("max_pool", "avg_pool"):
        forward, backward = getattr(pooling, name), getattr(pooling, f"{name}_backward")
        y = forward(x, 3, 2, 1)
        dy = np.random.default_rng(1).standard_normal(y.shape).astype(bfloat16)
        dx = backward(dy, x, 3, 2, 1)
        for actual, same in (
            (y, forward(wide, 3, 2, 1)),
            (dx, backward(dy.astype(np.float32), wide, 3, 2, 1)),
        ):
            assert actual.dtype == bfloat16
            rounded = same.astype(bfloat16)
            # As float32, because NumPy's comparison knows no NaN of bfloat16.
            np.testing.assert_array_equal(actual.astype(np.float32), rounded.astype(np.float32))
    assert pooling.max_pool_with_indices(x, 3, 2, 1)[1][0, 0, 1, 1] == 2 * 6 + 3


def test_operands_stay_as_they_were() -> None:
    x = np.random.default_rng(0).standard_normal((1, 2, 4, 6)).astype(">f4")[..., ::-1]
    kept = x.copy()
    x.flags.writeable = False
    y = pooling.max_pool(x, 2)
    assert y.dtype == np.dtype("f4").newbyteorder("=")
    pooling.max_pool_backward(y, x, 2)
    pooling.avg_pool(x, 2)
    np.testing.assert_array_equal(x, kept)


@pytest.mark.parametrize("name", ["max_pool", "avg_pool", "max_pool_with_indices"])
@pytest.mark.parametrize(
    ("args", "options", "error", "text"),
    [
        ((np.ones((3, 4)), 2), {}, npconv.ShapeError, "3 axes or more"),
        ((np.ones((1, 1, 4)), 5), {}, npconv.ShapeError, "beyond the padded input"),
        ((np.ones((1, 1, 4)), 0), {}, npconv.ShapeError, "kernel_size"),
        ((np.ones((1, 1, 4)), 2, 0), {}, npconv.ShapeError, "stride"),
        ((np.ones((1, 1, 4)), 2, 1.5), {}, npconv.DTypeError, "stride"),
        ((np.ones((1, 1, 4)), (2, 2)), {}, npconv.ShapeError, "kernel_size"),
        ((np.ones((1, 1, 4)), 3, 1, 2), {}, npconv.ShapeError, "at most half the window"),
        ((np.ones((1, 1, 4)), 2), {"padding": "some"}, npconv.UnsupportedError, "padding"),
        ((np.ones((1, 1, 4)), 2), {"layout": "NCC"}, npconv.UnsupportedError, "layout"),
        (("text", 2), {}, npconv.DTypeError, "input"),
        ((None, 2), {}, npconv.DTypeError, "input"),
        ((np.ones((1, 1, 4), complex), 2), {}, npconv.DTypeError, "real"),
        ((np.ma.masked_array(np.ones((1, 1, 4))), 2), {}, npconv.DTypeError, "masked"),
    ],
)
def test_errors(
    name: str, args: tuple[Any, ...], options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        getattr(pooling, name)(*args, **options)


@pytest.mark.parametrize("name", ["max_pool_backward", "avg_pool_backward"])
def test_a_wrong_grad_output_is_refused(name: str) -> None:
    with pytest.raises(npconv.ShapeError, match=r"grad_output must have shape \(1, 1, 2\)"):
        getattr(pooling, name)(np.ones((1, 1, 3)), np.ones((1, 1, 4)), 2)


def test_windows_over_nothing_but_padding() -> None:
    x: Any = np.zeros((1, 1, 1, 0))
    y, where = npconv.max_pool_with_indices(x, (1, 2), dilation=(1, 3), padding=[(0, 0), (2, 2)])
    np.testing.assert_array_equal(y, np.full((1, 1, 1, 1), -np.inf))
    np.testing.assert_array_equal(where, np.full((1, 1, 1, 1), -1))


def test_a_single_winner_of_a_row_keeps_its_place() -> None:
    x = np.array([[[[2.0, 3, 3, 0, 3]]]])
    options: dict[str, Any] = {"dilation": [1, 2], "padding": [(0, 1), (0, 0)]}
    _, where = pooling.max_pool_with_indices(x, [2, 3], 1, **options)
    assert where.ravel().tolist() == [2]
    dx = pooling.max_pool_backward([[[[-7.0]]]], x, [2, 3], 1, **options)
    assert dx.ravel().tolist() == [0, 0, -7, 0, 0]
