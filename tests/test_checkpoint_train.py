"""Training: it learns, repeats itself bit for bit, and goes on from checkpoints."""

from __future__ import annotations

import builtins
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import npconv
from npconv import nn
from npconv.nn.files import read_arrays, write_arrays
from npconv.nn.interrupt import HoldInterrupt
from npconv.nn.progress import progress_bar
from npconv.problem import Array

X = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)
Y = (X[:, 0] > X[:, 1]).astype(np.int64)


def make_model(p: float = 0.2) -> nn.Sequential:
    rng = np.random.default_rng(3)
    return nn.Sequential(
        nn.Linear(6, 8, rng=rng),
        nn.BatchNorm(8),
        nn.ReLU(),
        nn.Dropout(p, rng=rng),
        nn.Linear(8, 2, rng=rng),
    )


def jitter(rng: np.random.Generator, x: Array) -> Array:
    x += rng.normal(0, 0.1, x.shape).astype(x.dtype)
    return x


def run(model: nn.Sequential, **options: Any) -> nn.History:
    settings: dict[str, Any] = {
        "epochs": 3,
        "batch_size": 16,
        "validation": (X[:10], Y[:10]),
        "optimizer": nn.Adam(model, lr=0.01),
        "metric": nn.accuracy,
        "augment": jitter,
    }
    return nn.train(model, (X, Y), **(settings | options))


def bits(model: nn.Layer) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in model.state().items()}


def figures(history: nn.History) -> list[dict[str, Any]]:
    return [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in history.as_dicts()]


class StopError(Exception):
    """Stands for whatever stops a run."""


def stop_after(steps: int, error: BaseException | None = None) -> Callable[..., nn.Loss]:
    """Make a loss that stops the run in the middle of a step."""
    left = steps

    def stopping_loss(output: Any, target: Any) -> nn.Loss:
        nonlocal left
        # Validation calls the loss, too, but with the model at rest.
        left -= len(target) != 10
        if left < 0:
            raise error or StopError
        return nn.softmax_cross_entropy(output, target)

    # so that the checkpoint sees the loss of the undisturbed run
    stopping_loss.__qualname__ = nn.softmax_cross_entropy.__qualname__
    stopping_loss.__module__ = nn.softmax_cross_entropy.__module__
    return stopping_loss


# ---- learning -------------------------------------------------------------------------------


def test_it_learns() -> None:
    model = make_model()
    history = run(model, epochs=30)
    assert len(history) == 30
    assert history.column("number") == list(range(1, 31))
    losses = history.column("loss")
    assert losses[-1] < 0.5 * losses[0]
    assert history.column("validation_metric")[-1] >= 0.9
    assert nn.evaluate(model, (X, Y), metric=nn.accuracy)[1] == pytest.approx(0.95, abs=0.06)


def test_figures_are_means_over_all_examples() -> None:
    model = nn.Linear(6, 2, rng=0)
    expected = nn.evaluate(model, (X, Y), metric=nn.accuracy)
    still = nn.SGD(model, lr=0)
    [epoch] = nn.train(
        model,
        (X, Y),
        epochs=1,
        batch_size=16,
        optimizer=still,
        metric=nn.accuracy,
        validation=(X, Y),
    ).epochs
    assert epoch.loss == pytest.approx(expected[0])
    assert epoch.metric == pytest.approx(expected[1])
    assert epoch.validation_loss == pytest.approx(expected[0])
    assert epoch.validation_metric == expected[1]
    assert epoch.seconds > 0


def test_every_example_is_seen_once_in_an_epoch() -> None:
    seen: list[float] = []

    def note(rng: np.random.Generator, x: Array) -> Array:  # noqa: ARG001
        seen.extend(x[:, 0].tolist())
        return x

    run(make_model(), epochs=2, augment=note)
    assert len(seen) == 100
    assert seen[:50] != seen[50:]
    assert sorted(seen[:50]) == sorted(seen[50:]) == sorted(X[:, 0].tolist())


def test_the_data_is_not_written_to() -> None:
    before = X.copy()
    run(make_model())
    np.testing.assert_array_equal(X, before)


def test_the_schedule_sets_the_learning_rate() -> None:
    asked: list[tuple[int, int]] = []

    def falling(step: int, steps: int) -> float:
        asked.append((step, steps))
        return 1 / (step + 1)

    history = run(make_model(), schedule=falling)
    assert asked == [(step, 12) for step in range(12)]
    assert history.column("learning_rate") == pytest.approx([0.01 / 4, 0.01 / 8, 0.01 / 12])


