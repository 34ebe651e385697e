"""Options as users write them: one value or one per axis, checked and spread over axes.

Every function with a window (convolution, its gradients, im2col, pooling) reads its
options here, so they take the same forms and fail with the same words everywhere.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, ParamSpec, TypeVar

import numpy as np

from npconv.axis import Axis
from npconv.errors import DTypeError, ShapeError, UnsupportedError, show

P = ParamSpec("P")
T = TypeVar("T")

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")
NAMED_PADDINGS = ("valid", "same", "same_lower", "causal")
LARGEST = 2**63 - 1  # what NumPy can count to, and what a message can print
_PLAIN = {int, str, type(None)}
MOST_AXES = 30  # NumPy arrays have 64 axes at most; columns have two for each spatial one
# What `spelled_out` shows.
DEFAULTS: dict[str, Any] = {
    "stride": 1,
    "padding": 0,
    "output_padding": 0,
    "dilation": 1,
    "input_dilation": 1,
    "groups": 1,
    "batch_groups": 1,
    "padding_mode": "zeros",
    "layout": None,
    "kernel_layout": None,
    "dtype": None,
    "algorithm": "auto",
    "out": None,
}


def is_plain(value: Any) -> bool:
    """Whether a value is a number, a name, None, or a tuple of such; no array, no subclass.

    Of such values, those that are equal mean the same: what was said of one can be remembered.
    """
    if type(value) is not tuple:
        return type(value) in _PLAIN
    for each in value:
        kind = type(each)
        if kind not in _PLAIN and not (kind is tuple and is_plain(each)):
            return False
    return True


def whole_number(name: str, value: Any, *, at_least: int, given: str = "") -> int:
    """Return ``value`` as an int: Python's and NumPy's integers, but no float and no bool."""
    number = _index(given or name, value)
    if number is None:
        raise DTypeError(f"{name} must be an integer, but {given or name}={show(value)}")
    if number < at_least:
        raise ShapeError(f"{name} must be at least {at_least}, but {given or name}={show(value)}")
    return number


def _index(name: str, value: Any) -> int | None:
    """Return an integer as Python's, None for any other kind; refuse what is beyond NumPy."""
    try:
        # True is an int to Python; as a stride or a size it is a mistake.
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None
    if number is not None and abs(number) > LARGEST:
        raise ShapeError(
            f"{name} must be at most {LARGEST} (2**63 - 1), which is as far as NumPy counts, "
            f"but it is, or has, a number of {number.bit_length()} bits"
        )
    return number


def finite_number(name: str, value: Any) -> float:
    """Return ``value`` as a float: a finite real number, but no bool, string or array."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise DTypeError(f"{name} must be a finite real number, but {name}={show(value)}")
    try:
        number = float(value)
    except OverflowError:  # an int beyond every float
        number = math.inf
    if not math.isfinite(number):
        raise DTypeError(f"{name} must be a finite real number, but as a float it is {number}")
    return number


def real_number(
    name: str, value: Any, *, at_least: float = -math.inf, at_most: float = math.inf
) -> float:
    """Return `value` as a float, or say which range it misses."""
    number = finite_number(name, value)
    if not at_least <= number <= at_most:
        raise UnsupportedError(
            f"{name} must be from {at_least:g} to {at_most:g}, but {name}={value!r}"
        )
    return number


def _is_sequence(value: Any) -> bool:
    """Whether there is one value per axis; sets have no order, generators are used up."""
    if isinstance(value, str | bytes | bytearray | memoryview):
        return False
    return isinstance(value, Sequence) or (isinstance(value, np.ndarray) and value.ndim > 0)


def per_axis(name: str, value: Any, rank: int, *, at_least: int) -> tuple[int, ...]:
    """Spread one value over the axes, or check that there is one for each."""
    if not _is_sequence(value):
        value = [value] * rank
        shown = value[0] if rank else None
    else:
        value = list(value)
        shown = tuple(value)
    if len(value) != rank:
        raise ShapeError(
            f"{name} must be one integer or one for each of the {rank} axes, "
            f"but {name}={show(shown)} has {len(value)}"
        )
    numbers = []
    for entry in value:
        number = _index(name, entry)
        if number is None:
            raise DTypeError(f"{name} must be an integer or one per axis, but {name}={show(shown)}")
        if number < at_least:
            raise ShapeError(
                f"{name} must be at least {at_least} on every axis, but {name}={show(shown)}"
            )
        numbers.append(number)
    return tuple(numbers)


def size_tuple(name: str, value: Any) -> tuple[int, ...]:
    """Check a shape: a sequence of integers, none negative."""
    if not _is_sequence(value):
        raise DTypeError(f"{name} must be a sequence of integers, but {name}={show(value)}")
    value = tuple(value)
    return tuple(whole_number(f"every size in {name}", v, at_least=0, given=name) for v in value)


def check_rank(rank: int, given: str) -> None:
    """Refuse more spatial axes than there can be columns of."""
    if rank > MOST_AXES:
        raise UnsupportedError(
            f"input can have at most {MOST_AXES} spatial axes, but it has {rank}; {given}"
        )


def resolve_axes(
    size: Sequence[int],
    kernel: Sequence[int],
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    input_dilation: Any = 1,
    padding_mode: str = "zeros",
    given: str = "",
) -> tuple[Axis, ...]:
    """Build the geometry of every axis from the options, and check that the window fits."""
    check_rank(len(size), given)
    bare = bare_axes(size, kernel, stride, dilation, input_dilation)
    pads = resolve_padding(padding, bare)
    axes = tuple(
        Axis(a.size, a.kernel, a.stride, low, high, a.dilation, a.input_dilation)
        for a, (low, high) in zip(bare, pads, strict=True)
    )
    for i, axis in enumerate(axes):
        if axis.reach > axis.padded:
            raise ShapeError(
                f"kernel reaches beyond the padded input on spatial axis {i}: it spans "
                f"{axis.reach} (dilation * (size - 1) + 1 = {axis.dilation} * "
                f"({axis.kernel} - 1) + 1) of {axis.padded} (input + padding = "
                f"{axis.dilated} + {axis.low} + {axis.high}); {given}"
            )
        check_mode(padding_mode, axis, i, given)
    return axes


def check_options(
    kernel: Sequence[int],
    *,
    stride: Any,
    padding: Any,
    dilation: Any,
    padding_mode: Any,
) -> None:
    """Check what can be checked of a window's options before there is an input."""
    check_padding_mode(padding_mode)
    # Whether the window fits depends on the input, so any size serves.
    resolve_padding(padding, bare_axes([1] * len(kernel), kernel, stride, dilation, 1))


