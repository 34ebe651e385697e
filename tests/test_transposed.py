"""Transposed convolution against the oracle, and as what it is: the adjoint of conv."""

from __future__ import annotations

import functools
import random
from typing import Any

import numpy as np
import pytest

import npconv
import oracle
import oracle_windows
from oracle import Array

MODES = ("zeros", "zeros", "reflect", "replicate", "circular")


def drawn(seed: int) -> tuple[Array, Array, Array, dict[str, Any]]:
    """Operands of small integers and options; some do not fit together."""
    rng = random.Random(seed)
    rank, groups = rng.choice([1, 2, 3]), rng.choice([1, 1, 2, 3])
    stride = [rng.randint(1, 3) for _ in range(rank)]
    dilation = [rng.randint(1, 3) for _ in range(rank)]
    options = {
        "stride": stride,
        "dilation": dilation,
        "output_padding": [
            rng.randint(0, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True)
        ],
        "padding": [(rng.randint(-1, 2), rng.randint(-1, 2)) for _ in range(rank)],
        "groups": groups,
        "padding_mode": rng.choice(MODES),
    }
    size = [rng.randint(1, 5) for _ in range(rank)]
    kernel = [rng.randint(1, 3) for _ in range(rank)]
    channels, of_group = groups * rng.randint(1, 2), rng.randint(1, 2)
    numbers = np.random.default_rng(seed)
    x = numbers.integers(-4, 5, (2, channels, *size)).astype(float)
    w = numbers.integers(-4, 5, (channels, of_group, *kernel)).astype(float)
    return x, w, numbers.integers(-4, 5, of_group * groups).astype(float), options


def fits(seed: int) -> bool:
    x, w, b, options = drawn(seed)
    try:
        npconv.conv_transpose(x, w, b, **options)
    except npconv.ShapeError:
        return False
    return True


FITTING = [seed for seed in range(250) if fits(seed)]


def test_most_of_what_is_drawn_fits() -> None:
    assert len(FITTING) > 200
    modes = {drawn(seed)[3]["padding_mode"] for seed in FITTING}
    assert modes == set(MODES)


@pytest.mark.parametrize("seed", FITTING[::10])
def test_gradients_hold(seed: int) -> None:
    x, w, b, options = drawn(seed)
    assert npconv.gradcheck(functools.partial(npconv.conv_transpose, **options), (x, w, b))


@pytest.mark.parametrize("algorithm", ["auto", "naive", "im2col"])
def test_equals_the_oracle(algorithm: str) -> None:
    for seed in FITTING:
        x, w, b, options = drawn(seed)
        with npconv.settings(accuracy="strict"):  # transforms round integers too
            y = npconv.conv_transpose(x, w, b, algorithm=algorithm, **options)
        np.testing.assert_array_equal(y, oracle.conv_transpose(x, w, b, **options), str(options))


def test_is_the_adjoint_of_conv() -> None:
    with npconv.settings(accuracy="strict"):  # transforms round integers too
        check_adjoints()


def check_adjoints() -> None:
    for seed in FITTING:
        x, w, _, options = drawn(seed)
        y = npconv.conv_transpose(x, w, **options)
        extra = options.pop("output_padding")
        options["padding"] = [
            (low, high - more) for (low, high), more in zip(options["padding"], extra, strict=True)
        ]
        z = np.random.default_rng(seed).integers(-4, 5, y.shape).astype(float)
        assert np.sum(y * z) == np.sum(x * npconv.conv(z, w, **options))


def test_a_small_workspace_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, (2, 8, 20, 24)).astype(np.float32)
    w = rng.integers(-4, 5, (8, 6, 3, 3)).astype(np.float32)
    for mode in MODES[1:]:
        options: dict[str, Any] = {"stride": 2, "padding": 2, "padding_mode": mode}
        whole = npconv.conv_transpose(x, w, np.arange(6.0), algorithm="im2col", **options)
        with npconv.settings(workspace_limit=2**15):
            tiled = npconv.conv_transpose(x, w, np.arange(6.0), algorithm="im2col", **options)
        np.testing.assert_array_equal(whole, tiled, mode)


def test_layouts_and_letters() -> None:
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((2, 3, 5, 4)), rng.standard_normal((3, 2, 3, 2))
    y = npconv.conv_transpose(x, w, stride=2, output_padding=(1, 0))
    last = npconv.conv_transpose(
        x.transpose(0, 2, 3, 1),
        w.transpose(2, 3, 1, 0),
        stride=2,
        output_padding=(1, 0),
        layout="NHWC",
        kernel_layout="HWOI",
    )
    np.testing.assert_allclose(last, y.transpose(0, 2, 3, 1), rtol=1e-13, atol=1e-13)
    single = npconv.conv_transpose2d(x[0], w, stride=2, output_padding=(1, 0))
    np.testing.assert_array_equal(single, y[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": "same"}, "does not determine a transposed convolution"),
        ({"output_padding": 1}, "below the larger of stride and dilation"),
        ({"padding": 5}, "the output has size -4 on spatial axis 0"),
        ({"groups": 2}, "groups must divide the input's channels"),
        ({"padding_mode": "circular", "padding": 4, "stride": 2}, "can pad at most"),
    ],
)
def test_refusals_say_why(options: dict[str, Any], message: str) -> None:
    with pytest.raises(npconv.ConvError, match=message):
        npconv.conv_transpose(np.ones((1, 3, 4)), np.ones((3, 2, 3)), **options)


def test_wrong_channels_name_the_axis() -> None:
    with pytest.raises(npconv.ShapeError, match=r"the kernel takes 4 \(kernel.shape\[0\]\)"):
        npconv.conv_transpose(np.ones((1, 3, 4)), np.ones((4, 2, 3)))


@pytest.mark.parametrize("mode", MODES[2:])
def test_im2col_and_col2im_with_padding_modes(mode: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, (2, 3, 6, 5)).astype(float)
    options: dict[str, Any] = {
        "stride": (2, 1),
        "padding": [(3, -1), (1, 2)],
        "dilation": (1, 2),
        "padding_mode": mode,
    }
    col = npconv.im2col(x, (3, 2), **options)
    np.testing.assert_array_equal(col, oracle_windows.im2col(x, (3, 2), **options))
    entries = rng.integers(-4, 5, col.shape).astype(float)
    folded = npconv.col2im(entries, x.shape, (3, 2), **options)
    np.testing.assert_array_equal(
        folded, oracle_windows.col2im(entries, x.shape, (3, 2), **options)
    )
    assert np.sum(col * entries) == np.sum(x * folded)


def test_gradients_of_gradients() -> None:
    """The gradients are bilinear maps too, and their own gradients are known."""
    rng = np.random.default_rng(2)
    x, w = rng.standard_normal((2, 4, 6, 5)), rng.standard_normal((6, 2, 3, 2))
    options: dict[str, Any] = {"stride": (2, 1), "padding": [(1, 0), (2, -1)], "groups": 2}
    dy = rng.standard_normal(npconv.conv_output_shape(x.shape, w.shape, **options))
    to_input = functools.partial(npconv.conv_input_grad, input_shape=x.shape, **options)
    assert npconv.gradcheck(to_input, (dy, w))
    to_kernel = functools.partial(npconv.conv_kernel_grad, kernel_shape=w.shape, **options)
    assert npconv.gradcheck(to_kernel, (dy, x))
