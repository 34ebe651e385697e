"""The two engines pool alike: large problems, whose code is unrolled, small ones, any layout."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import npconv
from npconv import pooling
from npconv.pool_geometry import Pool
from npconv.problem import Array

pytest.importorskip("numba", reason="the compiled engine needs it")
sliding = pytest.importorskip("npconv.compiled.sliding")
compiled = pytest.importorskip("npconv.compiled.pooling")
small_pooling = pytest.importorskip("npconv.compiled.small_pooling")

Options = dict[str, Any]
# shape, kernel_size, options: widths about those of vectors, so that each column is at some
# border, and rows for each number that is computed together.
CASES: dict[str, tuple[tuple[int, ...], Any, Options]] = {
    "3x3 stride 2": ((2, 3, 15, 37), 3, {"stride": 2, "padding": 1}),
    "2x2": ((2, 2, 15, 70), 2, {"ceil_mode": True}),
    "3x3 stride 1": ((1, 2, 8, 33), 3, {"stride": 1, "padding": 1}),
    "stride 3": ((1, 2, 14, 100), (2, 4), {"stride": 3, "padding": (0, 2), "ceil_mode": True}),
    "stride 5": ((1, 1, 9, 90), 6, {"stride": 5, "padding": 3, "ceil_mode": True}),
    "crops": ((1, 2, 20, 40), 3, {"stride": 1, "padding": [(-1, 1), (1, -2)]}),
    "dilation": ((1, 2, 20, 40), 3, {"stride": 2, "padding": 2, "dilation": 2}),
    "no element in a window": ((1, 1, 3, 3), 2, {"dilation": 4, "padding": 2, "stride": 1}),
    "rank 1": ((2, 2, 70), 3, {"stride": 2, "padding": 1}),
    "rank 3": ((2, 2, 5, 7, 20), 3, {"stride": 2, "padding": 1, "ceil_mode": True}),
    "everything": ((2, 4, 12, 13), (12, 13), {}),
    "everything and pads": ((2, 4, 3, 3), 5, {"padding": 1}),
    "no channel": ((2, 0, 12, 12), 2, {}),
    "no image": ((0, 3, 12, 12), 2, {}),
}
# Rows shorter than vectors; several planes in a vector, the last fewer.
SMALL: dict[str, tuple[tuple[int, ...], Any, Options]] = {
    "2x2": ((5, 7, 8, 8), 2, {}),
    "2x2 of 2x2": ((9, 31, 2, 2), 2, {}),
    "3x3 stride 2": ((3, 5, 13, 14), 3, {"stride": 2, "padding": 1, "ceil_mode": True}),
    "overlaps": ((2, 3, 9, 9), 4, {"stride": 1, "padding": 2}),
    "crops": ((2, 3, 12, 10), 3, {"stride": 1, "padding": [(-1, 1), (1, -2)]}),
    "dilation": ((2, 3, 9, 10), 3, {"stride": 2, "padding": 2, "dilation": 2}),
    "no element in a window": ((3, 2, 3, 3), 2, {"dilation": 4, "padding": 2, "stride": 1}),
    "rank 1": ((3, 50, 9), 3, {"stride": 2, "padding": 1}),
    "rank 3": ((2, 3, 5, 4, 6), 2, {"stride": 2, "ceil_mode": True}),
}
LAST = {1: "NWC", 2: "NHWC", 3: "NDHWC"}


UNROLLED = ("3x3 stride 2", "2x2", "stride 3", "crops", "rank 3")


@pytest.fixture
def unrolled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Treat all problems as large: that is, give them code of their own."""
    monkeypatch.setattr(sliding, "WORTHWHILE", 0)
    forget()
    yield
    forget()


def forget() -> None:
    for prepared in (compiled._windows, compiled._won, compiled._shares):
        prepared.cache_clear()


