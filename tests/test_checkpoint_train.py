"""Training that was stopped goes on from its checkpoint, to the same bits."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import npconv
from npconv import nn
from npconv.nn.files import read_arrays, write_arrays
from npconv.nn.interrupt import HoldInterrupt
from npconv.problem import Array
from training_run import StopError, X, Y, bits, figures, jitter, make_model, run, stop_after


def test_a_checkpoint_changes_no_bit(tmp_path: Path) -> None:
    first, second = make_model(), make_model()
    run(first)
    run(second, checkpoint=tmp_path / "run.npz", checkpoint_steps=1)
    assert bits(first) == bits(second)


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
