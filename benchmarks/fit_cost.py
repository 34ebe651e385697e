"""Fit what products, bytes and calls take, and say how well the planner chooses by it.

Every able algorithm runs every problem of `layers` in all three directions, in float32 on
one thread: with the kernel as it is, and with a packed one. For each algorithm and direction
the counts of `Cost` are then fitted to the medians of these times, by least squares of the
relative error with rates that are not negative.

Run it with ``make fit-cost``. It rewrites ``src/npconv/rates.py``, and records
``benchmarks/results/fit_cost.json``: times, estimates, and auto's time divided by the best
able algorithm's. With ``ARGS="--again winograd"`` only that algorithm's rates are new, on
whatever machine: each is brought to the machine of the others by the ratio of the yardstick's.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

import npconv
from npconv.algorithms import REGISTRY
from npconv.bench.layers import LAYERS, Problem, layer
from npconv.bench.timing import machine
from npconv.compiled.registers import vector_bytes
from npconv.cost import Cost, repeated
from npconv.planner import Candidate
from npconv.problem import ConvProblem, Direction
from npconv.settings import ENGINES

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "benchmarks" / "results" / "fit_cost.json"
RATES = ROOT / "src" / "npconv" / "rates.py"
Call = tuple[str, bool]  # an algorithm, its kernel packed or not

YARDSTICK = "im2col"  # it has been the same for long

ROUNDS, ROUNDS_OF_SLOW = 7, 2
SLOW = 0.1  # seconds of what is not among the fast ones anyway
SECONDS = 0.2  # loops that would take longer are not run

# Other ranks, large kernels, few channels, dilation, groups.
OTHERS: dict[str, Problem] = {
    "large.7": layer(1, 32, 56, 32, 7, padding=3),
    "large.11": layer(1, 32, 56, 32, 11, padding=5),
    "large.15": layer(1, 64, 64, 64, 15, padding=7),
    "large.31": layer(1, 8, 128, 8, 31, padding=15),
    "large.dw7": layer(1, 96, 56, 96, 7, padding=3, groups=96),
    "large.dw13": layer(1, 64, 32, 64, 13, padding=6, groups=64),
    "large.dw31": layer(1, 32, 56, 32, 31, padding=15, groups=32),
    "large.s2": layer(1, 16, 128, 32, 11, stride=2, padding=5),
    "photo.9": layer(1, 1, 512, 1, 9, padding=4),
    "photo.25": layer(1, 1, 512, 4, 25, padding=12),
    "photo.3": layer(1, 1, 512, 4, 3, padding=1),
    "dilated.4": layer(1, 64, 56, 64, 3, padding=4, dilation=4),
    "groups.4": layer(2, 64, 28, 128, 3, padding=1, groups=4),
    "1d.speech": ((8, 64, 4000), (64, 64, 3), {"padding": 1}),
    "1d.wave": ((1, 1, 100_000), (16, 1, 1024), {}),
    "1d.long": ((4, 32, 2048), (32, 32, 65), {"padding": 32}),
    "3d.3": ((1, 16, 16, 32, 32), (16, 16, 3, 3, 3), {"padding": 1}),
    "3d.7": ((1, 8, 24, 24, 24), (8, 8, 7, 7, 7), {"padding": 3}),
    "tiny.1d": ((1, 1, 12), (1, 1, 5), {}),
    "tiny.2": layer(1, 2, 6, 3, 2),
    "tiny.3": layer(3, 2, 5, 2, 3, padding=1),
    "tiny.3d": ((1, 3, 2, 4, 2), (3, 3, 2, 2, 1), {"padding": 1}),
    "small.3": layer(1, 8, 12, 8, 3, padding=1),
    "small.5": layer(4, 4, 16, 8, 5),
    "wide.1x3": ((1, 32, 40, 120), (32, 32, 1, 3), {"padding": (0, 1)}),
    "flat.dw1d": ((2, 128, 1000), (128, 1, 31), {"padding": 15, "groups": 128}),
}


def cases(problem: Problem) -> list[tuple[Direction, list[np.ndarray]]]:
    """Give the two operands of each direction."""
    x, w, options = problem
    y = npconv.conv_output_shape(x, w, **options)
    rng = np.random.default_rng(0)
    shapes = {
        Direction.FORWARD: (x, w),
        Direction.INPUT_GRAD: (y, w),
        Direction.KERNEL_GRAD: (y, x),
    }
    return [
        (direction, [rng.standard_normal(shape).astype(np.float32) for shape in pair])
        for direction, pair in shapes.items()
    ]


def plan(problem: Problem, direction: Direction, algorithm: str = "auto") -> npconv.Plan:
    """Plan one of the directions."""
    x, w, options = problem
    return npconv.plan_conv(x, w, direction=direction.value, algorithm=algorithm, **options)


def able(problem: Problem, direction: Direction) -> list[Candidate]:
    """List who can serve; the loops only where they would not take for ever."""
    candidates = plan(problem, direction).choice.candidates
    return [c for c in candidates if not c.refusal and 3e-6 * c.cost.calls < SECONDS]


def medians(calls: Mapping[Call, Callable[[], Any]]) -> dict[Call, float]:
    """Time calls in turns; seconds."""
    seconds: dict[Call, list[float]] = {name: [] for name in calls}
    slow = set()
    for name, call in calls.items():
        start = time.perf_counter()
        call()
        if time.perf_counter() - start > SLOW:
            slow.add(name)
    for i in range(ROUNDS):
        for name, call in calls.items():
            if i >= ROUNDS_OF_SLOW and name in slow:
                continue
            repeats, start = 0, time.perf_counter()
            while repeats < 1 or time.perf_counter() - start < 0.005:
                call()
                repeats += 1
            seconds[name].append((time.perf_counter() - start) / repeats)
    return {name: statistics.median(times) for name, times in seconds.items()}


def measure() -> list[dict[str, Any]]:
    """Time every able algorithm on every problem."""
    rows = []
    for name, problem in {**LAYERS, **OTHERS}.items():
        for direction, (first, second) in cases(problem):
            posed = plan(problem, direction).choice.problem
            candidates = {c.name: c for c in able(problem, direction)}
            calls: dict[tuple[str, bool], Callable[[], Any]] = {}
            for each in candidates:
                run = plan(problem, direction, each)
                calls[each, False] = partial(run, first, second)
                if direction is not Direction.KERNEL_GRAD:
                    calls[each, True] = partial(run, first, run.pack(second))
            times = medians(calls)
            print(name, direction.value, {k: round(1e3 * t, 2) for k, t in times.items()})
            sys.stdout.flush()
            rows += [
                {
                    "problem": name,
                    "direction": direction.value,
                    "algorithm": each,
                    "packed": packed,
                    **counts(candidates[each], posed, packed),
                    "milliseconds": round(1e3 * seconds, 4),
                }
                for (each, packed), seconds in times.items()
            ]
    return rows


def counts(candidate: Candidate, problem: ConvProblem, packed: bool) -> dict[str, list[int]]:
    """List what `npconv.cost.seconds` has rates for; the last is the run itself.

    ``compared`` is what the planner judges by, ``counts`` what was timed.
    """
    cut, cost = candidate.cut, candidate.cost
    if cut is not None and (cut.images, cut.K, cut.C) != (problem.N, problem.K, problem.C):
        cost = repeated(candidate.image, problem.N)  # as planned: image by image, in tiles
    return {"counts": _counted(cost, packed), "compared": _counted(candidate.compared, packed)}


def _counted(cost: Cost, packed: bool) -> list[int]:
    spared, numbers = (cost.packing.products, 0) if packed else (0, cost.packing.numbers)
    return [cost.multiplications - spared, cost.bytes_moved, cost.calls, numbers, 1]


def recounted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Count again for times that were measured before."""
    for row in rows:
        problem = {**LAYERS, **OTHERS}[row["problem"]]
        choice = plan(problem, Direction(row["direction"]), row["algorithm"]).choice
        row.update(counts(choice.best, choice.problem, row["packed"]))
    return rows


