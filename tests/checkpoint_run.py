"""A short training run as a process of its own, for test_checkpoint_kill.py to kill.

It has every kind of state a checkpoint must hold: weights, running statistics, Adam's
averages, and generators for shuffling, augmentation and dropout.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from npconv import nn
from npconv.problem import Array


def shift(rng: np.random.Generator, images: Array) -> Array:
    return np.roll(images, int(rng.integers(-1, 2)), axis=-1)


def run(directory: Path, epochs: int = 7) -> nn.History:
    rng = np.random.default_rng(0)
    images = rng.standard_normal((192, 1, 8, 8)).astype(np.float32)
    labels = (images.mean(axis=(1, 2, 3)) > 0).astype(np.int64)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, rng=rng),
        nn.BatchNorm(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2, rng=rng),
        nn.Linear(64, 2, rng=rng),
    )
    history = nn.train(
        model,
        (images[:160], labels[:160]),
        validation=(images[160:], labels[160:]),
        epochs=epochs,
        batch_size=8,
        optimizer=nn.Adam(model, lr=1e-2),
        metric=nn.accuracy,
        schedule=nn.CosineSchedule(warmup=0.1),
        augment=shift,
        seed=5,
        checkpoint=directory / "run.npz",
        checkpoint_steps=3,
        progress=False,
    )
    model.save(directory / "model.npz")
    return history


if __name__ == "__main__":
    print("ready", flush=True)
    run(Path(sys.argv[1]))
