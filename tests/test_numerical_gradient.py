"""Central differences: right, in float64, and gone without a trace, also when `f` raises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import npconv
from npconv import UnsupportedError
from oracle import Array


def normals(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape)


def test_numerical_gradient_of_known_functions() -> None:
    x = normals(3, 4)
    gradient = npconv.numerical_gradient(lambda: np.sum(x**3), x)
    assert gradient.dtype == np.float64
    assert gradient.shape == x.shape
    np.testing.assert_allclose(gradient, 3 * x**2, rtol=1e-8, atol=1e-8)
    coarse = npconv.numerical_gradient(lambda: np.sum(x**3), x, h=0.5)
    np.testing.assert_allclose(coarse, 3 * x**2 + 0.25)  # (x+h)^3 - (x-h)^3 = 2h(3x^2 + h^2)
    scalar = np.array(2.0)
    assert npconv.numerical_gradient(lambda: scalar**2, scalar) == pytest.approx(4)
    assert npconv.numerical_gradient(lambda: 1, np.ones((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("dtype", [">f8", np.float32, ">f4", np.float16, np.longdouble])
def test_numerical_gradient_takes_the_step_that_was_made(dtype: Any) -> None:
    """In coarse dtypes x + h is not h away from x; the quotient counts what it is."""
    x = normals(5).astype(dtype)
    before = x.copy()
    gradient = npconv.numerical_gradient(lambda: float(np.sum(x.astype(float))), x, h=1e-3)
    np.testing.assert_allclose(gradient, 1, rtol=1e-9)
    assert gradient.dtype == np.float64
    np.testing.assert_array_equal(x, before)


def odd_values(dtype: Any) -> Array:
    return np.array([0.1, -0.0, np.inf, -np.inf, np.finfo(dtype).tiny / 8, 3.0], dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("fails_at", [0, 3, 4, None])
def test_x_is_left_as_it_was_even_if_f_raises(dtype: Any, fails_at: int | None) -> None:
    whole = np.repeat(odd_values(dtype), 2)
    whole.view(f"u{whole.itemsize}")[6] |= 5  # Inf becomes a NaN with a payload
    x, calls = whole[::-2], 0  # neither contiguous nor forwards
    before = whole.tobytes()

    def f() -> float:
        nonlocal calls
        calls += 1
        if calls - 1 == fails_at:
            raise ZeroDivisionError
        return 0.0

    with pytest.raises(UnsupportedError if fails_at is None else ZeroDivisionError):
        npconv.numerical_gradient(f, x, h=0.01)  # at the latest, no h moves Inf
    assert whole.tobytes() == before
