"""Winograd: matrices proved, bounds held, NaN where direct summation has it, memory counted."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest

import npconv
from checks import check_problem, check_specials, check_tiled, largest, serves
from errors_seen import DATA, largest_error
from npconv import tiled
from npconv.algorithms import REGISTRY, winograd_tiles
from npconv.algorithms.winograd_matrices import BY_TILE, F_4_3, Filtering, Matrix
from npconv.problem import ConvProblem, Direction
from oracle import Array
from problems import NAMED, windows_of_three
from tolerance import unit_roundoff

FORCED: dict[str, Any] = {"algorithm": "winograd"}
DIRECTIONS = [direction.value for direction in Direction]


# ---- the matrices --------------------------------------------------------------------------


def fractions(matrix: Matrix) -> list[list[Fraction]]:
    return [[Fraction(*ratio) for ratio in row] for row in matrix]


def prove(f: Filtering) -> None:
    """Output p of kernel element r and input a alone is 1 where a = p + r, else 0: exactly."""
    output, kernel, inputs = fractions(f.output), fractions(f.kernel), fractions(f.input)
    assert len(output) + len(kernel[0]) - 1 == len(kernel) == len(inputs) == f.t
    for p in range(f.m):
        for r in range(f.r):
            for a in range(f.t):
                y = sum(output[p][e] * kernel[e][r] * inputs[e][a] for e in range(f.t))
                assert y == (a == p + r), (p, r, a)


@pytest.mark.parametrize("t", BY_TILE)
def test_the_matrices_are_right_exactly(t: int) -> None:
    assert BY_TILE[t].t == t
    prove(BY_TILE[t])


@pytest.mark.parametrize("name", ["output", "kernel", "input"])
def test_any_wrong_number_in_a_matrix_is_caught(name: str) -> None:
    right: Matrix = getattr(F_4_3, name)
    for i, row in enumerate(right):
        for j, (above, below) in enumerate(row):
            wrong_row = (*row[:j], (above + below, below), *row[j + 1 :])
            wrong = F_4_3._replace(**{name: (*right[:i], wrong_row, *right[i + 1 :])})
            with pytest.raises(AssertionError):
                prove(wrong)


def test_a_wrong_matrix_is_caught_by_the_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [list(row) for row in F_4_3.input]
    rows[2][1] = (1001, 1000)
    wrong = F_4_3._replace(input=tuple(map(tuple, rows)))
    monkeypatch.setattr(winograd_tiles, "F_4_3", wrong)
    monkeypatch.setitem(BY_TILE, wrong.t, wrong)
    with pytest.raises(AssertionError):
        check_problem(NAMED["padded"], 0, ["winograd"])


# ---- the results ---------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", range(4))
def test_random_problems(chunk: int) -> None:
    for seed in range(chunk * 20, chunk * 20 + 20):
        problem = windows_of_three(seed)
        assert serves(problem, "winograd"), problem
        check_problem(problem, seed, ["winograd"])
        check_specials(problem, seed, ["winograd"])
        if seed % 4 == 0:
            check_tiled(problem, seed, ["winograd"])


@pytest.mark.parametrize(("size", "channels"), [(1, 1), (3000, 2), (10_000, 3)])
def test_small_chunks_and_blocks_of_channels(
    size: int, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winograd_tiles, "CHUNK_BYTES", size)
    monkeypatch.setattr(winograd_tiles, "CHANNELS_IN", channels)
    monkeypatch.setattr(winograd_tiles, "CHANNELS_OUT", channels + 1)
    for seed in range(100, 110):
        winograd_tiles._cut.cache_clear()
        check_problem(windows_of_three(seed), seed, ["winograd"])
    winograd_tiles._cut.cache_clear()


def test_which_named_problems_it_serves() -> None:
    served = {name for name, problem in NAMED.items() if serves(problem, "winograd")}
    assert served >= {"padded", "asymmetric", "depthwise", "empty_batch", "no_output_channels"}
    assert not served & {"strided", "dilated", "pointwise", "rank3", "rank4"}


def test_what_it_refuses_and_says_so() -> None:
    x, w = np.ones((1, 1, 8, 8)), np.ones((1, 1, 3, 3))
    for name in ("stride", "dilation", "input_dilation"):
        options: dict[str, Any] = {name: 2, **FORCED}
        with pytest.raises(npconv.UnsupportedError, match=f"{name} 1"):
            npconv.conv(x, w, **options)
    with pytest.raises(npconv.UnsupportedError, match=r"kernels of 3 .* \(5, 3\)"):
        npconv.conv(x, np.ones((1, 1, 5, 3)), **FORCED)
    with pytest.raises(npconv.UnsupportedError, match="divide, which int64 cannot"):
        npconv.conv(x.astype(int), w.astype(int), **FORCED)
    with npconv.settings(accuracy="strict"), pytest.raises(npconv.UnsupportedError, match="strict"):
        npconv.conv(x, w, **FORCED)


# ---- the bounds ----------------------------------------------------------------------------


# Sums of up to 500 terms: of 1 to 55 channels, or of up to 480 positions.
SIZES = {
    "forward": [((1, 1, 14, 14), (4, 1, 3, 3)), ((1, 55, 14, 14), (8, 55, 3, 3))],
    "input_grad": [((1, 4, 14, 14), (1, 4, 3, 3)), ((1, 8, 14, 14), (55, 8, 3, 3))],
    "kernel_grad": [((1, 8, 8, 8), (8, 8, 3, 3)), ((2, 8, 16, 15), (8, 8, 3, 3))],
}
SIZES_1D = {
    "forward": [((2, 1, 30), (4, 1, 3)), ((2, 160, 30), (4, 160, 3))],
    "input_grad": [((2, 4, 30), (1, 4, 3)), ((2, 4, 30), (160, 4, 3))],
    "kernel_grad": [((1, 8, 30), (8, 8, 3)), ((2, 8, 200), (8, 8, 3))],
}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("sizes", [SIZES, SIZES_1D], ids=["2d", "1d"])
def test_the_bound_holds_and_says_something(sizes: Any, direction: str) -> None:
    for x, w in sizes[direction]:
        plan = npconv.plan_conv(x, w, padding=1, direction=direction, **FORCED)
        seen = {
            kind: largest_error(direction, x, w, kind, 12, algorithm="winograd", padding=1)
            for kind in DATA
        }
        print(direction, x, w, f"g={plan.error_growth:.0f}", seen)
        assert max(seen.values()) <= plan.error_growth
        assert plan.error_growth <= 100 * seen["uniform"]


@pytest.mark.parametrize("kind", ["constant", "repeated", "uniform"])
@pytest.mark.parametrize(
    ("direction", "x", "w"),
    [
        ("forward", (1, 384, 8, 8), (2, 384, 3, 3)),
        ("forward", (1, 1000, 10), (2, 1000, 3)),
        ("kernel_grad", (2, 1, 48, 48), (2, 1, 3, 3)),
    ],
)
def test_the_bound_holds_for_long_sums_of_like_terms(
    direction: str, x: Any, w: Any, kind: str
) -> None:
    plan = npconv.plan_conv(x, w, padding=1, direction=direction, **FORCED)
    seen = largest_error(direction, x, w, kind, 8, algorithm="winograd", padding=1)
    print(direction, x, w, kind, f"g={plan.error_growth:.0f}", seen)
    assert seen <= plan.error_growth


@pytest.mark.parametrize("kind", DATA)
def test_the_bound_holds_on_the_smallest_images(kind: str) -> None:
    for size, padding in product(range(1, 6), range(3)):
        if size + 2 * padding < 3:
            continue
        x, w = np.zeros((20, 1, size, size)), np.zeros((3, 1, 3, 3))
        rng = np.random.default_rng(size)
        x, w = DATA[kind](rng, x.shape), DATA[kind](rng, w.shape)
        magnitude = largest(npconv.conv(abs(x), abs(w), padding=padding), 0)
        options = {"padding": padding, **FORCED}
        plan = npconv.plan_conv(x.shape, w.shape, dtype="float32", **options)
        single = npconv.conv(x.astype("f4"), w.astype("f4"), **options)
        double = x.astype("f4").astype("f8"), w.astype("f4").astype("f8")
        right = npconv.conv(*double, padding=padding)
        bound = plan.error_growth * unit_roundoff(np.float32) * magnitude
        assert np.all(abs(single - right) <= bound)


def test_coarser_numbers_are_rounded_once_after_the_bias() -> None:
    rng = np.random.default_rng(0)
    x, w, bias = (
        rng.standard_normal(shape).astype(np.float16) for shape in ((2, 6, 9, 13), (5, 6, 3, 3), 5)
    )
    asked: Any = {"padding": 1, **FORCED}
    single = npconv.conv(*(a.astype(np.float32) for a in (x, w, bias)), **asked)
    np.testing.assert_array_equal(npconv.conv(x, w, bias, **asked), single.astype(np.float16))


def test_small_outputs_take_small_tiles() -> None:
    small = npconv.plan_conv((1, 1, 4, 4), (1, 1, 3, 3), **FORCED)
    large = npconv.plan_conv((1, 1, 6, 6), (1, 1, 3, 3), **FORCED)
    assert small.choice.best.cost.multiplications < large.choice.best.cost.multiplications
    assert small.error_growth < large.error_growth / 5


# ---- NaN, Inf and overflow -----------------------------------------------------------------


# ---- counts --------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("w", [(8, 4, 3, 3), (8, 4, 3, 1)])
@pytest.mark.parametrize("padding", [1, [(1, 1), (70, 40)], [(0, 2), (-3, 50)], [(40, 0), (9, -2)]])
def test_multiplications_are_counted(
    padding: Any, w: tuple[int, ...], direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    total, right = 0, np.matmul

    def counted(a: Array, b: Array, out: Array) -> Array:
        nonlocal total
        total += math.prod(out.shape) * a.shape[-1]
        return right(a, b, out=out)

    x = (2, 4, 9, 14)
    plan = npconv.plan_conv(x, w, direction=direction, padding=padding, **FORCED)
    y = npconv.conv_output_shape(x, w, padding=padding)
    shapes = {"forward": (x, w), "input_grad": (y, w), "kernel_grad": (y, x)}[direction]
    monkeypatch.setattr(np, "matmul", counted)
    plan(*(np.ones(shape, np.float32) for shape in shapes))
    assert total == plan.choice.best.cost.multiplications


def test_no_product_has_several_images_in_one_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    """BLAS may form sums in another order for the rows beyond its last whole block."""
    rows, right = set(), np.matmul

    def seen(a: Array, b: Array, out: Array) -> Array:
        if b.shape[-2:] == (5, 7):  # the kernel's
            rows.add(a.shape[-2])
        return right(a, b, out=out)

    monkeypatch.setattr(np, "matmul", seen)
    plan = npconv.plan_conv((4, 5, 9, 13), (7, 5, 3, 3), padding=1, **FORCED)
    plan(np.ones((4, 5, 9, 13), np.float32), np.ones((7, 5, 3, 3), np.float32))
    assert plan.choice.cut.images >= 2
    assert rows == {3 * 4}


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize(("C", "K"), [(1, 300), (64, 2), (40, 40)])
def test_smaller_problems_need_no_more_memory(C: int, K: int, direction: Direction) -> None:
    """Though their chunks, equal pieces, may be larger: the last band of a tile is smaller."""
    needed = [
        REGISTRY["winograd"].cost(
            ConvProblem.of((1, C, rows, 41), (K, C, 3, 3), padding=2), direction, np.dtype("f4")
        )
        for rows in range(3, 130)
    ]
    assert all(one.workspace <= two.workspace for one, two in pairwise(needed))


def test_what_long_axes_are_transformed_with_takes_no_memory() -> None:
    """All strips but those at a border are multiplied with the same matrix."""
    shapes = (1, 1, 200_000), (1, 1, 3)
    plan = npconv.plan_conv(*shapes, padding=1, **FORCED)
    tiled._band.cache_clear()
    plan(*(np.ones(shape, np.float32) for shape in shapes))
    assert 0 < tiled._band.cache_info().misses <= 12


def test_a_third_of_the_products_of_direct_summation() -> None:
    shapes = (1, 64, 56, 56), (64, 64, 3, 3)
    counts = [
        npconv.plan_conv(*shapes, padding=1, algorithm=name).choice.best.cost.multiplications
        for name in ("winograd", "im2col")
    ]
    assert counts[0] < counts[1] / 2.5


# ---- the choice ----------------------------------------------------------------------------


def test_auto_chooses_it_where_it_pays_for_any_batch() -> None:
    for N in (1, 2, 64):
        for engine, name in (("numpy", "winograd"), ("compiled", "winograd_fused")):
            with npconv.settings(engine=engine):
                plan = npconv.plan_conv((N, 64, 112, 112), (64, 64, 3, 3), padding=1)
                assert plan.algorithm == name
        with npconv.settings(engine="numpy"):
            plan = npconv.plan_conv((N, 3, 8, 8), (4, 3, 3, 3), padding=1)
            assert REGISTRY[plan.algorithm].direct
    for engine in ("numpy", "compiled"):
        with npconv.settings(accuracy="strict", engine=engine):
            plan = npconv.plan_conv((1, 64, 112, 112), (64, 64, 3, 3), padding=1)
            assert REGISTRY[plan.algorithm].direct


@pytest.mark.parametrize("channels", [16, 256])
def test_on_normal_data_errors_are_far_below_the_largest_output(channels: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, channels, 32, 32)).astype(np.float32)
    w = rng.standard_normal((16, channels, 3, 3)).astype(np.float32)
    right = npconv.conv(x.astype(float), w.astype(float), padding=1, algorithm="im2col")
    error = abs(npconv.conv(x, w, padding=1, **FORCED) - right)
    assert error.max() <= 5e-5 / 5 * abs(right).max()
