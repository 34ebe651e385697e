"""The recorded table of errors keeps its promises, and is today's."""

from __future__ import annotations

import json
from typing import Any

import pytest

import npconv
from error_table import DTYPES, FEW_TERMS, RESULTS, Case, Row, cases, measure, plan, what_is_wrong

SAMPLE = cases()[::9]


def recorded() -> list[tuple[Case, list[Row]]]:
    record: list[dict[str, Any]] = json.loads((RESULTS / "errors.json").read_text("utf-8"))
    found = []
    for entry in record:
        rows = [Row(**row) for row in entry.pop("rows")]
        found.append((Case(**{**entry, "kernel": tuple(entry["kernel"])}), rows))
    return found


def test_every_promise_was_kept_by_what_was_recorded() -> None:
    wrong = [line for case, rows in recorded() for line in what_is_wrong(case, rows)]
    assert not wrong, "\n".join(wrong)


def test_the_record_is_of_every_case_and_of_todays_bounds() -> None:
    record = recorded()
    assert [case for case, _ in record] == cases()
    assert {case.algorithm for case, _ in record} == set(npconv.algorithms())
    for case, rows in record:
        for row in rows:
            assert row.bound == plan(case, row.direction).error_growth, (case, row.direction)
            assert row.terms > 0
    assert any(row.terms > FEW_TERMS for _, rows in record for row in rows)
    table = (RESULTS / "errors.txt").read_text("utf-8")
    assert all(f"{dtype}: the largest is at most" in table for dtype in DTYPES)


@pytest.mark.parametrize("case", SAMPLE, ids=lambda c: f"{c.algorithm}-{c.dtype}-{c.kernel}")
def test_a_sample_of_it_is_measured_again(case: Case) -> None:
    for row in measure(case, trials=2):
        assert row.largest <= row.bound, (case, row)