def fit(rows: list[dict[str, Any]]) -> dict[tuple[str, str], list[float]]:
    """Find the rates of each algorithm and direction, in nanoseconds.

    Errors weigh by how close a time is to the fastest's: what is not chosen anyway need not
    be told well.
    """
    best: dict[tuple[str, str, bool], float] = {}
    for row in rows:
        best[_case(row)] = min(best.get(_case(row), np.inf), row["milliseconds"])
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["algorithm"], row["direction"]), []).append(row)
    rates = {}
    for key, members in groups.items():
        counted = np.array([row["counts"] for row in members], float)
        nanoseconds = np.array([1e6 * row["milliseconds"] for row in members])
        close = np.array([best[_case(row)] for row in members])
        weight = np.sqrt(1e6 * close / nanoseconds)
        relative = counted * (weight / nanoseconds)[:, np.newaxis]
        scale = np.maximum(relative.max(axis=0), np.finfo(float).tiny)  # none packs
        found, _ = nnls(relative / scale, weight)
        rates[key] = [float(f"{rate:.3g}") for rate in found / scale]
    return rates


def _case(row: dict[str, Any]) -> tuple[str, str, bool]:
    return row["problem"], row["direction"], row["packed"]


def judge(
    rows: list[dict[str, Any]], rates: dict[tuple[str, str], list[float]], engine: str
) -> dict[str, Any]:
    """Divide the time of what these rates choose by that of the fastest, in one engine.

    The compiled engine is chosen from beside NumPy's.
    """
    cases: dict[tuple[str, str, bool], list[dict[str, Any]]] = {}
    for row in rows:
        nanoseconds = float(np.dot(row["compared"], rates[row["algorithm"], row["direction"]]))
        row["estimate"] = round(1e-6 * nanoseconds, 4)
        if REGISTRY[row["algorithm"]].engine in ("numpy", engine):
            cases.setdefault(_case(row), []).append(row)
    ratios = {}
    for (*key, packed), members in cases.items():
        chosen = min(members, key=lambda row: row["estimate"])
        best = min(members, key=lambda row: row["milliseconds"])
        ratios[" ".join([*key, *["packed"] * packed])] = round(
            chosen["milliseconds"] / best["milliseconds"], 3
        )
    layers = [ratio for name, ratio in ratios.items() if name.split()[0] in LAYERS]
    return {
        "layers": {"median": float(np.median(layers)), "p95": float(np.quantile(layers, 0.95))},
        "all": {
            "median": float(np.median(list(ratios.values()))),
            "p95": float(np.quantile(list(ratios.values()), 0.95)),
        },
        "auto_over_best": dict(sorted(ratios.items(), key=lambda item: -item[1])),
    }


