"""Winograd's filtering: what one part of each step does.

See `npconv.algorithms.winograd_fused`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npconv.algorithms.winograd_matrices import transpose
from npconv.compiled.blocks import CALL_WORDS, OUT, SCRATCH
from npconv.compiled.front_end import helper
from npconv.compiled.kernels.lanes import Lanes
from npconv.compiled.kernels.memory import call_kernel, get_int, getter, put_int, setter
from npconv.compiled.kernels.winograd_kernel import pairs_of
from npconv.compiled.kernels.winograd_panels import multiplier, transformer
from npconv.compiled.kernels.winograd_parts import filters
from npconv.compiled.kernels.winograd_watch import frame, nothing, squares
from npconv.compiled.winograd_words import (
    ALONE_BYTES,
    GRADIENT,
    KERNEL,
    STREAM,
    WORDS,
    KernelWords,
    Words,
)

# Where, in the constants of `alone`, those of the kernel's transform begin.
KERNEL_AT, KERNEL_WORDS = CALL_WORDS + len(Words._fields), len(KernelWords._fields)


def make(what: str, dtype: str = "float32", tile: str = "6x6") -> Callable[..., None]:
    """Make ``transform`` or ``multiply``; or ``fused``, ``alone`` or ``stream``, which call others.

    ``watched`` transforms and looks for strays; ``inputs`` and ``grads`` transform the operands
    of the kernel's gradient and add up their squares.
    """
    if what in ("fused", "alone"):
        return {"fused": fused, "alone": alone}[what]
    if what == "stream":
        return _stream(dtype)
    lanes, f = Lanes(dtype), filters(tile)
    if what == "multiply":
        return _multiply(multiplier(lanes, f))
    matrices = f.h.input, f.w.input
    if what == "grads":
        matrices = transpose(f.h.output), transpose(f.w.output)
    watch = nothing
    if what != "transform":
        watch = frame(lanes) if what == "watched" else squares(lanes)
    return _transform(transformer(lanes, *matrices, f.h.m, f.w.m, watch), lanes.count)


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
    parts = -(-get_int(theirs, KERNEL.C) // get_int(theirs, KERNEL.chunk))
    parts *= pairs_of(stop - first, width)
    for i in range(parts):
        call_kernel(get_int(block, WORDS.pack), theirs, group * parts + i, worker)
    panels = get_int(block, WORDS.panels)
    for panel in range(group * panels, (group + 1) * panels):
        call_kernel(get_int(block, WORDS.multiply), mine, panel, worker)


@helper
def tell(block: int, words: int, count: int, to: int) -> Any:
    """Make a block: what a call brings, and constants that lie elsewhere."""
    for i in range(CALL_WORDS):
        put_int(to, i, get_int(block, i))
    for i in range(count):
        put_int(to, CALL_WORDS + i, get_int(words, i))


@helper
def first_row(block: int, vector: int) -> Any:
    """Say how many bytes into a group's gradient a vector of output channels begins."""
    return vector * get_int(block, STREAM.lanes) * get_int(block, STREAM.w_row)


