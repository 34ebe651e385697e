"""What a training run reports: one record per epoch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch's figures: means over all examples; None for what was not asked for.

    `loss` and `metric` are those of the mini-batches as they were trained on (augmented,
    with dropout, while the weights moved), the validation's those of the epoch's end.
    `learning_rate` is that of the last step.

    Examples
    --------
    >>> from npconv.nn import Epoch
    >>> Epoch(number=1, loss=0.5, learning_rate=0.1, seconds=2.0).validation_loss is None
    True
    """

    number: int
    loss: float
    learning_rate: float
    seconds: float
    metric: float | None = None
    validation_loss: float | None = None
    validation_metric: float | None = None


@dataclass(slots=True)
class History:
    """The epochs of a training run, in order.

    Examples
    --------
    >>> from npconv.nn import Epoch, History
    >>> history = History([Epoch(1, 0.5, 0.1, 2.0), Epoch(2, 0.25, 0.1, 2.0)])
    >>> history.column("loss")
    [0.5, 0.25]
    """

    epochs: list[Epoch] = field(default_factory=list)

    def column(self, name: str) -> list[Any]:
        """List one figure of all epochs, such as ``"validation_loss"``."""
        return [getattr(epoch, name) for epoch in self.epochs]

    def as_dicts(self) -> list[dict[str, Any]]:
        """List the epochs as plain data, such as JSON holds."""
        return [asdict(epoch) for epoch in self.epochs]

    def __len__(self) -> int:
        return len(self.epochs)