def write_rates(rates: dict[tuple[str, str], list[float]], record: dict[str, Any]) -> None:
    """Rewrite the module that the planner reads."""
    told = "{cpu}, one thread, NumPy {numpy}, {date}"
    lines = [
        '"""What counts take, in nanoseconds: written by ``benchmarks/fit_cost.py``, not by hand.',
        "",
        f"{told.format(**record['machine'])}.",
    ]
    again = record.get("again")
    if again:
        names = sorted({row["algorithm"] for row in again["times"]} - {YARDSTICK})
        lines += [f"But {', '.join(names)}: {told.format(**again['machine'])}, scaled."]
    lines += [
        '"""',
        "",
        f"VECTOR_BYTES = {record['vector_bytes']}  # of its vector registers",
        "",
        "# (algorithm, direction): a product, a byte moved, a call, a number of the kernel packed,",
        "# a run; in float32.",
        "RATES: dict[tuple[str, str], tuple[float, float, float, float, float]] = {",
    ]
    for (name, direction), each in rates.items():
        numbers = ", ".join(map(repr, each))
        lines.append(f'    ("{name}", "{direction}"): ({numbers}),')
    RATES.write_text("\n".join([*lines, "}", ""]), encoding="utf-8")


def scaled(
    names: Sequence[str], old: Mapping[str, list[float]], new: Mapping[str, list[float]]
) -> dict[str, list[float]]:
    """Bring new rates to the machine of the old ones, as the yardstick's products and bytes say.

    Its calls and runs are too little of its time to say anything: they go by its products.
    """
    rates = {}
    for each in new:
        name, direction = each.split()
        if name in names:
            here, there = new[f"{YARDSTICK} {direction}"], old[f"{YARDSTICK} {direction}"]
            product, byte = there[0] / here[0], there[1] / here[1]
            factors = product, byte, product, product, product
            rates[each] = [float(f"{a * b:.3g}") for a, b in zip(new[each], factors, strict=True)]
    return rates


def _keyed(rates: Mapping[str, list[float]]) -> dict[tuple[str, str], list[float]]:
    return {(name, direction): rates[key] for key in rates for name, direction in [key.split()]}


def main() -> None:
    """Measure or read, fit, write."""
    parser = argparse.ArgumentParser(description="fit the planner's rates")
    parser.add_argument("--refit", action="store_true", help="new counts, recorded times")
    parser.add_argument("--again", nargs="+", default=[], choices=sorted(REGISTRY), help="these")
    asked = parser.parse_args()
    record = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    before = {row["algorithm"] for row in record.get("again", {}).get("times", [])} - {YARDSTICK}
    if asked.again and not before <= {*asked.again}:
        sys.exit(f"fitted again before: {', '.join(before)}; ask for these as well")
    if asked.refit:
        if record["vector_bytes"] != vector_bytes():  # products are counted in whole vectors
            sys.exit(f"the times are of a machine with vectors of {record['vector_bytes']} bytes")
        rows = recounted(record["times"])
    else:
        with npconv.settings(threads=1, engine="compiled"):
            rows = measure()
    fitted = {" ".join(key): rate for key, rate in fit(rows).items()}
    if asked.again:
        rates = {**record["rates"], **scaled(asked.again, record["rates"], fitted)}
        kept = (*asked.again, YARDSTICK)
        record["again"] = {
            "machine": machine(),
            "vector_bytes": vector_bytes(),
            "fitted": {key: rate for key, rate in fitted.items() if key.split()[0] in kept},
            "numpy": judge(rows, _keyed(rates), "numpy"),
            "times": [row for row in rows if row["algorithm"] in kept],
        }
        rows = [row for row in record["times"] if row["algorithm"] not in asked.again]
    elif asked.refit:
        rates = {**record["rates"], **fitted}  # those fitted again elsewhere stay as they are
    else:
        rates, record = fitted, {"machine": machine(), "vector_bytes": vector_bytes()}
    record.update(rates=rates, times=rows)
    record.update({engine: judge(rows, _keyed(rates), engine) for engine in ENGINES})
    write_rates(_keyed(rates), record)
    RESULT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    told = [(engine, record[engine]) for engine in ENGINES]
    if asked.again:
        told = [("numpy", record["again"]["numpy"])]
    for engine, verdict in told:
        for key in ("layers", "all"):
            print(
                f"{engine} engine, auto over best, {key}: median {verdict[key]['median']:.3f}, "
                f"95th percentile {verdict[key]['p95']:.3f}"
            )


if __name__ == "__main__":
    main()
