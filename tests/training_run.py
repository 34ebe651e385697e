"""A small training run in this process, for the tests of training and of checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from npconv import nn
from npconv.problem import Array

X = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)
Y = (X[:, 0] > X[:, 1]).astype(np.int64)


def make_model(p: float = 0.2) -> nn.Sequential:
    rng = np.random.default_rng(3)
    return nn.Sequential(
        nn.Linear(6, 8, rng=rng),
        nn.BatchNorm(8),
        nn.ReLU(),
        nn.Dropout(p, rng=rng),
        nn.Linear(8, 2, rng=rng),
    )


def jitter(rng: np.random.Generator, x: Array) -> Array:
    x += rng.normal(0, 0.1, x.shape).astype(x.dtype)
    return x


def run(model: nn.Sequential, **options: Any) -> nn.History:
    settings: dict[str, Any] = {
        "epochs": 3,
        "batch_size": 16,
        "validation": (X[:10], Y[:10]),
        "optimizer": nn.Adam(model, lr=0.01),
        "metric": nn.accuracy,
        "augment": jitter,
    }
    return nn.train(model, (X, Y), **(settings | options))


def bits(model: nn.Layer) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in model.state().items()}


def figures(history: nn.History) -> list[dict[str, Any]]:
    return [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in history.as_dicts()]


class StopError(Exception):
    """Stands for whatever stops a run."""


def stop_after(steps: int, error: BaseException | None = None) -> Callable[..., nn.Loss]:
    """Make a loss that stops the run in the middle of a step."""
    left = steps

    def stopping_loss(output: Any, target: Any) -> nn.Loss:
        nonlocal left
        # Validation calls the loss, too, but with the model at rest.
        left -= len(target) != 10
        if left < 0:
            raise error or StopError
        return nn.softmax_cross_entropy(output, target)

    # so that the checkpoint sees the loss of the undisturbed run
    stopping_loss.__qualname__ = nn.softmax_cross_entropy.__qualname__
    stopping_loss.__module__ = nn.softmax_cross_entropy.__module__
    return stopping_loss
