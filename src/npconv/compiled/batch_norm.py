"""Batch normalisation by the compiled engine: see `npconv.compiled.kernels.batch_norm`.

``rows`` are what it knows of each channel, in float64, one number a channel. The last two are
pairs: for each channel the sums over the output's gradient and over its products with the
normalised input, which are the gradients of bias and weight.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from npconv.compiled.channels import FEW_FOR_TWO, lie_of, threads
from npconv.compiled.prepared import Prepared, step
from npconv.problem import Array

MEAN, VARIANCE, INVERSE, WEIGHT, BIAS, SUM = range(6)
ROW_COUNT = 7


def normalised(
    x: Array, rows: Array, eps: float, *, forms: bool, rectified: bool = False
) -> Array | None:
    """Normalise, forming mean, variance and inverse in ``rows``, or as these stand there.

    None where it cannot serve.
    """
    run = _run("forward", x.shape, (x.strides,), x.dtype, threads(), forms, eps, rectified)
    if run is None or not x.flags.aligned:
        return None
    y = np.empty(x.shape, x.dtype)
    run.run(x, None, y, scratch=rows)
    return y


def gradient(dy: Array, x: Array, rows: Array, *, rectified: bool = False) -> Array | None:
    """Give the input's gradient after a batch's own statistics, and form sums in ``rows``.

    None where it cannot serve.
    """
    lies = x.strides, dy.strides
    run = _run("backward", x.shape, lies, x.dtype, threads(), False, 0.0, rectified)
    if run is None or dy.dtype != x.dtype or not (x.flags.aligned and dy.flags.aligned):
        return None
    dx = np.empty(x.shape, x.dtype)
    run.run(x, dy, dx, scratch=rows)
    return dx


@lru_cache(maxsize=256)
def _run(
    what: str,
    shape: tuple[int, ...],
    strides: tuple[tuple[int, ...], ...],
    dtype: Any,
    threads: int,
    forms: bool,
    eps: float,
    rectified: bool,
) -> Prepared | None:
    """Prepare a run for arrays of one shape, the result's in one piece; a part is a channel."""
    lies = [lie_of(shape, each, dtype) for each in strides] if threads else [None]
    x, dy = lies[0], lies[-1]
    if x is None or dy is None:
        return None
    told = forms, np.float64(eps).view(np.int64), rectified
    words = (x.N, x.C, x.S, x.n, x.c, dy.n, dy.c, x.C * x.S, x.S, *told)
    one = step(("batch_norm", what, dtype.name), words, x.C)
    return Prepared.of((one,), 0, 1 if x.N * x.C * x.S < FEW_FOR_TWO else threads)
