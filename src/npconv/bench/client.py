"""The asking side: a worker process for each library, and its replies."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import IO, Any, Self

from npconv.bench.libraries import environment

TIMEOUT = 600.0  # seconds; compilation takes some, and nothing takes minutes


class WorkerError(Exception):
    """A worker that is gone or does not answer; the message is its last words."""


class Client:
    """One library's process; started when first asked, and again after it was lost."""

    def __init__(self, library: str, threads: int) -> None:
        self.library, self.threads = library, threads
        self.idle_cpu = 0.0  # seconds of processor, taken while it had nothing to do
        self.idle = 0.0  # seconds that it had nothing to do
        self._replied = 0.0
        self._process: subprocess.Popen[str] | None = None
        # What it says beside its replies; asked for when it is gone.
        self._errors: IO[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Send a request and wait for the reply.

        Raises
        ------
        WorkerError
            The process ended, or did not answer in time.
        """
        first = self._process is None
        process = self._process or self._start()
        began = time.perf_counter()
        if not first:
            self.idle += began - self._replied
        try:
            if process.stdin:
                process.stdin.write(json.dumps({"do": do, **request}) + "\n")
                process.stdin.flush()
            line = self._lines.get(timeout=TIMEOUT)
        except (OSError, queue.Empty):
            line = ""
        if not line:
            raise WorkerError(self._last_words())
        self._replied = time.perf_counter()
        reply: dict[str, Any] = json.loads(line)
        # Before its first request a worker has only been importing.
        self.idle_cpu += 0.0 if first else reply["cpu"]
        return reply

    def _start(self) -> subprocess.Popen[str]:
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - lives as long as the process
        command = [sys.executable, "-m", "npconv.bench.worker", self.library, str(self.threads)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment(self.library, self.threads),
            text=True,
            encoding="utf-8",
        )
        self._lines = queue.Queue()
        self._replied = time.perf_counter()
        # A thread reads, because a pipe cannot be waited for with a limit everywhere.
        threading.Thread(target=_read, args=(self._process, self._lines), daemon=True).start()
        return self._process

    def _last_words(self) -> str:
        """End the process, and give the last line it wrote to standard error."""
        errors, self._errors = self._errors, None
        status = self.close()
        if not errors:
            return ""
        with errors:
            errors.seek(0)
            lines = [line for line in errors.read().splitlines() if line.strip()]
        return lines[-1] if lines else f"the process ended with status {status}"

    def close(self) -> int | None:
        """End the process, gently at first; give its status."""
        process, self._process = self._process, None
        if self._errors:
            self._errors.close()
        if process is None:
            return None
        if process.stdin:
            with suppress(OSError):
                process.stdin.close()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return process.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _read(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    if process.stdout:
        for line in process.stdout:
            lines.put(line)
        process.stdout.close()
    lines.put("")
