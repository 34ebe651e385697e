"""What compiled direct summation does not take: columns instead, one image at a time.

A kernel with an Inf where padding is no term, integers whose sums float64 does not hold.
Image by image, so that an image's bits do not depend on its company.
"""

from __future__ import annotations

from collections.abc import Iterator

from npconv.algorithms.im2col import Im2col
from npconv.algorithms.protocol import DType
from npconv.problem import Array, ConvProblem, Direction
from npconv.scratch import Scratch

COLUMNS = Im2col()


def forward(
    problem: ConvProblem, x: Array, w: Array, *, out: Array, bias: Array | None, scratch: Scratch
) -> None:
    """Write what `Algorithm.forward` would, from the kernel as it came."""
    w = COLUMNS.pack(problem, Direction.FORWARD, w)
    for n in _images(problem):
        COLUMNS.forward(problem.one_image, x[n], w, out=out[n], bias=bias, scratch=scratch)


def input_grad(problem: ConvProblem, dy: Array, w: Array, *, out: Array, scratch: Scratch) -> None:
    """Write what `Algorithm.input_grad` would, from the kernel as it came."""
    w = COLUMNS.pack(problem, Direction.INPUT_GRAD, w)
    for n in _images(problem):
        COLUMNS.input_grad(problem.one_image, dy[n], w, out=out[n], scratch=scratch)


def kernel_grad(problem: ConvProblem, x: Array, dy: Array, *, out: Array, scratch: Scratch) -> None:
    """Add the gradient to ``out``, image after image."""
    for n in _images(problem):
        COLUMNS.kernel_grad(problem.one_image, x[n], dy[n], out=out, scratch=scratch)


def workspace(problem: ConvProblem, direction: Direction, dtype: DType) -> int:
    """Bound the bytes that takes."""
    return COLUMNS.cost(problem.one_image, direction, dtype).workspace


def _images(problem: ConvProblem) -> Iterator[slice]:
    return (slice(n, n + 1) for n in range(problem.N))
