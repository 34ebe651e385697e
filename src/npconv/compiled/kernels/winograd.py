"""Winograd's filtering: what one part of each step does.

See `npconv.algorithms.winograd_fused`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

from npconv.algorithms.winograd_matrices import transpose
from npconv.compiled.blocks import CALL_WORDS, SCRATCH
from npconv.compiled.kernels.lanes import Lanes
from npconv.compiled.kernels.memory import call_kernel, get_int, put_int
from npconv.compiled.kernels.winograd_panels import multiplier, transformer
from npconv.compiled.kernels.winograd_parts import filters
from npconv.compiled.winograd_words import ALONE_BYTES, KERNEL, WORDS, KernelWords, Words

# Where, in the constants of `alone`, those of the kernel's transform begin.
KERNEL_AT, KERNEL_WORDS = CALL_WORDS + len(Words._fields), len(KernelWords._fields)


def make(what: str, dtype: str = "float32", tile: str = "6x6") -> Callable[..., None]:
    """Make ``transform`` or ``multiply``; or ``fused`` or ``alone``, which call others.

    ``grads`` transforms the outputs' gradient, in the kernel's.
    """
    if what in ("fused", "alone"):
        return {"fused": fused, "alone": alone}[what]
    lanes, f = Lanes(dtype), filters(tile)
    matrices = f.h.input, f.w.input
    if what == "grads":
        matrices = transpose(f.h.output), transpose(f.w.output)
    if what == "multiply":
        return _multiply(multiplier(lanes, f))
    return _transform(transformer(lanes, *matrices, f.h.m, f.w.m), lanes.count)


def fused(block: int, part: int, worker: int) -> None:
    """Do all of a panel: the other two kernels' parts, one after the other."""
    parts, blocks = get_int(block, WORDS.parts), get_int(block, WORDS.blocks)
    panels = get_int(block, WORDS.panels)
    for c in range(parts):
        call_kernel(get_int(block, WORDS.transform), block, part * parts + c, worker)
    for k in range(blocks):
        here = (part // panels * blocks + k) * panels + part % panels
        call_kernel(get_int(block, WORDS.multiply), block, here, worker)


def alone(block: int, part: int, worker: int) -> None:
    """Transform a block of a group's kernels, and multiply all panels by it.

    So it never leaves the cache of the one thread that needs it. Both kernels are told what
    this one is, but that there is one block: each in a copy behind the block itself.
    """
    blocks, width = get_int(block, WORDS.blocks), get_int(block, WORDS.block)
    group, first = part // blocks, part % blocks * width
    stop = min(first + width, get_int(block, WORDS.vectors))
    u = get_int(block, WORDS.u) + worker * get_int(block, WORDS.u_worker)
    mine = get_int(block, SCRATCH) + u + get_int(block, WORDS.u_worker) - ALONE_BYTES
    theirs = mine + 8 * KERNEL_AT
    for i in range(CALL_WORDS):
        put_int(theirs, i, get_int(block, i))
    for i in range(KERNEL_AT):
        put_int(mine, i, get_int(block, i))
    for i in range(CALL_WORDS, CALL_WORDS + KERNEL_WORDS):
        put_int(theirs, i, get_int(block, KERNEL_AT - CALL_WORDS + i))
    put_int(mine, WORDS.u, u)
    put_int(mine, WORDS.first_block, part % blocks)
    put_int(mine, WORDS.blocks, 1)
    put_int(mine, WORDS.vectors, stop)
    put_int(theirs, KERNEL.u, u)
    put_int(theirs, KERNEL.first, first)
    put_int(theirs, KERNEL.vectors, stop - first)
    chunks = -(-get_int(theirs, KERNEL.C) // get_int(theirs, KERNEL.chunk))
    for i in range((stop - first) * chunks):
        here = group * (stop - first) * chunks + i
        call_kernel(get_int(block, WORDS.pack), theirs, here, worker)
    panels = get_int(block, WORDS.panels)
    for panel in range(group * panels, (group + 1) * panels):
        call_kernel(get_int(block, WORDS.multiply), mine, panel, worker)


@njit
def transformed(block: int, panel: int, worker: int) -> Any:
    """Where a panel's V lies: one for all threads, or each thread's own."""
    v = get_int(block, WORDS.v) + panel * get_int(block, WORDS.v_panel)
    return get_int(block, SCRATCH) + v + worker * get_int(block, WORDS.v_worker)


def _transform(run: Any, lanes: int) -> Callable[..., None]:
    def transform(block: int, part: int, worker: int) -> None:
        """Transform some channels of a panel."""
        parts = get_int(block, WORDS.parts)
        panel, c = part // parts, part % parts * get_int(block, WORDS.channels)
        stop = min(c + get_int(block, WORDS.channels), -(-get_int(block, WORDS.C) // lanes))
        run(block, panel, c, stop, transformed(block, panel, worker), worker)

    return transform


def _multiply(run: Any) -> Callable[..., None]:
    def multiply(block: int, part: int, worker: int) -> None:
        """Multiply a panel by a block of the kernels."""
        panels = get_int(block, WORDS.panels)
        blocks = get_int(block, WORDS.blocks)
        # All panels of a group by a block of kernels, one after the other.
        group, rest = part // (blocks * panels), part % (blocks * panels)
        panel, k = group * panels + rest % panels, rest // panels
        run(block, panel, k, transformed(block, panel, worker), worker)

    return multiply
