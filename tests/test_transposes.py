"""Closed under differentiation: both gradients are `conv` again, and so are theirs.

Everything here is exact, on small integers: the two rules of `npconv.gradients` bit for bit, and
derivatives of derivatives against differences, which are exact for polynomials of degree two.
"""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import numpy as np
import pytest

import npconv
from checks import ALGORITHMS, DEPTHWISE, repeatable, small_integers
from oracle import Array, Conv
from problems import FEATURES, RandomProblem, random_problem

CHUNK = 50
RANKS = (1, 2, 3, 4)


def draw(seed: int, served: frozenset[str]) -> RandomProblem:
    rng = random.Random(f"transposes {seed}")
    return random_problem(rng, max_products=1000, ranks=RANKS, served=served)


def in_default_layout(problem: RandomProblem) -> RandomProblem:
    oracle = problem.oracle
    options = {name: v for name, v in problem.options.items() if "layout" not in name}
    return RandomProblem(
        (oracle.x["N"], oracle.x["C"], *(oracle.x[s] for s in oracle.space)),
        (oracle.w["O"], oracle.w["I"], *(oracle.w[s] for s in oracle.space)),
        options,
    )


def grouped(a: Array, groups: int, axis: int) -> Array:
    """Split one axis into groups and what is in a group."""
    shape = [*a.shape[:axis], groups, a.shape[axis] // groups, *a.shape[axis + 1 :]]
    return a.reshape(shape)


def merged(a: Array, axis: int) -> Array:
    """Make one axis of this one and the next."""
    return a.reshape(*a.shape[:axis], a.shape[axis] * a.shape[axis + 1], *a.shape[axis + 2 :])


def input_grad(dy: Array, w: Array, oracle: Conv) -> Array:
    """The first rule: dY spread apart, with the kernel turned round."""
    G, axes = oracle.groups * oracle.batch_groups, oracle.axes
    space = tuple(range(-len(axes), 0))
    turned = np.flip(grouped(w, G, 0), space).swapaxes(1, 2)  # (G, C, K, *kernel)
    pads = []
    for a in axes:
        low = a.reach - 1 - a.low
        spread = (a.out - 1) * a.stride + 1
        high = (a.size - 1) * a.input_dilation + a.reach - spread - low
        pads.append((low, high))
    dx = npconv.conv(
        dy,
        merged(turned, 0),
        stride=[a.input_dilation for a in axes],
        input_dilation=[a.stride for a in axes],
        dilation=[a.dilation for a in axes],
        padding=pads,
        groups=G,
    )
    if oracle.batch_groups > 1:  # the groups of channels were groups of the batch
        dx = merged(grouped(dx, oracle.batch_groups, 1).swapaxes(0, 1), 0)
    return dx


def kernel_grad(dy: Array, x: Array, oracle: Conv) -> Array:
    """The second rule: x as a batch of its channels, with dY for a kernel."""
    axes, pads = oracle.axes, []
    for a in axes:
        # As far as the last window reaches: rows that the stride left over are cropped.
        needed = (a.kernel - 1) * a.dilation + (a.out - 1) * a.stride + 1
        dilated = (a.size - 1) * a.input_dilation + 1
        pads.append((a.low, needed - dilated - a.low))
    dw = npconv.conv(
        x.swapaxes(0, 1),
        dy.swapaxes(0, 1),
        stride=[a.dilation for a in axes],
        dilation=[a.stride for a in axes],
        input_dilation=[a.input_dilation for a in axes],
        padding=pads,
        groups=oracle.batch_groups,
        batch_groups=oracle.groups,
    )
    return dw.swapaxes(0, 1)


@pytest.mark.parametrize("number", range(12))
def test_both_gradients_are_conv(number: int) -> None:
    for seed in range(number * CHUNK, (number + 1) * CHUNK):
        problem = in_default_layout(draw(seed, FEATURES - {"padding_modes"}))
        data = small_integers(problem, seed).each(lambda a: a.astype(np.int64))
        with repeatable(repr(problem)):
            dx = npconv.conv_input_grad(data.dy, data.w, data.x.shape, **problem.options)
            dw = npconv.conv_kernel_grad(data.dy, data.x, data.w.shape, **problem.options)
            np.testing.assert_array_equal(input_grad(data.dy, data.w, problem.oracle), dx)
            np.testing.assert_array_equal(kernel_grad(data.dy, data.x, problem.oracle), dw)


def inner(a: Array, b: Array) -> Any:
    return np.sum(a * b)


def check_second_derivatives(problem: RandomProblem, seed: int, options: dict[str, Any]) -> None:
    """Of ``L = sum(conv(x, w)**2) / 2``, in random directions; the gradient is the oracle's."""
    first, second = (small_integers(problem, 2 * seed + i) for i in range(2))
    x, w, dx, dw = first.x, first.w, second.x, second.w
    oracle = problem.oracle

    def gradients(x: Array, w: Array) -> tuple[Array, Array]:
        y = oracle.forward(x, w)
        return oracle.input_grad(y, w), oracle.kernel_grad(y, x)

    def along(vx: Array, vw: Array) -> Any:
        """Twice the derivative of <gradient, direction (vx, vw)>, by differences."""
        to_x, to_w = (
            up - down
            for up, down in zip(gradients(x + vx, w + vw), gradients(x - vx, w - vw), strict=True)
        )
        return inner(to_x, dx) + inner(to_w, dw)

    # Backward through the two gradient functions: each is linear in both of its operands.
    y = npconv.conv(x, w, **options)
    to_y = npconv.conv(dx, w, **options) + npconv.conv(x, dw, **options)
    hx = npconv.conv_input_grad(to_y, w, x.shape, **options)
    hx += npconv.conv_input_grad(y, dw, x.shape, **options)
    hw = npconv.conv_kernel_grad(to_y, x, w.shape, **options)
    hw += npconv.conv_kernel_grad(y, dx, w.shape, **options)
    for vx, vw in ((dx, 0 * dw), (0 * dx, dw)):
        # Exact: the gradient is of degree two in x, and in w.
        assert along(vx, vw) == 2 * (inner(hx, vx) + inner(hw, vw))


@pytest.mark.parametrize("number", range(12))
def test_gradients_of_gradients(number: int) -> None:
    """Six hundred problems over every option, padding modes and layouts included."""
    for seed in range(number * CHUNK, (number + 1) * CHUNK):
        problem = draw(seed, FEATURES)
        options = {**problem.options, "algorithm": ("im2col", "naive")[seed % 2]}
        with repeatable(f"check_second_derivatives({problem!r}, {seed}, {options})"):
            check_second_derivatives(problem, seed, options)


@pytest.mark.parametrize("function", ["conv_input_grad", "conv_kernel_grad", "conv_transpose"])
@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name not in DEPTHWISE])
def test_gradcheck_knows_the_gradients_functions(function: str, algorithm: str) -> None:
    rng = np.random.default_rng(0)
    x, w, dy = (rng.standard_normal(s) for s in ((2, 3, 7, 6), (4, 3, 3, 3), (2, 4, 7, 6)))
    options: dict[str, Any] = {"padding": 1, "algorithm": algorithm}
    inputs = {
        "conv_input_grad": ((dy, w), {"input_shape": x.shape}),
        "conv_kernel_grad": ((dy, x), {"kernel_shape": w.shape}),
        "conv_transpose": ((dy, w), {}),
    }
    operands, shape = inputs[function]
    report = npconv.gradcheck(partial(getattr(npconv, function), **shape, **options), operands)
    assert report, report
