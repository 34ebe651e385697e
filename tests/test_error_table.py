"""The recorded table of errors keeps its promises, and is today's."""

from __future__ import annotations

import pytest

import npconv
from checks import DEPTHWISE
from error_table import (
    DTYPES,
    FEW_TERMS,
    RESULTS,
    Case,
    cases,
    is_current,
    measure,
    recorded,
    what_is_wrong,
)

SAMPLE = cases()[::9]


def test_every_promise_was_kept_by_what_was_recorded() -> None:
    wrong = [line for case, rows in recorded().items() for line in what_is_wrong(case, rows)]
    assert not wrong, "\n".join(wrong)


def test_the_record_is_of_every_case_and_of_todays_bounds() -> None:
    record = recorded()
    assert list(record) == cases()
    # Not measured yet: the kernels of the table have several channels, which it refuses.
    assert {case.algorithm for case in record} == set(npconv.algorithms()) - set(DEPTHWISE)
    assert all(is_current(case, rows) for case, rows in record.items())
    assert any(row.terms > FEW_TERMS for rows in record.values() for row in rows)
    table = (RESULTS / "errors.txt").read_text("utf-8")
    assert all(f"{dtype}: the largest is at most" in table for dtype in DTYPES)


@pytest.mark.parametrize("case", SAMPLE, ids=lambda c: f"{c.algorithm}-{c.dtype}-{c.kernel}")
def test_a_sample_of_it_is_measured_again(case: Case) -> None:
    for row in measure(case, trials=2):
        assert row.largest <= row.bound, (case, row)
