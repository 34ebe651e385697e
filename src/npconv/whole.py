"""A problem run whole, in machine code: no tiles, no casts, next to no Python.

The compiled engine works through bands of its own, in memory that does not grow with the
image. So where arrays already have the dtype of the sums, and the image was not to be cut,
all that is left to do is to say where the arrays lie. What is prepared for arrays that lie
in a certain way is kept with the choice.
"""

from __future__ import annotations

import math
from typing import Any, Protocol, TypeGuard, cast

import numpy as np

from npconv.algorithms.protocol import Algorithm, DType
from npconv.arrays import check_out
from npconv.compiled.prepared import Prepared, Strides, from_a_line, strides_of
from npconv.compiled.registers import SUMS
from npconv.numbers import Numbers
from npconv.problem import Array, ConvProblem, Direction
from npconv.scratch import LINES
from npconv.settings import Settings

SMALL = 2**26  # numbers of a result that are there on every machine
# Pieces of working memory kept for the next calls, and the largest of them.
KEPT, KEPT_BYTES = 2, 8 * 2**20
# The compiled engine's threads wait for work, and cost some microseconds.
THREADED_PRODUCTS_COMPILED = 200_000


class Native(Algorithm, Protocol):
    """An algorithm of the compiled engine."""

    def prepare(
        self,
        problem: ConvProblem,
        direction: Direction,
        dtype: DType,
        strides: tuple[Strides, Strides, Strides],
        threads: int,
    ) -> Prepared | None:
        """Prepare a run for input, output and kernel (or their gradients) of these strides.

        Of a packed kernel it is the shape. None where arrays that lie so cannot be taken.
        """

    def takes(self, result: DType, accumulator: DType) -> bool:
        """Whether arrays of these numbers can be read and written without a cast."""

    def whole_workspace(
        self, problem: ConvProblem, direction: Direction, dtype: DType, threads: int
    ) -> int:
        """Bound the bytes of a problem that is not cut, its packed kernel among them.

        Where that changes bits of a result which is not a sum over all images, what one thread
        needs is a bound for any number of images.
        """

    def pack_whole(
        self, problem: ConvProblem, direction: Direction, w: Array, threads: int, *, keep: bool
    ) -> Array | None:
        """Bring a kernel into the form for a problem that is not cut, to keep or for one call.

        None where it cannot be taken so.
        """

    def bring(self, problem: ConvProblem, direction: Direction, w: Array) -> Array:
        """Bring the kernel of a tile into the form for one call: packed, or as it came."""


def is_native(algorithm: Algorithm) -> TypeGuard[Native]:
    """Whether an algorithm is of the compiled engine."""
    return algorithm.engine == "compiled"


