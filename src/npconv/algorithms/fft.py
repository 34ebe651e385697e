"""Convolution as a product of spectra: for kernels so large that transforms pay.

A kernel's spectrum times an image's is the spectrum of their convolution, one product for
each frequency instead of one for each pair of elements (Cooley and Tukey's algorithm, 1965,
put to this use by Stockham, High-Speed Convolution and Correlation, 1966). Here every
frequency ``f`` has a matrix of channels, so the products are matrix products (Mathieu,
Henaff and LeCun, Fast Training of Convolutional Networks through FFTs, 2014):

    V (C, T)  =  spectra of T sections of the image
    U (K, C)  =  spectrum of the kernel, conjugated: it is not turned round
    M (K, T)  =  U (K, C) @ V (C, T)                 for each frequency
    Y         =  the part of M's sections that no wrapping round has spoilt

A large image is cut into sections that overlap by the kernel's reach less one (overlap and
save). So transforms stay short, and the products are of matrices, not of a matrix and a
vector.

The input's gradient is a forward convolution itself, with the kernel turned round. The
kernel's gradient multiplies the spectra of dY and of the sections: ``dU = dM @ V^H``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product

import numpy as np

from npconv.algorithms.protocol import DType, why_no_sums
from npconv.cost import Cost, Packing
from npconv.fourier import Lend, complex_of, drift, products, spectrum, table_bytes, values
from npconv.problem import Array, ConvProblem, Direction
from npconv.scratch import Scratch
from npconv.sections import Index, Sections, copy_inputs, copy_outputs, cut, cut_as_if_long, walk
from npconv.strays import Strays

# Elements of a kernel transformed at a time: what is behind the caches is slow to transpose.
PACKED_AT_A_TIME = 2**14
# For the smallest problem: to transform there and back, and to see whether to trust it.
FEWEST_CALLS, CALLS_AN_IMAGE = 150, 100


class Fft:
    """Sections of a few times the kernel's size, and a matrix product for each frequency."""

    name = "fft"
    engine = "numpy"
    direct = False
    bands = False
    marks_doubt = False

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
        """Multiply spectra, image by image."""
        lengths = _lengths(w, x.dtype)  # as the kernel was packed
        cuts = [Sections(*each) for each in zip(problem.axes, lengths, strict=True)]
        blas = problem.C != 1  # a sum of one term is a product
        make = partial(_matrices, scratch, problem.G, _bins(lengths, x.dtype), x.dtype, blas)
        for n in range(problem.N):
            spectra = _by_frequency(_spectra(copy_inputs(cuts, x[n], scratch), lengths, scratch))
            V = spectra
            if blas:
                V = make("inputs", *spectra.shape[-2:])
                V[...] = spectra
            M = make("products", problem.K, V.shape[-1])
            (np.matmul if blas else np.multiply)(w, V, out=M)
            y = _values(M, lengths, x.dtype, scratch)
            y = y.reshape(*y.shape[:2], *(c.number for c in cuts), *lengths)
            if bias is not None:
                y += bias.reshape(*bias.shape, *(1,) * 2 * problem.rank)
            for t, outputs, places in walk(cuts, Sections.writes):
                out[(n, ..., *outputs)] = y[(..., *t, *places)]

    def input_grad(
        self, problem: ConvProblem, dy: Array, w: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Convolve dy with the kernel that `pack` has turned round."""
        self.forward(problem.turned, dy, w, out=out, scratch=scratch)

    def kernel_grad(
        self, problem: ConvProblem, x: Array, dy: Array, *, out: Array, scratch: Scratch
    ) -> None:
        """Sum products of spectra over sections and images, and transform back once."""
        cuts = cut_as_if_long(problem.axes)
        lengths, sections = [c.length for c in cuts], math.prod(c.number for c in cuts)
        blas = sections > 1 and problem.K * problem.C > 1
        make = partial(_matrices, scratch, problem.G, _bins(lengths, x.dtype), x.dtype, blas)
        dU = make("sums", problem.K, problem.C)
        dU[...] = 0
        for n in range(problem.N):
            V = make("inputs", problem.C, sections)
            V[...] = _by_frequency(_spectra(copy_inputs(cuts, x[n], scratch), lengths, scratch))
            part = _conj(copy_outputs(cuts, dy[n], scratch))
            dM = _by_frequency(_conj(_spectra(part, lengths, scratch)))
            product = make("products", problem.K, problem.C)
            if blas:
                grads = make("grads", problem.K, sections)
                grads[...] = dM
                dU += np.matmul(grads, V.swapaxes(-1, -2), out=product)
            else:
                for t in range(sections):
                    one = slice(t, t + 1)
                    dU += np.multiply(dM[..., one], V[..., one].swapaxes(-1, -2), out=product)
        dw = _values(dU, lengths, x.dtype, scratch)
        index: Index = (..., *(slice(0, a.reach, a.dilation) for a in problem.axes))
        out += dw[index]

    def pack(self, problem: ConvProblem, direction: Direction, w: Array) -> Array:
        """Transform the kernel: ``(G, *bins, K, C)``; turned round for the input's gradient."""
        if direction is Direction.INPUT_GRAD:
            problem = problem.turned
            w = np.flip(w, axis=tuple(range(3, w.ndim))).swapaxes(1, 2)
        lengths = [c.length for c in cut(problem.axes)]
        G, K, C = w.shape[:3]
        scratch = Scratch()
        U = _matrices(scratch, G, _bins(lengths, w.dtype), w.dtype, C != 1, "packed", K, C)
        fit = PACKED_AT_A_TIME // max(1, C * math.prod(lengths))
        apart: Index = (..., *(slice(None, None, a.dilation) for a in problem.axes))
        g_step, k_step = max(1, fit // max(K, 1)), max(1, fit)
        for g0, k0 in product(range(0, G, g_step), range(0, K, k_step)):
            g, k = slice(g0, g0 + g_step), slice(k0, k0 + k_step)
            part = w[g, k].conj()
            spread = np.zeros((*part.shape[:3], *(a.reach for a in problem.axes)), w.dtype)
            spread[apart] = part
            part = _by_frequency(spectrum(spread, lengths, _lend(scratch)))
            np.conj(part, out=U[g, ..., k, :])
        return U

    def why_not(self, problem: ConvProblem, direction: Direction, dtype: DType) -> str | None:
        """Serve every geometry, in numbers that have roots of unity."""
        if dtype.kind not in "fc":
            return why_no_sums(dtype) or f"roots of unity are no numbers of {dtype}"
        return None

    def cost(
        self,
        problem: ConvProblem,
        direction: Direction,
        dtype: DType,
        whole: ConvProblem | None = None,
    ) -> Cost:
        """Count transforms, the products between them, and the arrays that hold them."""
        if direction is Direction.KERNEL_GRAD:
            return _count_kernel_grad(problem, dtype)
        whole = whole or problem
        if direction is Direction.INPUT_GRAD:
            problem, whole = problem.turned, whole.turned
        return _count_forward(problem, [c.length for c in cut(whole.axes)], dtype)

    def strays(self, problem: ConvProblem, direction: Direction) -> Strays:
        """Each element of a section meets all of the kernel, wherever it lies."""
        if direction is Direction.INPUT_GRAD:
            problem = problem.turned
        cuts = cut(problem.axes)
        return Strays(
            partial(_inputs, cuts),
            math.prod(min(c.length, c.axis.size) for c in cuts),
            norms=True,
            # A transform spreads an error over as many elements as it has.
            scale=1 / math.sqrt(math.prod(c.length for c in cuts)),
        )


def _inputs(cuts: Sequence[Sections]) -> Iterator[Index]:
    return (inputs for _, inputs, _ in walk(cuts, Sections.reads))


# ---- spectra -----------------------------------------------------------------------------


def _lengths(packed: Array, dtype: DType) -> list[int]:
    """Read off a packed kernel how long its sections are: even, where it has half of them."""
    *others, last = packed.shape[1:-2]
    return [*others, last if dtype.kind == "c" else 2 * (last - 1)]


def _bins(lengths: Sequence[int], dtype: DType) -> list[int]:
    """Count the frequencies along each axis."""
    *others, last = lengths
    return [*others, last if dtype.kind == "c" else last // 2 + 1]


def _matrices(
    scratch: Scratch,
    G: int,
    bins: Sequence[int],
    dtype: DType,
    blas: bool,
    role: str,
    A: int,
    B: int,
) -> Array:
    """Make matrices ``(G, *bins, A, B)``; one after the other in memory if BLAS takes them.

    Where a matrix product has one term only, its spectra lie side by side instead.
    """
    if blas:
        return scratch.array(role, (G, *bins, A, B), complex_of(dtype))
    return _by_frequency(scratch.array(role, (G, A, B, *bins), complex_of(dtype)))


def _by_frequency(a: Array) -> Array:
    """View ``(G, A, B, *bins)`` as matrices ``(G, *bins, A, B)``."""
    return np.moveaxis(a, (1, 2), (-2, -1))


def _spectra(sections: Array, lengths: Sequence[int], scratch: Scratch) -> Array:
    """Transform ``(G, C, *count, *length)`` to ``(G, C, T, *bins)``."""
    rank = len(lengths)
    T = math.prod(sections.shape[2 : 2 + rank])
    flat = sections.reshape(*sections.shape[:2], T, *sections.shape[2 + rank :])
    return spectrum(flat, lengths, _lend(scratch))


def _values(M: Array, lengths: Sequence[int], dtype: DType, scratch: Scratch) -> Array:
    """Transform ``(G, *bins, A, B)`` back to ``(G, A, B, *length)``."""
    spectra = np.moveaxis(M, (-2, -1), (1, 2))
    if not spectra.flags.c_contiguous:
        copy = scratch.array("odd", spectra.shape, spectra.dtype)
        copy[...] = spectra
        spectra = copy
    return values(spectra, lengths, dtype, _lend(scratch))


def _lend(scratch: Scratch) -> Lend:
    """Write each step of a transform where the step before the last one lies."""
    return lambda step, shape, dtype: scratch.array(("even", "odd")[step % 2], shape, dtype)


def _conj(a: Array) -> Array:
    return np.conj(a, out=a) if a.dtype.kind == "c" else a


# ---- counts ------------------------------------------------------------------------------


def _count_forward(problem: ConvProblem, lengths: Sequence[int], dtype: DType) -> Cost:
    """Count a forward convolution in sections of these lengths."""
    cuts = [Sections(*each) for each in zip(problem.axes, lengths, strict=True)]
    N, G, K, C = problem.N, problem.G, problem.K, problem.C
    T, n, F = _sizes(cuts, dtype)
    sides = N * (C + K) * T * products(lengths, lengths, dtype)
    kernels = K * C * products([a.reach for a in problem.axes], lengths, dtype)
    arrays = C * T * n + (2 * max(C, K) + C + K) * T * F
    packing = max(PACKED_AT_A_TIME, C * n) * (2 * F // n + 3)
    return Cost(
        multiplications=G * (N * K * C * T * F * _each(dtype) + sides + kernels),
        bytes_moved=2 * G * (N * arrays + 3 * K * C * F) * dtype.itemsize,
        workspace=(G * (arrays + K * C * F) + packing) * dtype.itemsize
        + table_bytes(lengths, dtype),
        error_growth=_growth(lengths, C),
        calls=FEWEST_CALLS + N * (CALLS_AN_IMAGE + 3 * T + G * math.prod(lengths) // 32),
        packing=Packing(G * kernels, G * K * C * F),
    )


def _count_kernel_grad(problem: ConvProblem, dtype: DType) -> Cost:
    """Count the kernel's gradient."""
    cuts = cut_as_if_long(problem.axes)
    lengths = [c.length for c in cuts]
    N, G, K, C = problem.N, problem.G, problem.K, problem.C
    T, n, F = _sizes(cuts, dtype)
    kernels = K * C * F
    sides = N * (C + K) * T * products(lengths, lengths, dtype)
    back = K * C * products(lengths, lengths, dtype)
    arrays = max(C, K) * T * n + (C + K) * T * F + 2 * max(C * T * F, K * T * F, kernels)
    return Cost(
        multiplications=G * (N * K * C * T * F * _each(dtype) + sides + back),
        bytes_moved=2 * G * (N * arrays + (2 + N) * kernels) * dtype.itemsize,
        workspace=G * (arrays + 2 * kernels) * dtype.itemsize + table_bytes(lengths, dtype),
        error_growth=_growth(lengths, N * T),
        calls=FEWEST_CALLS + N * (CALLS_AN_IMAGE + 4 * T + G * math.prod(lengths) // 32),
    )


def _sizes(cuts: Sequence[Sections], dtype: DType) -> tuple[int, int, int]:
    """Count the sections, the numbers in one of them and those in its spectrum."""
    lengths = [c.length for c in cuts]
    bins = math.prod(_bins(lengths, dtype))
    return math.prod(c.number for c in cuts), math.prod(lengths), bins * _parts(dtype)


def _parts(dtype: DType) -> int:
    """Numbers of ``dtype`` in one of its spectra's."""
    return 1 if dtype.kind == "c" else 2


def _each(dtype: DType) -> int:
    """Products for each number of a spectrum: a complex product is four real ones."""
    return 1 if dtype.kind == "c" else 2


def _growth(lengths: Sequence[int], terms: int) -> float:
    """Estimate the growth of rounding errors, in the manner of `winograd`'s.

    A transform makes independent errors, which spread over all of its elements; where it
    adds up like terms, they drift the same way, and so do sums of ``terms`` products: by up
    to 1/4 round-off a term where a constant image has all in one frequency.
    """
    return 8 * sum(2 + drift(n) for n in lengths) + terms / 4
