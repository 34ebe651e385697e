"""A network at work: outputs, and how good they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from npconv.arrays import as_array
from npconv.errors import ShapeError
from npconv.nn.data import check_pair
from npconv.nn.layer import Layer
from npconv.nn.losses import Loss, softmax_cross_entropy
from npconv.options import whole_number
from npconv.problem import Array

LossFunction: TypeAlias = Callable[[Any, Any], Loss]
Metric: TypeAlias = Callable[[Any, Any], float]


def predict(model: Layer, inputs: Any, *, batch_size: int = 256) -> Array:
    """Give the model's outputs for all `inputs`, computed in batches.

    Parameters
    ----------
    model : Layer
    inputs : array_like, shape (N, ...)
    batch_size : int
        How many examples go through the model at a time.

    Returns
    -------
    ndarray, shape (N, ...)

    Raises
    ------
    ShapeError, DTypeError
        Inputs that the model does not take, or none at all.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.nn import Flatten, predict
    >>> predict(Flatten(), np.ones((5, 2, 3))).shape
    (5, 6)
    """
    x = as_array("inputs", inputs)
    size = whole_number("batch_size", batch_size, at_least=1)
    if not x.ndim or not len(x):
        raise ShapeError(f"inputs must hold at least one example; inputs.shape={x.shape}")
    return np.concatenate(
        [model.forward(x[start : start + size]) for start in range(0, len(x), size)]
    )


def evaluate(
    model: Layer,
    data: Any,
    *,
    loss: LossFunction = softmax_cross_entropy,
    metric: Metric | None = None,
    batch_size: int = 256,
) -> tuple[float, float | None]:
    """Give the mean loss and metric of a model over some data.

    Parameters
    ----------
    model : Layer
    data : (inputs, targets)
    loss, metric : callable
        ``loss(output, targets)`` gives (loss, gradient), ``metric`` a float; both are
        means over a batch.
    batch_size : int
        How many examples go through the model at a time.

    Returns
    -------
    loss : float
    metric : float, or None without one

    Raises
    ------
    ShapeError, DTypeError
        Data that the model or the loss does not take.

    Examples
    --------
    >>> from npconv.nn import Flatten, accuracy, evaluate
    >>> data = [[1.0, 0.0], [0.0, 1.0]], [0, 0]
    >>> evaluate(Flatten(), data, metric=accuracy)[1]
    0.5
    """
    inputs, targets = check_pair("data", data)
    size = whole_number("batch_size", batch_size, at_least=1)
    loss_sum = metric_sum = 0.0
    for start in range(0, len(inputs), size):
        target = targets[start : start + size]
        output = model.forward(inputs[start : start + size])
        loss_sum += loss(output, target)[0] * len(target)
        metric_sum += metric(output, target) * len(target) if metric else 0.0
    count = len(inputs)
    return loss_sum / count, metric_sum / count if metric else None
