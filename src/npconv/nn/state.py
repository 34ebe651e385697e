"""Arrays by name: compared with what a file holds, and only then filled from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from npconv.errors import FileFormatError
from npconv.problem import Array


def check_state(state: Mapping[str, Array], found: Mapping[str, Array], path: str | Path) -> None:
    """Refuse arrays whose names, shapes or dtypes are not those of `state`."""
    if missing := sorted(state.keys() - found.keys()):
        raise FileFormatError(
            f"{path}: needs the array {missing[0]!r} of shape {state[missing[0]].shape}, "
            f"but the file holds {_names(found)}"
        )
    if foreign := sorted(found.keys() - state.keys()):
        raise FileFormatError(
            f"{path}: holds the array {foreign[0]!r}, but the model has {_names(state)}"
        )
    for name, array in state.items():
        for what in ("shape", "dtype"):
            needed, came = getattr(array, what), getattr(found[name], what)
            if needed != came:
                raise FileFormatError(
                    f"{path}: array {name!r} must have {what} {needed}, but it has {what} {came}"
                )


def fill_state(state: Mapping[str, Array], found: Mapping[str, Array]) -> None:
    """Copy into the live arrays, so that whoever holds them sees the new values."""
    for name, array in state.items():
        array[...] = found[name]


def _names(arrays: Mapping[str, Array]) -> str:
    names = sorted(arrays)
    shown = ", ".join(map(repr, names[:8])) + (", ..." if len(names) > 8 else "")
    return shown or "no array"