def everything(engine: str, x: Array, kernel: Any, threads: int = 1, **options: Any) -> list[Array]:
    """Pool in every way: with integers as gradients, so that sums are exact."""
    with npconv.settings(engine=engine, threads=threads):
        y, places = pooling.max_pool_with_indices(x, kernel, **options)
        dy = np.random.default_rng(1).integers(-4, 5, y.shape).astype(x.dtype)
        numbers = np.nan_to_num(x, neginf=-9)
        results = [
            y,
            places,
            pooling.max_pool(x, kernel, **options),
            pooling.max_pool_backward(dy, x, kernel, **options),
        ]
        for include in (True, False):
            results += [
                pooling.avg_pool(numbers, kernel, count_include_pad=include, **options),
                pooling.avg_pool_backward(dy, x, kernel, count_include_pad=include, **options),
            ]
    return results


def check(x: Array, kernel: Any, **options: Any) -> None:
    """Compare the engines: bits of maxima, means by the bound of their sums."""
    right = everything("numpy", x, kernel, **options)
    found = [everything("compiled", x, kernel, threads=n, **options) for n in (1, 2, 3)]
    for a, b in zip(right[:4], found[0][:4], strict=True):
        np.testing.assert_array_equal(a, b)
    terms = int(np.prod(np.broadcast_to(kernel, x.ndim - 2)))
    bound = (terms + 2) * np.finfo(x.dtype).eps * 9 * terms
    for a, b in zip(right[4:], found[0][4:], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=bound)
    for other in found[1:]:
        assert [a.tobytes() for a in other] == [a.tobytes() for a in found[0]]


