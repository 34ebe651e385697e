"""The demo: its pictures and its report, in both languages."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npconv import cli, col2im, conv2d, im2col
from npconv.demo import canvas, pictures, proof, report
from npconv.demo.kernels import KERNELS
from npconv.demo.photo import make_visible, natural_view, respond
from npconv.messages import LANGUAGES
from npconv.nn import digits

REASON = "the demo's data and pictures need the extra demo"
DRAWN = (
    "photo_panel",
    "learning_curve",
    "learned_kernels",
    "feature_maps",
    "confusion_matrix",
    "hardest_digits",
)
PICTURES = ("photograph", "curve", "kernels", "maps", "confusion", "hardest")


# ---- parts that need NumPy alone -----------------------------------------------------------


def test_the_ten_lines_are_ten_and_are_what_the_report_prints() -> None:
    lines = [line for line in report.ten_lines().splitlines() if line.strip()]
    assert len(lines) == 4 + 5
    namespace: dict[str, Any] = {"im2col": im2col, "col2im": col2im}
    exec(report.ten_lines(), namespace)
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(s) for s in ((2, 3, 6, 5), (4, 3, 2, 3), (4,)))
    y, _ = namespace["forward"](x, w, b)
    np.testing.assert_allclose(y.reshape(2, 4, 5, 3), conv2d(x, w, b), atol=1e-12)


def test_a_check_fails_on_another_shape_and_on_nan() -> None:
    bad = proof.Check("output", (1, 2), (2, 1))
    worse = proof.Check("agreement", float("nan"), 1e-12)
    assert not bad.holds
    assert not worse.holds


@pytest.mark.parametrize("name", KERNELS)
def test_named_kernels_keep_brightness_or_cancel_it(name: str) -> None:
    total = KERNELS[name].weights.sum()
    assert total in (0, 1)
    assert natural_view(KERNELS[name].weights) == ("clip" if total else "signed")


def test_named_kernels_do_what_they_say() -> None:
    step = np.zeros((8, 8, 1))
    step[:, 4:] = 100  # brighter on the right
    assert respond(step, KERNELS["sobel-x"].weights).max() == 400
    assert np.all(respond(step, KERNELS["sobel-y"].weights) == 0)
    assert np.array_equal(respond(step, KERNELS["identity"].weights), step)
    sharp = respond(step, KERNELS["sharpen"].weights)
    assert sharp.max() > 100
    assert sharp.min() < 0
    assert np.ptp(np.diff(respond(step, KERNELS["blur"].weights)[0, :, 0])) < 100


def test_views() -> None:
    response = np.array([-300.0, -50.0, 0.0, 50.0, 300.0])
    assert make_visible(response, "clip", 255).pixels.tolist() == [0, 0, 0, 50, 255]
    assert make_visible(np.zeros(3), "signed", 255).pixels.tolist() == [128] * 3
    assert make_visible(response, "magnitude", 255).pixels[2] == 0


# ---- the whole -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, Path]:
    """Run the demo once, in Korean, on a fifth of the digits for an epoch."""
    for module in ("matplotlib", "PIL", "sklearn", "tqdm"):
        pytest.importorskip(module, reason=REASON)
    whole = digits.load_digits()
    few = digits.Digits(
        (whole.train[0][:256], whole.train[1][:256]), (whole.test[0][:40], whole.test[1][:40])
    )
    out = tmp_path_factory.mktemp("demo") / "report"
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(shown):
        patch.setattr(digits, "load_digits", lambda *_: few)
        patch.setenv("DISPLAY", "")
        status = cli.main(["demo", "--out", str(out), "--epochs", "1", "--lang", "ko"])
    return status, shown.getvalue(), out


def test_the_demo_tells_its_figures_and_its_report(run: tuple[int, str, Path]) -> None:
    status, shown, out = run
    assert status == 0
    assert "53개" in shown
    assert re.search(r"정확도 \d+\.\d\d %", shown)
    assert str((out / "report.ko.html").resolve()) in shown


def test_the_pictures_are_pictures(run: tuple[int, str, Path]) -> None:
    from PIL import Image

    for name in PICTURES:
        with Image.open(run[2] / f"{name}.png") as image:
            assert min(image.size) > 200
            assert np.asarray(image.convert("L")).std() > 5
    assert {path.name for path in run[2].iterdir()} == {
        *(f"{name}.png" for name in PICTURES),
        *(f"report.{language}.html" for language in LANGUAGES),
    }


class Page(HTMLParser):
    """What is opened, closed and referred to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "!doctype"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_report_is_whole_in_itself(run: tuple[int, str, Path], language: str) -> None:
    text = (run[2] / f"report.{language}.html").read_text("utf-8")
    page = Page(text)
    assert not page.open  # every tag is closed
    words = re.sub(r'"data:[^"]*"', "", text)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<script|<link", words)
    assert "$" not in words  # no placeholder is left
    tags = [tag for tag, _ in page.tags]
    assert dict(page.tags)["html"]["lang"] == language
    assert tags.count("h1") == 1
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == len(PICTURES)
    for attributes in images:
        assert (attributes["src"] or "").startswith(("data:image/png;base64,", "data:image/jpeg"))
        assert len(attributes["alt"] or "") > 20
    links = [a["href"] for tag, a in page.tags if tag == "a" and a["href"] != "#content"]
    assert links == [f"report.{other}.html" for other in LANGUAGES if other != language]


def test_the_pages_have_the_same_parts(run: tuple[int, str, Path]) -> None:
    pages = [Page((run[2] / f"report.{code}.html").read_text("utf-8")) for code in LANGUAGES]
    shapes = [[(tag, a.get("class")) for tag, a in page.tags if tag != "em"] for page in pages]
    counts = [{each: shape.count(each) for each in shape if each[0] != "code"} for shape in shapes]
    assert counts[0] == counts[1]


def test_the_report_tells_this_machines_paths_to_nobody(run: tuple[int, str, Path]) -> None:
    for page in run[2].glob("*.html"):
        text = page.read_text("utf-8")
        assert str(Path.home()) not in text or str(Path.home()) == "/"
        assert str(run[2]) not in text


@pytest.mark.parametrize("there", ["file", "read-only"])
def test_a_place_that_cannot_be_written_is_found_out_first(
    there: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("matplotlib", "PIL", "sklearn", "tqdm"):
        pytest.importorskip(module, reason=REASON)
    place = tmp_path / "out"
    if there == "file":
        place.write_text("mine")
    else:
        if os.name == "nt" or os.geteuid() == 0:
            pytest.skip("this user may write everywhere")
        tmp_path.chmod(0o500)
    assert cli.main(["demo", "--out", str(place), "--lang", "en"]) == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert shown.err.count("\n") == 1


def test_a_failed_proof_is_the_demos_status_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("matplotlib", "PIL", "sklearn", "tqdm"):
        pytest.importorskip(module, reason=REASON)
    monkeypatch.setattr(proof, "AGREEMENT_BOUND", 0.0)
    whole = digits.load_digits()
    few = digits.Digits(
        (whole.train[0][:64], whole.train[1][:64]), (whole.test[0][:20], whole.test[1][:20])
    )
    monkeypatch.setattr(digits, "load_digits", lambda *_: few)
    blank = canvas.draw(1, 1, lambda _: None)
    for name in DRAWN:
        monkeypatch.setattr(pictures, name, lambda *_: blank)
    assert cli.main(["demo", "--out", str(tmp_path), "--epochs", "1", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["holds"] is False
    assert "✗" in (tmp_path / "report.en.html").read_text("utf-8")
