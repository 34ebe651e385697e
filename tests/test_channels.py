"""What the compiled engine does to channels, beside the same in NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import npconv
from npconv.problem import Array

pytest.importorskip("numba", reason="the compiled engine needs it")
channels = pytest.importorskip("npconv.compiled.channels")

# Rows about the lengths of vectors, many and few images, more than one part.
SHAPES = [(5, 3, 9, 17), (2, 40, 8, 8), (300, 2, 11), (1, 3, 5, 41, 7), (70, 1, 32, 32)]


@pytest.fixture(autouse=True)
def _small_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let several threads work, and parts be many, without large arrays."""
    monkeypatch.setattr(channels, "FEW_IN_ALL", 1)
    monkeypatch.setattr(channels, "FEW_FOR_TWO", 1)
    monkeypatch.setattr(channels, "PART", 2**9)
    forget()
    yield
    forget()


def forget() -> None:
    channels._sums.cache_clear()


def integers(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(-9, 10, shape).astype(dtype)


def bias_grad(dy: Array, engine: str, threads: int = 1, **options: Any) -> Array:
    x, w = np.zeros(dy.shape, dy.dtype), np.zeros((dy.shape[1], dy.shape[1], *(1,) * (dy.ndim - 2)))
    with npconv.settings(engine=engine, threads=threads):
        grads = npconv.conv_backward(dy, x, w.astype(dy.dtype), needs="bias", **options)
    assert grads.bias is not None
    return grads.bias


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_of_channels(shape: tuple[int, ...], dtype: str) -> None:
    dy = integers(shape, dtype)
    assert channels.sums(dy) is not None
    right = bias_grad(dy, "numpy")
    found = [bias_grad(dy, "compiled", threads) for threads in (1, 2, 3)]
    for each in found:
        assert each.dtype == right.dtype
        np.testing.assert_array_equal(each, right)
    numbers = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    assert len({bias_grad(numbers, "compiled", n).tobytes() for n in (1, 2, 3)}) == 1
    exact = numbers.astype("f8").sum(axis=(0, *range(2, dy.ndim)))
    np.testing.assert_allclose(
        bias_grad(numbers, "compiled"), exact, rtol=float(np.finfo(dtype).eps), atol=1e-12
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_means_of_all_of_space(shape: tuple[int, ...]) -> None:
    x, size = integers(shape, "f4"), shape[2:]
    found = []
    for engine, threads in (("numpy", 1), ("compiled", 1), ("compiled", 2), ("compiled", 3)):
        with npconv.settings(engine=engine, threads=threads):
            y = npconv.avg_pool(x, size)
            dx = npconv.avg_pool_backward(y, x, size)
        assert y.dtype == dx.dtype == np.float32
        found.append((y, dx))
    exact = x.mean(axis=tuple(range(2, x.ndim)), dtype="f8").astype("f4")
    np.testing.assert_array_equal(found[1][0].reshape(exact.shape), exact)
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-6)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-6)
    assert len({(y.tobytes(), dx.tobytes()) for y, dx in found[1:]}) == 1


def test_sums_of_arrays_that_lie_otherwise() -> None:
    whole = integers((6, 8, 12, 20), "f4")
    for part in (whole[::2], whole[:, 1::3], whole[:, ::-1], whole[::-1, 2:5], whole[:, :, 2:]):
        assert channels.sums(part) is not None
        np.testing.assert_array_equal(channels.sums(part), part.sum(axis=(0, 2, 3)))
    for part in (whole[..., ::2], whole[..., 1:], whole.swapaxes(2, 3), whole.astype(">f4")):
        assert channels.sums(part) is None
        np.testing.assert_array_equal(bias_grad(part, "compiled"), part.sum(axis=(0, 2, 3)))


@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (2, 0, 8, 8), (2, 3, 1, 1), (1, 1, 1, 1)])
def test_sums_of_nothing_and_of_one(shape: tuple[int, ...]) -> None:
    dy = integers(shape, "f4")
    np.testing.assert_array_equal(bias_grad(dy, "compiled"), dy.sum(axis=(0, 2, 3)))


def test_sums_of_nan_and_inf() -> None:
    dy = integers((3, 5, 8, 9), "f4")
    dy[1, 0, 0, 0], dy[2, 1, 7, 8] = np.nan, np.inf
    dy[0, 2, 3, 3], dy[1, 3, 0, 1], dy[2, 3, 7, 8] = -np.inf, -np.inf, np.inf
    np.testing.assert_array_equal(bias_grad(dy, "compiled"), bias_grad(dy, "numpy"))
