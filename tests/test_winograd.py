"""Winograd: matrices proved, bounds held, NaN where direct summation has it, memory counted."""

from __future__ import annotations

import math
import random
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest

import npconv
from checks import check_problem, check_specials, check_tiled, largest, normals, serves
from npconv.algorithms import winograd
from npconv.algorithms.winograd_matrices import BY_TILE, F_4_3, Filtering, Matrix
from npconv.problem import Direction
from oracle import Array
from problems import NAMED, RandomProblem
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
    monkeypatch.setattr(winograd, "F_4_3", wrong)
    monkeypatch.setitem(BY_TILE, wrong.t, wrong)
    with pytest.raises(AssertionError):
        check_problem(NAMED["padded"], 0, ["winograd"])


# ---- the results ---------------------------------------------------------------------------


def windows_of_three(seed: int) -> RandomProblem:
    """A problem that Winograd serves, of any rank, padding, groups and layout."""
    rng = random.Random(seed)
    kernel = rng.choice([(3,), (3, 3), (3, 3), (3, 1), (1, 3), (3, 1, 3)])
    rank = len(kernel)
    pads = [(rng.randint(-1, 4), rng.randint(-1, 4)) for _ in kernel]
    size = [
        max(rng.randint(1, 11 - 2 * rank), k - sum(p), 1) for k, p in zip(kernel, pads, strict=True)
    ]
    options: dict[str, Any] = {"padding": pads}
    kind = rng.choice(["plain", "groups", "batch_groups", "mode", "layout"])
    N, C, K, G = rng.randint(1, 3), rng.randint(1, 3), rng.randint(1, 3), 1
    if kind in ("groups", "batch_groups"):
        G = options[kind] = 2
    if kind == "mode":
        options["padding_mode"] = "replicate"
    x, w = [N * G if kind == "batch_groups" else N, C * G, *size], [K * G, C, *kernel]
    if kind == "batch_groups":
        x[1] = C
    if kind == "layout":
        letters = "DHW"[-rank:]
        options |= {"layout": f"N{letters}C", "kernel_layout": f"{letters}IO"}
        x, w = [x[0], *x[2:], x[1]], [*w[2:], w[1], w[0]]
    return RandomProblem(tuple(x), tuple(w), options)


@pytest.mark.parametrize("chunk", range(4))
def test_random_problems(chunk: int) -> None:
    for seed in range(chunk * 20, chunk * 20 + 20):
        problem = windows_of_three(seed)
        assert serves(problem, "winograd"), problem
        check_problem(problem, seed, ["winograd"])
        check_specials(problem, seed, ["winograd"])
        if seed % 4 == 0:
            check_tiled(problem, seed, ["winograd"])


def test_which_named_problems_it_serves() -> None:
    served = {name for name, problem in NAMED.items() if serves(problem, "winograd")}
    assert served >= {"padded", "asymmetric", "depthwise", "empty_batch", "no_output_channels"}
    assert not served & {"strided", "dilated", "pointwise", "rank3", "rank4"}


def test_gradients_are_adjoints() -> None:
    for seed in range(40):
        problem = windows_of_three(seed)
        data = normals(problem, seed, np.float64)
        options: dict[str, Any] = {**problem.options, **FORCED}
        y = npconv.conv(data.x, data.w, **options)
        dx = npconv.conv_input_grad(data.dy, data.w, data.x.shape, **options)
        dw = npconv.conv_kernel_grad(data.dy, data.x, data.w.shape, **options)
        size = np.sum(np.abs(y * data.dy)) + 1e-300
        assert abs(np.sum(y * data.dy) - np.sum(data.x * dx)) <= 1e-12 * size
        assert abs(np.sum(y * data.dy) - np.sum(data.w * dw)) <= 1e-12 * size


@pytest.mark.parametrize("dtype", ["float16", "complex64", "complex128"])
def test_other_dtypes(dtype: str) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 2, 9, 8)).astype(dtype), rng.random((3, 2, 3, 3)).astype(dtype)
    if dtype[0] == "c":
        x += 1j * rng.standard_normal(x.shape)
        w -= 1j * rng.standard_normal(w.shape)
    kinds = npconv.conv(x, w, **FORCED), npconv.conv(x, w, algorithm="naive")
    assert kinds[0].dtype == kinds[1].dtype == dtype
    plan = npconv.plan_conv(x.shape, w.shape, dtype=dtype, **FORCED)
    wide = [a.astype("complex128") for a in (x, w)]
    magnitude = npconv.conv(abs(wide[0]), abs(wide[1])).real
    error = abs(kinds[0].astype("complex128") - npconv.conv(*wide))
    assert np.all(error <= plan.error_growth * unit_roundoff(dtype) * largest(magnitude, 0))


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


