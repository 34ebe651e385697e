"""Winograd's filtering: what one part of each step does.

See `npconv.algorithms.winograd_fused`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

from npconv.algorithms.winograd_matrices import transpose
from npconv.compiled.blocks import SCRATCH
from npconv.compiled.kernels.lanes import Lanes
from npconv.compiled.kernels.memory import get_int
from npconv.compiled.kernels.winograd_panels import multiplier, own_memory, transformer
from npconv.compiled.kernels.winograd_parts import filters
from npconv.compiled.winograd_words import WORDS


def make(what: str, dtype: str, tile: str) -> Callable[..., None]:
    """Make ``fused``, or its halves ``transform`` and ``multiply``.

    ``grads`` is the first half for the outputs' gradient in the kernel's gradient.
    """
    lanes, f = Lanes(dtype), filters(tile)
    matrices = f.h.input, f.w.input
    if what == "grads":
        matrices = transpose(f.h.output), transpose(f.w.output)
    if what == "multiply":
        return _second_half(multiplier(lanes, f))
    transform = transformer(lanes, *matrices, f.h.m, f.w.m)
    if what == "fused":
        return _fused(transform, multiplier(lanes, f), lanes.count)
    return _first_half(transform, lanes.count)


@njit
def shared(block: int, panel: int) -> Any:
    """Where a panel's V lies that all threads see."""
    v = get_int(block, WORDS.v) + panel * get_int(block, WORDS.v_panel)
    return get_int(block, SCRATCH) + v


def _fused(transform: Any, multiply: Any, lanes: int) -> Callable[..., None]:
    def fused(block: int, part: int, worker: int) -> None:
        """Do a panel: the part's number."""
        v = own_memory(block, worker) + get_int(block, WORDS.v_own)
        transform(block, part, 0, -(-get_int(block, WORDS.C) // lanes), v, worker)
        for k in range(get_int(block, WORDS.blocks)):
            multiply(block, part, k, v, worker)

    return fused


def _first_half(transform: Any, lanes: int) -> Callable[..., None]:
    def first_half(block: int, part: int, worker: int) -> None:
        """Transform some channels of a panel."""
        parts = get_int(block, WORDS.parts)
        panel, c = part // parts, part % parts * get_int(block, WORDS.channels)
        stop = min(c + get_int(block, WORDS.channels), -(-get_int(block, WORDS.C) // lanes))
        v = shared(block, panel)
        transform(block, panel, c, stop, v, worker)

    return first_half


def _second_half(multiply: Any) -> Callable[..., None]:
    def second_half(block: int, part: int, worker: int) -> None:
        """Multiply a panel by a block of the kernels."""
        panels = get_int(block, WORDS.panels)
        blocks = get_int(block, WORDS.blocks)
        # All panels of a group by a block of kernels, one after the other.
        group, rest = part // (blocks * panels), part % (blocks * panels)
        panel, k = group * panels + rest % panels, rest // panels
        v = shared(block, panel)
        multiply(block, panel, k, v, worker)

    return second_half
