"""A record as tables for people, in their language."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from npconv.bench.layers import LAYERS
from npconv.bench.libraries import ENGINES, LIBRARIES, PEERS
from npconv.bench.ratios import Record, best_peer, geometric_mean, medians
from npconv.bench.run import libraries_of
from npconv.bench.targets import Figure, figures
from npconv.messages import Messages

# Processors that may be busy with something else without a word about it.
NOISE = 0.05
GROUPS = ("layers", "everyday", "training")


class Section(NamedTuple):
    """A heading, and a table below it, or lines of one cell each."""

    title: str
    rows: Sequence[Sequence[str]]
    right: Sequence[int] = ()


def sections(record: Record, say: Messages) -> Iterator[Section]:
    """Give everything a record tells, in the order it is to be read."""
    yield _about(record, say)
    timed = {problem for group, problem, *_ in medians(record) if group == "layers"}
    title = say("bench_figures", count=len(timed), all=len(LAYERS))
    yield Section(title, _figure_rows(record, say), (1, 2, 3))
    by_table: dict[tuple[str, str, int], dict[str, Mapping[str, float]]] = {}
    for (group, problem, direction, threads), times in medians(record).items():
        if group in GROUPS:
            by_table.setdefault((group, direction, threads), {})[problem] = times
    for (group, direction, threads), problems in by_table.items():
        title = say(f"bench_{group}", direction=say(f"bench_{direction}"), threads=threads)
        rows = _timing_rows(problems, libraries_of(record), say)
        yield Section(title, rows, range(1, len(rows[0])))
    yield from _examined(record, say)


def _about(record: Record, say: Messages) -> Section:
    """Say what was measured, on what, and when; and what was not."""
    machine = record["machine"]
    lines = [
        say("bench_machine", **machine),
        say("bench_rounds", rounds=record["rounds"], minutes=record["minutes"]),
        "; ".join(f"{LIBRARIES[n].title} {v}" for n, v in record["versions"].items()),
    ]
    for name, packages in record["missing"].items():
        lines.append(missing_line(name, ", ".join(packages), say))
    lines += [
        trouble_line(each["kind"], each["library"], each["text"], say)
        for each in record["troubles"]
    ]
    if (record["others"] or 0) > NOISE:
        lines.append(say("bench_others", busy=f"{record['others']:.2f}"))
    busy = {name: share for name, share in record["idle"].items() if share > NOISE}
    if busy:
        shares = ", ".join(f"{name}: {100 * share:.0f} %" for name, share in busy.items())
        lines.append(say("bench_busy", shares=shares))
    return Section(say("bench_title"), [[line] for line in lines])


def missing_line(library: str, packages: str, say: Messages) -> str:
    """Say who is not installed, and what would be needed."""
    return say("bench_missing", library=LIBRARIES[library].title, packages=packages)


def trouble_line(kind: str, library: str, text: str, say: Messages) -> str:
    """Say what a library could not do, or did otherwise."""
    if kind == "missing":
        return missing_line(library, text, say)
    return say(f"bench_trouble_{kind}", library=LIBRARIES[library].title, text=text)


# ---- times -----------------------------------------------------------------------------------


def _timing_rows(
    problems: Mapping[str, Mapping[str, float]], libraries: Iterable[str], say: Messages
) -> list[list[str]]:
    """Milliseconds of each library; then PyTorch's and the best peer's over each engine's."""
    shown = [name for name in libraries if any(name in times for times in problems.values())]
    engines = [name for name in ENGINES if name in shown]
    others = [name for name in shown if name in PEERS]
    against = ("torch", "best") if len(others) > 1 else ("torch",)
    pairs = [(of, engine) for of in against for engine in engines]
    pairs = [pair for pair in pairs if any(_ratio(t, *pair) for t in problems.values())]
    header = [say("bench_problem"), *(LIBRARIES[name].title for name in shown)]
    rows = [[*header, *(say(f"bench_over_{of}", engine=engine) for of, engine in pairs)]]
    for problem, times in problems.items():
        cells = [f"{times[name]:.3g}" if name in times else "" for name in shown]
        ratios = [_ratio(times, *pair) for pair in pairs]
        rows.append([problem, *cells, *(f"{ratio:.2f}" if ratio else "" for ratio in ratios)])
    if not pairs:
        return rows
    columns = [
        [ratio for times in problems.values() if (ratio := _ratio(times, *pair))] for pair in pairs
    ]
    blank = [""] * len(shown)
    for key, reduce in (("bench_mean", geometric_mean), ("bench_least", min)):
        rows.append([say(key), *blank, *(f"{reduce(column):.2f}" for column in columns)])
    return rows


