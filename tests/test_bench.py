"""`npconv bench`: what it measures is real, what it says is right; no figure is asserted."""

from __future__ import annotations

import io
import json
import re
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import npconv
from npconv import cli
from npconv.bench import libraries, run, worker
from npconv.bench.adapters.ours import prepare
from npconv.bench.client import Client, WorkerError
from npconv.bench.everyday import EVERYDAY
from npconv.bench.layers import LAYERS
from npconv.bench.networks import TRAINING, Residual
from npconv.bench.ratios import geometric_mean, medians, over
from npconv.bench.report import sections
from npconv.bench.targets import Figure, figures
from npconv.bench.tasks import Task, agree, fingerprint, layer_task, operands
from npconv.cli import bench
from npconv.messages import CATALOGUES, LANGUAGES, Messages
from npconv.nn import Conv2d, ReLU, Sequential
from requote import ROOT

RESULTS = ROOT / "benchmarks" / "results"
HANGUL = re.compile("[가-힣]")


@pytest.fixture(autouse=True)
def _english_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")


# ---- the command, as a user runs it --------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one small run has written its files."""
    path = tmp_path_factory.mktemp("bench") / "results"
    arguments = ["bench", "--layers", "demo.8x8", "--peers", "--engines", "numpy", "--quick"]
    arguments += ["--threads", "1", "--examine", "--lang", "en", "--output", str(path)]
    assert cli.main(arguments) == 0
    return path


def test_a_record_says_what_was_measured(folder: Path) -> None:
    record = json.loads((folder / "bench.json").read_text("utf-8"))
    assert record["format"] == run.FORMAT
    assert record["versions"] == {"numpy": npconv.__version__}
    assert {"cpu", "cores", "date", "python", "numpy"} <= record["machine"].keys()
    assert (record["rounds"], record["threads"], record["troubles"]) == (1, [1], [])
    timed = [(row["group"], row["problem"], row["direction"]) for row in record["results"]]
    assert timed == [
        ("layers", "demo.8x8", "forward"),
        ("layers", "demo.8x8", "backward"),
        ("machine", "sgemm", "forward"),
        ("machine", "copy", "forward"),
        ("held", "demo.8x8", "forward"),
    ]
    for row in record["results"]:
        assert len(row["milliseconds"]) == 1
        assert row["median"] > 0
    assert [row["what"] for row in record["examined"]] == ["choice"] * 3 + ["memory"] * 3
    for row in record["examined"][:3]:
        assert row["auto"] in row["milliseconds"]
        assert "direct" not in row["milliseconds"]  # of the compiled engine
        assert all(0 < error < 5e-5 for error in row["errors"].values())
        assert all(0 < part <= 1 for part in row["of_bound"].values())
    for row in record["examined"][3:]:
        assert 0 < row["arrays"] <= row["stated"]