@helper
def limit(block: int, grads: int, products: int, first: int, stop: int, worker: int) -> Any:
    """Let a range of output channels be all there are, numbered from its first one on."""
    lanes, own = get_int(block, STREAM.lanes), worker * get_int(block, STREAM.each)
    K = min(stop * lanes, get_int(products, GRADIENT.K)) - first * lanes
    rows, m = get_int(products, GRADIENT.rows), get_int(products, GRADIENT.m)
    put_int(grads, WORDS.v, m - first * lanes * get_int(block, STREAM.item))
    put_int(products, OUT, get_int(block, OUT) + first_row(block, first))
    put_int(products, GRADIENT.K, K)
    put_int(products, GRADIENT.row_parts, (K + rows - 1) // rows)
    put_int(products, GRADIENT.v, own)
    put_int(products, GRADIENT.m, own + m)


@helper
def watch(block: int, inputs: int, grads: int, first: int, worker: int) -> Any:
    """Let both transforms add up squares: of all inputs, behind them of a range of outputs."""
    count, nbytes = get_int(block, STREAM.input_parts), get_int(block, STREAM.lanes)
    nbytes *= get_int(block, STREAM.item)
    of = get_int(block, SCRATCH) + worker * get_int(block, STREAM.each)
    of += get_int(block, STREAM.squares)
    put_int(inputs, WORDS.watch, of)
    put_int(grads, WORDS.watch, of + (count - first) * nbytes)
    return of


@helper
def one_chunk(
    block: int, inputs: int, grads: int, products: int,
    group: int, chunk: int, first: int, stop: int, worker: int,
) -> Any:  # fmt: skip
    """Transform both operands of a chunk, multiply, transform back."""
    tiles = get_int(block, STREAM.tiles)
    here = min(tiles, get_int(block, STREAM.all_tiles) - chunk * tiles)
    put_int(inputs, WORDS.first, chunk * tiles)
    put_int(grads, WORDS.first, chunk * tiles)
    put_int(products, GRADIENT.tiles, here)
    count = get_int(block, STREAM.input_parts)
    for c in range(group * count, (group + 1) * count):
        call_kernel(get_int(block, STREAM.transform), inputs, c, worker)
    count = group * get_int(block, STREAM.output_parts)
    for c in range(count + first, count + stop):
        call_kernel(get_int(block, STREAM.transform_grads), grads, c, worker)
    count = get_int(products, GRADIENT.row_parts) * get_int(products, GRADIENT.column_parts)
    for i in range(group * count, (group + 1) * count):
        call_kernel(get_int(block, STREAM.multiply), products, i, worker)


def _stream(dtype: str) -> Callable[..., None]:
    fold = _fold(dtype)

    def stream(block: int, part: int, worker: int) -> None:
        """Sum over some chunks for a range of output channels, all by one thread.

        The three kernels are told what they would be told each, in blocks behind what they
        work in; what differs from chunk to chunk is put there.
        """
        ranges, streams = get_int(block, STREAM.ranges), get_int(block, STREAM.streams)
        r, rest = part % ranges, part // ranges
        s, group = rest % streams, rest // streams
        inputs = get_int(block, SCRATCH) + (worker + 1) * get_int(block, STREAM.each)
        inputs -= 3 * ALONE_BYTES
        grads, products = inputs + ALONE_BYTES, inputs + 2 * ALONE_BYTES
        tell(block, get_int(block, STREAM.inputs), get_int(block, STREAM.input_words), inputs)
        tell(block, get_int(block, STREAM.grads), get_int(block, STREAM.grad_words), grads)
        tell(block, get_int(block, STREAM.products), get_int(block, STREAM.product_words), products)
        first = r * get_int(block, STREAM.vectors)
        stop = min(first + get_int(block, STREAM.vectors), get_int(block, STREAM.output_parts))
        limit(block, grads, products, first, stop, worker)
        squares = watch(block, inputs, grads, first, worker)
        if streams > 1:
            sums = get_int(block, STREAM.sums_at) + s * get_int(block, STREAM.sums)
            put_int(products, OUT, get_int(block, SCRATCH) + sums + first_row(block, first))
        chunks, adds = get_int(block, STREAM.chunks), get_int(block, STREAM.adds) * (streams == 1)
        fold(block, squares, part, False)
        for chunk in range(s * chunks // streams, (s + 1) * chunks // streams):
            put_int(products, GRADIENT.adds, adds)
            one_chunk(block, inputs, grads, products, group, chunk, first, stop, worker)
            fold(block, squares, part, True)
            adds = 1

    return stream


def _fold(dtype: str) -> Any:
    get, put = getter(dtype), setter(dtype)
    get_sum, put_sum = getter("float64"), setter("float64")

    @helper
    def fold(block: int, squares: int, part: int, adds: bool) -> None:
        """Add a chunk's sums of squares to those of a part, or begin with none of either."""
        count = get_int(block, STREAM.of_part)
        sums = get_int(block, SCRATCH) + get_int(block, STREAM.norms) + 8 * part * count
        for i in range(count):
            put_sum(sums, i, get_sum(sums, i) + get(squares, i) if adds else 0.0)
            put(squares, i, 0.0)

    return fold


@helper
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
