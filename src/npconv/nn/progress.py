"""A progress bar by tqdm, where there is one and someone looks."""

from __future__ import annotations

import sys
from typing import Protocol


class Bar(Protocol):
    """What training needs of a bar."""

    def update(self, n: int = 1) -> object:
        """Move on by `n` steps."""

    def set_postfix_str(self, s: str) -> object:
        """Show figures beside the bar."""

    def close(self) -> object:
        """End it."""


class _NoBar:
    def update(self, n: int = 1) -> None:
        pass

    def set_postfix_str(self, s: str) -> None:
        pass

    def close(self) -> None:
        pass


def progress_bar(total: int, done: int, wanted: bool | None) -> Bar:
    """Open a bar on standard error; None wants one if that is a terminal."""
    if wanted is None:
        wanted = sys.stderr is not None and sys.stderr.isatty()
    if not wanted:
        return _NoBar()
    try:
        from tqdm import tqdm
    except ImportError:
        return _NoBar()
    bar: Bar = tqdm(total=total, initial=done, unit="step", dynamic_ncols=True)
    return bar
