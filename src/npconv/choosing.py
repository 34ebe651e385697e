"""From the arguments of a call to the choice that will run it, remembered where that is safe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from numpy.typing import DTypeLike

from npconv.numbers import DType, numbers_for
from npconv.planner import Choice, check_algorithm, choose
from npconv.problem import Array, ConvProblem, Direction
from npconv.settings import Settings, current_settings

Shapes: TypeAlias = tuple[Sequence[int], Sequence[int]]


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
    shapes, dtypes = (input_shape, kernel_shape), (first.dtype, second.dtype)
    options, settings = tuple(geometry.items()), current_settings()
    if dtype is None and _is_plain((algorithm, shapes, options)):
        return _remembered(direction, shapes, dtypes, algorithm, settings, options)
    return _choose(direction, shapes, dtypes, dtype, algorithm, settings, geometry)


def problem_for(
    input_shape: Sequence[int], kernel_shape: Sequence[int], geometry: Mapping[str, Any]
) -> ConvProblem:
    """Pass shapes and options through their gate, remembered likewise."""
    options = tuple(geometry.items())
    if _is_plain((input_shape, kernel_shape, options)):
        return _remembered_problem(input_shape, kernel_shape, options)
    return ConvProblem.of(input_shape, kernel_shape, **geometry)


@lru_cache(maxsize=1024)
def _remembered_problem(
    input_shape: Sequence[int], kernel_shape: Sequence[int], options: tuple[tuple[str, Any], ...]
) -> ConvProblem:
    return ConvProblem.of(input_shape, kernel_shape, **dict(options))


@lru_cache(maxsize=1024)
def _remembered(
    direction: Direction,
    shapes: Shapes,
    dtypes: tuple[DType, DType],
    algorithm: str,
    settings: Settings,
    options: tuple[tuple[str, Any], ...],
) -> Choice:
    return _choose(direction, shapes, dtypes, None, algorithm, settings, dict(options))


def _choose(
    direction: Direction,
    shapes: Shapes,
    dtypes: tuple[DType, DType],
    dtype: DTypeLike | None,
    algorithm: str,
    settings: Settings,
    geometry: Mapping[str, Any],
) -> Choice:
    problem = ConvProblem.of(*shapes, **geometry)
    numbers = numbers_for(*dtypes, dtype)
    return choose(problem, direction, numbers, settings, check_algorithm(algorithm))


def _is_plain(value: Any) -> bool:
    """Whether a value is a number, a name, None, or a tuple of such; no array, no subclass."""
    kind = type(value)
    if kind is tuple:
        return all(map(_is_plain, value))
    return value is None or kind is int or kind is str
