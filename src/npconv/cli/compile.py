"""`npconv compile`: machine code of everyday problems, before it is needed."""

from __future__ import annotations

import time
from typing import Any

from npconv.cli.parser import Parser
from npconv.cli.terminal import Terminal
from npconv.compiled import why_missing
from npconv.errors import MissingExtraError
from npconv.messages import Messages

EXAMPLES = (
    ("npconv compile", "example_compile"),
    ("npconv compile --dtypes float32", "example_compile_one"),
)


def add_arguments(parser: Parser, say: Messages) -> None:
    """Add the options of this command."""
    from npconv.compiled.beforehand import DTYPES

    parser.add_argument(
        "--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES), metavar="DTYPE",
        help=say("help_compile_dtypes", names=", ".join(DTYPES)),
    )  # fmt: skip


def run(options: Any, terminal: Terminal) -> int:
    """Compile what is missing, and say what there is and where; 1 if it could not be kept."""
    missing = why_missing()
    if missing:
        raise MissingExtraError(missing)
    from npconv.compiled import machine_code
    from npconv.compiled.beforehand import tasks
    from npconv.nn.progress import progress_bar
    from npconv.settings import settings

    start, everything = time.perf_counter(), tasks(tuple(options.dtypes))
    bar = progress_bar(len(everything), 0, False if terminal.json else None)
    with settings(engine="compiled"):
        for task in everything:
            task()
            bar.update()
    bar.close()
    report = machine_code.report()
    seconds = time.perf_counter() - start
    terminal.line(say_of(terminal.say, report, seconds))
    terminal.data({"command": "compile", "seconds": seconds, **report})
    return 0 if report["kept"] else 1


def say_of(say: Messages, report: dict[str, Any], seconds: float) -> str:
    """Tell what was compiled, and where it is."""
    key = "compile_done" if report["kept"] else "compile_not_kept"
    return say(
        key,
        compiled=report["compiled"],
        found=report["found"],
        folder=report["folder"],
        seconds=f"{seconds:.1f}",
    )
