"""The worked example: a small network for the 8 x 8 handwritten digits of scikit-learn.

1,797 images by 43 people, from the "Optical Recognition of Handwritten Digits" data set
(Alpaydin and Kaynak, UCI Machine Learning Repository, 1998). A fifth is held out; how
the numbers in this file were chosen without looking at it stands in the documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from npconv.errors import MissingExtraError
from npconv.nn.conv import Conv2d
from npconv.nn.data import stratified_split
from npconv.nn.elementwise import Dropout, Flatten, ReLU
from npconv.nn.linear import Linear
from npconv.nn.losses import accuracy
from npconv.nn.optimizers import Adam, CosineSchedule
from npconv.nn.pool import MaxPool2d
from npconv.nn.record import History
from npconv.nn.sequential import Sequential
from npconv.nn.train import train
from npconv.problem import Array

EPOCHS = 30
BATCH_SIZE = 64
LEARNING_RATE = 5e-3
HELD_OUT = 0.2


@dataclass(frozen=True)
class Digits:
    """Images and labels, split in two.

    Attributes
    ----------
    train, test : (images, labels)
        Images are ``(N, 1, 8, 8)`` float32 from 0 to 1, labels ``(N,)`` int64.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.nn.digits import Digits
    >>> empty = np.zeros((0, 1, 8, 8)), np.zeros(0, int)
    >>> Digits(empty, empty).train[0].shape
    (0, 1, 8, 8)
    """

    train: tuple[Array, Array]
    test: tuple[Array, Array]


def load_digits(seed: int = 0, held_out: float = HELD_OUT) -> Digits:
    """Load scikit-learn's digits, and hold some out, the same share of every digit.

    Parameters
    ----------
    seed : int
        Of the split.
    held_out : float
        Share of the test part.

    Returns
    -------
    Digits

    Raises
    ------
    MissingExtraError
        scikit-learn is not installed.

    Examples
    --------
    >>> from npconv.nn.digits import load_digits
    >>> digits = load_digits()
    >>> digits.train[0].shape, digits.test[0].shape
    ((1438, 1, 8, 8), (359, 1, 8, 8))
    """
    try:
        from sklearn.datasets import load_digits as load
    except ImportError as error:
        raise MissingExtraError(
            "the digits come with scikit-learn: pip install 'npconv[demo]'"
        ) from error
    found = load()
    images = (found.images[:, None] / 16).astype(np.float32)
    labels = found.target.astype(np.int64)
    first, second = stratified_split(labels, held_out, seed)
    return Digits((images[first], labels[first]), (images[second], labels[second]))


def digits_model(rng: np.random.Generator | int | None = None) -> Sequential:
    """Make the network: three convolutions, two poolings, one hidden layer.

    Parameters
    ----------
    rng : numpy.random.Generator or int, optional
        Where weights and dropout come from.

    Returns
    -------
    Sequential
        From ``(N, 1, 8, 8)`` to ``(N, 10)``.

    Examples
    --------
    >>> from npconv.nn.digits import digits_model
    >>> model = digits_model(rng=0)
    >>> model.output_shape((5, 1, 8, 8))
    (5, 10)
    >>> sum(array.size for array in model.parameters().values())
    16026
    """
    rng = np.random.default_rng(rng)
    return Sequential(
        Conv2d(1, 16, 3, padding=1, rng=rng),
        ReLU(),
        Conv2d(16, 16, 3, padding=1, rng=rng),
        ReLU(),
        MaxPool2d(2),  # 8 x 8 to 4 x 4
        Conv2d(16, 32, 3, padding=1, rng=rng),
        ReLU(),
        MaxPool2d(2),  # 4 x 4 to 2 x 2
        Flatten(),
        Dropout(0.1, rng=rng),
        Linear(128, 64, rng=rng),
        ReLU(),
        Dropout(0.1, rng=rng),
        Linear(64, 10, rng=rng),
    )


def wobble(
    rng: np.random.Generator,
    images: Array,
    *,
    degrees: float = 7.0,
    zoom: float = 0.07,
    shift: float = 0.5,
) -> Array:
    """Turn, zoom and shift each image a little, at random.

    Parameters
    ----------
    rng : numpy.random.Generator
    images : ndarray, shape (N, C, H, W)
    degrees : float
        Largest turn either way.
    zoom : float
        Largest zoom, in or out: 0.07 is from 0.93 to 1.07.
    shift : float
        Largest shift along rows and columns, in pixels.

    Returns
    -------
    ndarray, of images' shape and dtype
        Values between pixels are interpolated bilinearly; beyond the edge there is 0.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.nn.digits import wobble
    >>> rng = np.random.default_rng(0)
    >>> wobble(rng, np.ones((2, 1, 8, 8), np.float32)).shape
    (2, 1, 8, 8)
    """
    N, _, H, W = images.shape
    angle = np.deg2rad(rng.uniform(-degrees, degrees, N))
    scale = rng.uniform(1 - zoom, 1 + zoom, N)
    # Each output pixel looks up where it came from: turned and scaled about the centre.
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    move = rng.uniform(-shift, shift, (2, N)) + np.array([[(H - 1) / 2], [(W - 1) / 2]])
    h, w = np.arange(H)[:, None] - (H - 1) / 2, np.arange(W) - (W - 1) / 2
    one = np.newaxis
    rows = cos[:, one, one] * h - sin[:, one, one] * w + move[0][:, one, one]
    columns = sin[:, one, one] * h + cos[:, one, one] * w + move[1][:, one, one]
    return _look_up(images, rows, columns)


def _look_up(images: Array, rows: Array, columns: Array) -> Array:
    """Interpolate image n at (rows[n], columns[n]), bilinearly; 0 beyond the edge."""
    N, C, H, W = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    rows, columns = np.clip(rows + 1, 0, H + 1), np.clip(columns + 1, 0, W + 1)
    top = np.minimum(rows.astype(np.intp), H)
    left = np.minimum(columns.astype(np.intp), W)
    down, right = rows - top, columns - left
    n = np.arange(N)[:, None, None]
    result = np.zeros((N, H, W, C))
    for i, weight_i in ((0, 1 - down), (1, down)):
        for j, weight_j in ((0, 1 - right), (1, right)):
            # (N, H, W, C): the channels come last because they are indexed by a slice.
            corner = padded[n, :, top + i, left + j]
            result += (weight_i * weight_j)[..., None] * corner
    return np.moveaxis(result, -1, 1).astype(images.dtype)


def train_digits(
    model: Sequential, digits: Digits, *, epochs: int = EPOCHS, seed: int = 0, **options: Any
) -> History:
    """Train `model` on the training part; the test part is only watched.

    Parameters
    ----------
    model : Sequential
        From `digits_model`.
    digits : Digits
        From `load_digits`.
    epochs : int
    seed : int
        Of shuffling and augmentation.
    **options
        Further arguments of `train`, such as `checkpoint` and `progress`.

    Returns
    -------
    History
        The metric is the accuracy, the validation data the test part.

    Examples
    --------
    >>> from npconv.nn.digits import digits_model, load_digits, train_digits
    >>> history = train_digits(digits_model(rng=0), load_digits(), epochs=1)
    >>> len(history)
    1
    """
    settings: dict[str, Any] = {
        "validation": digits.test,
        "batch_size": BATCH_SIZE,
        "optimizer": Adam(model, lr=LEARNING_RATE),
        "metric": accuracy,
        "schedule": CosineSchedule(warmup=0.1),
        "augment": wobble,
    }
    return train(model, digits.train, epochs=epochs, seed=seed, **(settings | options))
