"""PyTorch: its functional interface forward, its automatic gradients backward."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from npconv.bench.adapters import Call
from npconv.bench.networks import SGD, TRAINING, examples
from npconv.bench.tasks import Task, operands
from npconv.nn.digits import LEARNING_RATE
from npconv.problem import Array


def version() -> str:
    """Tell PyTorch's version."""
    import torch

    return str(torch.__version__)


def prepare(task: Task, threads: int) -> Call:
    """Get ready; nothing is packed, as PyTorch packs in every call."""
    import torch

    torch.set_num_threads(threads)
    if task.kind == "training":
        return _training_step(task.name)
    tensors = [torch.from_numpy(array) for array in operands(task)]
    rank, options = len(task.input) - 2, dict(task.options)
    pools = task.kind.endswith("pool")
    name = task.kind if pools else {"transpose": "conv_transpose"}.get(task.kind, "conv")
    function = getattr(torch.nn.functional, f"{name}{rank}d")
    if task.direction == "backward":
        return _backward(function, tensors, options)
    run = partial(function, *tensors, *([task.kernel] if pools else []), **options)

    def forward() -> Any:
        with torch.inference_mode():
            return run()

    return Call(forward, lambda y: [y.numpy()])


def _backward(conv: Any, tensors: list[Any], options: dict[str, Any]) -> Call:
    import torch

    x, w, dy = tensors
    b = torch.zeros(len(w))
    wanted = [tensor.requires_grad_() for tensor in (x, w, b)]
    y = conv(x, w, b, **options)
    return Call(
        lambda: torch.autograd.grad(y, wanted, dy, retain_graph=True),
        lambda grads: [grad.numpy() for grad in grads],
    )


def _training_step(name: str) -> Call:
    import torch

    images, labels = map(torch.from_numpy, examples(TRAINING[name]))
    torch.manual_seed(0)
    model = _digits() if name == "digits" else _resnet20()
    optimizer: Any = (
        torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
        if name == "digits"
        else torch.optim.SGD(model.parameters(), **SGD)
    )

    def step() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return float(loss)

    count = sum(tensor.numel() for tensor in model.parameters())
    return Call(step, lambda _: _count(count))


def _count(parameters: int) -> list[Array]:
    return [np.array([parameters])]


def _digits() -> Any:
    """`npconv.nn.digits.digits_model`, in PyTorch."""
    from torch import nn

    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(0.1), nn.Linear(128, 64), nn.ReLU()),
        *(nn.Dropout(0.1), nn.Linear(64, 10)),
    )


def _resnet20() -> Any:
    """`npconv.bench.networks.resnet20`, in PyTorch."""
    from torch import nn

    class Residual(nn.Module):  # type: ignore[misc] # PyTorch is not installed for mypy
        def __init__(self, body: Any, shortcut: Any) -> None:
            super().__init__()
            self.body, self.shortcut, self.relu = body, shortcut, nn.ReLU()

        def forward(self, x: Any) -> Any:
            return self.relu(self.body(x) + self.shortcut(x))

    def normalised(C: int, K: int, R: int, stride: int) -> list[Any]:
        conv = nn.Conv2d(C, K, R, stride=stride, padding=R // 2, bias=False)
        return [conv, nn.BatchNorm2d(K)]

    layers: list[Any] = [*normalised(3, 16, 3, 1), nn.ReLU()]
    width = 16
    for wider in (16, 32, 64):
        for i in range(3):
            stride = 2 if wider > 16 and i == 0 else 1
            body = [*normalised(width, wider, 3, stride), nn.ReLU()]
            body += normalised(wider, wider, 3, 1)
            changes = normalised(width, wider, 1, stride) if stride > 1 else []
            layers.append(Residual(nn.Sequential(*body), nn.Sequential(*changes)))
            width = wider
    return nn.Sequential(*layers, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10))
