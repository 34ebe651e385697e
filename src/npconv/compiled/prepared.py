"""A run prepared when planning: which kernels, with what constants, in how many parts.

What is left to a call is to say where the arrays lie. So a small convolution costs little
more than its arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from npconv.compiled.machine_code import address_of
from npconv.compiled.team import team
from npconv.problem import Array

# How arrays lie, in elements: one number for each axis of the inner layout.
Strides = tuple[int, ...]


class Step(NamedTuple):
    """One kernel, run over all its parts before the next step begins."""

    kernel: int
    constants: Array
    address: int
    parts: int


class Prepared(NamedTuple):
    """Steps, and the bytes of working memory that all of them share."""

    steps: tuple[Step, ...]
    scratch: int
    threads: int

    def run(
        self, first: int, second: int, out: int, bias: int, scratch: int, flags: int = 0
    ) -> None:
        """Run on arrays at these addresses; 0 for what there is not."""
        lead = team().run
        for kernel, constants, address, parts in self.steps:
            lead(
                kernel, address, constants.size, parts, self.threads,
                first, second, out, bias, scratch, flags,
            )  # fmt: skip


def step(kernel: Sequence[str], constants: Sequence[Any], parts: int) -> Step:
    """Prepare a step; ``kernel`` names a module of `npconv.compiled.kernels` and a variant."""
    words = np.array([int(c) for c in constants], np.int64)
    return Step(address_of(*kernel), words, words.ctypes.data, parts)


def strides_of(array: Array) -> Strides:
    """Give strides in elements."""
    return tuple(stride // array.itemsize for stride in array.strides)


def address(array: Array | None) -> int:
    """Say where an array begins; 0 for None."""
    return 0 if array is None else int(array.__array_interface__["data"][0])
