"""Run a choice on arrays: what is the same for every algorithm stands here.

Padding modes, blocks and tiles, and the accumulator; `npconv.trusted` says what runs whole,
and what runs twice. An algorithm sees one tile at a time, in the inner layout and the
accumulator's dtype, padded with zeros if at all. Everything is checked before anything is
written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np

from npconv import threads, trust, trusted
from npconv.arrays import check_shape
from npconv.compiled import channels
from npconv.numbers import Numbers
from npconv.operands import (
    Packed,
    cast,
    check_bias,
    check_kernel,
    check_range,
    packed_block,
    result,
    takes_kernel,
)
from npconv.padding import Run, add_box, gather, padded_problem
from npconv.planner import Choice
from npconv.problem import Array, ConvProblem, Direction
from npconv.scratch import Scratch, lent
from npconv.tiling import Block, Tile, gradient_tiles, number_of_tiles, parts, tiles


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
    return _of_images(choice, _forward, "input", x, w, bias, out, conjugate=conjugate)


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
    problem = choice.problem
    x_view, y_view = problem.view_input(x), problem.view_output(y)

    def jobs() -> Iterator[threads.Job]:
        for i, (block, part) in enumerate(parts(problem, choice.cut)):
            packed = packed_block(choice, w, i, block, part, conjugate=conjugate)
            added = _bias_of(choice, bias, block.K, problem.K, block)
            job = partial(_forward_tile, choice, block, x_view, packed, added, y_view, flags)
            for tile in tiles(part, choice.direction, choice.cut):
                yield partial(job, tile)
            del packed, job  # before the next block's kernel is packed

    with np.errstate(all="ignore"), _scratches(choice) as scratches:
        threads.run(jobs(), scratches)


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
    return _of_images(choice, _input_grad, name, dy, w, bias, out, conjugate=conjugate)


def _of_images(
    choice: Choice,
    run: Callable[..., None],
    name: str,
    first: Array,
    w: Array | Packed,
    bias: Array | None,
    out: Array | None,
    *,
    conjugate: bool,
) -> Array:
    """Compute forward, or the input's gradient: in both images are independent."""
    made = _at_once(choice, first, w, bias, out)
    if made is not None:
        return made
    problem, numbers = choice.problem, choice.numbers
    read, written, whose, count = (
        (problem.input_shape, problem.output_shape, "the plan's", problem.K)
        if choice.direction is Direction.FORWARD
        else (problem.output_shape, problem.input_shape, "the output's", problem.C)
    )
    check_shape(name, first, read, whose)
    operands = [first, *check_kernel(choice, w), *check_bias(numbers, count * problem.G, bias)]
    bound = _check_range(choice, {name: first}, w, bias)
    y = result(numbers, written, out, operands)
    if y.size:  # with one size 0 the others may be anything, too many to walk over
        run = partial(run, bias=bias, conjugate=conjugate)
        trusted.each_image(run, choice, first, w, y, bias, bound=bound)
    return y


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
    problem = choice.problem
    dy_view, dx_view = problem.view_output(dy), problem.view_input(dx)

    def jobs() -> Iterator[threads.Job]:
        for i, (block, part) in enumerate(parts(problem, choice.cut)):
            packed = packed_block(choice, w, i, block, part, conjugate=conjugate)
            added = _bias_of(choice, bias, block.C, problem.C, block)
            job = partial(_input_grad_tile, choice, block, dy_view, packed, added, dx_view, flags)
            for tile in gradient_tiles(part, problem, choice.cut):
                yield partial(job, *tile)
            del packed, job  # before the next block's kernel is packed

    with np.errstate(all="ignore"), _scratches(choice) as scratches:
        threads.run(jobs(), scratches)


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
    made = _at_once(choice, dy, x, None, out)
    if made is not None:
        return made
    problem, numbers = choice.problem, choice.numbers
    check_shape("grad_output", dy, problem.output_shape, "the output's")
    check_shape("input", x, problem.input_shape, "the plan's")
    bound = _check_range(choice, {"grad_output": dy, "input": x}, None, None)
    dw = result(numbers, problem.kernel_shape, out, [dy, x])
    if not dw.size:
        return dw
    run = partial(_kernel_grad, conjugate=conjugate, first_conjugate=first_conjugate)
    trusted.all_images(run, choice, dy, x, dw, bound=bound)
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
    problem = choice.problem
    x_view, dy_view = problem.view_input(x), problem.view_output(dy)
    dw_view = problem.view_kernel(dw)
    with np.errstate(all="ignore"), _scratches(choice) as scratches:
        numbers, cut, direction = choice.numbers, choice.cut, choice.direction
        cast_x = partial(cast, numbers, conjugate=conjugate)
        cast_dy = partial(cast, numbers, conjugate=first_conjugate)
        job = partial(_kernel_grad_tile, choice, x_view, dy_view, cast_x, cast_dy, flags)
        walk = parts(problem, cut)
        if number_of_tiles(padded_problem(problem), direction, cut) == 1:
            jobs = ((block, tile) for block, part in walk for tile in tiles(part, direction, cut))
            threads.run((partial(job, *each, dw_view, False) for each in jobs), scratches)
            return
        for block, part in walk:
            shape = (part.G, part.K, part.C, *part.kernel)
            total = scratches[0].array("total", shape, numbers.accumulator)
            total[...] = 0
            here = tiles(part, direction, cut)
            threads.run((partial(job, block, tile, total, True) for tile in here), scratches)
            dw_view[block.groups, block.K, block.C] = total


