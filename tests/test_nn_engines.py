"""Layers compute the same with both engines, and the same bits on any number of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import npconv
from npconv import nn
from npconv.problem import Array

pytest.importorskip("numba", reason="the compiled engine needs it")
channels = pytest.importorskip("npconv.compiled.channels")
batch_norm = pytest.importorskip("npconv.compiled.batch_norm")
elementwise = pytest.importorskip("npconv.compiled.elementwise")

# Rows about the lengths of vectors; two axes, and one and three of space.
SHAPES = [(5, 3, 9, 17), (3, 40, 8, 8), (100, 2, 11), (2, 3, 5, 41, 3), (20, 1, 32, 32)]


@pytest.fixture(autouse=True)
def _small_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let several threads work without large arrays."""
    for module in (channels, batch_norm, elementwise):
        for name in ("FEW_IN_ALL", "FEW_FOR_TWO"):
            monkeypatch.setattr(module, name, 1, raising=False)
    monkeypatch.setattr(elementwise, "PART", 2**9)
    forget()
    yield
    forget()


def forget() -> None:
    batch_norm._run.cache_clear()
    elementwise.in_chunks.cache_clear()


def normals(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def trained(layer: nn.Layer, x: Array, dy: Array, engine: str, threads: int = 1) -> list[Array]:
    """Do a step forward and back, and one forward by running averages."""
    with npconv.settings(engine=engine, threads=threads):
        y = layer.forward(x, training=True)
        dx = layer.backward(dy)
        grads = [array.copy() for array in layer.gradients().values()]
        return [y, dx, *grads, *layer.state().values(), layer.forward(x)]


def norm(C: int, dtype: str = "f4", **options: Any) -> nn.BatchNorm:
    layer = nn.BatchNorm(C, dtype=dtype, **options)
    if layer.weight is not None and layer.bias is not None:
        layer.weight[...], layer.bias[...] = normals((C,), dtype, 7), normals((C,), dtype, 8)
    return layer


def check_norm(x: Array, dy: Array, served: bool = True, **options: Any) -> None:
    """Compare the engines by what float arithmetic of a few steps may lose."""
    C, dtype = x.shape[1], x.dtype.str
    with npconv.settings(engine="compiled"):
        rows = np.ones((7, C))
        assert (batch_norm.normalised(x, rows, 0.0, forms=True) is not None) == served
    right = trained(norm(C, dtype, **options), x, dy, "numpy")
    found = [trained(norm(C, dtype, **options), x, dy, "compiled", n) for n in (1, 2, 3)]
    for a, b in zip(right, found[0], strict=True):
        assert a.dtype == b.dtype
        scale = max(np.abs(a).max(), 1)
        np.testing.assert_allclose(b, a, rtol=0, atol=16 * float(np.finfo(dtype).eps) * scale)
    for other in found[1:]:
        assert [a.tobytes() for a in other] == [a.tobytes() for a in found[0]]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm(shape: tuple[int, ...], dtype: str) -> None:
    check_norm(normals(shape, dtype), normals(shape, dtype, 1))


def test_batch_norm_that_learns_nothing() -> None:
    check_norm(normals((4, 3, 8, 8), "f4"), normals((4, 3, 8, 8), "f4", 1), affine=False)


def test_batch_norm_of_arrays_that_lie_otherwise() -> None:
    x, dy = normals((6, 8, 9, 12), "f4"), normals((6, 8, 9, 12), "f4", 1)
    for part in (np.s_[::2], np.s_[:, ::-1], np.s_[::-1, 2:5], np.s_[:, :, 2:]):
        check_norm(x[part], dy[part])
    check_norm(x[..., ::2], dy[..., ::2], served=False)
    last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    check_norm(np.moveaxis(last, -1, 1), dy, served=False)
    check_norm(x, np.moveaxis(np.ascontiguousarray(np.moveaxis(dy, 1, -1)), -1, 1))


def test_batch_norm_far_from_zero() -> None:
    """Statistics lose nothing: what is left of numbers far from zero is exact in float32."""
    x = (np.random.default_rng(0).integers(-9, 10, (4, 3, 8, 8)) + 2**20).astype("f4")
    exact = x.astype("f8").var(axis=(0, 2, 3))
    for dtype, tolerance in (("f4", 1e-6), ("f8", 1e-12)):
        layer = nn.BatchNorm(3, momentum=1, dtype=dtype)
        with npconv.settings(engine="compiled"):
            layer.forward(x.astype(dtype), training=True)
        unbiased = layer.running_var * (255 / 256)
        np.testing.assert_allclose(unbiased, exact, rtol=tolerance)
        np.testing.assert_allclose(layer.running_mean, x.mean(axis=(0, 2, 3), dtype="f8"))


def test_batch_norm_of_equal_numbers_has_no_variance() -> None:
    layer = nn.BatchNorm(2, momentum=1)
    with npconv.settings(engine="compiled"):
        y = layer.forward(np.full((3, 2, 5, 5), 0.1, "f4"), training=True)
    assert not y.any()
    assert not layer.running_var.any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 1, 0, 0), (3, 1, 7, 8)])