def test_the_same_seeds_give_the_same_bits() -> None:
    first, second, third = make_model(), make_model(), make_model()
    histories = [run(first), run(second), run(third, seed=1)]
    assert bits(first) == bits(second) != bits(third)
    assert figures(histories[0]) == figures(histories[1]) != figures(histories[2])


def test_a_checkpoint_changes_no_bit(tmp_path: Path) -> None:
    first, second = make_model(), make_model()
    run(first)
    run(second, checkpoint=tmp_path / "run.npz", checkpoint_steps=1)
    assert bits(first) == bits(second)


# ---- going on -------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 1, 3, 4, 5, 8, 11])
@pytest.mark.parametrize("optimizer", ["Adam", "SGD"])
def test_stopped_and_started_again(tmp_path: Path, steps: int, optimizer: str) -> None:
    def optimizer_of(model: nn.Layer) -> nn.Optimizer:
        if optimizer == "Adam":
            return nn.Adam(model, lr=0.01)
        return nn.SGD(model, lr=0.01, momentum=0.9, weight_decay=1e-3, nesterov=True)

    model = make_model()
    options: dict[str, Any] = {"schedule": nn.CosineSchedule(0.2)}
    whole = run(model, optimizer=optimizer_of(model), **options)
    options |= {"checkpoint": tmp_path / "run.npz", "checkpoint_steps": 2}
    stopped = make_model()
    with pytest.raises(StopError):
        run(stopped, loss=stop_after(steps), optimizer=optimizer_of(stopped), **options)
    again = make_model(p=0.2)
    history = run(again, optimizer=optimizer_of(again), **options)
    assert bits(again) == bits(model)
    assert figures(history) == figures(whole)


