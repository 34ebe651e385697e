"""Layers: gradients proved numerically, and every rule of the protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import npconv
from npconv import nn
from npconv.problem import Array

F64 = np.float64
wrong: Any = nn  # for calls that mypy would refuse, too


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


# Every layer, with an input it takes. Inputs are well apart from kinks and ties.
LAYERS: dict[str, tuple[Callable[[], nn.Layer], tuple[int, ...]]] = {
    "Conv1d": (lambda: nn.Conv1d(2, 3, 3, stride=2, padding=1, dtype=F64, rng=1), (2, 2, 7)),
    "Conv1d causal": (lambda: nn.Conv1d(2, 3, 3, padding="causal", dtype=F64, rng=1), (2, 2, 5)),
    "Conv2d": (lambda: nn.Conv2d(2, 4, 3, dtype=F64, rng=1), (2, 2, 5, 6)),
    "Conv2d options": (
        lambda: nn.Conv2d(
            4, 6, (3, 2), (2, 1), [(0, 1), (2, -1)], (1, 2), 2, False, dtype=F64, rng=1
        ),
        (2, 4, 6, 7),
    ),
    "Conv3d": (
        lambda: nn.Conv3d(1, 2, (1, 2, 3), padding="same", dtype=F64, rng=1),
        (1, 1, 3, 4, 4),
    ),
    "ConvTranspose1d": (
        lambda: nn.ConvTranspose1d(2, 3, 4, stride=2, padding=1, dtype=F64, rng=1),
        (2, 2, 5),
    ),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(2, 4, 3, dtype=F64, rng=1), (2, 2, 4, 3)),
    "ConvTranspose2d options": (
        lambda: nn.ConvTranspose2d(
            4, 6, (3, 2), (2, 3), 1, (1, 2), 2, False, (1, 2), "circular", dtype=F64, rng=1
        ),
        (2, 4, 3, 4),
    ),
    "ConvTranspose3d": (
        lambda: nn.ConvTranspose3d(2, 1, 2, (1, 2, 2), [(0, 1), (1, 0), (0, 0)], dtype=F64, rng=1),
        (1, 2, 3, 2, 3),
    ),
    "MaxPool1d": (lambda: nn.MaxPool1d(3, 2, 1), (2, 2, 7)),
    "MaxPool2d": (lambda: nn.MaxPool2d(2), (2, 2, 5, 6)),
    "MaxPool2d options": (lambda: nn.MaxPool2d((3, 2), (2, 1), (1, 1), (1, 2), True), (2, 2, 6, 7)),
    "MaxPool3d": (lambda: nn.MaxPool3d(2, 1), (1, 2, 3, 3, 4)),
    "AvgPool1d": (lambda: nn.AvgPool1d(3, 2, 1), (2, 2, 7)),
    "AvgPool2d": (lambda: nn.AvgPool2d(2), (2, 2, 5, 6)),
    "AvgPool2d options": (lambda: nn.AvgPool2d(3, 2, 1, True, False), (2, 2, 6, 7)),
    "AvgPool3d": (lambda: nn.AvgPool3d(2, 1), (1, 2, 3, 3, 4)),
    "ReLU": (nn.ReLU, (3, 4)),
    "Flatten": (nn.Flatten, (2, 3, 2, 2)),
    "Linear": (lambda: nn.Linear(6, 4, dtype=F64, rng=1), (3, 6)),
    "Linear, more axes, no bias": (lambda: nn.Linear(6, 4, False, dtype=F64, rng=1), (2, 3, 6)),
    "Dropout at rest": (lambda: nn.Dropout(0.5, rng=1), (3, 4)),
    "BatchNorm at rest": (lambda: nn.BatchNorm(3, dtype=F64), (2, 3, 4)),
    "Sequential": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1, dtype=F64, rng=1),
            nn.BatchNorm(3, dtype=F64),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Sequential(nn.Flatten(), nn.Linear(12, 5, dtype=F64, rng=2)),
        ),
        (2, 1, 4, 4),
    ),
}
layers = pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS.keys())


def spread(shape: tuple[int, ...]) -> Array:
    """Distinct numbers of both signs, at least 0.01 apart and from 0."""
    count = int(np.prod(shape))
    numbers: Array = (rng().permutation(count) - count / 2 + 0.25) * (4 / max(count, 4))
    return numbers.reshape(shape)


@layers
def test_gradients(make: Callable[[], nn.Layer], shape: tuple[int, ...]) -> None:
    report = npconv.gradcheck(make(), (spread(shape),), h=1e-6)
    assert report, report


@pytest.mark.parametrize("shape", [(6, 3), (2, 3, 5), (2, 3, 3, 2)])
@pytest.mark.parametrize("affine", [True, False])
def test_batchnorm_gradients_in_training(shape: tuple[int, ...], affine: bool) -> None:
    layer = nn.BatchNorm(3, affine=affine, dtype=F64)
    for array in layer.parameters().values():
        array[...] = rng().standard_normal(array.shape)
    x, dy = spread(shape), rng().standard_normal(shape)

    def loss() -> Any:
        return np.vdot(dy, layer.forward(x, training=True))

    loss()
    named = {"input": (layer.backward(dy), x)}
    for name, array in layer.parameters().items():
        named[name] = layer.gradients()[name], array
    for name, (analytic, variable) in named.items():
        numeric = npconv.numerical_gradient(loss, variable)
        error = np.abs(analytic - numeric).max()
        assert error <= 1e-6 * max(np.abs(analytic).max(), 0.1), name


def test_dropout_gradient_in_training() -> None:
    layer = nn.Dropout(0.4, rng=3)
    x = spread((5, 6))
    y = layer.forward(x, training=True)
    kept = y != 0
    np.testing.assert_allclose(y, np.where(kept, x / 0.6, 0))
    dy = rng().standard_normal(x.shape)
    np.testing.assert_allclose(layer.backward(dy), np.where(kept, dy / 0.6, 0))


@layers
def test_backward_needs_forward(make: Callable[[], nn.Layer], shape: tuple[int, ...]) -> None:
    layer = make()
    assert layer.gradients() == {}
    for backward in (layer.backward, layer.backward_parameters):
        with pytest.raises(npconv.StateError, match="forward"):
            backward(np.zeros(layer.output_shape(shape)))


@layers
def test_a_wrong_grad_output_changes_nothing(
    make: Callable[[], nn.Layer], shape: tuple[int, ...]
) -> None:
    layer = make()
    y = layer.forward(spread(shape))
    layer.backward(np.ones_like(y))
    before = {name: grad.copy() for name, grad in layer.gradients().items()}
    for dy in (
        np.ones((*y.shape, 1)),
        np.ones(y.shape[1:]),
        np.ones((y.shape[0] + 1, *y.shape[1:])),
    ):
        for backward in (layer.backward, layer.backward_parameters):
            with pytest.raises(npconv.ShapeError):
                backward(dy)
    with pytest.raises(npconv.DTypeError):
        layer.backward("gradient")
    after = layer.gradients()
    assert before.keys() == after.keys()
    for name, grad in before.items():
        np.testing.assert_array_equal(grad, after[name])


@layers
def test_a_wrong_input_changes_nothing(
    make: Callable[[], nn.Layer], shape: tuple[int, ...]
) -> None:
    layer = make()
    y = layer.forward(spread(shape))
    dx = layer.backward(np.ones_like(y))
    bad: list[Any] = ["text", None, np.ma.masked_array(np.ones(shape)), np.ones(shape) * 1j]
    if not isinstance(layer, nn.ReLU | nn.Dropout | nn.Flatten):
        bad += [np.ones((2, 1)), np.ones((1, *shape[:-1], 9, 1))]
    for input in bad:
        with pytest.raises(npconv.ConvError):
            layer.forward(input)
    np.testing.assert_array_equal(layer.backward(np.ones_like(y)), dx)


@layers
def test_shapes_dtypes_and_purity(make: Callable[[], nn.Layer], shape: tuple[int, ...]) -> None:
    layer = make()
    x = spread(shape)
    x.flags.writeable = False
    y = layer.forward(x)
    assert y.shape == layer.output_shape(shape)
    assert y.dtype == np.float64
    dy = rng().standard_normal(y.shape)
    dy.flags.writeable = False
    first = layer.backward(dy)
    grads = {name: grad.copy() for name, grad in layer.gradients().items()}
    assert first.shape == shape
    # again on the same forward: the same, not the sum
    np.testing.assert_array_equal(layer.backward(dy), first)
    layer.backward_parameters(dy)
    assert grads.keys() == layer.gradients().keys() == layer.parameters().keys()
    for name, grad in layer.gradients().items():
        np.testing.assert_array_equal(grad, grads[name])
        assert grad.shape == layer.parameters()[name].shape
    # strided, reversed and foreign-endian inputs
    odd = np.flip(np.flip(x, -1).astype(">f8").copy(), -1)
    np.testing.assert_array_equal(layer.forward(odd), y)


@layers
def test_an_empty_batch(make: Callable[[], nn.Layer], shape: tuple[int, ...]) -> None:
    layer = make()
    y = layer.forward(np.zeros((0, *shape[1:])))
    assert y.shape == layer.output_shape((0, *shape[1:]))
    assert layer.backward(np.zeros(y.shape)).shape == (0, *shape[1:])
    for grad in layer.gradients().values():
        assert not grad.any()


@pytest.mark.parametrize(
    "make",
    [
        lambda dtype: nn.Conv2d(1, 2, 3, dtype=dtype, rng=0),
        lambda dtype: nn.Sequential(nn.Flatten(), nn.Linear(25, 3, dtype=dtype, rng=0)),
        lambda dtype: nn.BatchNorm(1, dtype=dtype),
    ],
)
def test_layers_compute_in_their_own_dtype(make: Callable[[Any], nn.Layer]) -> None:
    for dtype in (np.float32, np.float64):
        layer = make(dtype)
        for x in (
            np.ones((2, 1, 5, 5)),
            np.ones((2, 1, 5, 5), np.uint8),
            np.ones((2, 1, 5, 5), "f4"),
        ):
            y = layer.forward(x)
            assert y.dtype == dtype
            assert layer.backward(y).dtype == dtype
            assert {grad.dtype for grad in layer.gradients().values()} == {np.dtype(dtype)}


def test_inputs_are_kept_by_reference() -> None:
    x = np.ones((1, 1, 8, 8))
    for layer in (nn.Conv2d(1, 1, 3, rng=0), nn.MaxPool2d(2), nn.AvgPool2d(2)):
        layer.forward(x)
        assert np.shares_memory(layer.cache, x)
    relu = nn.ReLU()
    assert relu.forward(x) is relu.cache


def test_kaiming_normal() -> None:
    weight = nn.Conv2d(8, 64, 3, groups=2, rng=np.random.default_rng(3)).weight
    expected = np.random.default_rng(3).standard_normal((64, 4, 3, 3)) * np.sqrt(2 / 36)
    np.testing.assert_array_equal(weight, expected.astype(np.float32))
    weight = nn.ConvTranspose2d(8, 6, 4, stride=2, groups=2, rng=np.random.default_rng(3)).weight
    # An output sums 4 channels times a quarter of 16 kernel elements.
    expected = np.random.default_rng(3).standard_normal((8, 3, 4, 4)) * np.sqrt(2 / 16)
    np.testing.assert_array_equal(weight, expected.astype(np.float32))
    linear = nn.Linear(50, 3, rng=3)
    expected = np.random.default_rng(3).standard_normal((3, 50)) * np.sqrt(2 / 50)
    np.testing.assert_array_equal(linear.weight, expected.astype(np.float32))
    assert linear.bias is not None
    assert not linear.bias.any()


def test_one_generator_for_several_layers() -> None:
    first, second = (
        [nn.Linear(2, 2, rng=g).weight for _ in range(2)]
        for g in (np.random.default_rng(0), np.random.default_rng(0))
    )
    assert not np.array_equal(first[0], first[1])
    np.testing.assert_array_equal(first, second)


def test_parameters_are_live() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 1, rng=0), nn.ReLU())
    model.parameters()["0.weight"][...] = 3
    model.parameters()["0.bias"][...] = 1
    np.testing.assert_array_equal(model.forward(np.ones((1, 1, 1, 1))), [[[[4]]]])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: wrong.Conv2d(3, 4, 3, groups=2), npconv.ShapeError, "in_channels"),
        (lambda: wrong.Conv2d(4, 3, 3, groups=2), npconv.ShapeError, "out_channels"),
        (lambda: wrong.Conv2d(0, 3, 3), npconv.ShapeError, "in_channels"),
        (lambda: wrong.Conv2d(1, 3, 0), npconv.ShapeError, "kernel_size"),
        (lambda: wrong.Conv2d(1, 3, (3, 3, 3)), npconv.ShapeError, "kernel_size"),
        (lambda: wrong.Conv2d(1, 3, 3, stride=0), npconv.ShapeError, "stride"),
        (lambda: wrong.Conv2d(1, 3, 3, stride=1.5), npconv.DTypeError, "stride"),
        (lambda: wrong.Conv2d(1, 3, 3, padding="wide"), npconv.UnsupportedError, "padding"),
        (
            lambda: wrong.Conv2d(1, 3, 3, padding_mode="wrap"),
            npconv.UnsupportedError,
            "padding_mode",
        ),
        (lambda: wrong.Conv2d(1, 3, 3, dtype=np.int64), npconv.DTypeError, "float"),
        (lambda: wrong.Conv2d(1, 3, 3, dtype="x"), npconv.DTypeError, "dtype"),
        (lambda: wrong.Conv2d(1, 3, 3, rng="x"), npconv.DTypeError, "rng"),
        (lambda: wrong.Conv2d("1", 3, 3), npconv.DTypeError, "in_channels"),
        (lambda: wrong.ConvTranspose2d(3, 4, 3, groups=2), npconv.ShapeError, "in_channels"),
        (lambda: wrong.ConvTranspose2d(2, 4, 3, padding="same"), npconv.UnsupportedError, "same"),
        (
            lambda: wrong.ConvTranspose2d(2, 4, 3, output_padding=1),
            npconv.ShapeError,
            "output_padding",
        ),
        (lambda: wrong.Linear(3, -1), npconv.ShapeError, "out_features"),
        (lambda: wrong.Linear(3, 2.0), npconv.DTypeError, "out_features"),
        (lambda: wrong.Dropout(1.5), npconv.UnsupportedError, "p must be from 0 to 1"),
        (lambda: wrong.Dropout("x"), npconv.DTypeError, "p must be"),
        (lambda: wrong.Dropout(float("nan")), npconv.DTypeError, "p must be"),
        (lambda: wrong.BatchNorm(3, momentum=2), npconv.UnsupportedError, "momentum"),
        (
            lambda: wrong.BatchNorm(3).forward(np.ones((1, 3)), training=True),
            npconv.ShapeError,
            "more than one",
        ),
        (lambda: wrong.Sequential(nn.ReLU(), max), npconv.DTypeError, "number 1"),
        (lambda: wrong.Conv2d(3, 4, 3).forward(np.ones((3, 8, 8))), npconv.ShapeError, "4 axes"),
        (
            lambda: wrong.Conv2d(3, 4, 3).forward(np.ones((1, 2, 8, 8))),
            npconv.ShapeError,
            "2 channels",
        ),
        (lambda: wrong.MaxPool2d(2).forward(np.ones((3, 8, 8))), npconv.ShapeError, "4 axes"),
        (
            lambda: wrong.MaxPool2d(2, padding=2).forward(np.ones((1, 3, 8, 8))),
            npconv.ShapeError,
            "half",
        ),
        (lambda: wrong.MaxPool2d(9).forward(np.ones((1, 3, 8, 8))), npconv.ShapeError, "beyond"),
        (lambda: wrong.Flatten().forward(3.0), npconv.ShapeError, "axes"),
    ],
)
def test_errors(call: Callable[[], object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_sequential_names_the_layer_at_fault_and_changes_no_other() -> None:
    conv, norm = nn.Conv2d(1, 2, 3, rng=0), nn.BatchNorm(2)
    model = nn.Sequential(conv, norm, nn.Flatten(), nn.Linear(3, 2, rng=0))
    with pytest.raises(npconv.ShapeError, match=r"layer 3, Linear\(3, 2.*3 in_features"):
        model.forward(np.ones((2, 1, 4, 4)), training=True)
    assert conv.cache is None
    assert not norm.running_mean.any()


def test_sequential_is_a_sequence_of_layers() -> None:
    conv, relu = nn.Conv2d(1, 2, 3, rng=0), nn.ReLU()
    model = nn.Sequential(conv, relu)
    assert len(model) == 2
    assert list(model) == [conv, relu]
    assert model[0] is conv
    assert repr(model) == ("Sequential(\n  Conv2d(1, 2, (3, 3), dtype=float32),\n  ReLU(),\n)")
    assert nn.Sequential().forward(np.ones(3)).shape == (3,)


def test_sequential_spares_the_first_input_gradient() -> None:
    class Spy(nn.ReLU):
        calls = 0

        def backward(self, grad_output: Any) -> Array:
            self.calls += 1
            return super().backward(grad_output)

    before, after = Spy(), Spy()
    model = nn.Sequential(before, nn.Linear(3, 3, rng=0), after, nn.Linear(3, 2, rng=0))
    y = model.forward(rng().standard_normal((4, 3)))
    model.backward_parameters(np.ones_like(y))
    sparing = {name: grad.copy() for name, grad in model.gradients().items()}
    assert (before.calls, after.calls) == (0, 1)
    model.backward(np.ones_like(y))
    assert (before.calls, after.calls) == (1, 2)
    for name, grad in model.gradients().items():
        np.testing.assert_array_equal(grad, sparing[name])


def test_relu_on_special_numbers() -> None:
    layer = nn.ReLU()
    y = layer.forward([-np.inf, -0.0, np.nan, np.inf])
    np.testing.assert_array_equal(y, [0, 0, np.nan, np.inf])
    np.testing.assert_array_equal(layer.backward([np.inf] * 4), [0, 0, np.inf, np.inf])


def test_dropout_keeps_the_mean_and_is_repeatable() -> None:
    x = np.ones(100_000)
    first, second = (nn.Dropout(0.3, rng=5).forward(x, training=True) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert abs(first.mean() - 1) < 0.02
    np.testing.assert_array_equal(nn.Dropout(1, rng=0).forward(x, training=True), 0 * x)
    np.testing.assert_array_equal(nn.Dropout(0, rng=0).forward(x, training=True), x)


def test_batchnorm_running_statistics() -> None:
    layer = nn.BatchNorm(2, momentum=0.25, dtype=F64)
    x = rng().standard_normal((4, 2, 3)) * 3 + 1
    y = layer.forward(x, training=True)
    np.testing.assert_allclose(y.mean(axis=(0, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=(0, 2)), 1, rtol=1e-4)
    np.testing.assert_allclose(layer.running_mean, 0.25 * x.mean(axis=(0, 2)))
    unbiased = x.var(axis=(0, 2), ddof=1)
    np.testing.assert_allclose(layer.running_var, 0.75 + 0.25 * unbiased)
    assert layer.state().keys() == {"weight", "bias", "running_mean", "running_var"}
    at_rest = layer.forward(x)
    spread_out = [array[:, None] for array in (layer.running_mean, layer.running_var)]
    np.testing.assert_allclose(at_rest, (x - spread_out[0]) / np.sqrt(spread_out[1] + 1e-5))
