"""The checks catch what they are there for: each planted error makes them fail.

A test that cannot fail proves nothing.  So each fault is planted in one algorithm at a time (or
in what all of them share), and the checks of the random and the named problems, run as they
are, must object.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import npconv
from checks import check_bounds, check_problem, serves
from npconv import execute
from npconv.algorithms import REGISTRY
from npconv.axis import Axis
from npconv.problem import ConvProblem, Direction
from npconv.whole import Runs
from problems import NAMED

Plant = Callable[[pytest.MonkeyPatch, type], None]


def forget_everything() -> None:
    """Empty every cache of the package."""
    for name in [name for name in sys.modules if name.split(".")[0] == "npconv"]:
        for thing in vars(sys.modules[name]).values():
            if hasattr(thing, "cache_clear"):
                thing.cache_clear()


@pytest.fixture(autouse=True)
def _nothing_outlives_its_fault() -> Iterator[None]:
    """What was kept with a fault must not serve without it, nor the reverse."""
    forget_everything()
    yield
    forget_everything()


def check_everything(algorithm: str) -> None:
    for problem in NAMED.values():
        check_problem(problem, 0, [algorithm])


def wrap(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, fault: Callable[..., Any]) -> None:
    """Replace a function by `fault`, which is handed the right one first."""
    right = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **kwargs: fault(right, *args, **kwargs))


# --- the faults -------------------------------------------------------------------------------


def kernel_flipped_in_forward(monkeypatch: pytest.MonkeyPatch, algorithm: type) -> None:
    def fault(
        pack: Any,
        self: Any,
        problem: ConvProblem,
        direction: Direction,
        w: Any,
        *more: Any,
        **kw: Any,
    ) -> Any:
        if direction is Direction.FORWARD:
            w = np.flip(w, axis=tuple(range(3, w.ndim)))
        return pack(self, problem, direction, w, *more, **kw)

    # Each of them is the one through which all kernels of such an algorithm go.
    what, names = vars(algorithm), ["pack"]
    if what["engine"] == "compiled":
        names = ["pack_whole"] if what["direct"] else ["pack", "bring"]
    for name in names:
        wrap(monkeypatch, algorithm, name, fault)


def input_gradient_a_thousandth_too_large(monkeypatch: pytest.MonkeyPatch, algorithm: type) -> None:
    def fault(input_grad: Any, *args: Any, out: Any, **kwargs: Any) -> None:
        input_grad(*args, out=out, **kwargs)
        np.multiply(out, 1.001, out=out, casting="unsafe")

    def fault_of_the_whole(
        of_kernel: Any, self: Any, first: Any, packed: Any, out: Any, *more: Any
    ) -> Any:
        done = of_kernel(self, first, packed, out, *more)
        if done and self.direction is Direction.INPUT_GRAD and type(self.algorithm) is algorithm:
            np.multiply(out, 1.001, out=out, casting="unsafe")
        return done

    wrap(monkeypatch, algorithm, "input_grad", fault)
    wrap(monkeypatch, Runs, "of_kernel", fault_of_the_whole)


def dilation_forgotten(gradient: str) -> Plant:
    def undilated(problem: ConvProblem) -> ConvProblem:
        """The same sizes; what the dilation reached over is taken off the high pad."""
        axes = tuple(
            axis._replace(dilation=1, high=axis.high - (axis.reach - axis.kernel))
            for axis in problem.axes
        )
        return problem._replace(axes=axes)

    def fault(right: Any, self: Any, problem: ConvProblem, *args: Any, **kwargs: Any) -> None:
        right(self, undilated(problem), *args, **kwargs)

    def fault_of_the_whole(
        prepare: Any, self: Any, problem: ConvProblem, direction: Direction, *more: Any
    ) -> Any:
        if direction.value == gradient:
            problem = undilated(problem)
        return prepare(self, problem, direction, *more)

    def plant(monkeypatch: pytest.MonkeyPatch, algorithm: type) -> None:
        wrap(monkeypatch, algorithm, gradient, fault)
        if hasattr(algorithm, "prepare"):
            wrap(monkeypatch, algorithm, "prepare", fault_of_the_whole)

    return plant


def bias_gradient_doubled(monkeypatch: pytest.MonkeyPatch, _: type) -> None:
    wrap(monkeypatch, execute, "bias_grad", lambda right, *args: 2 * right(*args))


def output_size_off_by(difference: int) -> Plant:
    def plant(monkeypatch: pytest.MonkeyPatch, _: type) -> None:
        right = Axis.out.fget  # type: ignore[attr-defined]
        monkeypatch.setattr(Axis, "out", property(lambda axis: right(axis) + difference))

    return plant


FAULTS: dict[str, Plant] = {
    "kernel flipped in the forward": kernel_flipped_in_forward,
    "1.001 * dx": input_gradient_a_thousandth_too_large,
    "bias gradient doubled": bias_gradient_doubled,
    "output one too large": output_size_off_by(1),
    "output one too small": output_size_off_by(-1),
    "dilation forgotten in the input gradient": dilation_forgotten("input_grad"),
    "dilation forgotten in the kernel gradient": dilation_forgotten("kernel_grad"),
}

# --- and that they are caught -----------------------------------------------------------------


@pytest.mark.parametrize("algorithm", REGISTRY)
def test_without_a_fault_nothing_is_raised(algorithm: str) -> None:
    check_everything(algorithm)


@pytest.mark.parametrize("algorithm", REGISTRY)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_error_is_caught(
    fault: str, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "dilation" in fault and not serves(NAMED["dilated"], algorithm):
        pytest.skip(f"{algorithm} refuses dilation, so there is nothing to forget")
    FAULTS[fault](monkeypatch, type(REGISTRY[algorithm]))
    with pytest.raises((AssertionError, npconv.ConvError)):
        check_everything(algorithm)


@pytest.mark.parametrize("algorithm", REGISTRY)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bounds_alone_are_narrow_enough_for_a_thousandth(
    dtype: Any, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    input_gradient_a_thousandth_too_large(monkeypatch, type(REGISTRY[algorithm]))
    for problem in NAMED.values():
        if problem.oracle.terms and serves(problem, algorithm):
            with pytest.raises(AssertionError, match="of the bound"):
                check_bounds(problem, 0, dtype, [algorithm])
