"""One axis against its own equation, `t = p * stride + r * dilation - low`, at every position."""

from __future__ import annotations

import random

import pytest

from npconv.axis import Axis


def element(axis: Axis, p: int, r: int) -> int | None:
    """The input that output p sees through kernel position r; None for padding and holes."""
    t = p * axis.stride + r * axis.dilation - axis.low
    if 0 <= t < axis.dilated and t % axis.input_dilation == 0:
        return t // axis.input_dilation
    return None


def random_axis(rng: random.Random, holes: bool) -> Axis:
    """Any axis that has at least one output, crops and empty inputs included."""
    while True:
        axis = Axis(
            size=rng.randint(0, 9),
            kernel=rng.randint(1, 4),
            stride=rng.randint(1, 4),
            low=rng.randint(-3, 6),
            high=rng.randint(-3, 6),
            dilation=rng.randint(1, 4),
            input_dilation=rng.randint(1, 4) if holes else 1,
        )
        if axis.padded >= axis.reach:
            return axis


@pytest.fixture(params=range(20))
def rng(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(f"axis {request.param}")


def sub_range(rng: random.Random, count: int) -> tuple[int, int]:
    start = rng.randint(0, count)
    return start, rng.randint(start, count)


@pytest.mark.parametrize("holes", [False, True])
def test_seen_is_every_pair_and_no_other(rng: random.Random, holes: bool) -> None:
    for _ in range(100):
        axis = random_axis(rng, holes)
        for r in range(axis.kernel):
            outputs, inputs = axis.seen(r)
            found = zip(range(axis.out)[outputs], range(max(axis.size, 1))[inputs], strict=True)
            pairs = {p: element(axis, p, r) for p in range(axis.out)}
            assert dict(found) == {p: i for p, i in pairs.items() if i is not None}, axis


@pytest.mark.parametrize("holes", [False, True])
def test_reads_and_read_by(rng: random.Random, holes: bool) -> None:
    for _ in range(100):
        axis = random_axis(rng, holes)
        p0, p1 = sorted(rng.sample(range(axis.out + 1), 2))
        lo, hi = axis.reads(p0, p1)
        reads = {element(axis, p, r) for p in range(p0, p1) for r in range(axis.kernel)} - {None}
        assert reads <= set(range(lo, hi)), axis
        # Between the first and the last position of the windows, and one beyond a hole.
        beyond = 1 if holes else 0
        first = p0 * axis.stride - axis.low
        last = (p1 - 1) * axis.stride - axis.low + axis.reach - 1
        assert all(
            first - beyond * axis.input_dilation < i * axis.input_dilation + (not beyond)
            and i * axis.input_dilation - (not beyond) < last + beyond * axis.input_dilation
            for i in range(lo, hi)
        ), axis
        if axis.size:
            a, b = sorted(rng.sample(range(axis.size + 1), 2))
            q0, q1 = axis.read_by(a, b)
            readers = {
                p
                for p in range(axis.out)
                if any(element(axis, p, r) in range(a, b) for r in range(axis.kernel))
            }
            assert readers <= set(range(q0, q1)), axis
            assert 0 <= q0 <= q1 <= axis.out


@pytest.mark.parametrize("holes", [False, True])
def test_a_tile_sees_the_same_where_it_looks(rng: random.Random, holes: bool) -> None:
    """With any outputs and any inputs, what is not among the inputs is not seen."""
    for _ in range(100):
        axis = random_axis(rng, holes)
        (p0, p1), (lo, hi) = sub_range(rng, axis.out), sub_range(rng, axis.size)
        tile = axis.tile((p0, p1), (lo, hi))
        assert (tile.size, tile.kernel) == (hi - lo, axis.kernel)
        assert tile.out == p1 - p0, (axis, tile)
        for p in range(p0, p1):
            for r in range(axis.kernel):
                whole, part = element(axis, p, r), element(tile, p - p0, r)
                inside = whole is not None and lo <= whole < hi
                assert part == (whole - lo if whole is not None and inside else None), (axis, tile)


def test_sizes() -> None:
    axis = Axis(size=5, kernel=3, stride=2, low=1, high=2, dilation=2, input_dilation=3)
    assert axis.dilated == 13  # 5 elements, 2 holes between each pair
    assert axis.padded == 16
    assert axis.reach == 5
    assert axis.out == 6
    assert Axis(size=0, kernel=1, low=2, high=1).padded == 3  # no elements, so no holes
