"""Checkpoints: everything that decides how a training run goes on, in one file.

Parameters and running statistics, the optimiser's arrays, the state of every random
generator, the position, the history; and, to tell whether this is the same run, what it
was of (model, data, batches, seed) and what else its bits depend on.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from npconv.errors import FileFormatError
from npconv.nn.files import check_state, fill_state, read_arrays, write_arrays
from npconv.nn.record import Epoch, History, differences
from npconv.problem import Array

_FORMAT = "npconv checkpoint 1"
_META = "meta"


class CheckpointWarning(UserWarning):
    """A run goes on under other versions, settings or choices than it began with.

    Examples
    --------
    >>> from npconv.nn import CheckpointWarning
    >>> issubclass(CheckpointWarning, UserWarning)
    True
    """


@dataclass(slots=True)
class Position:
    """How far a run has come, and what the epoch has added up so far."""

    epoch: int = 0  # finished epochs
    step: int = 0  # finished steps of the next one
    loss_sum: float = 0.0
    metric_sum: float = 0.0
    seconds: float = 0.0

    @property
    def sums(self) -> tuple[float, float, float]:
        """What the epoch has added up so far."""
        return self.loss_sum, self.metric_sum, self.seconds


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint file of one run; the live objects of the run are given to each call."""

    path: Path
    run: dict[str, Any]  # what must agree, or the file belongs to another run
    choices: dict[str, Any]  # what may differ, with a warning

    def save(
        self,
        arrays: Mapping[str, Array],
        generators: Mapping[str, Any],
        position: Position,
        history: History,
    ) -> None:
        """Write the file, whole or not at all. Generators are given by their states."""
        meta = {
            "format": _FORMAT,
            "run": self.run,
            "choices": self.choices,
            "generators": _plain(generators),
            "position": asdict(position),
            "history": history.as_dicts(),
        }
        text = np.frombuffer(json.dumps(meta).encode(), np.uint8)
        write_arrays(self.path, {_META: text, **arrays})

    def restore(
        self,
        arrays: Mapping[str, Array],
        generators: Mapping[str, np.random.Generator],
        steps: int,
    ) -> tuple[Position, History]:
        """Fill the live arrays and generators from the file, if all of it fits them.

        `steps` is how many an epoch has.

        Raises
        ------
        FileFormatError
            The file is truncated, foreign, or belongs to another run; nothing was changed.
        OSError
            The file cannot be opened.

        Warns
        -----
        CheckpointWarning
            Versions, settings or choices differ.
        """
        found = read_arrays(self.path)
        meta = self._meta(found.pop(_META, None))
        if different := differences(meta["run"], self.run):
            raise FileFormatError(
                f"{self.path}: is the checkpoint of another run: {'; '.join(different)}; "
                "give another path, or resume=False to begin anew and overwrite it"
            )
        check_state(arrays, found, self.path)
        self._check_generators(meta["generators"], generators)
        position, history = self._progress(meta, steps)
        if different := differences(meta["choices"], self.choices):
            warnings.warn(
                f"{self.path} goes on differently than it began, so its bits may differ "
                f"from those of an undisturbed run: {'; '.join(different)}",
                CheckpointWarning,
                stacklevel=3,
            )
        fill_state(arrays, found)
        for name, generator in generators.items():
            generator.bit_generator.state = _arrays(meta["generators"][name])
        return position, history

    def _meta(self, text: Array | None) -> dict[str, Any]:
        try:
            meta = json.loads(text.tobytes()) if text is not None else None
        except (ValueError, RecursionError):
            meta = None
        if not isinstance(meta, dict) or meta.get("format") != _FORMAT:
            raise FileFormatError(f"{self.path}: needed an {_FORMAT!r}, but it is none")
        kinds = {
            "run": dict,
            "choices": dict,
            "generators": dict,
            "position": dict,
            "history": list,
        }
        for name, kind in kinds.items():
            if not isinstance(meta.get(name), kind):
                raise FileFormatError(f"{self.path}: needed {name!r} in its {_META!r}")
        return meta

    def _progress(self, meta: dict[str, Any], steps: int) -> tuple[Position, History]:
        try:
            position = Position(**meta["position"])
            history = History([Epoch(**epoch) for epoch in meta["history"]])
            numbers = [epoch.number for epoch in history.epochs]
            fits = numbers == list(range(1, position.epoch + 1))
            fits = fits and position.step in range(steps)
            fits = fits and all(isinstance(sum, float) for sum in position.sums)
        except TypeError:
            fits = False
        if not fits:
            raise FileFormatError(
                f"{self.path}: its position {meta['position']} does not fit its history of "
                f"{len(meta['history'])} epochs of {steps} steps"
            )
        return position, history

    def _check_generators(
        self, found: dict[str, Any], generators: Mapping[str, np.random.Generator]
    ) -> None:
        """Try every state on a generator of the same kind that nobody holds."""
        if found.keys() != generators.keys():
            raise FileFormatError(
                f"{self.path}: needed the generators {sorted(generators)}, "
                f"but it holds {sorted(found)}"
            )
        for name, generator in generators.items():
            try:
                type(generator.bit_generator)().state = _arrays(found[name])
            except (TypeError, ValueError, KeyError, OverflowError) as error:
                raise FileFormatError(
                    f"{self.path}: the state of generator {name!r} does not fit: {error}"
                ) from error


def _plain(value: Any) -> Any:
    """Turn arrays inside a generator's state into lists that JSON can hold."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, np.ndarray):
        return {"dtype": value.dtype.str, "values": value.tolist()}
    return value.item() if isinstance(value, np.generic) else value


def _arrays(value: Any) -> Any:
    """Undo `_plain`."""
    if isinstance(value, dict) and value.keys() == {"dtype", "values"}:
        return np.array(value["values"], np.dtype(value["dtype"]))
    if isinstance(value, dict):
        return {name: _arrays(inner) for name, inner in value.items()}
    return value
