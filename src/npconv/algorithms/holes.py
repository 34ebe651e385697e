"""Holes of ``input_dilation`` in a matrix product: zeros that must not become terms.

The columns hold a zero where a window looks into a hole. Times a finite number that adds
nothing; times Inf or NaN it would add a NaN that direct summation does not have. Such
rows, and only those, are summed again without the holes.
"""

from __future__ import annotations

import numpy as np

from npconv.algorithms.protocol import DType
from npconv.problem import Array, ConvProblem
from npconv.windows import column_terms


def mend_outputs(problem: ConvProblem, y: Array, w: Array, col: Array) -> None:
    """Sum outputs ``(N, G, K, P*Q)`` again whose kernel ``(G, K, C*R*S)`` is not finite."""
    terms = _terms(problem, w.dtype)
    if terms is None:
        return
    for g, k in np.argwhere(~np.isfinite(w).all(axis=2)):
        for n in range(problem.N):
            products = w[g, k][:, np.newaxis] * col[n, g]
            y[n, g, k] = products.sum(axis=0, where=terms)


def mend_kernel_grad(problem: ConvProblem, dw: Array, dy: Array, col: Array) -> None:
    """Sum ``dw (N, G, K, C*R*S)`` again where ``dy (N, G, K, P*Q)`` is not finite."""
    terms = _terms(problem, dy.dtype)
    if terms is None:
        return
    for n, g, k in np.argwhere(~np.isfinite(dy).all(axis=3)):
        products = dy[n, g, k] * col[n, g]
        dw[n, g, k] = products.sum(axis=1, where=terms)


def workspace(problem: ConvProblem, dtype: DType) -> int:
    """Bytes that mending takes: which entries are terms, for every channel, and products."""
    if not any(axis.has_holes for axis in problem.axes):
        return 0
    columns = problem.C * problem.taps * problem.pixels
    tested = problem.G * problem.K * (problem.C * problem.taps + problem.N * problem.pixels)
    return columns * (dtype.itemsize + 3) + tested


def _terms(problem: ConvProblem, dtype: DType) -> Array | None:
    """Which entries of ``(C*R*S, P*Q)`` are terms; None where nothing can go wrong."""
    if dtype.kind not in "fc":
        return None
    terms = column_terms(problem.axes)
    if terms is None:
        return None
    shape = (problem.C, problem.taps, problem.pixels)
    terms = np.broadcast_to(terms.reshape(shape[1:]), shape)
    return terms.reshape(-1, problem.pixels)
