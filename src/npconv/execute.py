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

from npconv import threads, trust
from npconv.arrays import check_shape
from npconv.blas import held_for
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
from npconv.padding import Run, add_box, gather, padded_problem
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
    with held_for(problem.products):
        run = partial(_forward, bias=bias, conjugate=conjugate)
        _each_image(run, choice, x, w, np.asarray(y))  # never a subclass of ndarray
    return y


def _forward(
    choice: Choice,
    x: Array,
    w: Array | Packed,
    y: Array,
    *,
    bias: Array | None,
    conjugate: bool,
    flags: Array | None = None,
) -> None:
    problem, scratches = choice.problem, _scratches(choice)
    x_view, y_view, inner = problem.view_input(x), problem.view_output(y), padded_problem(problem)
    with np.errstate(all="ignore"):
        for i, block in enumerate(blocks(problem, choice.cut)):
            part = block.problem(inner)
            packed = packed_block(choice, w, i, block, part, conjugate=conjugate)
            added = _bias_of(choice, bias, block.K, problem.K, block)
            job = partial(_forward_tile, choice, block, x_view, packed, added, y_view, flags)
            threads.run(
                (partial(job, tile) for tile in tiles(part, choice.direction, choice.cut)),
                scratches,
            )
            del packed, job  # before the next block's kernel is packed


def _forward_tile(
    choice: Choice,
    block: Block,
    x: Array,
    packed: Array,
    bias: Array | None,
    y: Array,
    flags: Array | None,
    tile: Tile,
    scratch: Scratch,
) -> None:
    scratch.flags = None if flags is None else flags[tile.images]
    choice.best.algorithm.forward(
        tile.problem,
        cast(choice.numbers, _inputs(choice.problem, x, block, tile)),
        packed,
        out=y[(tile.images, block.groups, block.K, *tile.outputs)],
        bias=bias,
        scratch=scratch,
    )


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
    with held_for(problem.products):
        run = partial(_input_grad, bias=bias, conjugate=conjugate)
        _each_image(run, choice, dy, w, np.asarray(dx))
    return dx


def _input_grad(
    choice: Choice,
    dy: Array,
    w: Array | Packed,
    dx: Array,
    *,
    bias: Array | None,
    conjugate: bool,
    flags: Array | None = None,
) -> None:
    problem, scratches = choice.problem, _scratches(choice)
    dy_view, dx_view = problem.view_output(dy), problem.view_input(dx)
    inner = padded_problem(problem)
    with np.errstate(all="ignore"):
        for i, block in enumerate(blocks(problem, choice.cut)):
            part = block.problem(inner)
            packed = packed_block(choice, w, i, block, part, conjugate=conjugate)
            added = _bias_of(choice, bias, block.C, problem.C, block)
            job = partial(_input_grad_tile, choice, block, dy_view, packed, added, dx_view, flags)
            threads.run(
                (partial(job, *tile) for tile in gradient_tiles(part, problem, choice.cut)),
                scratches,
            )
            del packed, job  # before the next block's kernel is packed


