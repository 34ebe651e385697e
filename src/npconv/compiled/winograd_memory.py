"""How much memory Winograd's filtering works in: run whole, or on a tile of a problem."""

from __future__ import annotations

from collections.abc import Iterator

from npconv.algorithms.protocol import DType
from npconv.compiled.winograd import FEW_PANELS, Tiling, scratch_bytes, tiling
from npconv.compiled.winograd_gradient import chunks
from npconv.compiled.winograd_pictures import SubKernel, sub_kernels
from npconv.compiled.winograd_steps import (
    MANY_TILES,
    packed_cuts,
    places,
    raw_cuts,
    raw_layout,
)
from npconv.problem import ConvProblem
from npconv.scratch import LINES

# So many that panels have as many tiles as they may have.
MANY_IMAGES = 2**32


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
    rooms = (_room(posed, kernel, dtype, threads) for kernel in sub_kernels(posed))
    return max(rooms, default=0) + _beside(posed, dtype) + LINES


def of_any_company(posed: ConvProblem, dtype: DType) -> int:
    """Bound `of_whole` of one thread for any number of images."""
    few, many = posed.one_image, posed._replace(N=MANY_IMAGES)
    found = [
        raw_layout(posed, cuts, 1)[3]
        for one, most in zip(sub_kernels(few), sub_kernels(many), strict=True)
        for cuts in (*_of_few(few, one, dtype), *_of_many(many, most, dtype))
    ]
    return max(found) + _beside(posed, dtype) + LINES


def of_tile(posed: ConvProblem, dtype: DType) -> int:
    """Bound the bytes for a tile, and each thread: more images or rows never take less."""
    total = 0
    for kernel in sub_kernels(posed):
        cuts = raw_cuts(posed, kernel, dtype, 1)
        # Or one panel for each thread.
        kept = (min(posed.G * cut.panels, FEW_PANELS) * cut.v_panel for cut in cuts)
        total = max(total, raw_layout(posed, cuts, 1)[3] + max(kept, default=0))
    return total + _beside(posed, dtype) + LINES


def _room(posed: ConvProblem, kernel: SubKernel, dtype: DType, threads: int) -> int:
    """Count what is worked in with one transformed kernel: packed before, or as it came."""
    own = (
        scratch_bytes(cut, posed.G, threads) for cut in packed_cuts(posed, kernel, dtype, threads)
    )
    return max(0, *own, raw_layout(posed, raw_cuts(posed, kernel, dtype, threads), threads)[3])


def _of_many(posed: ConvProblem, kernel: SubKernel, dtype: DType) -> Iterator[list[Tiling]]:
    """Cut as for many images, and a few panels of them."""
    cuts = raw_cuts(posed, kernel, dtype, 1)
    for panels in range(1, FEW_PANELS + 1):
        yield [cut._replace(panels=panels) for cut in cuts]


def _of_few(posed: ConvProblem, kernel: SubKernel, dtype: DType) -> Iterator[list[Tiling]]:
    """Cut as for so few tiles that they are one panel, and a kernel comes piece by piece."""
    cuts = raw_cuts(posed, kernel, dtype, 1)
    if max((cut.tiles for cut in cuts), default=MANY_TILES) < MANY_TILES:
        yield [cut._replace(panel=MANY_TILES, panels=1) for cut in cuts]


def _beside(posed: ConvProblem, dtype: DType) -> int:
    """Count the bytes of what is known of a kernel while it is transformed, and of a copy of it."""
    cut = places(posed, dtype)[0].cut
    return posed.G * posed.C * (cut.outputs + posed.K * posed.taps) * dtype.itemsize
