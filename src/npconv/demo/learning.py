"""A small network learns pictures, and what came of it, as data for figures and reports."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from npconv.blas import one_thread
from npconv.nn.conv import Conv2d
from npconv.nn.digits import Digits, train_digits
from npconv.nn.elementwise import ReLU
from npconv.nn.evaluate import predict
from npconv.nn.record import History
from npconv.nn.sequential import Sequential
from npconv.problem import Array


@dataclass(frozen=True)
class Result:
    """A trained network and how it does on the pictures it never saw."""

    model: Sequential
    data: Digits
    history: History
    first_kernels: Array  # of the first layer, before training
    probabilities: Array  # (N, classes), for the held-out pictures
    seconds: float

    @property
    def labels(self) -> Array:
        """The true classes of the held-out pictures."""
        return self.data.test[1]

    @property
    def predicted(self) -> Array:
        """The classes the network says they are."""
        classes: Array = self.probabilities.argmax(axis=1)
        return classes

    @property
    def right(self) -> int:
        """How many it got right."""
        return int(np.count_nonzero(self.predicted == self.labels))

    @property
    def accuracy(self) -> float:
        """Which share it got right."""
        return self.right / len(self.labels)

    @property
    def kernels(self) -> Array:
        """The kernels of the first layer as learned, ``(C_out, C_in, K_h, K_w)``."""
        weight: Array = first_convolution(self.model).weight
        return weight

    def confusion(self) -> Array:
        """Count, for each true class (row), what it was taken for (column)."""
        classes = self.probabilities.shape[1]
        counts = np.zeros((classes, classes), np.int64)
        np.add.at(counts, (self.labels, self.predicted), 1)
        return counts

    def hardest(self, count: int) -> Array:
        """Give the indices of the pictures whose true class got the least probability.

        All that were got wrong come first, even if they are more (but at most 60).
        """
        given = self.probabilities[np.arange(len(self.labels)), self.labels]
        order = np.lexsort((given, self.predicted == self.labels))
        wrong = len(self.labels) - self.right
        return order[: max(count, min(wrong, 60))]

    def feature_maps(self, index: int) -> list[Array]:
        """Give each ReLU's maps ``(C, H, W)`` of one held-out picture."""
        x, maps = self.data.test[0][index : index + 1], []
        for layer in self.model:
            x = layer.forward(x)
            if isinstance(layer, ReLU) and x.ndim == 4:
                maps.append(x[0])
        return maps

    def as_dict(self) -> dict[str, Any]:
        """Give it as data."""
        return {
            "accuracy": self.accuracy,
            "right": self.right,
            "held_out": len(self.labels),
            "trained_on": len(self.data.train[0]),
            "parameters": parameter_count(self.model),
            "seconds": self.seconds,
            "history": self.history.as_dicts(),
            "confusion": self.confusion().tolist(),
        }


def first_convolution(model: Sequential) -> Conv2d:
    """Find the first layer that convolves pictures."""
    return next(layer for layer in model if isinstance(layer, Conv2d))


def parameter_count(model: Sequential) -> int:
    """Count the numbers that training changes."""
    return sum(array.size for array in model.parameters().values())


def learn(model: Sequential, data: Digits, **options: Any) -> Result:
    """Train a model as `npconv.nn.digits.train_digits` does, and look at the held-out part."""
    first_kernels = first_convolution(model).weight.copy()
    began = time.perf_counter()
    with one_thread():
        history = train_digits(model, data, **options)
    seconds = time.perf_counter() - began
    return Result(
        model=model,
        data=data,
        history=history,
        first_kernels=first_kernels,
        probabilities=_softmax(predict(model, data.test[0])),
        seconds=seconds,
    )


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probabilities: Array = powers / powers.sum(axis=1, keepdims=True)
    return probabilities
