"""Machine code kept on disk: compiled once, made anew when anything it depends on changes."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import npconv
from npconv.compiled import machine_code

CALL = """
import json, sys
import numpy as np, npconv
from npconv.compiled import machine_code
x, w = np.ones((1, 2, 5, 5), "f4"), np.ones((3, 2, 3, 3), "f4")
y = npconv.conv(x, w, np.full(3, 100, "f4"), padding=1, algorithm="direct")
print(json.dumps({**machine_code.report(), "numba": "numba" in sys.modules,
                  "corner": float(y[0, 0, 0, 0]), "file": npconv.__file__}))
"""


def call(cache: Path, source: Path | None = None) -> dict[str, Any]:
    """Convolve in a process of its own, and give what it says."""
    environment = {**os.environ, "NPCONV_CACHE": str(cache)}
    if source:
        environment["PYTHONPATH"] = str(source)
    run = subprocess.run(
        [sys.executable, "-c", CALL], env=environment, capture_output=True, text=True, check=True
    )
    said: dict[str, Any] = json.loads(run.stdout)
    return said


def test_a_later_process_compiles_nothing_and_does_without_numba(tmp_path: Path) -> None:
    first, second = call(tmp_path), call(tmp_path)
    assert first["compiled"] > 0
    assert first["kept"]
    assert (second["compiled"], second["found"]) == (0, first["compiled"])
    assert first["numba"]
    assert not second["numba"]
    assert first["corner"] == second["corner"] == 108
    folder = Path(second["folder"])
    assert folder.parent == tmp_path
    assert folder.name.startswith(npconv.__version__)


def test_an_edited_callee_is_compiled_anew(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(Path(npconv.__file__).parent, source / "npconv")
    cache = tmp_path / "cache"
    before = call(cache, source)
    assert Path(before["file"]).is_relative_to(source)
    # `row_add` is called by the kernel of `direct`, which itself stays as it is.
    callee = source / "npconv" / "compiled" / "kernels" / "rows.py"
    text = callee.read_text(encoding="utf-8")
    edited = text.replace("added = v.broadcast(builder, number)", "added = v.zero")
    assert edited != text
    callee.write_text(edited, encoding="utf-8")
    after = call(cache, source)
    assert after["compiled"] == before["compiled"]
    assert after["folder"] != before["folder"]
    assert (before["corner"], after["corner"]) == (108, 8)


@pytest.mark.parametrize("place", ["data_offset", "items_offset"])
def test_another_interpreter_has_a_folder_of_its_own(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Machine code reads objects, which another version may lay out otherwise."""
    here = machine_code.cache_folder()
    other = getattr(machine_code, place)() + 8
    monkeypatch.setattr(machine_code, place, lambda: other)
    machine_code._fingerprint.cache_clear()
    try:
        assert machine_code.cache_folder() != here
    finally:
        monkeypatch.undo()
        machine_code._fingerprint.cache_clear()
    assert machine_code.cache_folder() == here


def test_a_file_that_is_not_whole_is_made_anew(tmp_path: Path) -> None:
    folder = Path(call(tmp_path)["folder"])
    good = {path.name: path.read_bytes() for path in folder.iterdir()}
    name = min(good, key=lambda each: len(good[each]))  # it is soon compiled
    for content in (good[name][:-1], b"", b"something else", good[name][:-1] + b"?"):
        (folder / name).write_bytes(content)
        said = call(tmp_path)
        assert (said["compiled"], said["corner"]) == (1, 108)
        assert machine_code._read(folder / name) is not None
    assert call(tmp_path)["compiled"] == 0


def test_where_nothing_can_be_kept_it_compiles_and_computes(tmp_path: Path) -> None:
    not_a_folder = tmp_path / "file"
    not_a_folder.write_text("", encoding="utf-8")
    for _ in range(2):
        said = call(not_a_folder)
        assert said["compiled"] > 0
        assert not said["kept"]
        assert said["corner"] == 108


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    machine_code._write(tmp_path / "folder" / "kernel.o", b"code")
    assert not list((tmp_path / "folder").iterdir())


def test_the_folder_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NPCONV_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert machine_code.cache_folder().is_relative_to(tmp_path)
    machine_code._write(machine_code.cache_folder() / "kernel.o", b"code")
    if os.name == "posix":
        assert machine_code.cache_folder().stat().st_mode & 0o077 == 0
    assert machine_code._read(machine_code.cache_folder() / "kernel.o") == b"code"


def test_both_kinds_of_a_function_that_is_called_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function of integers and of floats is two to LLVM, of libraries of one name to Numba."""
    from npconv.compiled.front_end import helper
    from npconv.compiled.kernels.memory import get_int, put_int, setter

    put_float = setter("float64")

    @helper
    def twice(number: Any) -> Any:
        return number + number

    def kernel(to: int) -> None:
        put_int(to, 0, twice(get_int(to, 0)))
        put_float(to, 1, twice(0.75))

    module = ModuleType("npconv.compiled.kernels.both")
    vars(module)["make"] = lambda: kernel
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setenv("NPCONV_CACHE", str(tmp_path))
    for name, empty in (("_loaded", {}), ("_compiled", [])):  # of this process: as they were
        monkeypatch.setattr(machine_code, name, empty)
    run = machine_code.function(machine_code.address_of("both"), ctypes.c_int64)
    words = np.array([21, 0])
    run(words.ctypes.data)
    assert words[0] == 42
    assert words.view(np.float64)[1] == 1.5
