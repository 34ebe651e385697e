"""Training by mini-batches, to the same bits however often it is interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from npconv.errors import DTypeError
from npconv.nn.checkpoint import Checkpoint, Position
from npconv.nn.data import check_pair, digest
from npconv.nn.evaluate import LossFunction, Metric, evaluate
from npconv.nn.files import remove_leftovers
from npconv.nn.interrupt import HoldInterrupt
from npconv.nn.layer import Layer
from npconv.nn.losses import softmax_cross_entropy
from npconv.nn.optimizers import Adam, Optimizer, Schedule
from npconv.nn.progress import Bar, progress_bar
from npconv.nn.record import Epoch, History, describe, environment
from npconv.options import real_number, whole_number
from npconv.problem import Array

# (generator, a mini-batch's inputs, which are a copy) to inputs
Augment: TypeAlias = Callable[[np.random.Generator, Array], Array]


def train(
    model: Layer,
    data: Any,
    *,
    validation: Any = None,
    epochs: int = 10,
    batch_size: int = 32,
    optimizer: Optimizer | None = None,
    loss: LossFunction = softmax_cross_entropy,
    metric: Metric | None = None,
    schedule: Schedule | None = None,
    augment: Augment | None = None,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    resume: bool = True,
    checkpoint_seconds: float = 60.0,
    checkpoint_steps: int | None = None,
    progress: bool | None = None,
) -> History:
    """Train a model in place by shuffled mini-batches.

    Parameters
    ----------
    model : Layer
    data : (inputs, targets)
        Two arrays with one entry for each example.
    validation : (inputs, targets), optional
        Evaluated after every epoch, never trained on.
    epochs : int
        How often all examples are seen.
    batch_size : int
        Examples per step; the last mini-batch of an epoch may be smaller.
    optimizer : Optimizer, optional
        By default ``Adam(model)``. It must be one of this model.
    loss : callable
        ``loss(output, targets)`` gives (loss, gradient), a mean over the mini-batch.
    metric : callable, optional
        ``metric(output, targets)`` gives a float for the history, such as `accuracy`.
    schedule : callable, optional
        ``schedule(step, steps)`` gives the factor of the learning rate at a step, such as
        `CosineSchedule`.
    augment : callable, optional
        ``augment(generator, inputs)`` gives what a mini-batch is trained on instead of
        its inputs. Drawing from that generator alone keeps a run repeatable.
    seed : int
        Decides shuffling and augmentation. Weights and dropout have generators of their
        own: seed them when you make the layers (``rng=``).
    checkpoint : path, optional
        A file to keep the run's state in, and to go on from if it is there.
    resume : bool
        False begins anew even if the file is there, and overwrites it.
    checkpoint_seconds, checkpoint_steps : float, int or None
        The file is written before the first step, after every epoch, and within an epoch
        when so many seconds or steps have passed since it was last written.
    progress : bool, optional
        Whether to show a bar (by tqdm; without it there is none). None shows one if
        standard error is a terminal.

    Returns
    -------
    History
        One record per epoch, those before an interruption included.

    Raises
    ------
    ShapeError, DTypeError, UnsupportedError
        Arguments that do not fit each other or are out of range.
    FileFormatError
        The checkpoint is truncated or foreign, or of another model, data, batch size,
        seed or kind of optimiser. Nothing was changed.
    KeyboardInterrupt
        After Ctrl-C, once the step is done and the checkpoint written. A second Ctrl-C
        interrupts at once.

    Warns
    -----
    CheckpointWarning
        The checkpoint began under other versions, settings or choices.

    Notes
    -----
    A run that is interrupted, by SIGKILL too, and started again in the same way ends with
    the same bits as one that was not, on the same machine, versions and settings.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.nn import SGD, Linear, mean_squared_error, train
    >>> x = np.random.default_rng(0).standard_normal((64, 2))
    >>> y = x @ [[1.0], [-2.0]]
    >>> model = Linear(2, 1, rng=0)
    >>> history = train(
    ...     model, (x, y), loss=mean_squared_error, optimizer=SGD(model, lr=0.1), epochs=40
    ... )
    >>> model.weight.round(3)
    array([[ 1., -2.]], dtype=float32)
    """
    if not isinstance(model, Layer):
        raise DTypeError(f"model must be a Layer, but it is of type {type(model).__qualname__}")
    optimizer = optimizer or Adam(model)
    if optimizer.model is not model:
        raise DTypeError("optimizer must be one of the model that is trained")
    data = check_pair("data", data)
    validation = None if validation is None else check_pair("validation", validation)
    model.output_shape((1, *data[0].shape[1:]))
    seed = whole_number("seed", seed, at_least=0)
    shuffle, augmentation = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(2))
    run = _Run(
        model=model,
        data=data,
        validation=validation,
        epochs=whole_number("epochs", epochs, at_least=0),
        batch_size=whole_number("batch_size", batch_size, at_least=1),
        optimizer=optimizer,
        loss=loss,
        metric=metric,
        schedule=schedule,
        augment=augment,
        shuffle=shuffle,
        augmentation=augmentation,
        position=Position(),
        history=History(),
    )
    if checkpoint is not None:
        run.keeper = _Keeper(
            Checkpoint(Path(checkpoint), _identity(run, seed), _choices(run)),
            real_number("checkpoint_seconds", checkpoint_seconds, at_least=0),
            None
            if checkpoint_steps is None
            else whole_number("checkpoint_steps", checkpoint_steps, at_least=1),
        )
        run.begin(resume)
    run.finish(progress)
    return run.history


def _identity(run: _Run, seed: int) -> dict[str, Any]:
    """Say which run this is: without these a recorded position has no meaning."""
    return {
        "model": repr(run.model),
        "data": digest(*run.data),
        "batch_size": run.batch_size,
        "seed": seed,
        "optimizer": type(run.optimizer).__qualname__,
    }


def _choices(run: _Run) -> dict[str, Any]:
    """Say what else decides how the run goes on."""
    return {
        **environment(),
        "hyperparameters": run.optimizer.settings(),
        "loss": describe(run.loss),
        "metric": describe(run.metric),
        "schedule": describe(run.schedule),
        "augment": describe(run.augment),
        "validation": None if run.validation is None else digest(*run.validation),
        # More epochs than before only go on; under a schedule they bend it.
        "epochs": run.epochs if run.schedule else None,
    }


@dataclass(slots=True)
class _Keeper:
    """When to write the checkpoint."""

    file: Checkpoint
    seconds: float
    steps: int | None
    last_time: float = 0.0
    steps_since: int = 0

    def is_due(self) -> bool:
        """Count a step; tell whether it is time."""
        self.steps_since += 1
        late = time.monotonic() - self.last_time >= self.seconds
        return late or (self.steps is not None and self.steps_since >= self.steps)

    def written(self) -> None:
        self.last_time, self.steps_since = time.monotonic(), 0


@dataclass(slots=True)
class _Run:
    """One training run: what it is made of, where it stands, and how it goes on."""

    model: Layer
    data: tuple[Array, Array]
    validation: tuple[Array, Array] | None
    epochs: int
    batch_size: int
    optimizer: Optimizer
    loss: LossFunction
    metric: Metric | None
    schedule: Schedule | None
    augment: Augment | None
    shuffle: np.random.Generator
    augmentation: np.random.Generator
    position: Position
    history: History
    keeper: _Keeper | None = None

    @property
    def steps(self) -> int:
        """Count the steps of an epoch."""
        return -(-len(self.data[0]) // self.batch_size)

    def begin(self, resume: bool) -> None:
        """Go on from the checkpoint if there is one, or write the first."""
        if self.keeper is None:
            return
        remove_leftovers(self.keeper.file.path)
        if resume and self.keeper.file.path.exists():
            self.position, self.history = self.keeper.file.restore(
                self._arrays(), self._generators(), self.steps
            )
            self.keeper.written()
        else:
            self._save(self.shuffle.bit_generator.state)

    def finish(self, progress: bool | None) -> None:
        """Do all steps that are left."""
        done = self.position.epoch * self.steps + self.position.step
        bar = progress_bar(self.epochs * self.steps, done, progress)
        try:
            with HoldInterrupt() as interrupt:
                while self.position.epoch < self.epochs:
                    self._epoch(bar, interrupt)
        finally:
            bar.close()

    def _epoch(self, bar: Bar, interrupt: HoldInterrupt) -> None:
        """Do the rest of an epoch."""
        # Within the epoch a checkpoint holds this state, so that going on draws the same
        # order again and skips the steps that are done.
        before = self.shuffle.bit_generator.state
        order = self.shuffle.permutation(len(self.data[0]))
        while self.position.step < self.steps:
            factor = self._factor()
            self._timed_step(order, factor)
            bar.update()
            last = self.position.step == self.steps
            if last:
                self._end_epoch(bar, self.optimizer.lr * factor)
            if self.keeper and (self.keeper.is_due() or last or interrupt.wanted):
                self._save(self.shuffle.bit_generator.state if last else before)
            if interrupt.wanted:
                raise KeyboardInterrupt
            if last:
                return

    def _timed_step(self, order: Array, factor: float) -> None:
        began = time.perf_counter()
        at = self.position.step * self.batch_size
        self._step(order[at : at + self.batch_size], factor)
        self.position.step += 1
        self.position.seconds += time.perf_counter() - began

    def _step(self, chosen: Array, factor: float) -> None:
        """Forward, backward, and one step of the optimiser on a mini-batch."""
        inputs, targets = self.data[0][chosen], self.data[1][chosen]
        if self.augment:
            inputs = self.augment(self.augmentation, inputs)
        output = self.model.forward(inputs, training=True)
        value, grad = self.loss(output, targets)
        self.model.backward_parameters(grad)
        self.optimizer.step(factor)
        self.position.loss_sum += float(value) * len(chosen)
        if self.metric:
            self.position.metric_sum += float(self.metric(output, targets)) * len(chosen)

    def _factor(self) -> float:
        if self.schedule is None:
            return 1.0
        step = self.position.epoch * self.steps + self.position.step
        return float(self.schedule(step, self.epochs * self.steps))

    def _end_epoch(self, bar: Bar, learning_rate: float) -> None:
        """Validate, and add the epoch to the history."""
        began, count = time.perf_counter(), len(self.data[0])
        held_out: tuple[float | None, float | None] = (None, None)
        if self.validation is not None:
            held_out = evaluate(self.model, self.validation, loss=self.loss, metric=self.metric)
        epoch = Epoch(
            number=self.position.epoch + 1,
            loss=self.position.loss_sum / count,
            learning_rate=learning_rate,
            seconds=self.position.seconds + time.perf_counter() - began,
            metric=self.position.metric_sum / count if self.metric else None,
            validation_loss=held_out[0],
            validation_metric=held_out[1],
        )
        self.history.epochs.append(epoch)
        self.position = Position(epoch=epoch.number)
        bar.set_postfix_str(_figures(epoch))

    def _save(self, shuffle: Any) -> None:
        if self.keeper is None:
            return
        states: dict[str, Any] = {
            name: g.bit_generator.state for name, g in self._generators().items()
        }
        states["shuffle"] = shuffle
        self.keeper.file.save(self._arrays(), states, self.position, self.history)
        self.keeper.written()

    def _arrays(self) -> dict[str, Array]:
        arrays = {f"model.{name}": array for name, array in self.model.state().items()}
        optimizer = self.optimizer.state()
        return arrays | {f"optimizer.{name}": array for name, array in optimizer.items()}

    def _generators(self) -> dict[str, np.random.Generator]:
        named = {"shuffle": self.shuffle, "augment": self.augmentation}
        layers = self.model.generators()
        return named | {f"model.{name}": generator for name, generator in layers.items()}


def _figures(epoch: Epoch) -> str:
    """Write an epoch short enough to stand beside a bar."""
    shown = f"loss {epoch.loss:.3f}"
    if epoch.validation_loss is not None:
        shown += f", validation {epoch.validation_loss:.3f}"
    if epoch.validation_metric is not None:
        shown += f" ({epoch.validation_metric:.3f})"
    return shown
