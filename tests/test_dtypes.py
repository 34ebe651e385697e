"""Every dtype, exact where exactness is possible, with the dtype the contract gives it."""

from __future__ import annotations

import random

import numpy as np
import pytest

import npconv
from checks import DIRECT, check_exact, serves
from dtypes import HALVES, RESULTS, dtype_of
from npconv.products import matmul
from oracle import Array
from problems import FEATURES, random_problem

PROBLEMS = 40


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("algorithm", DIRECT)
def test_exact_sums_come_out_exact(name: str, algorithm: str) -> None:
    served = 0
    for seed in range(PROBLEMS):
        problem = random_problem(random.Random(seed), max_products=500, served=FEATURES)
        check_exact(problem, seed, name, [algorithm])
        served += serves(problem, algorithm, dtype_of(name))
    if algorithm == "depthwise":  # what halves are added up in, too
        assert (served > 0) == ("float" in name)
    elif algorithm == "direct":
        assert (served > 0) == (RESULTS[name] != "object" and "complex" not in name)
    elif algorithm in ("flat", "slices"):  # no holes, or one channel in a group
        assert (served > 0) == (RESULTS[name] != "object")
    else:
        assert served == (0 if algorithm == "im2col" and RESULTS[name] == "object" else PROBLEMS)


@pytest.mark.parametrize(
    ("first", "second", "result"),
    [
        ("float32", "float64", "float64"),
        ("int8", "float16", "float16"),
        ("int64", "float32", "float64"),
        ("float32", "complex64", "complex64"),
        ("bool", "uint8", "int64"),
        ("bfloat16", "float16", "float32"),
        (">f4", ">f4", "float32"),
        (">i2", "i4", "int64"),
    ],
)
def test_result_dtypes_are_numpys(first: str, second: str, result: str) -> None:
    x, w = np.ones((1, 1, 4), first), np.ones((1, 1, 2), second)
    y = npconv.conv(x, w)
    assert y.dtype == np.dtype(result)
    assert y.dtype.isnative
    np.testing.assert_array_equal(y.astype(complex), 2)


def test_dtype_casts_both_operands_first() -> None:
    x, w = np.full((1, 1, 3), 1 + 2**-20), np.ones((1, 1, 1))
    np.testing.assert_array_equal(npconv.conv(x, w, dtype="float16"), 1)
    assert npconv.conv(x, w, dtype="float16").dtype == np.float16
    assert npconv.conv(np.ones((1, 1, 3), int), np.ones((1, 1, 1), int), dtype="i1").dtype == "i1"


@pytest.mark.parametrize(
    ("operand", "dtype"),
    [("float32", "int32"), ("complex64", "float32"), ("int64", "bool"), ("float64", "object")],
)
def test_casts_that_lose_meaning_are_refused(operand: str, dtype: str) -> None:
    x = np.ones((1, 1, 3), operand)
    with pytest.raises(npconv.DTypeError, match=r"dtype=bool|lose its meaning"):
        npconv.conv(x, x, dtype=dtype)


def test_integers_that_might_not_fit_are_refused_exactly() -> None:
    w = np.full((1, 1, 2), 2**31)
    largest = (2**63 - 1) // 2**32
    out = np.full((1, 1, 1), 7)
    npconv.conv(np.full((1, 1, 2), largest), w, out=out)
    assert out[0, 0, 0] == largest * 2**32
    with pytest.raises(npconv.RangeError, match=r"2 \* max\|input\| 2147483648 \* max\|kernel\|"):
        npconv.conv(np.full((1, 1, 2), largest + 1), w, out=out)
    assert out[0, 0, 0] == largest * 2**32, "nothing is written by a call that raises"
    bias = np.array([2**63 - 1 - largest * 2**32])
    assert npconv.conv(np.full((1, 1, 2), largest), w, bias)[0, 0, 0] == 2**63 - 1
    with pytest.raises(npconv.RangeError, match=r"max\|bias\|"):
        npconv.conv(np.full((1, 1, 2), largest), w, bias + 1)


def test_unsigned_results_take_nothing_negative() -> None:
    x = np.array([[[1, -1]]])
    with pytest.raises(npconv.RangeError, match="uint8 cannot be negative, but input holds -1"):
        npconv.conv(x, np.ones((1, 1, 1), int), dtype="uint8")
    with pytest.raises(npconv.RangeError, match="127"):
        npconv.conv(np.full((1, 1, 1), 128), np.ones((1, 1, 1), int), dtype="int8")


def test_the_most_negative_integer_counts_with_its_true_size() -> None:
    x = np.array([[[-(2**63)]]])
    with pytest.raises(npconv.RangeError, match=str(2**63)):
        npconv.conv(x, np.ones((1, 1, 1), int))


@pytest.mark.parametrize("bits", [3, 10, 20, 26, 31, 40, 62])
def test_integer_matrix_products_are_exact_at_every_size(bits: int) -> None:
    rng = np.random.default_rng(bits)
    for other in (2, 13, 62 - bits):
        a = rng.integers(-(2**bits), 2**bits, (2, 5, 70))
        b = rng.integers(-(2 ** max(other, 0)), 2 ** max(other, 0) + 1, (70, 4))
        product = matmul(a, b, np.empty((2, 5, 4), np.int64))
        exact = a.astype(object) @ b.astype(object)
        np.testing.assert_array_equal(product, wrapped(exact))


def wrapped(exact: Array) -> Array:
    """Integers modulo 2**64, as int64 holds them."""
    return np.array([(int(i) + 2**63) % 2**64 - 2**63 for i in exact.ravel()]).reshape(exact.shape)


def test_complex_gradients_conjugate_the_other_operand() -> None:
    x, w = np.array([[[1 + 2j]]]), np.array([[[3 - 1j]]])
    gradients = npconv.conv_backward(np.array([[[1j]]]), x, w)
    assert gradients.input is not None
    assert gradients.kernel is not None
    assert gradients.input[0, 0, 0] == 1j * (3 + 1j)
    assert gradients.kernel[0, 0, 0] == 1j * (1 - 2j)
    transposed = npconv.conv_transpose(x, w)
    assert transposed[0, 0, 0] == (1 + 2j) * (3 - 1j)


@pytest.mark.parametrize("name", HALVES)
def test_half_precision_sums_in_float32(name: str) -> None:
    """A thousand and one ones: half precision itself would stop adding long before."""
    dtype, n = dtype_of(name), 1001
    x, w = np.ones((1, n, 1), dtype), np.ones((1, n, 1), dtype)
    assert npconv.conv(x, w)[0, 0, 0] == np.array(n).astype(dtype)
    growth = npconv.plan_conv(x.shape, w.shape, dtype=dtype).error_growth
    assert 1 < growth < 1.2
