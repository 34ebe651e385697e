"""The core six, to the letter of their contract: names, shapes, dtypes, gradients, errors."""

from __future__ import annotations

import inspect
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import npconv
import oracle
import oracle_windows
from npconv import Conv2dNumpy, DTypeError, ShapeError, StateError, UnsupportedError
from oracle import Array

CONVS = (npconv.conv2d_naive, npconv.conv2d_im2col)
WINDOW = ("stride", "padding")
WINDOW_KEYWORDS = ("dilation", "padding_mode")

# By position or by name, then by name alone.
SIGNATURES: dict[Callable[..., Any], tuple[tuple[str, ...], tuple[str, ...]]] = {
    npconv.conv2d_naive: (
        ("input", "kernel", "bias", *WINDOW),
        ("dilation", "groups", "padding_mode"),
    ),
    npconv.conv2d_im2col: (
        ("input", "kernel", "bias", *WINDOW),
        ("dilation", "groups", "padding_mode"),
    ),
    npconv.im2col: (("input", "kernel_size", *WINDOW), WINDOW_KEYWORDS),
    npconv.col2im: (("col", "input_shape", "kernel_size", *WINDOW), WINDOW_KEYWORDS),
    npconv.Conv2dNumpy: (
        ("in_channels", "out_channels", "kernel_size", *WINDOW),
        ("dilation", "groups", "padding_mode"),
    ),
    npconv.numerical_gradient: (("f", "x", "h"), ()),
}
DEFAULTS: dict[str, Any] = {"bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}
DEFAULTS |= {"padding_mode": "zeros", "h": 1e-5}


def normals(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda function: function.__name__)
def test_parameters(function: Callable[..., Any]) -> None:
    positional, keywords = SIGNATURES[function]
    parameters = inspect.signature(function).parameters
    assert tuple(parameters) == positional + keywords
    for name, parameter in parameters.items():
        free = parameter.POSITIONAL_OR_KEYWORD if name in positional else parameter.KEYWORD_ONLY
        assert parameter.kind is free
        assert parameter.default == DEFAULTS.get(name, parameter.empty)


def test_by_position_and_by_name() -> None:
    x, w, b = normals(2, 3, 7, 6), normals(4, 3, 3, 2), normals(4)
    for conv in CONVS:
        by_name = conv(input=x, kernel=w, bias=b, stride=2, padding=1)
        np.testing.assert_array_equal(conv(x, w, b, 2, 1), by_name)
        assert by_name.shape == (2, 4, (7 + 2 - 3) // 2 + 1, (6 + 2 - 2) // 2 + 1)
    col = npconv.im2col(x, (3, 2), 2, 1)
    np.testing.assert_array_equal(
        col, npconv.im2col(input=x, kernel_size=(3, 2), stride=2, padding=1)
    )
    np.testing.assert_array_equal(
        npconv.col2im(col, x.shape, (3, 2), 2, 1),
        npconv.col2im(col=col, input_shape=x.shape, kernel_size=(3, 2), stride=2, padding=1),
    )


# --- im2col and col2im ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", "i8", "f2", "f4", "f8", "g", "F", "D", "O"])
def test_columns_keep_the_dtype_and_their_order(dtype: str) -> None:
    x = np.arange(2 * 3 * 5 * 4).reshape(2, 3, 5, 4).astype(dtype)
    options: dict[str, Any] = {"stride": (2, 1), "padding": [(1, 0), (2, 1)], "dilation": (1, 2)}
    col = npconv.im2col(x, (2, 3), **options)
    assert col.dtype == x.dtype
    wanted = oracle_windows.im2col(x, (2, 3), **options)
    assert col.shape == wanted.shape == (2, 3 * 2 * 3, 3 * 3)
    np.testing.assert_array_equal(col, wanted)


def test_a_row_is_a_channel_and_kernel_position() -> None:
    x = normals(1, 2, 4, 4)
    col = npconv.im2col(x, 3)
    for c, i, j in np.ndindex(2, 3, 3):
        np.testing.assert_array_equal(
            col[0, (c * 3 + i) * 3 + j], x[0, c, i : i + 2, j : j + 2].ravel()
        )
    for p, q in np.ndindex(2, 2):
        np.testing.assert_array_equal(col[0, :, p * 2 + q], x[0, :, p : p + 3, q : q + 3].ravel())


def test_col2im_is_the_adjoint_and_not_the_inverse() -> None:
    x = np.ones((1, 1, 3, 3))
    times_seen = npconv.col2im(npconv.im2col(x, 2), x.shape, 2)
    assert times_seen.tolist() == [[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]]
    padded = npconv.col2im(np.ones((1, 4, 16)), x.shape, 2, padding=1)
    assert padded.tolist() == [[[[4.0] * 3] * 3]]  # what fell into the padding is cut off


def test_the_matrix_product_with_columns_is_the_convolution() -> None:
    x, w = normals(2, 3, 6, 5), normals(4, 3, 3, 2)
    product = w.reshape(4, -1) @ npconv.im2col(x, (3, 2), 2, 1)
    y = npconv.conv2d_im2col(x, w, stride=2, padding=1)
    np.testing.assert_array_equal(product.reshape(y.shape), y)


@pytest.mark.parametrize("shape", [(2, 3, 7), (1, 2, 4, 3, 5), (1, 1, 2, 3, 2, 3)])
def test_columns_of_any_rank(shape: tuple[int, ...]) -> None:
    x, size = normals(*shape), (2,) * (len(shape) - 2)
    np.testing.assert_array_equal(
        npconv.im2col(x, 2, padding=1), oracle_windows.im2col(x, size, padding=1)
    )


# --- the two convolutions ------------------------------------------------------------------


def test_naive_and_im2col_agree_up_to_1000_terms() -> None:
    for seed, (C, size) in enumerate([(1, 3), (4, 5), (40, 5), (111, 3), (1000, 1), (10, 10)]):
        x, w = normals(2, C, 12, 12, seed=seed), normals(3, C, size, size, seed=seed + 100)
        assert w[0].size <= 1000
        difference = npconv.conv2d_naive(x, w, padding=1) - npconv.conv2d_im2col(x, w, padding=1)
        assert np.abs(difference).max() < 1e-12


@pytest.mark.parametrize("conv", CONVS)
@pytest.mark.parametrize(
    "padding", [0, 2, (1, 2), [(1, 0), (-1, 2)], "valid", "same", "same_lower"]
)
def test_every_form_of_padding(conv: Callable[..., Array], padding: Any) -> None:
    x = np.arange(2 * 4 * 6 * 5).reshape(2, 4, 6, 5) % 11 - 5.0
    w = np.arange(4 * 2 * 3 * 2).reshape(4, 2, 3, 2) % 7 - 3.0
    options: dict[str, Any] = {
        "padding": padding,
        "dilation": (1, 2),
        "groups": 2,
        "stride": (2, 1),
    }
    np.testing.assert_array_equal(conv(x, w, **options), oracle.conv(x, w, **options))


@pytest.mark.parametrize("conv", CONVS)
def test_batched_pictures_only(conv: Callable[..., Array]) -> None:
    for shape in ((3, 8, 8), (8, 8), (1, 3, 8), (1, 3, 8, 8, 8)):
        with pytest.raises(ShapeError, match=rf"{conv.__name__} takes input with the 4 axes"):
            conv(np.ones(shape), np.ones((1, 3, 3, 3)))


# --- the layer -----------------------------------------------------------------------------

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "stride": {"stride": 2},
    "padding": {"padding": 1},
    "per_axis": {"stride": (1, 2), "padding": (2, 0), "kernel_size": (2, 3)},
    "pairs": {"padding": [(0, 2), (-1, 1)], "stride": 2},
    "same": {"padding": "same", "kernel_size": (2, 4)},
    "same_lower": {"padding": "same_lower", "stride": 2},
    "dilation": {"dilation": (2, 1), "padding": 1},
    "groups": {"groups": 2},
    "depthwise": {"groups": 4, "padding": 1, "dilation": 2, "stride": 2},
    "circular": {"padding": 1, "padding_mode": "circular"},
    "reflect": {"padding": (2, 1), "padding_mode": "reflect", "stride": 2},
    "one_by_one": {"kernel_size": 1},
}


def layer_of(name: str) -> tuple[Conv2dNumpy, Array]:
    np.random.seed(7)
    options = {"kernel_size": 3, **CONFIGURATIONS[name]}
    layer = Conv2dNumpy(4, 4, **options)
    layer.bias[...] = normals(4, seed=3)
    return layer, normals(2, 4, 5, 5, seed=5)


def test_seed_42_gives_the_weights_stated() -> None:
    for shape, groups in (((8, 3, 3, 3), 1), ((4, 2, 5, 3), 3), ((1, 1, 1, 1), 1)):
        np.random.seed(42)
        layer = Conv2dNumpy(shape[1] * groups, shape[0] * groups, shape[2:], groups=groups)
        after = np.random.rand()
        np.random.seed(42)
        fan_in = shape[1] * shape[2] * shape[3]
        weight = np.sqrt(2 / fan_in) * np.random.randn(shape[0] * groups, *shape[1:])
        assert layer.weight.dtype == np.float64
        assert layer.weight.tobytes() == weight.tobytes()
        assert layer.weight.shape == weight.shape
        assert after == np.random.rand()  # one call of randn, and nothing more
        assert layer.bias.dtype == np.float64
        assert layer.bias.tolist() == [0] * shape[0] * groups


def test_attributes_as_given() -> None:
    stride: Any = np.array([2, 1])
    kernel_size, padding = [3, 3], [(0, 1), (1, 0)]
    layer = Conv2dNumpy(2, 4, kernel_size, stride, padding)
    assert (layer.in_channels, layer.out_channels) == (2, 4)
    assert layer.kernel_size is kernel_size
    assert layer.stride is stride
    assert layer.padding is padding
    assert layer.weight_grad is layer.bias_grad is layer.cache is None


def test_cache_is_the_input_itself() -> None:
    layer, x = layer_of("padding")
    layer.forward(x)
    assert layer.cache is x
    layer.forward(view := x[:1])
    assert layer.cache is view


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_forward_is_the_convolution(name: str) -> None:
    layer, x = layer_of(name)
    options = {k: v for k, v in CONFIGURATIONS[name].items() if k != "kernel_size"}
    wanted = oracle.conv(x, layer.weight, layer.bias, **options)
    np.testing.assert_allclose(layer.forward(x), wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_gradient_check(name: str) -> None:
    """`max|analytic - numeric| <= 1e-6 * max|analytic|` with the loss `sum(y**2)`."""
    layer, x = layer_of(name)
    dx = layer.backward(2 * layer.forward(x))
    analytic = {"input": dx, "weight": layer.weight_grad, "bias": layer.bias_grad}
    for what, array in {"input": x, "weight": layer.weight, "bias": layer.bias}.items():
        before = array.tobytes()
        numeric = npconv.numerical_gradient(lambda: np.sum(layer.forward(x) ** 2), array)
        exact = analytic[what]
        assert exact is not None
        assert np.abs(exact - numeric).max() <= 1e-6 * np.abs(exact).max(), what
        assert array.tobytes() == before


def test_gradients_are_overwritten_and_backward_may_be_repeated() -> None:
    layer, x = layer_of("stride")
    dy = 2 * layer.forward(x)
    first = layer.backward(dy), layer.weight_grad, layer.bias_grad
    kept = [array.tobytes() for array in first if array is not None]
    second = layer.backward(dy), layer.weight_grad, layer.bias_grad
    assert [array.tobytes() for array in second if array is not None] == kept
    layer.backward(3 * dy)
    assert layer.weight_grad is not None
    assert second[1] is not None
    np.testing.assert_allclose(layer.weight_grad, 3 * second[1])
    assert [array.tobytes() for array in first if array is not None] == kept
    assert layer.cache is x


def test_update_is_gradient_descent_in_place() -> None:
    layer, x = layer_of("padding")
    layer.backward(2 * layer.forward(x))
    weight, bias = layer.weight, layer.bias
    assert layer.weight_grad is not None
    assert layer.bias_grad is not None
    wanted = weight - 0.01 * layer.weight_grad, bias - 0.01 * layer.bias_grad
    layer.update(0.01)
    assert layer.weight is weight
    assert layer.bias is bias
    np.testing.assert_array_equal(weight, wanted[0])
    np.testing.assert_array_equal(bias, wanted[1])
    layer.update(lr=0)
    np.testing.assert_array_equal(weight, wanted[0])


def test_training_lowers_the_loss() -> None:
    layer, x = layer_of("padding")
    target = npconv.conv2d_naive(x, normals(4, 4, 3, 3, seed=9), padding=1)
    losses = []
    for _ in range(30):
        residual = layer.forward(x) - target
        losses.append(np.sum(residual**2))
        layer.backward(2 * residual)
        layer.update(5e-4)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] / 5


def test_backward_in_bands_agrees() -> None:
    """Where one image's columns pass the workspace limit, the gradients come band by band."""
    for name in CONFIGURATIONS:
        layer, _ = layer_of(name)
        x = normals(2, 4, 40, 41)
        dy = np.ones_like(layer.forward(x))
        plain = layer.backward(dy), layer.weight_grad, layer.bias_grad
        with npconv.settings(workspace_limit=40_000):
            bands = layer.backward(dy), layer.weight_grad, layer.bias_grad
        for a, b in zip(plain, bands, strict=True):
            assert a is not None
            assert b is not None
            assert a.dtype == b.dtype == np.float64
            np.testing.assert_allclose(b, a, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("limit", [2**26, 40_000])
def test_float32_input_and_gradient_are_computed_in_float64(limit: int) -> None:
    layer, _ = layer_of("padding")
    x = normals(2, 4, 40, 41).astype(np.float32)
    with npconv.settings(workspace_limit=limit):
        y = layer.forward(x)
        assert layer.cache is x
        assert y.dtype == np.float64
        dy = normals(*y.shape, seed=8).astype(np.float32)
        found = layer.backward(dy), layer.weight_grad, layer.bias_grad
        layer.forward(x.astype(float))
        wanted = layer.backward(dy.astype(float)), layer.weight_grad, layer.bias_grad
    for a, b in zip(found, wanted, strict=True):
        assert a is not None
        assert b is not None
        assert a.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_errors_leave_the_layer_as_it_was() -> None:
    layer, x = layer_of("stride")
    with pytest.raises(StateError, match="call forward first"):
        layer.backward(np.ones((2, 4, 2, 2)))
    with pytest.raises(StateError, match="call forward and backward first"):
        layer.update(0.1)
    y = layer.forward(x)
    with pytest.raises(StateError, match="call forward and backward first"):
        layer.update(0.1)
    layer.backward(y)
    before = {name: (id(v), np.array(v).tobytes()) for name, v in vars(layer).items()}
    wrong: list[tuple[Callable[[], object], type[Exception], str]] = [
        (lambda: layer.backward(y[:, :, :1]), ShapeError, r"grad_output must have shape"),
        (lambda: layer.backward(y[:1]), ShapeError, r"grad_output.shape=\(1, 4, 2, 2\)"),
        (lambda: layer.backward(1j * y), DTypeError, "grad_output must hold real numbers"),
        (
            lambda: layer.forward(x[:, :3]),
            ShapeError,
            "input has 3 channels but the kernel reads 4",
        ),
        (lambda: layer.forward(x[..., :2]), ShapeError, "kernel reaches beyond the padded input"),
        (lambda: layer.forward("picture"), DTypeError, "input must be a NumPy array"),
        (lambda: layer.forward(None), DTypeError, "input must be a NumPy array"),
        (lambda: layer.update(np.nan), DTypeError, "lr must be a finite real number"),
        (lambda: Conv2dNumpy(4, 4, 3, 0), ShapeError, "stride must be at least 1"),
        (lambda: Conv2dNumpy(4, 4, 3, padding="full"), UnsupportedError, "padding must be"),
    ]
    for call, error, message in wrong:
        with pytest.raises(error, match=message):
            call()
        after = {name: (id(v), np.array(v).tobytes()) for name, v in vars(layer).items()}
        assert after == before


@pytest.mark.parametrize("limit", [100_000, 300_000, 1_000_000])
def test_backward_keeps_to_the_workspace_limit(limit: int) -> None:
    """A large kernel over small pictures, and float32 that is cast on the way."""
    layer = Conv2dNumpy(16, 40, 5, padding=2)
    x = normals(3, 16, 12, 12).astype(np.float32)
    dy = np.asfortranarray(np.ones_like(layer.forward(x), dtype=np.float32))
    with npconv.settings(workspace_limit=limit):
        calls = [_traced_peak(lambda: layer.backward(dy)) for _ in range(4)]
    assert layer.weight_grad is not None
    assert layer.bias_grad is not None
    results = x.nbytes + layer.weight_grad.nbytes + layer.bias_grad.nbytes
    # The first calls also fill what Python keeps of tuples and slices for later ones.
    assert min(calls) - results <= limit + 65_536  # Python's own objects


def _traced_peak(call: Callable[[], object]) -> int:
    """Return the bytes that a call's own allocations came to at most."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
