"""Calls that look wrong and are not: unusual arrays and extreme numbers with right answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import npconv
import oracle
import oracle_windows
from hostile_calls import ARRAY_CALLS
from hostile_case import OPTIONS, WINDOW, Call, W, X, Y, numbers
from hostile_forms import FORMS, OTHER_DTYPES, interleaved, odd_rows
from hostile_watch import watched
from npconv.algorithms import REGISTRY
from oracle import Array, Conv, Shape


def parts(result: Any) -> list[Array]:
    """The arrays of a result, of a named tuple of them, or of a packed kernel."""
    if isinstance(result, np.ndarray):
        return [result]
    arrays = result.blocks if hasattr(result, "blocks") else result
    return [array for array in arrays if array is not None]


def assert_same(found: Any, wanted: Any) -> None:
    assert not isinstance(found, Exception), repr(found)
    for a, b in zip(parts(found), parts(wanted), strict=True):
        assert type(a) is np.ndarray
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.dtype.isnative
        np.testing.assert_array_equal(a, b)


def arrays_of(calls: list[Call], forms: dict[str, Any]) -> list[Any]:
    return [
        pytest.param(call, name, form, id=f"{call.id}-{name}-{form}")
        for call in calls
        for name, value in call.arguments().items()
        if isinstance(value, np.ndarray)
        for form in forms
    ]


@pytest.mark.parametrize(("call", "name", "form"), arrays_of(ARRAY_CALLS, FORMS))
def test_forms(call: Call, name: str, form: str) -> None:
    arguments = call.arguments()
    arguments[name] = FORMS[form](arguments[name])
    plain = {**call.arguments(), name: np.array(arguments[name], float)}
    assert_same(watched(call.function, arguments), call.function(**plain))


@pytest.mark.parametrize(
    ("call", "name", "form"),
    arrays_of([call for call in ARRAY_CALLS if call.id.startswith(("conv", "new"))], OTHER_DTYPES),
)
def test_other_dtypes(call: Call, name: str, form: str) -> None:
    """With an operand of float64 beside them, other numbers are as good as floats."""
    arguments = call.arguments()
    if "backward" in call.id and call.id.startswith("conv"):
        arguments["needs"] = ["input", "kernel"]  # the bias gradient has no other operand
    plain = {**arguments}
    arguments[name] = OTHER_DTYPES[form](arguments[name])
    plain[name] = np.array(arguments[name], float)
    assert_same(watched(call.function, arguments), call.function(**plain))


def right_answers() -> dict[str, Any]:
    """The oracle's, to the calls of ARRAY_CALLS."""
    options: dict[str, Any] = OPTIONS
    problem, back = Conv(X, W, **options), oracle.transposed(Y, W, **options)
    dy = numbers(*problem.output_shape)
    plain = problem.forward(numbers(*X), numbers(*W))
    biased = problem.forward(numbers(*X), numbers(*W), numbers(6))
    dx, dw = problem.input_grad(dy, numbers(*W)), problem.kernel_grad(dy, numbers(*X))
    columns = oracle_windows.im2col(numbers(*X), (3, 3), **WINDOW)
    return {
        **dict.fromkeys(("conv", "conv2d", "conv2d_naive", "conv2d_im2col"), biased),
        "conv2d without batch": oracle.conv(
            numbers(*X[1:])[None], numbers(*W), numbers(6), **options
        )[0],
        "conv1d": oracle.conv(numbers(2, 4, 7), numbers(6, 2, 3), numbers(6), **options),
        "conv3d": oracle.conv(
            numbers(1, 2, 3, 3, 4), numbers(2, 1, 2, 3, 2), numbers(2), **options
        ),
        **dict.fromkeys(("conv_input_grad", "plan input_grad", "new layer backward"), dx),
        **dict.fromkeys(("conv_kernel_grad", "plan kernel_grad"), dw),
        "conv_backward": npconv.ConvGradients(dx, dw, problem.bias_grad(dy)),
        "plan forward": plain,
        "new layer forward": biased,
        "conv_transpose": oracle.conv_transpose(numbers(*Y), numbers(*W), numbers(4), **options),
        "conv_transpose2d": oracle.conv_transpose(numbers(*Y[1:])[None], numbers(*W), **options)[0],
        "conv_transpose_backward": npconv.ConvGradients(
            back.forward(numbers(2, 4, 5, 5), numbers(*W)),
            back.kernel_grad(numbers(*Y), numbers(2, 4, 5, 5)),
            numbers(2, 4, 5, 5).sum(axis=(0, 2, 3)),
        ),
        "im2col": columns,
        "col2im": oracle_windows.col2im(numbers(*columns.shape), X, (3, 3), **WINDOW),
    }


def test_the_plain_calls_are_right() -> None:
    right = right_answers()
    for call in ARRAY_CALLS:
        if call.id != "plan pack":
            assert_same(watched(call.function, call.arguments()), right[call.id])


