"""Plans: what is printed, what is frozen, what runs, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import npconv
from checks import DEPTHWISE, DIRECT
from npconv import DTypeError, ShapeError, UnsupportedError, blas, trusted
from npconv.algorithms import REGISTRY
from npconv.compiled import why_missing
from oracle import Array, Conv

X, W = (2, 4, 9, 8), (6, 2, 3, 3)
OPTIONS: dict[str, Any] = {"stride": (2, 1), "padding": [(0, 1), (2, -1)], "groups": 2}
ORACLE = Conv(X, W, **OPTIONS)
Y = ORACLE.output_shape
DIRECTIONS = ("forward", "input_grad", "kernel_grad")
# Those that serve a stride and several channels, to the same bits.
ALGORITHMS = ("auto", *(name for name in DIRECT if name not in DEPTHWISE))


def numbers(shape: tuple[int, ...], dtype: Any = "f4") -> Array:
    return np.random.default_rng(sum(shape)).integers(-4, 5, shape).astype(dtype)


def plan_of(direction: str = "forward", **options: Any) -> npconv.Plan:
    return npconv.plan_conv(X, W, direction=direction, **{**OPTIONS, **options})


def operands(direction: str, dtype: Any = "f4") -> tuple[Array, Array]:
    x, w, dy = numbers(X, dtype), numbers(W, dtype), numbers(Y, dtype)
    return {"forward": (x, w), "input_grad": (dy, w), "kernel_grad": (dy, x)}[direction]


def right(direction: str) -> Array:
    return getattr(ORACLE, direction)(*operands(direction))  # type: ignore[no-any-return] # by name


# --- what a plan says ----------------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_names_and_numbers(direction: str) -> None:
    plan = plan_of(direction)
    assert plan.algorithm in npconv.algorithms()
    assert plan.engine == REGISTRY[plan.algorithm].engine == "compiled"
    assert 0 < plan.workspace_bytes <= 64 * 2**20
    terms = {"forward": 18, "input_grad": 27, "kernel_grad": 2 * Y[2] * Y[3]}[direction]
    assert 1 < plan.error_growth <= terms + 1
    for name in ALGORITHMS[1:]:
        assert plan_of(direction, algorithm=name).algorithm == name


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_print_shows_every_candidate(direction: str) -> None:
    plan = plan_of(direction)
    text = str(plan)
    assert f"{direction}: {X} * {W} -> {Y}, float32" in text
    for name in [name for name in ALGORITHMS[1:] if REGISTRY[name].engine == "numpy"]:
        other = plan_of(direction, algorithm=name)
        (line,) = [line for line in text.splitlines() if re.match(rf"  (->|  ) {name} ", line)]
        assert line.startswith("  ->") == (name == plan.algorithm)
        assert f"{2 * 6 * Y[2] * Y[3] * 18:,}" in line  # products of direct summation
        assert f"{other.workspace_bytes / 2**20:.2f} MiB" in line
        assert f"{other.error_growth:.4g}" in line
    for head in ("algorithm", "ms/image", "products", "workspace", "growth"):
        assert head in text
    assert f"{plan.algorithm} on the compiled engine, accuracy 'standard'" in text
    assert "workspace: at most 64 MiB (workspace_limit)" in text
    assert "depends neither on the batch it is in nor on threads" in text


def test_print_says_so_when_nothing_holds_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_libraries", list)
    assert "but BLAS, which nothing holds to one thread, may add in another order" in str(
        plan_of(algorithm="im2col")
    )
    assert "BLAS" not in str(plan_of(algorithm="direct"))


def test_print_gives_the_reason_of_who_cannot_serve() -> None:
    exact = str(npconv.plan_conv((1, 1, 5), (1, 1, 3), dtype=object))
    assert "im2col         not able: it multiplies matrices of machine numbers" in exact
    with npconv.settings(workspace_limit=30_000):
        small = str(npconv.plan_conv((1, 1, 60, 60), (1, 1, 12, 12), direction="kernel_grad"))
    assert re.search(
        r"fft +not able: its smallest tile needs [\d,]+ bytes of workspace, but "
        "workspace_limit=30,000",
        small,
    )


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_growth_is_stated_for_the_result(direction: str) -> None:
    """Exact numbers do not round; halves are rounded once after sums in float32."""
    assert plan_of(direction, dtype=int).error_growth == 0
    assert plan_of(direction, dtype=object).error_growth == 0
    assert 1 < plan_of(direction, dtype="float16").error_growth < 1.1
    assert plan_of(direction, dtype="f8").error_growth == plan_of(direction).error_growth


# --- what a plan does ----------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_runs_and_takes_out(direction: str, algorithm: str) -> None:
    plan, (first, second) = plan_of(direction, algorithm=algorithm), operands(direction)
    result = plan(first, second)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, right(direction))
    out = np.full_like(result, np.nan)
    assert plan(first, second, out=out) is out
    assert plan(first, second, None, out) is out
    np.testing.assert_array_equal(out, result)


def test_bias_goes_with_forward_alone() -> None:
    x, w = operands("forward")
    bias = numbers((6,))
    wanted = ORACLE.forward(x, w, bias)
    np.testing.assert_array_equal(plan_of()(x, w, bias), wanted)
    np.testing.assert_array_equal(plan_of()(x, w, bias.astype(float).tolist()), wanted)
    for direction in ("input_grad", "kernel_grad"):
        with pytest.raises(UnsupportedError, match=f"bias is no part of direction='{direction}'"):
            plan_of(direction)(*operands(direction), bias)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_other_shapes_and_dtypes_are_errors(direction: str) -> None:
    plan, (first, second) = plan_of(direction), operands(direction)
    names = {
        "forward": ("input", "kernel"),
        "input_grad": ("grad_output", "kernel"),
        "kernel_grad": ("grad_output", "input"),
    }[direction]
    for wrong in (first[:1], first[..., :-1], first[0]):
        with pytest.raises(
            ShapeError, match=rf"{names[0]} must have shape .* but {names[0]}.shape="
        ):
            plan(wrong, second)
    with pytest.raises(ShapeError, match=f"{names[1]} must have shape"):
        plan(first, second[:, :1])
    for dtype in (float, np.float16, int, complex):
        with pytest.raises(DTypeError, match=f"{names[0]} must have the plan's dtype float32"):
            plan(first.astype(dtype), second)
        with pytest.raises(DTypeError, match=rf"{names[1]}.dtype={np.dtype(dtype)}; plan for that"):
            plan(first, second.astype(dtype))


def test_foreign_byte_order_is_the_same_dtype() -> None:
    x, w = operands("forward")
    result = plan_of()(x.astype(">f4"), w.astype(">f4"))
    assert result.dtype.isnative
    np.testing.assert_array_equal(result, right("forward"))
    np.testing.assert_array_equal(plan_of(dtype=">f4")(x, w), result)


@pytest.mark.parametrize("dtype", ["i1", "u1", "?", "i8", "u8", "f2", "f8", "F", "O"])
def test_dtype_is_that_of_both_operands(dtype: str) -> None:
    x, w = abs(numbers(X, int)).astype(dtype), abs(numbers(W, int)).astype(dtype)
    result = plan_of(dtype=dtype)(x, w)
    wanted = npconv.conv(x, w, **OPTIONS)
    assert result.dtype == wanted.dtype
    np.testing.assert_array_equal(result, wanted)


def test_a_plan_freezes_its_settings() -> None:
    with npconv.settings(workspace_limit=20_000, accuracy="strict"):
        small = npconv.plan_conv((1, 8, 40, 40), (8, 8, 3, 3))
    free = npconv.plan_conv((1, 8, 40, 40), (8, 8, 3, 3))
    x, w = numbers((1, 8, 40, 40)), numbers((8, 8, 3, 3))
    assert small.workspace_bytes <= 20_000 < free.workspace_bytes
    assert "accuracy 'strict'" in str(small)
    with npconv.settings(workspace_limit=1):  # too little for any new plan
        np.testing.assert_array_equal(small(x, w), free(x, w))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_measure_returns_the_better_plan(direction: str) -> None:
    for dtype in ("f4", "f8", "F", int, object):
        plan = plan_of(direction, dtype=dtype).measure()
        assert isinstance(plan, npconv.Plan)
        assert plan.algorithm in npconv.algorithms()
        plan(*operands(direction, dtype))
    measured = plan_of(direction).measure()
    np.testing.assert_array_equal(measured(*operands(direction)), right(direction))


# --- packed kernels ------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [2**26, 3000])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("direction", ["forward", "input_grad"])
def test_packed_kernels_give_the_same_bits(direction: str, algorithm: str, limit: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(X if direction == "forward" else Y).astype("f4")
    w = rng.standard_normal(W).astype("f4")
    if algorithm == "direct":
        limit = 2**20  # its buffer is of one size
    with npconv.settings(workspace_limit=limit):
        plan = plan_of(direction, algorithm=algorithm)
        other = plan_of(direction, algorithm=algorithm)
    wanted = plan(x, w)
    for kernel in (w.copy(), np.asfortranarray(w), w.astype(">f4")):
        packed = plan.pack(kernel)
        kernel[...] = np.nan  # a packed kernel is a copy
        assert plan(x, packed).tobytes() == wanted.tobytes()
        assert other(x, packed).tobytes() == wanted.tobytes()
        assert plan(x, packed).tobytes() == wanted.tobytes()  # and is not used up


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("direction", DIRECTIONS[:2])
def test_a_packed_kernel_may_be_infinite(direction: str, algorithm: str) -> None:
    plan = npconv.plan_conv(
        (1, 4, 9, 9), (4, 4, 3, 3), padding=1, direction=direction, algorithm=algorithm
    )
    w = np.ones((4, 4, 3, 3), np.float32)
    w[1, 2, 0, 0] = np.inf
    x = np.ones((1, 4, 9, 9), np.float32)
    np.testing.assert_array_equal(plan(x, plan.pack(w)), plan(x, w))


def test_packed_complex_kernels_and_integers() -> None:
    for dtype in ("F", int):
        for direction in ("forward", "input_grad"):
            plan, (first, w) = plan_of(direction, dtype=dtype), operands(direction, dtype)
            w = w * (1 + 2j) if dtype == "F" else w
            w = w.astype(dtype)
            np.testing.assert_array_equal(plan(first, plan.pack(w)), plan(first, w))


def test_foreign_packed_kernels_are_refused() -> None:
    x, w = operands("forward")
    plan, packed = plan_of(), plan_of().pack(w)
    foreign = [
        plan_of(padding=0),
        plan_of(algorithm=next(a for a in npconv.algorithms() if a != plan.algorithm)),
        plan_of("input_grad"),
        plan_of(dtype=float),
        npconv.plan_conv((3, *X[1:]), W, **OPTIONS),
    ]
    for other in foreign:
        with pytest.raises(UnsupportedError, match="kernel was packed by a plan for another"):
            other(np.zeros(other.choice.problem.input_shape, other.choice.numbers.result)
                  if other.choice.direction.value == "forward"
                  else np.zeros(Y, "f4"), packed)  # fmt: skip
    with pytest.raises(DTypeError, match="input must be an array, not a packed kernel"):
        plan_of("kernel_grad")(numbers(Y), packed)
    with pytest.raises(UnsupportedError, match="direction='kernel_grad' takes no kernel"):
        plan_of("kernel_grad").pack(w)
    with pytest.raises(ShapeError, match="kernel must have shape"):
        plan.pack(w[:3])
    with pytest.raises(DTypeError, match="input must be"):
        plan(packed, w)
    with pytest.raises(DTypeError, match="kernel must be"):
        npconv.conv(x, packed, **OPTIONS)


@pytest.mark.skipif(bool(why_missing()), reason="the compiled engine is not there")
def test_small_calls_go_straight_to_machine_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is to be checked but how arrays lie; all else goes the long way, as before."""
    x, w = operands("forward")
    dy, bias = numbers(Y), numbers(Y[1:2])
    plan = plan_of(algorithm="direct")
    packed = plan.pack(w)
    options: dict[str, Any] = {**OPTIONS, "algorithm": "direct"}

    def everything() -> list[Array]:
        grads = npconv.conv_backward(dy, x, w, needs=("input", "kernel"), **options)
        assert grads.input is not None
        assert grads.kernel is not None
        out = [np.empty(Y, np.float32) for _ in range(2)]
        assert plan(x, packed, bias, out[0]) is out[0]
        assert npconv.conv(x, w, bias, out=out[1][..., ::-1], **options).base is out[1]
        return [plan(x, w), npconv.conv(x, w, bias, **options), grads.input, grads.kernel, *out]

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("the long way")

    expected = everything()
    monkeypatch.setattr(trusted, "each_image", never)
    monkeypatch.setattr(trusted, "all_images", never)
    for found, exact in zip(everything(), expected, strict=True):
        np.testing.assert_array_equal(found, exact)
    long: list[Callable[[], object]] = [
        lambda: npconv.conv(x, w, bias[::-1], **options),
        lambda: npconv.conv(x, w, bias.astype("f8"), dtype="f4", **options),
        lambda: npconv.conv(x.astype(int), w.astype(int), **options),
        lambda: npconv.conv(x.astype(">f4"), w, **options),
        lambda: npconv.conv_input_grad(dy, np.full_like(w, np.inf), X, **options),
    ]
    for call in long:
        with pytest.raises(AssertionError, match="the long way"):
            call()
    with pytest.raises(ShapeError, match="input must have shape"):
        plan(x[:1], w)
    with pytest.raises(ShapeError, match="bias must have shape"):
        npconv.conv(x, w, bias[1:], **options)
    for kernel in (w, packed):
        with pytest.raises(DTypeError, match="out must have the result's dtype"):
            plan(x, kernel, out=np.empty(Y))
    memory = np.zeros(dy.size + x.size, np.float32)
    with pytest.raises(UnsupportedError, match="out must not overlap an operand"):
        plan_of("input_grad", algorithm="direct")(
            memory[: dy.size].reshape(Y), w, out=memory[-x.size - 1 : -1].reshape(X)
        )
