"""A person's terminal, or whatever standard output is: text, tables, and data as JSON."""

from __future__ import annotations

import json
import math
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from npconv.messages import Messages


@dataclass(slots=True)
class Terminal:
    """Where a command speaks: people's text unless ``json`` is asked for, errors apart."""

    say: Messages
    json: bool = False

    def line(self, text: str = "") -> None:
        """Write a line for people."""
        if not self.json:
            write(sys.stdout, text)

    def data(self, value: Any) -> None:
        """Write data for programs."""
        if self.json:
            write(sys.stdout, json.dumps(plain(value), ensure_ascii=True, indent=2))

    def table(self, rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
        """Write rows in columns; those numbered in ``right`` end together."""
        for text in aligned(rows, right):
            self.line(text)

    def notice(self, text: str) -> None:
        """Write one line to standard error."""
        write(sys.stderr, " ".join(text.split()))


def write(stream: TextIO | None, text: str) -> None:
    """Write a line; without a stream (a program without a console) do nothing."""
    if stream is not None:
        stream.write(text + "\n")
        stream.flush()


def prepare_streams() -> None:
    """Have what a terminal's encoding lacks replaced, so that no text can be an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def can_show(text: str) -> bool:
    """Tell whether standard output's encoding has all of a text."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Pad cells to columns by the width they have on a screen, where Hangul takes two."""
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for i, (cell, whole) in enumerate(zip(row, widths, strict=True)):
            gap = " " * (whole - width(cell))
            cells.append(gap + cell if i in right else cell + gap)
        lines.append("  " + "   ".join(cells).rstrip())
    return lines


def width(text: str) -> int:
    """Count the columns a text takes on a screen."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def plain(value: Any) -> Any:
    """Turn tuples into lists and what JSON has no number for (NaN, infinity) into null."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
