"""Splits and batches of data."""

from __future__ import annotations

import numpy as np
import pytest

import npconv
from npconv import nn
from npconv.nn.data import digest


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.25, 0.5, 1.0])
def test_stratified_split(fraction: float) -> None:
    labels = np.random.default_rng(0).choice(4, 203, p=[0.1, 0.2, 0.3, 0.4])
    first, second = nn.stratified_split(labels, fraction, seed=3)
    assert sorted([*first, *second]) == list(range(203))
    assert len(second) == round(fraction * 203)
    for label in range(4):
        share = fraction * (labels == label).sum()
        assert abs((labels[second] == label).sum() - share) < 1
    again = nn.stratified_split(labels, fraction, seed=3)
    np.testing.assert_array_equal(first, again[0])
    np.testing.assert_array_equal(second, again[1])


def test_another_seed_is_another_split() -> None:
    labels = [0, 1] * 20
    splits = [nn.stratified_split(labels, 0.5, seed)[1].tolist() for seed in range(2)]
    assert splits[0] != splits[1]


def test_stratified_split_errors() -> None:
    with pytest.raises(npconv.ShapeError, match="one axis"):
        nn.stratified_split([[1]], 0.5)
    with pytest.raises(npconv.DTypeError, match="integers"):
        nn.stratified_split([0.5], 0.5)
    with pytest.raises(npconv.UnsupportedError, match="fraction"):
        nn.stratified_split([1], 1.5)
    assert [part.tolist() for part in nn.stratified_split([], 0.5)] == [[], []]


def test_digest_sees_values_shapes_and_dtypes() -> None:
    x = np.arange(12.0).reshape(3, 4)
    others = [x + 1, x.reshape(4, 3), x.astype(np.float32), x.astype(">f8"), x[:2]]
    assert len({digest(a) for a in [x, *others]}) == 6
    assert digest(x) == digest(np.asfortranarray(x)) == digest(x[::-1][::-1])


def test_predict_and_evaluate_in_batches() -> None:
    model = nn.Linear(3, 4, dtype=np.float64, rng=0)
    x = np.random.default_rng(0).standard_normal((10, 3))
    y = np.arange(10) % 4
    whole = model.forward(x)
    np.testing.assert_allclose(nn.predict(model, x, batch_size=3), whole, rtol=1e-12)
    loss, metric = nn.evaluate(model, (x, y), metric=nn.accuracy, batch_size=3)
    assert loss == pytest.approx(nn.softmax_cross_entropy(whole, y).loss)
    assert metric == pytest.approx(nn.accuracy(whole, y))
    for empty in (np.zeros((0, 3)), np.zeros(())):
        with pytest.raises(npconv.ShapeError):
            nn.predict(model, empty)
