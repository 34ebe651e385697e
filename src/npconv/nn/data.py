"""Data for training: checked pairs of arrays, splits, and what identifies them."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from npconv.arrays import as_array
from npconv.errors import DTypeError, ShapeError
from npconv.options import real_number, whole_number
from npconv.problem import Array

# Images hashed at a time, so that a large array on disk is never whole in memory.
_CHUNK = 4096


def check_pair(name: str, data: Any) -> tuple[Array, Array]:
    """Check ``(inputs, targets)``: two arrays with one entry for each example."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise DTypeError(
            f"{name} must be a pair (inputs, targets) of arrays, "
            f"but it is of type {type(data).__qualname__}"
        )
    inputs = as_array(f"the inputs of {name}", data[0])
    targets = as_array(f"the targets of {name}", data[1])
    for array in (inputs, targets):
        if array.dtype.hasobject:
            raise DTypeError(f"{name} must hold numbers of a fixed size, not {array.dtype}")
    if not inputs.ndim or not targets.ndim or len(inputs) != len(targets):
        raise ShapeError(
            f"{name} must have as many targets as inputs, but "
            f"inputs.shape={inputs.shape}, targets.shape={targets.shape}"
        )
    if not len(inputs):
        raise ShapeError(f"{name} must hold at least one example, but it is empty")
    return inputs, targets


def digest(*arrays: Array) -> str:
    """Hash dtypes, shapes and values: arrays of equal digests are equal."""
    result = hashlib.sha256()
    for array in arrays:
        result.update(f"{array.dtype.str} {array.shape};".encode())
        for start in range(0, len(array), _CHUNK):
            result.update(array[start : start + _CHUNK].tobytes())
    return result.hexdigest()


def stratified_split(labels: Any, fraction: float, seed: int = 0) -> tuple[Array, Array]:
    """Split examples in two at random, with every class in the same proportion.

    Parameters
    ----------
    labels : array_like of int, shape (N,)
        The class of each example.
    fraction : float
        Share of the second part, from 0 to 1. Its size is ``round(fraction * N)``; each
        class gives its share rounded down or up, those with the largest remainders up.
    seed : int
        The same seed gives the same split.

    Returns
    -------
    first, second : ndarray of int64
        Indices in random order; together all of them, each once.

    Raises
    ------
    ShapeError
        Labels that are not one-dimensional; a negative seed.
    DTypeError
        Labels that are not integers, a fraction that is no number.
    UnsupportedError
        A fraction outside 0 to 1.

    Examples
    --------
    >>> from npconv.nn import stratified_split
    >>> labels = [0] * 10 + [1] * 5
    >>> train, test = stratified_split(labels, 0.2)
    >>> sorted(labels[i] for i in test)
    [0, 0, 1]
    """
    classes = as_array("labels", labels)
    if classes.ndim != 1:
        raise ShapeError(f"labels must have one axis, but labels.shape={classes.shape}")
    if classes.size and classes.dtype.kind not in "iu":
        raise DTypeError(f"labels must be integers, but their dtype is {classes.dtype}")
    share = real_number("fraction", fraction, at_least=0, at_most=1)
    rng = np.random.default_rng(whole_number("seed", seed, at_least=0))
    members = [np.flatnonzero(classes == label) for label in np.unique(classes)]
    wanted = np.array([share * len(indices) for indices in members])
    taken = np.floor(wanted).astype(np.int64)
    # Stable: of equal remainders the smaller labels go first.
    up = np.argsort(taken - wanted, kind="stable")[: round(share * len(classes)) - taken.sum()]
    taken[up] += 1
    first, second = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for indices, count in zip(members, taken, strict=True):
        shuffled = rng.permutation(indices)
        second.append(shuffled[:count])
        first.append(shuffled[count:])
    return rng.permutation(np.concatenate(first)), rng.permutation(np.concatenate(second))
