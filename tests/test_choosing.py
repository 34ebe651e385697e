"""What the gates said is remembered; and no call passes because another one did."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import npconv
from npconv import cutting, execute, planner
from npconv.algorithms import REGISTRY
from npconv.errors import ConvError, DTypeError, ShapeError, UnsupportedError
from npconv.options import is_plain

X, W = np.ones((2, 3, 6, 6)), np.ones((4, 3, 3, 3))
DY = np.ones((2, 4, 6, 6))


def backward(dy: Any = DY, needs: Any = ("input", "kernel", "bias"), **options: Any) -> Any:
    return npconv.conv_backward(dy, X, W, needs=needs, **{"padding": 1, **options})


@pytest.mark.parametrize("value", [1, "auto", None, (), (1, (2, "a"), None), ((1, 2), (3, 4))])
def test_plain_values(value: Any) -> None:
    assert is_plain(value)


@pytest.mark.parametrize(
    "value",
    [True, 1.0, np.int64(1), [1], (1, True), ((1, 2), (3, 4.0)), {1}, Fraction(1), np.ones(1)],
)
def test_values_that_are_not_plain(value: Any) -> None:
    assert not is_plain(value)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"padding": True}, DTypeError),
        ({"padding": 1.0}, DTypeError),
        ({"padding": (1, True)}, DTypeError),
        ({"stride": 0}, ShapeError),
        ({"stride": True}, DTypeError),
        ({"groups": 2}, ShapeError),
        ({"dy": np.ones((2, 4, 5, 6))}, ShapeError),
        ({"dy": DY.astype(str)}, DTypeError),
        ({"dtype": np.dtype(np.int64)}, DTypeError),
        ({"dtype": "nonsense"}, DTypeError),
        ({"dtype": np.dtype(bool)}, DTypeError),
        ({"algorithm": "nobody"}, UnsupportedError),
        ({"algorithm": 1}, UnsupportedError),
        ({"needs": ("input", "weight")}, UnsupportedError),
        ({"needs": "inputkernel"}, UnsupportedError),
        ({"needs": ["kernel", ["input"]]}, UnsupportedError),
        ({"needs": None}, UnsupportedError),
        ({"needs": 3}, UnsupportedError),
        ({"strides": 1}, TypeError),
    ],
)
def test_a_call_that_is_wrong_fails_every_time(
    options: dict[str, Any], error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    backward()
    for name in ("input_grad", "kernel_grad", "bias_grad"):  # what fails, fails before them
        monkeypatch.setattr(execute, name, lambda *_: pytest.fail("it computed"))
    for _ in range(3):
        with pytest.raises(error):
            backward(**options)


def test_the_first_wrong_thing_is_told_as_it_was_without_memory() -> None:
    wrong: dict[str, Any] = {"dy": DY[:1], "algorithm": "nobody", "dtype": np.dtype(bool)}
    with pytest.raises(ShapeError, match="grad_output must have shape"):
        backward(**wrong)
    with pytest.raises(ShapeError, match="stride"):
        backward(stride=0, **wrong)
    with pytest.raises(UnsupportedError, match="algorithm"):
        backward(algorithm="nobody", dtype=np.dtype(bool))


@pytest.mark.parametrize(
    "needs", ["kernel", ["kernel"], {"kernel"}, {"kernel": 1}, ("kernel", "kernel")]
)
def test_needs_come_in_many_forms(needs: Any) -> None:
    grads = backward(needs=needs)
    assert grads.input is None
    assert grads.bias is None
    assert np.array_equal(grads.kernel, backward().kernel)


def test_none_and_float64_are_not_the_same_dtype() -> None:
    operands = [array.astype("f4") for array in (DY, X, W)]
    for dtype, found in [(None, "f4"), (np.dtype("f8"), "f8"), (None, "f4"), ("f8", "f8")]:
        grads = npconv.conv_backward(*operands, padding=1, dtype=dtype)
        assert {grad.dtype for grad in grads if grad is not None} == {np.dtype(found)}


def test_settings_are_part_of_what_is_remembered() -> None:
    backward()
    with npconv.settings(engine="numpy", workspace_limit=1), pytest.raises(ConvError):
        backward(algorithm="im2col")
    assert backward().input.shape == X.shape


def test_operands_of_other_dtypes_are_another_call() -> None:
    for x, w in [("f4", "f8"), ("f8", "f4"), ("f4", "f4")]:
        grads = npconv.conv_backward(DY.astype("f4"), X.astype(x), W.astype(w), padding=1)
        assert grads.input is not None
        assert grads.kernel is not None
        assert (grads.input.dtype, grads.kernel.dtype) == (np.dtype(w), np.dtype(x))
        assert grads.bias is not None
        assert grads.bias.dtype == "f4"


def test_a_bias_gradient_does_not_depend_on_groups() -> None:
    rng = np.random.default_rng(0)
    dy = rng.standard_normal((2, 12, 16, 16)).astype("f4")
    x = rng.standard_normal((2, 12, 16, 16)).astype("f4")
    one, each = (
        npconv.conv_backward(dy, x, np.ones(shape, "f4"), padding=1, groups=groups, needs="bias")
        for shape, groups in (((12, 12, 3, 3), 1), ((12, 1, 3, 3), 12))
    )
    assert one.bias is not None
    assert each.bias is not None
    assert one.bias.tobytes() == each.bias.tobytes()


def test_only_algorithms_that_can_serve_are_asked_for_their_costs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, ask = [], planner._ask

    def counted(name: str, *what: Any, **how: Any) -> Any:
        asked.append(name)
        return ask(name, *what, **how)

    monkeypatch.setattr(planner, "_ask", counted)
    shapes = (2, 3, 41, 43), (5, 3, 3, 3)  # nobody else's: choices are remembered
    plan = npconv.plan_conv(*shapes, algorithm="im2col")
    assert set(asked) == {"im2col"}
    assert all(name in str(plan) for name in REGISTRY)
    assert set(asked) == set(REGISTRY)
    asked.clear()
    with npconv.settings(engine="numpy", accuracy="strict"):
        npconv.plan_conv(*shapes)
    assert set(asked) == {
        name for name, each in REGISTRY.items()
        if each.direct and each.engine == "numpy" and name != "slices"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("x", "w", "rival"),
    [
        ((1, 16, 28, 28), (1024, 16, 1, 1), "im2col"),
        ((1, 16, 64, 64), (16, 16, 31, 31), "fft"),
    ],
)
def test_numpy_has_to_be_far_ahead_where_machine_code_serves(
    x: Any, w: Any, rival: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba")
    choose: Any = planner.choose

    def name(engine: str) -> str:
        with npconv.settings(engine=engine):
            given = npconv.plan_conv(x, w).choice
        # Not as it is remembered; for one call, in which a kernel is packed.
        made = choose.__wrapped__(given.problem, given.direction, given.numbers, given.settings)
        return str(made.best.name)

    if rival == "im2col":  # by the estimates it is ahead, on every machine, by less than a half
        assert name("compiled") == "direct"
    alone, sums = name("numpy"), REGISTRY[rival].direct
    for factor, chosen in ((1e9, "direct"), (1e-9, rival)):
        monkeypatch.setattr(planner, "HESITATION", {sums: factor, not sums: 1e9})
        assert name("compiled") == chosen
        assert name("numpy") == alone


def test_a_cut_is_found_once_whether_the_kernel_is_packed_or_not() -> None:
    x, w = np.ones((3, 5, 13, 11), "float32"), np.ones((7, 5, 3, 3), "float32")
    before = cutting.find_cut.cache_info().misses
    npconv.plan_conv(x.shape, w.shape, algorithm="im2col")
    found = cutting.find_cut.cache_info().misses
    assert found == before + 1
    npconv.conv(x, w, algorithm="im2col")
    assert cutting.find_cut.cache_info().misses == found
    npconv.conv(x, w[:, :, :2], algorithm="im2col")
    assert cutting.find_cut.cache_info().misses == found + 1
