"""Direct summation, compiled: one matrix product that reads its columns from the image.

The same product as `im2col`'s, ``y (K, P*Q) = w (K, C*R*S) @ columns (C*R*S, P*Q)``, but the
columns are never written: a band of the image, padded, lies in the cache, and the innermost
loops find in it, through a table of offsets, what each term multiplies. The input's gradient
is a forward convolution of dY (`ConvProblem.turned`), whose outputs fall into one phase for
each step of the stride, so that no product is with a zero between elements. The kernel's
gradient is the product with the sum over outputs (Goto and van de Geijn, Anatomy of
High-Performance Matrix Multiplication, 2008; Chetlur and others, cuDNN, 2014, for columns
that are not written).
"""

from __future__ import annotations

import numpy as np

from npconv.algorithms.im2col import Im2col
from npconv.algorithms.protocol import DType, why_no_tables
from npconv.compiled import direct, direct_gradient, why_missing
from npconv.compiled.phases import RANK
from npconv.compiled.prepared import Prepared, Strides, is_finite, run, strides_of, usable, written
from npconv.compiled.registers import SUMS, halves, sum_bytes
from npconv.cost import Cost
from npconv.problem import Array, ConvProblem, Direction
from npconv.products import EXACT, largest
from npconv.scratch import Scratch


