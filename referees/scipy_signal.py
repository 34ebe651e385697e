"""SciPy: correlate and convolve on random problems of any rank, real, complex and integer.

SciPy has no list of cases to take, so they are drawn here from fixed seeds. Its modes are
pads: full is ``kernel - 1`` on both sides, valid is none, and same is full with the middle
of the input's size kept, whose odd element falls to the high side of the pads. `convolve`
turns the kernel; `correlate` conjugates it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from scipy import ndimage, signal

from referees.operations import Array, Convolution, allowed
from referees.verdict import Case, check_close

DTYPES = ("float32", "float64", "complex64", "complex128", "int8", "int16", "int32", "int64")
PROBLEMS = 25  # for each function, mode and dtype
LARGEST = {1: 20, 2: 9, 3: 6, 4: 4}
# The padding modes that ndimage has too, by npconv's names.
NDIMAGE_MODES = {"zeros": "constant", "reflect": "mirror", "replicate": "nearest"}


def cases() -> Iterator[Case]:
    """Both functions in every mode and dtype, and ndimage's correlate by its modes."""
    for name in ("correlate", "convolve"):
        for mode in ("full", "valid", "same"):
            for dtype in DTYPES:
                for seed in range(PROBLEMS):
                    run = partial(_check_signal, name, mode, dtype, seed)
                    yield Case(f"signal.{name} {mode} {dtype} {seed}", run)
    for mode in (*NDIMAGE_MODES, "circular"):
        for dtype in ("float64", "int64"):
            for seed in range(PROBLEMS):
                run = partial(_check_ndimage, mode, dtype, seed)
                yield Case(f"ndimage.correlate {mode} {dtype} {seed}", run)


def _check_signal(name: str, mode: str, dtype: str, seed: int) -> None:
    rng = np.random.default_rng([seed, DTYPES.index(dtype)])
    x, w = _draw(rng, dtype)
    function: Callable[..., Array] = getattr(signal, name)
    # Of integers SciPy's result is of their dtype and wraps round: widened, it is exact.
    wide = [a.astype(np.int64) if a.dtype.kind == "i" else a for a in (x, w)]
    theirs = function(*wide, mode=mode, method="direct")
    kernel = w.conj() if name == "correlate" else np.flip(w)
    pads = {
        "full": [(k - 1, k - 1) for k in w.shape],
        "valid": [(0, 0)] * w.ndim,
        # The middle of the full result: (kernel - 1) // 2 of it lie before.
        "same": [(k - 1 - (k - 1) // 2, (k - 1) // 2) for k in w.shape],
    }[mode]
    _compare(x, kernel, theirs, {"padding": pads})


def _check_ndimage(mode: str, dtype: str, seed: int) -> None:
    rng = np.random.default_rng([seed, 99])
    x, w = _draw(rng, dtype)
    # ndimage sets an even kernel's centre behind its middle, as low pads of k // 2 do.
    pads = [(k // 2, k - 1 - k // 2) for k in w.shape]
    theirs = ndimage.correlate(x, w, mode=NDIMAGE_MODES.get(mode, "wrap"))
    _compare(x, w, theirs, {"padding": pads, "padding_mode": mode})


def _draw(rng: np.random.Generator, dtype: str) -> tuple[Array, Array]:
    """A signal, and a kernel not larger in any axis (nor so large that it cannot be padded)."""
    rank = int(rng.integers(1, 5))
    size = rng.integers(2, LARGEST[rank] + 1, rank)
    kernel = [int(rng.integers(1, n + 1)) for n in size]
    kind = np.dtype(dtype).kind
    if kind == "i":
        limit = np.iinfo(dtype).max if np.dtype(dtype).itemsize == 1 else 1000
        return (
            rng.integers(-limit, limit, size, dtype=dtype),
            rng.integers(-limit, limit, kernel, dtype=dtype),
        )
    x, w = (rng.standard_normal(shape).astype(dtype) for shape in (size, kernel))
    if kind == "c":
        x, w = (a + 1j * rng.standard_normal(a.shape).astype(a.real.dtype) for a in (x, w))
    return x, w


def _compare(x: Array, w: Array, theirs: Array, options: dict[str, Any]) -> None:
    x, w = x[np.newaxis, np.newaxis], w[np.newaxis, np.newaxis]
    operation = Convolution(options)
    limit = allowed(operation, "forward", x, w, None, theirs.dtype)
    check_close(operation.forward(x, w), theirs[np.newaxis, np.newaxis], limit)