def wide(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    values: Array = np.exp(rng.uniform(-12, 12, shape)) * rng.choice([-1, 1], shape)
    return values


def alternating(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    values: Array = (-1.0) ** np.indices(shape).sum(0) * rng.random(shape)
    return values


DATA: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "uniform": lambda rng, shape: rng.random(shape),
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "wide": wide,
    "alternating": alternating,
    "signs": lambda rng, shape: rng.choice([-1, 1], shape) * rng.uniform(0.9, 1.1, shape),
    "sparse": lambda rng, shape: (rng.random(shape) < 0.2) * rng.standard_normal(shape),
    "repeated": lambda rng, shape: np.broadcast_to(rng.standard_normal(shape[2:]), shape),
    "constant": lambda rng, shape: np.full(shape, rng.random()),
    "near overflow": lambda rng, shape: rng.standard_normal(shape) * 2.0**58,
}

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


def run(direction: str, x: Any, w: Any, first: Array, second: Array, algorithm: str) -> Array:
    options: dict[str, Any] = {"padding": 1, "algorithm": algorithm}
    if direction == "forward":
        return npconv.conv(first, second, **options)
    if direction == "input_grad":
        return npconv.conv_input_grad(first, second, x, **options)
    return npconv.conv_kernel_grad(first, second, w, **options)


def largest_error(direction: str, x: Any, w: Any, kind: str, trials: int) -> float:
    """In round-offs of float32 times the largest sum of |products| of the image."""
    y, worst = npconv.conv_output_shape(x, w, padding=1), 0.0
    shapes = {"forward": (x, w), "input_grad": (y, w), "kernel_grad": (y, x)}[direction]
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        first, second = (DATA[kind](rng, shape).astype(np.float32) for shape in shapes)
        exact = first.astype(float), second.astype(float)
        right = run(direction, x, w, *exact, "im2col")
        size = run(direction, x, w, abs(exact[0]), abs(exact[1]), "im2col")
        error = abs(run(direction, x, w, first, second, "winograd") - right)
        size = largest(size, None if direction == "kernel_grad" else 0)
        worst = max(worst, np.max(error / size) / unit_roundoff(np.float32))
    return worst


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("sizes", [SIZES, SIZES_1D], ids=["2d", "1d"])
def test_the_bound_holds_and_says_something(sizes: Any, direction: str) -> None:
    for x, w in sizes[direction]:
        plan = npconv.plan_conv(x, w, padding=1, direction=direction, **FORCED)
        seen = {kind: largest_error(direction, x, w, kind, 12) for kind in DATA}
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
    seen = largest_error(direction, x, w, kind, 8)
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


def test_small_outputs_take_small_tiles() -> None:
    small = npconv.plan_conv((1, 1, 4, 4), (1, 1, 3, 3), **FORCED)
    large = npconv.plan_conv((1, 1, 6, 6), (1, 1, 3, 3), **FORCED)
    assert small.choice.best.cost.multiplications < large.choice.best.cost.multiplications
    assert small.error_growth < large.error_growth / 5


# ---- NaN, Inf and overflow -----------------------------------------------------------------


def test_what_overflows_on_the_way_does_not_in_the_result() -> None:
    x = np.zeros((2, 1, 8, 8), np.float32)
    x[1, 0, ::2, ::2] = np.finfo(np.float32).max
    w = np.zeros((1, 1, 3, 3), np.float32)
    w[0, 0, 1, 1] = 1
    np.testing.assert_array_equal(npconv.conv(x, w, padding=1, **FORCED), x)
    np.testing.assert_array_equal(npconv.conv_input_grad(x, w, x.shape, padding=1, **FORCED), x)
    dw = npconv.conv_kernel_grad(w, x[1:, :, :5, :5], w.shape, **FORCED)
    np.testing.assert_array_equal(dw, npconv.conv_kernel_grad(w, x[1:, :, :5, :5], w.shape))


def test_the_bits_of_an_image_do_not_depend_on_its_company() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((7, 5, 13, 11)).astype(np.float32)
    w = rng.standard_normal((6, 5, 3, 3)).astype(np.float32)
    x[2, 0, 3, 3], x[5, 1, 0, 0] = np.nan, np.inf
    y = npconv.conv(x, w, padding=1, **FORCED)
    dx = npconv.conv_input_grad(y, w, x.shape, padding=1, **FORCED)
    for n in range(len(x)):
        alone = npconv.conv(x[n : n + 1], w, padding=1, **FORCED)
        np.testing.assert_array_equal(alone[0], y[n])
        alone = npconv.conv_input_grad(y[n : n + 1], w, x[:1].shape, padding=1, **FORCED)
        np.testing.assert_array_equal(alone[0], dx[n])


@pytest.mark.parametrize("direction", ["forward", "input_grad"])
def test_a_packed_kernel_gives_the_same_bits(direction: str) -> None:
    rng = np.random.default_rng(0)
    x, w = (3, 2, 9, 9), rng.standard_normal((4, 2, 3, 3))
    plan = npconv.plan_conv(x, w.shape, dtype="float64", direction=direction, **FORCED)
    first = rng.standard_normal(x if direction == "forward" else (3, 4, 7, 7))
    first[1, 0, 2, 2] = np.nan  # computed again, by the packed kernel's direct form
    np.testing.assert_array_equal(plan(first, plan.pack(w)), plan(first, w))


# ---- counts --------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("w", [(8, 4, 3, 3), (8, 4, 3, 1)])
def test_multiplications_are_counted(
    w: tuple[int, ...], direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    total, right = 0, np.matmul

    def counted(a: Array, b: Array, out: Array) -> Array:
        nonlocal total
        total += math.prod(out.shape) * a.shape[-1]
        return right(a, b, out=out)

    x = (2, 4, 9, 14)
    plan = npconv.plan_conv(x, w, direction=direction, padding=1, **FORCED)
    y = npconv.conv_output_shape(x, w, padding=1)
    shapes = {"forward": (x, w), "input_grad": (y, w), "kernel_grad": (y, x)}[direction]
    monkeypatch.setattr(np, "matmul", counted)
    plan(*(np.ones(shape, np.float32) for shape in shapes))
    assert total == plan.choice.best.cost.multiplications


def test_a_third_of_the_products_of_direct_summation() -> None:
    shapes = (1, 64, 56, 56), (64, 64, 3, 3)
    counts = [
        npconv.plan_conv(*shapes, padding=1, algorithm=name).choice.best.cost.multiplications
        for name in ("winograd", "im2col")
    ]
    assert counts[0] < counts[1] / 2.5


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("limit", [2**20, 2**22, 2**26])
@pytest.mark.parametrize("broken", [False, True], ids=["finite", "nan"])
def test_the_workspace_bound_holds(direction: str, limit: int, broken: bool) -> None:
    for x, w in [((2, 32, 40, 40), (48, 32, 3, 3)), ((1, 96, 9, 9), (80, 96, 3, 3))]:
        y = npconv.conv_output_shape(x, w, padding=1)
        shapes = {"forward": (x, w), "input_grad": (y, w), "kernel_grad": (y, x)}[direction]
        first, second = (np.ones(shape, np.float32) for shape in shapes)
        if broken:
            first[0, 0, 3, 3] = np.nan
        with npconv.settings(workspace_limit=limit):
            plan = npconv.plan_conv(x, w, direction=direction, padding=1, **FORCED)
        assert plan.workspace_bytes <= limit
        out = plan(first, second)
        tracemalloc.start()
        plan(first, second, out=out)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # Objects of Python itself (tiles, views, caches) are counted with the arrays.
        assert peak <= plan.workspace_bytes + 2**17, (x, w, peak, plan.workspace_bytes)


# ---- the choice ----------------------------------------------------------------------------


def test_auto_chooses_it_where_it_pays_for_any_batch() -> None:
    for N in (1, 2, 64):
        plan = npconv.plan_conv((N, 64, 56, 56), (64, 64, 3, 3), padding=1)
        assert plan.algorithm == "winograd"
        assert npconv.plan_conv((N, 3, 8, 8), (4, 3, 3, 3), padding=1).algorithm == "im2col"
    with npconv.settings(accuracy="strict"):
        plan = npconv.plan_conv((1, 64, 56, 56), (64, 64, 3, 3), padding=1)
        assert plan.algorithm == "im2col"


@pytest.mark.parametrize("channels", [16, 256])
def test_on_normal_data_errors_are_far_below_the_largest_output(channels: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, channels, 32, 32)).astype(np.float32)
    w = rng.standard_normal((16, channels, 3, 3)).astype(np.float32)
    right = npconv.conv(x.astype(float), w.astype(float), padding=1, algorithm="im2col")
    error = abs(npconv.conv(x, w, padding=1, **FORCED) - right)
    assert error.max() <= 5e-5 / 5 * abs(right).max()
