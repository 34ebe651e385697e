"""`npconv filter` and `npconv train`: the files they read and write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npconv import cli
from npconv.demo.picture_file import read_picture

pil = pytest.importorskip("PIL.Image", reason="pictures are read by Pillow (extra: demo)")
RNG = np.random.default_rng(0)


def run(*arguments: str | Path) -> int:
    return cli.main([*map(str, arguments), "--lang", "en"])


def pixels(*shape: int) -> Any:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, image: Any, **options: Any) -> Path:
    image.save(path, **options)
    return path


def colours() -> Any:
    return pil.fromarray(pixels(12, 15, 3))


def palette() -> Any:
    return colours().quantize(16)


def sixteen() -> Any:
    return pil.fromarray(RNG.integers(0, 65536, (12, 15), dtype=np.uint16))


# Kind of picture, how it is saved, and the mode that comes out.
KINDS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "grey": (pil.fromarray(pixels(12, 15)), {}, "L"),
    "grey and alpha": (pil.fromarray(pixels(12, 15, 2)), {}, "LA"),
    "RGB": (colours(), {}, "RGB"),
    "RGBA": (pil.fromarray(pixels(12, 15, 4)), {}, "RGBA"),
    "palette": (palette(), {}, "RGB"),
    "palette with a transparent colour": (palette(), {"transparency": 3}, "RGBA"),
    "bilevel": (colours().convert("1"), {}, "L"),
    "16-bit grey": (sixteen(), {}, "I;16"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_identity_keeps_every_kind_of_picture(kind: str, tmp_path: Path) -> None:
    image, options, mode = KINDS[kind]
    source = save(tmp_path / "in.png", image, **options)
    assert run("filter", source, "--kernel", "identity", "-o", tmp_path / "out.png") == 0
    with pil.open(tmp_path / "out.png") as out, pil.open(source) as given:
        assert out.mode == mode
        wanted = given if mode == "I;16" else given.convert(mode)
        assert np.array_equal(np.asarray(out), np.asarray(wanted))


def test_alpha_is_kept_and_colour_is_filtered(tmp_path: Path) -> None:
    source = save(tmp_path / "in.png", KINDS["RGBA"][0])
    assert run("filter", source, "--kernel", "blur", "-o", tmp_path / "out.png") == 0
    given, out = read_picture(source), read_picture(tmp_path / "out.png")
    assert given.alpha is not None
    assert out.alpha is not None
    assert np.array_equal(given.alpha, out.alpha)
    assert out.pixels.std() < given.pixels.std()


def test_a_flat_picture_has_no_edges_and_no_frame(tmp_path: Path) -> None:
    source = save(tmp_path / "in.png", pil.new("RGB", (9, 7), (200, 100, 50)))
    for name, value in (("blur", (200, 100, 50)), ("sobel-x", (128,) * 3), ("emboss", None)):
        assert run("filter", source, "--kernel", name, "-o", tmp_path / "out.png") == 0
        expected = np.broadcast_to(value or (200, 100, 50), (7, 9, 3))
        assert np.array_equal(read_picture(tmp_path / "out.png").pixels, expected)


def test_weights_and_views(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ramp = np.repeat(np.arange(0, 100, 10, dtype=np.uint8)[np.newaxis], 4, axis=0)
    source = save(tmp_path / "in.png", pil.fromarray(ramp))
    arguments = ("filter", source, "--weights", "-1/2 0 1/2", "-o", tmp_path / "out.png")
    assert run(*arguments, "--view", "clip", "--json") == 0
    assert json.loads(capsys.readouterr().out)["weights"] == [[-0.5, 0.0, 0.5]]
    out = read_picture(tmp_path / "out.png").pixels[:, :, 0]
    assert np.array_equal(out[0], [5, *[10] * 8, 5])  # the slope; at the edge half of it
    assert run(*arguments, "--view", "magnitude") == 0
    assert read_picture(tmp_path / "out.png").pixels[0, 5, 0] == 255


def test_a_photograph_that_lies_on_its_side_is_turned(tmp_path: Path) -> None:
    image = pil.new("L", (8, 4), 90)
    exif = image.getexif()
    exif[0x0112] = 6  # turn right to see it upright
    source = save(tmp_path / "in.jpg", image, exif=exif)
    assert run("filter", source, "--kernel", "identity", "-o", tmp_path / "out.png") == 0
    with pil.open(tmp_path / "out.png") as out:
        assert out.size == (4, 8)


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".bmp", ".gif", ".webp"])
def test_formats(suffix: str, tmp_path: Path) -> None:
    source = save(tmp_path / f"in{suffix}", colours())
    assert run("filter", source, "--kernel", "sharpen", "-o", tmp_path / f"out{suffix}") == 0
    assert read_picture(tmp_path / f"out{suffix}").pixels.shape == (12, 15, 3)


def truncated(path: Path) -> Path:
    save(path, colours())
    path.write_bytes(path.read_bytes()[:200])
    return path


@pytest.mark.parametrize("what", ["text", "truncated", "float", "bomb", "suspicious", "missing"])
def test_a_bad_picture_leaves_what_is_there(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "in.tif", tmp_path / "out.png"
    if what == "text":
        source.write_text("no picture")
    elif what == "truncated":
        source = truncated(tmp_path / "in.png")
    elif what == "float":
        save(source, pil.fromarray(np.ones((3, 3), np.float32)))
    elif what in ("bomb", "suspicious"):
        save(source, colours())
        monkeypatch.setattr(pil, "MAX_IMAGE_PIXELS", 10 if what == "bomb" else 100)
    target.write_text("keep me")
    assert run("filter", source, "--kernel", "blur", "-o", target) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert target.read_text() == "keep me"
    assert {path.name for path in tmp_path.iterdir()} <= {source.name, "out.png"}


def test_a_result_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save(tmp_path / "in.png", KINDS["RGBA"][0])
    for name in ("out.jpg", "out.xyz", "out", "nowhere/out.png"):
        assert run("filter", source, "--kernel", "blur", "-o", tmp_path / name) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]


# ---- train ---------------------------------------------------------------------------------


def examples(path: Path, **arrays: Any) -> Path:
    labels = np.arange(40) % 3 + 5
    pictures = (labels[:, None, None] * 20 + RNG.integers(0, 9, (40, 6, 8))).astype(np.uint8)
    with path.open("wb") as file:
        np.savez(file, **{"x": pictures, "y": labels, **arrays})
    return path


def test_training_on_pictures_of_ones_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, weights = examples(tmp_path / "data.npz"), tmp_path / "weights.npz"
    assert run("train", "--data", source, "--epochs", "2", "--out", weights, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == [5, 6, 7]
    assert (found["trained_on"], found["held_out"]) == (32, 8)
    assert [epoch["number"] for epoch in found["history"]] == [1, 2]
    with np.load(weights) as arrays:
        assert arrays["0.weight"].shape == (16, 1, 3, 3)


def test_a_run_that_is_resumed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    source = examples(tmp_path / "data.npz", x=RNG.standard_normal((40, 2, 5, 4)))
    arguments = ("train", "--data", source, "--epochs", "2")
    assert run(*arguments, "--out", tmp_path / "once.npz") == 0
    kept = (*arguments, "--checkpoint", tmp_path / "run.npz")
    assert run(*kept, "--out", tmp_path / "kept.npz") == 0
    assert run(*kept, "--resume", "--out", tmp_path / "resumed.npz") == 0
    assert run(*kept) == 2  # it would be overwritten
    once = (tmp_path / "once.npz").read_bytes()
    assert once == (tmp_path / "kept.npz").read_bytes()
    assert once == (tmp_path / "resumed.npz").read_bytes()


@pytest.mark.filterwarnings("default")
def test_a_warning_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, kept = examples(tmp_path / "data.npz"), tmp_path / "run.npz"
    arguments = ("train", "--data", source, "--checkpoint", kept)
    assert run(*arguments, "--epochs", "1") == 0
    assert run(*arguments, "--epochs", "2", "--resume") == 0
    warning = capsys.readouterr().err
    assert warning.startswith("npconv: warning: ")
    assert warning.count("\n") == 1


BAD_ARRAYS: dict[str, dict[str, Any]] = {
    "too small": {"x": np.ones((40, 3, 8))},
    "one axis too few": {"x": np.ones((40, 8))},
    "complex": {"x": np.ones((40, 8, 8), complex)},
    "nan": {"x": np.full((40, 8, 8), np.nan)},
    "too few labels": {"y": np.arange(39) % 3},
    "float labels": {"y": np.ones(40)},
    "one class": {"y": np.ones(40, int)},
    "few": {"x": np.ones((2, 8, 8)), "y": np.arange(2)},
    "none": {"x": np.ones((0, 8, 8)), "y": np.zeros(0, int)},
}


@pytest.mark.parametrize("what", [*BAD_ARRAYS, "no y", "text", "truncated"])
def test_bad_data_is_one_line(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = examples(tmp_path / "data.npz", **BAD_ARRAYS.get(what, {}))
    if what == "no y":
        with path.open("wb") as file:
            np.savez(file, x=np.ones((40, 8, 8)))
    elif what == "text":
        path.write_text("x y")
    elif what == "truncated":
        path.write_bytes(path.read_bytes()[:300])
    assert run("train", "--data", path, "--epochs", "1") == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert shown.err.count("\n") == 1
    assert "data.npz" in shown.err


@pytest.mark.parametrize(("language", "word"), [("en", "accuracy"), ("ko", "정확도")])
def test_training_on_the_digits(
    language: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn (extra: demo)")
    assert cli.main(["train", "--epochs", "1", "--lang", language]) == 0
    assert word in capsys.readouterr().out
