"""Plans: what will run, printed, held and called."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from npconv import execute
from npconv.arrays import as_array
from npconv.blas import can_hold
from npconv.errors import DTypeError, UnsupportedError
from npconv.memory import check_capacity
from npconv.numbers import DType
from npconv.operands import Packed
from npconv.planner import Candidate, Choice, choose
from npconv.problem import Array, Direction

NAMES = {
    Direction.FORWARD: ("input", "kernel"),
    Direction.INPUT_GRAD: ("grad_output", "kernel"),
    Direction.KERNEL_GRAD: ("grad_output", "input"),
}


class Plan:
    """A decision for one problem: which algorithm, cut how; made by `plan_conv`.

    A plan depends on shapes, options, dtype and settings alone, and freezes them. Call it
    with arrays of just those shapes and that dtype; ``print(plan)`` tells why it chose.

    Raises
    ------
    ShapeError, DTypeError
        When called with another shape or dtype than it was made for.

    Examples
    --------
    >>> import numpy as np, npconv
    >>> with npconv.settings(engine="numpy"):
    ...     plan = npconv.plan_conv((1, 3, 8, 8), (4, 3, 3, 3), padding=1, algorithm="im2col")
    >>> plan.algorithm, plan.engine
    ('im2col', 'numpy')
    >>> plan(np.ones((1, 3, 8, 8), "float32"), np.ones((4, 3, 3, 3), "float32")).shape
    (1, 4, 8, 8)
    """

    __slots__ = ("_quick", "choice", "dtype")

    def __init__(self, choice: Choice, dtype: DType) -> None:
        self.choice = choice
        self.dtype = dtype  # of both operands; integers of any size give an int64 result
        self._quick = choice.runs.quick if choice.runs and choice.runs.simple else None

    @property
    def algorithm(self) -> str:
        """Name of the algorithm that will run."""
        return self.choice.best.name

    @property
    def engine(self) -> str:
        """Name of the engine that will run it."""
        return self.choice.best.algorithm.engine

    @property
    def workspace_bytes(self) -> int:
        """Most bytes of working arrays that a call has alive at once: a bound that holds."""
        return self.choice.workspace

    @property
    def error_growth(self) -> float:
        """``g`` in ``|error| <= g * u * (|input| * |kernel|)``, ``u`` the unit round-off."""
        return self.choice.error_growth

    def __call__(
        self, first: Any, second: Any, bias: Any = None, out: Array | None = None
    ) -> Array:
        """Run the plan: ``(input, kernel)``, ``(grad_output, kernel)`` or ``(grad_output, input)``.

        ``bias`` goes with the forward direction only; ``kernel`` may be a packed one.
        """
        if self._quick:
            y = self._quick(first, second, bias, out)
            if y is not None:
                return y
        names = NAMES[self.choice.direction]
        a = self._operand(names[0], first)
        b = second if isinstance(second, Packed) else self._operand(names[1], second)
        if self.choice.direction is Direction.FORWARD:
            bias = None if bias is None else as_array("bias", bias)
            return execute.forward(self.choice, a, b, bias, out)
        if bias is not None:
            raise UnsupportedError(f"bias is no part of direction={self.choice.direction.value!r}")
        if self.choice.direction is Direction.INPUT_GRAD:
            return execute.input_grad(self.choice, a, b, None, out)
        if isinstance(b, Packed):
            raise DTypeError("input must be an array, not a packed kernel")
        return execute.kernel_grad(self.choice, a, b, out)

    def _operand(self, name: str, value: Any) -> Array:
        array = as_array(name, value)
        if array.dtype.newbyteorder("=") != self.dtype:
            raise DTypeError(
                f"{name} must have the plan's dtype {self.dtype}, "
                f"but {name}.dtype={array.dtype}; plan for that dtype, or cast"
            )
        return array

    def pack(self, kernel: Any) -> Packed:
        """Copy the kernel into the plan's own form, once for many calls."""
        return execute.pack(self.choice, self._operand("kernel", kernel))

    def measure(self) -> Plan:
        """Time every able candidate on random data and return the plan of the fastest.

        A kernel is packed beforehand. `naive` is left out beyond a million products. Medians
        of five calls decide.
        """
        c = self.choice
        rng = np.random.default_rng(0)
        shapes = {
            Direction.FORWARD: (c.problem.input_shape, c.problem.kernel_shape),
            Direction.INPUT_GRAD: (c.problem.output_shape, c.problem.kernel_shape),
            Direction.KERNEL_GRAD: (c.problem.output_shape, c.problem.input_shape),
        }[c.direction]
        for shape in shapes:
            check_capacity("a random operand", shape, np.float64)
        if self.dtype.kind in "buiO":
            operands = [rng.integers(0, 2, shape).astype(self.dtype) for shape in shapes]
        else:
            operands = [rng.standard_normal(shape).astype(self.dtype) for shape in shapes]
        able = [x for x in c.candidates if not x.refusal]
        if c.problem.products > 1_000_000:
            able = [x for x in able if x.name != "naive"] or able
        what = c.problem, c.direction, c.numbers, c.settings
        plans = [Plan(choose(*what, x.name, packed=True), self.dtype) for x in able]
        return min(plans, key=lambda plan: plan._seconds(*operands))

    def _seconds(self, first: Array, second: Array) -> float:
        other: Array | Packed = second
        if self.choice.direction is not Direction.KERNEL_GRAD:
            other = self.pack(second)
        return _median_seconds(partial(self, first, other))

    def __str__(self) -> str:
        """Show every candidate with its figures, or its reason."""
        c = self.choice
        lines = [
            _problem_text(c),
            f"{self.algorithm} on the {self.engine} engine, accuracy {c.settings.accuracy!r}",
            _tile_text(c),
            "",
            HEADINGS,
        ]
        lines += [_candidate_line(candidate, c) for candidate in c.candidates]
        lines += [
            "",
            NOTES.format(
                limit=c.settings.workspace_limit / 2**20,
                threads="one tile" if c.threads == 1 else f"{c.threads} tiles",
                unless="" if can_hold() or self.engine == "compiled" else NOT_HELD,
            ),
        ]
        return "\n".join(lines)


