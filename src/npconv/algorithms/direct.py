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

import math

import numpy as np

from npconv.algorithms import by_image
from npconv.algorithms.protocol import DType, why_no_tables
from npconv.compiled import direct as compiled
from npconv.compiled import direct_gradient, direct_packing, direct_words, why_missing
from npconv.compiled.direct_kernel import RawKernel
from npconv.compiled.phases import RANK
from npconv.compiled.prepared import Prepared, Strides, run, strides_of, usable, written
from npconv.compiled.registers import SUMS, halves, sum_bytes
from npconv.cost import Cost, Packing
from npconv.problem import Array, ConvProblem, Direction
from npconv.products import EXACT, largest
from npconv.scratch import Scratch

# A number packed in a piece, which stays in the first cache, takes a sixth of the time.
PIECES_FASTER = 6


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
        turned = direction is Direction.INPUT_GRAD
        # A packed kernel has one axis; another one lies as it came, in one piece.
        in_one_piece = tuple(math.prod(w[i + 1 :]) for i in range(len(w)))
        raw = RawKernel(in_one_piece, turned) if len(w) > 1 else None
        if turned:
            return direct_words.prepare(problem.turned, dtype.name, y, x, threads, raw)
        return direct_words.prepare(problem, dtype.name, x, y, threads, raw)

    def pack_whole(
        self,
        problem: ConvProblem,
        direction: Direction,
        w: Array,
        threads: int,
        *,
        keep: bool = False,
    ) -> Array | None:
        """Put the kernel in the order in which blocks of sums read it; or leave that to the run.

        Padding is multiplied too. That makes no difference where it is a value, or where the
        kernel is finite; but where it is no term (in a gradient, beside holes), Inf * 0 would be
        NaN. Such a kernel is not taken, and none of no elements.
        """
        turned = direction is Direction.INPUT_GRAD
        return direct_packing.packer(problem, turned, w.dtype, w.strides, threads, keep=keep)(w)

    def whole_workspace(
        self, problem: ConvProblem, direction: Direction, dtype: DType, threads: int
    ) -> int:
        """Count what threads work in, and the packed kernel."""
        each = sum_bytes(dtype.name)
        if direction is Direction.KERNEL_GRAD:
            return direct_gradient.workspace(problem, each, threads)
        posed = problem.turned if direction is Direction.INPUT_GRAD else problem
        packed = direct_packing.packed_numbers(posed, each) * each
        return threads * compiled.workspace(posed, each) + packed

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
            packed = self.pack_whole(
                problem, Direction.FORWARD, usable(w), scratch.threads, keep=True
            )
        if packed is None:
            by_image.forward(problem, x, w, out=out, bias=bias, scratch=scratch)
            return
        x = usable(x)
        if bias is not None:
            bias = np.ascontiguousarray(bias, SUMS.get(x.dtype.name, x.dtype))
        with written(out, x.dtype, scratch) as y:
            strides = strides_of(x), strides_of(y), packed.shape
            prepared = self.prepare(problem, Direction.FORWARD, x.dtype, strides, scratch.threads)
            run(prepared, x, packed, y, bias, scratch)

    def input_grad(
        self, problem: ConvProblem, dy: Array, w: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Convolve dy with the kernel turned round, as it is packed."""
        packed = None
        if _adds_exactly(problem.terms(Direction.INPUT_GRAD), dy, w):
            packed = self.pack_whole(
                problem, Direction.INPUT_GRAD, usable(w), scratch.threads, keep=True
            )
        if packed is None:
            by_image.input_grad(problem, dy, w, out=out, scratch=scratch)
            return
        dy = usable(dy)
        with written(out, dy.dtype, scratch) as dx:
            strides, threads = (strides_of(dx), strides_of(dy), packed.shape), scratch.threads
            prepared = self.prepare(problem, Direction.INPUT_GRAD, dy.dtype, strides, threads)
            run(prepared, dy, packed, dx, None, scratch)

    def kernel_grad(
        self, problem: ConvProblem, x: Array, dy: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Sum over outputs, image after image."""
        if not problem.products:
            return
        if not _adds_exactly(problem.terms(Direction.KERNEL_GRAD), x, dy):
            by_image.kernel_grad(problem, x, dy, out=out, scratch=scratch)
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

    bring = pack

    def why_not(self, problem: ConvProblem, direction: Direction, dtype: DType) -> str | None:
        """Serve floats and integers along up to three axes, where Numba is."""
        missing = why_missing()
        if missing:
            return missing
        if dtype not in (np.float32, np.float64, np.int64):
            return f"its kernels are for float32, float64 and int64, not {dtype}"
        if problem.rank > RANK:
            return f"its kernels walk over {RANK} axes at most, not {problem.rank}"
        if direction is Direction.KERNEL_GRAD and problem.spreads:
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
            return by_image.COLUMNS.cost(problem, direction, dtype)  # who computes sums of no terms
        kernel = posed.G * posed.K * posed.C * posed.taps
        if direction is Direction.KERNEL_GRAD:
            needed = direct_gradient.workspace(posed, dtype.itemsize, 1) + kernel * dtype.itemsize
            counted, packed, goes = direct_gradient.counts(posed, dtype.itemsize), 0, False
        else:
            packed = direct_packing.packed_numbers(posed, dtype.itemsize)
            # Where the result has another dtype.
            written = posed.N * posed.G * posed.K * posed.pixels
            needed = compiled.workspace(posed, dtype.itemsize) + (packed + written) * dtype.itemsize
            counted = compiled.counts(posed, dtype.itemsize)
            goes = direct_packing.packs_as_it_reads(posed, dtype.itemsize)
        bare = direction is Direction.INPUT_GRAD or posed.spreads
        if bare or dtype.kind == "i":
            # Of what `pack_whole` does not take.
            needed = max(needed, by_image.workspace(problem, direction, dtype))
        products, moved = counted
        return Cost(
            multiplications=products,
            bytes_moved=moved * dtype.itemsize,
            workspace=needed,
            error_growth=problem.terms(direction) + 1,
            calls=1,
            packing=Packing(numbers=packed // PIECES_FASTER if goes else packed),
        )


def _adds_exactly(terms: int, a: Array, b: Array, bias: Array | None = None) -> bool:
    """Whether sums of so many products are exact in the dtype they are formed in."""
    if a.dtype.kind != "i":
        return True
    added = 0 if bias is None else largest(bias)
    return terms * largest(a) * largest(b) + added <= EXACT[np.float64]
