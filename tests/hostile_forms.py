"""Arrays in forms that are unusual and fine: the same values, lying otherwise in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from oracle import Array


class Subclass(np.ndarray[Any, Any]):
    """An array that knows more than npconv asks for, and would object to being computed with."""

    def __array_ufunc__(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("computed with a subclass")


def reversed_axes(a: Array) -> Array:
    return np.flip(np.flip(a).copy())


def strided(a: Array) -> Array:
    """Every third element of a larger array along each axis."""
    large = np.full([3 * size for size in a.shape], np.nan)
    view = large[(slice(1, None, 3),) * a.ndim]
    view[...] = a
    return view


def interleaved(a: Array) -> tuple[Array, Array]:
    """`a`, and an array of its shape whose elements lie between its own."""
    both = np.empty((*a.shape, 2))
    both[..., 0] = a
    return both[..., 0], both[..., 1]


def misaligned(a: Array) -> Array:
    view = np.empty(a.nbytes + 1, np.uint8)[1:].view(float).reshape(a.shape)
    view[...] = a
    return view


def odd_rows(a: Array) -> Array:
    """Rows with a byte between them, as in an array of records."""
    records = np.zeros(a.shape[:-1], [("row", float, a.shape[-1:]), ("byte", np.int8)])
    view: Array = records["row"]
    view[...] = a
    return view


def read_only(a: Array) -> Array:
    a.flags.writeable = False
    return a


def memmap(a: Array) -> Array:
    with tempfile.TemporaryFile() as file:
        mapped: Array = np.memmap(file, float, "w+", shape=a.shape)
    mapped[...] = a
    return mapped


def tuples(a: Any) -> Any:
    return tuple(map(tuples, a)) if isinstance(a, list) else a


FORMS: dict[str, Callable[[Array], Any]] = {
    "fortran": np.asfortranarray,
    "reversed": reversed_axes,
    "strided": strided,
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "misaligned": misaligned,
    "odd_rows": odd_rows,
    "read_only": read_only,
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "one_element": lambda a: np.broadcast_to(np.float64(3), a.shape),
    "big_endian": lambda a: a.astype(">f8"),
    "memmap": memmap,
    "subclass": lambda a: a.view(Subclass),
    "list": lambda a: a.tolist(),
    "tuples": lambda a: tuples(a.tolist()),
    "list_of_arrays": list,
}
# For where float64 of the other operand decides what the result is made of.
OTHER_DTYPES: dict[str, Callable[[Array], Any]] = {
    "int8": lambda a: a.astype(np.int8),
    "big_endian_int": lambda a: a.astype(">i8"),
    "bool": lambda a: a.astype(bool),
    "float16": lambda a: a.astype(np.float16),
    "float32": lambda a: a.astype(np.float32),
    "list_of_bools": lambda a: a.astype(bool).tolist(),
}
