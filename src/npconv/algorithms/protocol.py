"""What an algorithm is: one file, one frozen stateless object with these methods.

Arrays arrive in the inner layout (see `npconv.problem`), already cast to ``dtype``, and
``out`` is a view of the caller's result. `npconv.execute` has cut the problem to the
workspace; what an algorithm sees as a problem is often a tile of a larger one, with zero
padding, no batch groups and no layout.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from npconv.cost import Cost
from npconv.problem import Array, ConvProblem, Direction
from npconv.scratch import Scratch
from npconv.strays import Strays

DType = np.dtype[Any]


class Algorithm(Protocol):
    """One way to compute a convolution and both of its gradients."""

    def __hash__(self) -> int:
        """Allow to remember what was found out with it: there is one of each."""

    @property
    def name(self) -> str:
        """The name users pass as ``algorithm=``."""

    @property
    def engine(self) -> str:
        """Which engine it belongs to: "numpy" or "compiled"."""

    @property
    def direct(self) -> bool:
        """Whether it is direct summation, the only kind ``accuracy="strict"`` admits."""

    @property
    def bands(self) -> bool:
        """Whether parts of a large image are computed by several threads at once."""

    def why_not(self, problem: ConvProblem, direction: Direction, dtype: DType) -> str | None:
        """Say in one sentence why it cannot serve, or None: it promises to be correct."""

    def cost(
        self,
        problem: ConvProblem,
        direction: Direction,
        dtype: DType,
        whole: ConvProblem | None = None,
    ) -> Cost:
        """Count what this problem would take, computed in one piece.

        For a tile, ``whole`` is the problem for which the kernel was packed.
        """

    def pack(self, problem: ConvProblem, direction: Direction, w: Array) -> Array:
        """Bring the kernel into the form the methods below take as ``w``."""

    def forward(
        self,
        problem: ConvProblem,
        x: Array,
        w: Array,
        *,
        out: Array,
        bias: Array | None,
        scratch: Scratch,
    ) -> None:
        """Write ``y (N, G, K, *out)`` plus ``bias (G, K)`` into ``out``."""

    def input_grad(
        self, problem: ConvProblem, dy: Array, w: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Write ``dx (N, G, C, *size)`` into ``out``."""

    def kernel_grad(
        self, problem: ConvProblem, x: Array, dy: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Add ``dw (G, K, C, *kernel)`` to ``out``, which holds zeros, images in a fixed order."""


class Transforming(Algorithm, Protocol):
    """An algorithm that is not direct summation, and says what else it multiplies."""

    @property
    def marks_doubt(self) -> bool:
        """Whether it looks at its results itself, and marks in `Scratch.flags` whom to doubt."""

    def strays(self, problem: ConvProblem, direction: Direction) -> Strays:
        """Say which inputs (or outputs' gradients) meet more than the result holds.

        Asked for `FORWARD` and `INPUT_GRAD`; in the kernel's gradient they all do.
        """


def why_no_sums(dtype: DType) -> str | None:
    """Say which dtypes have no sums of their own; every direct algorithm shares this."""
    if dtype.kind in "fciO":
        return None
    return f"it cannot add up in {dtype}; cast the operands to a dtype of NumPy's own"


# Tables have an entry for each term and each phase of a problem, and 64-bit steps in them.
MOST_TERMS, MOST_PHASES, FARTHEST = 2**22, 2**12, 2**31


def why_no_tables(problem: ConvProblem, direction: Direction) -> str | None:
    """Say which problems are too large to be laid out in tables before they are computed."""
    terms = max(problem.taps, 1) * max(problem.C, problem.K)
    if direction is Direction.INPUT_GRAD:
        phases = math.prod(min(axis.stride, axis.size) for axis in problem.axes)
    else:
        phases = math.prod(min(axis.input_dilation, axis.out) for axis in problem.axes)
    if terms > MOST_TERMS or phases > MOST_PHASES:
        return (
            f"its tables hold at most {MOST_TERMS:,} terms and {MOST_PHASES:,} phases, not "
            f"{terms:,} and {phases:,}"
        )
    farthest = max((abs(number) for axis in problem.axes for number in axis), default=0)
    if farthest > FARTHEST:
        return f"it reaches no farther than {FARTHEST:,} elements, not {farthest:,}"
    return None
