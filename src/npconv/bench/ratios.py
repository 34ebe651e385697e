"""Ratios of medians: what a record says, before it is held against anything."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from npconv.bench.libraries import PEERS

Record = Mapping[str, Any]
Key = tuple[str, str, str, int]  # group, problem, direction, threads


def geometric_mean(values: Iterable[float]) -> float | None:
    """Mean of ratios: the root of their product; None of nothing.

    Examples
    --------
    >>> from npconv.bench.ratios import geometric_mean
    >>> geometric_mean([0.5, 2.0]), geometric_mean([2.0, 8.0]), geometric_mean([])
    (1.0, 4.0, None)
    """
    logarithms = [math.log(value) for value in values]
    return math.exp(math.fsum(logarithms) / len(logarithms)) if logarithms else None


def medians(record: Record) -> dict[Key, dict[str, float]]:
    """Give milliseconds by library for everything that was timed, in its order."""
    found: dict[Key, dict[str, float]] = {}
    for row in record["results"]:
        key = (row["group"], row["problem"], row["direction"], row["threads"])
        found.setdefault(key, {})[row["library"]] = row["median"]
    return found


def best_peer(times: Mapping[str, float]) -> str | None:
    """Name the fastest peer.

    Examples
    --------
    >>> from npconv.bench.ratios import best_peer
    >>> best_peer({"compiled": 1.0, "torch": 3.0, "ncnn": 2.0})
    'ncnn'
    """
    return min((name for name in times if name in PEERS), key=times.__getitem__, default=None)


def over(
    record: Record, ours: str, theirs: str, group: str, direction: str, threads: int
) -> dict[str, float]:
    """Divide their time by ours on each problem: above 1, npconv is faster.

    ``theirs`` is a library, or "best": the fastest peer of each problem.
    """
    found = {}
    for (its_group, problem, its_direction, its_threads), times in medians(record).items():
        if (its_group, its_direction, its_threads) != (group, direction, threads):
            continue
        other = best_peer(times) if theirs == "best" else theirs
        if ours in times and other in times and other is not None:
            found[problem] = times[other] / times[ours]
    return found


def quantile(values: Iterable[float], share: float) -> float | None:
    """Give the value below which a share of all lies, between neighbours linearly.

    Examples
    --------
    >>> from npconv.bench.ratios import quantile
    >>> quantile([3.0, 1.0, 2.0], 0.5), quantile([1.0, 2.0], 0.75)
    (2.0, 1.75)
    """
    ordered = sorted(values)
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
