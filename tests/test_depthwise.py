"""Depthwise convolution, compiled: borders, strides and dilations where code is unrolled for them.

Small problems share code that unrolls nothing; here all are treated as large ones, so that
each has code of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import npconv
from npconv.axis import Axis
from npconv.compiled import depthwise, sliding
from npconv.compiled.prepared import strides_of
from npconv.phases import AxisPhase, axis_phases
from npconv.problem import Array, ConvProblem, Direction

DIRECTIONS = ("forward", "input_grad", "kernel_grad")
Options = dict[str, Any]

# (batch, channels, *size), kernel, options: sizes about those of vectors, so that each column
# is at some border; rows for each number that is computed together.
UNROLLED: dict[str, tuple[tuple[int, ...], tuple[int, ...], Options]] = {
    "3x3": ((2, 3, 15, 33), (3, 3), {"padding": 1}),
    "crops": ((1, 2, 13, 40), (3, 3), {"padding": [(-1, 2), (3, -2)]}),
    "stride 2": ((1, 2, 16, 70), (3, 3), {"padding": 1, "stride": 2}),
    "stride 2, no pad": ((1, 2, 15, 67), (2, 3), {"stride": 2}),
    "stride 3": ((1, 2, 11, 100), (3, 4), {"padding": (1, 2), "stride": (2, 3)}),
    "stride 4": ((1, 1, 9, 131), (3, 3), {"padding": 1, "stride": (1, 4)}),
    "stride 5": ((1, 1, 9, 130), (3, 6), {"padding": (1, 3), "stride": (2, 5)}),
    "dilation": ((1, 2, 20, 40), (3, 3), {"padding": 2, "dilation": 2}),
    "dilation and stride": ((1, 2, 20, 40), (3, 3), {"padding": 3, "dilation": 3, "stride": 2}),
    "far apart": ((1, 1, 40, 100), (3, 3), {"padding": 20, "dilation": 20}),
    "large": ((1, 2, 20, 40), (9, 9), {"padding": 4}),
    "long rows": ((1, 1, 4, 90), (2, 36), {"padding": (0, 18)}),
    "holes": ((1, 2, 9, 21), (3, 3), {"padding": 2, "input_dilation": 2}),
    "rank 1": ((2, 2, 70), (5,), {"padding": "causal"}),
    "rank 3": ((2, 2, 4, 9, 20), (2, 3, 3), {"padding": 1}),
}


@pytest.fixture(autouse=True)
def everything_unrolled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sliding, "WORTHWHILE", 0)
    depthwise.prepare.cache_clear()
    yield
    depthwise.prepare.cache_clear()


def results(name: str, direction: str, dtype: str, algorithm: str, **more: Any) -> Array:
    size, kernel, given = UNROLLED[name]
    x, w, options = size, (size[1], 1, *kernel), {"groups": size[1], **given}
    y = npconv.conv_output_shape(x, w, **options)
    shapes = {"forward": (x, w), "input_grad": (y, w), "kernel_grad": (y, x)}[direction]
    rng = np.random.default_rng(0)
    operands = [rng.integers(-3, 4, shape).astype(dtype) for shape in shapes]
    with npconv.settings(**more):
        plan = npconv.plan_conv(
            x, w, direction=direction, dtype=dtype, algorithm=algorithm, **options
        )
    return plan(*operands)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", UNROLLED)
def test_unrolled_code_sums_what_the_columns_do(name: str, direction: str) -> None:
    if name == "holes" and direction == "kernel_grad":
        with pytest.raises(npconv.UnsupportedError, match="does not serve input_dilation"):
            results(name, direction, "f4", "depthwise")
        return
    right = results(name, direction, "f4", "im2col")
    np.testing.assert_array_equal(results(name, direction, "f4", "depthwise"), right)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", ["3x3", "stride 2"])
def test_float64(name: str, direction: str) -> None:
    right = results(name, direction, "f8", "im2col")
    np.testing.assert_array_equal(results(name, direction, "f8", "depthwise"), right)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", ["3x3", "stride 2", "rank 3"])
def test_bits_do_not_depend_on_threads(name: str, direction: str) -> None:
    found = {results(name, direction, "f4", "depthwise", threads=n).tobytes() for n in (1, 2, 3)}
    assert len(found) == 1


def test_rows_in_the_memory_of_another_order() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.integers(-3, 4, (2, 3, 18, 20)).astype("f4"), rng.integers(-3, 4, (3, 1, 3, 3))
    options: Options = {"groups": 3, "padding": 1, "algorithm": "depthwise"}
    right = npconv.conv(x, w.astype("f4"), **{**options, "algorithm": "im2col"})
    for view in (x[:, :, ::-1].copy()[:, :, ::-1], np.asfortranarray(x), x.astype(">f4")):
        np.testing.assert_array_equal(npconv.conv(view, w.astype("f4"), **options), right)
    out = np.zeros((2, 3, 18, 40), "f4")
    npconv.conv(x, w.astype("f4"), **options, out=out[..., ::2])
    np.testing.assert_array_equal(out[..., ::2], right)
    assert not out[..., 1::2].any()


@pytest.mark.parametrize("stride", [1, 2])
def test_nothing_beyond_the_rows_is_read_or_written(stride: int) -> None:
    rng = np.random.default_rng(0)
    w = rng.integers(-3, 4, (1, 1, 3, 3)).astype("f4")
    # Rows that end before, with and behind a vector; pads, and columns that nobody reads.
    for width, low, high in itertools.product(range(14, 36), (1, 0, -2), (1, 0, -1, -2)):
        around = np.full((12, 50), np.nan, "f4")
        x = around[2:9, 3 : 3 + width]
        x[...] = rng.integers(-3, 4, x.shape)
        options: Options = {"padding": [(1, 1), (low, high)], "stride": stride}
        right = npconv.conv(x.copy()[None, None], w, **options, algorithm="im2col")[0, 0]
        room = np.full((right.shape[0] + 4, right.shape[1] + 9), 7, "f4")
        y = room[2:-2, 4:-5]
        npconv.conv(x[None, None], w, **options, algorithm="depthwise", out=y[None, None])
        np.testing.assert_array_equal(y, right, f"width={width}, pads {low} and {high}")
        y[...] = 7
        assert (room == 7).all(), f"width={width}, pads {low} and {high}"


def test_columns_that_nobody_reads() -> None:
    rng = np.random.default_rng(0)
    w = rng.integers(-3, 4, (1, 1, 3, 3)).astype("f4")
    for width, high in itertools.product(range(16, 38), (0, -1, -3)):
        # Calls cut such columns off before; a prepared run may see them.
        x = rng.integers(-3, 4, (1, 1, 1, 7, width)).astype("f4")
        problem = ConvProblem.of(x.shape[1:], w.shape, padding=[(1, 1), (0, high)])
        room = np.full((1, 1, 1, problem.out[0] + 2, problem.out[1] + 3), 7, "f4")
        y = room[..., 1:-1, 1:-2]
        lie = strides_of(x), strides_of(y)
        run = depthwise.prepare(problem, Direction.FORWARD, "float32", *lie, 1)
        run.run(x, w, y, None)
        right = npconv.conv(x[0], w, padding=[(1, 1), (0, high)], algorithm="im2col")
        np.testing.assert_array_equal(y[0], right, f"{width=} {high=}")
        y[...] = 7
        assert (room == 7).all(), f"{width=} {high=}"


@pytest.mark.parametrize("what", ["read", "number"])
@pytest.mark.parametrize("name", ["3x3", "crops", "stride 2"])
def test_a_planted_error_at_the_borders_is_seen(
    name: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = results(name, "forward", "f4", "im2col")

    def planted(axis: Axis) -> list[AxisPhase]:
        """Begin one element too far, or leave the last output out."""
        if axis.kernel == 1:
            return axis_phases(axis)
        moved = {"read": 1, "number": -1}[what]
        return [p._replace(**{what: getattr(p, what) + moved}) for p in axis_phases(axis)]

    monkeypatch.setattr(sliding, "axis_phases", planted)
    depthwise.prepare.cache_clear()
    out = np.full_like(right, 99)
    size, kernel, given = UNROLLED[name]
    x = np.random.default_rng(0)  # the operands of `results`
    operands = [x.integers(-3, 4, shape).astype("f4") for shape in (size, (size[1], 1, *kernel))]
    npconv.conv(operands[0], operands[1], groups=size[1], algorithm="depthwise", out=out, **given)
    assert (out != right).any()