def _kernel_grad_tile(
    choice: Choice,
    x: Array,
    dy: Array,
    cast_x: Callable[[Array], Array],
    cast_dy: Callable[[Array], Array],
    flags: Array | None,
    block: Block,
    tile: Tile,
    total: Array,
    is_part: bool,
    scratch: Scratch,
) -> Callable[[], None] | None:
    """Sum over one tile: all of a block's result, or a part of its total.

    The sums of tiles add up in their order, whoever is first.
    """
    seen = cast_x(_inputs(choice.problem, x, block, tile))
    grads = cast_dy(dy[(tile.images, block.groups, block.K, *tile.outputs)])
    place = total if is_part else total[block.groups, block.K, block.C]
    here = place
    if is_part or place.dtype != choice.numbers.accumulator:
        here = scratch.array("here", place.shape, choice.numbers.accumulator)
    here[...] = 0
    scratch.flags = flags
    choice.best.algorithm.kernel_grad(tile.problem, seen, grads, out=here, scratch=scratch)
    if not is_part:
        if here is not place:
            place[...] = here
        return None

    def add() -> None:
        np.add(total, here, out=total)

    return add


def _at_once(
    choice: Choice, first: Array, second: Array | Packed, bias: Array | None, out: Array | None
) -> Array | None:
    """Run what needs nothing checked but how its arrays lie; None for all else."""
    return choice.runs.at_once(first, second, bias, out) if choice.runs else None


def bias_grad(dy: Array, numbers: Numbers) -> Array:
    """Compute the bias's gradient from ``dy (N, channels, *out)``: every output reads it once."""
    if numbers.result.kind in "iu":
        check_range(numbers.result, dy.size // max(1, dy.shape[1]), {"grad_output": dy})
    db = channels.sums(dy) if dy.dtype == numbers.result else None
    with np.errstate(all="ignore"):
        if db is None:
            db = np.add.reduce(dy, (0, *range(2, dy.ndim)), numbers.accumulator)
        return db.astype(numbers.result, copy=False)


def pack(choice: Choice, w: Array) -> Packed:
    """Copy a kernel into the form the choice's algorithm multiplies with."""
    takes_kernel(choice)
    check_kernel(choice, w)
    extremes = np.array([w.min(), w.max()]) if w.size and w.dtype.kind in "biu" else w[:0]
    if choice.runs:
        whole = choice.runs.packed(np.require(w, choice.numbers.result, ["C", "A"]), keep=True)
        if whole is not None:
            whole = whole.copy() if np.shares_memory(whole, w) else whole
            whole.flags.writeable = False
            kernel = w.copy()
            kernel.flags.writeable = False
            return Packed(choice, (), extremes, kernel, whole=whole)
    packed: list[Array] = []
    conjugate = choice.direction is Direction.INPUT_GRAD
    for i, (block, part) in enumerate(parts(choice.problem, choice.cut)):
        form = packed_block(choice, w, i, block, part, conjugate=conjugate, keep=True)
        packed.append(form.copy() if np.shares_memory(form, w) else form)
        packed[-1].flags.writeable = False
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


def _scratches(choice: Choice) -> AbstractContextManager[list[Scratch]]:
    """One for each thread; they last for a call, so that blocks use the same memory.

    The compiled engine has threads of its own, who share each tile.
    """
    limit = choice.settings.workspace_limit
    if choice.best.algorithm.engine == "compiled":
        return lent(1, choice.workspace, limit, shared_by=choice.threads)
    return lent(choice.threads, choice.workspace, limit)


def _input_tile_shape(problem: ConvProblem) -> tuple[int, ...]:
    return (problem.N, problem.G, problem.C, *problem.size)


def _check_range(
    choice: Choice, operands: dict[str, Array], w: Array | Packed | None, bias: Array | None
) -> int:
    """Check integers by their true values, before they are cast or written; bound the sums."""
    if choice.numbers.result.kind in "iu":
        if isinstance(w, np.ndarray):
            operands = {**operands, "kernel": w}
        elif isinstance(w, Packed):
            operands = {**operands, "kernel": w.extremes}
        terms = choice.problem.terms(choice.direction)
        return check_range(choice.numbers.result, terms, operands, bias)
    return 0