@pytest.mark.parametrize("bit_generator", [np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_other_generators_are_kept_too(tmp_path: Path, bit_generator: Any) -> None:
    def model_of() -> nn.Sequential:
        generator = np.random.Generator(bit_generator(1))
        return nn.Sequential(nn.Dropout(0.3, rng=generator), nn.Linear(6, 2, rng=0))

    whole, stopped, again = model_of(), model_of(), model_of()
    run(whole)
    options: dict[str, Any] = {"checkpoint": tmp_path / "run.npz", "checkpoint_steps": 1}
    with pytest.raises(StopError):
        run(stopped, loss=stop_after(5), **options)
    run(again, **options)
    assert bits(again) == bits(whole)


def test_a_finished_run_is_only_read(tmp_path: Path) -> None:
    model, again = make_model(), make_model()
    path = tmp_path / "run.npz"
    history = run(model, checkpoint=path)
    before = path.read_bytes()
    assert figures(run(again, checkpoint=path)) == figures(history)
    assert bits(again) == bits(model)
    assert path.read_bytes() == before


def test_more_epochs_go_on(tmp_path: Path) -> None:
    whole, longer = make_model(), make_model()
    run(whole, epochs=5)
    run(longer, epochs=2, checkpoint=tmp_path / "run.npz")
    history = run(longer, epochs=5, checkpoint=tmp_path / "run.npz")
    assert len(history) == 5
    assert bits(longer) == bits(whole)


def test_resume_false_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    path.write_text("not a checkpoint at all")
    with pytest.raises(npconv.FileFormatError):
        run(make_model(), checkpoint=path)
    model, plain = make_model(), make_model()
    run(plain)
    run(model, checkpoint=path, resume=False)
    assert bits(model) == bits(plain)
    read_arrays(path)


def test_ctrl_c_finishes_the_step_and_leaves_a_checkpoint(tmp_path: Path) -> None:
    whole, stopped = make_model(), make_model()
    run(whole)
    steps = 0

    def pressing(rng: np.random.Generator, x: Array) -> Array:
        nonlocal steps
        steps += 1
        if steps == 6:
            signal.raise_signal(signal.SIGINT)
        return jitter(rng, x)

    pressing.__qualname__, pressing.__module__ = jitter.__qualname__, jitter.__module__
    options: dict[str, Any] = {"checkpoint": tmp_path / "run.npz"}
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(stopped, augment=pressing, **options)
    assert signal.getsignal(signal.SIGINT) is handler
    assert steps == 6
    # nothing of the six steps is lost
    assert bits(stopped) == {
        name.removeprefix("model."): array.tobytes()
        for name, array in read_arrays(tmp_path / "run.npz").items()
        if name.startswith("model.")
    }
    again = make_model()
    run(again, **options)
    assert bits(again) == bits(whole)


def test_a_second_ctrl_c_interrupts_at_once() -> None:
    with HoldInterrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert interrupt.wanted
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_keyboard_interrupt_from_elsewhere_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    whole, again = make_model(), make_model()
    run(whole)
    options: dict[str, Any] = {"checkpoint": tmp_path / "run.npz"}
    with pytest.raises(KeyboardInterrupt):
        run(make_model(), loss=stop_after(6, KeyboardInterrupt()), **options)
    run(again, **options)
    assert bits(again) == bits(whole)


# ---- checkpoints that do not belong here ---------------------------------------------------------


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "run.npz"
    run(make_model(), checkpoint=path, epochs=2)
    return path


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"batch_size": 8}, "batch_size was 16, is 8"),
        ({"seed": 9}, "seed was 0, is 9"),
        ({"optimizer": nn.SGD}, "optimizer was 'Adam', is 'SGD'"),
        ({"model": make_model(p=0.5)}, r"Dropout\(0.2\).*Dropout\(0.5\)"),
        ({"data": (X + 1, Y)}, "data was"),
    ],
)
def test_another_run_is_refused_and_nothing_changed(
    checkpoint: Path, change: dict[str, Any], text: str
) -> None:
    model = change.get("model", make_model())
    data = change.get("data", (X, Y))
    optimizer = change.get("optimizer", nn.Adam)(model)
    options: dict[str, Any] = {"batch_size": 16, "seed": 0, "epochs": 4}
    options |= {name: change[name] for name in ("batch_size", "seed") if name in change}
    before, file = bits(model), checkpoint.read_bytes()
    with pytest.raises(npconv.FileFormatError, match=text) as caught:
        nn.train(model, data, optimizer=optimizer, checkpoint=checkpoint, **options)
    assert str(checkpoint) in str(caught.value)
    assert bits(model) == before
    assert checkpoint.read_bytes() == file


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"augment": None}, r"augment was '.*jitter', is None"),
        ({"loss": ...}, "loss was .*softmax_cross_entropy', is '.*another_loss'"),
        ({"validation": (X[:11], Y[:11])}, "validation was"),
        ({"schedule": nn.CosineSchedule()}, "schedule was None, is 'CosineSchedule"),
        ({"lr": 0.5}, "hyperparameters was .*0.01.* is .*0.5"),
        ({"settings": {"workspace_limit": 2**22}}, "settings was .*67108864.* is .*4194304"),
    ],
)
def test_other_choices_warn(checkpoint: Path, change: dict[str, Any], text: str) -> None:
    model = make_model()
    options = {name: value for name, value in change.items() if name not in ("lr", "settings")}
    if "loss" in options:
        options["loss"] = stop_after(10**6)
        options["loss"].__qualname__ = "another_loss"
    optimizer = nn.Adam(model, lr=change.get("lr", 0.01))
    with (
        npconv.settings(**change.get("settings", {})),
        pytest.warns(nn.CheckpointWarning, match=text),
    ):
        run(model, checkpoint=checkpoint, optimizer=optimizer, **options)


def test_other_versions_warn(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "__version__", "9.9.9")
    with pytest.warns(nn.CheckpointWarning, match=r"numpy was '.*', is '9.9.9'"):
        run(make_model(), checkpoint=checkpoint)


def test_nothing_else_warns(checkpoint: Path) -> None:
    run(make_model(), checkpoint=checkpoint, epochs=4)  # warnings are errors here


