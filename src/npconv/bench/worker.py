"""A library's own process: requests on standard input, replies where output was, in JSON.

``python -m npconv.bench.worker LIBRARY THREADS`` answers, a line each:

- ``{"do": "hello"}``: the library's version.
- ``{"do": "prepare", "task": {...}}``: ready to run, with a fingerprint of the result.
- ``{"do": "time", "at_least": s}``: seconds of one call, and how many processors it kept busy.
  Between requests it is idle; ``cpu`` tells what seconds of processor it took all the same.
- ``{"do": "examine", "task": {...}, "rounds": n}``: npconv's own figures (`examine`).

What a library prints goes to standard error, so that it cannot be taken for a reply.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import import_module
from typing import Any, TextIO

from npconv.bench.adapters import Call
from npconv.bench.libraries import LIBRARIES
from npconv.bench.tasks import CannotServe, Task, fingerprint
from npconv.bench.timing import seconds_of
from npconv.errors import ConvError

# Threads wait for more work by spinning, OpenBLAS's for 30 milliseconds, before they sleep.
# A reply comes after that, so that nobody else is timed meanwhile.
SETTLE = 0.1


class Worker:
    """What a worker does with each request."""

    def __init__(self, library: str, threads: int) -> None:
        self.adapter = import_module(f"npconv.bench.adapters.{LIBRARIES[library].adapter}")
        self.threads = threads
        self.call: Call | None = None

    def hello(self) -> dict[str, Any]:
        """Tell the version."""
        return {"version": self.adapter.version()}

    def prepare(self, task: dict[str, Any]) -> dict[str, Any]:
        """Get a task ready, run it once, and tell what its result is like."""
        self.call = None  # the last task's arrays go before the next one's come
        call: Call = self.adapter.prepare(Task.of(task), self.threads)
        found = fingerprint(call.arrays(call.run()))
        self.call = call
        return {"detail": call.detail, "fingerprint": found}

    def time(self, at_least: float) -> dict[str, Any]:
        """Time what was prepared."""
        if self.call is None:
            raise CannotServe("nothing was prepared")
        began, before = time.perf_counter(), time.process_time()
        seconds = seconds_of(self.call.run, at_least)
        busy = time.process_time() - before
        return {"seconds": seconds, "processors": busy / (time.perf_counter() - began)}

    def examine(self, task: dict[str, Any], **options: Any) -> dict[str, Any]:
        """Look at npconv's choices, errors and memory for a problem."""
        from npconv.bench.examine import examine

        self.call = None
        return examine(Task.of(task), **options)


def answer(worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked; what goes wrong is an answer too."""
    method = getattr(worker, request.pop("do"))
    try:
        found: dict[str, Any] = method(**request)
    except (CannotServe, ConvError) as error:
        return {"refused": str(error)}
    except Exception as error:  # noqa: BLE001 - a peer may raise anything; it is reported
        return {"failed": f"{type(error).__name__}: {error}"}
    return found


def serve(worker: Worker, requests: TextIO, replies: TextIO) -> None:
    """Answer line by line until nobody asks any more."""
    before = time.process_time()
    for line in requests:
        idle = time.process_time() - before
        reply = answer(worker, json.loads(line))
        time.sleep(SETTLE if worker.threads > 1 else 0)
        replies.write(json.dumps({**reply, "cpu": idle}) + "\n")
        replies.flush()
        before = time.process_time()


def main() -> None:
    """Serve on standard input and output."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    library, threads = sys.argv[1:]
    serve(Worker(library, int(threads)), sys.stdin, replies)


if __name__ == "__main__":
    main()
