"""Settings: what is in force, where, and from when on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

import npconv
from npconv import ConvError, DTypeError, ShapeError, UnsupportedError
from npconv.problem import Array
from npconv.settings import current_settings

DEFAULTS = {"engine": "compiled", "workspace_limit": 64 * 2**20, "accuracy": "standard"}


def ones(shape: tuple[int, ...]) -> Array:
    return np.ones(shape, np.float32)


def in_force() -> dict[str, Any]:
    now = current_settings()
    return {name: getattr(now, name) for name in ("engine", "threads", *list(DEFAULTS)[1:])}


def test_defaults_and_inheritance() -> None:
    before = in_force()
    with npconv.settings():
        assert in_force() == before
        with npconv.settings(None, 3, None, "strict"):
            assert in_force() == {**before, "threads": 3, "accuracy": "strict"}
            with npconv.settings(workspace_limit=1000, accuracy=None):
                inner = {**before, "threads": 3, "accuracy": "strict", "workspace_limit": 1000}
                assert in_force() == inner
            assert in_force() == {**before, "threads": 3, "accuracy": "strict"}
    assert in_force() == before


def test_restored_after_exceptions() -> None:
    before = in_force()
    with pytest.raises(ZeroDivisionError), npconv.settings(threads=7):
        raise ZeroDivisionError
    with pytest.raises(UnsupportedError), npconv.settings(threads=7):
        npconv.settings(engine="gpu")
    assert in_force() == before


def test_one_object_may_be_entered_again() -> None:
    before, seven = in_force(), npconv.settings(threads=7)
    with seven, npconv.settings(threads=8), seven:
        assert in_force()["threads"] == 7
    with seven:
        assert in_force()["threads"] == 7
    assert in_force() == before


def test_settings_do_not_cross_into_threads() -> None:
    before, seen = in_force(), []
    with npconv.settings(threads=7, workspace_limit=5):
        thread = threading.Thread(target=lambda: seen.append(in_force()))
        thread.start()
        thread.join()
    assert seen == [before]


def test_settings_reach_calls() -> None:
    x, w = ones((1, 8, 40, 40)), ones((8, 8, 3, 3))
    with npconv.settings(workspace_limit=1):
        for call in (
            lambda: npconv.conv(x, w),
            lambda: npconv.conv2d_im2col(x, w),
            lambda: npconv.conv_backward(ones((1, 8, 38, 38)), x, w),
        ):
            with pytest.raises(UnsupportedError, match="workspace_limit=1"):
                call()


INVALID: list[tuple[dict[str, Any], type[ConvError], str]] = [
    ({"engine": "gpu"}, UnsupportedError, "engine must be one of 'numpy', 'compiled'"),
    ({"accuracy": "exact"}, UnsupportedError, "accuracy must be one of 'standard', 'strict'"),
    ({"threads": 0}, ShapeError, "threads must be at least 1, but threads=0"),
    ({"threads": 1.0}, DTypeError, "threads must be an integer, but threads=1.0"),
    ({"workspace_limit": -1}, ShapeError, "workspace_limit must be at least 1"),
    ({"workspace_limit": "64M"}, DTypeError, "workspace_limit must be an integer"),
]


@pytest.mark.parametrize(("changes", "error", "message"), INVALID)
def test_invalid_settings(changes: dict[str, Any], error: type[ConvError], message: str) -> None:
    with pytest.raises(error, match=message):
        npconv.settings(**changes)


SHOW = """
import json, npconv
from npconv.settings import current_settings
def show():
    now = current_settings()
    return [now.engine, now.threads, now.workspace_limit, now.accuracy]
try:
    found = [show()]
    with npconv.settings(threads=5, accuracy="standard"):
        found.append(show())
    with npconv.settings(workspace_limit=None):
        found.append(show())
except npconv.ConvError as error:
    found = [type(error).__name__, str(error)]
print(json.dumps(found))
"""


def with_environment(**variables: str) -> Any:
    clean = {name: v for name, v in os.environ.items() if not name.startswith("NPCONV_")}
    path = os.pathsep.join(filter(None, sys.path))
    shown = subprocess.run(
        [sys.executable, "-c", SHOW],
        env={**clean, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(shown.stdout)


def test_the_environment_gives_defaults_that_settings_override() -> None:
    assert with_environment(
        NPCONV_ENGINE="numpy",
        NPCONV_NUM_THREADS="3",
        NPCONV_WORKSPACE="12345",
        NPCONV_ACCURACY="strict",
    ) == [
        ["numpy", 3, 12345, "strict"],
        ["numpy", 5, 12345, "standard"],
        ["numpy", 3, 12345, "strict"],
    ]
    engine, threads, limit, accuracy = with_environment(NPCONV_NUM_THREADS="")[0]
    assert {"engine": engine, "workspace_limit": limit, "accuracy": accuracy} == DEFAULTS
    assert 1 <= threads <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("variable", "value", "error"),
    [
        ("NPCONV_ENGINE", "gpu", "UnsupportedError"),
        ("NPCONV_NUM_THREADS", "many", "UnsupportedError"),
        ("NPCONV_NUM_THREADS", "0", "ShapeError"),
        ("NPCONV_WORKSPACE", "-5", "UnsupportedError"),
        ("NPCONV_WORKSPACE", "1" * 5000, "UnsupportedError"),
        ("NPCONV_ACCURACY", "exact", "UnsupportedError"),
    ],
)
def test_a_wrong_environment_is_named(variable: str, value: str, error: str) -> None:
    found = with_environment(**{variable: value})
    assert found[0] == error
    assert variable in found[1]
