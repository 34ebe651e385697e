"""Values as they are written on a command line: shapes, paddings, bytes, weights."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from npconv.messages import UserError
from npconv.problem import Array

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_UNITS |= {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def shape(text: str) -> tuple[int, ...]:
    """Read a shape: sizes with commas or an x between them.

    Examples
    --------
    >>> from npconv.cli.values import shape
    >>> shape("1,64,56,56"), shape("64x64x3x3")
    ((1, 64, 56, 56), (64, 64, 3, 3))
    """
    parts = re.split(r"[,x×]", text.strip().strip("()"))
    if not all(re.fullmatch(r"\s*\d{1,18}\s*", part) for part in parts):
        raise UserError("bad_shape", text=text)
    return tuple(map(int, parts))


def per_axis(text: str) -> int | tuple[int, ...]:
    """Read one whole number, or one per axis.

    Examples
    --------
    >>> from npconv.cli.values import per_axis
    >>> per_axis("2"), per_axis("2,1")
    (2, (2, 1))
    """
    numbers = [_whole(part, text) for part in text.split(",")]
    return numbers[0] if len(numbers) == 1 else tuple(numbers)


def padding(text: str) -> Any:
    """Read a padding: a number, one per axis, low:high pairs, or a name.

    Examples
    --------
    >>> from npconv.cli.values import padding
    >>> padding("1"), padding("1,2"), padding("0:1,2:-1"), padding("same")
    (1, (1, 2), ((0, 1), (2, -1)), 'same')
    """
    if re.fullmatch(r"[a-z_]+", text):
        return text
    if ":" not in text:
        return per_axis(text)
    pairs = [part.split(":") for part in text.split(",")]
    if any(len(pair) != 2 for pair in pairs):
        raise UserError("bad_padding", text=text)
    return tuple((_whole(low, text), _whole(high, text)) for low, high in pairs)


def _whole(part: str, text: str) -> int:
    if not re.fullmatch(r"\s*[+-]?\d{1,18}\s*", part):
        raise UserError("bad_whole", text=text)
    return int(part)


def count(text: str) -> int:
    """Read a whole number of at least 1."""
    number = _whole(text, text)
    if number < 1:
        raise UserError("bad_count", text=text)
    return number


def seed(text: str) -> int:
    """Read a whole number of at least 0."""
    number = _whole(text, text)
    if number < 0:
        raise UserError("bad_seed", text=text)
    return number


def rate(text: str) -> float:
    """Read a positive number."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise UserError("bad_rate", text=text)
    return number


def byte_count(text: str) -> int:
    """Read a number of bytes, with a unit if one likes.

    Examples
    --------
    >>> from npconv.cli.values import byte_count
    >>> byte_count("16MiB"), byte_count("1.5 GB"), byte_count("4096")
    (16777216, 1500000000, 4096)
    """
    match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,9})?)\s*([a-zA-Z]{0,3})\s*", text)
    if not match or match[2].lower() not in _UNITS:
        raise UserError("bad_bytes", text=text)
    number = match[1]
    unit = _UNITS[match[2].lower()]
    return int(number) * unit if number.isdecimal() else int(float(number) * unit)


def weights(text: str) -> Array:
    """Read a kernel: rows with semicolons between them; numbers may be fractions.

    Examples
    --------
    >>> from npconv.cli.values import weights
    >>> weights("0 1 0; 1 -4 1; 0 1 0").tolist()
    [[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]
    >>> weights("1/2 1/2").tolist()
    [[0.5, 0.5]]
    """
    rows = [row.replace(",", " ").split() for row in text.strip().strip(";").split(";")]
    if not rows[0] or len({len(row) for row in rows}) != 1:
        raise UserError("bad_weights", text=text)
    return np.array([[_number(entry) for entry in row] for row in rows])


def _number(entry: str) -> float:
    above, _, below = entry.partition("/")
    try:
        number = float(above) / (float(below) if below else 1.0)
    except (ValueError, ZeroDivisionError):
        number = math.nan
    if not math.isfinite(number):
        raise UserError("bad_number", text=entry)
    return number
