"""`gradcheck`: it finds wrong gradients, complex ones too, and says what it cannot take."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import npconv
from npconv import ConvError, DTypeError, ShapeError, UnsupportedError
from oracle import Array

wrong: Any = npconv  # for calls that mypy would refuse, too


def normals(*shape: int, imaginary: bool = False, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    numbers = rng.standard_normal(shape)
    return numbers + 1j * rng.standard_normal(shape) if imaginary else numbers


FUNCTIONS: dict[str, tuple[Callable[..., Array], list[tuple[int, ...]]]] = {
    "conv": (partial(npconv.conv, stride=2, padding=1), [(2, 2, 5, 4), (3, 2, 3, 2), (3,)]),
    "conv1d": (npconv.conv1d, [(2, 2, 5), (3, 2, 3)]),
    "conv_transpose": (partial(npconv.conv_transpose, groups=2), [(1, 2, 4), (2, 3, 2), (6,)]),
    "conv_input_grad": (
        partial(npconv.conv_input_grad, input_shape=(1, 2, 6), stride=2),
        [(1, 3, 2), (3, 2, 3)],
    ),
    "conv_kernel_grad": (
        partial(npconv.conv_kernel_grad, kernel_shape=(3, 2, 3), stride=2),
        [(1, 3, 2), (1, 2, 6)],
    ),
}


@pytest.mark.parametrize("imaginary", [[], [0], [1], [0, 1]])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_real_complex_and_mixed(name: str, imaginary: list[int]) -> None:
    f, shapes = FUNCTIONS[name]
    inputs = [
        normals(*shape, imaginary=i in imaginary or (i == 2 and bool(imaginary)), seed=i)
        for i, shape in enumerate(shapes)
    ]
    report = npconv.gradcheck(f, inputs)
    assert report, report
    assert len(report.entries) == len(inputs)


def test_a_gradient_without_its_conjugate_is_found() -> None:
    x, w = normals(1, 2, 5, imaginary=True), normals(3, 2, 3, imaginary=True, seed=1)

    def unconjugated(dy: Array, x: Array, w: Array) -> tuple[Array, ...]:
        return npconv.conv_backward(dy, x.conj(), w.conj())[:2]  # type: ignore[return-value] # both are needed

    report = npconv.gradcheck(npconv.conv, (x, w), unconjugated)
    assert not report
    assert "FAIL inputs[0]" in str(report)
    assert "j" in str(report.entries[0].analytic)


def test_inputs_are_left_as_they_were() -> None:
    x, w = normals(1, 2, 5, imaginary=True), normals(3, 2, 3)
    before = x.tobytes(), w.tobytes()
    npconv.gradcheck(npconv.conv, (x, w))
    assert (x.tobytes(), w.tobytes()) == before


X, W = np.ones((1, 1, 4)), np.ones((1, 1, 2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: wrong.gradcheck(npconv.conv, X), DTypeError, "inputs must be a tuple or list"),
        (lambda: wrong.gradcheck(npconv.conv, None), DTypeError, "inputs must be"),
        (lambda: wrong.gradcheck(npconv.conv, ("x", W)), DTypeError, r"inputs\[0\]"),
        (
            lambda: wrong.gradcheck(npconv.conv, (X, W.astype(int).astype(object))),
            DTypeError,
            "machine",
        ),
        (lambda: wrong.gradcheck(npconv.conv, (X, W), rtol="x"), DTypeError, "rtol"),
        (lambda: wrong.gradcheck(npconv.conv, (X, W), rtol=0), UnsupportedError, "rtol"),
        (
            lambda: wrong.gradcheck(npconv.conv, (X, W), h=-1),
            UnsupportedError,
            "h must be positive",
        ),
        (lambda: wrong.gradcheck(npconv.conv, (X, W), h="x"), DTypeError, "h must be"),
        (lambda: wrong.gradcheck(npconv.conv, (X, W), seed=1.5), DTypeError, "seed"),
        (lambda: wrong.gradcheck(npconv.conv, (X, W), seed=-1), ShapeError, "seed"),
        (lambda: wrong.gradcheck(5, (X, W)), UnsupportedError, "grads must be given"),
        (lambda: wrong.gradcheck(5, (X,), lambda *_: ()), DTypeError, "f must be callable"),
        (lambda: wrong.gradcheck(np.sin, (X,), 5), DTypeError, "grads must be callable"),
        (lambda: wrong.gradcheck(lambda *_: "y", (X,), np.cos), DTypeError, "the result of f"),
        (lambda: wrong.gradcheck(np.sin, (X,), lambda *args: args[0]), ShapeError, "tuple of one"),
        (lambda: wrong.gradcheck(np.sin, (X,), lambda *args: args), ShapeError, "tuple of 2"),
        (lambda: wrong.gradcheck(np.sin, (X,), lambda *_: ("x",)), DTypeError, "gradient of"),
        (
            lambda: wrong.gradcheck(np.sin, (X,), lambda *args: (args[1][0],)),
            ShapeError,
            "its shape",
        ),
    ],
)
def test_what_it_cannot_take_is_said(
    call: Callable[[], Any], error: type[ConvError], message: str
) -> None:
    with pytest.raises(error, match=message):
        call()
