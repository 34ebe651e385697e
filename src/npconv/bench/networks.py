"""Networks whose training steps are timed, from the public layers of `npconv.nn`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from npconv import nn
from npconv.bench.adapters import Call
from npconv.bench.tasks import Task
from npconv.nn.digits import BATCH_SIZE, LEARNING_RATE, digits_model
from npconv.problem import Array

T = TypeVar("T")

# As He and others train it.
SGD: dict[str, Any] = {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}

TRAINING: dict[str, Task] = {
    "digits": Task("training", "digits", (BATCH_SIZE, 1, 8, 8), direction="step"),
    "resnet20": Task("training", "resnet20", (64, 3, 32, 32), direction="step"),
}


class Residual(nn.Layer):
    """``relu(body(x) + shortcut(x))``; a shortcut of no layers is the input itself.

    References
    ----------
    He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.bench.networks import Residual
    >>> from npconv.nn import Sequential
    >>> Residual(Sequential(), Sequential()).forward(np.array([-1.0, 2.0]))
    array([0., 4.])
    """

    def __init__(self, body: nn.Sequential, shortcut: nn.Sequential) -> None:
        self.body, self.shortcut, self.relu = body, shortcut, nn.ReLU()

    def forward(self, input: Any, training: bool = False) -> Array:
        """Add both ways, and cut what is negative."""
        self.cache = True
        both = (way.forward(input, training) for way in (self.body, self.shortcut))
        return self.relu.forward_sum(*both)

    def backward(self, grad_output: Any) -> Array:
        """Add the gradients of both ways."""
        grad = self.relu.backward(grad_output)
        both: Array = self.body.backward(grad) + self.shortcut.backward(grad)
        return both

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Tell the output's shape: that of both ways."""
        return self.body.output_shape(input_shape)

    def parameters(self) -> dict[str, Array]:
        """Name the parameters of both ways."""
        return _named(self.body.parameters(), self.shortcut.parameters())

    def gradients(self) -> dict[str, Array]:
        """Name the gradients of both ways."""
        return _named(self.body.gradients(), self.shortcut.gradients())


def _named(body: Mapping[str, T], shortcut: Mapping[str, T]) -> dict[str, T]:
    parts = {"body": body, "shortcut": shortcut}
    return {
        f"{part}.{name}": value for part, named in parts.items() for name, value in named.items()
    }


def resnet20(rng: np.random.Generator | int | None = None) -> nn.Sequential:
    """Make ResNet-20 for pictures of 32 x 32, with 1x1 convolutions where widths change.

    Examples
    --------
    >>> from npconv.bench.networks import resnet20
    >>> model = resnet20(rng=0)
    >>> model.output_shape((64, 3, 32, 32))
    (64, 10)
    >>> sum(array.size for array in model.parameters().values())
    272474
    """
    rng = np.random.default_rng(rng)
    layers: list[nn.Layer] = [*_normalised(3, 16, 3, 1, rng), nn.ReLU()]
    width = 16
    for wider in (16, 32, 64):
        for i in range(3):
            stride = 2 if wider > 16 and i == 0 else 1
            body = nn.Sequential(
                *_normalised(width, wider, 3, stride, rng),
                nn.ReLU(),
                *_normalised(wider, wider, 3, 1, rng),
            )
            changes = _normalised(width, wider, 1, stride, rng) if stride > 1 else []
            layers.append(Residual(body, nn.Sequential(*changes)))
            width = wider
    return nn.Sequential(*layers, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10, rng=rng))


def _normalised(C: int, K: int, R: int, stride: int, rng: np.random.Generator) -> list[nn.Layer]:
    conv = nn.Conv2d(C, K, R, stride=stride, padding=R // 2, bias=False, rng=rng)
    return [conv, nn.BatchNorm(K)]


def examples(task: Task) -> tuple[Array, Array]:
    """Draw pictures and labels of ten classes for a training step."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal(task.input).astype(np.float32)
    return images, rng.integers(0, 10, len(images))


def training_step(name: str) -> Call:
    """Get a whole step ready: forward, loss, backward, optimiser.

    Weights are drawn by each library for itself, so what is compared between them is the
    number of parameters.
    """
    images, labels = examples(TRAINING[name])
    model = digits_model(rng=0) if name == "digits" else resnet20(rng=0)
    optimizer: nn.Optimizer = (
        nn.Adam(model, lr=LEARNING_RATE) if name == "digits" else nn.SGD(model, **SGD)
    )

    def step() -> float:
        output = model.forward(images, training=True)
        loss, grad = nn.softmax_cross_entropy(output, labels)
        model.backward_parameters(grad)
        optimizer.step()
        return loss

    count = sum(array.size for array in model.parameters().values())
    return Call(step, lambda _: [np.array([count])])
