"""The program `npconv`: language, command, errors and exit status.

`main` finds the language, lets the command's own module parse and run, and turns every
error into one line and an exit status: 0 when all that was checked held, 1 when a check
failed, 2 for a wrong argument or file, 130 after Ctrl-C.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from npconv._version import __version__
from npconv.cli import bench, check, compile, demo, filter, plan, train
from npconv.cli.parser import Parser, add_common, argparse_in, examples, find_language
from npconv.cli.terminal import Terminal, can_show, prepare_streams, write
from npconv.errors import ConvError, MissingExtraError
from npconv.messages import LANGUAGES, Messages, UserError, language_of_locale

COMMANDS: dict[str, Any] = {
    "demo": demo,
    "check": check,
    "train": train,
    "filter": filter,
    "plan": plan,
    "bench": bench,
    "compile": compile,
}

HOLDS, FAILS, WRONG, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the program's name; by default that of this process.

    Returns
    -------
    int
        0: all that was checked held. 1: a check failed. 2: a wrong argument or file,
        told in one line on standard error. 130: interrupted. 141: nobody reads.

    Examples
    --------
    >>> from npconv.cli import main
    >>> main(["plan", "1,3,8,8", "4,3,3,3", "--lang", "en"])  # doctest: +ELLIPSIS
    forward: (1, 3, 8, 8) * (4, 3, 3, 3) -> (1, 4, 6, 6), float32
    ...
    0
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    prepare_streams()
    say = _readable(Messages(language_of_locale()))
    try:
        chosen = find_language(given)
        say = _readable(Messages(chosen)) if chosen else say
        return _run(given, say, report_language=chosen or say.language)
    except SystemExit as leaving:  # argparse, after --help or --version
        return leaving.code if isinstance(leaving.code, int) else HOLDS
    except KeyboardInterrupt:
        return _tell(say("interrupted"), say, INTERRUPTED)
    except BrokenPipeError:
        # The reader has gone (`npconv plan ... | head`). What Python still holds for it
        # goes nowhere, or its own farewell would complain.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except UserError as error:
        return _tell(error.said(say), say, WRONG)
    except MissingExtraError as error:
        text = say("missing_extra", package=error.name) if error.name else str(error)
        return _tell(text, say, WRONG)
    except ConvError as error:
        return _tell(str(error), say, WRONG)
    except MemoryError:
        return _tell(say("no_memory"), say, WRONG)
    except OSError as error:
        return _tell(say("unwritable", path=error.filename or "", reason=error), say, WRONG)


def _run(given: list[str], say: Messages, report_language: str) -> int:
    with argparse_in(say.language):
        parser = _parser(say)
        _refuse_unknown_command(given)
        options = parser.parse_args(given)
    if not options.command:
        parser.print_help()
        return WRONG
    terminal = Terminal(say, json=options.json)
    options.lang = report_language
    with warnings.catch_warnings():
        # A warning is one line too, not a place in the source.
        warnings.showwarning = lambda message, *_, **__: terminal.notice(
            say("warning", text=message)
        )
        status: int = COMMANDS[options.command].run(options, terminal)
    return status


def _parser(say: Messages) -> Parser:
    parser = Parser(
        prog="npconv",
        description=say("about"),
        epilog=examples(say, [("npconv demo", "example_demo"), ("npconv check", "example_check")]),
        add_help=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title=say("commands"))
    for name, module in COMMANDS.items():
        one = commands.add_parser(
            name,
            help=say(f"{name}_brief"),
            description=say(f"{name}_about"),
            epilog=examples(say, module.EXAMPLES),
            add_help=False,
        )
        module.add_arguments(one, say)
        add_common(one, say)
    parser.add_argument("--lang", choices=LANGUAGES, help=say("help_lang"))
    parser.add_argument(
        "--version", action="version", version=f"npconv {__version__}", help=say("help_version")
    )
    parser.add_argument("-h", "--help", action="help", help=say("help_help"))
    return parser


def _refuse_unknown_command(given: Sequence[str]) -> None:
    """Name the commands there are, which argparse would bury in brackets."""
    words = iter(given)
    for word in words:
        if word == "--lang":
            next(words, None)
        elif not word.startswith("-"):
            if word not in COMMANDS:
                raise UserError("unknown_command", name=word, commands=", ".join(COMMANDS))
            return


def _readable(say: Messages) -> Messages:
    """Keep to English where the terminal's encoding has no Hangul."""
    return say if can_show(say("about")) else Messages("en")


def _tell(text: str, say: Messages, status: int) -> int:
    write(sys.stderr, say("error", text=" ".join(text.split())))
    return status
