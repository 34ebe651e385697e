"""Transforms on data that outweighs the result: the bound holds, by direct summation if need be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

import npconv
from npconv import scratch, trust
from npconv.algorithms import REGISTRY
from npconv.algorithms.protocol import Transforming
from npconv.problem import Direction
from oracle import Array
from tolerance import unit_roundoff

DIRECTIONS = [direction.value for direction in Direction]
TRANSFORMING = [name for name, algorithm in REGISTRY.items() if not algorithm.direct]
Operands = tuple[Array, Array, Array]


def call(direction: str, data: Operands, **options: Any) -> Array:
    x, w, dy = data
    if direction == "forward":
        return npconv.conv(x, w, **options)
    if direction == "input_grad":
        return npconv.conv_input_grad(dy, w, x.shape, **options)
    return npconv.conv_kernel_grad(dy, x, w.shape, **options)


def assert_within_bound(direction: str, data: Operands, algorithm: str, **options: Any) -> None:
    """Per image, against the largest of ``|input| * |kernel|`` in it."""
    x, w, dy = data
    plan = npconv.plan_conv(x.shape, w.shape, direction=direction, algorithm=algorithm, **options)
    exact = call(direction, (x.astype("f8"), w.astype("f8"), dy.astype("f8")), **options)
    x, w, dy = abs(x.astype("f8")), abs(w.astype("f8")), abs(dy.astype("f8"))
    held = call(direction, (x, w, dy), **options)
    axes = None if direction == "kernel_grad" else (1, 2, 3)
    held = held.max(axis=axes, keepdims=True)
    bound = plan.error_growth * unit_roundoff(data[0].dtype) * held
    error = abs(call(direction, data, algorithm=algorithm, **options) - exact)
    assert (error <= bound).all(), (error.max(), bound.max())


def heavy_rows(data: Operands, heavy: float) -> None:
    """Row 1 of the first image is heavy; the kernel's rows that alone would meet it are light."""
    x, w, dy = data
    x[0, :, 1] *= heavy
    w[:, :, :-1] /= heavy
    dy[0, :, 1] *= heavy


def heavy_frame(data: Operands, heavy: float) -> None:
    x, w, dy = data
    x[..., :2] = x[..., -2:] = heavy
    dy[..., 0] = dy[..., -1] = heavy
    w[..., :-1] = 0


def never_together(data: Operands, heavy: float) -> None:
    """Rows of the input and of the gradient are heavy that no kernel position brings together."""
    x, w, dy = data
    x[:, :, 7::8] *= heavy
    dy[:, :, 4::8] *= heavy
    w[:, :, 1:] /= heavy


@pytest.mark.parametrize("algorithm", TRANSFORMING)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("spoil", [heavy_rows, heavy_frame, never_together])
@pytest.mark.parametrize(
    "options",
    [
        {"padding": 0},
        {"padding": 1},
        {"padding": 2},
        {"padding": [(0, 2), (1, -1)]},
        {"padding": 1, "padding_mode": "circular"},
        {"padding": 1, "padding_mode": "reflect", "groups": 2},
    ],
    ids=str,
)
def test_the_bound_holds_where_what_is_heavy_is_not_in_the_result(
    algorithm: str,
    direction: str,
    spoil: Callable[[Operands, float], None],
    options: dict[str, Any],
) -> None:
    for heavy in (10.0, 1e3, 1e8):
        rng = np.random.default_rng(int(heavy))
        x, w = rng.standard_normal((2, 4, 17, 13)), rng.standard_normal((4, 4, 3, 3))
        w = w[:, :: options.get("groups", 1)]
        shape = npconv.conv_output_shape(x.shape, w.shape, **options)
        data = tuple(a.astype("f4") for a in (x, w, rng.standard_normal(shape)))
        spoil(data, heavy)  # type: ignore[arg-type] # three of them
        assert_within_bound(direction, data, algorithm, **options)  # type: ignore[arg-type] # as above


