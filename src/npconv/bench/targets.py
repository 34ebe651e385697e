"""What the figures must reach, and what they reached: a line each, losses among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from npconv.bench.layers import flops
from npconv.bench.libraries import ENGINES
from npconv.bench.ratios import Record, geometric_mean, medians, over, quantile
from npconv.bench.run import AGAINST_SGEMM

SHORT, SHORT_FLOOR, FLOOR = 0.3, 0.8, 0.9  # milliseconds; the floors below and above them
MEBIBYTE = 2**20


class Figure(NamedTuple):
    """A figure, beside the one that is needed; ``reached`` is None where nothing was measured.

    ``key`` is a text of the catalogues, ``threads`` and ``where`` belong to it. Most
    figures have to be at least as large as what is needed, those with ``at_most`` not
    larger.
    """

    key: str
    reached: float | None
    needed: float
    threads: int | None = None
    where: str = ""
    at_most: bool = False

    @property
    def holds(self) -> bool | None:
        """Whether it is reached; None where nothing was measured."""
        if self.reached is None:
            return None
        return self.reached <= self.needed if self.at_most else self.reached >= self.needed

    def as_dict(self) -> dict[str, Any]:
        """Give it as data."""
        return {**self._asdict(), "holds": self.holds}


def figures(record: Record) -> list[Figure]:
    """Hold a record against everything that it must show."""
    found: list[Figure] = []
    for threads in record["threads"]:
        # On more than one thread a little less is asked of the NumPy engine.
        forward, backward = (1.2, 1.2) if threads == 1 else (1.1, 1.0)
        found += _layers(record, threads, forward, backward)
        found += _everyday(record, threads)
        found += _training(record, threads)
        found.append(_direct(record, threads))
    found += [_held(record), *_scaling(record), *_memory(record)]
    for engine in ENGINES:
        found += _choice(record, engine)
    return found


def _layers(record: Record, threads: int, forward: float, backward: float) -> Iterator[Figure]:
    for key, direction, needed in (
        ("numpy_forward", "forward", forward),
        ("numpy_backward", "backward", backward),
    ):
        ratios = over(record, "numpy", "torch", "layers", direction, threads)
        yield Figure(key, geometric_mean(ratios.values()), needed, threads)
    ratios = over(record, "compiled", "best", "layers", "forward", threads)
    yield Figure("compiled_forward", geometric_mean(ratios.values()), 1.25, threads)
    short = {
        problem
        for (group, problem, direction, t), times in medians(record).items()
        if (group, direction, t) == ("layers", "forward", threads)
        and times.get("compiled", SHORT) < SHORT
    }
    floors = {name: SHORT_FLOOR if name in short else FLOOR for name in ratios}
    yield _worst("compiled_forward_worst", ratios, floors, threads, FLOOR)
    ratios = over(record, "compiled", "torch", "layers", "backward", threads)
    yield Figure("compiled_backward", geometric_mean(ratios.values()), 2.0, threads)
    yield _worst("compiled_backward_worst", ratios, dict.fromkeys(ratios, 1.0), threads, 1.0)


def _worst(
    key: str, ratios: Mapping[str, float], floors: Mapping[str, float], threads: int, floor: float
) -> Figure:
    """Take the problem that is furthest below its floor."""
    if not ratios:
        return Figure(key, None, floor, threads)
    name = min(ratios, key=lambda name: ratios[name] / floors[name])
    return Figure(key, ratios[name], floors[name], threads, name)


def _everyday(record: Record, threads: int) -> Iterator[Figure]:
    for engine, mean, floor in (("compiled", 2.0, 1.0), ("numpy", 1.0, 0.3)):
        ratios = over(record, engine, "torch", "everyday", "forward", threads)
        yield Figure(f"{engine}_everyday", geometric_mean(ratios.values()), mean, threads)
        floors = dict.fromkeys(ratios, floor)
        yield _worst(f"{engine}_everyday_worst", ratios, floors, threads, floor)


def _training(record: Record, threads: int) -> Iterator[Figure]:
    for name in ("digits", "resnet20"):
        ratios = over(record, "compiled", "torch", "training", "step", threads)
        yield Figure("training", ratios.get(name), 1.3, threads, name)


def _direct(record: Record, threads: int) -> Figure:
    """Divide the direct path's rate by that of the machine's matrix product, timed in turn."""
    shares = {}
    for name in AGAINST_SGEMM:
        times = medians(record).get(("direct", name, "forward", threads), {})
        sgemm = rate(record, "direct", name, threads)
        if "compiled" in times and sgemm:
            shares[name] = flops(name) / (1e-3 * times["compiled"]) / sgemm
    return _worst("direct_share", shares, dict.fromkeys(shares, 0.9), threads, 0.9)


def rate(record: Record, group: str, problem: str, threads: int) -> float | None:
    """Give operations or bytes per second of the machine; their number is told as a detail."""
    for row in record["results"]:
        key = row["group"], row["problem"], row["threads"]
        if key == (group, problem, threads) and row["detail"].isdigit():
            return float(row["detail"]) / (1e-3 * float(row["median"]))
    return None


def _held(record: Record) -> Figure:
    """Give the microseconds of a small call, its kernel packed; any thread count will do."""
    threads = record["threads"][0]
    times = medians(record).get(("layers", "demo.8x8", "forward", threads), {})
    reached = 1e3 * times["compiled"] if "compiled" in times else None
    return Figure("held", reached, 8.0, threads, "demo.8x8", at_most=True)


def _scaling(record: Record) -> Iterator[Figure]:
    """Compare both numbers of threads, timed in turn."""
    one, *more = record["threads"]
    times = medians(record)
    for direction in ("forward", "backward"):
        for threads in more[-1:]:
            ratios = [
                slow["compiled"] / fast["compiled"]
                for (group, name, its, count), slow in times.items()
                if (group, its, count) == ("scaling", direction, one)
                and (fast := times.get(("scaling", name, direction, threads)))
            ]
            yield Figure(f"scaling_{direction}", geometric_mean(ratios), 1.8, threads)


def _memory(record: Record) -> Iterator[Figure]:
    for engine in ENGINES:
        rows = _examined(record, "memory", engine)
        most = max(rows, key=lambda row: row["arrays"], default=None)
        if most is None:
            yield Figure(f"{engine}_memory", None, 16.0, at_most=True)
            continue
        where = f"{most['problem']} {most['direction']}"
        amount, threads = most["arrays"] / MEBIBYTE, most["threads"]
        yield Figure(f"{engine}_memory", amount, 16.0, threads, where, at_most=True)


def _choice(record: Record, engine: str) -> Iterator[Figure]:
    """Hold auto's time against the best one, and all errors against the limit."""
    rows = [*_examined(record, "choice", engine), *_examined(record, "call", engine)]
    regrets = [row["milliseconds"][row["auto"]] / min(row["milliseconds"].values()) for row in rows]
    yield Figure(f"{engine}_regret", quantile(regrets, 0.5), 1.0, at_most=True)
    yield Figure(f"{engine}_regret_p95", quantile(regrets, 0.95), 1.2, at_most=True)
    for what, needed in (("errors", 5e-5), ("of_bound", 1.0)):
        errors = {
            f"{row['problem']} {row['direction']} {name}": error
            for row in rows
            for name, error in row[what].items()
        }
        where = max(errors, key=errors.__getitem__, default="")
        yield Figure(f"{engine}_{what}", errors.get(where), needed, None, where, at_most=True)


def _examined(record: Record, what: str, engine: str) -> list[Mapping[str, Any]]:
    rows = record["examined"]
    return [row for row in rows if (row["what"], row["engine"]) == (what, engine)]
