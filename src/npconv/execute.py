"""Run a choice on arrays: what is the same for every algorithm stands here.

Padding modes, blocks and tiles, the accumulator, and what an algorithm that is not direct
summation hands over to one that is. An algorithm sees one tile at a time, in
the inner layout and the accumulator's dtype, padded with zeros if at all. Everything is
checked before anything is written.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from npconv import trust
from npconv.arrays import check_shape
from npconv.numbers import Numbers
from npconv.operands import (
    Packed,
    cast,
    check_bias,
    check_kernel,
    packed_block,
    result,
    takes_kernel,
)
from npconv.padding import add_box, gather, padded_problem
from npconv.planner import Choice
from npconv.problem import Array, ConvProblem, Direction
from npconv.ranges import check_range
from npconv.scratch import Scratch
from npconv.tiling import Block, Tile, blocks, gradient_tiles, tiles


def forward(
    choice: Choice,
    x: Array,
    w: Array | Packed,
    bias: Array | None,
    out: Array | None,
    *,
    conjugate: bool = False,
) -> Array:
    """Compute ``conv(x, w) + bias`` into ``out`` or a new array."""
    problem, numbers = choice.problem, choice.numbers
    check_shape("input", x, problem.input_shape, "the plan's")
    operands = [x, *check_kernel(choice, w), *check_bias(numbers, problem.K * problem.G, bias)]
    _check_range(choice, {"input": x}, w, bias)
    y = result(numbers, problem.output_shape, out, operands)
    if not y.size:
        return y  # with one size 0 the others may be anything, too many to walk over
    _each_image(partial(_forward, bias=bias, conjugate=conjugate), choice, x, w, y)
    return y


def _forward(
    choice: Choice,
    x: Array,
    w: Array | Packed,
    y: Array,
    *,
    bias: Array | None,
    conjugate: bool,
) -> None:
    problem, numbers = choice.problem, choice.numbers
    x_view, y_view = problem.view_input(x), problem.view_output(y)
    if bias is not None:
        bias = bias.reshape(problem.G, problem.K)
    run, scratch, inner = choice.best.algorithm.forward, Scratch(), padded_problem(problem)
    with np.errstate(all="ignore"):
        for i, block in enumerate(blocks(problem, choice.cut)):
            part = block.problem(inner)
            packed = packed_block(choice, w, i, block, part, conjugate=conjugate)
            part_bias = None if bias is None else cast(numbers, bias[block.groups, block.K])
            for tile in tiles(part, choice.direction, choice.cut):
                run(
                    tile.problem,
                    cast(numbers, _inputs(problem, x_view, block, tile)),
                    packed,
                    out=y_view[(tile.images, block.groups, block.K, *tile.outputs)],
                    bias=part_bias,
                    scratch=scratch,
                )
            del packed  # before the next block's kernel is packed


def input_grad(
    choice: Choice,
    dy: Array,
    w: Array | Packed,
    bias: Array | None,
    out: Array | None,
    *,
    name: str = "grad_output",
    conjugate: bool = True,
) -> Array:
    """Compute the gradient with respect to the input.

    Transposed convolution is the same map, with a bias and without the conjugate that a
    gradient of complex numbers has.
    """
    problem, numbers = choice.problem, choice.numbers
    check_shape(name, dy, problem.output_shape, "the output's")
    operands = [dy, *check_kernel(choice, w), *check_bias(numbers, problem.C * problem.G, bias)]
    _check_range(choice, {name: dy}, w, bias)
    dx = result(numbers, problem.input_shape, out, operands)
    if not dx.size:
        return dx
    _each_image(partial(_input_grad, bias=bias, conjugate=conjugate), choice, dy, w, dx)
    return dx


def _input_grad(
    choice: Choice,
    dy: Array,
    w: Array | Packed,
    dx: Array,
    *,
    bias: Array | None,
    conjugate: bool,
) -> None:
    problem, numbers = choice.problem, choice.numbers
    dy_view, dx_view = problem.view_output(dy), problem.view_input(dx)
    if bias is not None:
        bias = bias.reshape(problem.G, problem.C)
    run, scratch, inner = choice.best.algorithm.input_grad, Scratch(), padded_problem(problem)
    with np.errstate(all="ignore"):
        for i, block in enumerate(blocks(problem, choice.cut)):
            part = block.problem(inner)
            packed = packed_block(choice, w, i, block, part, conjugate=conjugate)
            for tile, pieces in gradient_tiles(part, problem, choice.cut):
                place = dx_view[(tile.images, block.groups, block.C, *tile.inputs)]
                total = place
                if bias is not None or problem.padding_mode != "zeros":
                    total = scratch.array("total", place.shape, numbers.accumulator)
                    total[...] = 0
                for piece, folds in pieces:
                    seen = dy_view[(tile.images, block.groups, block.K, *piece.outputs)]
                    box = total
                    if folds:
                        shape = _input_tile_shape(piece.problem)
                        box = scratch.array("box", shape, numbers.accumulator)
                    run(piece.problem, cast(numbers, seen), packed, out=box, scratch=scratch)
                    if folds:
                        add_box(box, folds, total)
                if bias is not None:
                    total += _beside(cast(numbers, bias[block.groups, block.C]), problem.rank)
                if total is not place:
                    place[...] = total
            del packed  # before the next block's kernel is packed


def kernel_grad(
    choice: Choice,
    dy: Array,
    x: Array,
    out: Array | None,
    *,
    conjugate: bool = True,
    first_conjugate: bool = False,
) -> Array:
    """Compute the gradient with respect to the kernel: tiles add up in their fixed order."""
    problem, numbers = choice.problem, choice.numbers
    check_shape("grad_output", dy, problem.output_shape, "the output's")
    check_shape("input", x, problem.input_shape, "the plan's")
    _check_range(choice, {"grad_output": dy, "input": x}, None, None)
    dw = result(numbers, problem.kernel_shape, out, [dy, x])
    if not dw.size:
        return dw
    run = partial(_kernel_grad, conjugate=conjugate, first_conjugate=first_conjugate)
    run(choice, dy, x, dw)
    if choice.direct and problem.products and not trust.trusts_kernel_grad(choice, dy, x, dw):
        run(choice.direct, dy, x, dw)
    return dw


def _kernel_grad(
    choice: Choice,
    dy: Array,
    x: Array,
    dw: Array,
    *,
    conjugate: bool,
    first_conjugate: bool,
) -> None:
    problem, numbers = choice.problem, choice.numbers
    x_view, dy_view = problem.view_input(x), problem.view_output(dy)
    dw_view = problem.view_kernel(dw)
    run, scratch, inner = choice.best.algorithm.kernel_grad, Scratch(), padded_problem(problem)
    with np.errstate(all="ignore"):
        for block in blocks(problem, choice.cut):
            part = block.problem(inner)
            shape = (part.G, part.K, part.C, *part.kernel)
            total = scratch.array("total", shape, numbers.accumulator)
            total[...] = 0
            for tile in tiles(part, choice.direction, choice.cut):
                run(
                    tile.problem,
                    cast(numbers, _inputs(problem, x_view, block, tile), conjugate=conjugate),
                    cast(
                        numbers,
                        dy_view[(tile.images, block.groups, block.K, *tile.outputs)],
                        conjugate=first_conjugate,
                    ),
                    out=total,
                    scratch=scratch,
                )
            dw_view[block.groups, block.K, block.C] = total


def _each_image(
    run: Callable[[Choice, Array, Array | Packed, Array], None],
    choice: Choice,
    operand: Array,
    w: Array | Packed,
    out: Array,
) -> None:
    """Run; then again, by direct summation, each image whose result is not to be trusted.

    Transforms spread one NaN or Inf over a whole tile, and may overflow on the way to a
    result that would not; but never do they hide one. Image by image, so that an image's
    bits do not depend on its company.
    """
    run(choice, operand, w, out)
    if not (choice.direct and choice.problem.products):
        return
    kernel, weights = _kernel_and_weights(choice, w)
    for n in range(choice.problem.N):
        image, y = choice.problem.image(n, operand), choice.problem.image(n, out)
        if not trust.trusts_image(choice, image, kernel, weights, y):
            run(choice.direct, image, kernel, y)


def _kernel_and_weights(choice: Choice, w: Array | Packed) -> tuple[Array, Array]:
    """Give the kernel as it came, and what `npconv.trust` wants to know of it."""
    if not isinstance(w, Packed):
        return w, trust.weights(choice, w)
    if w.kernel is None or w.weights is None:
        raise AssertionError("a kernel packed for transforms comes with the kernel itself")
    return w.kernel, w.weights


def bias_grad(dy: Array, numbers: Numbers) -> Array:
    """Compute the bias's gradient from ``dy (N, G, K, *out)``: every output reads it once."""
    axes = (0, *range(3, dy.ndim))
    check_range(numbers.result, math.prod(dy.shape[i] for i in axes), {"grad_output": dy})
    with np.errstate(all="ignore"):
        db: Array = dy.sum(axis=axes, dtype=numbers.accumulator)
        return db.reshape(-1).astype(numbers.result, copy=False)


