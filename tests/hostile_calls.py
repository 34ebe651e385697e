"""Every public call in a valid form, and what kind of hostile value fits each argument.

A call is a function and a maker of its keyword arguments; replacing one of them by a hostile
value gives a case.  Methods take their object as an argument too, so that it is watched like one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import npconv
from hostile_case import COL, OPTIONS, WINDOW, Arguments, Call, Case, W, X, Y, numbers
from hostile_values import (
    ARRAYS,
    BIASES,
    COUNTS,
    DTYPES,
    KERNEL_LAYOUTS,
    LAYOUTS,
    LOSSY_DTYPES,
    NAMES,
    NEEDS,
    NUMBERS,
    OBJECTS,
    PADDINGS,
    SHAPES,
    STEP_SIZES,
    STEPS,
    Hostile,
    fixed,
    made,
    of_shapes,
    outs,
    some,
    without,
)
from npconv import DTypeError, ShapeError, StateError, UnsupportedError
from oracle import Shape

WINDOW_VALUES = {
    "stride": STEPS,
    "dilation": STEPS,
    "padding": PADDINGS,
    "padding_mode": NAMES,
}
CORE_VALUES = {**WINDOW_VALUES, "groups": [*COUNTS, *fixed(ShapeError, three=3, large=2**40)]}
GEOMETRY = {
    **CORE_VALUES,
    "input_dilation": STEPS,
    "batch_groups": [*COUNTS, *fixed((ShapeError, UnsupportedError), three=3, both=2)],
    "layout": LAYOUTS,
    "kernel_layout": KERNEL_LAYOUTS,
}
CALL_VALUES = {**GEOMETRY, "algorithm": NAMES, "dtype": [*DTYPES, *LOSSY_DTYPES]}
SOME_WINDOW_VALUES = {name: some(values) for name, values in WINDOW_VALUES.items()}
SOME_CORE_VALUES = {name: some(values) for name, values in CORE_VALUES.items()}
SOME_GEOMETRY = {name: some(values) for name, values in GEOMETRY.items()}
SOME_CALL_VALUES = {name: some(values) for name, values in CALL_VALUES.items()}
INPUTS = [
    *ARRAYS,
    *OBJECTS,
    *of_shapes(ShapeError, (5, 6), (2, 4, 5, 6, 1), (2, 5, 5, 6), (2, 0, 5, 6), (2, 4, 0, 0)),
]
KERNELS = [
    *ARRAYS,
    *of_shapes(ShapeError, (6, 3, 3, 3), (6, 0, 3, 3), (5, 2, 3, 3), (6, 2, 3), (6, 2, 0, 3)),
    *of_shapes(ShapeError, (6, 2, 8, 3), (6, 2, 3, 9)),
]
GRADS = [
    *ARRAYS,
    *OBJECTS,
    *of_shapes(ShapeError, (2, 6, 3, 2), (1, 6, 3, 3), (2, 5, 3, 3), (2, 6, 9), (0, 6, 3, 3), X),
]


TRANSPOSED_OPTIONS = {
    "stride",
    "padding",
    "dilation",
    "groups",
    "padding_mode",
    "dtype",
    "algorithm",
}


def _plan(direction: str) -> npconv.Plan:
    return npconv.plan_conv(X, W, dtype=float, direction=direction, **OPTIONS)  # type: ignore[arg-type] # options in one


def _layer(steps: str = "") -> npconv.Conv2dNumpy:
    """A layer after those calls."""
    layer = npconv.Conv2dNumpy(4, 6, 3, 2, 1, groups=2)
    layer.weight, layer.bias = numbers(*W), numbers(6)
    if "forward" in steps:
        layer.forward(numbers(*X))
    if "backward" in steps:
        layer.backward(numbers(*Y))
    return layer


def _forward_call(
    id: str, function: Callable[..., Any], x: Shape, w: Shape, **hostile: list[Hostile]
) -> Call:
    def arguments() -> Arguments:
        return {"input": numbers(*x), "kernel": numbers(*w), "bias": numbers(w[0]), **OPTIONS}

    return Call(id, function, arguments, hostile)


def forward_calls() -> Iterator[Call]:
    every = {"input": INPUTS, "kernel": KERNELS, "bias": BIASES, **CALL_VALUES}
    yield _forward_call("conv", npconv.conv, X, W, **every, out=outs(Y))
    two = {"input": some(INPUTS), "kernel": some(KERNELS), "bias": some(BIASES)}
    yield _forward_call("conv2d", npconv.conv2d, X, W, **two, layout=LAYOUTS, out=outs(Y))
    no_batch = {"layout": LAYOUTS, "bias": some(BIASES), "out": outs(Y[1:])}
    yield _forward_call("conv2d without batch", npconv.conv2d, X[1:], W, **no_batch)
    one = {"input": some(ARRAYS), "kernel": some(ARRAYS)}
    yield _forward_call("conv1d", npconv.conv1d, (2, 4, 7), (6, 2, 3), **one)
    yield _forward_call("conv3d", npconv.conv3d, (1, 2, 3, 3, 4), (2, 1, 2, 3, 2), **one)
    for function in (npconv.conv2d_naive, npconv.conv2d_im2col):
        yield _forward_call(function.__name__, function, X, W, **two, **SOME_CORE_VALUES)


def gradient_calls() -> Iterator[Call]:
    yield Call(
        "conv_input_grad",
        npconv.conv_input_grad,
        lambda: {"grad_output": numbers(*Y), "kernel": numbers(*W), "input_shape": X, **OPTIONS},
        {
            "grad_output": GRADS,
            "kernel": some(KERNELS),
            "input_shape": SHAPES,
            "out": outs(X),
            **SOME_CALL_VALUES,
        },
    )
    yield Call(
        "conv_kernel_grad",
        npconv.conv_kernel_grad,
        lambda: {"grad_output": numbers(*Y), "input": numbers(*X), "kernel_shape": W, **OPTIONS},
        {
            "grad_output": some(GRADS),
            "input": INPUTS,
            "kernel_shape": SHAPES,
            "out": outs(W),
            **SOME_CALL_VALUES,
        },
    )
    operands = {"grad_output": some(GRADS), "input": some(INPUTS), "kernel": some(KERNELS)}
    yield Call(
        "conv_backward",
        npconv.conv_backward,
        lambda: {
            "grad_output": numbers(*Y),
            "input": numbers(*X),
            "kernel": numbers(*W),
            **OPTIONS,
        },
        {**operands, "needs": NEEDS, **SOME_CALL_VALUES},
    )


def transposed_calls() -> Iterator[Call]:
    x, y = (2, 6, 3, 3), (2, 4, 5, 5)
    inputs = [*some(INPUTS), *of_shapes(ShapeError, (2, 5, 3, 3), (2, 6, 0, 3))]
    kernels = [*some(ARRAYS), *of_shapes(ShapeError, (5, 2, 3, 3), (6, 2, 3), (6, 2, 0, 3))]
    values = {name: v for name, v in SOME_CALL_VALUES.items() if name in TRANSPOSED_OPTIONS}
    values["groups"] = without(values["groups"], "three")  # any number of output channels will do
    values["padding"] = [*values["padding"], *fixed(UnsupportedError, same="same")]
    extra = [*some(without(STEPS, "zero")), *fixed(ShapeError, as_stride=2)]
    yield Call(
        "conv_transpose",
        npconv.conv_transpose,
        lambda: {"input": numbers(*x), "kernel": numbers(*W), "bias": numbers(4), **OPTIONS},
        {"input": inputs, "kernel": kernels, "out": outs(y), "output_padding": extra, **values},
    )
    yield Call(
        "conv_transpose2d",
        npconv.conv_transpose2d,
        lambda: {"input": numbers(*x[1:]), "kernel": numbers(*W), **OPTIONS},
        {"input": without(inputs, "shape_2x6x0x3"), "kernel": kernels, "out": outs(y[1:])},
    )
    yield Call(
        "conv_transpose_backward",
        npconv.conv_transpose_backward,
        lambda: {
            "grad_output": numbers(*y),
            "input": numbers(*x),
            "kernel": numbers(*W),
            **OPTIONS,
        },
        {"grad_output": some(GRADS), "input": inputs, "kernel": kernels, "needs": NEEDS, **values},
    )


def shape_calls() -> Iterator[Call]:
    def shapes() -> Arguments:
        return {"input_shape": X, "kernel_shape": W, **OPTIONS}

    hostile = {"input_shape": SHAPES, "kernel_shape": SHAPES}
    yield Call("conv_output_shape", npconv.conv_output_shape, shapes, {**hostile, **SOME_GEOMETRY})
    dtypes = [*DTYPES, *fixed(DTypeError, none=None)]
    yield Call(
        "conv_matrix",
        npconv.conv_matrix,
        lambda: {"input_shape": X, "kernel": numbers(*W), **OPTIONS},
        {
            "input_shape": SHAPES,
            "kernel": some(KERNELS),
            **SOME_GEOMETRY,
            "dtype": SOME_CALL_VALUES["dtype"],
        },
    )
    planned = {**SOME_CALL_VALUES, "algorithm": NAMES, "direction": NAMES, "dtype": dtypes}
    yield Call("plan_conv", npconv.plan_conv, shapes, {**hostile, **planned})


def plan_calls() -> Iterator[Call]:
    def run(plan: npconv.Plan, bias: Any = None, out: Any = None, **operands: Any) -> Any:
        first, second = operands.values()
        return plan(first, second, bias, out)

    def pack(plan: npconv.Plan, kernel: Any) -> Any:
        return plan.pack(kernel)

    def plan_and_operands(direction: str, names: tuple[str, str]) -> Arguments:
        return {"plan": _plan(direction), **{name: numbers(*shapes[name]) for name in names}}

    shapes = {"input": X, "kernel": W, "grad_output": Y}
    other = [
        *some(ARRAYS),
        *of_shapes(ShapeError, (2, 4, 5, 5), (1, 2, 3, 3)),
        *made(DTypeError, float32=lambda: numbers(2, 4, 5, 6).astype("f4")),
    ]
    for direction, names, result in (
        ("forward", ("input", "kernel"), Y),
        ("input_grad", ("grad_output", "kernel"), X),
        ("kernel_grad", ("grad_output", "input"), W),
    ):
        yield Call(
            f"plan {direction}",
            run,
            partial(plan_and_operands, direction, names),
            {names[0]: other, names[1]: other, "out": outs(result)}
            | ({"bias": BIASES} if direction == "forward" else {}),
        )
    yield Call(
        "plan pack",
        pack,
        lambda: {"plan": _plan("forward"), "kernel": numbers(*W)},
        {"kernel": other},
    )


def layer_calls() -> Iterator[Call]:
    yield Call(
        "Conv2dNumpy",
        npconv.Conv2dNumpy,
        lambda: {"in_channels": 4, "out_channels": 6, "kernel_size": 3, **OPTIONS},
        {
            "in_channels": [*COUNTS, *fixed(ShapeError, three=3)],
            "out_channels": [*COUNTS, *fixed(ShapeError, three=3)],
            "kernel_size": STEPS,
            **CORE_VALUES,
            # Whether anything is left after cropping, only an input can tell.
            "padding": without(PADDINGS, "all_cut"),
        },
    )
    yield Call(
        "Conv2dNumpy.forward",
        npconv.Conv2dNumpy.forward,
        lambda: {"self": _layer("forward backward"), "input": numbers(*X)},
        {"input": INPUTS},
    )
    yield Call(
        "Conv2dNumpy.backward",
        npconv.Conv2dNumpy.backward,
        lambda: {"self": _layer("forward backward"), "grad_output": numbers(*Y)},
        {"grad_output": GRADS},
    )
    yield Call(
        "Conv2dNumpy.backward early",
        npconv.Conv2dNumpy.backward,
        lambda: {"self": _layer("forward"), "grad_output": numbers(*Y)},
        {"self": [Hostile("new", _layer, StateError, named=False)]},
    )
    yield Call(
        "Conv2dNumpy.update",
        npconv.Conv2dNumpy.update,
        lambda: {"self": _layer("forward backward"), "lr": 0.1},
        {
            "lr": NUMBERS,
            "self": [
                Hostile("new", _layer, StateError, named=False),
                Hostile("no_backward", lambda: _layer("forward"), StateError, named=False),
            ],
        },
    )


def other_calls() -> Iterator[Call]:
    size = [*STEPS, *fixed(ShapeError, beyond_input=(8, 3), huge=2**40)]
    wrong = of_shapes(ShapeError, (2, 36, 8), (2, 35, 9), (1, 36, 9), (0, 36, 9), (2, 4, 9, 3, 3))
    yield Call(
        "im2col",
        npconv.im2col,
        lambda: {"input": numbers(*X), "kernel_size": 3, **WINDOW},
        {"input": [*ARRAYS, *OBJECTS], "kernel_size": size, **WINDOW_VALUES},
    )
    yield Call(
        "col2im",
        npconv.col2im,
        lambda: {"col": numbers(*COL), "input_shape": X, "kernel_size": 3, **WINDOW},
        {
            "col": [*without(ARRAYS, "axes_64"), *wrong],
            # One axis less is a valid shape, but not these columns'.
            "input_shape": without(SHAPES, "three", "five", "channels"),
            "kernel_size": some(size),
            **SOME_WINDOW_VALUES,
        },
    )
    wrong_x = [
        *fixed(DTypeError, none=None, number=1.5, string="x"),
        *made(DTypeError, list=lambda: [1.0], ints=lambda: np.ones(3, int), object=object),
        *made(DTypeError, complex=lambda: np.ones(3, complex), masked=lambda: np.ma.ones(3)),
        *made(DTypeError, read_only=lambda: np.broadcast_to(1.0, 3), text=lambda: np.array(["x"])),
    ]
    wrong_f = [
        *fixed(DTypeError, none=None, number=5, string="f"),
        *made(DTypeError, of_none=lambda: lambda: None, of_string=lambda: lambda: "1"),
        *made(DTypeError, of_array=lambda: lambda: np.ones(1), of_complex=lambda: lambda: 1j),
    ]
    yield Call(
        "numerical_gradient",
        npconv.numerical_gradient,
        lambda: {"f": lambda: 1.0, "x": numbers(3), "h": 1e-5},
        {"x": wrong_x, "f": wrong_f, "h": STEP_SIZES},
    )
    names, counts = without(NAMES, "none"), without(COUNTS, "none")
    yield Call(
        "settings",
        npconv.settings,
        dict,
        {
            "engine": names,
            "accuracy": names,
            "threads": counts,
            "workspace_limit": counts,
        },
    )


def new_layer_calls() -> Iterator[Call]:
    """Methods of a layer nobody else sees, for calls that succeed and change it."""
    yield Call(
        "new layer forward", lambda input: _layer().forward(input), lambda: {"input": numbers(*X)}
    )
    yield Call(
        "new layer backward",
        lambda grad_output: _layer("forward").backward(grad_output),
        lambda: {"grad_output": numbers(*Y)},
    )


CALLS = [
    *forward_calls(),
    *gradient_calls(),
    *transposed_calls(),
    *shape_calls(),
    *plan_calls(),
    *layer_calls(),
    *other_calls(),
]
# Those that give arrays and leave their arguments as they were.
ARRAY_CALLS = [
    call
    for call in [*CALLS, *new_layer_calls()]
    if call.id != "conv_matrix"  # which gives a sparse one
    and not {"self", "x"} & set(call.arguments())
    and any(isinstance(value, np.ndarray) for value in call.arguments().values())
]
REFUSED = [
    Case(call, argument, value)
    for call in CALLS
    for argument, values in call.hostile.items()
    for value in values
]