def test_what_was_recorded_is_shown_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "bench.json"
    assert cli.main(["bench", "--show", str(path), "--lang", "en"]) == 0
    assert capsys.readouterr().out.rstrip() == (folder / "bench.txt").read_text("utf-8").rstrip()
    assert cli.main(["bench", "--show", str(path), "--lang", "ko"]) == 0
    assert HANGUL.search(capsys.readouterr().out)
    assert cli.main(["bench", "--show", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(path.read_text("utf-8"))


def test_a_picture_is_drawn_where_matplotlib_is(folder: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib (extra: bench)")
    assert (folder / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_who_is_not_installed_is_left_out_with_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _forget(monkeypatch, "torch", "numba")
    arguments = ["bench", "--layers", "demo.8x8", "--peers", "torch", "--threads", "1", "--quick"]
    assert cli.main([*arguments, "--directions", "forward"]) == 0
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [
        "compiled engine is left out, for it is not installed; it needs: numba",
        "PyTorch is left out, for it is not installed; it needs: torch",
    ]
    assert "NumPy engine" in shown.out
    assert "PyTorch is left out" in shown.out


def test_nobody_to_time_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _forget(monkeypatch, "numba")
    assert cli.main(["bench", "--engines", "compiled", "--peers"]) == 2
    assert re.fullmatch("npconv: nothing can be timed.*compiled.*\n", capsys.readouterr().err)


def _forget(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    there = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name in packages else there(name))


def test_files_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.json"
    for content, words in (("[]", "no record"), ("{", "cannot be read")):
        path.write_text(content, "utf-8")
        assert cli.main(["bench", "--show", str(path)]) == 2
        assert words in capsys.readouterr().err
    assert cli.main(["bench", "--output", str(path), "--layers", "demo.8x8"]) == 2
    assert "directory is needed" in capsys.readouterr().err


# ---- processes -----------------------------------------------------------------------------


def test_a_worker_answers_line_by_line() -> None:
    requests = [
        {"do": "time", "at_least": 0},
        {"do": "prepare", "task": Task("conv", "wrong", (1, 2, 4, 4), (1, 1, 3, 3))._asdict()},
        {"do": "prepare", "task": layer_task("demo.8x8")._asdict()},
        {"do": "time", "at_least": 0},
        {"do": "time", "at_least": "long"},
    ]
    replies = io.StringIO()
    lines = io.StringIO("\n".join(map(json.dumps, requests)) + "\n")
    worker.serve(worker.Worker("numpy", 1), lines, replies)
    found = [json.loads(line) for line in replies.getvalue().splitlines()]
    assert found[0]["refused"] == "nothing was prepared"
    assert "channels" in found[1]["refused"]
    assert len(found[2]["fingerprint"]) == 2
    assert found[3]["seconds"] > 0
    assert found[4]["failed"].startswith("TypeError")


def test_a_worker_that_dies_is_reported_and_starts_again() -> None:
    with Client("numpy", 1) as client:
        assert client.ask("hello")["version"] == npconv.__version__
        with pytest.raises(WorkerError, match="AttributeError"):
            client.ask("no_such_thing")
        assert client.ask("hello")["version"] == npconv.__version__


def test_a_worker_has_the_threads_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("NPCONV_ACCURACY", "strict")
    variables = libraries.environment("numpy", 2)
    assert variables["OMP_NUM_THREADS"] == variables["NPCONV_NUM_THREADS"] == "2"
    assert variables["NPCONV_ENGINE"] == "numpy"
    assert not {"OPENBLAS_CORETYPE", "NPCONV_ACCURACY"} & variables.keys()
    assert "NPCONV_ENGINE" not in {
        key: value for key, value in libraries.environment("torch", 2).items() if value == "torch"
    }


# ---- rounds --------------------------------------------------------------------------------


class FakeClient:
    """A library whose replies are written down here."""

    threads, idle, idle_cpu = 1, 1.0, 0.0
    asked: list[tuple[str, str]]

    def __init__(self, library: str, fingerprint: list[float], seconds: list[float]) -> None:
        self.library, self.fingerprint, self.seconds = library, fingerprint, iter(seconds)

    def ask(self, do: str, **_: Any) -> dict[str, Any]:
        FakeClient.asked.append((do, self.library))
        if do == "prepare":
            return {"detail": "", "fingerprint": self.fingerprint}
        seconds = next(self.seconds, None)
        return (
            {"failed": "out of order"}
            if seconds is None
            else {"seconds": seconds, "processors": 1.0}
        )


def test_rounds_alternate_and_medians_count() -> None:
    told: list[tuple[str, str, str]] = []
    names = ("numpy", "torch", "ncnn")
    wanted = run.Wanted(("demo.8x8",), names, ("forward",), (1,), rounds=3)
    session = run._Session(wanted, lambda *line: told.append(line))
    fakes = [
        FakeClient("numpy", [2.0, 1.0], [0.003, 0.001, 0.002]),
        FakeClient("torch", [2.0, 1.9], [0.004, 0.004, 0.004]),
        FakeClient("ncnn", [2.0, 1.0], [0.005, 0.005]),
    ]
    clients: dict[str, Any] = {fake.library: fake for fake in fakes}
    (job,) = run.jobs(wanted, 1)
    FakeClient.asked = []
    session.do(job, clients, 1)
    order = [library for do, library in FakeClient.asked if do == "time"]
    assert order == [*names, *reversed(names), *names]
    assert {row["library"]: row["median"] for row in session.results} == {"numpy": 2, "torch": 4}
    assert [(kind, library) for kind, library, _ in told] == [
        ("differs", "torch"),
        ("failed", "ncnn"),
    ]


def test_everyone_is_asked_for_what_they_have() -> None:
    wanted = run.Wanted(
        tuple(LAYERS), tuple(libraries.LIBRARIES), ("forward", "backward"), (1, 2),
        everyday=True, training=True, examine=True,
    )  # fmt: skip
    jobs = {threads: run.jobs(wanted, threads) for threads in wanted.threads}
    assert run.count(wanted) == sum(map(len, jobs.values()))
    by_group: dict[str, list[run.Job]] = {}
    for job in jobs[1]:
        by_group.setdefault(job.group, []).append(job)
    assert {group: len(found) for group, found in by_group.items()} == {
        "layers": 44, "everyday": len(EVERYDAY), "training": 2, "machine": 2, "direct": 3,
        "held": 1, "choice": 66,
    }  # fmt: skip
    assert "memory" in {job.group for job in jobs[2]}
    assert by_group["layers"][0].libraries == tuple(libraries.LIBRARIES)
    assert "ncnn" not in by_group["layers"][-1].libraries  # it has no gradients
    assert by_group["everyday"][0].libraries == ("numpy", "compiled", "torch")


# ---- problems ------------------------------------------------------------------------------


def test_the_tables_are_as_large_as_they_should_be() -> None:
    assert len(LAYERS) == 22
    assert len(EVERYDAY) >= 20
    kinds = {task.kind for task in EVERYDAY.values()}
    assert kinds == {"conv", "transpose", "max_pool", "avg_pool"}
    dtypes = {task.dtype for task in EVERYDAY.values()}
    assert dtypes == {"float16", "float32", "float64", "int64"}
    assert {len(task.input) for task in EVERYDAY.values()} == {3, 4, 5}


@pytest.mark.parametrize(
    "name", ["i64.photo", "1d.dw31", "3d.1x1x1", "up.2x2s2", "max.1d", "avg.all"]
)
def test_the_call_that_is_timed_does_the_task(name: str) -> None:
    task = EVERYDAY[name]
    call = prepare(task, 1)
    (result,) = call.arrays(call.run())
    arrays = operands(task)
    function = getattr(npconv, task.kind.replace("transpose", "conv_transpose"))
    if task.kind.endswith("pool"):
        expected = function(*arrays, task.kernel, **task.options)
    else:
        expected = function(*arrays, algorithm="im2col", **task.options)
    assert agree(fingerprint([result]), fingerprint([expected]), task.dtype)


def test_backward_gives_all_three_gradients() -> None:
    call = prepare(layer_task("demo.8x8", "backward"), 1)
    shapes = [array.shape for array in call.arrays(call.run())]
    assert shapes == [(2, 3, 8, 8), (4, 3, 3, 3), (4,)]


def test_another_result_has_another_fingerprint() -> None:
    array = np.random.default_rng(0).standard_normal((1, 2, 5, 5))
    mine = fingerprint([array])
    assert agree(mine, fingerprint([array * (1 + 1e-6)]), "float32")
    for other in (array[..., ::-1], array.swapaxes(2, 3), 1.01 * array):
        assert not agree(mine, fingerprint([other]), "float32")
    assert not agree(mine, fingerprint([array, array]), "float32")


def test_a_training_step_trains() -> None:
    call = prepare(TRAINING["digits"], 1)
    first = call.run()
    assert min(call.run() for _ in range(10)) < first


def test_a_residual_block_has_the_gradients_of_both_ways() -> None:
    rng = np.random.default_rng(0)
    body = Sequential(Conv2d(2, 2, 3, padding=1, dtype="float64", rng=rng), ReLU())
    block = Residual(body, Sequential(Conv2d(2, 2, 1, dtype="float64", rng=rng)))
    x = rng.standard_normal((1, 2, 4, 4))
    dy = rng.standard_normal(block.forward(x).shape)
    dx = block.backward(dy)
    for array, gradient in [(x, dx)] + [
        (block.parameters()[name], block.gradients()[name]) for name in block.parameters()
    ]:
        numeric = npconv.numerical_gradient(lambda: float((block.forward(x) * dy).sum()), array)
        assert np.allclose(gradient, numeric, atol=1e-6)


# ---- what a record says --------------------------------------------------------------------


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
    assert found["scaling_forward", 2].reached == pytest.approx(1.0)
    assert found["training", 1].holds is None
    assert all(f"bench_figure_{figure.key}" in CATALOGUES["en"] for figure in found.values())


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
