"""Plain parts of an axis: together they read, through each kernel element, what the axis reads."""

from __future__ import annotations

import random

import numpy as np
import pytest

from npconv.axis import Axis
from npconv.lattices import axis_parts, classes, count_lattices, is_whole, parts
from npconv.problem import Array, ConvProblem


def draw(rng: random.Random) -> Axis:
    while True:
        axis = Axis(
            rng.randint(0, 14), rng.randint(1, 6), rng.randint(1, 4), rng.randint(-2, 5),
            rng.randint(-2, 5), rng.randint(1, 4), rng.randint(1, 4),
        )  # fmt: skip
        if axis.padded >= axis.reach:
            return axis


def pairs(axis: Axis) -> Array:
    """Count how often output, kernel element and input meet, by the axis's own arithmetic."""
    met = np.zeros((axis.out, axis.kernel, axis.size), int)
    for r in range(axis.kernel):
        outputs, inputs = axis.seen(r)
        met[np.arange(axis.out)[outputs], r, np.arange(axis.size)[inputs]] += 1
    return met


def pairs_of_parts(axis: Axis, most: int) -> Array:
    met = np.zeros((axis.out, axis.kernel, axis.size), int)
    for part in axis_parts(axis, most):
        for p, r, t in np.argwhere(pairs(part.axis)):
            output = part.written.first + p * part.written.apart
            tap = part.taps.first + r * part.taps.apart
            met[output, tap, part.read.first + t * part.read.apart] += 1
    return met


@pytest.mark.parametrize("seed", range(20))
def test_parts_are_plain_and_make_up_the_axis(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(50):
        axis, most = draw(rng), rng.randint(1, 4)
        np.testing.assert_array_equal(pairs_of_parts(axis, most), pairs(axis), err_msg=str(axis))
        for part in axis_parts(axis, most):
            plain = part.axis
            assert (plain.stride, plain.dilation, plain.input_dilation) == (1, 1, 1)
            assert part.taps in classes(axis, most)
            assert count_lattices(axis) >= len({each.written for each in axis_parts(axis, most)})
            assert plain.kernel == part.taps.number <= classes(axis, most)[0].number <= most
            assert plain.out == len(range(part.written.first, axis.out, part.written.apart))


def test_a_plain_axis_is_its_own_part() -> None:
    axis = Axis(9, 3, low=1, high=2)
    (part,) = axis_parts(axis, 3)
    assert part.axis == axis
    assert part.read == part.written == (0, 1)
    assert part.taps == (0, 1, 3)


def test_lattices_are_counted_without_making_them() -> None:
    for axis in (Axis(99, 3, dilation=7), Axis(99, 4, stride=2), Axis(9, 4, input_dilation=2)):
        assert count_lattices(axis) == len({part.written for part in axis_parts(axis, 3)})
    assert count_lattices(Axis(10**9, 2, dilation=10**8)) == 10**8


def test_long_kernels_are_cut_into_runs() -> None:
    parts = axis_parts(Axis(9, 7, low=3, high=3), 3)
    assert [part.taps for part in parts] == [(0, 1, 3), (3, 1, 2), (5, 1, 2)]
    assert [part.axis.low for part in parts] == [3, 0, -2]
    assert {part.axis.out for part in parts} == {9}


def test_parts_of_the_same_kernel_elements_follow_each_other() -> None:
    problem = ConvProblem.of((1, 2, 9, 9), (3, 2, 3, 3), stride=2, dilation=(1, 3))
    taps = [part.taps for part in parts(problem, (3, 3))]
    assert taps == sorted(taps)
    assert len(set(taps)) == 4
    assert is_whole(problem)
    assert not is_whole(ConvProblem.of((1, 2, 9, 9), (3, 2, 1, 3), input_dilation=2))
