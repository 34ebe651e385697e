"""The worked example: its data, its augmentation, and that it learns."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import npconv
from npconv import nn
from npconv.nn.digits import digits_model, load_digits, train_digits, wobble


def test_the_split_is_stratified_and_repeatable() -> None:
    pytest.importorskip("sklearn")
    digits = load_digits(seed=1)
    images, labels = (np.concatenate(pair) for pair in zip(digits.train, digits.test, strict=True))
    assert images.shape == (1797, 1, 8, 8)
    assert images.dtype == np.float32
    assert (images.min(), images.max()) == (0, 1)
    share = np.bincount(digits.test[1]) / np.bincount(labels)
    np.testing.assert_allclose(share, 0.2, atol=0.01)
    again = load_digits(seed=1)
    np.testing.assert_array_equal(again.test[0], digits.test[0])
    assert not np.array_equal(load_digits(seed=2).test[1], digits.test[1])


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(npconv.MissingExtraError, match=r"npconv\[demo\]"):
        load_digits()


def test_wobble() -> None:
    images = np.random.default_rng(0).random((5, 2, 8, 6), np.float32)
    still = wobble(np.random.default_rng(1), images, degrees=0, zoom=0, shift=0)
    np.testing.assert_allclose(still, images, atol=1e-6)
    moved = wobble(np.random.default_rng(1), images)
    assert moved.dtype == np.float32
    assert moved.shape == images.shape
    assert 0.01 < np.abs(moved - images).mean() < 0.5
    assert moved.min() >= 0
    assert moved.max() <= 1
    np.testing.assert_array_equal(moved, wobble(np.random.default_rng(1), images))


def test_wobble_turns_zooms_and_shifts_by_what_it_says() -> None:
    class Fixed:
        """Draws the upper ends."""

        def uniform(self, low: float, high: float, size: object) -> object:
            return np.full(size, high)  # type: ignore[call-overload]

    image = np.zeros((1, 1, 5, 5))
    image[0, 0, 1, 2] = 1
    shifted = wobble(Fixed(), image, degrees=0, zoom=0, shift=1)  # type: ignore[arg-type]
    assert np.argwhere(shifted[0, 0] > 0.99).tolist() == [[0, 1]]
    turned = wobble(Fixed(), image, degrees=90, zoom=0, shift=0)  # type: ignore[arg-type]
    assert np.argwhere(turned[0, 0] > 0.99).tolist() == [[2, 3]]
    corners = np.zeros((1, 1, 5, 5))
    corners[0, 0, ::4, ::4] = 1
    zoomed = wobble(Fixed(), corners, degrees=0, zoom=1, shift=0)  # type: ignore[arg-type]
    assert np.argwhere(zoomed[0, 0] > 0.99).tolist() == [[1, 1], [1, 3], [3, 1], [3, 3]]


def test_three_epochs_learn_most_of_it() -> None:
    pytest.importorskip("sklearn")
    digits, model = load_digits(), digits_model(rng=0)
    history = train_digits(model, digits, epochs=3)
    found = nn.evaluate(model, digits.test, metric=nn.accuracy)
    assert history.column("validation_metric")[-1] == found[1]
    assert found[1] is not None
    assert found[1] > 0.85
