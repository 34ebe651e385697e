"""Pages of the docs: their code blocks, and the sources that they quote.

``python tests/requote.py`` brings the pages up to date: every block that quotes a source
file is rewritten from that file, and every Korean page gets the code blocks of its English
page. Prose is not touched.

A quoted block stands directly below a comment that names a file and an object in it, or a
part of that object by the texts of its first and last line::

    <!-- source: src/npconv/windows.py::pad -->
    <!-- source: src/npconv/windows.py::im2col from "for entries" to "return col" -->
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```(\w*)$")
MARKER = re.compile(
    r'^<!-- source: (?P<file>[\w/.-]+)(?:::(?P<name>[\w.]+))?(?: from "(?P<first>.+)" '
    r'to "(?P<last>.+)")? -->$'
)


class QuoteError(Exception):
    """A marker that cannot be read, or that names what does not exist."""


@dataclass(frozen=True)
class Block:
    """A fenced block: ``line`` counts from 1 and is that of its first line of text."""

    language: str
    text: str
    line: int
    marker: str = ""


def pages() -> list[Path]:
    return [*readmes(), *sorted((ROOT / "docs").glob("*/*.md"))]


def readmes() -> list[Path]:
    return [ROOT / "README.md", ROOT / "README.ko.md"]


def counterpart(page: Path) -> Path:
    """Give the same page in the other language."""
    if page.parent == ROOT:
        english, korean = readmes()
        return korean if page == english else english
    other = "ko" if page.parent.name == "en" else "en"
    return page.parent.with_name(other) / page.name


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def split(text: str) -> list[str | Block]:
    """Split a page into lines of prose and blocks, in their order."""
    parts: list[str | Block] = []
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        fence = FENCE.match(line)
        if not fence:
            parts.append(line)
            continue
        inside = []
        for _, code in lines:
            if code == "```":
                break
            inside.append(code)
        else:
            raise QuoteError(f"the block that begins at line {number} does not end")
        marker = ""
        if parts and isinstance(parts[-1], str) and parts[-1].startswith("<!-- source:"):
            marker = parts.pop()  # type: ignore[assignment] # it was just seen to be a str
        parts.append(Block(fence[1], "\n".join(inside), number + 1, marker))
    return parts


def blocks(page: Path) -> list[Block]:
    return [part for part in split(read(page)) if isinstance(part, Block)]


def prose(page: Path) -> str:
    return "\n".join(part for part in split(read(page)) if isinstance(part, str))


def join(parts: list[str | Block]) -> str:
    """Write a page again: the inverse of `split`."""
    lines = []
    for part in parts:
        if isinstance(part, str):
            lines.append(part)
        else:
            lines += [part.marker] if part.marker else []
            lines += [f"```{part.language}", *([part.text] if part.text else []), "```"]
    return "\n".join(lines) + "\n"


def source_of(marker: str) -> str:
    """Give the text that a marker names, dedented."""
    found = MARKER.match(marker)
    if not found:
        raise QuoteError(f"a marker of another form than the documented ones: {marker}")
    path = ROOT / found["file"]
    if not path.is_file():
        raise QuoteError(f"no such file: {marker}")
    lines = read(path).splitlines()
    if found["name"]:
        first, last = _lines_of(read(path), found["name"], marker)
        lines = lines[first - 1 : last]
    if found["first"]:
        begin = _find(lines, found["first"], 0, marker)
        end = _find(lines, found["last"], begin, marker)
        lines = lines[begin : end + 1]
    return textwrap.dedent("\n".join(lines)).strip("\n")


def _lines_of(source: str, name: str, marker: str) -> tuple[int, int]:
    """Give the first and last line of a function, class or assignment, decorators included."""
    body: list[ast.stmt] = ast.parse(source).body
    found: list[ast.stmt] = []
    for part in name.split("."):
        found = [node for node in body if part in _names(node)]
        if not found:
            raise QuoteError(f"no {name} there: {marker}")
        body = getattr(found[0], "body", [])
    node = found[0]
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    return first, node.end_lineno or node.lineno


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _find(lines: list[str], text: str, start: int, marker: str) -> int:
    for i in range(start, len(lines)):
        if text in lines[i]:
            return i
    raise QuoteError(f"no line with {text!r} there: {marker}")


def requoted(text: str) -> str:
    """Give a page with its quoted blocks as their files have them now."""
    return join(
        [
            Block(part.language, source_of(part.marker), part.line, part.marker)
            if isinstance(part, Block) and part.marker
            else part
            for part in split(text)
        ]
    )


def with_blocks_of(text: str, other: str) -> str:
    """Give the prose of one page with the blocks of another, one for one."""
    theirs = [part for part in split(other) if isinstance(part, Block)]
    parts = split(text)
    mine = sum(isinstance(part, Block) for part in parts)
    if mine != len(theirs):
        raise QuoteError(f"{mine} code blocks here, but {len(theirs)} in the English page")
    return join([part if isinstance(part, str) else theirs.pop(0) for part in parts])


def main() -> int:
    failed = False
    for page in pages():
        english = page.parent.name == "en" or page.name == "README.md"
        try:
            text = requoted(read(page))
            if not english and counterpart(page).exists():
                text = with_blocks_of(text, requoted(read(counterpart(page))))
        except QuoteError as error:
            print(f"{page.relative_to(ROOT)}: {error}", file=sys.stderr)
            failed = True
            continue
        if text != read(page):
            page.write_text(text, encoding="utf-8", newline="\n")
            print(f"{page.relative_to(ROOT)}: brought up to date")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
