"""ONNX's convolution and pooling operators, read as calls of npconv."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import npconv
from npconv import pooling
from referees.operations import Array

Results = tuple[Array, ...]
NAMED = {"VALID": "valid", "SAME_UPPER": "same", "SAME_LOWER": "same_lower"}


def _conv(x: Array, w: Array, b: Array | None = None, **given: Any) -> Results:
    return (npconv.conv(x, w, b, groups=given.get("group", 1), **_window(given)),)


def _conv_integer(
    x: Array, w: Array, x_zero: Array | None = None, w_zero: Array | None = None, **given: Any
) -> Results:
    # Zero points are taken off before, so that padding is a zero of the shifted values.
    wide = [a.astype(np.int64) for a in (x, w)]
    for i, zero in enumerate((x_zero, w_zero)):
        if zero is not None:
            wide[i] = wide[i] - zero.reshape(-1, *(1,) * (w.ndim - 1) * (zero.size > 1))
    (y,) = _conv(*wide, **given)
    return (y.astype(np.int32),)


def _conv_transpose(x: Array, w: Array, b: Array | None = None, **given: Any) -> Results:
    options = _window(given)
    options["output_padding"] = given.get("output_padding", 0)
    options["groups"] = given.get("group", 1)
    size = given.get("output_shape")
    named = options.pop("padding") if isinstance(options.get("padding"), str) else None
    if size is None and named in ("same", "same_lower"):
        size = [n * s for n, s in zip(x.shape[2:], given["strides"], strict=True)]
    if size is not None:
        bare = npconv.conv_transpose(x[:1], w, **options).shape[2:]
        options["padding"] = [
            _halves(full - wanted, named) for full, wanted in zip(bare, size, strict=True)
        ]
    return (npconv.conv_transpose(x, w, b, **options),)


def _col2im(col: Array, image_shape: Array, block_shape: Array, **given: Any) -> Results:
    block = [int(n) for n in block_shape]
    shape = (col.shape[0], col.shape[1] // int(np.prod(block)), *(int(n) for n in image_shape))
    return (npconv.col2im(col, shape, block, **_window(given)),)


def _max_pool(x: Array, **given: Any) -> Results:
    if given.get("storage_order", 0):
        raise npconv.UnsupportedError("indices in column-major order (storage_order=1)")
    y, indices = pooling.max_pool_with_indices(x, given["kernel_shape"], **_pool(given))
    # Indices are flat over the whole tensor here, over each channel's space in npconv.
    first = np.arange(x.shape[0] * x.shape[1]).reshape(x.shape[:2] + (1,) * (x.ndim - 2))
    return y, indices + first * int(np.prod(x.shape[2:]))


def _average_pool(x: Array, count_include_pad: int = 0, **given: Any) -> Results:
    include = bool(count_include_pad)
    return (pooling.avg_pool(x, given["kernel_shape"], count_include_pad=include, **_pool(given)),)


def _global_max_pool(x: Array) -> Results:
    return (pooling.max_pool(x, x.shape[2:]),)


def _global_average_pool(x: Array) -> Results:
    return (pooling.avg_pool(x, x.shape[2:]),)


def _pool(given: dict[str, Any]) -> dict[str, Any]:
    options = _window(given)
    options.setdefault("stride", 1)  # ONNX's default; npconv's is the kernel's size
    return {**options, "ceil_mode": bool(given.get("ceil_mode", 0))}


def _window(given: dict[str, Any]) -> dict[str, Any]:
    """Read the attributes that all of them share."""
    options = {
        ours: given[theirs]
        for ours, theirs in (("stride", "strides"), ("dilation", "dilations"))
        if theirs in given
    }
    named = given.get("auto_pad", b"NOTSET").decode()
    if named != "NOTSET":
        options["padding"] = NAMED[named]
    elif "pads" in given:
        options["padding"] = _pairs(given["pads"])
    return options


def _halves(total: int, named: str | None) -> tuple[int, int]:
    """Cut off a total: by the specification more at the start, but for SAME_UPPER."""
    small, large = total // 2, total - total // 2
    return (small, large) if named == "same" else (large, small)


def _pairs(pads: Sequence[int]) -> list[tuple[int, int]]:
    """Pair them: ONNX lists all low pads, then all high pads."""
    rank = len(pads) // 2
    return list(zip(pads[:rank], pads[rank:], strict=True))


OPERATORS: dict[str, Callable[..., Results]] = {
    "Conv": _conv,
    "ConvInteger": _conv_integer,
    "ConvTranspose": _conv_transpose,
    "Col2Im": _col2im,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalMaxPool": _global_max_pool,
    "GlobalAveragePool": _global_average_pool,
}
