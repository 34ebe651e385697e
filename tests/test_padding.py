"""Padding and its adjoint, tested as a pair: what is gathered is what is folded back."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from npconv.axis import Axis
from npconv.padding import add_box, fold, gather, most_repeats, runs, source
from npconv.windows import crop, pad

MODES: dict[str, Any] = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def draw(rng: random.Random, mode: str) -> list[Axis]:
    """Axes with pads of every kind the mode allows, negative ones too."""
    axes = []
    for _ in range(rng.randint(1, 3)):
        size = rng.randint(1, 6)
        most = {"reflect": size - 1, "circular": size}.get(mode, 9)
        low, high = (rng.randint(-(size - 1) // 2, most) for _ in range(2))
        axes.append(Axis(size=size, kernel=1, low=low, high=high))
    return [axis for axis in axes if axis.padded > 0] or [Axis(size=2, kernel=1)]


@pytest.mark.parametrize("mode", MODES)
def test_gather_and_fold_are_adjoint(mode: str) -> None:
    for seed in range(200):
        axes = draw(random.Random(seed), mode)
        rng, whole = np.random.default_rng(seed), [slice(0, axis.padded) for axis in axes]
        x = rng.integers(-9, 10, (2, *(axis.size for axis in axes)))
        u = rng.integers(-9, 10, (2, *(axis.padded for axis in axes)))
        padded, folded = gather(x, axes, mode, whole), np.empty_like(x)
        fold(u, axes, mode, folded)
        assert np.sum(padded * u) == np.sum(x * folded), (mode, axes)


@pytest.mark.parametrize("mode", MODES)
def test_gather_is_numpys_pad(mode: str) -> None:
    for seed in range(200):
        axes = draw(random.Random(seed), mode)
        x = np.random.default_rng(seed).integers(-9, 10, [axis.size for axis in axes])
        widths = [(max(axis.low, 0), max(axis.high, 0)) for axis in axes]
        cut = tuple(slice(max(-a.low, 0), a.padded + max(-a.low, 0)) for a in axes)
        wanted = np.pad(x, widths, mode=MODES[mode])[cut]
        found = gather(x, axes, mode, [slice(0, axis.padded) for axis in axes])
        np.testing.assert_array_equal(found, wanted, f"{mode} {axes}")
        box = [slice(axis.padded // 3, axis.padded) for axis in axes]  # any part of it, too
        np.testing.assert_array_equal(gather(x, axes, mode, box), wanted[tuple(box)])


@pytest.mark.parametrize("mode", MODES)
def test_a_part_of_the_input_gets_what_all_of_it_would(mode: str) -> None:
    """As tiles do: the runs that repeat a part of one axis, cut short, add up to the fold."""
    for seed in range(200):
        rng = random.Random(seed)
        axis = draw(rng, mode)[0]
        u = np.random.default_rng(seed).integers(-9, 10, axis.padded)
        whole = np.empty(axis.size, int)
        fold(u, [axis], mode, whole)
        start = rng.randrange(axis.size)
        inputs = slice(start, rng.randint(start + 1, axis.size))
        part = np.zeros(inputs.stop - inputs.start, int)
        for run in runs(axis, mode, inputs, rng.randint(1, axis.padded)):
            add_box(u[run.start : run.stop], [run], part)
        np.testing.assert_array_equal(part, whole[inputs], f"{mode} {axis}")


@pytest.mark.parametrize("mode", MODES)
def test_most_repeats_is_a_bound_that_is_met(mode: str) -> None:
    met = 0
    for seed in range(200):
        axis = draw(random.Random(seed), mode)[0]
        counts = np.bincount(source(axis, mode, 0, axis.padded))
        assert counts.max() <= most_repeats(axis, mode), axis
        met += counts.max() == most_repeats(axis, mode)
    assert met > 50


def test_pad_and_crop_are_adjoint() -> None:
    for seed in range(200):
        axes = [
            axis._replace(input_dilation=random.Random(seed).randint(1, 3))
            for axis in draw(random.Random(seed), "zeros")
        ]
        rng = np.random.default_rng(seed)
        x = rng.integers(-9, 10, (2, *(axis.size for axis in axes)))
        u = rng.integers(-9, 10, (2, *(axis.padded for axis in axes)))
        assert np.sum(pad(x, axes) * u) == np.sum(x * crop(u, axes)), axes
