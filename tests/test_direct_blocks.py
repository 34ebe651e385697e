"""The shapes that direct summation's blocks take: all heights, all distances of outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import npconv
from npconv.compiled import direct_gradient, why_missing
from npconv.compiled.direct import bands_of, blocks_of, layout, together
from npconv.compiled.direct_kernel import _runs
from npconv.compiled.direct_packing import packs_as_it_reads
from npconv.compiled.direct_phases import share_seen
from npconv.compiled.direct_words import reads_in_place
from npconv.compiled.kernels.words import DEPTH
from npconv.compiled.phases import phases
from npconv.compiled.registers import accumulators, sum_bytes
from npconv.problem import ConvProblem

pytestmark = pytest.mark.skipif(bool(why_missing()), reason="the compiled engine is not there")


@pytest.mark.parametrize("K", range(1, 20))
def test_blocks_of_every_height(K: int) -> None:
    blocks = blocks_of(K, 16, "shifted")
    assert [start for start, _ in blocks] == np.cumsum([0, *(h for _, h in blocks)])[:-1].tolist()
    assert sum(height for _, height in blocks) == K
    most = 8 if accumulators() >= 24 else 4  # rows of a block, by the machine's registers
    assert len(blocks) <= -(-K // most) + 1
    rng = np.random.default_rng(K)
    x, w = rng.integers(-3, 4, (1, 3, 9, 70)), rng.integers(-3, 4, (K, 3, 3, 3))
    for dtype in ("float32", "float64", "float16"):
        pair = x.astype(dtype), w.astype(dtype)
        found = npconv.conv(*pair, padding=1, algorithm="direct")
        np.testing.assert_array_equal(found, npconv.conv(x, w, padding=1))


@pytest.mark.parametrize("channels", [5, 40])
@pytest.mark.parametrize("stride", range(1, 7))
def test_outputs_that_lie_apart(stride: int, channels: int) -> None:
    """The input's gradient of a stride is written with gaps, which other phases fill."""
    rng = np.random.default_rng(stride)
    for kernel in (1, 3, 4):
        options: dict[str, Any] = {"stride": stride, "padding": kernel // 2}
        w, x = (6, channels, kernel, kernel), (2, channels, 23, 41)
        dy = rng.integers(-3, 4, npconv.conv_output_shape(x, w, **options))
        weights = rng.integers(-3, 4, w)
        exact = npconv.conv_input_grad(dy, weights, x, **options)
        for dtype in ("float32", "float64", "float16"):
            pair = dy.astype(dtype), weights.astype(dtype)
            for threads in (1, 3):
                with npconv.settings(threads=threads):
                    found = npconv.conv_input_grad(*pair, x, algorithm="direct", **options)
                np.testing.assert_array_equal(found, exact)


def test_phases_between_each_other_are_one_part() -> None:
    problem = ConvProblem.of((1, 4, 32, 32), (4, 4, 3, 3), stride=2, padding=1).turned
    pieces = layout(problem, 4).pieces
    assert together(pieces) == [2, 0, 2, 0]
    assert bands_of(pieces) * 2 == sum(piece.number for piece in pieces)
    single = layout(ConvProblem.of((1, 4, 32, 32), (4, 4, 3, 3)), 4).pieces
    assert together(single) == [1]


def test_runs_of_places() -> None:
    assert _runs(np.arange(12), [12, 4]) == (12, 1)
    assert _runs(np.array([3, 2, 1, 0, 13, 12, 11, 10]), [8, 4]) == (4, -1)
    assert _runs(np.array([0, 7, 9, 20]), [4, 4]) == (1, 1)
    assert _runs(np.zeros(0, np.int64), [0, 0]) == (1, 1)
    assert _runs(np.array([5]), [1, 1]) == (1, 1)


def test_an_element_that_meets_padding_alone_is_a_term() -> None:
    """Beside holes it is in no phase's packed kernel; but Inf * 0 is NaN."""
    x, w = np.ones((1, 1, 1, 1), np.float32), np.ones((1, 1, 1, 3), np.float32)
    w[..., 0] = np.inf
    options: dict[str, Any] = {"padding": [(0, 0), (1, 1)], "input_dilation": (1, 2)}
    right = npconv.conv(x, w, algorithm="naive", **options)
    assert np.isnan(right).any()
    np.testing.assert_array_equal(npconv.conv(x, w, algorithm="direct", **options), right)


def test_winograd_takes_no_holes_even_where_there_are_none() -> None:
    shapes: Any = (1, 2, 1, 4), (4, 2, 3, 3)
    with pytest.raises(npconv.UnsupportedError, match="input_dilation 1"):
        npconv.plan_conv(*shapes, algorithm="winograd", padding=2, input_dilation=(2, 1))


ONCE: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "1x1": ((1, 300, 7, 7), (320, 300, 1, 1), {}),
    "3x3": ((1, 40, 7, 7), (70, 40, 3, 3), {"padding": 1}),
    "valid": ((1, 33, 7, 6), (65, 33, 3, 2), {}),
    "groups": ((1, 60, 6, 6), (128, 30, 3, 3), {"padding": 2, "groups": 2, "dilation": 2}),
    "stride": ((1, 40, 13, 13), (80, 40, 3, 3), {"padding": 1, "stride": 3}),
    "1-D": ((1, 70, 18), (66, 70, 5), {"padding": 2}),
    "3-D": ((1, 20, 3, 4, 4), (66, 20, 3, 2, 2), {}),
}
# But these in several phases, or plane by plane.
OFTEN = {("stride", "input_grad"), ("3-D", "input_grad")}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64"])
@pytest.mark.parametrize("direction", ["forward", "input_grad"])
@pytest.mark.parametrize("name", ONCE)
def test_a_kernel_that_is_read_once_is_packed_on_the_way(
    name: str, direction: str, dtype: str
) -> None:
    x, w, options = ONCE[name]
    first = x if direction == "forward" else npconv.conv_output_shape(x, w, **options)
    rng = np.random.default_rng(0)
    a, kernel = (rng.integers(-3, 4, shape).astype(dtype) for shape in (first, w))
    expected = npconv.plan_conv(
        x, w, direction=direction, dtype=dtype, algorithm="im2col", **options
    )(a, kernel)
    whole = 0
    for threads in (1, 2, 3):
        with npconv.settings(threads=threads, engine="compiled"):
            plan = npconv.plan_conv(
                x, w, direction=direction, dtype=dtype, algorithm="direct", **options
            )
            for lies in (kernel, np.asfortranarray(kernel), kernel[::-1][::-1]):
                np.testing.assert_array_equal(plan(a, lies), expected)
            np.testing.assert_array_equal(plan(a, plan.pack(kernel)), expected)
        problem = plan.choice.problem
        posed = problem.turned if direction == "input_grad" else problem
        whole += packs_as_it_reads(posed, sum_bytes(dtype))
    assert whole == 3 * ((name, direction) not in OFTEN)


