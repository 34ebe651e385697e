"""The oracle proves itself: by hand, by SciPy, by numpy.pad, by identities that are exact."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import product
from math import inf, nan, prod
from typing import Any

import numpy as np
import pytest

from oracle import Array, Conv, conv, conv_transpose, transposed
from oracle_axes import Axis, resolve_padding
from problems import FEATURES, NAMED, RandomProblem, random_problem

NUMPY_MODES = {"replicate": "edge", "circular": "wrap", "reflect": "reflect"}


def integers(rng: random.Random, shape: tuple[int, ...]) -> Array:
    """Small whole numbers as Python ints, on which the oracle computes exactly."""
    flat = [rng.randint(-4, 4) for _ in range(prod(shape))]
    return np.array(flat, dtype=object).reshape(shape)


def inner(a: Array, b: Array) -> Any:
    assert a.shape == b.shape
    return sum(x * y for x, y in zip(a.ravel(), b.ravel(), strict=True))


def some_problems(
    count: int, served: frozenset[str] = FEATURES
) -> list[tuple[RandomProblem, random.Random]]:
    rngs = [random.Random(f"oracle {seed}") for seed in range(count)]
    return [(random_problem(rng, max_products=600, served=served), rng) for rng in rngs]


# --- by hand --------------------------------------------------------------------------------

PICTURE = np.arange(16).reshape(1, 1, 4, 4)
SQUARE = np.array([[[[1, 2], [3, 4]]]])


def test_forward_by_hand() -> None:
    # First 0*1 + 1*2 + 4*3 + 5*4 = 34; one step to the right adds 1 + 2 + 3 + 4.
    expected = [[34, 44, 54], [74, 84, 94], [114, 124, 134]]
    assert conv(PICTURE, SQUARE).tolist() == [[expected]]
    with_bias = [[y + 5 for y in row] for row in expected]
    assert conv(PICTURE, SQUARE, [5]).tolist() == [[with_bias]]


def test_padding_and_stride_by_hand() -> None:
    # Four windows, one over each corner, which the opposite kernel corner sees.
    y = conv(PICTURE, SQUARE, padding=1, stride=4)
    assert y.tolist() == [[[[0 * 4, 3 * 3], [12 * 2, 15 * 1]]]]


def test_dilation_by_hand() -> None:
    y = conv(PICTURE, SQUARE, dilation=3)
    assert y.tolist() == [[[[0 * 1 + 3 * 2 + 12 * 3 + 15 * 4]]]]


def test_gradients_by_hand() -> None:
    problem = Conv((1, 1, 4, 4), (1, 1, 2, 2))
    dy = np.arange(1, 10).reshape(1, 1, 3, 3)
    assert problem.input_grad(dy, SQUARE).tolist() == [
        [[[1, 4, 7, 6], [7, 23, 33, 24], [19, 53, 63, 42], [21, 52, 59, 36]]]
    ]
    # x[p + r, q + s] = (4p + q) + (4r + s): sum(dy * (4p + q)) = 303, sum(dy) = 45
    assert problem.kernel_grad(dy, PICTURE).tolist() == [[[[303, 348], [483, 528]]]]
    assert problem.bias_grad(dy).tolist() == [45]


def test_conv_transpose_by_hand() -> None:
    x, w = np.array([[[1, 2]]]), np.array([[[1, 10]]])
    assert conv_transpose(x, w, stride=2).tolist() == [[[1, 10, 2, 20]]]
    assert conv_transpose(x, w, stride=2, output_padding=1).tolist() == [[[1, 10, 2, 20, 0]]]
    assert conv_transpose(x, w, [7], stride=1, padding=1).tolist() == [[[10 + 2 + 7]]]


def test_complex_gradients_conjugate_the_other_operand() -> None:
    problem = Conv((1, 1, 1), (1, 1, 1))
    dy, w = np.array([[[1 + 2j]]]), np.array([[[3 + 1j]]])
    assert problem.forward(dy, w).item() == (1 + 2j) * (3 + 1j)
    assert problem.input_grad(dy, w).item() == (1 + 2j) * (3 - 1j)
    assert problem.kernel_grad(dy, w).item() == (1 + 2j) * (3 - 1j)


@pytest.mark.parametrize(
    ("padding", "size", "kernel", "stride", "dilation", "pair"),
    [
        (2, 5, 3, 1, 1, (2, 2)),
        ([1], 5, 3, 1, 1, (1, 1)),
        ([(-1, 2)], 5, 3, 1, 1, (-1, 2)),
        ("valid", 5, 3, 1, 1, (0, 0)),
        ("same", 5, 3, 1, 1, (1, 1)),
        ("same", 6, 3, 2, 1, (0, 1)),
        ("same_lower", 6, 3, 2, 1, (1, 0)),
        ("same", 6, 1, 3, 1, (0, 0)),
        ("same", 4, 4, 1, 2, (3, 3)),
        ("causal", 5, 3, 1, 2, (4, 0)),
    ],
)
def test_every_form_of_padding_becomes_a_pair(
    padding: Any,
    size: int,
    kernel: int,
    stride: int,
    dilation: int,
    pair: tuple[int, int],
) -> None:
    assert resolve_padding(padding, [size], [kernel], [stride], [dilation]) == [pair]


# --- NaN and Inf by hand ----------------------------------------------------------------------


def line(*numbers: float) -> Array:
    return np.array([[numbers]], dtype=float)


def equal(a: Array, *numbers: float) -> None:
    np.testing.assert_array_equal(a.ravel(), numbers)


def test_padding_zeros_are_values_in_the_forward() -> None:
    equal(conv(line(1, 2), line(inf, 1), padding=[(1, 0)]), nan, inf)
    equal(conv(line(inf, 1), line(1, 0), padding=1), nan, inf, 1)


def test_padding_zeros_are_values_in_the_kernel_gradient() -> None:
    problem = Conv((1, 1, 2), (1, 1, 2), padding=[(1, 0)])
    equal(problem.kernel_grad(line(inf, 1), line(1, 2)), nan, inf)


def test_padding_takes_no_part_in_the_input_gradient() -> None:
    problem = Conv((1, 1, 2), (1, 1, 2), padding=[(1, 0)])
    equal(problem.input_grad(line(inf, 1), line(0, 1)), inf, 1)


def test_holes_are_not_terms() -> None:
    problem = Conv((1, 1, 2), (1, 1, 2), input_dilation=2)
    equal(problem.forward(line(1, 2), line(inf, 1)), inf, 2)
    equal(problem.input_grad(line(nan, 1), line(1, 1)), nan, 1)
    equal(problem.kernel_grad(line(1, inf), line(1, 2)), 1, inf)


def test_cropped_positions_are_not_terms() -> None:
    problem = Conv((1, 1, 3), (1, 1, 1), padding=[(-1, 0)])
    equal(problem.forward(line(nan, 1, 2), line(1)), 1, 2)
    equal(problem.input_grad(line(inf, nan), line(1)), 0, inf, nan)
    equal(problem.kernel_grad(line(1, 1), line(nan, 1, 2)), 3)


# --- against others ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "pointwise", "kernel_is_input", "rank1", "rank3"])
def test_forward_is_scipys_correlation(name: str) -> None:
    signal = pytest.importorskip("scipy.signal", reason="SciPy is the referee here")
    problem = NAMED[name]
    rng = np.random.default_rng(0)
    x = rng.standard_normal(problem.input_shape)
    w = rng.standard_normal(problem.kernel_shape)
    N, K, C = x.shape[0], w.shape[0], w.shape[1]
    expected = [
        [sum(signal.correlate(x[n, c], w[k, c], "valid") for c in range(C)) for k in range(K)]
        for n in range(N)
    ]
    np.testing.assert_allclose(conv(x, w), expected, rtol=1e-12, atol=1e-12)


def test_padding_modes_are_numpy_pad() -> None:
    modes = set()
    for problem, rng in some_problems(200, frozenset({"padding_modes"})):
        oracle, options = problem.oracle, dict(problem.options)
        mode = options.pop("padding_mode", "zeros")
        modes.add(mode)
        x, w = integers(rng, problem.input_shape), integers(rng, problem.kernel_shape)
        axis_of = dict(zip(oracle.space, oracle.axes, strict=True))
        pads = [
            (axis_of[s].low, axis_of[s].high) if s in axis_of else (0, 0) for s in oracle.layout
        ]
        grown = [(max(low, 0), max(high, 0)) for low, high in pads]
        padded: Array = np.pad(x, grown, mode=NUMPY_MODES.get(mode, "constant"))  # type: ignore[call-overload]
        cut = tuple(
            slice(max(-low, 0), size - max(-high, 0))
            for size, (low, high) in zip(padded.shape, pads, strict=True)
        )
        y = conv(padded[cut], w, **{**options, "padding": 0})
        np.testing.assert_array_equal(oracle.forward(x, w), y, repr(problem))
    assert modes == {"zeros", *NUMPY_MODES}


def test_input_dilation_is_zero_stuffing() -> None:
    for problem, rng in some_problems(200, frozenset({"input_dilation"})):
        oracle, options = problem.oracle, dict(problem.options)
        options.pop("input_dilation", None)
        x, w = integers(rng, problem.input_shape), integers(rng, problem.kernel_shape)
        axis_of = dict(zip(oracle.space, oracle.axes, strict=True))
        shape = [axis_of[s].stretched if s in axis_of else oracle.x[s] for s in oracle.layout]
        step = [axis_of[s].input_dilation if s in axis_of else 1 for s in oracle.layout]
        stuffed: Array = np.zeros(shape, dtype=object)
        stuffed[tuple(slice(None, None, d) for d in step)] = x
        y = conv(stuffed, w, **options)
        np.testing.assert_array_equal(oracle.forward(x, w), y, repr(problem))


def test_groups_are_convolutions_side_by_side() -> None:
    rng = random.Random(0)
    x, w = integers(rng, (4, 6, 5)), integers(rng, (4, 3, 2))
    halves = [conv(x[:, :3], w[:2]), conv(x[:, 3:], w[2:])]
    assert conv(x, w, groups=2).tolist() == np.concatenate(halves, 1).tolist()


def test_batch_groups_take_a_part_of_the_batch_each() -> None:
    rng = random.Random(0)
    x, w = integers(rng, (4, 3, 5)), integers(rng, (4, 3, 2))
    halves = [conv(x[:2], w[:2]), conv(x[2:], w[2:])]
    assert conv(x, w, batch_groups=2).tolist() == np.concatenate(halves, 1).tolist()


def test_layouts_only_move_axes() -> None:
    rng = random.Random(0)
    x, w = integers(rng, (2, 4, 5, 6)), integers(rng, (6, 2, 2, 3))
    options: dict[str, Any] = {
        "groups": 2,
        "stride": (2, 1),
        "padding": [(1, 0), (0, 2)],
    }
    y = conv(x, w, **options)
    layouts = {"layout": "HNWC", "kernel_layout": "WOHI"}
    moved = conv(x.transpose(2, 0, 3, 1), w.transpose(3, 0, 2, 1), **options, **layouts)
    assert moved.tolist() == y.transpose(2, 0, 3, 1).tolist()
    # Options per axis follow the layout's order.
    layouts = {"layout": "NCWH", "kernel_layout": "OIWH"}
    turned = {**options, "stride": (1, 2), "padding": [(0, 2), (1, 0)]}
    moved = conv(x.swapaxes(2, 3), w.swapaxes(2, 3), **turned, **layouts)
    assert moved.tolist() == y.swapaxes(2, 3).tolist()


# --- exact identities -------------------------------------------------------------------------


def test_gradients_are_adjoints_over_all_options() -> None:
    seen: set[str] = set()
    for problem, rng in some_problems(400):
        oracle = problem.oracle
        seen |= problem.options.keys()
        x, w = integers(rng, problem.input_shape), integers(rng, problem.kernel_shape)
        dy = integers(rng, problem.output_shape)
        product_of_y = inner(oracle.forward(x, w), dy)
        assert product_of_y == inner(x, oracle.input_grad(dy, w)), problem
        assert product_of_y == inner(w, oracle.kernel_grad(dy, x)), problem
        bias = integers(rng, (problem.out_channels,))
        with_bias = inner(oracle.forward(x, w, bias), dy)
        assert with_bias == product_of_y + inner(bias, oracle.bias_grad(dy)), problem
    assert seen == {
        *("stride", "padding", "dilation", "input_dilation", "groups", "batch_groups"),
        *("padding_mode", "layout", "kernel_layout"),
    }


def test_conv_transpose_has_the_stated_size_and_is_the_adjoint() -> None:
    rng = random.Random(0)
    pads = [(0, 0), (1, 0), (1, 2), (-1, 1)]
    for L, k, s, d, (low, high) in product((1, 3), (1, 2, 3), (1, 2), (1, 3), pads):
        for more in range(max(s, d)):
            size = (L - 1) * s - low - high + d * (k - 1) + 1 + more
            if size < 1:
                continue
            options: dict[str, Any] = {
                "stride": s,
                "dilation": d,
                "padding": [(low, high)],
            }
            y, w = integers(rng, (2, 4, L)), integers(rng, (4, 3, k))
            x = conv_transpose(y, w, **options, output_padding=more, groups=2)
            assert x.shape == (2, 6, size)
            z = integers(rng, x.shape)
            options["padding"] = [(low, high - more)]
            assert inner(conv(z, w, **options, groups=2), y) == inner(z, x)


def test_conv_transpose_letters() -> None:
    rng = random.Random(0)
    x, w = integers(rng, (2, 4, 3, 2)), integers(rng, (4, 3, 2, 2))
    y = conv_transpose(x, w, groups=2, stride=2)
    layouts = {"layout": "NHWC", "kernel_layout": "HWIO"}
    moved = conv_transpose(
        x.transpose(0, 2, 3, 1), w.transpose(2, 3, 0, 1), groups=2, stride=2, **layouts
    )
    assert moved.tolist() == y.transpose(0, 2, 3, 1).tolist()
    assert transposed((2, 4, 3, 2), (4, 3, 2, 2), groups=2).output_shape == x.shape


# --- what error bounds stand on ---------------------------------------------------------------


def test_exact_sums_are_rounded_once() -> None:
    x, w = line(1e16, 1, -1e16), line(1, 1, 1)
    problem = Conv(x.shape, w.shape)
    assert conv(x, w).item() == 0.0  # as floats add
    assert problem.forward(x, w, exact=True).item() == 1.0
    assert problem.forward(x, w, [0.25], exact=True).item() == 1.25
    assert problem.bias_grad(line(1.5), exact=True).item() == 1.5
    tenth = np.array([[[Fraction(1, 10)]]], dtype=object)
    assert conv(tenth, tenth).item() == Fraction(1, 100)


def test_terms_are_all_products() -> None:
    plain = NAMED["plain"].oracle
    assert len(plain.terms) == len(set(plain.terms)) == (2 * 4 * 4 * 4) * (3 * 3 * 2)
    assert plain.terms_per_element("forward") == 3 * 3 * 2
    assert plain.terms_per_element("input_grad") == 4 * 3 * 2
    assert plain.terms_per_element("kernel_grad") == 2 * 4 * 4
    assert NAMED["empty_batch"].oracle.terms == []
    assert NAMED["empty_batch"].oracle.terms_per_element("kernel_grad") == 0


def test_a_kernel_beyond_the_padded_input_is_no_problem_at_all() -> None:
    assert Axis(3, 2, dilation=3, low=1).out == 1
    with pytest.raises(ValueError, match="does not fit"):
        _ = Axis(3, 2, dilation=3).out
