"""From the arguments of a call to the choice that will run it, remembered where that is safe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from npconv.arrays import wrong_shape
from npconv.numbers import DType, Numbers, numbers_for
from npconv.options import is_plain
from npconv.planner import Choice, check_algorithm, choose
from npconv.problem import Array, ConvProblem, Direction
from npconv.settings import Settings, current_settings

Shapes: TypeAlias = tuple[Sequence[int], Sequence[int]]


class Way(NamedTuple):
    """A convolution, or a transposed one: how arguments pose a problem, and which way back goes."""

    pose: Callable[..., ConvProblem]
    back: Direction  # what gives the input's gradient


CONV = Way(ConvProblem.of, Direction.INPUT_GRAD)


def choice_for(
    direction: Direction,
    input_shape: Sequence[int],
    kernel_shape: Sequence[int],
    first: Array,
    second: Array,
    dtype: DTypeLike | None,
    algorithm: str,
    geometry: Mapping[str, Any],
    way: Way = CONV,
) -> Choice:
    """Pass shapes, options and dtypes through their gates, and choose what will run.

    The gates take as long as a small convolution. So what they said is remembered, where no
    argument is equal to one of another type, as 1 is to True.
    """
    shapes, settings = (input_shape, kernel_shape), current_settings()
    dtypes = (first.dtype, second.dtype) if dtype is None else (first.dtype, second.dtype, dtype)
    if _is_name(dtype) and type(algorithm) is str and _are_plain(shapes, geometry):
        options = tuple(geometry.items())
        return _remembered(way, direction, shapes, dtypes, algorithm, settings, options)
    return _choose(way, direction, shapes, dtypes, algorithm, settings, geometry)


class BackwardChoices(NamedTuple):
    """What will run for the gradients that are wanted; None for the others."""

    problem: ConvProblem
    input: Choice | None
    kernel: Choice | None
    bias: Numbers | None


def choices_for(
    needs: Any,
    grad_output: Array,
    input: Array,
    kernel: Array,
    dtype: DTypeLike | None,
    algorithm: str,
    geometry: Mapping[str, Any],
    way: Way = CONV,
) -> BackwardChoices:
    """Pass all of a backward call through its gates before any of it runs, remembered likewise."""
    shapes, settings = (grad_output.shape, input.shape, kernel.shape), current_settings()
    dtypes: tuple[Any, ...] = grad_output.dtype, input.dtype, kernel.dtype
    if dtype is not None:
        dtypes += (dtype,)
    if _is_name(dtype) and type(algorithm) is str and _are_plain((needs,), geometry):
        options = tuple(geometry.items())
        return _remembered_choices(way, needs, shapes, dtypes, algorithm, settings, options)
    return _choose_all(way, needs, shapes, dtypes, algorithm, settings, geometry)


@lru_cache(maxsize=1024)
def _remembered_choices(
    way: Way,
    needs: Any,
    shapes: tuple[tuple[int, ...], ...],
    dtypes: tuple[Any, ...],
    algorithm: str,
    settings: Settings,
    options: tuple[tuple[str, Any], ...],
) -> BackwardChoices:
    return _choose_all(way, needs, shapes, dtypes, algorithm, settings, dict(options))


def _choose_all(
    way: Way,
    needs: Any,
    shapes: tuple[tuple[int, ...], ...],
    dtypes: tuple[Any, ...],
    algorithm: str,
    settings: Settings,
    geometry: Mapping[str, Any],
) -> BackwardChoices:
    dy, *operands = shapes
    of_dy, of_x, of_w, *asked = dtypes
    problem = way.pose(*operands, **geometry)
    of_output = problem.input_shape if way.back is Direction.FORWARD else problem.output_shape
    if dy != of_output:
        raise wrong_shape("grad_output", dy, of_output, "the output's")
    algorithm = check_algorithm(algorithm)

    def chosen(direction: Direction, other: DType) -> Choice:
        return choose(problem, direction, numbers_for(of_dy, other, *asked), settings, algorithm)

    return BackwardChoices(
        problem,
        chosen(way.back, of_w) if "input" in needs else None,
        chosen(Direction.KERNEL_GRAD, of_x) if "kernel" in needs else None,
        numbers_for(of_dy, of_dy, *asked) if "bias" in needs else None,
    )


@lru_cache(maxsize=1024)
def _remembered(
    way: Way,
    direction: Direction,
    shapes: Shapes,
    dtypes: tuple[Any, ...],
    algorithm: str,
    settings: Settings,
    options: tuple[tuple[str, Any], ...],
) -> Choice:
    return _choose(way, direction, shapes, dtypes, algorithm, settings, dict(options))


def _choose(
    way: Way,
    direction: Direction,
    shapes: Shapes,
    dtypes: tuple[Any, ...],
    algorithm: str,
    settings: Settings,
    geometry: Mapping[str, Any],
) -> Choice:
    problem = way.pose(*shapes, **geometry)
    numbers = numbers_for(*dtypes)
    return choose(problem, direction, numbers, settings, check_algorithm(algorithm))


def _is_name(dtype: Any) -> bool:
    """Whether it is None or a dtype object, as layers give it: equal only to its like.

    And to None, to which NumPy says that float64 is equal: so None is left out of keys.
    """
    return dtype is None or isinstance(dtype, np.dtype)


def _are_plain(values: tuple[Any, ...], geometry: Mapping[str, Any]) -> bool:
    return is_plain((*values, *geometry.values()))
