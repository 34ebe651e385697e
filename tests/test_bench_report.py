"""What `npconv bench` says of a record: ratios, figures, losses and troubles."""

from __future__ import annotations

import json
from typing import Any

import pytest

from npconv.bench import libraries, run
from npconv.bench.layers import LAYERS, flops
from npconv.bench.ratios import geometric_mean, medians, over
from npconv.bench.report import sections
from npconv.bench.targets import Figure, figures
from npconv.cli import bench
from npconv.messages import CATALOGUES, LANGUAGES, Messages
from requote import ROOT

RESULTS = ROOT / "benchmarks" / "results"


def record(**times: dict[str, float]) -> dict[str, Any]:
    """A record of layers, forward and backward, on one and two threads."""
    results = [
        {"group": "layers", "problem": problem.replace("_", ".", 1), "direction": direction,
         "threads": threads, "library": library, "median": median, "milliseconds": [median],
         "detail": ""}
        for problem, medians in times.items()
        for direction in ("forward", "backward")
        for threads in (1, 2)
        for library, median in medians.items()
    ]  # fmt: skip
    machine = {"cpu": "a processor", "cores": 2, "system": "Linux", "python": "3", "numpy": "2"}
    return {
        "format": run.FORMAT, "machine": {**machine, "date": "today"}, "minutes": 1, "rounds": 7,
        "threads": [1, 2], "versions": dict.fromkeys(libraries.LIBRARIES, "1"), "missing": {},
        "troubles": [{"kind": "failed", "library": "ncnn", "text": "why"}],
        "idle": {"torch 2": 0.5}, "others": 1.5, "results": results, "examined": [],
    }  # fmt: skip


SAMPLE = record(
    vgg_5={"numpy": 4.0, "compiled": 1.0, "torch": 3.0, "ncnn": 2.0},
    demo_8x8={"numpy": 0.02, "compiled": 0.01, "torch": 0.08, "ncnn": 0.005},
)


def test_ratios_are_of_the_right_two() -> None:
    assert over(SAMPLE, "compiled", "torch", "layers", "forward", 1) == {
        "vgg.5": 3.0,
        "demo.8x8": 8.0,
    }
    assert over(SAMPLE, "compiled", "best", "layers", "forward", 2) == {
        "vgg.5": 2.0,
        "demo.8x8": 0.5,
    }
    assert geometric_mean([2.0, 0.5, 8.0]) == pytest.approx(2.0)
    assert len(medians(SAMPLE)) == 8


def test_figures_say_what_was_reached_and_what_was_not() -> None:
    found = {(figure.key, figure.threads): figure for figure in figures(SAMPLE)}
    mean = found["compiled_forward", 1]
    assert mean.reached == pytest.approx(1.0)
    assert (mean.needed, mean.holds) == (1.25, False)
    worst = found["compiled_forward_worst", 1]  # a short call, so of the lower floor
    assert (worst.where, worst.reached, worst.needed) == ("demo.8x8", 0.5, 0.8)
    assert found["compiled_backward", 2].holds
    assert found["numpy_forward", 2].needed == 1.1
    held = found["held", 1]
    assert (held.reached, held.at_most, held.holds) == (10.0, True, False)
    assert found["scaling_forward", 2].reached is None
    assert found["training", 1].holds is None
    assert all(f"bench_figure_{figure.key}" in CATALOGUES["en"] for figure in found.values())


def test_threads_and_sgemm_are_compared_with_what_took_turns() -> None:
    def row(group: str, library: str, threads: int, median: float, detail: str) -> dict[str, Any]:
        return {
            "group": group, "problem": "vgg.3_2", "direction": "forward", "threads": threads,
            "library": library, "median": median, "detail": detail,
        }  # fmt: skip

    products = f"{flops('vgg.3_2'):.0f}"
    rows = [
        row("scaling", "compiled", 1, 30.0, "direct"),
        row("scaling", "compiled", 2, 15.0, "direct"),
        row("direct", "compiled", 1, 40.0, "direct"),
        row("direct", "numpy", 1, 30.0, products),
    ]
    found = {(each.key, each.threads): each for each in figures({**SAMPLE, "results": rows})}
    assert found["scaling_forward", 2].reached == pytest.approx(2.0)
    assert found["direct_share", 1].reached == pytest.approx(0.75)


def test_every_text_of_a_figure_is_used() -> None:
    keys = {key for key in CATALOGUES["en"] if key.startswith("bench_figure_")}
    assert keys == {f"bench_figure_{figure.key}" for figure in figures(SAMPLE)}


def test_a_limit_is_held_from_below() -> None:
    assert Figure("held", 8.0, 8.0, at_most=True).holds
    assert not Figure("held", 8.1, 8.0, at_most=True).holds


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_report_shows_losses_and_troubles(language: str) -> None:
    text = "\n".join(bench.lines(SAMPLE, Messages(language)))
    missed, failed = {"en": ("MISSED", "FAILED"), "ko": ("미달", "실패")}[language]
    for words in (missed, failed, "vgg.5", "a processor", "torch 2: 50 %", "1.50", "0.50"):
        assert words in text, words
    assert all(
        len(set(map(len, section.rows))) == 1 for section in sections(SAMPLE, Messages("en"))
    )


def test_a_whole_picture_is_drawn() -> None:
    pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib (extra: bench)")
    from npconv.bench.picture import picture

    assert picture(SAMPLE).startswith(b"\x89PNG")


# ---- what is recorded in the repository ------------------------------------------------------


@pytest.mark.skipif(not (RESULTS / "bench.json").exists(), reason="make bench was not run yet")
def test_the_recorded_text_is_of_the_recorded_data() -> None:
    recorded = bench.read(str(RESULTS / "bench.json"))
    text = "\n".join(bench.lines(recorded, Messages("en"))).rstrip() + "\n"
    assert (RESULTS / "bench.txt").read_text("utf-8") == text
    found = json.loads(json.dumps([figure.as_dict() for figure in figures(recorded)]))
    assert recorded["figures"] == found
    timed = {problem for group, problem, *_ in medians(recorded) if group == "layers"}
    assert timed == LAYERS.keys()