@pytest.mark.parametrize("name", ["1x1", "3x3", "stride"])
@pytest.mark.parametrize("number", [np.inf, np.nan])
def test_such_a_kernel_need_not_be_finite(name: str, number: float) -> None:
    x, w, options = ONCE[name]
    rng = np.random.default_rng(1)
    kernel = rng.standard_normal(w)
    kernel[3, 2, 0, 0] = number
    dy = rng.standard_normal(npconv.conv_output_shape(x, w, **options))
    for a, direction in ((dy, "input_grad"), (rng.standard_normal(x), "forward")):
        told: dict[str, Any] = {"direction": direction, **options}
        expected = npconv.plan_conv(x, w, algorithm="im2col", dtype="f8", **told)(a, kernel)
        plan = npconv.plan_conv(x, w, algorithm="direct", dtype="f8", **told)
        for found in (plan(a, kernel), plan(a, plan.pack(kernel))):
            np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
            np.testing.assert_array_equal(np.isinf(found), np.isinf(expected))
            known = np.isfinite(expected)
            np.testing.assert_allclose(found[known], expected[known], rtol=1e-9, atol=1e-11)


ZONES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "dilated": ((1, 6, 32, 32), (20, 6, 3, 3), {"padding": 12, "dilation": 12}),
    "far": ((2, 3, 40, 8), (5, 3, 5, 1), {"padding": (16, 0), "dilation": (9, 1)}),
    "only padding": ((1, 3, 8, 40), (5, 3, 1, 3), {"padding": (0, 50), "dilation": (1, 30)}),
    "planes": ((1, 3, 6, 40, 40), (18, 3, 3, 5, 5), {"padding": (1, 2, 2)}),
    "stride": ((1, 4, 257, 256), (16, 4, 5, 3), {"padding": 40, "dilation": (20, 36), "stride": 2}),
    "rows": ((2, 5, 10, 14), (6, 5, 5, 5), {"padding": 4}),
    "few rows": ((2, 4, 3, 9), (7, 4, 5, 3), {"padding": (5, 1), "stride": (2, 1)}),
    "groups": ((2, 8, 6400), (12, 4, 7), {"padding": 2400, "dilation": 800, "groups": 2}),
}


