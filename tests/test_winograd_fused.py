"""Winograd compiled: every way a picture may fall into tiles, panels, blocks and slices."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest

import npconv
from checks import check_problem, check_specials, check_tiled, serves
from errors_seen import DATA, largest_error
from npconv import trust
from npconv.compiled import why_missing, winograd, winograd_gradient, winograd_steps
from npconv.problem import ConvProblem, Direction
from npconv.scratch import Scratch
from oracle import Array
from problems import windows_of_three, windows_on_lattices
from tolerance import unit_roundoff
from winograd_runs import ALGORITHM, operands, prepared_run

pytestmark = pytest.mark.skipif(why_missing() is not None, reason="without Numba")
FORCED: dict[str, Any] = {"algorithm": "winograd_fused"}
DIRECTIONS = [direction.value for direction in Direction]


def call(direction: str, data: Sequence[Array], **options: Any) -> Array:
    x, w, dy = data
    if direction == "forward":
        return npconv.conv(x, w, **options)
    if direction == "input_grad":
        return npconv.conv_input_grad(dy, w, x.shape, **options)
    return npconv.conv_kernel_grad(dy, x, w.shape, **options)


def assert_near(direction: str, data: tuple[Array, Array, Array], **options: Any) -> None:
    """Within the stated bound, against sums in float64."""
    exact = call(direction, [a.astype("f8") for a in data], **options)
    held = call(direction, [abs(a.astype("f8")) for a in data], **options).max(initial=0)
    plan = npconv.plan_conv(data[0].shape, data[1].shape, direction=direction, **options, **FORCED)
    error = abs(call(direction, data, **options, **FORCED) - exact).max(initial=0)
    assert error <= plan.error_growth * unit_roundoff(np.float32) * held


# ---- results ---------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", range(4))
def test_random_problems(chunk: int) -> None:
    for seed in range(chunk * 20, chunk * 20 + 20):
        problem = windows_of_three(seed)
        assert serves(problem, "winograd_fused"), problem
        check_problem(problem, seed, ["winograd_fused"])
        check_specials(problem, seed, ["winograd_fused"])
        if seed % 4 == 0:
            check_tiled(problem, seed, ["winograd_fused"])


@pytest.mark.parametrize("chunk", range(4))
def test_random_strides_dilations_and_holes(chunk: int) -> None:
    served = 0
    for seed in range(chunk * 20, chunk * 20 + 20):
        problem = windows_on_lattices(seed)
        if serves(problem, "winograd_fused"):
            served += 1
            check_problem(problem, seed, ["winograd_fused"])
            check_specials(problem, seed, ["winograd_fused"])
            if seed % 4 == 0:
                check_tiled(problem, seed, ["winograd_fused"])
    assert served >= 12


# Channels beyond a vector, tiles beyond a panel, and phases that are not alike.
LATTICES: list[tuple[Any, Any, dict[str, Any]]] = [
    ((2, 17, 31, 70), (33, 17, 3, 3), {"padding": 1, "stride": 2}),
    ((3, 9, 12, 15), (20, 9, 4, 4), {"padding": 2, "input_dilation": 2}),
    ((1, 20, 30, 31), (9, 20, 3, 3), {"padding": 2, "dilation": 2}),
    ((2, 10, 20, 21), (12, 5, 5, 5), {"padding": (1, 2), "stride": 2, "groups": 2}),
    ((2, 6, 300), (40, 6, 3), {"padding": 3, "dilation": 3, "stride": 2}),
    ((2, 6, 4, 9, 20), (7, 6, 1, 3, 3), {"padding": (0, 1, 1), "stride": (1, 2, 2)}),
    ((2, 5, 6, 9, 11), (7, 5, 3, 3, 3), {"padding": 1}),
    ((1, 5, 6, 9, 11), (7, 5, 2, 3, 1), {"padding": (1, 1, 0), "stride": (1, 2, 1)}),
    ((2, 9, 20, 21), (10, 9, 5, 6), {"padding": (2, 3)}),
    ((2, 9, 400), (10, 9, 23), {"padding": 11}),
]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("x", "w", "options"), LATTICES)
def test_strided_dilated_and_transposed(
    x: Any, w: Any, options: dict[str, Any], direction: str
) -> None:
    data = operands(x, w, **options)
    assert_near(direction, data, **options)
    strided = [np.repeat(a, 2, axis=-1)[..., ::2] for a in data]
    wanted = call(direction, data, **options, **FORCED)
    np.testing.assert_array_equal(call(direction, strided, **options, **FORCED), wanted)
    for threads in (1, 2, 3):
        with npconv.settings(threads=threads):
            got = call(direction, data, **options, **FORCED)
        np.testing.assert_array_equal(got, wanted)
    if direction != "kernel_grad":
        plan = npconv.plan_conv(x, w, direction=direction, **options, **FORCED)
        first = data[0] if direction == "forward" else data[2]
        np.testing.assert_array_equal(plan(first, plan.pack(data[1])), wanted)
        alone = call(direction, (data[0][-1:], data[1], data[2][-1:]), **options, **FORCED)
        np.testing.assert_array_equal(alone[0], wanted[-1])


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_every_size_pad_and_crop(direction: str) -> None:
    for size, low, high in product((3, 4, 5, 6, 9, 14), (-1, 0, 1, 3), (-1, 0, 2)):
        if size + low + high >= 3:
            options: dict[str, Any] = {"padding": [(low, high), (high, low)]}
            data = operands((1, 3, size, size), (5, 3, 3, 3), **options)
            assert_near(direction, data, **options)


# Channels around whole vectors and blocks of them, tiles around whole panels, bands and rows.
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("x", "w", "groups"),
    [
        ((1, 1, 30, 70), (1, 1, 3, 3), 1),
        ((2, 17, 23, 11), (33, 17, 3, 3), 1),
        ((1, 16, 9, 68), (81, 16, 3, 3), 1),
        ((3, 34, 8, 8), (48, 17, 3, 3), 2),
        ((5, 20, 7, 7), (20, 1, 3, 3), 20),
        ((2, 40, 130), (24, 40, 3), 1),
        ((1, 9, 5, 4, 21), (7, 9, 3, 1, 3), 1),
    ],
)
def test_ragged_counts(x: Any, w: Any, groups: int, direction: str) -> None:
    options: dict[str, Any] = {"padding": [(1, 1)] * (len(x) - 2), "groups": groups}
    assert_near(direction, operands(x, w, **options), **options)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_arrays_that_do_not_lie_in_one_piece(direction: str) -> None:
    x, w, dy = operands((2, 6, 12, 15), (4, 6, 3, 3), padding=1)
    wanted = call(direction, (x, w, dy), padding=1, **FORCED)
    strided = [np.repeat(a, 2, axis=-1)[..., ::2] for a in (x, w, dy)]
    got = call(direction, strided, padding=1, **FORCED)
    np.testing.assert_array_equal(got, wanted)
    turned = [np.ascontiguousarray(a.swapaxes(0, 1)).swapaxes(0, 1) for a in (x, w, dy)]
    np.testing.assert_array_equal(call(direction, turned, padding=1, **FORCED), wanted)


def test_copies_are_exact_where_the_matrices_are() -> None:
    # With two outputs at a time only halves occur: small integers come out exactly.
    x = np.arange(16.0, dtype="f4").reshape(1, 1, 4, 4)
    w = 4 * np.arange(9.0, dtype="f4").reshape(1, 1, 3, 3)
    np.testing.assert_array_equal(npconv.conv(x, w, **FORCED), npconv.conv(x, w))


# ---- how it is cut makes no difference ------------------------------------------------------


@pytest.mark.parametrize("direction", list(Direction))
def test_bits_depend_on_no_threads_panels_blocks_or_company(
    direction: Direction, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = operands((3, 20, 21, 22), (70, 20, 3, 3), padding=1)
    problem = ConvProblem.of(data[0].shape, data[1].shape, padding=1)
    wanted, flags = prepared_run(problem, direction, data, 1, packed=True)
    assert not flags.any()
    for threads, packed in product((1, 2, 3), (True, False)):
        got, _ = prepared_run(problem, direction, data, threads, packed=packed)
        np.testing.assert_array_equal(got, wanted)
    if direction is not Direction.KERNEL_GRAD:
        one = tuple(a[1:2] if a.shape[0] == 3 else a for a in data)
        alone, _ = prepared_run(problem.one_image, direction, one, 2, packed=True)
        np.testing.assert_array_equal(alone[0], wanted[1])
    caches = winograd.tiling, winograd_steps.prepare_forward, winograd_gradient.prepare_gradient
    monkeypatch.setattr(winograd, "PANEL_BYTES", 1)
    monkeypatch.setattr(winograd_gradient, "ROWS", 5)
    for name in ("U_BYTES", "PIECE_BYTES", "MANY_U_BYTES"):
        monkeypatch.setattr(winograd_steps, name, 1)
    try:
        for cached in caches:
            cached.cache_clear()
        for threads in (1, 2):
            got, _ = prepared_run(problem, direction, data, threads, packed=False)
            np.testing.assert_array_equal(got, wanted)
    finally:
        for cached in caches:
            cached.cache_clear()


@pytest.mark.parametrize("direction", [Direction.FORWARD, Direction.INPUT_GRAD])
def test_a_thread_transforms_blocks_of_large_kernels_for_itself(
    direction: Direction, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = operands((2, 140, 9, 7), (134, 70, 3, 3), padding=1, groups=2)
    problem = ConvProblem.of(data[0].shape, data[1].shape, padding=1, groups=2)
    wanted, _ = prepared_run(problem, direction, data, 1, packed=True)
    monkeypatch.setattr(winograd_steps, "U_BYTES", 1)
    monkeypatch.setattr(winograd_steps, "PIECE_BYTES", 1)
    try:
        winograd_steps.prepare_forward.cache_clear()
        for threads in (1, 2, 3):
            got, flags = prepared_run(problem, direction, data, threads, packed=False)
            np.testing.assert_array_equal(got, wanted)
            assert not flags.any()
    finally:
        winograd_steps.prepare_forward.cache_clear()


@pytest.mark.parametrize("direction", ["forward", "input_grad"])  # the two that take a kernel
def test_a_call_for_itself_and_a_packed_kernel_give_the_same_bits(direction: str) -> None:
    x, w, dy = operands((2, 5, 9, 10), (6, 5, 3, 3), padding=1)
    plan = npconv.plan_conv(x.shape, w.shape, padding=1, direction=direction, **FORCED)
    first = x if direction == "forward" else dy
    np.testing.assert_array_equal(plan(first, plan.pack(w)), plan(first, w))


# ---- bounds and trust ------------------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"dilation": 2}, {"input_dilation": 2}])
def test_the_bound_holds_on_all_kinds_of_data(options: dict[str, Any], direction: str) -> None:
    x, w = (1, 20, 14, 14), (8, 20, 3, 3)
    options = {"padding": 1, "algorithm": "winograd_fused", **options}
    plan = npconv.plan_conv(x, w, direction=direction, **options)
    for kind in DATA:
        seen = largest_error(direction, x, w, kind, 4, **options)
        assert seen <= plan.error_growth, kind


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_errors_are_a_small_share_of_the_largest_output(direction: str) -> None:
    data = operands((1, 64, 28, 28), (64, 64, 3, 3), padding=1)
    exact = call(direction, [a.astype("f8") for a in data], padding=1)
    error = abs(call(direction, data, padding=1, **FORCED) - exact).max()
    assert error <= 5e-5 * abs(exact).max()


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize(
    "options", [{}, {"stride": 2}, {"dilation": 2}, {"input_dilation": 2, "padding": 2}]
)
def test_ordinary_and_rectified_data_are_trusted_without_a_closer_look(
    options: dict[str, Any], direction: Direction
) -> None:
    options = {"padding": 1, **options}
    problem = ConvProblem.of((2, 32, 20, 20), (48, 32, 3, 3), **options)
    x, w, dy = operands((2, 32, 20, 20), (48, 32, 3, 3), **options)
    for data in ((x, w, dy), (np.maximum(x, 0), w, np.maximum(dy, 0))):
        for threads, packed in product((1, 2), (True, False)):
            _, flags = prepared_run(problem, direction, data, threads, packed=packed)
            assert not flags.any()


@pytest.mark.parametrize("direction", ["forward", "input_grad"])
@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"dilation": 2}, {"dilation": 3}])
def test_a_heavy_pixel_that_meets_only_zeros_harms_no_result_on_any_lattice(
    options: dict[str, Any], direction: str
) -> None:
    options = {"padding": 1, **options}
    shape, kernel = (1, 2, 13, 14), (3, 2, 3, 3)
    problem, flagged = ConvProblem.of(shape, kernel, **options), 0
    x, w, dy = operands(shape, kernel, **options)
    growth = npconv.plan_conv(shape, kernel, direction=direction, **options, **FORCED).error_growth
    operand = x if direction == "forward" else dy
    for place in product(range(operand.shape[2]), range(operand.shape[3])):
        alone = np.zeros_like(operand)
        alone[:, :, *place] = 1
        met = np.zeros((3, 3), bool)
        for tap in np.ndindex(3, 3):
            one = np.zeros_like(w)
            one[:, :, *tap] = 1
            met[tap] = _sees(direction, alone, one, shape, options)
        data = [x.copy(), w * ~met, dy.copy()]
        data[0 if direction == "forward" else 2][:, :, *place] = 1e8
        got, flags = prepared_run(problem, Direction(direction), data, 1, packed=True)
        flagged += int(flags[0])
        if not flags[0]:
            exact = call(direction, [a.astype("f8") for a in data], **options)
            held = call(direction, [abs(a.astype("f8")) for a in data], **options).max()
            assert abs(got.reshape(exact.shape) - exact).max() <= growth * 2.0**-24 * held, place
    assert flagged > 0


def _sees(direction: str, alone: Array, tap: Array, shape: Any, options: dict[str, Any]) -> bool:
    """Whether a result holds a product of the one element that is not zero with a tap."""
    if direction == "forward":
        return bool(npconv.conv(alone, tap, **options).any())
    return bool(npconv.conv_input_grad(alone, tap, shape, **options).any())


@pytest.mark.parametrize("direction", list(Direction))
def test_what_strays_or_is_not_finite_is_flagged_where_it_is(direction: Direction) -> None:
    problem = ConvProblem.of((3, 2, 12, 12), (2, 2, 3, 3), padding=1)
    for heavy, place in ((np.nan, 5), (np.inf, 11), (1e8, 0)):
        x, w, dy = operands((3, 2, 12, 12), (2, 2, 3, 3), padding=1)
        x[1, :, place] = dy[1, :, place] = heavy
        if np.isfinite(heavy):  # row 0 meets only what the kernel has not
            w[:, :, :2] = 0
            w = w[:, :, ::-1] if direction is Direction.INPUT_GRAD else w
            dy = np.roll(dy, 4, 2) if direction is Direction.KERNEL_GRAD else dy
        _, flags = prepared_run(problem, direction, (x, w, dy), 1, packed=True)
        wanted = [1, 0, 0] if direction is Direction.KERNEL_GRAD else [0, 1, 0]
        assert flags.tolist() == wanted, (heavy, place)


def test_only_images_in_doubt_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []

    def look(*arguments: Any) -> bool:
        looked.append(arguments)
        return trusts(*arguments)

    trusts = trust.trusts_image
    monkeypatch.setattr(trust, "trusts_image", look)
    x, w, _ = operands((4, 16, 12, 12), (16, 16, 3, 3), padding=1)
    x[2, 0, 3, 3] = np.nan
    y = npconv.conv(x, w, padding=1, **FORCED)
    assert len(looked) == 1
    np.testing.assert_array_equal(np.isnan(y), np.isnan(npconv.conv(x, w, padding=1)))


# ---- counts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("x", "w"),
    [
        ((1, 64, 112, 112), (64, 64, 3, 3)),
        ((2, 256, 14, 14), (256, 256, 3, 3)),
        ((1, 3, 60, 60), (8, 3, 3, 3)),
    ],
)
def test_workspace_is_a_bound(x: Any, w: Any, direction: str) -> None:
    data = operands(x, w, padding=1)
    plan = npconv.plan_conv(x, w, padding=1, direction=direction, **FORCED)
    pairs = {"forward": data[:2], "input_grad": data[:0:-1], "kernel_grad": (data[2], data[0])}
    out = plan(*pairs[direction])
    tracemalloc.start()
    try:
        plan(*pairs[direction])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= plan.workspace_bytes + out.nbytes + 50_000


def test_scratch_stays_small_whatever_the_image() -> None:
    for x, w in (
        ((1, 64, 224, 224), (64, 64, 3, 3)),
        ((1, 256, 56, 56), (256, 256, 3, 3)),
        ((1, 512, 14, 14), (512, 512, 3, 3)),
        ((1, 512, 7, 7), (512, 512, 3, 3)),
        ((32, 32, 32, 32), (64, 32, 3, 3)),
    ):
        problem = ConvProblem.of(x, w, padding=1)
        lies = tuple(np.cumprod((1, *x[:0:-1]))[::-1].tolist())
        strides = (lies[0], lies[0], *lies[1:])
        kernel = (problem.G, problem.K, problem.C, *problem.kernel)
        last = tuple(int(np.prod(kernel[i + 1 :])) for i in range(len(kernel)))
        for direction in Direction:
            # Of a kernel as it came the shape has three numbers.
            of = last if direction is Direction.KERNEL_GRAD else kernel[:3]
            made = ALGORITHM.prepare(problem, direction, np.dtype("f4"), (strides, strides, of), 2)
            assert made is not None
            assert made.scratch < 8 * 2**20, (x, direction)


def test_what_it_refuses_and_says_so() -> None:
    x, w = np.ones((1, 1, 8, 8)), np.ones((1, 1, 3, 3))
    with pytest.raises(npconv.UnsupportedError, match="float32 and float64, not complex64"):
        npconv.conv(x.astype("c8"), w.astype("c8"), **FORCED)
    with pytest.raises(npconv.UnsupportedError, match="49 plain convolutions or more"):
        npconv.conv(np.ones((1, 1, 32, 32)), w, dilation=7, **FORCED)
    with pytest.raises(npconv.UnsupportedError, match="121 plain convolutions or more"):
        npconv.conv(np.ones((1, 1, 32, 32)), np.ones((1, 1, 31, 31)), **FORCED)
    with pytest.raises(npconv.UnsupportedError, match="kernel would be cut into 9"):
        npconv.conv(np.ones((1, 1, 32, 32)), np.ones((1, 1, 7, 7)), **FORCED)
    with pytest.raises(npconv.UnsupportedError, match="no two kernel elements work together"):
        npconv.conv(x, np.ones((1, 1, 2, 2)), stride=2, **FORCED)
    with pytest.raises(npconv.UnsupportedError, match="see no kernel element"):
        npconv.conv(x, np.ones((1, 1, 1, 3)), input_dilation=2, **FORCED)
    with pytest.raises(npconv.UnsupportedError, match="some have no window"):
        npconv.conv(np.ones((1, 1, 8, 4, 8)), np.ones((1, 1, 3, 1, 3)), stride=(2, 1, 1), **FORCED)


def test_scratch_lends_flags_to_an_algorithm() -> None:
    assert Scratch().flags is None
    assert Scratch().threads == 1
