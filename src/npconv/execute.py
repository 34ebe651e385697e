"""Run a choice on arrays: what is the same for every algorithm stands here.

Casts, the result array, blocks and tiles, the accumulator. An algorithm sees one tile at a
time, in the inner layout and the accumulator's dtype. Everything is checked before
anything is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from npconv.arrays import check_out, check_shape
from npconv.errors import DTypeError, UnsupportedError
from npconv.memory import new_array
from npconv.numbers import Numbers
from npconv.planner import Choice
from npconv.problem import Array, ConvProblem, Direction
from npconv.scratch import Scratch
from npconv.tiling import Block, blocks, tiles


@dataclass(frozen=True)
class Packed:
    """A kernel in the form one plan multiplies with; made by `Plan.pack`.

    Goes where that plan, or one equal in problem and algorithm, takes its kernel.
    """

    choice: Choice
    blocks: tuple[Array, ...]

    @property
    def nbytes(self) -> int:
        """Bytes the packed kernel holds."""
        return sum(block.nbytes for block in self.blocks)


def forward(
    choice: Choice, x: Array, w: Array | Packed, bias: Array | None, out: Array | None
) -> Array:
    """Compute ``conv(x, w) + bias`` into ``out`` or a new array."""
    problem = choice.problem
    check_shape("input", x, problem.input_shape, "the plan's")
    operands = [x, *_check_kernel(choice, w), *_check_bias(choice, bias)]
    y = _result(choice, problem.output_shape, out, operands)
    if not y.size:
        return y  # with one size 0 the others may be anything, too many to walk over
    x_view, y_view = problem.view_input(x), problem.view_output(y)
    if bias is not None:
        bias = bias.reshape(problem.G, problem.K)
    run, scratch = choice.best.algorithm.forward, Scratch()
    with np.errstate(all="ignore"):
        for i, block in enumerate(blocks(problem, choice.cut)):
            part = block.problem(problem)
            packed = _packed_block(choice, w, i, block, part)
            part_bias = None if bias is None else _cast(choice, bias[block.groups, block.K])
            for tile in tiles(part, choice.direction, choice.cut):
                run(
                    tile.problem,
                    _cast(
                        choice,
                        x_view[(tile.images, block.groups, block.C, *tile.inputs)],
                    ),
                    packed,
                    out=y_view[(tile.images, block.groups, block.K, *tile.outputs)],
                    bias=part_bias,
                    scratch=scratch,
                )
    return y


def input_grad(choice: Choice, dy: Array, w: Array | Packed, out: Array | None) -> Array:
    """Compute the gradient with respect to the input."""
    problem = choice.problem
    check_shape("grad_output", dy, problem.output_shape, "the output's")
    dx = _result(choice, problem.input_shape, out, [dy, *_check_kernel(choice, w)])
    if not dx.size:
        return dx
    dy_view, dx_view = problem.view_output(dy), problem.view_input(dx)
    run, scratch = choice.best.algorithm.input_grad, Scratch()
    with np.errstate(all="ignore"):
        for i, block in enumerate(blocks(problem, choice.cut)):
            part = block.problem(problem)
            packed = _packed_block(choice, w, i, block, part)
            for tile in tiles(part, choice.direction, choice.cut):
                run(
                    tile.problem,
                    _cast(
                        choice,
                        dy_view[(tile.images, block.groups, block.K, *tile.outputs)],
                    ),
                    packed,
                    out=dx_view[(tile.images, block.groups, block.C, *tile.inputs)],
                    scratch=scratch,
                )
    return dx


def kernel_grad(choice: Choice, dy: Array, x: Array, out: Array | None) -> Array:
    """Compute the gradient with respect to the kernel: tiles add up in their fixed order."""
    problem = choice.problem
    check_shape("grad_output", dy, problem.output_shape, "the output's")
    check_shape("input", x, problem.input_shape, "the plan's")
    dw = _result(choice, problem.kernel_shape, out, [dy, x])
    if not dw.size:
        return dw
    x_view, dy_view, dw_view = (
        problem.view_input(x),
        problem.view_output(dy),
        problem.view_kernel(dw),
    )
    run, scratch = choice.best.algorithm.kernel_grad, Scratch()
    with np.errstate(all="ignore"):
        for block in blocks(problem, choice.cut):
            part = block.problem(problem)
            shape = (part.G, part.K, part.C, *part.kernel)
            total = scratch.array("accumulator", shape, choice.numbers.accumulator)
            total[...] = 0
            for tile in tiles(part, choice.direction, choice.cut):
                run(
                    tile.problem,
                    _cast(
                        choice,
                        x_view[(tile.images, block.groups, block.C, *tile.inputs)],
                    ),
                    _cast(
                        choice,
                        dy_view[(tile.images, block.groups, block.K, *tile.outputs)],
                    ),
                    out=total,
                    scratch=scratch,
                )
            dw_view[block.groups, block.K, block.C] = total
    return dw


def bias_grad(problem: ConvProblem, numbers: Numbers, dy: Array) -> Array:
    """Compute the gradient with respect to the bias: every output reads it once."""
    axes = (0, *range(3, 3 + problem.rank))
    with np.errstate(all="ignore"):
        db: Array = problem.view_output(dy).sum(axis=axes, dtype=numbers.accumulator)
    return db.reshape(-1).astype(numbers.result, copy=False)


def pack(choice: Choice, w: Array) -> Packed:
    """Copy a kernel into the form the choice's algorithm multiplies with."""
    if choice.direction is Direction.KERNEL_GRAD:
        raise UnsupportedError("direction='kernel_grad' takes no kernel, so there is none to pack")
    _check_kernel(choice, w)
    packed = []
    for i, block in enumerate(blocks(choice.problem, choice.cut)):
        form = _packed_block(choice, w, i, block, block.problem(choice.problem))
        packed.append(form.copy() if np.shares_memory(form, w) else form)
        packed[-1].flags.writeable = False
    return Packed(choice, tuple(packed))