# --- sizes and options at their ends -------------------------------------------------------

HUGE = 2**40
LETTERS = "ABDEFGHJKLMPQRSTUVWXYZabcdefgh"
EXTREMES: dict[str, tuple[Shape, Shape, dict[str, Any]]] = {
    "no_images": ((0, 4, 5, 6), (6, 4, 3, 3), {}),
    "no_input_channels": ((2, 0, 5, 6), (6, 0, 3, 3), {}),
    "no_output_channels": ((2, 4, 5, 6), (0, 4, 3, 3), {}),
    "nothing_at_all": ((0, 0, 5, 6), (0, 0, 3, 3), {}),
    "no_channels_in_groups": ((2, 0, 5, 6), (0, 0, 3, 3), {"groups": 7}),
    "no_rows": ((2, 4, 0, 6), (6, 4, 3, 3), {"padding": 2}),
    "no_rows_nor_columns": ((2, 4, 0, 0), (6, 4, 3, 3), {"padding": [(1, 2), (3, 0)]}),
    "no_rows_stride": ((1, 2, 0, 3), (2, 2, 1, 1), {"padding": 1, "stride": 2}),
    "one_of_each": ((1, 1, 1), (1, 1, 1), {}),
    "only_padding": ((1, 1, 1), (2, 1, 2), {"padding": [(-1, 3)]}),
    "stride_beyond": ((2, 1, 5), (2, 1, 3), {"stride": 2**63 - 1}),
    "padding_and_stride": ((1, 2, 3), (2, 2, 2), {"padding": HUGE, "stride": 2 * HUGE}),
    "padding_and_stride_meet": ((1, 2, 3), (2, 2, 2), {"padding": HUGE, "stride": HUGE}),
    "padding_and_dilation": ((1, 2, 3), (2, 2, 3), {"padding": HUGE, "dilation": HUGE}),
    "dilation_of_one": ((1, 2, 3), (2, 2, 1), {"dilation": 2**63 - 1}),
    "huge_crop": ((1, 1, 3), (1, 1, 1), {"padding": [(-HUGE, HUGE)]}),
    "rank_30": ((1,) * 32, (1,) * 32, {"layout": "NC" + LETTERS}),
    "rank_8": ((1, 2, *(2,) * 8), (1, 2, *(1, 2) * 4), {"layout": "NC" + LETTERS[:8]}),
}
EXTREMES |= {
    f"{mode}_{name}": (x, w, {"padding": padding, "padding_mode": mode})
    for name, x, w, padding in (
        ("of_one", (1, 1, 1, 2), (2, 1, 1, 2), [(0, 0), (1, 1)]),
        ("no_images", (0, 2, 3, 3), (2, 2, 3, 3), 1),
        ("no_channels", (2, 0, 3, 3), (2, 0, 3, 3), 1),
        ("cut", (1, 1, 3, 4), (1, 1, 1, 3), [(-2, 1), (-1, 2)]),
    )
    for mode in ("reflect", "replicate", "circular")
}


@pytest.mark.parametrize("name", EXTREMES)
def test_extremes(name: str) -> None:
    x_shape, w_shape, options = EXTREMES[name]
    problem = Conv(x_shape, w_shape, **options)
    y_shape = problem.output_shape
    assert npconv.conv_output_shape(x_shape, w_shape, **options) == y_shape
    x, w, dy = numbers(*x_shape), numbers(*w_shape), numbers(*y_shape)
    bias = numbers(w_shape[0])
    results: dict[str, tuple[Callable[..., Any], dict[str, Any], Array]] = {
        "forward": (
            npconv.conv,
            {"input": x, "kernel": w, "bias": bias},
            problem.forward(x, w, bias),
        ),
        "input_grad": (
            npconv.conv_input_grad,
            {"grad_output": dy, "kernel": w, "input_shape": x_shape},
            problem.input_grad(dy, w),
        ),
        "kernel_grad": (
            npconv.conv_kernel_grad,
            {"grad_output": dy, "input": x, "kernel_shape": w_shape},
            problem.kernel_grad(dy, x),
        ),
    }
    with npconv.settings(accuracy="strict"):  # transforms round integers too
        for function, arguments, wanted in results.values():
            assert_same(watched(function, {**arguments, **options}), wanted)


INTEGERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "numpy_integers": (
        {"groups": np.int8(2), "stride": np.uint64(2), "padding": np.int32(1)},
        {"groups": 2, "stride": 2, "padding": 1},
    ),
    "arrays": (
        {"padding": np.ones((2, 2), int), "dilation": np.array([1, 2], np.uint8)},
        {"padding": 1, "dilation": (1, 2)},
    ),
    "array_without_axes": ({"stride": np.array(2)}, {"stride": 2}),
    "ranges": (
        {"stride": range(1, 3), "padding": [range(2), [0, 1]]},
        {"stride": (1, 2), "padding": [(0, 1), (0, 1)]},
    ),
    "numpy_strings": ({"padding": np.str_("same"), "layout": np.str_("NCHW")}, {"padding": "same"}),
}


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_of_every_kind(name: str) -> None:
    options, plain = INTEGERS[name]
    arguments: dict[str, Any] = {"input": numbers(*X), "kernel": numbers(*W), "groups": 2}
    wanted = npconv.conv(**arguments | plain)
    assert_same(watched(npconv.conv, arguments | options), wanted)
    shape: Any = np.array(W)
    assert npconv.conv_output_shape(X, shape, **{"groups": 2} | options) == wanted.shape


EMPTY: dict[str, tuple[Callable[[], Array], Shape]] = {
    "no_images_many_kernels": (
        lambda: npconv.conv(np.ones((0, 1, 1)), np.broadcast_to(1.0, (HUGE, 1, 1))),
        (0, HUGE, 1),
    ),
    "many_images_no_kernels": (
        lambda: npconv.conv(np.ones((HUGE, 0, 1)), np.ones((0, 0, 1))),
        (HUGE, 0, 1),
    ),
    "large_kernels_no_channels": (
        lambda: npconv.conv(np.ones((1, 0, HUGE)), np.ones((1, 0, HUGE))),
        (1, 1, 1),
    ),
    "input_grad": (
        lambda: npconv.conv_input_grad(
            np.broadcast_to(1.0, (1, 1, HUGE)), np.ones((1, 0, 1)), (1, 0, HUGE)
        ),
        (1, 0, HUGE),
    ),
    "kernel_grad": (
        lambda: npconv.conv_kernel_grad(
            np.broadcast_to(1.0, (1, HUGE, 1)), np.ones((1, 0, 1)), (HUGE, 0, 1)
        ),
        (HUGE, 0, 1),
    ),
    "im2col": (lambda: npconv.im2col(np.ones((1, 0, HUGE)), HUGE // 2), (1, 0, HUGE // 2 + 1)),
    "col2im": (lambda: npconv.col2im(np.ones((0, 9, 4)), (0, 9, 4), 1), (0, 9, 4)),
    "col2im_no_channels": (
        lambda: npconv.col2im(np.ones((1, 0, HUGE // 2 + 1)), (1, 0, HUGE), HUGE // 2),
        (1, 0, HUGE),
    ),
}


@pytest.mark.parametrize("name", EMPTY)
def test_nothing_to_compute_takes_no_time(name: str) -> None:
    """With one size 0 the others may be anything."""
    call, shape = EMPTY[name]
    result = watched(call, {})
    assert result.shape == shape
    assert not result.any()


# --- results in the caller's array ---------------------------------------------------------


@pytest.mark.parametrize("call", [c for c in ARRAY_CALLS if "out" in c.hostile], ids=lambda c: c.id)
@pytest.mark.parametrize(
    "form", ["fortran", "reversed", "strided", "transposed", "misaligned", "odd_rows", "subclass"]
)
def test_out_of_any_form(call: Call, form: str) -> None:
    wanted = call.function(**call.arguments())
    out = FORMS[form](np.full(wanted.shape, np.nan))
    result = call.function(**call.arguments(), out=out)
    assert result is out
    np.testing.assert_array_equal(np.asarray(out), wanted)


@pytest.mark.parametrize("algorithm", REGISTRY)
def test_rows_a_byte_apart(algorithm: str) -> None:
    options: dict[str, Any] = {"padding": 1, "groups": 3, "algorithm": algorithm}
    x, w = numbers(2, 3, 9, 12), numbers(3, 1, 3, 3)
    wanted = npconv.conv(x, w, **options)
    out = odd_rows(np.full(wanted.shape, np.nan))
    npconv.conv(x, w, **options, out=out)
    np.testing.assert_allclose(out, wanted, rtol=0, atol=1e-12 * abs(wanted).max())
    y = npconv.conv(odd_rows(x), odd_rows(w), **options)
    np.testing.assert_allclose(y, wanted, rtol=0, atol=1e-12 * abs(wanted).max())
    dw = npconv.conv_kernel_grad(odd_rows(wanted), odd_rows(x), w.shape, **options)
    expected = npconv.conv_kernel_grad(wanted, x, w.shape, **options)
    np.testing.assert_allclose(dw, expected, rtol=0, atol=1e-12 * abs(expected).max())


def test_out_between_an_operands_elements() -> None:
    """Memory is shared, elements are not."""
    x, out = interleaved(numbers(2, 3, 4, 4))
    wanted = npconv.conv(x.copy(), numbers(3, 3, 1, 1))
    assert npconv.conv(x, numbers(3, 3, 1, 1), out=out) is out
    np.testing.assert_array_equal(out, wanted)
    np.testing.assert_array_equal(x, numbers(2, 3, 4, 4))