def test_batch_norm_of_nan_and_inf(value: float, place: tuple[int, ...]) -> None:
    x, dy = normals((4, 3, 8, 9), "f4"), normals((4, 3, 8, 9), "f4", 1)
    for changed in (x, dy):
        kept, changed[place] = changed[place], value
        with np.errstate(all="ignore"):
            right = trained(norm(3), x, dy, "numpy")
            found = trained(norm(3), x, dy, "compiled")
        for a, b in zip(right, found, strict=True):
            np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
            np.testing.assert_array_equal(np.isposinf(a), np.isposinf(b))
            np.testing.assert_array_equal(np.isneginf(a), np.isneginf(b))
        changed[place] = kept


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_rectifier_behind_changes_no_bit(engine: str, dtype: str) -> None:
    """`Sequential` does both in one go, where they are exactly these."""

    class OfOnesOwn(nn.ReLU):
        pass

    x, dy = normals((4, 5, 8, 9), dtype), normals((4, 5, 8, 9), dtype, 1)
    x[1, 2, 3, 4] = np.nan
    results = []
    for rectifier in (nn.ReLU(), OfOnesOwn()):
        layer = norm(5, dtype)
        with np.errstate(all="ignore"):
            results.append(trained(nn.Sequential(layer, rectifier), x, dy, engine))
            rectifier.forward(layer.forward(x, training=True))
            results.append([rectifier.cache, layer.backward(rectifier.backward(dy))])
    for a, b in zip(results[0] + results[1], results[2] + results[3], strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_rectifier_behind_where_weights_have_moved() -> None:
    x, dy = normals((4, 5, 8, 9), "f4"), normals((4, 5, 8, 9), "f4", 1)
    results = []
    for engine in ("numpy", "compiled"):
        layer = norm(5)
        model = nn.Sequential(layer, nn.ReLU())
        with npconv.settings(engine=engine):
            model.forward(x, training=True)
            assert layer.weight is not None
            layer.weight *= -1
            results.append(model.backward(dy))
    np.testing.assert_allclose(results[1], results[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [*SHAPES, (4097,), (1,), (0, 3)])
def test_relu(shape: tuple[int, ...], dtype: str) -> None:
    x = np.random.default_rng(0).integers(-4, 5, shape).astype(dtype)
    dy = normals(shape, dtype)
    if x.size > 2:
        x.flat[1], x.flat[2], dy.flat[0] = np.nan, -np.inf, np.inf
    results = []
    for engine, threads in (("numpy", 1), ("compiled", 1), ("compiled", 2)):
        with npconv.settings(engine=engine, threads=threads):
            layer = nn.ReLU()
            results.append([layer.forward(x), layer.backward(dy)])
            results[-1] += [nn.ReLU().forward(x.T), layer.backward(np.asfortranarray(dy))]
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i4"])
@pytest.mark.parametrize("shape", [*SHAPES, (4097,), (0, 3)])
def test_relu_of_a_sum(shape: tuple[int, ...], dtype: str) -> None:
    a, b = (10 * normals(shape, "f8", seed) for seed in (0, 1))
    a, b = a.astype(dtype), b.astype(dtype)
    if a.size > 3 and dtype.startswith("f"):
        a.flat[:3], b.flat[1:4] = (np.nan, -np.inf, np.inf), (1, np.inf, np.nan)
    for first, second in ((a, b), (a, np.asfortranarray(b)), (a, b[:1]), (a, b.astype("f8"))):
        with np.errstate(all="ignore"):
            expected = nn.ReLU().forward(first + second)
            for engine, threads in (("numpy", 1), ("compiled", 1), ("compiled", 2)):
                with npconv.settings(engine=engine, threads=threads):
                    layer = nn.ReLU()
                    y = layer.forward_sum(first, second)
                    assert (y.dtype, y.tobytes()) == (expected.dtype, expected.tobytes())
                    dx = layer.backward(np.ones_like(y))
                assert np.array_equal(dx, y != 0)


# ---- optimisers --------------------------------------------------------------------------

OPTIMIZERS: dict[str, Callable[[nn.Layer], nn.Optimizer]] = {
    "adam": lambda model: nn.Adam(model, lr=0.01),
    "adam with decay": lambda model: nn.Adam(model, betas=(0.5, 0.0), eps=0.0, weight_decay=0.1),
    "momentum": lambda model: nn.SGD(model, lr=0.1, momentum=0.9, weight_decay=1e-3),
    "nesterov": lambda model: nn.SGD(model, lr=0.1, momentum=0.9, nesterov=True),
    "plain": lambda model: nn.SGD(model, lr=0.1),
}


class Holder(nn.Layer):
    """A layer that is nothing but a parameter and its gradient."""

    def __init__(self, parameter: Array) -> None:
        self.parameter, self.gradient = parameter, np.zeros_like(parameter)

    def forward(self, input: Any, training: bool = False) -> Array:
        return np.asarray(input)

    def backward(self, grad_output: Any) -> Array:
        return np.asarray(grad_output)

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return input_shape

    def parameters(self) -> dict[str, Array]:
        return {"parameter": self.parameter}

    def gradients(self) -> dict[str, Array]:
        return {"parameter": self.gradient}


def descended(
    make: Callable[[nn.Layer], nn.Optimizer],
    parameter: Array,
    gradients: list[Array],
    factor: Any = 0.5,
    **settings: Any,
) -> list[bytes]:
    """Take a step for each gradient; give the bits of the parameter and of the state."""
    layer = Holder(parameter.copy(order="K"))
    optimizer = make(layer)
    with npconv.settings(**settings), np.errstate(all="ignore"):
        for gradient in gradients:
            layer.gradient = gradient
            optimizer.step(factor)
    return [array.tobytes() for array in (layer.parameter, *optimizer.state().values())]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (37,), (40, 3, 3, 3), (300, 257)])