# ---- operands and results ------------------------------------------------------------------


def _packed_block(
    choice: Choice, w: Array | Packed, i: int, block: Block, part: ConvProblem
) -> Array:
    if isinstance(w, Packed):
        return w.blocks[i]
    w = choice.problem.view_kernel(w)[block.groups, block.K, block.C]
    return choice.best.algorithm.pack(part, choice.direction, _cast(choice, w))


def _check_kernel(choice: Choice, w: Array | Packed) -> Sequence[Array]:
    if not isinstance(w, Packed):
        check_shape("kernel", w, choice.problem.kernel_shape, "the plan's")
        return (w,)
    mine = (
        choice.problem,
        choice.direction,
        choice.numbers,
        choice.best.name,
        choice.cut,
    )
    made = w.choice
    if mine != (made.problem, made.direction, made.numbers, made.best.name, made.cut):
        raise UnsupportedError(
            "kernel was packed by a plan for another problem or algorithm: "
            f"{made.best.name} for kernel {made.problem.kernel_shape} of {made.numbers.result}, "
            f"here {choice.best.name} for kernel {choice.problem.kernel_shape} of "
            f"{choice.numbers.result}; pack it with this plan"
        )
    return w.blocks


def _check_bias(choice: Choice, bias: Array | None) -> Sequence[Array]:
    if bias is None:
        return ()
    channels = choice.problem.K * choice.problem.G
    check_shape("bias", bias, (channels,), "one number for each output channel")
    if not np.can_cast(bias.dtype, choice.numbers.result, "same_kind"):
        raise DTypeError(
            f"bias of {bias.dtype} cannot be added to a result of {choice.numbers.result} "
            "without losing its meaning (not a same-kind cast)"
        )
    return (bias,)


def _cast(choice: Choice, array: Array) -> Array:
    """Bring one tile of an operand into the dtype of the sums."""
    array = array.astype(choice.numbers.result, copy=False)
    return array.astype(choice.numbers.accumulator, copy=False)


def _result(
    choice: Choice, shape: tuple[int, ...], out: Array | None, operands: Sequence[Array]
) -> Array:
    if out is None:
        return new_array("the result", shape, choice.numbers.result)
    check_out(out, shape, choice.numbers.result, *operands)
    return out
