"""The largest errors seen, beside the bounds: for each algorithm, dtype and size of kernel.

``make errors`` measures them all (some minutes), and writes ``benchmarks/results/errors.json``
and the table in ``benchmarks/results/errors.txt``, which the docs show. With
``ARGS=--missing`` it measures only what the record lacks, or states with other bounds.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import NamedTuple

import npconv
from dtypes import dtype_of
from errors_seen import DATA, largest_error

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
DTYPES = ("float32", "float64", "complex64", "complex128", "float16", "bfloat16")
DIRECTIONS = ("forward", "input_grad", "kernel_grad")
TRIALS = 6  # of each kind of data, and twice as many of uniform
# Size of the kernel along each axis, and channels whose products are summed with it.
KERNELS = [
    *(((1, 1), 1), ((1, 1), 500), ((3, 3), 1), ((3, 3), 55), ((5, 5), 20), ((7, 7), 10)),
    *(((15, 15), 2), ((3,), 1), ((3,), 166), ((31,), 16), ((400,), 1)),
    *(((31, 31), 1), ((3, 3), 256), ((1024,), 1)),  # longer sums
]
FEW_TERMS = 500


class Case(NamedTuple):
    """What is measured together: all three directions of one kernel."""

    algorithm: str
    dtype: str
    kernel: tuple[int, ...]
    channels: int

    def shapes(self, direction: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Input and kernel, such that this direction sums over the channels, or positions."""
        rank = len(self.kernel)
        # As many of the other channels as a layer has; fewer where they take long to compute.
        taps = math.prod(self.kernel)
        others = 64 if taps < 10 else 24 if taps < 100 else 3
        others = 2 if self.algorithm == "naive" else others
        if direction == "kernel_grad":
            size = [k + (480, 20)[rank - 1] for k in self.kernel]
            return (1, others, *size), (others, others, *self.kernel)
        size = [k + (47, 11)[rank - 1] for k in self.kernel]
        C, K = (self.channels, others) if direction == "forward" else (others, self.channels)
        return (1, C, *size), (K, C, *self.kernel)


class Row(NamedTuple):
    """Errors in units of a round-off times the sum of |products|."""

    direction: str
    terms: int
    bound: float
    uniform: float
    largest: float
    data: str


def cases() -> list[Case]:
    """List what can be served."""
    found = []
    for algorithm in npconv.algorithms():
        for kernel, channels in KERNELS:
            for dtype in DTYPES:
                case = Case(algorithm, dtype, kernel, channels)
                try:
                    plan(case, "forward")
                except npconv.UnsupportedError:
                    continue
                found.append(case)
    return found


def plan(case: Case, direction: str) -> npconv.Plan:
    """Plan it: the bound is the plan's."""
    return npconv.plan_conv(
        *case.shapes(direction),
        dtype=dtype_of(case.dtype),
        direction=direction,
        algorithm=case.algorithm,
    )


def measure(case: Case, trials: int = TRIALS) -> list[Row]:
    """Run every kind of data in every direction."""
    rows = []
    for direction in DIRECTIONS:
        planned = plan(case, direction)
        x, w = case.shapes(direction)
        seen = {
            kind: largest_error(
                direction,
                x,
                w,
                kind,
                2 * trials if kind == "uniform" else trials,
                algorithm=case.algorithm,
                dtype=case.dtype,
            )
            for kind in DATA
        }
        worst = max(seen, key=lambda kind: seen[kind])
        # A complex product is two real ones in each part.
        terms = planned.choice.problem.terms(planned.choice.direction)
        terms *= 2 if case.dtype.startswith("complex") else 1
        rows.append(
            Row(direction, terms, planned.error_growth, seen["uniform"], seen[worst], worst)
        )
    return rows


def what_is_wrong(case: Case, rows: list[Row]) -> list[str]:
    """Say which promise is not kept."""
    wrong = []
    for row in rows:
        if not row.largest <= row.bound:
            wrong.append(f"{case} {row}: the bound does not hold")
        if row.terms <= FEW_TERMS and row.bound > 100 * row.uniform:
            wrong.append(f"{case} {row}: the bound is {row.bound / row.uniform:.0f} times as large")
    return wrong


def table(dtype: str, measured: list[tuple[Case, list[Row]]]) -> str:
    """Lay out one dtype: for each kernel the three directions beside each other."""
    lines = [
        f"{dtype}: errors in units of u * (|input| * |kernel|)",
        "",
        f"{'':19}" + "".join(f"{name:^33}" for name in ("forward", "input's gradient", "kernel's")),
        f"{'algorithm':9}{'kernel':>10}" + f"{'terms':>7}{'uniform':>9}{'largest':>9}{'g':>8}" * 3,
    ]
    last = ""
    for case, rows in measured:
        name = "" if case.algorithm == last else case.algorithm
        line = f"{name:9}{'x'.join(map(str, case.kernel)):>10}"
        for row in rows:
            line += f"{row.terms:>7}{row.uniform:>9.2f}{row.largest:>9.2f}{row.bound:>8.4g}"
        lines.append(line)
        last = case.algorithm
    few = [row for _, rows in measured for row in rows if row.terms <= FEW_TERMS]
    most = max(row.largest / row.bound for _, rows in measured for row in rows)
    times = max(row.bound / row.uniform for row in few)
    lines += ["", f"{dtype}: the largest is at most {most:.2f} g."]
    lines += [f"{dtype}: up to {FEW_TERMS} terms g is at most {times:.0f} times uniform's largest."]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def recorded() -> dict[Case, list[Row]]:
    """Read what was measured before."""
    found = {}
    for entry in json.loads((RESULTS / "errors.json").read_text("utf-8")):
        rows = [Row(**row) for row in entry.pop("rows")]
        found[Case(**{**entry, "kernel": tuple(entry["kernel"])})] = rows
    return found


def is_current(case: Case, rows: list[Row]) -> bool:
    """Whether rows state the bounds of today."""
    return all(row.bound == plan(case, row.direction).error_growth for row in rows)


def main() -> int:
    known = recorded() if "--missing" in sys.argv else {}
    measured, wrong = [], []
    for case in cases():
        rows = known.get(case, [])
        if not rows or not is_current(case, rows):
            rows = measure(case)
            print(*case, max(row.largest / row.bound for row in rows))
        measured.append((case, rows))
        wrong += what_is_wrong(case, rows)
    tables = [table(d, [(c, rows) for c, rows in measured if c.dtype == d]) for d in DTYPES]
    RESULTS.joinpath("errors.txt").write_text("\n".join(tables), encoding="utf-8")
    record = [{**c._asdict(), "rows": [row._asdict() for row in rows]} for c, rows in measured]
    text = json.dumps(record, indent=0) + "\n"
    RESULTS.joinpath("errors.json").write_text(text, encoding="utf-8")
    print(*wrong, sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