def test_optimizers_take_the_same_steps(name: str, dtype: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(5)
    parameter, gradients = normals(shape, dtype), []
    for _ in range(5):
        apart = 10.0 ** rng.integers(-30, 20, shape)  # beyond what squares in float32 can be
        gradients.append((rng.standard_normal(shape) * apart).astype(dtype))
    if parameter.size > 3:
        gradients[2].flat[:3] = np.nan, np.inf, 0
    made = OPTIMIZERS[name]
    expected = descended(made, parameter, gradients, engine="numpy")
    for threads in (1, 2):
        assert descended(made, parameter, gradients, engine="compiled", threads=threads) == expected


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_of_arrays_that_lie_otherwise(name: str) -> None:
    whole = normals((12, 20), "f4")
    for parameter, gradient in [
        (np.asfortranarray(whole), whole),
        (whole, np.asfortranarray(whole)),
        (whole[:, ::2], whole[:, 1::2]),
        (whole, whole.astype("f8")),
        (whole.astype(">f4"), whole),
        (whole.astype("f2"), whole.astype("f2")),
    ]:
        # A factor of NumPy's takes part in the arithmetic with a dtype of its own.
        for factor in (0.5, np.float64(0.3)):
            given = OPTIMIZERS[name], parameter, [gradient] * 3, factor
            assert descended(*given, engine="compiled") == descended(*given, engine="numpy")


@pytest.mark.parametrize("name", ["adam", "momentum"])
def test_optimizers_whose_gradient_is_part_of_the_parameter(name: str) -> None:
    found = []
    for engine in ("numpy", "compiled"):
        both = normals((5000,), "f4")
        layer = Holder(both[:-1])
        layer.gradient = both[1:]
        with npconv.settings(engine=engine):
            OPTIMIZERS[name](layer).step()
        found.append(both.tobytes())
    assert found[0] == found[1]


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
@pytest.mark.parametrize("name", ["adam", "momentum"])
def test_optimizers_do_not_write_what_is_read_only(name: str, engine: str) -> None:
    layer = Holder(normals((3000,), "f4"))
    layer.gradient, before = np.ones(3000, "f4"), layer.parameter.copy()
    layer.parameter.flags.writeable = False
    with npconv.settings(engine=engine), pytest.raises(ValueError, match="read-only"):
        OPTIMIZERS[name](layer).step()
    assert np.array_equal(layer.parameter, before)
