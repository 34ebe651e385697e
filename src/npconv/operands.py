"""Operands and results of a call, checked against the choice that will run on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from npconv.arrays import check_out, check_shape
from npconv.errors import DTypeError, RangeError, UnsupportedError
from npconv.memory import new_array
from npconv.numbers import Numbers, keeps_meaning
from npconv.planner import Choice
from npconv.problem import Array, ConvProblem, Direction
from npconv.products import largest
from npconv.tiling import Block
from npconv.whole import is_native


class Packed(NamedTuple):
    """A kernel in the form one plan multiplies with; made by `Plan.pack`.

    Goes where that plan, or one equal in problem and algorithm, takes its kernel.
    """

    choice: Choice
    blocks: tuple[Array, ...]
    extremes: Array  # the smallest and the largest element, for integers that might not fit
    kernel: Array | None = None  # as it came, where something else may have to use it
    weights: Array | None = None  # what `npconv.trust` wants to know of it
    whole: Array | None = None  # for `Choice.runs`; then there are no blocks

    @property
    def nbytes(self) -> int:
        """Bytes the packed kernel holds."""
        each = (*self.blocks, self.kernel, self.weights, self.whole)
        own = [a for a in each if a is not None]
        return sum(array.nbytes for array in own)


def packed_block(
    choice: Choice,
    w: Array | Packed,
    i: int,
    block: Block,
    part: ConvProblem,
    *,
    conjugate: bool = False,
    keep: bool = False,
) -> Array:
    """Return block number ``i`` of a kernel in the algorithm's form, to keep or for one call."""
    if isinstance(w, Packed):
        if w.whole is None:
            return w.blocks[i]
        w = kernel_of(w)
    w = choice.problem.view_kernel(w)[block.groups, block.K, block.C]
    w = cast(choice.numbers, w, conjugate=conjugate)
    algorithm = choice.best.algorithm
    if keep or not is_native(algorithm):
        return algorithm.pack(part, choice.direction, w)
    return algorithm.bring(part, choice.direction, w)


def kernel_of(w: Array | Packed) -> Array:
    """Give a kernel as it came."""
    if not isinstance(w, Packed):
        return w
    if w.kernel is None:
        raise AssertionError("a kernel packed for machine code comes with the kernel itself")
    return w.kernel


def cast(numbers: Numbers, array: Array, *, conjugate: bool = False) -> Array:
    """Bring one tile of an operand into the dtype of the sums."""
    array = array.astype(numbers.result, copy=False).astype(numbers.accumulator, copy=False)
    return array.conj() if conjugate and array.dtype.kind == "c" else array


def check_kernel(choice: Choice, w: Array | Packed) -> Sequence[Array]:
    """Check a kernel, packed or not; return the arrays it consists of."""
    if not isinstance(w, Packed):
        check_shape("kernel", w, choice.problem.kernel_shape, "the plan's")
        return (w,)
    mine = (choice.problem, choice.direction, choice.numbers, choice.best.name, choice.cut)
    made = w.choice
    if mine != (made.problem, made.direction, made.numbers, made.best.name, made.cut):
        raise UnsupportedError(
            "kernel was packed by a plan for another problem or algorithm: "
            f"{made.best.name} for kernel {made.problem.kernel_shape} of {made.numbers.result}, "
            f"here {choice.best.name} for kernel {choice.problem.kernel_shape} of "
            f"{choice.numbers.result}; pack it with this plan"
        )
    return w.blocks if w.whole is None else (w.whole,)


def check_bias(numbers: Numbers, channels: int, bias: Array | None) -> Sequence[Array]:
    """Check a bias: one number for each output channel, of a kind the result can hold."""
    if bias is None:
        return ()
    check_shape("bias", bias, (channels,), "one number for each output channel")
    if not keeps_meaning(bias.dtype, numbers.result):
        raise DTypeError(
            f"bias of {bias.dtype} cannot be added to a result of {numbers.result} "
            "without losing its meaning (not a same-kind cast)"
        )
    return (bias,)


def result(
    numbers: Numbers, shape: tuple[int, ...], out: Array | None, operands: Sequence[Array]
) -> Array:
    """Return the array to write into: the caller's, checked, or a new one."""
    if out is None:
        return new_array("the result", shape, numbers.result)
    check_out(out, shape, numbers.result, *operands)
    return out


def takes_kernel(choice: Choice) -> None:
    """Refuse to pack for a direction without a kernel operand."""
    if choice.direction is Direction.KERNEL_GRAD:
        raise UnsupportedError("direction='kernel_grad' takes no kernel, so there is none to pack")


def check_range(
    dtype: np.dtype[Any], terms: int, operands: dict[str, Array], bias: Array | None = None
) -> int:
    """Refuse what might not fit an integer dtype: sums of ``terms`` products of operands.

    Returns a bound of the sums' absolute values; 0 for dtypes that are no integers.

    Raises
    ------
    RangeError
        When ``terms * max|a| * max|b| + max|bias|`` exceeds the dtype, or when the dtype is
        unsigned and something is negative. True values decide, whatever the operands' dtypes.
    """
    if dtype.kind not in "iu":
        return 0
    most = int(np.iinfo(dtype).max)
    signed = operands if bias is None else {**operands, "bias": bias}
    for name, array in signed.items():
        if dtype.kind == "u" and array.size and array.dtype.kind != "b" and int(array.min()) < 0:
            raise RangeError(
                f"a result of {dtype} cannot be negative, but {name} holds {int(array.min())}"
            )
    sizes = {name: largest(array) for name, array in operands.items()}
    bound = terms
    for size in sizes.values():
        bound *= size
    added = 0 if bias is None else largest(bias)
    if bound + added > most:
        factors = " * ".join([str(terms), *(f"max|{n}| {v}" for n, v in sizes.items())])
        raise RangeError(
            f"sums of {terms} products might not fit the result dtype {dtype}: {factors} + "
            f"max|bias| {added} = {bound + added}, but its largest number is {most}; "
            "scale the operands down, or use a float dtype"
        )
    return bound + added
