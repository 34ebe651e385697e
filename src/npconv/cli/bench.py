"""`npconv bench`: npconv beside whichever peers are installed, timed and shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from npconv.bench.layers import LAYERS
from npconv.bench.libraries import ENGINES, PEERS, missing
from npconv.cli import values
from npconv.cli.parser import Parser, typed
from npconv.cli.terminal import Terminal, aligned
from npconv.errors import MissingExtraError
from npconv.messages import Messages, UserError

EXAMPLES = (
    ("npconv bench", "example_bench"),
    ("npconv bench --layers r50.3x3_56 mob.dw112 --threads 1 --quick", "example_bench_quick"),
    ("npconv bench --peers torch --all --output results", "example_bench_all"),
    ("npconv bench --show results/bench.json", "example_bench_show"),
)
DIRECTIONS = ("forward", "backward")


def add_arguments(parser: Parser, say: Messages) -> None:
    """Add the options of this command."""
    add, count = parser.add_argument, typed(say, values.count)
    for name, names, key in (
        ("--layers", tuple(LAYERS), "help_bench_layers"),
        ("--peers", PEERS, "help_bench_peers"),
        ("--directions", DIRECTIONS, "help_bench_directions"),
        ("--engines", ENGINES, "help_bench_engines"),
    ):
        # Without peers npconv's engines can still be compared; without the rest with nothing.
        how_many = "*" if name == "--peers" else "+"
        text = say(key, names=", ".join(names))
        add(name, nargs=how_many, choices=names, metavar="NAME", help=text)
    add("--threads", nargs="+", type=count, default=[1, 2], metavar="N",
        help=say("help_bench_threads"))  # fmt: skip
    add("--rounds", type=count, default=7, metavar="N", help=say("help_bench_rounds"))
    for name in ("others", "training", "examine", "all", "quick"):
        add(f"--{name}", action="store_true", help=say(f"help_bench_{name}"))
    add("--output", metavar="DIR", help=say("help_bench_output"))
    add("--show", metavar="FILE.json", help=say("help_bench_show"))


def run(options: Any, terminal: Terminal) -> int:
    """Measure or read, show, write; give 1 if results differ or a library failed."""
    from npconv.bench.targets import figures

    if options.output:  # what could stop it later stops it now
        _make_folder(Path(options.output))
    record = read(options.show) if options.show else _measure(options, terminal)
    record["figures"] = [figure.as_dict() for figure in figures(record)]
    for line in lines(record, terminal.say):
        terminal.line(line)
    terminal.data(record)
    if options.output:
        write(record, Path(options.output), terminal)
    worst = {trouble["kind"] for trouble in record["troubles"]}
    return 1 if worst & {"failed", "differs"} else 0


def _measure(options: Any, terminal: Terminal) -> dict[str, Any]:
    from npconv.bench.report import trouble_line
    from npconv.bench.run import Wanted, count, measure
    from npconv.nn.progress import progress_bar

    def tell(kind: str, library: str, text: str) -> None:
        terminal.notice(trouble_line(kind, library, text, terminal.say))

    # Engines come first: every result is compared with theirs.
    wanted = Wanted(
        layers=tuple(options.layers or LAYERS),
        libraries=_unique([*(options.engines or ENGINES),
                           *(PEERS if options.peers is None else options.peers)]),
        directions=_unique(options.directions or DIRECTIONS),
        threads=tuple(sorted(set(options.threads))),
        rounds=1 if options.quick else options.rounds,
        at_least=0.001 if options.quick else 0.05,
        everyday=options.others or options.all,
        training=options.training or options.all,
        examine=options.examine or options.all,
    )  # fmt: skip
    if all(map(missing, wanted.libraries)):
        raise UserError("bench_nobody", names=", ".join(wanted.libraries))
    bar = progress_bar(count(wanted), 0, None)
    try:
        return measure(wanted, bar, tell)
    finally:
        bar.close()


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def lines(record: dict[str, Any], say: Messages) -> list[str]:
    """Write a record as text."""
    from npconv.bench.report import sections

    text: list[str] = []
    for section in sections(record, say):
        text += [section.title, *aligned(section.rows, section.right), ""]
    return text


# ---- files -----------------------------------------------------------------------------------


def _make_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError("not_directory", path=folder)
    folder.mkdir(parents=True, exist_ok=True)


def read(path: str) -> dict[str, Any]:
    """Read a record that `write` wrote."""
    from npconv.bench.run import FORMAT

    try:
        record: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError("no_file", path=path) from None
    except (OSError, ValueError) as error:
        raise UserError("unreadable", path=path, reason=error) from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise UserError("bench_no_record", path=path)
    return record


def write(record: dict[str, Any], folder: Path, terminal: Terminal) -> None:
    """Write data, text in English, and, with matplotlib, the picture."""
    from npconv.bench.picture import picture

    files: dict[str, bytes] = {
        "bench.json": dumped(record).encode(),
        "bench.txt": ("\n".join(lines(record, Messages("en"))).rstrip() + "\n").encode(),
    }
    try:
        files["bench.png"] = picture(record)
    except MissingExtraError as error:
        terminal.notice(terminal.say("bench_no_picture", package=error.name))
    for name, content in files.items():
        (folder / name).write_bytes(content)
        terminal.line(terminal.say("bench_written", path=folder / name))


def dumped(record: dict[str, Any]) -> str:
    """Write a record as JSON, each measurement on a line of its own."""
    parts = []
    for key, value in record.items():
        if key in ("results", "examined", "figures") and value:
            rows = ",\n  ".join(json.dumps(row) for row in value)
            parts.append(f" {json.dumps(key)}: [\n  {rows}\n ]")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
