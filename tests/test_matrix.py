"""`conv_matrix`: the same linear map as `conv`, bit for bit on small integers."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from scipy import sparse

import npconv
from npconv import CapacityError, DTypeError
from problems import FEATURES, NAMED, RandomProblem, random_problem


def check(problem: RandomProblem, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, problem.input_shape).astype(dtype)
    w = rng.integers(-4, 5, problem.kernel_shape).astype(dtype)
    if np.dtype(dtype).kind == "c":
        w = w * dtype(1 + 2j)
    M = npconv.conv_matrix(x.shape, w, **problem.options)
    options = {**problem.options, "algorithm": "naive"}
    y = npconv.conv(x, w, **options)
    assert isinstance(M, sparse.csr_array)
    assert M.has_canonical_format
    assert M.shape == (y.size, x.size)
    assert M.dtype == y.dtype
    np.testing.assert_array_equal(M @ x.ravel(), y.ravel())
    dy = rng.integers(-4, 5, y.shape).astype(y.dtype)
    dx = npconv.conv_input_grad(dy, w, x.shape, **options)
    np.testing.assert_array_equal(M.conj().T @ dy.ravel(), dx.ravel())


@pytest.mark.parametrize("name", NAMED)
def test_named_problems(name: str) -> None:
    check(NAMED[name], np.float64)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.int8, np.int64])
def test_random_problems(dtype: Any) -> None:
    rng = random.Random(f"matrix {np.dtype(dtype)}")
    for _ in range(60):
        check(random_problem(rng, ranks=(1, 2, 3, 4), served=FEATURES), dtype)


def test_dtypes() -> None:
    def entries(w: Any, **options: Any) -> Any:
        return npconv.conv_matrix((1, 1, 4), w, **options).dtype

    assert entries([[[1, 2]]]) == np.int64
    assert entries(np.ones((1, 1, 2), bool)) == np.int64
    assert entries(np.ones((1, 1, 2), "i1"), dtype="f4") == np.float32
    assert entries(np.ones((1, 1, 2), ">f8")) == np.dtype("=f8")
    for kind in ("f2", "O"):
        with pytest.raises(DTypeError, match=r"no sparse arrays of .*dtype='float32'"):
            entries(np.ones((1, 1, 2), kind))


def test_too_large_a_matrix_is_refused_before_it_is_made() -> None:
    with pytest.raises(CapacityError, match=r"needs [\d,]+ bytes"):
        npconv.conv_matrix((1, 1, 2**20, 2**20), np.ones((1, 1, 3, 3)))


def test_without_scipy_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['scipy.sparse'] = None\n"
        "import npconv\n"
        "try: npconv.conv_matrix((1, 1, 4), [[[1.0]]])\n"
        "except npconv.MissingExtraError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'npconv[matrix]'" in run.stdout