def _problem_text(choice: Choice) -> str:
    p = choice.problem
    return (
        f"{choice.direction.value}: {p.input_shape} * {p.kernel_shape} -> {p.output_shape}, "
        f"{choice.numbers.result}"
    )


def _candidate_line(candidate: Candidate, choice: Choice) -> str:
    mark = "->" if candidate is choice.best else ""
    if candidate.refusal:
        return f"  {mark:2} {candidate.name:<15}not able: {candidate.refusal}"
    cost = candidate.cost
    return (
        f"  {mark:2} {candidate.name:<15}{1e3 * candidate.time:>10.3g}{cost.multiplications:>18,}"
        f"{candidate.workspace / 2**20:>10.2f} MiB{choice.growth_of(candidate):>11.4g}"
    )


def _tile_text(choice: Choice) -> str:
    cut = choice.cut
    return (
        f"tiles of up to {cut.images} images, {cut.groups} groups, {cut.K} output and "
        f"{cut.C} input channels, {' x '.join(map(str, cut.positions))} positions"
    )


HEADINGS = f"     {'algorithm':<15}{'ms/image':>10}{'products':>18}{'workspace':>14}{'growth':>11}"
NOTES = """\
workspace: at most {limit:g} MiB (workspace_limit), for {threads} at a time
bits: an image's result depends neither on the batch it is in nor on threads{unless}"""
NOT_HELD = """;
but BLAS, which nothing holds to one thread, may add in another order with more of them
(pip install threadpoolctl)"""


def _median_seconds(call: Callable[[], object]) -> float:
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)[2]
