"""What is checked of every problem: each function of the package against the oracle.

These are functions and not tests, so that the planted errors run the very same ones.  A failure
carries a note with the call that repeats it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import Any

import numpy as np

import npconv
from dtypes import HALVES, RESULTS, dtype_of, exact_numbers, normal_numbers, widened
from npconv.algorithms import REGISTRY
from npconv.plan import Plan
from oracle import Array
from problems import RandomProblem
from tolerance import bound

ALGORITHMS = ("auto", *npconv.algorithms())
DIRECT = tuple(name for name, algorithm in REGISTRY.items() if algorithm.direct)
# Those that serve nothing but one channel in each group.
DEPTHWISE = ("slices", "depthwise")
OPERANDS = ("input", "kernel", "bias")
DIRECTIONS = {
    "conv": "forward",
    "conv with bias": "forward",
    "conv_input_grad": "input_grad",
    "conv_kernel_grad": "kernel_grad",
    "conv_backward input": "input_grad",
    "conv_backward kernel": "kernel_grad",
}
SUBSETS = [needs for n in range(4) for needs in combinations(OPERANDS, n)]

Results = dict[str, Array]


@dataclass(frozen=True)
class Operands:
    """The arrays of one problem."""

    x: Array
    w: Array
    b: Array
    dy: Array

    def each(self, change: Callable[[Array], Array]) -> Operands:
        return Operands(change(self.x), change(self.w), change(self.b), change(self.dy))


def draw(problem: RandomProblem, one_array: Callable[[tuple[int, ...]], Array]) -> Operands:
    return Operands(
        one_array(problem.input_shape),
        one_array(problem.kernel_shape),
        one_array((problem.out_channels,)),
        one_array(problem.output_shape),
    )


def small_integers(problem: RandomProblem, seed: int) -> Operands:
    """Whole numbers so small that float64 adds them up exactly, in any order."""
    rng = np.random.default_rng(seed)
    return draw(problem, lambda shape: rng.integers(-4, 5, shape).astype(np.float64))


def normals(problem: RandomProblem, seed: int, dtype: Any) -> Operands:
    rng = np.random.default_rng(seed)
    return draw(problem, lambda shape: normal_numbers(rng, dtype, shape))


def exact(problem: RandomProblem, seed: int, name: str) -> Operands:
    """Numbers of a dtype that has a name in `dtypes`, whose sums are exact."""
    rng, oracle = np.random.default_rng(seed), problem.oracle
    taps, pixels = (prod(getattr(axis, n) for axis in oracle.axes) for n in ("kernel", "out"))
    # What any of the directions may add up, padding and holes counted.
    terms = 1 + max(taps * oracle.w["I"], taps * oracle.w["O"], pixels * oracle.y["N"])
    return draw(problem, lambda shape: exact_numbers(rng, name, shape, terms))


def with_specials(problem: RandomProblem, seed: int, dtype: Any) -> Operands:
    """Small integers with NaN, Inf and -Inf here and there, in one to all of the arrays."""
    rng = np.random.default_rng([seed, 1])
    rates = rng.choice([0, 0.02, 0.1], 4)
    rates[rng.integers(4)] = 0.1
    remaining = iter(rates)

    def plant(array: Array) -> Array:
        specials = rng.choice([np.nan, np.inf, -np.inf], array.shape)
        planted = rng.random(array.shape) < next(remaining)
        return np.where(planted, specials, array).astype(dtype)

    return small_integers(problem, seed).each(plant)


# --- what comes, and what should ----------------------------------------------------------------


def computed(
    problem: RandomProblem,
    data: Operands,
    algorithm: str,
    needs: Sequence[str] | None = None,
) -> Results:
    """Everything the package computes for a problem, by the name of what computed it.

    `needs` of None stands for the default; results that were not needed must be None.
    """
    options = {**problem.options, "algorithm": algorithm}
    x, w, b, dy = data.x, data.w, data.b, data.dy
    subset: dict[str, Any] = {} if needs is None else {"needs": needs}
    gradients = npconv.conv_backward(dy, x, w, **options, **subset)
    results = {
        "conv": npconv.conv(x, w, **options),
        "conv with bias": npconv.conv(x, w, b, **options),
        "conv_input_grad": npconv.conv_input_grad(dy, w, x.shape, **options),
        "conv_kernel_grad": npconv.conv_kernel_grad(dy, x, w.shape, **options),
    }
    for operand in OPERANDS:
        gradient = getattr(gradients, operand)
        if needs is None or operand in needs:
            results[f"conv_backward {operand}"] = gradient
        else:
            assert gradient is None, f"{operand} was not in needs={needs!r}"
    return results


def expected(problem: RandomProblem, data: Operands, *, exact: bool = False) -> Results:
    """The same by the oracle."""
    oracle = problem.oracle
    dx = oracle.input_grad(data.dy, data.w, exact=exact)
    dw = oracle.kernel_grad(data.dy, data.x, exact=exact)
    y = oracle.forward(data.x, data.w, exact=exact)
    if exact:  # sums are rounded once, behind the bias
        with_bias = oracle.forward(data.x, data.w, data.b, exact=True)
    else:
        with_bias = oracle.add_bias(y, data.b)
    return {
        "conv": y,
        "conv with bias": with_bias,
        "conv_input_grad": dx,
        "conv_kernel_grad": dw,
        "conv_backward input": dx,
        "conv_backward kernel": dw,
        "conv_backward bias": oracle.bias_grad(data.dy, exact=exact),
    }


def plans(problem: RandomProblem, algorithm: str, dtype: Any) -> dict[str, Plan]:
    """The plan of each direction."""
    return {
        direction: npconv.plan_conv(
            problem.input_shape,
            problem.kernel_shape,
            dtype=dtype,
            direction=direction,
            **{**problem.options, "algorithm": algorithm},
        )
        for direction in ("forward", "input_grad", "kernel_grad")
    }


def serves(problem: RandomProblem, algorithm: str, dtype: Any = np.float64) -> bool:
    """Whether an algorithm is able; what it is not, it says (and need not be tested for)."""
    return algorithm in ("auto", "naive") or served(problem, algorithm, dtype) is not None


def served(problem: RandomProblem, algorithm: str, dtype: Any) -> dict[str, Plan] | None:
    """The plans of an algorithm that is able; "auto" and "naive" have to be."""
    try:
        return plans(problem, algorithm, dtype)
    except npconv.UnsupportedError:
        if algorithm in ("auto", "naive"):
            raise
        return None


def magnitudes(problem: RandomProblem, data: Operands) -> Results:
    """Sums of the products' sizes, of which every algorithm's bound is a part."""
    return expected(problem, data.each(widened).each(np.abs))


def bounds(
    problem: RandomProblem, planned: dict[str, Plan], magnitude: Results, dtype: Any
) -> Results:
    """The error allowed to each of the results, from the growth the plans state."""
    # The bias's gradient is a plain sum.
    per_channel = magnitude["conv"].size // max(problem.out_channels, 1)
    allowed = {"conv_backward bias": bound(magnitude["conv_backward bias"], dtype, per_channel)}
    batch = (problem.options.get("layout") or "N").index("N")
    for name, direction in DIRECTIONS.items():
        plan, size = planned[direction], magnitude[name]
        if not plan.choice.best.algorithm.direct:
            size = largest(size, None if direction == "kernel_grad" else batch)
        # Adding the bias is one more rounding.
        growth = plan.error_growth + (name == "conv with bias")
        allowed[name] = bound(size, dtype, growth)
    return allowed


def largest(magnitude: Array, batch: int | None) -> Array:
    """The largest of each image, or of the whole, in place of every element."""
    axes = tuple(i for i in range(magnitude.ndim) if i != batch)
    return np.broadcast_to(magnitude.max(axis=axes, keepdims=True, initial=0), magnitude.shape)


# --- the checks ---------------------------------------------------------------------------------


@contextmanager
def repeatable(call: str) -> Iterator[None]:
    """Note on any failure how to repeat it."""
    try:
        yield
    except Exception as error:
        error.add_note(f"repeat with: {call}")
        raise


def same_kind(result: Array, right: Array, dtype: Any, name: str) -> None:
    assert isinstance(result, np.ndarray), f"{name} is a {type(result).__name__}"
    assert result.shape == right.shape, f"{name}: {result.shape}, not {right.shape}"
    assert result.dtype == dtype, f"{name}: {result.dtype}, not {dtype}"


def check_equal(
    problem: RandomProblem, data: Operands, algorithms: Sequence[str] = ALGORITHMS
) -> None:
    """The same numbers, the same NaN, the same Inf with their signs.

    Numbers within the bound where there is no direct summation; but where an image has NaN
    or Inf, it is computed again by direct summation.
    """
    right, dtype = expected(problem, data), data.x.dtype
    magnitude: Results = {}
    for algorithm in algorithms:
        planned = served(problem, algorithm, dtype)
        if planned is None:
            continue
        indirect = {d for d, plan in planned.items() if plan.choice.direct}
        assert not (indirect and algorithm in DIRECT)
        magnitude = magnitude or (magnitudes(problem, data) if indirect else {})
        allowed = bounds(problem, planned, magnitude, dtype) if indirect else {}
        for name, result in computed(problem, data, algorithm).items():
            same_kind(result, right[name], dtype, name)
            message = f"{name} by {algorithm}"
            exact = np.ones(result.shape, bool)
            if DIRECTIONS.get(name) in indirect:
                exact = ~np.isfinite(allowed[name])
                error = np.abs(result[~exact] - right[name][~exact])
                assert np.all(error <= allowed[name][~exact]), message
            np.testing.assert_array_equal(result[exact], right[name][exact], message)


def check_exact(
    problem: RandomProblem, seed: int, name: str, algorithms: Sequence[str] = ALGORITHMS
) -> None:
    """Exact sums of any dtype come out bit for bit, from every direct summation that serves."""
    data = exact(problem, seed, name)
    right, dtype = expected(problem, data.each(widened)), data.x.dtype
    for algorithm in algorithms:
        if algorithm not in ("auto", *DIRECT) or not serves(problem, algorithm, dtype):
            continue
        with npconv.settings(accuracy="strict"):
            results = computed(problem, data, algorithm)
        for key, result in results.items():
            wanted, message = right[key], f"{key} by {algorithm} of {name}"
            same_kind(result, wanted, dtype_of(RESULTS[name]), message)
            if name in HALVES:
                wanted = widened(wanted.astype(result.dtype))
            np.testing.assert_array_equal(widened(result), wanted, message)


def check_bounds(
    problem: RandomProblem,
    seed: int,
    dtype: Any,
    algorithms: Sequence[str] = ALGORITHMS,
) -> None:
    """Standard normals, each element within the error its algorithm states."""
    data = normals(problem, seed, dtype)
    wide = data.each(widened)
    # Complex sums in double precision are exact enough for single.
    right = expected(problem, wide, exact=wide.x.dtype.kind != "c")
    magnitude = magnitudes(problem, data)
    for algorithm in algorithms:
        planned = served(problem, algorithm, dtype)
        if planned is None:
            continue
        allowed = bounds(problem, planned, magnitude, dtype)
        needs = SUBSETS[seed % len(SUBSETS)]
        for name, result in computed(problem, data, algorithm, needs).items():
            same_kind(result, right[name], dtype, name)
            error = np.abs(widened(result) - right[name])
            worst = np.max(error / np.maximum(allowed[name], 1e-300), initial=0)
            assert worst <= 1, f"{name} by {algorithm}: {worst:.3g} of the bound"


def check_problem(
    problem: RandomProblem, seed: int, algorithms: Sequence[str] = ALGORITHMS
) -> None:
    """All directions: exact on small integers, also of some other dtype, and within bounds."""
    with repeatable(f"check_problem({problem!r}, {seed})"):
        shapes = problem.input_shape, problem.kernel_shape
        assert npconv.conv_output_shape(*shapes, **problem.options) == problem.output_shape
        check_equal(problem, small_integers(problem, seed), algorithms)
        check_exact(problem, seed, list(RESULTS)[seed % len(RESULTS)], algorithms)
        other = dtype_of(("float16", "bfloat16", "complex64")[seed % 3])
        for dtype in (np.float32, np.float64, other):
            check_bounds(problem, seed, dtype, algorithms)


def check_specials(
    problem: RandomProblem, seed: int, algorithms: Sequence[str] = ALGORITHMS
) -> None:
    """NaN and Inf reach exactly the results that direct summation gives them to."""
    dtype = (np.float32, np.float64)[seed % 2]
    with repeatable(f"check_specials({problem!r}, {seed})"):
        check_equal(problem, with_specials(problem, seed, dtype), algorithms)


def check_specials_of(
    problem: RandomProblem, seed: int, name: str, algorithms: Sequence[str] = ALGORITHMS
) -> None:
    """The same of another float or complex dtype, with the loops for an oracle.

    Of complex numbers NaN and Inf reach the same elements; in which part of them they stand,
    BLAS decides, which multiplies its result by 1 + 0i.
    """
    rng, dtype = np.random.default_rng([seed, 2]), dtype_of(name)

    def plant(array: Array) -> Array:
        planted = array.copy()
        parts = planted.view(planted.real.dtype) if planted.size and dtype.kind == "c" else planted
        specials = rng.choice([np.nan, np.inf, -np.inf], parts.shape).astype(parts.dtype)
        np.copyto(parts, specials, where=rng.random(parts.shape) < 0.05)
        return planted

    data = exact(problem, seed, name).each(plant)
    right = computed(problem, data, "naive")
    for algorithm in algorithms:
        if algorithm == "naive" or not serves(problem, algorithm, dtype):
            continue
        for key, result in computed(problem, data, algorithm).items():
            found, wanted = widened(result), widened(right[key])
            if dtype.kind == "c":
                found, wanted = np.isfinite(found), np.isfinite(wanted)
            else:
                finite = np.isfinite(found) & np.isfinite(wanted)
                found, wanted = np.where(finite, 0, found), np.where(finite, 0, wanted)
            np.testing.assert_array_equal(found, wanted, f"{key} by {algorithm} of {name}")


def check_tiled(problem: RandomProblem, seed: int, algorithms: Sequence[str] = ALGORITHMS) -> None:
    """The same under a workspace limit of a fraction of what the problem would take."""
    shapes = problem.input_shape, problem.kernel_shape
    exact = small_integers(problem, seed)
    specials = with_specials(problem, seed, np.float64)
    for algorithm in algorithms:
        if not serves(problem, algorithm):
            continue
        options = {**problem.options, "algorithm": algorithm}
        whole = npconv.plan_conv(*shapes, dtype="float64", **options).workspace_bytes
        for part in (16, 8, 4, 2):
            limit = max(whole // part, 1)
            call = f"check_tiled({problem!r}, {seed}), {algorithm}, limit {limit}"
            # A refusal says the limit is too small for one of the directions: widen it.
            refusal = suppress(npconv.UnsupportedError)
            with refusal, repeatable(call), npconv.settings(workspace_limit=limit):
                plans(problem, algorithm, "float64")
                check_equal(problem, exact, [algorithm])
                check_equal(problem, specials, [algorithm])
                break