def test_changed_insides_are_refused(checkpoint: Path) -> None:
    arrays = read_arrays(checkpoint)
    meta = arrays["meta"].tobytes()
    model = make_model()
    before = bits(model)
    changes: list[dict[str, Array | None]] = [
        {"meta": None},
        {"meta": np.frombuffer(b"{}", np.uint8)},
        {"meta": np.frombuffer(b"[" * 100_000, np.uint8)},
        {"meta": np.frombuffer(meta[:-1], np.uint8)},
        {"meta": np.frombuffer(meta.replace(b"PCG64", b"PCG65"), np.uint8)},
        {"meta": np.frombuffer(meta.replace(b'"shuffle"', b'"shuffel"'), np.uint8)},
        {"meta": np.frombuffer(meta.replace(b'"position"', b'"positron"'), np.uint8)},
        {"meta": np.frombuffer(meta.replace(b'"loss_sum"', b'"loss_sun"'), np.uint8)},
        {"meta": np.frombuffer(meta.replace(b'"epoch": 2', b'"epoch": -2'), np.uint8)},
        {"meta": np.frombuffer(meta.replace(b'"step": 0', b'"step": 4'), np.uint8)},
        {"meta": np.frombuffer(meta.replace(b'"step": 0', b'"step": "0"'), np.uint8)},
        {"meta": np.frombuffer(meta.replace(b'"loss_sum": 0.0', b'"loss_sum": []'), np.uint8)},
        {"meta": np.frombuffer(meta.replace(b'"number": 1', b'"number": 7'), np.uint8)},
        {"model.0.weight": None},
        {"model.0.weight": np.ones((8, 7), np.float32)},
        {"model.0.weight": np.ones((8, 6))},
        {"optimizer.m.0.weight": None},
        {"more": np.ones(3)},
    ]
    for change in changes:
        changed = {name: array for name, array in (arrays | change).items() if array is not None}
        write_arrays(checkpoint, changed)
        with pytest.raises(npconv.FileFormatError, match=r"run\.npz"):
            run(model, checkpoint=checkpoint)
        assert bits(model) == before
    write_arrays(checkpoint, arrays)
    run(model, checkpoint=checkpoint)


def test_truncated_checkpoints_are_refused(checkpoint: Path) -> None:
    data = checkpoint.read_bytes()
    model = make_model()
    before = bits(model)
    for length in range(0, len(data), 97):
        checkpoint.write_bytes(data[:length])
        with pytest.raises(npconv.FileFormatError, match=r"run\.npz"):
            run(model, checkpoint=checkpoint)
    assert bits(model) == before


def test_leftovers_of_killed_runs_go_away(tmp_path: Path) -> None:
    leftover = tmp_path / ".run.npz.0123456789ab.tmp"
    leftover.touch()
    run(make_model(), checkpoint=tmp_path / "run.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]


def test_seconds_decide_too(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    for seconds, step in ((0.0, 6), (1e6, 4)):
        with pytest.raises(StopError):
            run(
                make_model(),
                loss=stop_after(6),
                checkpoint=path,
                checkpoint_seconds=seconds,
                resume=False,
            )
        found = read_arrays(path)["optimizer.t"]
        assert found == step


# ---- the rest -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda _: nn.train(max, (X, Y)), npconv.DTypeError, "model"),  # type: ignore[arg-type]
        (lambda m: nn.train(m, X), npconv.DTypeError, "pair"),
        (lambda m: nn.train(m, (X, Y[:3])), npconv.ShapeError, "as many targets"),
        (lambda m: nn.train(m, (X[:0], Y[:0])), npconv.ShapeError, "at least one example"),
        (lambda m: nn.train(m, ("x", Y)), npconv.DTypeError, "inputs of data"),
        (lambda m: nn.train(m, (X[:, :5], Y)), npconv.ShapeError, "6 in_features"),
        (lambda m: nn.train(m, (X, Y), validation=(X,)), npconv.DTypeError, "validation"),
        (lambda m: nn.train(m, (X, Y), epochs=-1), npconv.ShapeError, "epochs"),
        (lambda m: nn.train(m, (X, Y), batch_size=0), npconv.ShapeError, "batch_size"),
        (lambda m: nn.train(m, (X, Y), seed=None), npconv.DTypeError, "seed"),  # type: ignore[arg-type]
        (
            lambda m: nn.train(m, (X, Y), optimizer=nn.Adam(make_model())),
            npconv.DTypeError,
            "optimizer",
        ),
    ],
)
def test_errors(call: Callable[[Any], object], error: type[Exception], text: str) -> None:
    model = make_model()
    before = bits(model)
    with pytest.raises(error, match=text):
        call(model)
    assert bits(model) == before


def test_the_progress_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(make_model())  # standard error is no terminal here
    assert capsys.readouterr().err == ""
    pytest.importorskip("tqdm")
    run(make_model(), progress=True)
    shown = capsys.readouterr().err
    assert "12/12" in shown
    assert "loss 0" in shown
    # and without tqdm
    real = builtins.__import__

    def no_tqdm(name: str, *args: Any) -> Any:
        if name == "tqdm":
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", no_tqdm)
    run(make_model(), progress=True)
    assert capsys.readouterr().err == ""


def test_no_standard_error_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    progress_bar(10, 0, None).update()
