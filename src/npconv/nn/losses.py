"""Losses: each gives its value and its gradient at once, as they share their work."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from npconv.arrays import as_array, check_shape
from npconv.errors import DTypeError, ShapeError
from npconv.nn.layer import real_array
from npconv.problem import Array


class Loss(NamedTuple):
    """A loss and its gradient: ``loss, grad = mean_squared_error(y, target)``.

    Examples
    --------
    >>> from npconv.nn import Loss, mean_squared_error
    >>> isinstance(mean_squared_error([1.0], [0.0]), Loss)
    True
    """

    loss: float
    grad: Array


def softmax_cross_entropy(input: Any, target: Any) -> Loss:
    """Mean negative log-likelihood of the target classes under ``softmax(input)``.

    Parameters
    ----------
    input : array_like, shape (N, classes, *spatial), real
        Scores before the softmax, such as a last `Linear` gives.
    target : array_like of int, shape (N, *spatial)
        The right class of each, from 0.

    Returns
    -------
    loss : float
        The mean over all N * prod(spatial).
    grad : ndarray, of input's shape and dtype (float64 for integers)
        Its gradient with respect to `input`: ``(softmax - one_hot) / count``.

    Raises
    ------
    ShapeError
        Shapes that do not fit, a class that does not exist, an empty batch.
    DTypeError
        Targets that are not integers, an input not made of real numbers.

    References
    ----------
    Bridle, "Probabilistic Interpretation of Feedforward Classification Network Outputs",
    1990.

    Examples
    --------
    >>> from npconv.nn import softmax_cross_entropy
    >>> loss, grad = softmax_cross_entropy([[0.0, 0.0], [0.0, 0.0]], [0, 1])
    >>> round(loss, 4)
    0.6931
    >>> grad
    array([[-0.25,  0.25],
           [ 0.25, -0.25]])
    """
    z, labels = _floats("input", input), as_array("target", target)
    if z.ndim < 2:
        raise ShapeError(f"input must be (N, classes, *spatial), but input.shape={z.shape}")
    if labels.dtype.kind not in "iu":
        raise DTypeError(f"target must hold integers, but its dtype is {labels.dtype}")
    check_shape("target", labels, (z.shape[0], *z.shape[2:]), "input's without classes")
    if labels.size and not 0 <= labels.min() <= labels.max() < z.shape[1]:
        raise ShapeError(
            f"target must name one of the {z.shape[1]} classes (input.shape[1]), 0 to "
            f"{z.shape[1] - 1}, but it reaches from {labels.min()} to {labels.max()}"
        )
    _refuse_empty(z)
    # Subtracting the maximum changes nothing but keeps exp from overflowing.
    z = z - z.max(axis=1, keepdims=True)
    exp = np.exp(z)
    total = exp.sum(axis=1, keepdims=True)
    places: tuple[Array, ...] = np.indices(labels.shape, np.intp, sparse=True)
    right = places[0], labels.astype(np.intp), *places[1:]  # where the right classes stand
    losses = np.log(total) - np.expand_dims(z[right], 1)
    grad = exp / total
    grad[right] -= z.dtype.type(1)
    grad /= z.dtype.type(labels.size)
    return Loss(float(losses.mean(dtype=np.float64)), grad)


def mean_squared_error(input: Any, target: Any) -> Loss:
    """Mean of ``(input - target)**2`` over all elements.

    Parameters
    ----------
    input, target : array_like, real, of one shape
        What came and what should have come.

    Returns
    -------
    loss : float
    grad : ndarray, of input's shape and dtype (float64 for integers)
        Its gradient with respect to `input`: ``2 * (input - target) / input.size``.

    Raises
    ------
    ShapeError
        Different shapes (nothing is broadcast), or no element.
    DTypeError
        Arrays not made of real numbers.

    Examples
    --------
    >>> from npconv.nn import mean_squared_error
    >>> mean_squared_error([1.0, 2.0], [0.0, 4.0])
    Loss(loss=2.5, grad=array([ 1., -2.]))
    """
    y = _floats("input", input)
    t = real_array("target", target)
    check_shape("target", t, y.shape, "input's")
    _refuse_empty(y)
    difference = (y - t).astype(y.dtype, copy=False)
    loss = float(np.square(difference).mean(dtype=np.float64))
    return Loss(loss, difference * y.dtype.type(2 / y.size))


def accuracy(output: Any, target: Any) -> float:
    """Share of the targets that have the highest score.

    Parameters
    ----------
    output : array_like, shape (N, classes, *spatial), real
    target : array_like of int, shape (N, *spatial)

    Returns
    -------
    float
        From 0 to 1; the first of equal scores counts.

    Raises
    ------
    ShapeError
        Shapes that do not fit, or no element.
    DTypeError
        Arrays not made of real numbers.

    Examples
    --------
    >>> from npconv.nn import accuracy
    >>> accuracy([[0.1, 0.9], [0.8, 0.2]], [1, 1])
    0.5
    """
    scores, labels = real_array("output", output), real_array("target", target)
    if scores.ndim < 2:
        raise ShapeError(f"output must be (N, classes, *spatial), but output.shape={scores.shape}")
    shape = (scores.shape[0], *scores.shape[2:])
    check_shape("target", labels, shape, "output's without classes")
    _refuse_empty(scores)
    return float((scores.argmax(axis=1) == labels).mean())


def _floats(name: str, value: Any) -> Array:
    array = real_array(name, value)
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _refuse_empty(array: Array) -> None:
    if not math.prod(array.shape):
        raise ShapeError(f"the mean of no element is undefined; the shape is {array.shape}")
