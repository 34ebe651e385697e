"""The promise of checkpoints: killed at any moment, the run ends with the same bits."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from npconv.nn.files import read_arrays

KILLS = 20
SCRIPT = Path(__file__).with_name("checkpoint_run.py")


class Process:
    """One attempt at the run; the clock starts when Python has imported everything."""

    def __init__(self, directory: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(directory)], stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == b"ready"

    def killed_after(self, seconds: float) -> bool:
        """Kill it (SIGKILL; on Windows TerminateProcess) unless it ends before."""
        try:
            assert self.process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            self.process.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.wait() != 0


def test_killed_at_random_moments_the_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    undisturbed.mkdir()
    disturbed.mkdir()
    began = time.monotonic()
    assert not Process(undisturbed).killed_after(300)
    duration = time.monotonic() - began
    weights = (undisturbed / "model.npz").read_bytes()
    final = read_arrays(undisturbed / "run.npz")

    moments, kills, completions = random.Random(2026), 0, 0
    while kills < KILLS or not completions:
        seconds = moments.uniform(0, duration / 4) if kills < KILLS else 300
        if Process(disturbed).killed_after(seconds):
            kills += 1
            continue
        completions += 1
        assert (disturbed / "model.npz").read_bytes() == weights, f"after {kills} kills"
        # All of the state, and not the weights alone; `meta` has times in it.
        now = read_arrays(disturbed / "run.npz")
        assert now.keys() == final.keys()
        for name in final.keys() - {"meta"}:
            assert now[name].tobytes() == final[name].tobytes(), name
        for path in disturbed.iterdir():
            path.unlink()
    print(f"{kills} kills, {completions} completed runs of {duration:.1f} s")
    if sys.platform == "win32":
        pytest.skip("passed, but with TerminateProcess: Windows has no SIGKILL")
