"""Run what will be trusted: whole or in tiles, then again what `npconv.trust` does not trust.

The compiled engine computes a problem whole, where arrays can be taken as they are; all else
goes tile by tile. What transforms computed is looked at, and what cannot be trusted is
computed again by direct summation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

from npconv import operands, trust
from npconv.algorithms.protocol import Transforming
from npconv.blas import held_for
from npconv.operands import Packed, kernel_of
from npconv.planner import Choice
from npconv.problem import Array, Direction
from npconv.products import EXACT
from npconv.scratch import let_go
from npconv.whole import Runs

# Runs a choice on its operands, tile by tile: ``(choice, operand, operand, out, flags=)``.
InTiles = Callable[..., None]


def each_image(
    run: InTiles,
    choice: Choice,
    operand: Array,
    w: Array | Packed,
    out: Array,
    bias: Array | None,
    *,
    bound: int,
) -> None:
    """Run, then again, by direct summation, images that are not to be trusted.

    Transforms spread one NaN or Inf over a whole tile, and may overflow on the way to a
    result that would not; but never do they hide one. Image by image, so that an image's
    bits do not depend on its company. Sums of integers are no larger than ``bound``.
    """
    out = np.asarray(out)  # never a subclass of ndarray
    flags = _flags(choice, choice.problem.N)
    done = choice.runs and _whole(choice, choice.runs, operand, w, out, bias, bound, flags)
    if done and not _in_doubt(choice, flags):
        return
    with held_for(choice.problem.products):  # once for both: to hold takes as long as to look
        if not done:
            run(choice, operand, w, out, flags=flags)
        if _in_doubt(choice, flags):
            _mend_images(run, choice, operand, w, out, flags)


def _in_doubt(choice: Choice, flags: Array | None) -> bool:
    """Whether some of a result has to be looked at: what was marked, or all of it."""
    doubtful = choice.direct and choice.problem.products
    return bool(doubtful and (flags is None or flags.any()))


def _mend_images(
    run: InTiles, choice: Choice, operand: Array, w: Array | Packed, out: Array, flags: Array | None
) -> None:
    """Compute images that are not to be trusted again."""
    kernel, weights = _kernel_and_weights(choice, w)
    for n in range(choice.problem.N) if flags is None else map(int, np.flatnonzero(flags)):
        image, y = choice.problem.image(n, operand), choice.problem.image(n, out)
        if not trust.trusts_image(choice, image, kernel, weights, y):
            let_go()
            run(choice.direct, image, kernel, y)


def all_images(run: InTiles, choice: Choice, dy: Array, x: Array, dw: Array, *, bound: int) -> None:
    """Do the same for the kernel's gradient, which is one sum over all images."""
    runs, flags, total = choice.runs, _flags(choice, 1), np.asarray(dw)
    whole = runs and _adds_exactly(bound) and runs.take(x, dy, total)
    done = runs and whole and runs.of_operands(x, dy, total, flags)
    if done and not _in_doubt(choice, flags):
        return
    with held_for(choice.problem.products):
        if not done:
            run(choice, dy, x, dw, flags=flags)
        if _in_doubt(choice, flags) and not trust.trusts_kernel_grad(choice, dy, x, dw):
            let_go()
            run(choice.direct, dy, x, dw)


def _whole(
    choice: Choice,
    runs: Runs,
    operand: Array,
    w: Array | Packed,
    out: Array,
    bias: Array | None,
    bound: int,
    flags: Array | None,
) -> bool:
    """Run in machine code, where operands can be taken as they are; say whether they could."""
    if bias is not None and choice.direction is Direction.INPUT_GRAD:
        return False  # it adds a bias to outputs only
    if not (_adds_exactly(bound) and runs.take(operand, out)):
        return False
    packed = w.whole if isinstance(w, Packed) else runs.packed(w)
    if packed is None:
        return False
    if bias is not None:
        bias = np.ascontiguousarray(operands.cast(choice.numbers, bias), runs.sums)
    return runs.of_kernel(operand, packed, out, bias, flags)


def _adds_exactly(bound: int) -> bool:
    """Whether integers are exact in float64, in which the compiled engine adds them up."""
    return bound <= EXACT[np.float64]


def _flags(choice: Choice, count: int) -> Array | None:
    """Give one integer for each result to an algorithm that marks those it does not trust."""
    marks = choice.direct and cast(Transforming, choice.best.algorithm).marks_doubt
    return np.zeros(count, np.int64) if marks else None


def _kernel_and_weights(choice: Choice, w: Array | Packed) -> tuple[Array, Array]:
    """Give the kernel as it came, and what `npconv.trust` wants to know of it."""
    kernel = kernel_of(w)
    if isinstance(w, Packed) and w.weights is not None:
        return kernel, w.weights
    return kernel, trust.weights(choice, kernel)
