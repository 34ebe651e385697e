"""Losses, optimisers and schedules against numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import npconv
from npconv import nn
from npconv.problem import Array

F64 = np.float64


# ---- losses ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 4), (2, 5, 2, 3)])
def test_cross_entropy_gradient(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    z = rng.standard_normal(shape) * 3
    target = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    loss, grad = nn.softmax_cross_entropy(z, target)
    numeric = npconv.numerical_gradient(lambda: nn.softmax_cross_entropy(z, target)[0], z)
    np.testing.assert_allclose(grad, numeric, atol=1e-8)
    # and the value, from the definition
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    right = np.take_along_axis(p, target[:, None], axis=1)
    assert loss == pytest.approx(-np.log(right).mean(), rel=1e-12)


def test_cross_entropy_by_hand() -> None:
    loss, grad = nn.softmax_cross_entropy([[math.log(3), 0.0]], [0])
    assert loss == pytest.approx(math.log(4 / 3))
    np.testing.assert_allclose(grad, [[-0.25, 0.25]])


def test_cross_entropy_does_not_overflow() -> None:
    loss, grad = nn.softmax_cross_entropy(np.array([[1e4, -1e4]], np.float32), [1])
    assert loss == 2e4
    assert grad.dtype == np.float32
    np.testing.assert_array_equal(grad, [[1, -1]])


def test_mean_squared_error_gradient() -> None:
    rng = np.random.default_rng(0)
    y, t = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3, 4))
    loss, grad = nn.mean_squared_error(y, t)
    assert loss == pytest.approx(((y - t) ** 2).mean())
    numeric = npconv.numerical_gradient(lambda: nn.mean_squared_error(y, t)[0], y)
    np.testing.assert_allclose(grad, numeric, atol=1e-8)
    assert nn.mean_squared_error(np.ones(2, "f4"), np.zeros(2)).grad.dtype == np.float32


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: nn.softmax_cross_entropy([1.0, 2.0], [0]), npconv.ShapeError, "classes"),
        (lambda: nn.softmax_cross_entropy([[1.0, 2.0]], [2]), npconv.ShapeError, "0 to 1"),
        (lambda: nn.softmax_cross_entropy([[1.0, 2.0]], [-1]), npconv.ShapeError, "-1"),
        (lambda: nn.softmax_cross_entropy([[1.0, 2.0]], [0, 1]), npconv.ShapeError, "target"),
        (lambda: nn.softmax_cross_entropy([[1.0, 2.0]], [0.0]), npconv.DTypeError, "integers"),
        (lambda: nn.softmax_cross_entropy("x", [0]), npconv.DTypeError, "input"),
        (
            lambda: nn.softmax_cross_entropy(np.ones((0, 2)), np.ones(0, int)),
            npconv.ShapeError,
            "no element",
        ),
        (lambda: nn.mean_squared_error([1.0], [[1.0]]), npconv.ShapeError, "target"),
        (lambda: nn.mean_squared_error([], []), npconv.ShapeError, "no element"),
        (lambda: nn.accuracy([1.0], [1]), npconv.ShapeError, "classes"),
        (lambda: nn.accuracy([[1.0]], [1, 0]), npconv.ShapeError, "target"),
    ],
)
def test_loss_errors(call: Callable[[], object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


# ---- optimisers -----------------------------------------------------------------------------


class OneNumber(nn.Layer):
    """A parameter whose gradient the test chooses."""

    def __init__(self, value: float, dtype: Any = F64) -> None:
        self.value, self.grad = np.array([value], dtype), None

    def forward(self, input: Any, training: bool = False) -> Array:
        raise NotImplementedError

    def backward(self, grad_output: Any) -> Array:
        raise NotImplementedError

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        raise NotImplementedError

    grad: Array | None

    def parameters(self) -> dict[str, Array]:
        return {"value": self.value}

    def gradients(self) -> dict[str, Array]:
        return {} if self.grad is None else {"value": self.grad}


def steps(optimizer: nn.Optimizer, *gradients: float) -> list[float]:
    model = optimizer.model
    assert isinstance(model, OneNumber)
    values = []
    for gradient in gradients:
        model.grad = np.array([gradient], model.value.dtype)
        optimizer.step()
        values.append(float(model.value[0]))
    return values


def test_sgd_by_hand() -> None:
    assert steps(nn.SGD(OneNumber(1), lr=0.5), 1, -2) == [0.5, 1.5]


def test_sgd_with_momentum_by_hand() -> None:
    # v = 1, then 0.5 + 2 = 2.5, then 1.25 - 1 = 0.25
    values = steps(nn.SGD(OneNumber(10), lr=2, momentum=0.5), 1, 2, -1)
    assert values == [8, 3, 2.5]


def test_sgd_with_weight_decay_by_hand() -> None:
    # g = 1 + 0.5 * 4 = 3; then 1 + 0.5 * 1 = 1.5
    assert steps(nn.SGD(OneNumber(4), lr=1, weight_decay=0.5), 1, 1) == [1, -0.5]


def test_sgd_nesterov_by_hand() -> None:
    # v = 1, step 1 + 0.5 * 1 = 1.5; v = 0.5 + 2 = 2.5, step 2 + 1.25 = 3.25
    values = steps(nn.SGD(OneNumber(10), lr=1, momentum=0.5, nesterov=True), 1, 2)
    assert values == [8.5, 5.25]


def test_adam_by_hand() -> None:
    # m = 1, 0.5 * 1 + 0.5 * 4 = 2.5 (m0 = 2 * 0.5); v = 1 (4 * 0.25), 0.75 * 1 + 0.25 * 16
    adam = nn.Adam(OneNumber(1), lr=0.1, betas=(0.5, 0.75), eps=0)
    first, second = steps(adam, 2, 4)
    assert first == pytest.approx(1 - 0.1 * 1)  # (1 / 0.5) / sqrt(1 / 0.25) = 1
    step = 0.1 * (2.5 / 0.75) / math.sqrt(4.75 / (1 - 0.75**2))
    assert second == pytest.approx(first - step)


def test_adam_with_weight_decay_and_eps_by_hand() -> None:
    adam = nn.Adam(OneNumber(2), lr=0.5, eps=1, weight_decay=0.5)
    # g = 1 + 0.5 * 2 = 2; m / (1 - beta1) = 2; sqrt(v / (1 - beta2)) + eps = 3
    assert steps(adam, 1) == [pytest.approx(2 - 0.5 * 2 / 3)]


def test_a_factor_scales_the_step() -> None:
    model = OneNumber(1)
    model.grad = np.array([1.0])
    nn.SGD(model, lr=1).step(0.25)
    assert model.value[0] == 0.75


@pytest.mark.parametrize("kind", [nn.SGD, nn.Adam])
def test_a_step_needs_gradients(kind: Callable[..., nn.Optimizer]) -> None:
    optimizer = kind(OneNumber(1))
    with pytest.raises(npconv.StateError, match="'value' has none"):
        optimizer.step()
    assert optimizer.state()["t"] == 0


def test_updates_stay_in_place_and_in_dtype() -> None:
    for make in (nn.SGD, nn.Adam):
        model = OneNumber(1, np.float32)
        live = model.value
        steps(make(model, lr=0.1), 1, 1)
        assert model.value is live
        assert live.dtype == np.float32
        assert live[0] < 1


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: nn.SGD(OneNumber(1), lr=-1), npconv.UnsupportedError, "lr"),
        (lambda: nn.SGD(OneNumber(1), lr="x"), npconv.DTypeError, "lr"),  # type: ignore[arg-type]
        (lambda: nn.SGD(OneNumber(1), momentum=2), npconv.UnsupportedError, "momentum"),
        (lambda: nn.Adam(OneNumber(1), betas=(0.9, 1)), npconv.UnsupportedError, "betas"),
        (lambda: nn.Adam(3), npconv.DTypeError, "model"),  # type: ignore[arg-type]
        (lambda: nn.CosineSchedule(warmup=2), npconv.UnsupportedError, "warmup"),
    ],
)
def test_optimizer_errors(call: Callable[[], object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_cosine_schedule() -> None:
    schedule = nn.CosineSchedule(warmup=0.2, final=0.1)
    factors = [schedule(step, 10) for step in range(10)]
    assert factors[:3] == [0.5, 1, 1]
    assert factors == sorted(factors[:2]) + sorted(factors[2:], reverse=True)
    assert factors[-1] > 0.1
    assert nn.CosineSchedule()(0, 1) == 1