def pack(choice: Choice, w: Array) -> Packed:
    """Copy a kernel into the form the choice's algorithm multiplies with."""
    takes_kernel(choice)
    check_kernel(choice, w)
    inner, packed = padded_problem(choice.problem), []
    conjugate = choice.direction is Direction.INPUT_GRAD
    for i, block in enumerate(blocks(choice.problem, choice.cut)):
        form = packed_block(choice, w, i, block, block.problem(inner), conjugate=conjugate)
        packed.append(form.copy() if np.shares_memory(form, w) else form)
        packed[-1].flags.writeable = False
    extremes = np.array([w.min(), w.max()]) if w.size and w.dtype.kind in "biu" else w[:0]
    if not choice.direct:
        return Packed(choice, tuple(packed), extremes)
    kernel = w.copy()
    kernel.flags.writeable = False
    return Packed(choice, tuple(packed), extremes, kernel, trust.weights(choice, w))


def _inputs(problem: ConvProblem, x: Array, block: Block, tile: Tile) -> Array:
    """Read what a tile's outputs see; a box of the padded input where a mode repeats it."""
    x = x[tile.images, block.groups, block.C]
    if problem.padding_mode == "zeros":
        index: tuple[Any, ...] = (..., *tile.inputs)
        seen: Array = x[index]
        return seen
    return gather(x, problem.axes, problem.padding_mode, tile.inputs)


def _beside(bias: Array, rank: int) -> Array:
    """Stand ``(G, K)`` beside ``(N, G, K, *positions)``."""
    return bias.reshape(*bias.shape, *(1,) * rank)


def _input_tile_shape(problem: ConvProblem) -> tuple[int, ...]:
    return (problem.N, problem.G, problem.C, *problem.size)


def _check_range(
    choice: Choice, operands: dict[str, Array], w: Array | Packed | None, bias: Array | None
) -> None:
    """Check integers by their true values, before they are cast or written."""
    if choice.numbers.result.kind in "iu":
        if isinstance(w, np.ndarray):
            operands = {**operands, "kernel": w}
        elif isinstance(w, Packed):
            operands = {**operands, "kernel": w.extremes}
        terms = choice.problem.terms(choice.direction)
        check_range(choice.numbers.result, terms, operands, bias)
