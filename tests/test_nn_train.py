"""Training: it learns, repeats itself bit for bit, and says what is wrong."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import npconv
from npconv import nn
from npconv.nn.progress import progress_bar
from npconv.problem import Array
from training_run import X, Y, bits, figures, make_model, run


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
