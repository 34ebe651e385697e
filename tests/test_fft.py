"""FFT: transforms against NumPy's, sections, any geometry, stated errors, counted products."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

import npconv
from checks import check_problem, check_specials, check_tiled, serves
from errors_seen import DATA, largest_error
from npconv import fourier, sections
from npconv.axis import Axis
from npconv.problem import Direction
from npconv.sections import Sections
from oracle import Array
from problems import NAMED, random_problem

FORCED: dict[str, Any] = {"algorithm": "fft"}
DIRECTIONS = [direction.value for direction in Direction]


def new(_: int, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    return np.full(shape, np.nan, dtype)


# ---- transforms ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16", "g", "G"])
@pytest.mark.parametrize("lengths", [(2,), (12,), (300,), (6, 10), (270, 8), (4, 2, 6)])
def test_transforms_are_the_definition(lengths: tuple[int, ...], dtype: str) -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((2, 3, *(max(1, n - 1) for n in lengths))).astype(dtype)
    if a.dtype.kind == "c":
        a = a + 1j * rng.standard_normal(a.shape).astype(dtype)
    axes = tuple(range(2, 2 + len(lengths)))
    found = fourier.spectrum(a, lengths, new)
    right = (np.fft.fftn if a.dtype.kind == "c" else np.fft.rfftn)(a, lengths, axes)
    assert found.dtype == right.dtype
    u = np.finfo(a.dtype).eps
    np.testing.assert_allclose(found, right, atol=float(8 * u * abs(right).max()), rtol=0)
    back = fourier.values(found, lengths, a.dtype, new)
    assert back.dtype == a.dtype
    padded = np.zeros((2, 3, *lengths), a.dtype)
    index: tuple[Any, ...] = (..., *(slice(n) for n in a.shape[2:]))
    padded[index] = a
    np.testing.assert_allclose(back, padded, atol=float(16 * u * abs(a).max()), rtol=0)


def test_good_lengths_are_even_and_have_small_factors() -> None:
    for least in range(1, 2000):
        n = fourier.good_length(least)
        assert n >= least
        assert n % 2 == 0
        for prime in (2, 3, 5):
            while n % prime == 0:
                n //= prime
        assert n == 1
    assert [fourier.good_length(n) for n in (1, 7, 11, 33, 127)] == [2, 8, 12, 36, 128]


# ---- sections ------------------------------------------------------------------------------


def random_axis(rng: random.Random) -> Axis:
    while True:
        axis = Axis(
            size=rng.randint(0, 30),
            kernel=rng.randint(1, 4),
            stride=rng.randint(1, 4),
            low=rng.randint(-3, 5),
            high=rng.randint(-3, 5),
            dilation=rng.randint(1, 3),
            input_dilation=rng.randint(1, 3),
        )
        if axis.padded >= axis.reach and axis.out > 0:
            return axis


@pytest.mark.parametrize("cut", [sections.cut, sections.cut_as_if_long])
def test_sections_hold_all_terms_of_their_outputs(cut: Any) -> None:
    rng = random.Random(0)
    for _ in range(500):
        axis = random_axis(rng)
        (part,) = cut([axis])
        written: list[int] = []
        for t in range(part.number):
            outputs, places = part.writes(t)
            inputs, spots = part.reads(t)
            held = dict(zip(range(part.length)[spots], range(axis.size)[inputs], strict=True))
            for p, place in zip(range(axis.out)[outputs], range(part.length)[places], strict=True):
                written.append(p)
                for r in range(axis.kernel):
                    at = p * axis.stride + r * axis.dilation - axis.low
                    i, hole = divmod(at, axis.input_dilation)
                    right = i if 0 <= i < axis.size and not hole else None
                    assert place + r * axis.dilation < part.length  # nothing wraps round
                    assert held.get(place + r * axis.dilation) == right, (axis, part, t)
        assert written == list(range(axis.out)), axis


def test_longer_axes_have_more_sections_not_longer_ones() -> None:
    short, long = sections.cut([Axis(40, 15)])[0], sections.cut([Axis(5000, 15)])[0]
    assert short.number == 1
    assert short.length == 40
    assert long.length < 100
    assert long.number > 50
    assert Sections(Axis(5000, 15), long.length).outputs == long.length - 14


# ---- the results ---------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", range(6))
def test_random_problems(chunk: int) -> None:
    for seed in range(chunk * 20, chunk * 20 + 20):
        problem = random_problem(random.Random(seed))
        assert serves(problem, "fft"), problem
        check_problem(problem, seed, ["fft"])
        check_specials(problem, seed, ["fft"])
        if seed % 4 == 0:
            check_tiled(problem, seed, ["fft"])


def test_it_serves_every_named_problem() -> None:
    assert all(serves(problem, "fft") for problem in NAMED.values())


LARGE: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "long signal": ((2, 2, 3000), (3, 2, 700), {"padding": "same"}),
    "2d": ((1, 3, 90, 70), (2, 3, 21, 17), {"padding": 8}),
    "strided": ((2, 2, 80, 90), (2, 2, 20, 20), {"stride": (3, 2), "padding": "same"}),
    "dilated": ((1, 2, 90, 90), (2, 2, 5, 4), {"dilation": (12, 9), "padding": 20}),
    "spread": ((1, 2, 40, 40), (2, 2, 15, 15), {"input_dilation": 2, "padding": 7}),
    "depthwise": ((2, 6, 60, 60), (6, 1, 17, 17), {"groups": 6, "padding": 8}),
    "mode": ((1, 2, 50, 50), (2, 2, 15, 15), {"padding": 7, "padding_mode": "reflect"}),
    "3d": ((1, 2, 20, 22, 24), (2, 2, 9, 8, 7), {"padding": 2}),
}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("limit", [2**22, 2**26])
@pytest.mark.parametrize("name", LARGE)
def test_large_kernels_in_many_sections(name: str, limit: int, direction: str) -> None:
    x, w, options = LARGE[name]
    y, rng = npconv.conv_output_shape(x, w, **options), np.random.default_rng(0)
    shapes = {"forward": (x, w), "input_grad": (y, w), "kernel_grad": (y, x)}[direction]
    operands = [rng.standard_normal(shape) for shape in shapes]
    plans = []
    for algorithm in ("fft", "im2col"):
        with npconv.settings(workspace_limit=limit if algorithm == "fft" else 2**28):
            plans.append(
                npconv.plan_conv(
                    x, w, dtype="f8", direction=direction, algorithm=algorithm, **options
                )
            )
    found, right = (plan(*operands) for plan in plans)
    np.testing.assert_allclose(found, right, rtol=0, atol=1e-13 * abs(right).max())


def test_what_it_refuses_and_says_so() -> None:
    x, w = np.ones((1, 1, 8, 8)), np.ones((1, 1, 3, 3))
    with pytest.raises(npconv.UnsupportedError, match="no numbers of int64"):
        npconv.conv(x.astype(int), w.astype(int), **FORCED)
    with npconv.settings(accuracy="strict"), pytest.raises(npconv.UnsupportedError, match="strict"):
        npconv.conv(x, w, **FORCED)


# ---- the bounds ----------------------------------------------------------------------------

SIZES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "2d": ((1, 2, 30, 30), (3, 2, 15, 15)),
    "3x3": ((1, 50, 12, 12), (3, 50, 3, 3)),
    "signal": ((1, 1, 1500), (2, 1, 400)),
    "depthwise": ((1, 1, 60, 60), (1, 1, 21, 21)),
}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", SIZES)
def test_the_bound_holds_and_says_something(name: str, direction: str) -> None:
    x, w = SIZES[name]
    plan = npconv.plan_conv(x, w, padding=1, direction=direction, **FORCED)
    seen = {
        kind: largest_error(direction, x, w, kind, 6, algorithm="fft", padding=1) for kind in DATA
    }
    print(name, direction, f"g={plan.error_growth:.0f}", seen)
    assert max(seen.values()) <= plan.error_growth
    assert plan.error_growth <= 100 * seen["uniform"]


# ---- counts --------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("dtype", ["f4", "c8"])
def test_matrix_products_are_counted(
    direction: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    total, right = 0, np.matmul

    def counted(a: Array, b: Array, out: Array) -> Array:
        nonlocal total
        each = 4 if out.dtype.kind == "c" and dtype == "f4" else 1
        total += each * math.prod(out.shape) * a.shape[-1]
        return right(a, b, out=out)

    x, w = (2, 4, 40, 37), (5, 4, 9, 7)
    plan = npconv.plan_conv(x, w, dtype=dtype, direction=direction, **FORCED)
    y = npconv.conv_output_shape(x, w)
    shapes = {"forward": (x, w), "input_grad": (y, w), "kernel_grad": (y, x)}[direction]
    monkeypatch.setattr(np, "matmul", counted)
    plan(*(np.ones(shape, dtype) for shape in shapes))
    counts = plan.choice.best.cost.multiplications
    # Gradients leave out zeros behind a section's outputs, which the count does not know.
    assert 0.8 * counts <= total <= counts


def test_fewer_products_than_direct_summation() -> None:
    shapes = (1, 32, 128, 128), (32, 32, 31, 31)
    counts = [
        npconv.plan_conv(*shapes, algorithm=name).choice.best.cost.multiplications
        for name in ("fft", "im2col")
    ]
    assert counts[0] < counts[1] / 9


def test_auto_chooses_it_for_large_kernels_only() -> None:
    for engine in ("numpy", "compiled"):
        for N in (1, 32):
            for kernel in (1, 3, 31):
                shapes = (N, 16, 96, 96), (16, 16, kernel, kernel)
                with npconv.settings(engine=engine):
                    chosen = npconv.plan_conv(*shapes).algorithm
                assert (chosen == "fft") == (kernel == 31), (engine, N, kernel)
