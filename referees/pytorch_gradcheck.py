"""PyTorch's gradcheck and gradgradcheck on npconv, made a `torch.autograd.Function`.

Convolution is trilinear in what flows forward and back: with ``L = <dy, f(x, w)>``, the
gradients of ``f`` and of its gradients are again ``f`` and its two gradients. So three
functions of autograd, each of which names the other two, differentiate without end, and for
complex numbers too, as npconv conjugates like PyTorch. im2col and col2im are linear, and
each the other's gradient; so are avg_pool and its backward. max_pool is differentiated once.

The problems are OpInfo's convolution samples, and one for each option that PyTorch lacks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db

import npconv
from npconv import pooling
from referees.operations import Array, Convolution, Operation, Transposed
from referees.verdict import Case, Different

DTYPES = (torch.float64, torch.complex128)
# Every map is linear in each operand, so differences over 1e-6 are exact but for rounding,
# some 1e-16 / 1e-6. PyTorch's default of 1e-3 would let a gradient times 1.001 pass.
RTOL = 1e-6
BEYOND_PYTORCH: tuple[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]], ...] = (
    ((2, 2, 5, 4), (3, 2, 3, 2), {"padding": [(1, 2), (-1, 3)], "stride": 2}),
    ((2, 2, 4, 3), (3, 2, 3, 2), {"input_dilation": (2, 3), "padding": 1, "stride": (2, 1)}),
    ((4, 2, 5, 4), (6, 2, 3, 2), {"batch_groups": 2, "padding": 1}),
    ((2, 2, 5, 4), (3, 2, 3, 2), {"padding": "same", "stride": (2, 3)}),
    ((2, 2, 5, 4), (3, 2, 3, 2), {"padding": "same_lower", "dilation": 2}),
    ((2, 3, 7), (2, 3, 3), {"padding": "causal", "dilation": 2}),
    ((2, 2, 5, 4), (3, 2, 3, 2), {"padding": [(2, 3), (1, -1)], "padding_mode": "reflect"}),
    ((2, 2, 5, 4), (3, 2, 3, 2), {"padding": [(6, 1), (0, 5)], "padding_mode": "replicate"}),
    ((2, 4, 5, 4), (6, 2, 3, 2), {"padding": 2, "padding_mode": "circular", "groups": 2}),
    ((2, 5, 4, 2), (3, 2, 2, 3), {"layout": "NHWC", "kernel_layout": "HWIO", "padding": 1}),
    ((1, 2, 3, 2, 3, 2), (2, 2, 2, 1, 2, 2), {"stride": (1, 2, 1, 1), "padding": 1}),
)
TRANSPOSED_BEYOND_PYTORCH: tuple[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]], ...] = (
    ((2, 3, 3, 4), (3, 2, 3, 2), {"padding": [(1, -1), (0, 2)], "stride": 2}),
    ((2, 3, 4, 4), (3, 2, 3, 2), {"padding": 1, "padding_mode": "reflect"}),
    ((2, 3, 4, 4), (3, 2, 3, 2), {"padding": 2, "padding_mode": "replicate"}),
    ((2, 4, 4, 3), (4, 2, 3, 2), {"padding": 1, "padding_mode": "circular", "groups": 2}),
    ((2, 3, 4, 3), (2, 3, 2, 3), {"layout": "NHWC", "kernel_layout": "HWOI", "stride": 2}),
)
UNFOLDINGS: tuple[dict[str, Any], ...] = (
    {},
    {"stride": 2, "padding": 1},
    {"dilation": 2, "padding": 1},
)
SHAPES: tuple[tuple[int, ...], ...] = ((2, 3, 7), (2, 2, 5, 4), (1, 2, 4, 3, 3))
POOLINGS: tuple[dict[str, Any], ...] = (
    {},
    {"stride": 1, "padding": 1},
    {"ceil_mode": True, "stride": 3},
)


def cases() -> Iterator[Case]:
    """First and second derivatives of every problem."""
    torch.set_num_threads(1)
    for name, operation, x, w in _bilinear_problems():
        for dtype in DTYPES:
            inputs = _operands(dtype, x, w)
            call = partial(_Bilinear.apply, operation, "forward", ())
            yield from _checks(f"{name} {str(dtype).removeprefix('torch.')}", call, inputs)
    for name, linear, x in _linear_problems():
        call = partial(_Linear.apply, *linear)
        yield from _checks(name, call, _operands(torch.float64, x))
    for shape in SHAPES:
        for options in POOLINGS:
            call = partial(_MaxPool.apply, {"kernel_size": 2, **options})
            run = partial(_run, torch.autograd.gradcheck, call, _operands(torch.float64, shape))
            yield Case(f"max_pool {shape} {options} gradcheck", run)


def _checks(
    name: str, call: Callable[..., Any], inputs: tuple[torch.Tensor, ...]
) -> Iterator[Case]:
    yield Case(f"{name} gradcheck", partial(_run, torch.autograd.gradcheck, call, inputs))
    twice = partial(_run, torch.autograd.gradgradcheck, call, inputs)
    yield Case(f"{name} gradgradcheck", twice)


def _run(
    check: Callable[..., bool], call: Callable[..., Any], inputs: tuple[torch.Tensor, ...]
) -> None:
    torch.manual_seed(0)
    try:
        check(call, inputs, fast_mode=True, rtol=RTOL, atol=RTOL)
    except RuntimeError as error:
        raise Different(str(error)) from error


def _bilinear_problems() -> Iterator[tuple[str, Operation, tuple[int, ...], tuple[int, ...]]]:
    for info in op_db:
        match = re.fullmatch(r"nn\.functional\.(conv(_transpose)?)(\d)d", info.name)
        if not match:
            continue
        kind = Transposed if match[2] else Convolution
        for i, sample in enumerate(info.sample_inputs("cpu", torch.float64)):
            x, w = tuple(sample.input.shape), tuple(sample.args[0].shape)
            if len(x) == len(w):  # without a batch it is the same problem again
                name = f"{match[1]}{match[3]}d {i} {x} {w} {sample.kwargs}"
                yield name, kind(dict(sample.kwargs)), x, w
    for x, w, options in BEYOND_PYTORCH:
        yield f"conv {x} {w} {options}", Convolution(options), x, w
    for x, w, options in TRANSPOSED_BEYOND_PYTORCH:
        yield f"conv_transpose {x} {w} {options}", Transposed(options), x, w


def _linear_problems() -> Iterator[tuple[str, tuple[Any, Any], tuple[int, ...]]]:
    for shape in SHAPES:
        for options in UNFOLDINGS:
            to_col = partial(npconv.im2col, kernel_size=2, **options)
            to_image = partial(npconv.col2im, input_shape=shape, kernel_size=2, **options)
            yield f"im2col {shape} {options}", (to_col, to_image), shape
            col = npconv.im2col(np.zeros(shape), 2, **options).shape
            yield f"col2im {shape} {options}", (to_image, to_col), col
        for options in POOLINGS:
            to_means = partial(pooling.avg_pool, kernel_size=2, **options)
            zeros = np.zeros(shape)
            back = partial(pooling.avg_pool_backward, input=zeros, kernel_size=2, **options)
            yield f"avg_pool {shape} {options}", (to_means, back), shape


def _operands(dtype: torch.dtype, *shapes: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(shape, dtype=dtype, generator=generator).requires_grad_() for shape in shapes
    )


class _Bilinear(torch.autograd.Function):  # type: ignore[misc] # torch is not there for mypy
    """One of an operation's three directions; its gradients are the other two.

    With x, w and dy in their places, forward gives y of (x, w), input_grad x of (dy, w) and
    kernel_grad w of (dy, x). A gradient is computed from the two that are not asked for.
    """

    @staticmethod
    def forward(
        ctx: Any,
        operation: Operation,
        direction: str,
        shape: tuple[int, ...],
        first: torch.Tensor,
        second: torch.Tensor,
    ) -> torch.Tensor:
        ctx.operation, ctx.direction = operation, direction
        ctx.save_for_backward(first, second)
        run = getattr(operation, direction)
        rest = (shape,) if direction != "forward" else ()
        return torch.from_numpy(run(_array(first), _array(second), *rest))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        names = {
            "forward": ("x", "w", "y"),
            "input_grad": ("y", "w", "x"),
            "kernel_grad": ("y", "x", "w"),
        }[ctx.direction]
        held = dict(zip(names, (*ctx.saved_tensors, gradient), strict=True))
        operation, wanted = ctx.operation, names[:2]

        def gradient_of(name: str) -> torch.Tensor:
            direction, first, second = {
                "y": ("forward", "x", "w"),
                "x": ("input_grad", "y", "w"),
                "w": ("kernel_grad", "y", "x"),
            }[name]
            shape = tuple(held[name].shape)
            result: torch.Tensor = _Bilinear.apply(
                operation, direction, shape, held[first], held[second]
            )
            return result

        return (None, None, None, *(gradient_of(name) for name in wanted))


class _Linear(torch.autograd.Function):  # type: ignore[misc] # torch is not there for mypy
    """A linear map; its gradient is its adjoint, whose gradient is the map."""

    @staticmethod
    def forward(
        ctx: Any,
        run: Callable[[Array], Array],
        adjoint: Callable[[Array], Array],
        x: torch.Tensor,
    ) -> torch.Tensor:
        ctx.both = run, adjoint
        return torch.from_numpy(run(_array(x)))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        run, adjoint = ctx.both
        return None, None, _Linear.apply(adjoint, run, gradient)


class _MaxPool(torch.autograd.Function):  # type: ignore[misc] # torch is not there for mypy
    """Max pooling, differentiated once: npconv has no gradient of its gradient."""

    @staticmethod
    def forward(ctx: Any, options: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        ctx.options = options
        ctx.save_for_backward(x)
        return torch.from_numpy(pooling.max_pool(_array(x), **options))

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator] # as above
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        dx = pooling.max_pool_backward(_array(gradient), _array(x), **ctx.options)
        return None, torch.from_numpy(dx)


def _array(tensor: torch.Tensor) -> Array:
    array: Array = tensor.detach().resolve_conj().numpy()
    return array