def data(shape: tuple[int, ...], dtype: str = "f4") -> Array:
    """Draw few different numbers, for ties, with NaN and -inf among them."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 5, shape).astype(dtype)
    x[rng.random(shape) < 0.03] = np.nan
    x[rng.random(shape) < 0.03] = -np.inf
    return x


@pytest.mark.parametrize("name", CASES)
def test_engines_agree(name: str) -> None:
    shape, kernel, options = CASES[name]
    check(data(shape), kernel, **options)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", SMALL)
def test_engines_agree_on_small_images(
    name: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape, kernel, options = SMALL[name]
    usual: Options = {
        "stride": None,
        "padding": 0,
        "dilation": 1,
        "ceil_mode": False,
        "layout": None,
    }
    for limit in ("PART", "FEW_FOR_TWO"):
        monkeypatch.setattr(small_pooling, limit, 1)
    small_pooling._run.cache_clear()
    assert small_pooling.serves(Pool.of(shape, kernel, **{**usual, **options}))
    check(data(shape, dtype), kernel, **options)
    full = np.nan_to_num(data(shape, dtype), neginf=-9)  # so that every window has a winner
    check(full, kernel, **options)
    small_pooling._run.cache_clear()


@pytest.mark.usefixtures("unrolled")
@pytest.mark.parametrize("name", UNROLLED)
def test_engines_agree_where_code_is_unrolled(name: str) -> None:
    shape, kernel, options = CASES[name]
    check(data(shape), kernel, **options)


@pytest.mark.parametrize("name", ["3x3 stride 2", "crops", "rank 1", "rank 3"])
def test_channels_last(name: str) -> None:
    shape, kernel, options = CASES[name]
    x = np.ascontiguousarray(np.moveaxis(data(shape), 1, -1))
    check(x, kernel, layout=LAST[x.ndim - 2], **options)


@pytest.mark.parametrize("name", ["3x3 stride 2", "crops", "everything"])
def test_float64(name: str) -> None:
    shape, kernel, options = CASES[name]
    check(data(shape, "f8"), kernel, **options)


def test_arrays_that_lie_otherwise() -> None:
    x = data((2, 3, 15, 37))
    right = everything("numpy", x, 3, stride=2, padding=1)[:4]
    wide = np.zeros((2, 3, 15, 74), "f4")
    wide[..., ::2] = x
    for view in (wide[..., ::2], np.asfortranarray(x), x[:, :, ::-1].copy()[:, :, ::-1]):
        found = everything("compiled", view, 3, stride=2, padding=1)
        for a, b in zip(right, found[:4], strict=True):
            np.testing.assert_array_equal(a, b)


def test_windows_of_nothing_but_minus_infinity_have_a_first_element() -> None:
    x = np.full((1, 1, 20, 40), -np.inf, "f4")
    with npconv.settings(engine="compiled"):
        y, places = pooling.max_pool_with_indices(x, 2)
        dx = pooling.max_pool_backward(np.ones_like(y), x, 2)
    assert (y == -np.inf).all()
    rows, columns = np.divmod(places[0, 0], 40)
    assert (rows == 2 * np.arange(10)[:, None]).all()
    assert (columns == 2 * np.arange(20)).all()
    assert dx.sum() == y.size


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("size", [4, 40])
def test_means_of_all_of_a_few_numbers_are_formed_at_once(
    size: int, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float64, and without a warning where Inf and -Inf make NaN."""
    monkeypatch.setattr("npconv.pool_loops.mean", None)  # walks over tiles
    x = np.zeros((2, 3, size, size // 4), np.float32)
    x[0, 0, :2, 0] = 2**25, 3
    x[1, 2, :2, 0] = np.inf, -np.inf
    expected = x.astype(np.float64)
    with np.errstate(invalid="ignore"):
        expected = expected.mean(axis=(2, 3), keepdims=True).astype(np.float32)
    if layout == "NHWC":
        x, expected = np.moveaxis(x, 1, -1), np.moveaxis(expected, 1, -1)
    with npconv.settings(engine="compiled"):
        y = pooling.avg_pool(x, (size, size // 4), layout=layout)
    np.testing.assert_array_equal(y, expected)


def test_the_other_engine_serves_what_this_one_does_not() -> None:
    pool = Pool.of((1, 1, 8, 8), 2, None, 0, 1, False, None)
    f4, i8 = np.dtype("f4"), np.dtype("i8")
    assert compiled.why_not(pool, f4) is None
    assert "float32 and float64" in compiled.why_not(pool, i8)
    assert "float32 and float64" in compiled.why_not(pool, f4, np.dtype("f8"))
    with npconv.settings(engine="compiled"):
        x = np.arange(64).reshape(1, 1, 8, 8)
        assert pooling.max_pool(x, 2)[0, 0, 0, 0] == 9
        assert pooling.max_pool(x.astype("f2"), 2).dtype == np.float16


@pytest.mark.usefixtures("unrolled")
@pytest.mark.parametrize("stride", [1, 2])
def test_nothing_beyond_a_row_is_read(stride: int) -> None:
    # Rows that end before, with and behind a vector; pads, and columns that nobody reads.
    for width, low, high in itertools.product(range(14, 36), (1, 0, -2), (1, 0, -1, -2)):
        x = np.full((12, 50), 7, "f4")[2:9, 3 : 3 + width]
        x[...] = np.arange(width) % 5
        options: Options = {"stride": stride, "padding": [(1, 1), (low, high)]}
        for pool in (pooling.max_pool, pooling.avg_pool):
            results = []
            for engine in ("numpy", "compiled"):
                with npconv.settings(engine=engine):
                    results.append(pool(x[None, None], 3, **options))
            right, found = results
            message = f"{width=} {low=} {high=}"
            np.testing.assert_allclose(found, right, rtol=1e-6, err_msg=message)


def test_the_same_pooling_however_it_is_said_is_one_key() -> None:
    first = Pool.of((1, 3, 8, 8), 2, None, 0, 1, False, None)
    second = Pool.of((1, 3, 8, 8), (2, 2), [2, 2], ((0, 0), (0, 0)), 1, False, "NCHW")
    assert first is not second
    assert first == second
    assert hash(first) == hash(second) == hash(tuple(first))
