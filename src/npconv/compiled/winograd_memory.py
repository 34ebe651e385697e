"""How much memory Winograd's filtering works in: run whole, or on a tile of a problem."""

from __future__ import annotations

from npconv.algorithms.protocol import DType
from npconv.compiled.winograd import FEW_PANELS, scratch_bytes, tiling
from npconv.compiled.winograd_gradient import chunks
from npconv.compiled.winograd_pictures import sub_kernels
from npconv.compiled.winograd_steps import (
    MANY_TILES,
    packed_cuts,
    places,
    raw_cuts,
    raw_layout,
)
from npconv.problem import ConvProblem
from npconv.scratch import LINES

MANY_IMAGES = 2**32  # so many that panels have as many tiles as they may have


def of_gradient(posed: ConvProblem, dtype: DType, threads: int) -> int:
    """Count the bytes that a kernel's gradient takes, without a copy of an operand."""
    found = (
        chunks(part.problem, tiling(part.problem, dtype, kernel.tile), threads).total
        for kernel in sub_kernels(posed)
        for part in kernel.parts
    )
    return max(found, default=0) + LINES


def of_whole(posed: ConvProblem, dtype: DType, threads: int) -> int:
    """Count the bytes for a forward problem that is not cut, its packed kernel among them."""
    room = 0
    for kernel in sub_kernels(posed):
        cuts, raw = (cut(posed, kernel, dtype, threads) for cut in (packed_cuts, raw_cuts))
        own = (scratch_bytes(cut, posed.G, threads) for cut in cuts)
        room = max(room, *own, raw_layout(posed, raw, threads)[3])
    return room + _beside(posed, dtype) + LINES


def of_any_company(posed: ConvProblem, dtype: DType) -> int:
    """Bound `of_whole` of one thread for any number of images.

    It is largest where panels have as many tiles as they may have, or where tiles are just so
    few that all are one panel, and a kernel comes piece by piece.
    """
    one = posed.one_image
    tiles = (
        tiling(part.problem, dtype, kernel.tile).tiles
        for kernel in sub_kernels(one)
        for part in kernel.parts
    )
    few = one._replace(N=max(1, (MANY_TILES - 1) // max(tiles, default=1)))
    return max(of_whole(few, dtype, 1), of_tile(posed._replace(N=MANY_IMAGES), dtype))


def of_tile(posed: ConvProblem, dtype: DType) -> int:
    """Bound the bytes for a tile, and each thread: more images or rows never take less."""
    total = 0
    for kernel in sub_kernels(posed):
        cuts = raw_cuts(posed, kernel, dtype, 1)
        # Or one panel for each thread.
        kept = (min(posed.G * cut.panels, FEW_PANELS) * cut.v_panel for cut in cuts)
        total = max(total, raw_layout(posed, cuts, 1)[3] + max(kept, default=0))
    return total + _beside(posed, dtype) + LINES


def _beside(posed: ConvProblem, dtype: DType) -> int:
    """Count the bytes of what is known of a kernel while it is transformed, and of a copy of it."""
    cut = places(posed, dtype)[0].cut
    return posed.G * posed.C * (cut.outputs + posed.K * posed.taps) * dtype.itemsize