class Direct:
    """A register-blocked matrix product, straight from the image."""

    name = "direct"
    engine = "compiled"
    direct = True
    bands = False

    def prepare(
        self,
        problem: ConvProblem,
        direction: Direction,
        dtype: DType,
        strides: tuple[Strides, Strides, Strides],
        threads: int,
    ) -> Prepared:
        """Prepare a run for input, output and kernel (or their gradients) of these strides."""
        x, y, w = strides
        if direction is Direction.KERNEL_GRAD:
            return direct_gradient.prepare(problem, dtype.name, x, y, w, threads)
        if direction is Direction.INPUT_GRAD:
            return direct.prepare(problem.turned, dtype.name, y, x, threads)
        return direct.prepare(problem, dtype.name, x, y, threads)

    def pack_whole(
        self,
        problem: ConvProblem,
        direction: Direction,
        w: Array,
        threads: int,
        *,
        keep: bool = False,
    ) -> Array | None:
        """Put the kernel in the order in which blocks of sums read it.

        Padding is multiplied too. That makes no difference where it is a value, or where the
        kernel is finite; but where it is no term (in a gradient, beside holes), Inf * 0 would be
        NaN. Such a kernel is not taken, and none of no elements.
        """
        if not problem.products:
            return None
        turned = direction is Direction.INPUT_GRAD
        posed = problem.turned if turned else problem
        bare = w.dtype.kind != "i" and (turned or spreads(problem))
        if bare and not is_finite(w, threads):
            return None
        dtype = w.dtype.name
        packed = np.empty(direct.packed_numbers(posed, sum_bytes(dtype)), SUMS.get(dtype, dtype))
        packing = direct.prepare_packing(posed, turned, dtype, strides_of(w), threads)
        packing.run(w, None, packed, None)
        return packed

    def whole_workspace(
        self, problem: ConvProblem, direction: Direction, dtype: DType, threads: int
    ) -> int:
        """Count what threads work in, and the packed kernel."""
        each = sum_bytes(dtype.name)
        if direction is Direction.KERNEL_GRAD:
            return threads * direct_gradient.workspace(problem, each)
        posed = problem.turned if direction is Direction.INPUT_GRAD else problem
        packed = direct.packed_numbers(posed, each) * each
        return threads * direct.workspace(posed, each) + packed

    def takes(self, result: DType, accumulator: DType) -> bool:
        """Whether arrays of these numbers can be read and written without a cast."""
        if result.name in ("float16", "bfloat16"):
            return accumulator == np.float32 and halves()
        return result == accumulator

    def forward(
        self,
        problem: ConvProblem,
        x: Array,
        w: Array,
        *,
        out: Array,
        bias: Array | None = None,
        scratch: Scratch,
    ) -> None:
        """Pack the kernel for this tile, then multiply band by band."""
        packed = None
        if _adds_exactly(problem.terms(Direction.FORWARD), x, w, bias):
            packed = self.pack_whole(problem, Direction.FORWARD, usable(w), scratch.threads)
        if packed is None:
            w = Im2col().pack(problem, Direction.FORWARD, w)
            for n in range(problem.N):
                one = slice(n, n + 1)
                Im2col().forward(
                    problem.one_image, x[one], w, out=out[one], bias=bias, scratch=scratch
                )
            return
        x = usable(x)
        if bias is not None:
            bias = np.ascontiguousarray(bias, SUMS.get(x.dtype.name, x.dtype))
        with written(out, x.dtype, scratch) as y:
            strides = strides_of(x), strides_of(y), ()
            prepared = self.prepare(problem, Direction.FORWARD, x.dtype, strides, scratch.threads)
            run(prepared, x, packed, y, bias, scratch)

    def input_grad(
        self, problem: ConvProblem, dy: Array, w: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Convolve dy with the kernel turned round, as it is packed."""
        packed = None
        if _adds_exactly(problem.terms(Direction.INPUT_GRAD), dy, w):
            packed = self.pack_whole(problem, Direction.INPUT_GRAD, usable(w), scratch.threads)
        if packed is None:
            w = Im2col().pack(problem, Direction.INPUT_GRAD, w)
            for n in range(problem.N):
                one = slice(n, n + 1)
                Im2col().input_grad(problem.one_image, dy[one], w, out=out[one], scratch=scratch)
            return
        dy = usable(dy)
        with written(out, dy.dtype, scratch) as dx:
            strides, threads = (strides_of(dx), strides_of(dy), ()), scratch.threads
            prepared = self.prepare(problem, Direction.INPUT_GRAD, dy.dtype, strides, threads)
            run(prepared, dy, packed, dx, None, scratch)

    def kernel_grad(
        self, problem: ConvProblem, x: Array, dy: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Sum over outputs, image after image."""
        if not problem.products:
            return
        if not _adds_exactly(problem.terms(Direction.KERNEL_GRAD), x, dy):
            for n in range(problem.N):
                one = slice(n, n + 1)
                Im2col().kernel_grad(problem.one_image, x[one], dy[one], out=out, scratch=scratch)
            return
        x, dy = usable(x), usable(dy)
        dw = scratch.array("sum", out.shape, x.dtype)
        strides = strides_of(x), strides_of(dy), strides_of(dw)
        prepared = self.prepare(problem, Direction.KERNEL_GRAD, x.dtype, strides, scratch.threads)
        run(prepared, x, dy, dw, None, scratch)
        out += dw

    def pack(self, problem: ConvProblem, direction: Direction, w: Array) -> Array:
        """Leave the kernel as it is: tiles differ in what their outputs read."""
        return w

    def why_not(self, problem: ConvProblem, direction: Direction, dtype: DType) -> str | None:
        """Serve floats and integers along up to three axes, where Numba is."""
        missing = why_missing()
        if missing:
            return missing
        if dtype not in (np.float32, np.float64, np.int64):
            return f"its kernels are for float32, float64 and int64, not {dtype}"
        if problem.rank > RANK:
            return f"its kernels walk over {RANK} axes at most, not {problem.rank}"
        if direction is Direction.KERNEL_GRAD and spreads(problem):
            return "in the kernel's gradient it does not serve input_dilation"
        return why_no_tables(problem, direction)

    def cost(
        self,
        problem: ConvProblem,
        direction: Direction,
        dtype: DType,
        whole: ConvProblem | None = None,
    ) -> Cost:
        """Count the products in whole vectors, the bands, and the kernel in its own form."""
        posed = problem.turned if direction is Direction.INPUT_GRAD else problem
        one = problem.one_image.products * posed.pixels
        if not one or self.why_not(problem, direction, dtype):
            return Im2col().cost(problem, direction, dtype)  # who computes sums of no terms
        kernel = posed.G * posed.K * posed.C * posed.taps
        if direction is Direction.KERNEL_GRAD:
            needed = direct_gradient.workspace(posed, dtype.itemsize) + kernel * dtype.itemsize
            counted = direct_gradient.counts(posed, dtype.itemsize)
        else:
            packed = direct.packed_numbers(posed, dtype.itemsize)
            written = (
                posed.N * posed.G * posed.K * posed.pixels
            )  # where the result has another dtype
            needed = direct.workspace(posed, dtype.itemsize) + (packed + written) * dtype.itemsize
            turned = direction is Direction.INPUT_GRAD
            counted = direct.counts(posed, dtype.itemsize, turned=turned)
        bare = direction is Direction.INPUT_GRAD or spreads(posed)
        if bare or dtype.kind == "i":
            instead = Im2col().cost(
                problem.one_image, direction, dtype
            )  # who computes what `pack_whole` does not take
            needed = max(needed, instead.workspace)
        products, moved = counted
        return Cost(
            multiplications=products,
            bytes_moved=moved * dtype.itemsize,
            workspace=needed,
            error_growth=problem.terms(direction) + 1,
            calls=1,
        )


def spreads(problem: ConvProblem) -> bool:
    """Whether inputs are spread apart: then phases leave out terms that are padding, too."""
    return any(axis.input_dilation > 1 for axis in problem.axes)


def _adds_exactly(terms: int, a: Array, b: Array, bias: Array | None = None) -> bool:
    """Whether sums of so many products are exact in the dtype they are formed in."""
    if a.dtype.kind != "i":
        return True
    added = 0 if bias is None else largest(bias)
    return terms * largest(a) * largest(b) + added <= EXACT[np.float64]