def _ratio(times: Mapping[str, float], of: str, engine: str) -> float | None:
    other = best_peer(times) if of == "best" else of
    if other is None or other not in times or engine not in times:
        return None
    return times[other] / times[engine]


# ---- figures ---------------------------------------------------------------------------------


def _figure_rows(record: Record, say: Messages) -> list[list[str]]:
    rows = [[say(f"bench_{name}") for name in ("figure", "threads", "reached", "needed")]]
    rows[0] += [say("bench_verdict"), say("bench_where")]
    for figure in figures(record):
        sign = "<=" if figure.at_most else ">="
        rows.append([
            say(f"bench_figure_{figure.key}"),
            str(figure.threads or ""),
            "" if figure.reached is None else number(figure.reached),
            f"{sign} {number(figure.needed)}",
            say(verdict(figure)),
            figure.where,
        ])  # fmt: skip
    return rows


def verdict(figure: Figure) -> str:
    """Give the key of the word on a figure."""
    if figure.holds is None:
        return "bench_not_measured"
    return "bench_holds" if figure.holds else "bench_misses"


def number(value: float) -> str:
    """Write a figure short: errors in scientific form, all else with two decimals.

    Examples
    --------
    >>> from npconv.bench.report import number
    >>> number(5e-5), number(1.254), number(123.4)
    ('5.0e-05', '1.25', '123')
    """
    if 0 < abs(value) < 1e-2:
        return f"{value:.1e}"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"


# ---- npconv alone ----------------------------------------------------------------------------


def _examined(record: Record, say: Messages) -> Iterator[Section]:
    """Show how auto chose, what erred, and what memory it took."""
    for engine in ENGINES:
        for what, line in (
            ("choice", _choice_row), ("call", _choice_row), ("memory", _memory_row)
        ):  # fmt: skip
            found = [
                row for row in record["examined"] if (row["what"], row["engine"]) == (what, engine)
            ]
            if found:
                title = say(f"bench_{what}", engine=engine, threads=found[0]["threads"])
                columns = "memory" if what == "memory" else "choice"
                header = say(f"bench_{columns}_columns").split("|")
                yield Section(title, [header, *map(line, found)], range(2, len(header)))
    held = [row for row in record["results"] if row["group"] == "held"]
    if held:
        rows = [
            [LIBRARIES[row["library"]].title, str(row["threads"]), f"{1e3 * row['median']:.1f}"]
            for row in held
        ]
        header = [say("bench_engine"), say("bench_threads"), say("bench_microseconds")]
        yield Section(say("bench_held"), [header, *rows], (1, 2))


def _choice_row(row: Mapping[str, Any]) -> list[str]:
    times = row["milliseconds"]
    best = min(times, key=times.__getitem__)
    return [
        row["problem"], row["direction"], row["auto"], best,
        f"{times[row['auto']] / times[best]:.2f}",
        f"{max(row['errors'].values()):.1e}", f"{max(row['of_bound'].values()):.2f}",
    ]  # fmt: skip


def _memory_row(row: Mapping[str, Any]) -> list[str]:
    amounts = (row["arrays"], row["stated"], row["resident"])
    mebibytes = ["" if amount is None else f"{amount / 2**20:.2f}" for amount in amounts]
    return [row["problem"], row["direction"], row["algorithm"], *mebibytes]
