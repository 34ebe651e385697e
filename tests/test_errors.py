"""The texts of errors: each names the argument, what was needed, what came, and the sum between.

`FileFormatError` and `MissingExtraError` are tested where files are read and extras are needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import npconv
from checks import DEPTHWISE
from npconv import (
    CapacityError,
    ConvError,
    DTypeError,
    RangeError,
    ShapeError,
    StateError,
    UnsupportedError,
)
from npconv.errors import FileFormatError, MissingExtraError
from npconv.memory import total_memory
from oracle import Array

TREE: dict[type[ConvError], type[Exception]] = {
    ShapeError: ValueError,
    DTypeError: TypeError,
    UnsupportedError: ValueError,
    RangeError: OverflowError,
    CapacityError: MemoryError,
    StateError: RuntimeError,
    MissingExtraError: ImportError,
    FileFormatError: ValueError,
}


@pytest.mark.parametrize("error", TREE)
def test_each_error_is_of_the_tree_and_the_built_in(error: type[ConvError]) -> None:
    assert error.__bases__ == (ConvError, TREE[error])
    assert getattr(npconv, error.__name__) is error
    assert error.__name__ in npconv.__all__
    with pytest.raises(TREE[error], match="what to change"):
        raise error("what to change")


def test_the_tree_is_complete() -> None:
    here = {error for error in ConvError.__subclasses__() if error.__module__ == "npconv.errors"}
    assert here == set(TREE)
    assert ConvError.__bases__ == (Exception,)


# --- whole texts ---------------------------------------------------------------------------


def ones(*shape: int, dtype: Any = float) -> Array:
    return np.ones(shape, dtype)


def read_only(*shape: int) -> Array:
    array = ones(*shape)
    array.flags.writeable = False
    return array


X, W = ones(2, 8, 5, 5), ones(4, 8, 3, 3)
# What the type checker would refuse as well.
FLOAT: Any = 2.0
LIST: Any = []
EIGHT: Any = 8
SHAPES = "input.shape=(2, 8, 5, 5), kernel.shape=(4, 8, 3, 3)"
LINE = ones(1, 1, 5), ones(1, 1, 3)
SQUARE = ones(3, 8, 5, 5)
Texts = dict[str, Callable[[], Any]]

SHAPE_ERRORS: Texts = {
    "input has 8 channels but the kernel reads 6 (kernel.shape[1] * groups = 3 * 2); "
    "input.shape=(2, 8, 5, 5), kernel.shape=(4, 3, 3, 3)": lambda: npconv.conv(
        X, ones(4, 3, 3, 3), groups=2
    ),
    "input has 8 channels but the kernel reads 4 (kernel.shape[2] * groups = 4 * 1); "
    "input.shape=(2, 5, 5, 8), kernel.shape=(3, 3, 4, 6)": lambda: npconv.conv_output_shape(
        (2, 5, 5, 8), (3, 3, 4, 6), layout="NHWC", kernel_layout="HWIO"
    ),
    "kernel reaches beyond the padded input on spatial axis 1: it spans 7 (dilation * "
    "(size - 1) + 1 = 3 * (3 - 1) + 1) of 5 (input + padding = 5 + 1 + -1); " + SHAPES: lambda: (
        npconv.conv(X, W, dilation=(1, 3), padding=[(0, 0), (1, -1)])
    ),
    "kernel reaches beyond the padded input on spatial axis 0: it spans 6 (dilation * "
    "(size - 1) + 1 = 1 * (6 - 1) + 1) of 5 (input + padding = 5 + 0 + 0); "
    "input.shape=(2, 8, 5, 5), kernel_size=(6, 6)": lambda: npconv.im2col(X, 6),
    "groups must divide the kernel's output channels, but 5 % 2 = 1; "
    "input.shape=(2, 8, 5, 5), kernel.shape=(5, 4, 3, 3)": lambda: npconv.conv(
        X, ones(5, 4, 3, 3), groups=2
    ),
    "groups must divide in_channels, but 3 % 2 = 1": lambda: npconv.Conv2dNumpy(3, 4, 3, groups=2),
    "batch_groups must divide the batch, but 3 % 2 = 1; "
    "input.shape=(3, 2, 5), kernel.shape=(4, 2, 3)": lambda: npconv.conv(
        ones(3, 2, 5), ones(4, 2, 3), batch_groups=2
    ),
    "input must have a batch axis, a channel axis and at least one spatial axis, 3 axes or "
    "more, but it has 2; input.shape=(5, 5), kernel.shape=(4, 8, 3, 3)": lambda: npconv.conv(
        ones(5, 5), W
    ),
    "kernel must have as many axes as input, 4, but it has 3; "
    "input.shape=(2, 8, 5, 5), kernel.shape=(4, 8, 3)": lambda: npconv.conv(X, ones(4, 8, 3)),
    "kernel must have at least 1 element on every axis; "
    "input.shape=(2, 8, 5, 5), kernel.shape=(4, 8, 3, 0)": lambda: npconv.conv(X, ones(4, 8, 3, 0)),
    "conv2d needs an input of 4 axes (batch, channels, 2 spatial), or 3 without the batch, "
    "but it has 2; input.shape=(5, 5)": lambda: npconv.conv2d(ones(5, 5), W),
    "conv2d_naive takes input with the 4 axes (N, C, H, W), but it has 3; "
    "input.shape=(8, 5, 5)": lambda: npconv.conv2d_naive(X[0], W),
    "stride must be at least 1 on every axis, but stride=(1, 0)": lambda: npconv.conv(
        X, W, stride=(1, 0)
    ),
    "stride must be at least 1 on every axis, but stride=0": lambda: npconv.Conv2dNumpy(1, 1, 3, 0),
    "stride must be one integer or one for each of the 2 axes, but stride=(1, 1, 1) "
    "has 3": lambda: npconv.conv(X, W, stride=(1, 1, 1)),
    "padding must be at least 0 on every axis, but padding=-1; write (low, high) pairs, one "
    "per axis, to crop or to pad unevenly": lambda: npconv.conv(X, W, padding=-1),
    "padding must be one integer or one for each of the 1 axes, but padding=(1, 2) has 2; "
    "write padding=[(1, 2)] for low and high": lambda: npconv.conv(*LINE, padding=(1, 2)),
    "padding must have one (low, high) pair for each of the 2 axes, but padding=[(1, 2)] "
    "has 1": lambda: npconv.conv(X, W, padding=[(1, 2)]),
    "padding_mode='reflect' can pad at most 4 for an input of size 5, but spatial axis 0 is "
    "padded by (5, 5); " + SHAPES: lambda: npconv.conv(X, W, padding=5, padding_mode="reflect"),
    "bias must have shape (4,) (one number for each output channel), but bias.shape=(3,)": lambda: (
        npconv.conv(X, W, ones(3))
    ),
    "out must have shape (2, 4, 3, 3) (the result's), but out.shape=(1, 4, 3, 3)": lambda: (
        npconv.conv(X, W, out=ones(1, 4, 3, 3))
    ),
    "grad_output must have shape (2, 4, 4, 3) (the output's), but "
    "grad_output.shape=(2, 4, 3, 3)": lambda: npconv.conv_input_grad(
        ones(2, 4, 3, 3), W, (2, 8, 6, 5)
    ),
    "col must have shape (2, 72, 9) (im2col's for input_shape), but col.shape=(2, 8, 9)": lambda: (
        npconv.col2im(ones(2, 8, 9), X.shape, 3)
    ),
    "input must be an array with axes, but it is the number 1.5": lambda: npconv.conv(1.5, W),
    "input has 4 channels but the kernel takes 3 (kernel.shape[0]); "
    "input.shape=(1, 4, 3), kernel.shape=(3, 2, 3)": lambda: npconv.conv_transpose(
        ones(1, 4, 3), ones(3, 2, 3)
    ),
    "output_padding must be below the larger of stride and dilation on every axis, but on "
    "spatial axis 0 output_padding=2, stride=2, dilation=1": lambda: npconv.conv_transpose(
        *LINE, stride=2, output_padding=2
    ),
    "threads must be at least 1, but threads=0": lambda: npconv.settings(threads=0),
    "stride must be at most 9223372036854775807 (2**63 - 1), which is as far as NumPy counts, "
    "but it is, or has, a number of 71 bits": lambda: npconv.conv(X, W, stride=2**70),
}

OBJECTS = np.full((1, 1, 5), None)
DTYPE_ERRORS: Texts = {
    "stride must be an integer or one per axis, but stride=2.0": lambda: npconv.conv(
        X, W, stride=FLOAT
    ),
    "groups must be an integer, but groups=True": lambda: npconv.conv(X, W, groups=True),
    "input must be a NumPy array or a nested sequence of numbers, but it is of type "
    "builtins.NoneType": lambda: npconv.conv(None, W),
    "input must not be a masked array; fill it first, with input.filled()": lambda: npconv.conv(
        np.ma.array(X), W
    ),
    "kernel must be made of numbers, but there is a str in it": lambda: npconv.conv(
        X, [[1.0, "2"]]
    ),
    "input is an array of objects, which must be Python ints or Fractions, but there is a "
    "NoneType in it": lambda: npconv.conv(OBJECTS, W),
    "input must hold numbers, but its dtype is datetime64[s]": lambda: npconv.im2col(
        ones(1, 1, 3, dtype="M8[s]"), 1
    ),
    "dtype=int32: an operand of float64 would lose its meaning in a result of int32; cast it "
    "yourself if that is what you want": lambda: npconv.conv(X, W, dtype="int32"),
    "dtype must be a dtype of numbers, but dtype='U5'": lambda: npconv.plan_conv(
        (1, 1, 5), (1, 1, 3), dtype="U5"
    ),
    "out must have the result's dtype float64, but out.dtype=float32": lambda: npconv.conv(
        X, W, out=ones(2, 4, 3, 3, dtype="f4")
    ),
    "out must be a NumPy array, but it is of type list": lambda: npconv.conv(X, W, out=LIST),
    "input_shape must be a sequence of integers, but input_shape=8": lambda: (
        npconv.conv_output_shape(EIGHT, (1, 1, 3))
    ),
    "lr must be a finite real number, but lr='0.1'": lambda: trained().update("0.1"),  # type: ignore[arg-type] # the point
    "x must be a writable array of floats, but it is int64": lambda: npconv.numerical_gradient(
        float, np.zeros(3, np.int64)
    ),
    "x must be a writable array of floats, but it is read-only": lambda: npconv.numerical_gradient(
        float, read_only(3)
    ),
    "f must return a real scalar, but it returned float64 of shape (2,)": lambda: (
        npconv.numerical_gradient(lambda: ones(2), ones(3))
    ),
}

UNSUPPORTED_ERRORS: Texts = {
    "padding must be an integer, one per axis, (low, high) pairs, or one of 'valid', 'same', "
    "'same_lower', 'causal', but padding='full'": lambda: npconv.conv(X, W, padding="full"),
    "padding='causal' is for one spatial axis (time), but the input has 2; write (low, high) "
    "pairs instead": lambda: npconv.conv(X, W, padding="causal"),
    "padding_mode must be one of 'zeros', 'reflect', 'replicate', 'circular', but "
    "padding_mode='mirror'": lambda: npconv.conv(X, W, padding_mode="mirror"),
    "padding_mode='circular' needs input_dilation=1, but on spatial axis 0 input_dilation=2; "
    "only 'zeros' goes with holes": lambda: npconv.conv(
        X, W, padding_mode="circular", input_dilation=2
    ),
    "groups and batch_groups cannot both be above 1, but groups=2 and batch_groups=2": lambda: (
        npconv.conv(X, ones(4, 4, 3, 3), groups=2, batch_groups=2)
    ),
    "layout must have distinct letters, but layout='NCHH'": lambda: npconv.conv(
        X, W, layout="NCHH"
    ),
    "kernel_layout must name the spatial letters of layout, but layout='NCHW' and "
    "kernel_layout='OIHD'": lambda: npconv.conv(X, W, kernel_layout="OIHD"),
    "direction must be one of 'forward', 'input_grad', 'kernel_grad', but "
    "direction='backward'": lambda: npconv.plan_conv(X.shape, W.shape, direction="backward"),
    "needs must be names out of ('input', 'kernel', 'bias'), but needs='weight'": lambda: (
        npconv.conv_backward(ones(2, 4, 3, 3), X, W, needs="weight")
    ),
    "algorithm='im2col' cannot serve here: it multiplies matrices of machine numbers; exact "
    "objects are for 'naive'": lambda: npconv.plan_conv(
        (1, 1, 5), (1, 1, 3), dtype=object, algorithm="im2col"
    ),
    "accuracy must be one of 'standard', 'strict', but accuracy='exact'": lambda: npconv.settings(
        accuracy="exact"
    ),
    "out must be writable, but it is read-only": lambda: npconv.conv(
        X, W, out=read_only(2, 4, 3, 3)
    ),
    "out must not overlap an operand; pass a separate array": lambda: npconv.conv(
        SQUARE, ones(8, 8, 1, 1), out=SQUARE
    ),
    "padding='same' does not determine a transposed convolution; write (low, high) pairs and "
    "output_padding": lambda: npconv.conv_transpose(*LINE, padding="same"),
    "h=1e-20 is too small to move x[(0,)]=np.float64(1.0)": lambda: npconv.numerical_gradient(
        lambda: 1.0, ones(3), h=1e-20
    ),
}

BIG = np.full((1, 1, 3), 2**62)
RANGE_ERRORS: Texts = {
    "sums of 2 products might not fit the result dtype int64: 2 * max|input| "
    "4611686018427387904 * max|kernel| 1 + max|bias| 0 = 9223372036854775808, but its largest "
    "number is 9223372036854775807; scale the operands down, or use a float dtype": lambda: (
        npconv.conv(BIG, ones(1, 1, 2, dtype=int))
    ),
    "a result of uint8 cannot be negative, but kernel holds -1": lambda: npconv.conv(
        ones(1, 1, 3, dtype=int), -ones(1, 1, 2, dtype=int), dtype="u1"
    ),
}

STATE_ERRORS: Texts = {
    "backward needs the input of a forward call; call forward first": lambda: npconv.Conv2dNumpy(
        1, 1, 3
    ).backward(ones(1, 1, 3, 3)),
    "update needs the gradients of a backward call, but there was none yet; call forward and "
    "backward first": lambda: npconv.Conv2dNumpy(1, 1, 3).update(0.1),
}

CAPACITY_ERRORS: Texts = {
    "the result of shape (1, 1, 2199023255555) and dtype float64 needs 17,592,186,044,440 "
    f"bytes, but the memory here is {total_memory():,} bytes": lambda: npconv.conv(
        ones(1, 1, 3), ones(1, 1, 1), padding=2**40
    ),
    "weight of shape (4, 1099511627776, 3, 3) and dtype float64 needs 316,659,348,799,488 "
    f"bytes, but the memory here is {total_memory():,} bytes": lambda: npconv.Conv2dNumpy(
        2**40, 4, 3
    ),
}


def trained() -> npconv.Conv2dNumpy:
    layer = npconv.Conv2dNumpy(1, 1, 1)
    layer.backward(layer.forward(ones(1, 1, 2, 2)))
    return layer


ALL_TEXTS = [
    pytest.param(error, text, call, id=f"{error.__name__}-{text[:60]}")
    for error, texts in (
        (ShapeError, SHAPE_ERRORS),
        (DTypeError, DTYPE_ERRORS),
        (UnsupportedError, UNSUPPORTED_ERRORS),
        (RangeError, RANGE_ERRORS),
        (StateError, STATE_ERRORS),
        (CapacityError, CAPACITY_ERRORS),
    )
    for text, call in texts.items()
]


@pytest.mark.parametrize(("error", "text", "call"), ALL_TEXTS)
def test_text(error: type[ConvError], text: str, call: Callable[[], Any]) -> None:
    with pytest.raises(error, match=f"^{re.escape(text)}$") as raised:
        call()
    assert type(raised.value) is error


# --- choices come from where they are made -------------------------------------------------


def test_the_names_offered_are_those_of_the_registry() -> None:
    offered = ", ".join(map(repr, ("auto", *npconv.algorithms())))
    text = re.escape(f"algorithm must be one of {offered}, but algorithm='magic'")
    for call in (
        lambda: npconv.conv(X, W, algorithm="magic"),
        lambda: npconv.plan_conv(X.shape, W.shape, algorithm="magic"),
        lambda: npconv.conv_backward(ones(2, 4, 3, 3), X, W, algorithm="magic"),
    ):
        with pytest.raises(UnsupportedError, match=f"^{text}$"):
            call()


def test_every_registered_algorithm_gives_its_reason() -> None:
    everything = npconv.settings(workspace_limit=1, engine="compiled")
    with everything, pytest.raises(UnsupportedError) as raised:
        npconv.conv(X, W)
    text = str(raised.value)
    assert text.startswith("no algorithm can serve this problem (")
    for name in npconv.algorithms():
        if name in DEPTHWISE:
            assert f"{name}: it serves one input and one output channel" in text
            continue
        assert re.search(rf"\b{name}: its smallest tile needs [\d,]+ bytes of workspace", text)
    assert re.search(r"; the smallest workspace_limit that works is [\d,]+ bytes$", text)


def test_messages_hold_no_more_than_they_need() -> None:
    """A long list, or a huge number, is not repeated at length."""
    strides: list[Any] = [[1] * 100_000, 10**5000, [10**5000, 1], [1.5, 10**5000], "1" * 10_000]
    for stride in strides:
        with pytest.raises((ShapeError, DTypeError), match="stride must be") as raised:
            npconv.conv(X, W, stride=stride)
        assert len(str(raised.value)) < 500
