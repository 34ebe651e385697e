"""One file for each library: `version()`, and `prepare(task, threads)`, which gives a `Call`.

An adapter is imported in its own library's process alone, and imports the library inside
its functions: so the adapters' docs and tests need no peer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from npconv.problem import Array


class Call(NamedTuple):
    """Something ready to be timed.

    ``run`` does the work once; ``arrays`` makes NumPy arrays of what it gave, to be
    compared; ``detail`` says what runs, where the library tells.
    """

    run: Callable[[], Any]
    arrays: Callable[[Any], list[Array]]
    detail: str = ""