@pytest.mark.parametrize("dtype", ["float32", "int64"])
@pytest.mark.parametrize("name", ZONES)
def test_elements_that_meet_padding_are_left_out(name: str, dtype: str) -> None:
    x, w, options = ZONES[name]
    y = npconv.conv_output_shape(x, w, **options)
    problem = ConvProblem.of(x, w, **options)
    rng = np.random.default_rng(0)
    skips = []
    for direction, first in (("forward", x), ("input_grad", y)):
        a, kernel = (rng.integers(-3, 4, shape).astype(dtype) for shape in (first, w))
        told: dict[str, Any] = {"direction": direction, "dtype": dtype, **options}
        expected = npconv.plan_conv(x, w, algorithm="im2col", **told)(a, kernel)
        for threads in (1, 3):
            with npconv.settings(threads=threads):
                plan = npconv.plan_conv(x, w, algorithm="direct", **told)
                np.testing.assert_array_equal(plan(a, kernel), expected)
                np.testing.assert_array_equal(plan(a, plan.pack(kernel)), expected)
        posed = problem if direction == "forward" else problem.turned
        how = layout(posed, sum_bytes(dtype))
        skips.append(how.skips or how.trims)
        if how.trims:
            assert sum(share_seen(posed, piece.phase) for piece in how.pieces) < len(how.pieces)
        taps = [piece.phase.outputs * len(piece.phase.taps) for piece in how.pieces]
        if how.skips:  # and so fewer products are formed
            assert sum(taps) < posed.pixels * posed.taps
    assert any(skips)


