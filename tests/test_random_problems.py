"""Random problems against the oracle, and their derivatives, in every direction.

There are 10,000 of them, in 200 chunks, over all options, ranks 1 to 4 and every dtype.  A run
takes every tenth chunk; ``make problems`` takes all.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import npconv
from checks import (
    DEPTHWISE,
    DIRECT,
    check_problem,
    check_specials,
    check_specials_of,
    check_tiled,
    repeatable,
    serves,
    small_integers,
)
from problems import FEATURES, RandomProblem, random_problem

CHUNK, STEP = 50, 1 if "NPCONV_EVERY_PROBLEM" in os.environ else 10
SERVED = (frozenset[str](), FEATURES)
RANKS = (1, 2, 3, 4)


def chunk(number: int, kind: str) -> list[tuple[RandomProblem, int]]:
    """Fifty problems with their seeds; every kind of test has problems of its own.

    Half of them have the plain features only, so that these stay well covered.
    """
    seeds = range(number * CHUNK, (number + 1) * CHUNK)
    return [
        (
            random_problem(random.Random(f"{kind} {seed}"), ranks=RANKS, served=SERVED[seed % 2]),
            seed,
        )
        for seed in seeds
    ]


@pytest.mark.parametrize("number", range(0, 200, STEP))
def test_10000_random_problems(number: int) -> None:
    for problem, seed in chunk(number, "values"):
        check_problem(problem, seed)


@pytest.mark.parametrize("number", range(10))
def test_nan_and_inf_reach_what_direct_summation_gives_them_to(number: int) -> None:
    for problem, seed in chunk(number, "specials"):
        check_specials(problem, seed)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "complex64", "complex128"])
def test_nan_and_inf_in_other_dtypes(name: str) -> None:
    for number in range(2):
        for problem, seed in chunk(number, f"specials {name}"):
            with repeatable(f"check_specials_of({problem!r}, {seed}, {name!r})"):
                check_specials_of(problem, seed, name)


@pytest.mark.parametrize("number", range(6))
def test_tiles_change_nothing(number: int) -> None:
    for problem, seed in chunk(number, "tiles"):
        check_tiled(problem, seed)


@settings(max_examples=200, deadline=None, database=None)
@given(
    rng=st.randoms(use_true_random=False),
    algorithm=st.sampled_from([n for n in DIRECT if n not in DEPTHWISE]),
)
def test_gradients_are_adjoints(rng: random.Random, algorithm: str) -> None:
    problem = random_problem(rng, served=FEATURES)
    data = small_integers(problem, rng.getrandbits(32))
    options: dict[str, Any] = {**problem.options, "algorithm": algorithm}
    assume(serves(problem, algorithm))
    with repeatable(repr(problem)):
        y = npconv.conv(data.x, data.w, **options)
        dx = npconv.conv_input_grad(data.dy, data.w, data.x.shape, **options)
        dw = npconv.conv_kernel_grad(data.dy, data.x, data.w.shape, **options)
        assert np.sum(y * data.dy) == np.sum(data.x * dx) == np.sum(data.w * dw)


def test_random_problems_cover_what_they_should() -> None:
    """A supply that forgot a feature would make every test above weaker, and silently."""
    seen: Counter[str] = Counter()
    for number in range(0, 200, STEP):
        for problem, _ in chunk(number, "values"):
            oracle, options = problem.oracle, problem.options
            padding = options.get("padding", 0)
            assert len(oracle.terms) <= 3000
            pads = [pad for axis in oracle.axes for pad in (axis.low, axis.high)]
            seen.update(
                name
                for name, holds in {
                    f"rank {len(oracle.axes)}": True,
                    f"padding {padding if isinstance(padding, str) else 'numbers'}": True,
                    "padding for all axes": isinstance(padding, int) and padding > 0,
                    "padding per axis": isinstance(padding, tuple),
                    "pairs": isinstance(padding, list),
                    "uneven pads": any(a.low != a.high for a in oracle.axes),
                    "crops": min(pads) < 0,
                    "crop and pad": min(pads) < 0 < max(pads),
                    "stride": any(axis.stride > 1 for axis in oracle.axes),
                    "stride differs": len({axis.stride for axis in oracle.axes}) > 1,
                    "dilation": any(a.dilation > 1 < a.kernel for a in oracle.axes),
                    "groups": oracle.groups > 1,
                    "depthwise": oracle.groups > 1 == oracle.w["I"],
                    "multiplier": oracle.groups > 1 and oracle.w["O"] > oracle.groups,
                    "batch groups": oracle.batch_groups > 1,
                    "holes": any(a.input_dilation > 1 < a.size for a in oracle.axes),
                    "reflect": options.get("padding_mode") == "reflect",
                    "replicate": options.get("padding_mode") == "replicate",
                    "circular": options.get("padding_mode") == "circular",
                    "layout": "layout" in options,
                    "kernel layout": "kernel_layout" in options,
                    "one kernel element": all(axis.kernel == 1 for axis in oracle.axes),
                    "one output": all(axis.out == 1 for axis in oracle.axes),
                    "empty batch": oracle.x["N"] == 0,
                    "no input channels": oracle.x["C"] == 0,
                    "no output channels": oracle.w["O"] == 0,
                    "over 1,000 products": len(oracle.terms) > 1000,
                }.items()
                if holds
            )
    rare = {name: count for name, count in seen.items() if count < 10}
    assert len(seen) == 28 + 2 + 4, seen
    assert not rare