def _input_grad_tile(
    choice: Choice,
    block: Block,
    dy: Array,
    packed: Array,
    bias: Array | None,
    dx: Array,
    flags: Array | None,
    tile: Tile,
    pieces: list[tuple[Tile, tuple[Run, ...]]],
    scratch: Scratch,
) -> None:
    """Compute a tile; where padding repeated the input, add up the pieces that read it."""
    problem, numbers = choice.problem, choice.numbers
    scratch.flags = None if flags is None else flags[tile.images]
    place = dx[(tile.images, block.groups, block.C, *tile.inputs)]
    total = place
    if bias is not None or problem.padding_mode != "zeros":
        total = scratch.array("total", place.shape, numbers.accumulator)
        total[...] = 0
    for piece, folds in pieces:
        seen = cast(numbers, dy[(tile.images, block.groups, block.K, *piece.outputs)])
        box = total
        if folds:
            box = scratch.array("box", _input_tile_shape(piece.problem), numbers.accumulator)
        choice.best.algorithm.input_grad(piece.problem, seen, packed, out=box, scratch=scratch)
        if folds:
            add_box(box, folds, total)
    if bias is not None:
        total += bias.reshape(*bias.shape, *(1,) * problem.rank)
    if total is not place:
        place[...] = total


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
    flags = _flags(choice, 1)
    with held_for(problem.products):
        run(choice, dy, x, dw, flags=flags)
        if not (choice.direct and problem.products) or (flags is not None and not flags[0]):
            return dw
        if not trust.trusts_kernel_grad(choice, dy, x, dw):
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
    flags: Array | None = None,
) -> None:
    problem, scratches = choice.problem, _scratches(choice)
    x_view, dy_view = problem.view_input(x), problem.view_output(dy)
    dw_view, inner = problem.view_kernel(dw), padded_problem(problem)
    with np.errstate(all="ignore"):
        for block in blocks(problem, choice.cut):
            part = block.problem(inner)
            shape = (part.G, part.K, part.C, *part.kernel)
            total = scratches[0].array("total", shape, choice.numbers.accumulator)
            total[...] = 0
            job = partial(
                _kernel_grad_tile,
                *(choice, block, x_view, dy_view, total, flags),
                conjugate=conjugate,
                first_conjugate=first_conjugate,
            )
            threads.run(
                (partial(job, tile) for tile in tiles(part, choice.direction, choice.cut)),
                scratches,
            )
            dw_view[block.groups, block.K, block.C] = total


def _kernel_grad_tile(
    choice: Choice,
    block: Block,
    x: Array,
    dy: Array,
    total: Array,
    flags: Array | None,
    tile: Tile,
    scratch: Scratch,
    *,
    conjugate: bool,
    first_conjugate: bool,
) -> Callable[[], None]:
    """Sum over one tile; the sums of tiles add up in their order, whoever is first."""
    numbers = choice.numbers
    seen = cast(numbers, _inputs(choice.problem, x, block, tile), conjugate=conjugate)
    grads = dy[(tile.images, block.groups, block.K, *tile.outputs)]
    grads = cast(numbers, grads, conjugate=first_conjugate)
    here = scratch.array("here", total.shape, total.dtype)
    here[...] = 0
    scratch.flags = flags
    choice.best.algorithm.kernel_grad(tile.problem, seen, grads, out=here, scratch=scratch)

    def add() -> None:
        np.add(total, here, out=total)

    return add


def _each_image(
    run: Callable[..., None],
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
    flags = _flags(choice, choice.problem.N)
    run(choice, operand, w, out, flags=flags)
    if not (choice.direct and choice.problem.products):
        return
    in_doubt = range(choice.problem.N) if flags is None else np.flatnonzero(flags)
    if not len(in_doubt):
        return
    kernel, weights = _kernel_and_weights(choice, w)
    for n in map(int, in_doubt):
        image, y = choice.problem.image(n, operand), choice.problem.image(n, out)
        if not trust.trusts_image(choice, image, kernel, weights, y):
            run(choice.direct, image, kernel, y)


def _flags(choice: Choice, count: int) -> Array | None:
    """Give one integer for each result to an algorithm that marks those it does not trust."""
    marks = getattr(choice.best.algorithm, "marks_doubt", False)
    return np.zeros(count, np.int64) if marks and choice.direct else None


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
        part = block.problem(inner)
        form = packed_block(choice, w, i, block, part, conjugate=conjugate, keep=True)
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


def _bias_of(
    choice: Choice, bias: Array | None, channels: slice, count: int, block: Block
) -> Array | None:
    """Give a block's bias ``(G, K)``, cast."""
    if bias is None:
        return None
    bias = bias.reshape(choice.problem.G, count)
    return cast(choice.numbers, bias[block.groups, channels])


def _scratches(choice: Choice) -> list[Scratch]:
    """One for each thread; they last for a call, so that blocks use the same memory."""
    return [Scratch() for _ in range(choice.threads)]


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