def check_padding_mode(mode: Any) -> None:
    """Refuse names that are not padding modes."""
    if not isinstance(mode, str) or mode not in PADDING_MODES:
        raise UnsupportedError(
            f"padding_mode must be one of {', '.join(map(repr, PADDING_MODES))}, "
            f"but padding_mode={show(mode)}"
        )


def bare_axes(
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Any,
    dilation: Any,
    input_dilation: Any,
) -> list[Axis]:
    """Build axes without pads yet: named paddings depend on all the rest."""
    rank = len(size)
    return [
        Axis(n, k, s, 0, 0, d, e)
        for n, k, s, d, e in zip(
            size,
            kernel,
            per_axis("stride", stride, rank, at_least=1),
            per_axis("dilation", dilation, rank, at_least=1),
            per_axis("input_dilation", input_dilation, rank, at_least=1),
            strict=True,
        )
    ]


def resolve_padding(padding: Any, axes: Sequence[Axis]) -> list[tuple[int, int]]:
    """Turn every form of padding into one (low, high) pair per axis."""
    if isinstance(padding, str):
        return _named_padding(padding, axes)
    rank = len(axes)
    entries = list(padding) if _is_sequence(padding) else None
    if entries is None or not any(_is_sequence(entry) for entry in entries):
        try:
            return [(p, p) for p in per_axis("padding", padding, rank, at_least=0)]
        except ShapeError as error:
            if entries is not None and len(entries) == 2 and rank == 1:
                hint = f"write padding=[({show(entries[0])}, {show(entries[1])})] for low and high"
            else:
                hint = "write (low, high) pairs, one per axis, to crop or to pad unevenly"
            raise ShapeError(f"{error}; {hint}") from None
    if len(entries) != rank:
        raise ShapeError(
            f"padding must have one (low, high) pair for each of the {rank} axes, "
            f"but padding={show(padding)} has {len(entries)}"
        )
    pairs = []
    for entry in entries:
        pair = list(entry) if _is_sequence(entry) else [entry, entry]
        if len(pair) != 2:
            raise ShapeError(
                f"padding must be made of (low, high) pairs, but padding={show(padding)}"
            )
        low, high = (
            whole_number("every pad", pad, at_least=-(2**63), given="padding") for pad in pair
        )
        pairs.append((low, high))
    return pairs


def _named_padding(name: str, axes: Sequence[Axis]) -> list[tuple[int, int]]:
    if name not in NAMED_PADDINGS:
        raise UnsupportedError(
            "padding must be an integer, one per axis, (low, high) pairs, or one of "
            f"{', '.join(map(repr, NAMED_PADDINGS))}, but padding={show(name)}"
        )
    if name == "valid":
        return [(0, 0)] * len(axes)
    if name == "causal":
        if len(axes) != 1:
            raise UnsupportedError(
                "padding='causal' is for one spatial axis (time), "
                f"but the input has {len(axes)}; write (low, high) pairs instead"
            )
        return [(axis.dilation * (axis.kernel - 1), 0) for axis in axes]
    pairs = []
    for axis in axes:
        out = -(-axis.dilated // axis.stride)
        total = max((out - 1) * axis.stride + axis.reach - axis.dilated, 0)
        small, large = total // 2, total - total // 2
        pairs.append((small, large) if name == "same" else (large, small))
    return pairs


def check_mode(mode: str, axis: Axis, i: int, given: str) -> None:
    """Limits of the modes that read the input again instead of zeros."""
    if mode == "zeros":
        return
    if axis.input_dilation != 1:
        raise UnsupportedError(
            f"padding_mode={mode!r} needs input_dilation=1, but on spatial axis {i} "
            f"input_dilation={axis.input_dilation}; only 'zeros' goes with holes"
        )
    most = {"reflect": axis.size - 1, "circular": axis.size}.get(mode)
    if most is None:
        most = 2**63 if axis.size else 0  # replicate repeats an edge, if there is one
    if max(axis.low, axis.high) > most:
        raise ShapeError(
            f"padding_mode={mode!r} can pad at most {most} for an input of size {axis.size}, "
            f"but spatial axis {i} is padded by ({axis.low}, {axis.high}); {given}"
        )


def spelled_out(options: type) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Replace ``**options`` in the signature shown by the names of a TypedDict.

    Only what is shown changes: the options still travel as one, and are checked in one
    place. Python checks calls against the code, not against what is shown.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)
        shown = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        shown += [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=DEFAULTS[name])
            for name in inspect.get_annotations(options)
        ]
        function.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined] # where inspect looks first
        return function

    return decorate
