"""What the planner compares by: the recorded measurements, and times made of counts."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npconv import algorithms
from npconv.algorithms.flat import _runs
from npconv.cost import Cost, Packing, seconds
from npconv.flat import lay
from npconv.problem import ConvProblem, Direction
from npconv.rates import RATES, VECTOR_BYTES
from npconv.settings import ENGINES

RECORD = Path(__file__).parent.parent / "benchmarks" / "results" / "fit_cost.json"


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    return found


def test_rates_are_those_recorded(record: dict[str, Any]) -> None:
    recorded = {tuple(key.split()): tuple(rates) for key, rates in record["rates"].items()}
    assert recorded == RATES
    assert set(RATES) == {(name, d.value) for name in algorithms() for d in Direction}
    assert record["machine"]["cpu"]
    assert record["machine"]["date"]


def test_the_record_says_how_well_auto_chooses(record: dict[str, Any]) -> None:
    measured = {(row["problem"], row["direction"], row["packed"]) for row in record["times"]}
    for engine in ENGINES:
        assert len(record[engine]["auto_over_best"]) == len(measured)
        assert record[engine]["layers"]["median"] == record[engine]["all"]["median"] == 1.0
        assert record[engine]["layers"]["p95"] < 1.2
        assert record[engine]["all"]["p95"] < 1.2
    if "again" in record:  # with what was fitted again on another machine, there
        assert record["again"]["numpy"]["layers"]["p95"] < 1.2


def test_seconds_grow_with_what_is_counted() -> None:
    few = Cost(10**6, 10**6, 0, 1.0, 100)
    for name, direction in RATES:
        times = [
            seconds(name, direction, cost, np.dtype(dtype))
            for dtype in ("f4", "f8")
            for cost in (few, few._replace(multiplications=10**8, bytes_moved=10**8, calls=10**4))
        ]
        assert 0 < times[0] < times[1]
        assert times[0] <= times[2] < times[3]


def test_a_packed_kernel_costs_nothing_to_pack() -> None:
    for name, direction in RATES:
        cost, dtype = Cost(10**6, 10**6, 0, 1.0, 100), np.dtype("f4")
        whole = cost._replace(multiplications=10**7, packing=Packing(9 * 10**6, 10**9))
        without = seconds(name, direction, cost, dtype)
        assert seconds(name, direction, whole, dtype, packed=True) == without
        assert seconds(name, direction, whole, dtype) >= without


def test_products_take_longer_with_narrower_vectors_and_bytes_do_not() -> None:
    dtype, products, nothing = np.dtype("f4"), Cost(10**9, 0, 0, 1.0, 0), Cost(0, 10**9, 0, 1.0, 0)
    for name, factor in (("direct", 2), ("im2col", 2), ("fft", 1)):
        run = seconds(name, "forward", Cost(0, 0, 0, 1.0, 0), dtype)
        wide, narrow = (
            seconds(name, "forward", products, dtype, vector_bytes=width) - run
            for width in (VECTOR_BYTES, VECTOR_BYTES // 2)
        )
        assert narrow == pytest.approx(factor * wide)
        moved = seconds(name, "forward", nothing, dtype)
        assert seconds(name, "forward", nothing, dtype, vector_bytes=VECTOR_BYTES // 2) == moved


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), [(3, 1, 1), (3, 2, 1), (400, 160, 1), (5, 4, 2), (3, 3, 3)]
)
def test_flat_counts_the_runs_it_copies(kernel: int, stride: int, dilation: int) -> None:
    axes = ConvProblem.of((1, 2, 3000), (4, 2, kernel), stride=stride, dilation=dilation).axes
    assert math.prod(map(_runs, axes)) == len(lay(axes).shifts)