class Runs:
    """What was prepared, by how arrays lie. Equal to nothing else: it belongs to one choice."""

    __slots__ = (
        *("algorithm", "bias_dtype", "bias_shape", "direction", "dtype", "first_shape"),
        *("out_shape", "prepared", "problem", "second_shape", "simple", "sums", "threads"),
        "workspace",
    )

    def __init__(
        self,
        algorithm: Native,
        problem: ConvProblem,
        direction: Direction,
        dtype: DType,
        threads: int,
        workspace: int,
    ) -> None:
        self.algorithm = algorithm
        self.problem, self.direction = problem, direction
        # The dtype that arrays of it share, so that `is` can tell.
        self.dtype = np.dtype(dtype.type)
        self.sums = np.dtype(SUMS.get(self.dtype.name, self.dtype))
        # Of a bias that can be added as it comes. Another one is rounded first, or refused.
        adds = direction is Direction.FORWARD and self.dtype in (np.float32, np.float64)
        self.bias_dtype = self.dtype if adds else None
        self.threads, self.workspace = threads, workspace
        self.prepared: dict[Any, Any] = {}
        self.bias_shape = (problem.K * problem.G,)
        x, w, y = problem.input_shape, problem.kernel_shape, problem.output_shape
        self.first_shape, self.second_shape, self.out_shape = {
            Direction.FORWARD: (x, w, y),
            Direction.INPUT_GRAD: (y, w, x),
            Direction.KERNEL_GRAD: (y, x, w),
        }[direction]
        # What is large or of size 0 goes the long way, and so do transforms, and integers, to be
        # checked.
        small = 0 < math.prod(self.out_shape) < SMALL
        self.simple = small and algorithm.direct and self.dtype.kind not in "iu"

    def quick(self, first: Any, second: Any, bias: Any, out: Any = None) -> Array | None:
        """Run on what needs no preparation at all; None for all else, which others look into.

        That is an array as planned, and a kernel packed by the same plan. It is all that
        stands between a held plan and machine code, so it looks at each thing once.
        """
        packed = getattr(second, "choice", None)
        if (
            packed is None
            or packed.runs is not self
            or second.whole is None
            or type(first) is not np.ndarray
            or first.dtype is not self.dtype
            or first.shape != self.first_shape
            or not first.flags.aligned
            or not (bias is None or self._adds(bias))
        ):
            return None
        y = self._result(out, first, second.whole, bias)
        return y if y is not None and self.of_kernel(first, second.whole, y, bias) else None

    def at_once(self, first: Any, second: Any, bias: Any, out: Any) -> Array | None:
        """Run on two arrays as planned, likewise: the kernel, if it is one, is packed here."""
        if not (self.simple and (bias is None or self._adds(bias))):
            return None
        for array, shape in ((first, self.first_shape), (second, self.second_shape)):
            if type(array) is not np.ndarray or array.shape != shape or not self.take(array):
                return None
        y = self._result(out, first, second, bias)
        if y is None:
            return None
        if self.direction is Direction.KERNEL_GRAD:
            return y if self.of_operands(second, first, y) else None
        packed = self.packed(second)
        return y if packed is not None and self.of_kernel(first, packed, y, bias) else None

    def _result(self, out: Any, *operands: Array | None) -> Array | None:
        """Give what to write into: the caller's array, checked, or a new one.

        None where machine code cannot write there.
        """
        if out is None:
            return np.empty(self.out_shape, self.dtype)
        check_out(out, self.out_shape, self.dtype, *(a for a in operands if a is not None))
        return out if type(out) is np.ndarray and out.flags.aligned else None

    def _adds(self, bias: Any) -> bool:
        """Whether a bias can be added as it comes."""
        return (
            type(bias) is np.ndarray
            and bias.dtype is self.bias_dtype
            and bias.shape == self.bias_shape
            and bias.flags.c_contiguous
            and bias.flags.aligned
        )

    def take(self, *arrays: Array) -> bool:
        """Whether arrays can be taken as they are."""
        for array in arrays:
            dtype = array.dtype
            if not ((dtype is self.dtype or dtype == self.dtype) and array.flags.aligned):
                return False
        return True

    def packed(self, w: Array, *, keep: bool = False) -> Array | None:
        """Pack a kernel, of any strides, to keep or for one call; None where that cannot be."""
        if not self.take(w):
            return None
        view = self.problem.view_kernel(w)
        what = self.problem, self.direction, view, self.threads
        return self.algorithm.pack_whole(*what, keep=keep)

    def of_kernel(
        self,
        first: Array,
        packed: Array,
        out: Array,
        bias: Array | None,
        flags: Array | None = None,
    ) -> bool:
        """Run forward, or to the input's gradient, with a packed kernel; say whether it could."""
        key = first.strides, out.strides, packed.ndim
        prepared = self.prepared.get(key)
        if prepared is None:
            p = self.problem
            if self.direction is Direction.FORWARD:
                views = p.view_input(first), p.view_output(out)
            else:
                views = p.view_input(out), p.view_output(first)
            prepared = self._prepare(key, *map(strides_of, views), packed.shape)
        if not prepared:
            return False
        lent = _memory.take(prepared.scratch)
        marks = np.zeros(1, np.int64) if prepared.judges else flags
        prepared.run(first, packed, out, bias, lent, marks)
        _memory.give(lent)
        return marks is None or not (prepared.judges and marks[0])

    def of_operands(self, x: Array, dy: Array, dw: Array, flags: Array | None = None) -> bool:
        """Run to the kernel's gradient; say whether it could."""
        key = x.strides, dy.strides, dw.strides
        prepared = self.prepared.get(key)
        if prepared is None:
            p = self.problem
            views = p.view_input(x), p.view_output(dy), p.view_kernel(dw)
            prepared = self._prepare(key, *map(strides_of, views))
        if not prepared:
            return False
        lent = _memory.take(prepared.scratch)
        prepared.run(x, dy, dw, None, lent, flags)
        _memory.give(lent)
        return True

    def _prepare(self, key: Any, *strides: Any) -> Any:
        what = self.problem, self.direction, self.dtype
        made = self.algorithm.prepare(*what, cast(Any, strides), self.threads) or False
        if len(self.prepared) > 64:  # of a caller whose arrays never lie the same way
            self.prepared.clear()
        self.prepared[key] = made
        return made


def find_runs(
    algorithm: Native,
    problem: ConvProblem,
    direction: Direction,
    numbers: Numbers,
    settings: Settings,
) -> Runs | None:
    """Say whether machine code can compute a problem whole, without casts and tiles."""
    limit, threads = settings.workspace_limit, 1
    if (
        not problem.products
        or problem.padding_mode != "zeros"
        or not algorithm.takes(*numbers)
        # An image alone goes the way of one among others.
        or algorithm.whole_workspace(problem, direction, numbers.result, 1) > limit
    ):
        return None
    if problem.products >= THREADED_PRODUCTS_COMPILED:
        threads = settings.threads
    what = problem, direction, numbers.result
    while (needed := algorithm.whole_workspace(*what, threads)) > limit:
        threads //= 2
    return Runs(algorithm, *what, threads, needed)


class _Memory:
    """Working memory, kept from call to call: fresh memory costs a page fault for 4 KiB.

    Lists are popped and appended to whole, so that no lock is needed.
    """

    def __init__(self) -> None:
        self._kept: list[Array] = []

    def take(self, count: int) -> Array:
        """Lend so many bytes or more, which begin with a cache line."""
        try:
            lent = self._kept.pop()
        except IndexError:
            pass
        else:
            if len(lent) >= count:
                return lent
        return from_a_line(np.empty(count + LINES, np.uint8))

    def give(self, lent: Array) -> None:
        """Take memory back, and keep a little of it."""
        if len(self._kept) < KEPT and len(lent) <= KEPT_BYTES:
            self._kept.append(lent)


_memory = _Memory()
