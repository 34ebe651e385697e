"""Show the options behind ``**options`` in a function's signature, for help() and editors."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

DEFAULTS: dict[str, Any] = {
    "stride": 1,
    "padding": 0,
    "output_padding": 0,
    "dilation": 1,
    "input_dilation": 1,
    "groups": 1,
    "batch_groups": 1,
    "padding_mode": "zeros",
    "layout": None,
    "kernel_layout": None,
    "dtype": None,
    "algorithm": "auto",
    "out": None,
}


def spelled_out(options: type) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Replace ``**options`` in the signature shown by the names of a TypedDict.

    Only what is shown changes: the options still travel as one, and are checked in one
    place. Python checks calls against the code, not against what is shown.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)
        shown = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        shown += [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=DEFAULTS[name])
            for name in inspect.get_annotations(options)
        ]
        function.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined] # where inspect looks first
        return function

    return decorate
