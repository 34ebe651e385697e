"""Hostile calls: each gives a right answer or an error that says what to change.

None crashes, hangs, changes what it was given, or allocates what it cannot have.  Those with a
right answer are in `test_hostile_forms`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import npconv
from hostile_calls import CALLS, REFUSED
from hostile_case import OPTIONS, Call, Case, numbers
from hostile_watch import watched
from npconv import CapacityError, ConvError, RangeError, ShapeError, UnsupportedError
from oracle import Array


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_refused(case: Case) -> None:
    arguments = case.arguments()
    error = watched(case.call.function, arguments)
    if not isinstance(error, case.value.error):
        raise AssertionError(f"{error!r}, not {case.value.error}")
    assert isinstance(error, ConvError)
    name = case.argument.removesuffix("_shape")
    assert not case.value.named or re.search(rf"\b{name}(_shape)?\b", str(error)), error


def test_there_are_hundreds() -> None:
    assert len({str(case) for case in REFUSED}) == len(REFUSED) > 1000


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.id)
def test_unknown_and_missing_arguments(call: Call) -> None:
    arguments = call.arguments()
    error = watched(call.function, {**arguments, "colour": 1})
    if call.function.__name__ != "run":  # which takes operands by any name, for a plan's
        assert isinstance(error, TypeError)
        assert "colour" in str(error)
    for missing in set(arguments) - {*OPTIONS, "bias", "h", "lr"}:
        rest = {name: value for name, value in arguments.items() if name != missing}
        if call.function.__name__ != "run":
            assert isinstance(watched(call.function, rest), TypeError), missing


# --- more than there is --------------------------------------------------------------------


def repeated(*shape: int) -> Array:
    """An array of any size, of one element."""
    return np.broadcast_to(np.float32(1), shape)


HUGE = 2**40
ONE = np.ones((1, 1, 1))
LAYER = npconv.Conv2dNumpy(1, 1, 1)
PLAN = npconv.plan_conv((1, 1, HUGE), (1, 1, 1))
TOO_LARGE: dict[str, tuple[type[ConvError], Callable[[], Any]]] = {
    "padding": (CapacityError, lambda: npconv.conv(ONE, ONE, padding=HUGE)),
    "padding_2_63": (CapacityError, lambda: npconv.conv(ONE, ONE, padding=2**63 - 1)),
    "size": (CapacityError, lambda: npconv.conv(repeated(1, 1, HUGE), ONE)),
    "batch": (CapacityError, lambda: npconv.conv(repeated(HUGE, 1, 1), ONE)),
    "kernels": (CapacityError, lambda: npconv.conv(ONE, repeated(HUGE, 1, 1))),
    "all_sizes": (CapacityError, lambda: npconv.conv(ONE, repeated(2**58, 1, 1), padding=2**62)),
    "channels": (UnsupportedError, lambda: npconv.conv(repeated(1, HUGE, 1), repeated(1, HUGE, 1))),
    "taps": (UnsupportedError, lambda: npconv.conv(repeated(1, 1, HUGE), repeated(1, 1, HUGE))),
    "dilation": (
        ShapeError,
        lambda: npconv.conv(np.ones((1, 1, 9)), np.ones((1, 1, 2)), dilation=HUGE),
    ),
    "naive": (CapacityError, lambda: npconv.conv2d_naive(repeated(1, 1, HUGE, 1), ONE[..., None])),
    "im2col": (
        CapacityError,
        lambda: npconv.conv2d_im2col(repeated(1, 1, HUGE, 1), ONE[..., None]),
    ),
    "input_grad": (
        CapacityError,
        lambda: npconv.conv_input_grad(ONE, ONE, (1, 1, HUGE), stride=HUGE),
    ),
    "kernel_grad_channels": (
        CapacityError,
        lambda: npconv.conv_kernel_grad(repeated(1, HUGE, 1), ONE, (HUGE, 1, 1)),
    ),
    "backward": (
        CapacityError,
        lambda: npconv.conv_backward(ONE, repeated(1, 1, HUGE), ONE, stride=HUGE),
    ),
    "columns": (CapacityError, lambda: npconv.im2col(repeated(1, 1, 2**21), 2**20)),
    "columns_padding": (CapacityError, lambda: npconv.im2col(ONE, 1, padding=HUGE)),
    "columns_of_nothing": (CapacityError, lambda: npconv.im2col(ONE[:0], 1, padding=2**62)),
    "replicated_columns": (
        CapacityError,
        lambda: npconv.im2col(ONE, 1, padding=HUGE, stride=HUGE, padding_mode="replicate"),
    ),
    "replicated_plane": (
        CapacityError,
        lambda: npconv.im2col(ONE[None], 1, padding=2**19, stride=2**19, padding_mode="replicate"),
    ),
    "replicated_col2im": (
        CapacityError,
        lambda: npconv.col2im(
            np.ones((1, 1, 9)),
            (1, 1, 1, 1),
            1,
            padding=2**19,
            stride=2**19,
            padding_mode="replicate",
        ),
    ),
    "replicated_input_grad": (
        CapacityError,
        lambda: npconv.conv_input_grad(
            np.ones((1, 1, 3)), ONE, (1, 1, 1), padding=HUGE, stride=HUGE, padding_mode="replicate"
        ),
    ),
    "col2im": (CapacityError, lambda: npconv.col2im(repeated(1, 1, HUGE), (1, 1, HUGE), 1)),
    "layer_channels": (CapacityError, lambda: npconv.Conv2dNumpy(HUGE, HUGE, 3)),
    "layer_kernel": (CapacityError, lambda: npconv.Conv2dNumpy(1, 1, HUGE)),
    "layer_out": (CapacityError, lambda: npconv.Conv2dNumpy(1, 2**62, 1)),
    "layer_forward": (
        CapacityError,
        lambda: LAYER.forward(repeated(1, 1, HUGE, 1)),
    ),
    "plan": (CapacityError, lambda: PLAN(repeated(1, 1, HUGE), ONE.astype("f4"))),
    "measure": (CapacityError, PLAN.measure),
    "plan_channels": (UnsupportedError, lambda: npconv.plan_conv((HUGE,) * 4, (HUGE, HUGE, 3, 3))),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_more_than_there_is(name: str) -> None:
    error_class, call = TOO_LARGE[name]
    error = watched(call, {})
    assert type(error) is error_class, repr(error)
    assert re.search(r"\d,\d{3},\d{3},\d{3}|2\*\*63|\d{12}", str(error)), "no size in it"


# --- integers that would not fit ------------------------------------------------------------


def ints(value: int, dtype: Any = int) -> Array:
    return np.full((1, 1, 3), value, dtype)


RANGES: dict[str, Callable[[], Any]] = {
    "input": lambda: npconv.conv(ints(2**62), ints(1)),
    "input_minus": lambda: npconv.conv(ints(-(2**63)), ints(1)),
    "input_uint64": lambda: npconv.conv(ints(2**64 - 1, np.uint64), ints(1, np.uint8)),
    "input_sum": lambda: npconv.conv(ints(2**61), ints(2)[..., :2]),
    "bias": lambda: npconv.conv(ints(1), ints(1), [2**63 - 2]),
    "bias_only": lambda: npconv.conv(ints(0), ints(0), [2**63]),
    "dtype": lambda: npconv.conv(ints(10), ints(5), dtype="int8"),
    "kernel_sign": lambda: npconv.conv(ints(1), ints(-1), dtype="uint8"),
    "input_grad": lambda: npconv.conv_input_grad(ints(2**62)[..., :1], ints(2), (1, 1, 3)),
    "kernel_grad": lambda: npconv.conv_kernel_grad(ints(2**62)[..., :1], ints(2), (1, 1, 3)),
    "grad_output": lambda: npconv.conv_backward(ints(2**62), ints(0), ints(0)[..., :1]),
    "plan": lambda: npconv.plan_conv((1, 1, 3), (1, 1, 3), dtype=int)(ints(2**62), ints(3)),
}


@pytest.mark.parametrize("name", RANGES)
def test_integers_that_might_not_fit(name: str) -> None:
    error = watched(RANGES[name], {})
    assert type(error) is RangeError, repr(error)
    assert "result" in str(error)


# --- results that would land on what they are computed from --------------------------------


@pytest.mark.parametrize(
    ("call", "operand"),
    [
        pytest.param(call, operand, id=f"{call.id}-{operand}")
        for call in CALLS
        if "out" in call.hostile
        for operand, value in call.arguments().items()
        if isinstance(value, np.ndarray)
    ],
)
def test_out_overlaps_an_operand(call: Call, operand: str) -> None:
    arguments = call.arguments()
    shape = call.function(**arguments).shape
    memory, size = numbers(1000), arguments[operand].size
    arguments[operand] = memory[:size].reshape(arguments[operand].shape)
    for start in (0, size - 1):
        out = memory[start:][: math.prod(shape)].reshape(shape)
        for shared in (out, np.flip(out), out.reshape(shape[::-1]).T):
            error = watched(call.function, {**arguments, "out": shared})
            assert isinstance(error, UnsupportedError)
            assert str(error).startswith("out must not overlap an operand")
