"""What the layers leave out, at everyday sizes: dtypes, groups, other ranks, pooling.

Timed forward, through the calls a user writes first, against PyTorch alone: the inference
engines have few of these.
"""

from __future__ import annotations

from typing import Any

from npconv.bench.tasks import Task


def _conv(name: str, x: tuple[int, ...], w: tuple[int, ...], **options: Any) -> Task:
    dtype = options.pop("dtype", "float32")
    return Task("conv", name, x, w, options, dtype)


def _up(name: str, x: tuple[int, ...], w: tuple[int, ...], **options: Any) -> Task:
    return Task("transpose", name, x, w, options)


def _pool(kind: str, name: str, x: tuple[int, ...], size: int, **options: Any) -> Task:
    return Task(f"{kind}_pool", name, x, (size,) * (len(x) - 2), options)


_TASKS = [
    _conv("f64.3x3", (1, 128, 28, 28), (128, 128, 3, 3), padding=1, dtype="float64"),
    _conv("f64.1x1", (1, 64, 56, 56), (256, 64, 1, 1), dtype="float64"),
    _conv("f64.batch", (8, 32, 32, 32), (64, 32, 3, 3), padding=1, dtype="float64"),
    _conv("f16.3x3", (1, 32, 28, 28), (32, 32, 3, 3), padding=1, dtype="float16"),
    _conv("f16.1x1", (1, 64, 28, 28), (64, 64, 1, 1), dtype="float16"),
    _conv("i64.3x3", (1, 32, 28, 28), (32, 32, 3, 3), padding=1, dtype="int64"),
    _conv("i64.photo", (1, 3, 64, 64), (16, 3, 5, 5), padding=2, dtype="int64"),
    _conv("groups.4", (4, 64, 28, 28), (128, 16, 3, 3), padding=1, groups=4),
    _conv("groups.32", (1, 128, 56, 56), (128, 4, 3, 3), padding=1, groups=32),
    _conv("dilated.2", (1, 64, 56, 56), (64, 64, 3, 3), padding=2, dilation=2),
    _conv("dilated.12", (1, 256, 32, 32), (64, 256, 3, 3), padding=12, dilation=12),
    _up("up.4x4s2", (4, 128, 16, 16), (128, 64, 4, 4), stride=2, padding=1),
    _up("up.2x2s2", (1, 128, 28, 28), (128, 64, 2, 2), stride=2),
    _up("up.3x3", (1, 32, 56, 56), (32, 32, 3, 3), padding=1),
    _conv("1d.speech", (8, 64, 4000), (64, 64, 3), padding=1),
    _conv("1d.wave", (1, 1, 16000), (64, 1, 400), stride=160),
    _conv("1d.dw31", (2, 256, 500), (256, 1, 31), padding=15, groups=256),
    _conv("3d.3x3x3", (1, 16, 16, 32, 32), (16, 16, 3, 3, 3), padding=1),
    _conv("3d.video", (1, 3, 8, 56, 56), (32, 3, 3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3)),
    _conv("3d.1x1x1", (1, 64, 8, 14, 14), (64, 64, 1, 1, 1)),
    _pool("max", "max.2", (8, 64, 56, 56), 2),
    _pool("max", "max.3s2", (1, 64, 112, 112), 3, stride=2, padding=1),
    _pool("max", "max.1d", (8, 64, 4000), 4),
    _pool("avg", "avg.2", (8, 64, 56, 56), 2),
    _pool("avg", "avg.3", (1, 192, 28, 28), 3, stride=1, padding=1),
    _pool("avg", "avg.all", (1, 2048, 7, 7), 7),
    _pool("avg", "avg.3d", (1, 32, 16, 28, 28), 2),
]

EVERYDAY: dict[str, Task] = {task.name: task for task in _TASKS}