@pytest.mark.parametrize("algorithm", TRANSFORMING)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_without_the_check_the_bound_would_not_hold(
    algorithm: str, direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "trusts_image", lambda *_: True)
    monkeypatch.setattr(trust, "trusts_kernel_grad", lambda *_: True)
    rng = np.random.default_rng(0)
    x, w, dy = (
        rng.standard_normal(shape).astype("f4")
        for shape in ((1, 4, 17, 17), (4, 4, 3, 3), (1, 4, 17, 17))
    )
    if direction == "kernel_grad":
        x[:, :, 7::8] *= 1e8
        dy[:, :, 4::8] *= 1e8
    else:  # row 0 meets only the padding's and the middle row of the kernel
        x[:, :, 0] *= 1e8
        w[:, :, :2] = 0
        if direction == "input_grad":
            dy, w = x, w[:, :, ::-1]
    with pytest.raises(AssertionError):
        assert_within_bound(direction, (x, w, dy), algorithm, padding=1)


@pytest.mark.parametrize("algorithm", TRANSFORMING)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
def test_ordinary_and_sparse_data_are_not_computed_twice(
    algorithm: str, direction: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = []
    for name in ("trusts_image", "trusts_kernel_grad"):
        ask = getattr(trust, name)

        def asked(*arguments: Any, ask: Callable[..., bool] = ask) -> bool:
            answers.append(ask(*arguments))
            return bool(answers[-1])

        monkeypatch.setattr(trust, name, asked)
    rng = np.random.default_rng(1)
    x, w, dy = (
        rng.standard_normal(shape).astype("f4")
        for shape in ((2, 16, 20, 20), (8, 16, 3, 3), (2, 8, 20, 20))
    )
    x *= rng.random(x.shape) < share
    dy *= rng.random(dy.shape) < share
    call(direction, (x, w, dy), padding=1, algorithm=algorithm)
    assert all(answers)
    if not cast(Transforming, REGISTRY[algorithm]).marks_doubt:  # or most are not asked about
        assert len(answers) == (1 if direction == "kernel_grad" else 2)


@pytest.mark.parametrize("algorithm", TRANSFORMING)
def test_an_image_of_zeros_is_not_computed_twice(
    algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "_held", None)  # not even looked for
    x, w = np.zeros((1, 2, 9, 9)), np.ones((2, 2, 3, 3))
    assert not npconv.conv(x, w, padding=1, algorithm=algorithm).any()


@pytest.mark.parametrize("scale", [1.0, 3e-22, 1e-25, 1e25])
@pytest.mark.parametrize("zeros", [False, True])
def test_norms_are_those_of_float64(scale: float, zeros: bool) -> None:
    a = np.random.default_rng(0).standard_normal((2, 3, 4, 5, 32)).astype("f4")
    a[1, 2] *= np.float32(scale)  # a square of which float32 cannot hold
    a[0, 1] *= not zeros
    for some in (a, a[..., ::2], a.transpose(0, 1, 4, 2, 3), a + 1j * a[::-1]):
        for first in (2, 3):
            exact = np.sqrt((abs(some.astype("c16")) ** 2).sum(axis=tuple(range(first, 5))))
            with np.errstate(over="ignore"):
                norms = trust._norms(some, first)
            np.testing.assert_allclose(norms, exact, rtol=1e-6)
    with np.errstate(under="ignore"):
        tiny = a[:, :1].astype("f8") * 1e-200  # squares underflow: a bound will do
        norms, exact = trust._norms(tiny, 3), trust._norms(tiny * 1e200, 3) * 1e-200
    assert (norms >= exact * (1 - 1e-6)).all()
    assert not trust._norms(tiny * 0, 3).any()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "c8", "i1", "i8", "u1", "?"])
def test_largest_magnitudes_are_found_element_by_element_or_not(dtype: str) -> None:
    a = (3 * abs(np.random.default_rng(0).standard_normal((1, 9, 8, 3, 3)))).astype(dtype)
    if a.dtype.kind in "fc":
        a *= np.array([1, -1, 1], dtype)
    if a.dtype.kind == "i":  # whose magnitude the dtype does not have
        a[0, 1, 2, 0, 1] = np.iinfo(a.dtype).min
    for some in (a, a[:, ::-2], a.swapaxes(1, 2), a[:, :2, :2]):
        parts = (some.real, some.imag) if some.dtype.kind == "c" else (some,)
        for first in (1, 3):
            largest = sum(abs(p.astype("f8")).max(axis=tuple(range(first, 5))) for p in parts)
            np.testing.assert_array_equal(trust._largest(some, first), largest)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "c8", "c16"])
