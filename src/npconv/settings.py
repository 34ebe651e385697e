"""Settings: engine, threads, workspace limit and accuracy, for a block of code.

Precedence: the argument of a call, the innermost `settings`, the environment, the default.
The environment is read once, at first use.
"""

from __future__ import annotations

import os
from contextvars import ContextVar, Token
from functools import cache
from typing import Any, NamedTuple, Self

from npconv.compiled import why_missing
from npconv.errors import ConvError, MissingExtraError, UnsupportedError, show
from npconv.options import whole_number
from npconv.processors import usable_cpus

ENGINES = ("numpy", "compiled")
ACCURACIES = ("standard", "strict")


class Settings(NamedTuple):
    """Settings in force: what a plan freezes. ``workspace_limit`` is in bytes."""

    engine: str = "numpy"
    threads: int = 1
    workspace_limit: int = 64 * 2**20
    accuracy: str = "standard"


_current: ContextVar[Settings | None] = ContextVar("npconv.settings", default=None)


class settings:
    """Context manager that changes settings inside a ``with`` block.

    Parameters
    ----------
    engine : {"numpy", "compiled"}, optional
        Which engine computes. "compiled", the default where Numba is installed, admits
        algorithms that Numba makes into machine code, beside those of NumPy; the first call of
        a kind takes some seconds to compile, once on a machine.
    threads : int, optional
        How many threads the engine may use, at least 1; by default what the machine allows.
    workspace_limit : int, optional
        Bytes that npconv's working arrays may take in total; 64 MiB by default.
    accuracy : {"standard", "strict"}, optional
        "strict" admits direct summation only.

    None inherits. The settings hold for the current context (see `contextvars`); they do
    not cross into threads you start yourself. Environment variables ``NPCONV_ENGINE``,
    ``NPCONV_NUM_THREADS``, ``NPCONV_WORKSPACE`` (bytes) and ``NPCONV_ACCURACY`` give defaults.

    Raises
    ------
    UnsupportedError
        An unknown name.
    MissingExtraError
        ``engine="compiled"`` without Numba.
    ShapeError, DTypeError
        A number that is not a positive integer.

    Examples
    --------
    >>> import numpy as np, npconv
    >>> with npconv.settings(workspace_limit=2**20):
    ...     plan = npconv.plan_conv((1, 64, 224, 224), (64, 64, 3, 3), padding=1)
    >>> plan.workspace_bytes <= 2**20
    True
    """

    def __init__(
        self,
        engine: str | None = None,
        threads: int | None = None,
        workspace_limit: int | None = None,
        accuracy: str | None = None,
    ) -> None:
        given = {
            "engine": engine,
            "threads": threads,
            "workspace_limit": workspace_limit,
            "accuracy": accuracy,
        }
        self._changes = _checked({name: v for name, v in given.items() if v is not None})
        self._tokens: list[Token[Settings | None]] = []

    def __enter__(self) -> Self:
        """Put the changes in force."""
        self._tokens.append(_current.set(current_settings()._replace(**self._changes)))
        return self

    def __exit__(self, *exception: object) -> None:
        """Restore what was in force before."""
        _current.reset(self._tokens.pop())


def current_settings() -> Settings:
    """Return the settings in force here and now."""
    return _current.get() or _from_environment()


@cache
def _from_environment() -> Settings:
    given: dict[str, Any] = {}
    for name, variable, is_number in (
        ("engine", "NPCONV_ENGINE", False),
        ("threads", "NPCONV_NUM_THREADS", True),
        ("workspace_limit", "NPCONV_WORKSPACE", True),
        ("accuracy", "NPCONV_ACCURACY", False),
    ):
        text = os.environ.get(variable, "")
        if not text:
            continue
        if is_number and not (text.isdecimal() and len(text) < 20):
            raise UnsupportedError(f"{variable} must be a positive integer, but it is {show(text)}")
        try:
            given |= _checked({name: int(text) if is_number else text})
        except ConvError as error:
            raise type(error)(f"{variable} in the environment: {error}") from None
    engine = "numpy" if why_missing() else "compiled"
    return Settings(engine=engine, threads=usable_cpus())._replace(**given)


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    for name, names in (("engine", ENGINES), ("accuracy", ACCURACIES)):
        if name in given and not (isinstance(given[name], str) and given[name] in names):
            raise UnsupportedError(
                f"{name} must be one of {', '.join(map(repr, names))}, "
                f"but {name}={show(given[name])}"
            )
    for name in ("threads", "workspace_limit"):
        if name in given:
            given[name] = whole_number(name, given[name], at_least=1)
    if given.get("engine") == "compiled" and (missing := why_missing()):
        raise MissingExtraError(f"engine='compiled' cannot be used: {missing}")
    return given
