"""`npconv bench`: the command, its processes and its rounds; no figure is asserted."""

from __future__ import annotations

import io
import json
import re
from importlib import util
from pathlib import Path
from typing import Any, ClassVar

import pytest

import npconv
from npconv import cli
from npconv.bench import libraries, run, worker
from npconv.bench.client import Client, WorkerError
from npconv.bench.everyday import EVERYDAY
from npconv.bench.layers import LAYERS
from npconv.bench.tasks import Task, layer_task

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
    assert [row["what"] for row in record["examined"]] == (
        ["choice"] * 3 + ["call"] * 2 + ["memory"] * 3
    )
    for row in record["examined"][:5]:
        assert row["auto"] in row["milliseconds"]
        assert "direct" not in row["milliseconds"]  # of the compiled engine
        assert all(0 < error < 5e-5 for error in row["errors"].values())
        assert all(0 < part <= 1 for part in row["of_bound"].values())
    for row in record["examined"][5:]:
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

    idle, idle_cpu = 1.0, 0.0
    asked: ClassVar[list[tuple[str, str]]] = []

    def __init__(
        self, library: str, fingerprint: list[float], seconds: list[float], threads: int = 1
    ) -> None:
        self.library, self.fingerprint, self.seconds = library, fingerprint, iter(seconds)
        self.threads = threads

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


def test_what_is_compared_takes_turns() -> None:
    """Both numbers of threads; direct summation and the machine's matrix product."""
    names = ("numpy", "compiled")
    wanted = run.Wanted(("vgg.3_2",), names, ("forward",), (1, 2), rounds=2, examine=True)
    session = run._Session(wanted, lambda *line: pytest.fail(str(line)))
    fakes = [FakeClient(name, [2.0, 1.0], [0.002] * 4, threads=2) for name in names]
    fewer = FakeClient("compiled", [2.0, 1.0], [0.003, 0.003])
    session.fewer = {"compiled": fewer}  # type: ignore[dict-item]
    clients: dict[str, Any] = {fake.library: fake for fake in fakes}
    jobs = {job.group: job for job in run.jobs(wanted, 2)}
    session.do(jobs["scaling"], clients, 2)
    session.do(jobs["direct"], clients, 2)
    found = [(row["group"], row["library"], row["threads"]) for row in session.results]
    assert found == [
        ("scaling", "compiled", 2), ("scaling", "compiled", 1),
        ("direct", "compiled", 2), ("direct", "numpy", 2),
    ]  # fmt: skip
    assert [row["median"] for row in session.results] == [2, 3, 2, 2]


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
        "held": 1, "choice": 66, "call": 44,
    }  # fmt: skip
    assert "memory" in {job.group for job in jobs[2]}
    scaling = [job for job in jobs[2] if job.group == "scaling"]
    assert {job.fewer for job in scaling} == {1}
    assert {"vgg.5", "demo.8x8"} & {job.task.name for job in scaling} == {"vgg.5"}
    assert by_group["direct"][0].tasks["numpy"].kind == "sgemm"
    alone = run.jobs(wanted._replace(libraries=("numpy", "torch")), 2)
    assert not {"direct", "scaling"} & {job.group for job in alone}
    assert by_group["layers"][0].libraries == tuple(libraries.LIBRARIES)
    assert "ncnn" not in by_group["layers"][-1].libraries  # it has no gradients
    assert by_group["everyday"][0].libraries == ("numpy", "compiled", "torch")