@pytest.mark.parametrize("name", ["dilated", "only padding", "planes", "rows"])
def test_unless_they_are_not_finite(name: str) -> None:
    x, w, options = ZONES[name]
    rng = np.random.default_rng(0)
    a, kernel = rng.standard_normal(x), rng.standard_normal(w)
    for number in (np.inf, np.nan):
        kernel.flat[2] = number
        expected = npconv.conv(a, kernel, algorithm="im2col", **options)
        plan = npconv.plan_conv(x, w, algorithm="direct", dtype="f8", **options)
        for found in (plan(a, kernel), plan(a, plan.pack(kernel))):
            np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
            known = np.isfinite(expected)
            np.testing.assert_allclose(found[known], expected[known], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_a_kernels_gradient_gathers_once_for_several_blocks(dtype: str) -> None:
    options: dict[str, Any] = {"padding": 1, "stride": 2}
    x, w = (2, 7, 19, 23), (203, 7, 3, 3)
    assert direct_gradient.layout(ConvProblem.of(x, w, **options), 4).blocks > 1
    rng = np.random.default_rng(0)
    shapes = npconv.conv_output_shape(x, w, **options), x
    dy, seen = (rng.integers(-3, 4, shape).astype(dtype) for shape in shapes)
    exact = npconv.conv_kernel_grad(dy, seen, w, algorithm="im2col", **options)
    for threads in (1, 3):
        with npconv.settings(threads=threads):
            found = npconv.conv_kernel_grad(dy, seen, w, algorithm="direct", **options)
        np.testing.assert_array_equal(found, exact)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("begin", [0, 1, 6])
def test_what_a_tile_reads_is_copied_together_wherever_it_begins(begin: int, dtype: str) -> None:
    x, w, rng = (2, 40, 1184), (70, 40, 1), np.random.default_rng(0)
    for direction, first in (("forward", x), ("input_grad", (2, 70, 1184))):
        problem = ConvProblem.of(x, w)
        posed = problem if direction == "forward" else problem.turned
        kernel = rng.integers(-3, 4, w).astype(dtype)
        a = rng.integers(-3, 4, (*first[:2], 1192)).astype(dtype)[:, :, begin : begin + 1184]
        told: dict[str, Any] = {"direction": direction, "dtype": dtype}
        expected = npconv.plan_conv(x, w, algorithm="im2col", **told)(a, kernel)
        for threads in (1, 3):
            how = layout(posed, sum_bytes(dtype), threads, as_it_lies=True)
            strides = tuple(stride // a.itemsize for stride in (a.strides[0], 0, *a.strides[1:]))
            assert how.packs_tiles
            assert all(reads_in_place(posed, how, p, strides, a.itemsize) for p in how.pieces)
            with npconv.settings(threads=threads):
                plan = npconv.plan_conv(x, w, algorithm="direct", **told)
                np.testing.assert_array_equal(plan(a, plan.pack(kernel)), expected)


def test_many_terms_are_read_where_they_lie() -> None:
    """A copy of them would take all of the first cache."""
    for C, copied in ((40, True), (85, True), (86, False), (300, False)):
        assert layout(ConvProblem.of((1, C, 1184), (64, C, 1)), 4).packs_tiles is copied
    assert not layout(ConvProblem.of((1, 40, 1184), (24, 40, 1)), 4).packs_tiles


def test_a_band_that_lies_sparsely_is_gathered() -> None:
    """Under a stride, lines of the image that many channels read would hold little of it."""
    rng = np.random.default_rng(0)
    for size, K, in_place in ((56, 520, False), (56, 48, True), (20, 520, True)):
        x, w = (1, 192, size, size), (K, 192, 1, 1)
        options: dict[str, Any] = {"stride": 3}
        problem = ConvProblem.of(x, w, **options)
        image, kernel = (rng.integers(-3, 4, shape).astype(np.float32) for shape in (x, w))
        strides = tuple(stride // 4 for stride in problem.view_input(image).strides)
        how = layout(problem, 4, 1, as_it_lies=True)
        assert how.mode == "broadcast"
        assert reads_in_place(problem, how, how.pieces[0], strides, 4) is in_place
        exact = npconv.conv(image, kernel, algorithm="im2col", **options)
        for threads in (1, 3):
            with npconv.settings(threads=threads):
                found = npconv.conv(image, kernel, algorithm="direct", **options)
            np.testing.assert_array_equal(found, exact)
    # The kernel's gradient reads a band once for each time that it would gather it.
    assert direct_gradient.layout(problem, 4).bands.reads == 1


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64"])
@pytest.mark.parametrize("layout", ["", "NHWC"])
def test_outputs_that_read_nothing_are_the_bias(layout: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    options: dict[str, Any] = {"input_dilation": (3, 2), "padding": (2, 1)}
    shape = (2, 5, 6, 21) if not layout else (2, 6, 21, 5)
    bias = np.array([*range(-7, 6), -0.0]).astype(dtype)
    x, w = (rng.integers(-3, 4, each).astype(dtype) for each in (shape, (14, 5, 1, 1)))
    options |= {"layout": layout} if layout else {}
    exact = npconv.conv(x, w, bias, algorithm="im2col", **options)
    for threads in (1, 3):
        with npconv.settings(threads=threads):
            found = npconv.conv(x, w, bias, algorithm="direct", **options)
        np.testing.assert_array_equal(found, exact)
        np.testing.assert_array_equal(np.signbit(found), np.signbit(exact))


def test_rows_that_read_nothing_are_not_cut_into_phases() -> None:
    problem = ConvProblem.of((1, 4, 9, 30), (6, 4, 1, 1), stride=(3, 2)).turned
    seen = [tuple(axis.apart for axis in each.axes[1:]) for each in phases(problem)]
    assert seen == [(3, 2), (3, 2), (3, 1), (3, 1)]
    assert sum(each.outputs for each in phases(problem)) == 9 * 30


@pytest.mark.parametrize("C", [62, 63, 64, 65, 130, 199])
def test_pieces_of_any_number_of_terms(C: int) -> None:
    """A product's steps go four at a time, and pieces are shorter where no line is read twice."""
    rng = np.random.default_rng(0)
    for size, most in ((1, DEPTH // 2), (3, DEPTH)):
        # No vector of three pixels is full, however long it is; and rows are a step apart.
        x, w = (2, C, 7, 3), (24, C, size, size)
        options: dict[str, Any] = {"padding": size // 2, "stride": (2, 1)}
        how = layout(ConvProblem.of(x, w, **options), 4)
        assert {how.a_piece(piece) for piece in how.pieces} == {most}
        assert how.mode == "broadcast"
        image, kernel = (rng.integers(-3, 4, shape).astype(np.float32) for shape in (x, w))
        expected = npconv.conv(image, kernel, algorithm="im2col", **options)
        plan = npconv.plan_conv(x, w, algorithm="direct", **options)
        for each in (kernel, plan.pack(kernel)):
            np.testing.assert_array_equal(plan(image, each), expected)
    wide = layout(ConvProblem.of((1, C, 64, 64), (64, C, 1, 1)), 4)
    assert wide.mode == "shifted"
    assert {wide.a_piece(piece) for piece in wide.pieces} == {DEPTH}


@pytest.mark.parametrize(("size", "most"), [(1, DEPTH // 2), (3, DEPTH)])
def test_sums_are_put_aside_after_a_piece(size: int, most: int) -> None:
    """Ones are lost beside 2**24, but not if they are added up before."""
    x, w = np.ones((1, 130, 7, 3), "float32"), np.ones((24, 130, size, size), "float32")
    w[:, 0, 0, 0] = 2**24
    options: dict[str, Any] = {"padding": size // 2, "stride": (2, 1)}
    plan = npconv.plan_conv(x.shape, w.shape, algorithm="direct", **options)
    for each in (w, plan.pack(w)):
        found = plan(x, each)[0, :, 1, 1]  # which sees no padding
        np.testing.assert_array_equal(found, 2**24 + 130 * size**2 - most)
