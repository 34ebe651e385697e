"""From the arguments of a call to the choice that will run it, remembered where that is safe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from npconv.numbers import DType, Numbers, numbers_for
from npconv.planner import Choice, check_algorithm, choose
from npconv.problem import Array, ConvProblem, Direction
from npconv.settings import Settings, current_settings

Shapes: TypeAlias = tuple[Sequence[int], Sequence[int]]
_PLAIN = {int, str, type(None)}
_PLAIN_OR_TUPLE = {*_PLAIN, tuple}


def choice_for(
    direction: Direction,
    input_shape: Sequence[int],
    kernel_shape: Sequence[int],
    first: Array,
    second: Array,
    dtype: DTypeLike | None,
    algorithm: str,
    geometry: Mapping[str, Any],
) -> Choice:
    """Pass shapes, options and dtypes through their gates, and choose what will run.

    The gates take as long as a small convolution. So what they said is remembered, where no
    argument is equal to one of another type, as 1 is to True.
    """
    shapes, settings = (input_shape, kernel_shape), current_settings()
    dtypes = (first.dtype, second.dtype) if dtype is None else (first.dtype, second.dtype, dtype)
    if _is_name(dtype) and type(algorithm) is str and _are_plain(*shapes, geometry):
        options = tuple(geometry.items())
        return _remembered(direction, shapes, dtypes, algorithm, settings, options)
    return _choose(direction, shapes, dtypes, algorithm, settings, geometry)


def problem_for(
    input_shape: Sequence[int], kernel_shape: Sequence[int], geometry: Mapping[str, Any]
) -> ConvProblem:
    """Pass shapes and options through their gate, remembered likewise."""
    if _are_plain(input_shape, kernel_shape, geometry):
        return _remembered_problem(input_shape, kernel_shape, tuple(geometry.items()))
    return ConvProblem.of(input_shape, kernel_shape, **geometry)


def numbers_of(dtypes: tuple[DType, DType], dtype: DTypeLike | None) -> Numbers:
    """Pass dtypes through their gate, remembered likewise."""
    if not _is_name(dtype):
        return numbers_for(*dtypes, dtype)
    given: tuple[Any, ...] = () if dtype is None else (dtype,)
    return _remembered_numbers(*dtypes, *given)


@lru_cache(maxsize=256)
def _remembered_numbers(*dtypes: Any) -> Numbers:
    return numbers_for(*dtypes)


@lru_cache(maxsize=1024)
def _remembered_problem(
    input_shape: Sequence[int], kernel_shape: Sequence[int], options: tuple[tuple[str, Any], ...]
) -> ConvProblem:
    return ConvProblem.of(input_shape, kernel_shape, **dict(options))


@lru_cache(maxsize=1024)
def _remembered(
    direction: Direction,
    shapes: Shapes,
    dtypes: tuple[Any, ...],
    algorithm: str,
    settings: Settings,
    options: tuple[tuple[str, Any], ...],
) -> Choice:
    return _choose(direction, shapes, dtypes, algorithm, settings, dict(options))


def _choose(
    direction: Direction,
    shapes: Shapes,
    dtypes: tuple[Any, ...],
    algorithm: str,
    settings: Settings,
    geometry: Mapping[str, Any],
) -> Choice:
    problem = ConvProblem.of(*shapes, **geometry)
    numbers = numbers_for(*dtypes)
    return choose(problem, direction, numbers, settings, check_algorithm(algorithm))


def _is_name(dtype: Any) -> bool:
    """Whether it is None or a dtype object, as layers give it: equal only to its like.

    And to None, to which NumPy says that float64 is equal: so None is left out of keys.
    """
    return dtype is None or isinstance(dtype, np.dtype)


def _are_plain(input_shape: Any, kernel_shape: Any, geometry: Mapping[str, Any]) -> bool:
    values = tuple(geometry.values())
    return _is_plain(input_shape) and _is_plain(kernel_shape) and _is_plain(values)


def _is_plain(value: Any) -> bool:
    """Whether a value is a number, a name, None, or a tuple of such; no array, no subclass."""
    if type(value) is not tuple:
        return type(value) in _PLAIN
    kinds = {*map(type, value)}
    return kinds <= _PLAIN or (kinds <= _PLAIN_OR_TUPLE and all(map(_is_plain, value)))
