"""What the command line and the report say, in English and Korean.

One catalogue per language and part, with the same keys and the same placeholders in
each; a test compares them. Everything that a person reads is looked up here.
"""

from __future__ import annotations

import locale
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from npconv.errors import ConvError
from npconv.messages import bench_en, bench_ko, en, ko, report_en, report_ko

LANGUAGES = ("en", "ko")

CATALOGUES: Mapping[str, Mapping[str, str]] = {
    "en": {**en.TEXTS, **report_en.TEXTS, **bench_en.TEXTS},
    "ko": {**ko.TEXTS, **report_ko.TEXTS, **bench_ko.TEXTS},
}


@dataclass(frozen=True, slots=True)
class Messages:
    """One language's texts, by key.

    Examples
    --------
    >>> from npconv.messages import Messages
    >>> Messages("en")("error", text="no such file")
    'npconv: no such file'
    """

    language: str

    def __call__(self, key: str, **values: Any) -> str:
        """Look a text up and fill in its placeholders."""
        text = CATALOGUES[self.language][key]
        return text.format(**values) if values else text


class UserError(ConvError, ValueError):
    """A wrong argument or file on the command line; its words come from the catalogue.

    Examples
    --------
    >>> from npconv.messages import Messages, UserError
    >>> error = UserError("no_file", path="cat.png")
    >>> str(error)
    'there is no file cat.png'
    >>> error.said(Messages("ko"))
    'cat.png 파일이 없습니다'
    """

    def __init__(self, key: str, **values: Any) -> None:
        self.key, self.values = key, values
        super().__init__(self.said(Messages("en")))

    def said(self, messages: Messages) -> str:
        """Say it in the language of `messages`."""
        return messages(self.key, **self.values)


def language_of_locale(environment: Mapping[str, str] | None = None) -> str:
    """Tell the language a user's environment asks for: Korean, or else English.

    As POSIX has it, the first of LC_ALL, LC_MESSAGES and LANG that is set decides; where
    none is, as on Windows, the system's own locale does.

    Examples
    --------
    >>> from npconv.messages import language_of_locale
    >>> language_of_locale({"LC_ALL": "", "LANG": "ko_KR.UTF-8"})
    'ko'
    """
    variables = os.environ if environment is None else environment
    names = [variables.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG")]
    chosen = next(filter(None, names), None) or locale.getlocale()[0] or ""
    return (
        "ko"
        if chosen.lower().startswith(("ko_", "ko-", "ko.", "korean")) or chosen == "ko"
        else "en"
    )
