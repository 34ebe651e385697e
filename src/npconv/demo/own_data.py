"""Pictures of one's own: a .npz file with arrays x and y, checked, and a network for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from npconv.messages import UserError
from npconv.nn.conv import Conv2d
from npconv.nn.data import stratified_split
from npconv.nn.digits import HELD_OUT, Digits
from npconv.nn.elementwise import Dropout, Flatten, ReLU
from npconv.nn.files import read_arrays
from npconv.nn.linear import Linear
from npconv.nn.pool import MaxPool2d
from npconv.nn.sequential import Sequential
from npconv.problem import Array

SMALLEST_SIDE = 4  # two poolings halve it twice


def read_examples(path: str | Path, seed: int = 0) -> tuple[Digits, float, Array]:
    """Read pictures and labels, scale the pictures, and hold a fifth out.

    Parameters
    ----------
    path : path
        A .npz file as `numpy.savez` writes it: ``x``, ``(N, H, W)`` or ``(N, C, H, W)``,
        and ``y``, ``(N,)`` integers.
    seed : int
        Of the split, which keeps the classes' proportions.

    Returns
    -------
    data : Digits
        Pictures in float32, divided by ``scale``; labels from 0 to the number of classes.
    scale : float
        The largest magnitude among the pictures trained on.
    classes : ndarray
        The value of ``y`` that each label stands for.

    Raises
    ------
    UserError, FileFormatError
        There is no such file, or its arrays are not as above.
    """
    try:
        arrays = read_arrays(path)
    except FileNotFoundError:
        raise UserError("no_file", path=path) from None
    except OSError as error:
        raise UserError("unreadable", path=path, reason=error.strerror or error) from error
    if missing := {"x", "y"} - arrays.keys():
        raise UserError("data_missing", path=path, name=min(missing), found=", ".join(arrays))
    x, y = arrays["x"], arrays["y"]
    _check(path, x, y)
    classes, labels = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise UserError("data_classes", path=path)
    pictures = x[:, np.newaxis] if x.ndim == 3 else x
    first, second = stratified_split(labels, HELD_OUT, seed)
    if not len(second):
        raise UserError("data_few", path=path, count=len(x))
    scale = float(np.abs(pictures[first].astype(np.float64)).max()) or 1.0
    pictures = (pictures / scale).astype(np.float32)
    data = Digits((pictures[first], labels[first]), (pictures[second], labels[second]))
    return data, scale, classes


def _check(path: str | Path, x: Array, y: Array) -> None:
    if x.ndim not in (3, 4) or x.dtype.kind not in "buif" or min(x.shape[-2:]) < SMALLEST_SIDE:
        raise UserError("data_x", path=path, shape=x.shape, dtype=x.dtype, side=SMALLEST_SIDE)
    if y.shape != x.shape[:1] or y.dtype.kind not in "iu":
        raise UserError("data_y", path=path, shape=y.shape, dtype=y.dtype, count=len(x))
    if not np.isfinite(x).all():
        raise UserError("data_finite", path=path)


def network_for(data: Digits, classes: int, rng: np.random.Generator | int) -> Sequential:
    """Make the digits' network for pictures of another size, or with other channels."""
    rng = np.random.default_rng(rng)
    C = data.train[0].shape[1]
    features = (
        Conv2d(C, 16, 3, padding=1, rng=rng),
        ReLU(),
        Conv2d(16, 16, 3, padding=1, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Conv2d(16, 32, 3, padding=1, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
    )
    width = Sequential(*features).output_shape((1, *data.train[0].shape[1:]))[1]
    return Sequential(
        *features,
        Dropout(0.1, rng=rng),
        Linear(width, 64, rng=rng),
        ReLU(),
        Dropout(0.1, rng=rng),
        Linear(64, classes, rng=rng),
    )
