"""The compiled engine: kernels in Python, made into machine code by Numba.

Nothing here is imported before something is to be compiled: Numba takes a second to load.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec


@cache
def why_missing() -> str | None:
    """Say what to install, or None where Numba is there."""
    if find_spec("numba") is None:
        return "it needs Numba: pip install 'npconv[fast]'"
    return None
