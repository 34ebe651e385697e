"""The picture of a record: rooflines above, ratios of every layer as bars below.

As in the report of the demonstration only ASCII goes into it; its caption explains it in
the reader's language.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from npconv.bench.layers import LAYERS, flops
from npconv.bench.ratios import Record, best_peer, medians
from npconv.bench.targets import rate
from npconv.demo.canvas import BLUE, INK, ORANGE, RULE, SOFT, draw
from npconv.problem import ConvProblem

GREY = "#a7b0b8"
OTHER = "fastest peer, where it is not PyTorch"
# library: (name, colour, marker)
MARKS = {
    "torch": ("PyTorch", GREY, "s"),
    "numpy": ("npconv, NumPy engine", ORANGE, "o"),
    "compiled": ("npconv, compiled engine", BLUE, "o"),
}


def picture(record: Record) -> bytes:
    """Draw a record as a PNG: a column for each number of threads.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    threads = record["threads"]
    times = medians(record)
    panels = {}
    for direction in ("forward", "backward"):
        timed = {name for _, name, its, _ in times if its == direction}
        panels[direction] = [name for name in LAYERS if name in timed]
    panels = {direction: names for direction, names in panels.items() if names}
    heights = [3.6, *(0.7 + 0.23 * len(names) for names in panels.values())]

    def paint(figure: Any) -> None:
        grid = {"height_ratios": heights, "hspace": 0.85 / (sum(heights) / len(heights))}
        axes = figure.subplots(
            len(heights), len(threads), squeeze=False, gridspec_kw={**grid, "wspace": 0.24}
        )
        figure.subplots_adjust(top=1 - 0.75 / figure.get_figheight())
        for column, count in enumerate(threads):
            _roofline(axes[0][column], record, count)
            for row, (direction, names) in enumerate(panels.items(), start=1):
                found = {n: times.get(("layers", n, direction, count), {}) for n in names}
                _bars(axes[row][column], found, f"{direction}, {_threads(count)}")
        _legend(figure)

    return draw(5.6 * len(threads), 0.9 * len(heights) + sum(heights), paint, dpi=110)


def _legend(figure: Any) -> None:
    """One legend for all, above them."""
    found: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    figure.legend(found.values(), found.keys(), loc="upper center", ncols=4, fontsize=9,
                  bbox_to_anchor=(0.5, 1 - 0.12 / figure.get_figheight()))  # fmt: skip


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _intensity(name: str) -> float:
    """Divide a layer's operations by the bytes that must move at least: all arrays once."""
    x, w, options = LAYERS[name]
    y = ConvProblem.of(x, w, **options).output_shape
    return flops(name) / (4 * sum(map(math.prod, (x, w, y))))


def _roofline(axes: Any, record: Record, threads: int) -> None:
    """Operations per second over operations per byte, under what the machine can do."""
    sgemm, copy = (rate(record, "machine", what, threads) for what in ("sgemm", "copy"))
    reach = [_intensity(name) for name in LAYERS]
    left, right = 0.6 * min(reach), 1.7 * max(reach)
    if sgemm and copy:
        ridge = sgemm / copy
        axes.plot(
            [left, ridge, right], [1e-9 * left * copy, 1e-9 * sgemm, 1e-9 * sgemm],
            color=INK, lw=1.2,
        )  # fmt: skip
        roofs = f"roofs: {1e-9 * sgemm:.0f} GFLOP/s, {1e-9 * copy:.0f} GB/s"
        axes.text(0.03, 0.96, roofs, transform=axes.transAxes, va="top", fontsize=8, color=INK)
    times = medians(record)
    for library, (name, colour, marker) in MARKS.items():
        points = [
            (_intensity(layer), 1e-6 * flops(layer) / its[library])
            for layer in LAYERS
            if library in (its := times.get(("layers", layer, "forward", threads), {}))
        ]
        if points:
            axes.scatter(*zip(*points, strict=True), s=22, color=colour, marker=marker,
                         label=name, alpha=0.85, linewidths=0, zorder=3)  # fmt: skip
    axes.set(xscale="log", yscale="log", xlim=(left, right), ylabel="GFLOP/s")
    axes.set_xlabel("FLOP per byte (each array moved once)")
    axes.set_title(f"roofline, forward, {_threads(threads)}", loc="left")
    axes.grid(color=RULE, lw=0.5, which="major")


def _bars(axes: Any, found: Mapping[str, Mapping[str, float]], title: str) -> None:
    """PyTorch's time over each engine's; a mark where the best peer stands."""
    for row, times in enumerate(found.values()):
        if "torch" not in times:
            continue
        for offset, library in ((-0.19, "compiled"), (0.19, "numpy")):
            if library in times:
                ratio = times["torch"] / times[library]
                name, colour, _ = MARKS[library]
                axes.barh(row + offset, ratio - 1, 0.36, left=1, color=colour, label=name)
        best = best_peer(times)
        if best is not None and best != "torch":
            place = times["torch"] / times[best]
            axes.plot([place] * 2, [row - 0.42, row + 0.42], color=INK, lw=1.6, label=OTHER)
    axes.axvline(1, color=SOFT, lw=0.8)
    axes.set_xscale("log")
    ticks = [0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32]
    low, high = axes.get_xlim()
    axes.set_xticks([tick for tick in ticks if low <= tick <= high] or [1])
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.minorticks_off()
    axes.set_yticks(range(len(found)), found, fontsize=8)
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.grid(axis="x", color=RULE, lw=0.5)
    axes.set_axisbelow(True)
    axes.set_title(title, loc="left")
    axes.set_xlabel("PyTorch's time / npconv's (above 1: npconv is faster)")