def test_what_is_not_finite_is_seen_and_large_numbers_are(dtype: str) -> None:
    numbers = npconv.plan_conv((1, 1, 3, 3), (1, 1, 3, 3), dtype=dtype).choice.numbers
    y = np.ones((8, 9), dtype)
    for some in (y, y[:, ::2], y.T):
        for number in (1, np.finfo(dtype).max / 4, np.inf, -np.inf, np.nan):
            some[1, 3] = number
            with np.errstate(over="ignore"):
                assert trust._finite(numbers, some) == bool(np.isfinite(number))
            some[1, 3] = 1
    if y.dtype.kind == "f":  # neither sums nor squares are finite
        with np.errstate(over="ignore"):
            assert trust._finite(numbers, np.full_like(y, np.finfo(dtype).max))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": 2},
        {"padding": [(-1, 0), (0, -2)]},
        {"dilation": 2, "padding": 3},
        {"stride": 2},
    ],
    ids=str,
)
def test_what_the_result_holds_is_summed_at_a_few_outputs(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 3, 9, 8)), rng.standard_normal((2, 3, 3, 1))
    problem = npconv.plan_conv(x.shape, w.shape, dtype="f8", **options).choice.problem
    seen = trust._Seen(problem.view_input(x)[0], problem.axes, "zeros")
    sums = npconv.conv(abs(x), abs(w), algorithm="naive", **options)[0, 1].ravel()
    held = list(trust._held(problem, seen, 0, problem.view_kernel(w)[0, 1]))
    assert len(held) == 9
    assert all(np.isclose(sums, one, rtol=1e-12).any() for one in held)


@pytest.mark.parametrize("algorithm", TRANSFORMING)
@pytest.mark.parametrize("dtype", ["i2", "i4", "?"])
def test_the_smallest_integer_is_as_heavy_as_it_is(algorithm: str, dtype: str) -> None:
    x, w = np.ones((1, 4, 20, 20), dtype), np.zeros((4, 4, 3, 3))
    if dtype != "?":
        x[..., 0, :] = x[..., -1, :] = np.iinfo(dtype).min  # met by zeros only
    w[:, :, 1, 1] = np.random.default_rng(0).standard_normal((4, 4))
    exact = npconv.conv(x.astype("f8"), w, algorithm="naive")
    error = abs(npconv.conv(x, w, algorithm=algorithm) - exact).max()
    assert error <= 1e-11


@pytest.mark.parametrize("direction", ["forward", "kernel_grad"])
@pytest.mark.parametrize("algorithm", TRANSFORMING)
@pytest.mark.parametrize(
    ("dtype", "heavy", "ordinary"),
    [("f4", 1e-23, 1e-30), ("f8", 1e-163, 1e-185), ("f8", 1e-175, 1e-195)],
)
@pytest.mark.parametrize("images", [1, 2])
def test_what_is_heavy_is_seen_where_its_square_underflows(
    algorithm: str, direction: str, dtype: str, heavy: float, ordinary: float, images: int
) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((images, 2, 40, 40)) * ordinary, np.zeros((2, 2, 3, 3))
    x[:, :, 0] = x[:, :, -1] = heavy
    w[..., 1, 1] = rng.standard_normal((2, 2))
    dy = rng.standard_normal((images, 2, 40, 40))
    dy[:, :, :3] = dy[:, :, -3:] = 0
    padding = 1 if direction == "kernel_grad" else 0
    if direction == "kernel_grad" and images > 1:  # an image that is large where dy is not
        x[1], dy[1] = 1, 0
    if direction == "forward":
        dy = dy[..., 1:-1, 1:-1]
    data = x.astype(dtype), w.astype(dtype), dy.astype(dtype)
    assert_within_bound(direction, data, algorithm, padding=padding)


@pytest.mark.parametrize("direction", ["forward", "input_grad", "kernel_grad"])
def test_what_a_transform_worked_in_is_let_go_before_direct_summation(
    direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf: list[scratch.Scratch] = []
    monkeypatch.setattr(scratch, "_shelf", shelf)
    x, w = (1, 8, 20, 20), (8, 8, 3, 3)
    shapes = (x, x) if direction == "kernel_grad" else (x, w)
    first, second = (np.ones(shape, np.float32) for shape in shapes)
    plan = npconv.plan_conv(x, w, direction=direction, padding=1, algorithm="fft")
    plan(first, second)
    worked_in = {role for kept in shelf for role in kept._buffers}
    assert worked_in
    first[0, 0, 3, 3] = np.nan
    plan(first, second)
    assert not worked_in <= {role for kept in shelf for role in kept._buffers}
