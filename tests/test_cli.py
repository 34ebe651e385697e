"""The command line: every command in both languages, its data, its errors, its status."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from string import Formatter
from typing import Any

import numpy as np
import pytest

from npconv import cli, core, plan_conv
from npconv.cli import check, program
from npconv.cli.parser import wrapped
from npconv.cli.terminal import aligned, plain, width
from npconv.demo.kernels import KERNELS
from npconv.messages import CATALOGUES, LANGUAGES, Messages, UserError, ko, language_of_locale

HANGUL = re.compile("[가-힣]")
COMMANDS = tuple(program.COMMANDS)


@pytest.fixture(autouse=True)
def _english_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")


def run(*arguments: str | Path) -> int:
    return cli.main([str(argument) for argument in arguments])


def data(capsys: pytest.CaptureFixture[str]) -> Any:
    def refuse(name: str) -> None:
        raise AssertionError(f"JSON has no {name}")

    return json.loads(capsys.readouterr().out, parse_constant=refuse)


# ---- languages -----------------------------------------------------------------------------


def test_the_catalogues_have_the_same_keys_and_placeholders() -> None:
    def placeholders(text: str) -> set[str]:
        return {field.split("!")[0] for _, field, _, _ in Formatter().parse(text) if field}

    english, korean = CATALOGUES["en"], CATALOGUES["ko"]
    assert english.keys() == korean.keys()
    for key, text in english.items():
        assert placeholders(text) == placeholders(korean[key]), key


def test_korean_texts_are_korean() -> None:
    same = {"error", "column_agreement", "r_count"}
    for key, text in CATALOGUES["ko"].items():
        assert key in same or HANGUL.search(text), key
        assert not HANGUL.search(CATALOGUES["en"][key]), key


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "ko"}, "ko"),
        ({"LC_ALL": "en_US.UTF-8", "LANG": "ko_KR.UTF-8"}, "en"),
        ({"LC_ALL": "", "LC_MESSAGES": "ko_KR.eucKR", "LANG": "C"}, "ko"),
        ({"LANG": "kok_IN"}, "en"),  # Konkani
        ({"LANG": "C"}, "en"),
    ],
)
def test_the_locale_chooses_the_language(variables: dict[str, str], language: str) -> None:
    assert language_of_locale(variables) == language


def test_the_option_outranks_the_locale(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LC_ALL", "ko_KR.UTF-8")
    assert run("filter", "--list") == 0
    assert HANGUL.search(capsys.readouterr().out)
    assert run("--lang", "en", "filter", "--list") == 0
    assert not HANGUL.search(capsys.readouterr().out)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_is_in_the_readers_language_with_examples(
    command: str | None, language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*filter(None, [command]), "--help", "--lang", language) == 0
    shown = capsys.readouterr().out
    assert f"  npconv {command or 'demo'}" in shown
    assert bool(HANGUL.search(shown)) == (language == "ko")
    if language == "ko":
        assert not re.search("usage|options|positional|show this", shown)


def test_argparse_keeps_its_own_words_outside_of_main() -> None:
    before = vars(argparse)["_"]
    run("filter", "--list", "--lang", "ko")
    assert vars(argparse)["_"] is before


def test_argparse_still_asks_for_the_words_that_are_translated() -> None:
    source = Path(argparse.__file__).read_text("utf-8")
    missing = [words for words in ko.ARGPARSE if words not in source]
    assert not missing


def test_columns_count_the_width_of_hangul() -> None:
    assert width("합성곱 ab") == 9
    assert aligned([["가", "1"], ["abc", "22"]], right=(1,)) == ["  가     1", "  abc   22"]
    assert all(width(line) <= 20 for line in wrapped("긴 글을 폭에 맞추어 나눕니다 " * 4, 20))


# ---- check ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "word"), [("en", "holds"), ("ko", "통과")])
def test_check_shows_each_figure_and_holds(
    language: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check", "--lang", language) == 0
    shown = capsys.readouterr()
    assert shown.out.count(f" {word}\n") >= 18
    assert "Conv2dNumpy(3, 4, 3, padding=1)" in shown.out
    assert "1e-12" in shown.out
    assert not shown.err


def test_check_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "--json") == 0
    found = data(capsys)
    assert found["holds"] is True
    assert found["cases"][0]["gradients"][0]["value"] <= 1e-6
    assert found["long_sums"]["value"] < 1e-12


def test_check_fails_when_the_two_algorithms_differ(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = core.conv2d_naive
    monkeypatch.setattr(core, "conv2d_naive", lambda *a, **k: right(*a, **k) + 1e-9)
    assert run("check") == 1
    assert "FAILED" in capsys.readouterr().out


@pytest.mark.parametrize("factor", [1.001, np.nan])
def test_check_fails_when_a_gradient_is_wrong(
    factor: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = core.Conv2dNumpy.backward
    monkeypatch.setattr(core.Conv2dNumpy, "backward", lambda self, grad: factor * right(self, grad))
    assert run("check", "--json") == 1
    assert data(capsys)["holds"] is False


# ---- plan ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "word"), [("en", "algorithm"), ("ko", "알고리즘")])
def test_plan_shows_every_candidate(
    language: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("plan", "1,64,56,56", "64,64,3,3", "--padding", "1", "--lang", language) == 0
    shown = capsys.readouterr().out
    assert "(1, 64, 56, 56) * (64, 64, 3, 3) -> (1, 64, 56, 56)" in shown
    assert all(text in shown for text in (word, "naive", "im2col", "115,605,504"))


def test_plan_hands_its_options_on(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["plan", "2,8,20,21", "6x4x3x2", "--stride", "2,1", "--padding", "0:1,2:1"]
    arguments += ["--dilation", "2", "--groups", "2", "--direction", "kernel_grad"]
    arguments += ["--dtype", "float64", "--algorithm", "naive", "--workspace", "16MiB", "--json"]
    assert run(*arguments) == 0
    found = data(capsys)
    plan = plan_conv(
        (2, 8, 20, 21), (6, 4, 3, 2), stride=(2, 1), padding=((0, 1), (2, 1)), dilation=2,
        groups=2, direction="kernel_grad", dtype="float64", algorithm="naive",
    )  # fmt: skip
    assert found["output_shape"] == list(plan.choice.problem.output_shape)
    assert found["workspace_limit"] == 16 * 2**20
    assert found["error_growth"] == plan.error_growth
    named = ("direction", "dtype", "algorithm", "engine")
    assert [found[name] for name in named] == ["kernel_grad", "float64", "naive", "numpy"]


def test_plan_takes_layouts_and_names(capsys: pytest.CaptureFixture[str]) -> None:
    layouts = ("--layout", "NHWC", "--kernel-layout", "HWIO", "--padding", "same")
    assert run("plan", "1,9,9,3", "3,3,3,4", *layouts, "--json") == 0
    assert data(capsys)["output_shape"] == [1, 9, 9, 4]


# ---- errors --------------------------------------------------------------------------------

# Arguments that are wrong, whether the line comes from the catalogues, and what it tells.
WRONG: list[tuple[tuple[str, ...], bool, str]] = [
    (("benchmark",), True, "demo, check, train, filter, plan, bench"),
    (("--frobnicate",), True, "--frobnicate"),
    (("check", "extra"), True, "extra"),
    (("check", "--seed", "-1"), True, "'-1'"),
    (("check", "--lang", "fr"), False, "fr"),
    (("plan",), True, "INPUT"),
    (("plan", "1,two", "1,1"), True, "'1,two'"),
    (("plan", "1,1,9,9", "1,1,3,3", "--padding", "1:x"), True, "'1:x'"),
    (("plan", "1,1,9,9", "1,1,3,3", "--groups", "0"), True, "'0'"),
    (("plan", "1,1,9,9", "1,1,3,3", "--workspace", "lots"), True, "'lots'"),
    (("plan", "1,1,9,9", "1,1,3,3", "--stride", "0"), False, "stride"),
    (("plan", "1,1,9,9", "1,2,3,3"), False, "channels"),
    (("plan", "1,1,9,9", "1,1,3,3", "--algorithm", "magic"), False, "magic"),
    (("plan", "1,1,9,9", "1,1,3,3", "--dtype", "float99"), False, "float99"),
    (("plan", "1,1,9,9", "1,1,3,3", "--direction", "up"), False, "up"),
    (("plan", "1,1,9,9", "1,1,3,3", "--accuracy", "so-so"), False, "so-so"),
    (("filter",), True, "IMAGE"),
    (("filter", "none.png"), True, "-o OUT"),
    (("filter", "none.png", "-o", "out.png"), True, "--kernel NAME"),
    (("filter", "none.png", "--kernel", "blurr", "-o", "out.png"), True, "identity, blur"),
    (("filter", "none.png", "--weights", "1 2; 3", "-o", "out.png"), True, "'1 2; 3'"),
    (("filter", "none.png", "--weights", "1 1e999", "-o", "out.png"), True, "'1e999'"),
    (("filter", "none.png", "--weights", "1/0", "-o", "out.png"), True, "'1/0'"),
    (("filter", "none.png", "--kernel", "blur", "--list"), True, "--list"),
    (("train", "--epochs", "0"), True, "'0'"),
    (("train", "--lr", "nan"), True, "'nan'"),
    (("train", "--resume"), True, "--checkpoint"),
    (("train", "--data", "none.npz"), True, "none.npz"),
    (("train", "--out", "none/weights.npz"), True, "none"),
    (("demo", "--epochs", "some"), True, "'some'"),
    (("bench", "--layers", "r51"), False, "r50.conv1"),
    (("bench", "--layers"), False, "--layers"),
    (("bench", "--peers", "theano"), False, "onnxruntime"),
    (("bench", "--directions", "sideways"), False, "backward"),
    (("bench", "--engines", "steam"), False, "compiled"),
    (("bench", "--threads", "0"), True, "'0'"),
    (("bench", "--rounds", "few"), True, "'few'"),
    (("bench", "--show", "none.json"), True, "none.json"),
]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("arguments", "ours", "told"), WRONG, ids=str)
def test_what_is_wrong_is_one_line_and_status_2(
    arguments: tuple[str, ...],
    ours: bool,
    told: str,
    language: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if language == "ko":
        monkeypatch.setenv("LC_ALL", "ko_KR.UTF-8")
    if arguments[0] == "filter":
        pytest.importorskip("PIL", reason="pictures are read by Pillow (extra: demo)")
    assert run(*arguments) == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert re.fullmatch(r"npconv: [^\n]+\n", shown.err)
    assert told in shown.err
    if ours:
        assert bool(HANGUL.search(shown.err)) == (language == "ko")
    assert not list(tmp_path.iterdir())


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 2
    assert "npconv demo" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("npconv ")


@pytest.mark.parametrize(
    ("raised", "status"), [(KeyboardInterrupt(), 130), (MemoryError(), 2), (OSError("disk"), 2)]
)
def test_what_stops_a_command_is_one_line(
    raised: BaseException,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(*_: object) -> int:
        raise raised

    monkeypatch.setattr(check, "run", stop)
    assert run("check") == status
    assert re.fullmatch(r"npconv: [^\n]+\n", capsys.readouterr().err)


def test_json_has_no_number_for_nan() -> None:
    assert plain({"a": (np.nan, 1.0), "b": float("inf")}) == {"a": [None, 1.0], "b": None}


def test_an_error_is_english_for_those_who_catch_it() -> None:
    error = UserError("unknown_kernel", name="blurr", names="blur")
    assert str(error) == "there is no kernel 'blurr'; there are: blur"
    assert HANGUL.search(error.said(Messages("ko")))


# ---- as a process --------------------------------------------------------------------------


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
    )


def test_a_terminal_without_hangul_gets_english() -> None:
    done = process("-m", "npconv", "filter", "--list", "--lang", "ko", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert b"identity: Only the centre" in done.stdout


def test_a_terminal_of_another_encoding_gets_korean_in_it() -> None:
    done = process("-m", "npconv", "--help", LC_ALL="ko_KR.EUC-KR", PYTHONIOENCODING="euc-kr")
    assert done.returncode == 0
    assert "사용법" in done.stdout.decode("euc-kr")


def test_check_and_plan_need_numpy_alone() -> None:
    extras = ["PIL", "matplotlib", "sklearn", "scipy", "tqdm", "numba", "threadpoolctl"]
    block = f"import sys; sys.modules.update(dict.fromkeys({extras}));"
    code = "from npconv.cli import main; sys.exit(main(['check']) + main(['filter', '--list']))"
    done = process("-c", block + code)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no broken pipes of this kind")
def test_a_reader_that_leaves_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "npconv", "filter", "--list"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False, timeout=120)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot send Ctrl-C to one process")
def test_ctrl_c_while_training_is_clean() -> None:
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn (extra: demo)")
    command = [sys.executable, "-u", "-m", "npconv", "train", "--epochs", "1000", "--lang", "en"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.readline()  # it begins
        running.stdout.readline()
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    assert (running.returncode, errors) == (130, b"npconv: interrupted\n")


# ---- extras --------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "words"), [("en", "not installed"), ("ko", "필요합니다")])
def test_a_missing_extra_says_what_to_install(
    language: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for module in ("PIL", "PIL.Image"):
        monkeypatch.setitem(sys.modules, module, None)
    arguments = ("filter", "a.png", "--kernel", "blur", "-o", tmp_path / "b.png")
    assert run(*arguments, "--lang", language) == 2
    shown = capsys.readouterr().err
    assert "Pillow" in shown
    assert 'pip install "npconv[demo]"' in shown
    assert words in shown


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_list_of_kernels(language: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("filter", "--list", "--lang", language) == 0
    shown = capsys.readouterr().out
    assert all(f"{name}: " in shown for name in KERNELS)
    assert run("filter", "--list", "--json") == 0
    assert data(capsys)["kernels"]["sobel-x"]["weights"] == [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
