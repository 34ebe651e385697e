"""Layers, losses, optimisers and training on top of npconv's convolution.

Is a bar horizontal or vertical? Arguments have PyTorch's names and order; `rng` says where
weights come from.

>>> import numpy as np
>>> from npconv import nn
>>> rng = np.random.default_rng(0)
>>> images = np.zeros((60, 1, 6, 6), np.float32)
>>> labels = np.arange(60) % 2
>>> for image, label in zip(images[:, 0], labels):
...     (image if label else image.T)[rng.integers(6)] = 1
>>> model = nn.Sequential(
...     nn.Conv2d(1, 4, 3, rng=rng),
...     nn.ReLU(),
...     nn.MaxPool2d(2),
...     nn.Flatten(),
...     nn.Linear(16, 2, rng=rng),
... )
>>> adam = nn.Adam(model, lr=0.01)
>>> history = nn.train(model, (images, labels), optimizer=adam, epochs=20)
>>> nn.accuracy(nn.predict(model, images), labels)
1.0
"""

from npconv.nn.batchnorm import BatchNorm
from npconv.nn.checkpoint import CheckpointWarning
from npconv.nn.conv import Conv1d, Conv2d, Conv3d
from npconv.nn.conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from npconv.nn.data import stratified_split
from npconv.nn.elementwise import Dropout, Flatten, ReLU
from npconv.nn.evaluate import evaluate, predict
from npconv.nn.layer import Layer
from npconv.nn.linear import Linear
from npconv.nn.losses import Loss, accuracy, mean_squared_error, softmax_cross_entropy
from npconv.nn.optimizers import SGD, Adam, CosineSchedule, Optimizer
from npconv.nn.pool import (
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)
from npconv.nn.record import Epoch, History
from npconv.nn.sequential import Sequential
from npconv.nn.train import train

__all__ = [
    "SGD",
    "Adam",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BatchNorm",
    "CheckpointWarning",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CosineSchedule",
    "Dropout",
    "Epoch",
    "Flatten",
    "History",
    "Layer",
    "Linear",
    "Loss",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "Optimizer",
    "ReLU",
    "Sequential",
    "accuracy",
    "evaluate",
    "mean_squared_error",
    "predict",
    "softmax_cross_entropy",
    "stratified_split",
    "train",
]
