"""Every algorithm of the registry on every named problem, in every direction."""

from __future__ import annotations

import pytest

from checks import ALGORITHMS, check_problem, check_specials, check_tiled
from problems import NAMED

pytestmark = [
    pytest.mark.parametrize("algorithm", ALGORITHMS),
    pytest.mark.parametrize("name", NAMED),
]


def test_results_and_gradients(name: str, algorithm: str) -> None:
    check_problem(NAMED[name], 0, [algorithm])


def test_nan_and_inf(name: str, algorithm: str) -> None:
    for seed in range(4):
        check_specials(NAMED[name], seed, [algorithm])


def test_tiled(name: str, algorithm: str) -> None:
    check_tiled(NAMED[name], 0, [algorithm])
