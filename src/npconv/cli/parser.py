"""argparse, speaking the reader's language and failing in one line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from npconv.cli.terminal import width
from npconv.messages import LANGUAGES, Messages, UserError, ko

T = TypeVar("T")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are exceptions: `main` says them in one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=Formatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving."""
        raise UserError("bad_arguments", message=message, program=self.prog)


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help that keeps the lines of descriptions, and wraps Hangul by the width it has."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return wrapped(text, width)


def wrapped(text: str, columns: int) -> list[str]:
    """Break a text into lines of at most so many screen columns."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if width(longer) <= columns:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


@contextmanager
def argparse_in(language: str) -> Iterator[None]:
    """Have argparse say its own words ("usage", "invalid choice") in a language.

    It asks gettext for them under these two names, but Python ships no Korean for it.
    """
    names = vars(argparse)
    before = {name: names[name] for name in ("_", "ngettext")}
    words = ko.ARGPARSE if language == "ko" else {}

    def translate(text: str) -> str:
        return words.get(text, text)

    def translate_plural(one: str, many: str, count: int) -> str:
        return translate(one if count == 1 else many)

    names.update(_=translate, ngettext=translate_plural)
    try:
        yield
    finally:
        names.update(before)


def typed(say: Messages, convert: Callable[[str], T]) -> Callable[[str], T]:
    """Let a converter's UserError be told by argparse, with the option's name before it."""

    def convert_or_tell(text: str) -> T:
        try:
            return convert(text)
        except UserError as error:
            raise argparse.ArgumentTypeError(error.said(say)) from None

    return convert_or_tell


def find_language(arguments: Sequence[str]) -> str | None:
    """Look for --lang before all else: the help is in that language too."""
    parser = Parser(prog="npconv", add_help=False)
    parser.add_argument("--lang", choices=LANGUAGES)
    language: str | None = parser.parse_known_args(arguments)[0].lang
    return language


def add_common(parser: Parser, say: Messages) -> None:
    """Add the options that every command has."""
    common = parser.add_argument_group(say("common_options"))
    common.add_argument("--json", action="store_true", help=say("help_json"))
    # Its value was found already; here it is told and allowed for.
    common.add_argument("--lang", choices=LANGUAGES, help=say("help_lang"))
    common.add_argument("-h", "--help", action="help", help=say("help_help"))


def examples(say: Messages, lines: Sequence[tuple[str, str]]) -> str:
    """Lay out a command's examples: each with a word on what it does."""
    parts = [say("examples")]
    for command, key in lines:
        parts += [f"  # {say(key)}", f"  {command}"]
    return "\n".join(parts)
