"""Convolution and its gradients in ten lines, on npconv's two rearrangements.

The report prints these two functions as they stand here, and the proof runs them. For a
batch ``x (N, C, H, W)`` and a kernel ``w (K, C, R, S)``; ``dy`` is the gradient of a loss
with respect to ``y``.
"""

from __future__ import annotations

from npconv.core import col2im, im2col
from npconv.problem import Array


def forward(x: Array, w: Array, b: Array) -> tuple[Array, Array]:
    """Give ``y (N, K, P*Q)``, and the columns for `backward`."""
    col = im2col(x, w.shape[2:])  # every window a column: (N, C*R*S, P*Q)
    y = w.reshape(len(w), -1) @ col + b[:, None]  # one matrix product: (N, K, P*Q)
    return y, col


def backward(dy: Array, col: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
    """Give the gradients of ``x``, ``w`` and ``b``."""
    dw = (dy @ col.swapaxes(1, 2)).sum(axis=0)  # dW = dY · colᵀ
    dcol = w.reshape(len(w), -1).T @ dy  # dcol = Wᵀ · dY
    dx = col2im(dcol, x.shape, w.shape[2:])  # dX = col2im(dcol)
    return dx, dw.reshape(w.shape), dy.sum(axis=(0, 2))  # db = sum of dY
