"""Runs of Winograd's filtering, prepared: which steps, in how many parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from npconv.algorithms.protocol import DType
from npconv.axis import Axis
from npconv.compiled.blocks import CALL_WORDS, FIRST, OUT, SCRATCH, SECOND
from npconv.compiled.machine_code import address_of
from npconv.compiled.prepared import Prepared, Step, Strides, step
from npconv.compiled.winograd import (
    FEW_PANELS,
    Tiling,
    dealt,
    is_shared,
    pairs_of,
    scratch_bytes,
    tiling,
    whole_lines,
    words,
)
from npconv.compiled.winograd_checks import check_step, check_words, held_against
from npconv.compiled.winograd_pictures import (
    Picture,
    SubKernel,
    pictures,
    sub_kernels,
    taps_in_bytes,
)
from npconv.compiled.winograd_words import ALONE_BYTES, CheckWords, KernelWords, Words
from npconv.lattices import Lattice
from npconv.problem import ConvProblem
from npconv.scratch import LINES

# A kernel that was not packed is transformed as a whole up to so many bytes. A larger one is in
# pieces, few enough bytes to be multiplied before they leave the second cache; or where there are
# many tiles, enough to be worth transforming the tiles once more.
U_BYTES, PIECE_BYTES = 5 * 2**19, 5 * 2**18
MANY_U_BYTES, MANY_TILES = 5 * 2**20, 64
# How many input channels of the kernel one part transforms, for two vectors of output channels.
CHUNK = 32
# The output channels of a block where such a kernel has to be transformed piece by piece; but a
# vector at least. Products of fewer would wait for what they load.
SMALL_BLOCK = 16
MANY_IMAGES = 2**32  # so many that panels have as many tiles as they may have


class Place(NamedTuple):
    """Where a transformed kernel lies in what is packed of its group, and what is known of it."""

    kernel: SubKernel
    cut: Tiling
    u: int  # in bytes
    seen: int
    group: int  # from one group's to the next


def places(problem: ConvProblem, dtype: DType, tile: tuple[int, ...] | None = None) -> list[Place]:
    """Lay out a packed kernel: one transformed kernel after the other."""
    found, u = [], 0
    for kernel in sub_kernels(problem, tile):
        sizes = tuple(Axis(size, size) for size in kernel.sizes)
        cut = tiling(problem._replace(axes=sizes), dtype, kernel.tile)
        found.append(Place(kernel, cut, u, u + cut.u_bytes, 0))
        u = whole_lines(u + cut.u_bytes + seen_numbers(problem) * cut.item)
    whole = math.prod(found[0].kernel.tile) * dtype.itemsize
    return [place._replace(group=-(-u // whole) * whole) for place in found]


def seen_numbers(problem: ConvProblem) -> int:
    """Count what the checks want to know of a group's kernel; see `winograd_kernel`."""
    return problem.C * (1 + problem.taps)


def packed_shape(problem: ConvProblem, dtype: DType) -> tuple[int, int, int, int]:
    """Give the shape of a packed kernel: each group's, and behind it what the checks want."""
    first = places(problem, dtype)[0]
    t_h, t_w = first.kernel.tile
    return problem.G, t_h, t_w, first.group // dtype.itemsize // (t_h * t_w)


@lru_cache(maxsize=1024)
def prepare_pack(problem: ConvProblem, turned: bool, dtype: DType, threads: int) -> Prepared:
    """Prepare the transform of a kernel of a forward problem into a packed one."""
    steps: list[Step] = []
    room = 0
    for kernel, cut, u, seen, group in places(problem, dtype):
        made = _kernel_words(problem, kernel, cut, turned)._replace(
            operand=FIRST, result=OUT, u=u, u_group=group, seen=seen, seen_group=group
        )
        steps += [_transform(cut, made, problem.G, dtype), _seen(made, problem.G, dtype)]
        room = problem.G * cut.outputs * problem.C * cut.item
    return Prepared.of(steps, room, threads)


@lru_cache(maxsize=1024)
def prepare_forward(
    problem: ConvProblem,
    dtype: DType,
    x: Strides,
    y: Strides,
    threads: int,
    tile: tuple[int, ...] | None,
    turned: bool,
) -> Prepared:
    """Prepare a forward problem; its kernel is packed for ``tile``, or None: it is as it came."""
    steps: list[Step] = []
    room, written = 0, set[tuple[Lattice, ...]]()
    for place in places(problem, dtype, tile):
        kernel = place.kernel
        if tile is None:
            cuts = raw_cuts(problem, kernel, dtype, threads)
        else:
            cuts = packed_cuts(problem, kernel, dtype, threads)
        work: list[Work] = []
        for part, cut in zip(kernel.parts, cuts, strict=True):
            adds = int(part.written in written)
            # Also of those that are padding alone: a kernel that is not finite makes NaN of it.
            work += [Work(one, cut, adds) for one in pictures(problem, part, x, y)]
            written.add(part.written)
        if tile is None:
            steps += _from_raw(problem, kernel, work, dtype, threads, turned)
            room = max(room, raw_layout(problem, cuts, threads)[3])
        else:
            steps += _from_packed(problem, place, work, dtype, threads)
            room = max(room, *(scratch_bytes(cut, problem.G, threads) for cut in cuts), 0)
    return Prepared.of(steps, room, threads)


class Work(NamedTuple):
    """A picture, how it is cut, and whether its results are added to what is there."""

    one: Picture
    cut: Tiling
    adds: int


def _from_packed(
    problem: ConvProblem, place: Place, work: Sequence[Work], dtype: DType, threads: int
) -> list[Step]:
    """Multiply by a packed kernel."""
    steps: list[Step] = []
    for one, cut, adds in work:
        made = words(one, cut, place.group, threads)._replace(u=place.u, adds=adds)
        check = held_against(check_words(one, cut), one, cut, dtype)._replace(
            seen_in=SECOND, seen=place.seen, seen_group=place.group
        )
        steps += _halves(made, cut, problem.G, threads, dtype, check)
    return steps


def _from_raw(
    problem: ConvProblem,
    kernel: SubKernel,
    work: Sequence[Work],
    dtype: DType,
    threads: int,
    turned: bool,
) -> list[Step]:
    """Transform some of the kernel, multiply with that, and so on."""
    cuts = raw_cuts(problem, kernel, dtype, threads)
    if not work:
        return []
    cut, (u, most, seen, _) = largest(cuts), raw_layout(problem, cuts, threads)
    seen_group = seen_numbers(problem) * cut.item
    blocks = _blocks_at_once(problem, cut, threads)
    u_group = blocks * cut.u_block
    told = _kernel_words(problem, kernel, cut, turned)._replace(
        u=u, u_group=u_group, most=most, seen=seen, seen_group=seen_group
    )
    checks = [
        held_against(check_words(one, own), one, own, dtype)._replace(
            seen_in=SCRATCH, seen=seen, seen_group=seen_group
        )
        for one, own, _ in work
    ]
    seen_step, steps = _seen(told, problem.G, dtype), list[Step]()
    shared = len(work) == 1 and is_shared(cut, problem.G, threads)
    if blocks < cut.blocks and shared:
        made = words(work[0].one, cut, 0, threads)._replace(u_in=SCRATCH, u=u, adds=work[0].adds)
        steps = _alone(made, told._replace(u_group=0), cut, problem.G, dtype)
        return [*steps, seen_step, check_step(checks[0], dtype, threads)]
    for first in range(0, cut.outputs, blocks * cut.block):
        stop = min(first + blocks * cut.block, cut.outputs)
        part = told._replace(first=first, vectors=stop - first)
        steps.append(_transform(cut, part, problem.G, dtype))
        if stop == cut.outputs:
            steps.append(seen_step)
        for (one, own, adds), check in zip(work, checks, strict=True):
            made = words(one, own, u_group, threads)._replace(
                u_in=SCRATCH,
                u=u,
                adds=adds,
                first_block=first // cut.block,
                blocks=-(-(stop - first) // cut.block),
                vectors=stop,
            )
            last = check if stop == cut.outputs else None
            halves = _halves(made, own, problem.G, threads, dtype, last)
            # V that threads share is still there, if it is not another picture's.
            steps += halves[1:] if first and shared else halves
    return steps


def _alone(made: Words, kernel: KernelWords, cut: Tiling, groups: int, dtype: DType) -> list[Step]:
    """Transform the tiles; then each part transforms a block of the kernels for itself."""
    what = "turned" if kernel.turned else "as_is"
    made = made._replace(
        multiply=address_of("winograd", "multiply", str(dtype), cut.variant),
        pack=address_of("winograd_kernel", what, str(dtype), cut.variant),
        u_worker=_alone_bytes(cut),
    )
    first = ("winograd", "transform", str(dtype), cut.variant)
    return [
        step(first, made, groups * cut.panels * made.parts),
        step(("winograd", "alone"), [*made, *kernel], groups * cut.blocks),
    ]


def _alone_bytes(cut: Tiling) -> int:
    return whole_lines(cut.u_block + ALONE_BYTES)


def packed_cuts(
    problem: ConvProblem, kernel: SubKernel, dtype: DType, threads: int
) -> list[Tiling]:
    """Cut the problems of a kernel."""
    cuts = [tiling(part.problem, dtype, kernel.tile) for part in kernel.parts]
    return [dealt(cut, problem.G, threads) for cut in cuts]


def raw_cuts(problem: ConvProblem, kernel: SubKernel, dtype: DType, threads: int) -> list[Tiling]:
    """Cut those of one not packed: into small blocks where it is transformed in pieces."""
    cuts = packed_cuts(problem, kernel, dtype, threads)
    if not cuts:
        return []
    most = largest(cuts)
    if most.tiles >= MANY_TILES or problem.G * most.u_bytes <= U_BYTES:
        return cuts
    block = max(1, SMALL_BLOCK // most.lanes)
    cuts = [tiling(part.problem, dtype, kernel.tile, block) for part in kernel.parts]
    return [cut._replace(panel=max(cut.tiles, 1), panels=1) for cut in cuts]  # for all threads


def largest(cuts: Sequence[Tiling]) -> Tiling:
    """Choose the one with most tiles."""
    return max(cuts, key=lambda cut: cut.tiles)


def raw_layout(
    problem: ConvProblem, cuts: Sequence[Tiling], threads: int
) -> tuple[int, int, int, int]:
    """Say where in scratch transformed kernels and what is known of them lie, and all bytes."""
    if not cuts:
        return 0, 0, 0, 0
    cut = largest(cuts)
    u = max(whole_lines(scratch_bytes(each, problem.G, threads)) for each in cuts)
    at_once = problem.G * _blocks_at_once(problem, cut, threads) * cut.u_block
    most = u + max(at_once, threads * _alone_bytes(cut))
    seen = most + problem.G * cut.outputs * problem.C * cut.item
    return u, most, seen, seen + problem.G * seen_numbers(problem) * cut.item


def _blocks_at_once(problem: ConvProblem, cut: Tiling, threads: int) -> int:
    """How many blocks of a kernel are transformed before they are multiplied."""
    room = MANY_U_BYTES
    if cut.tiles < MANY_TILES:
        room = U_BYTES if problem.G * cut.u_bytes <= U_BYTES else PIECE_BYTES
    fitting = room // max(1, problem.G * cut.u_block)
    return min(max(threads, fitting), max(1, cut.blocks))


def _halves(
    made: Words, cut: Tiling, groups: int, threads: int, dtype: DType, check: CheckWords | None
) -> list[Step]:
    """Transform, multiply and check: in steps of their own where threads share panels."""
    variant, panels = (str(dtype), cut.variant), groups * cut.panels
    if is_shared(cut, groups, threads):
        return [
            step(("winograd", "transform", *variant), made, panels * made.parts),
            step(("winograd", "multiply", *variant), made, panels * made.blocks),
            *([check_step(check, dtype, threads)] if check else []),
        ]
    # A thread looks for strays among the pixels that it transforms.
    told = [np.array(check, np.int64)] if check else []
    made = made._replace(
        transform=address_of("winograd", "watched" if check else "transform", *variant),
        multiply=address_of("winograd", "multiply", *variant),
        watch=sum(each.ctypes.data - 8 * CALL_WORDS for each in told),
    )
    return [step(("winograd", "fused"), made, panels, told)]


def _kernel_words(
    problem: ConvProblem, kernel: SubKernel, cut: Tiling, turned: bool
) -> KernelWords:
    taps, item = problem.taps, cut.item
    # The kernel came as (G, K, C, *kernel), or, to be turned, with K and C exchanged.
    near, far = taps * item, taps * (problem.K if turned else problem.C) * item
    at, of_row, of_tap = taps_in_bytes(problem, kernel, item, turned=turned)
    return KernelWords(
        operand=SECOND,
        of_group=problem.C * problem.K * taps * item,
        of_out=near if turned else far,
        of_in=far if turned else near,
        at=at,
        of_row=of_row,
        of_tap=of_tap,
        C=problem.C,
        K=problem.K,
        taps=taps,
        turned=int(turned),
        block=cut.block,
        first=0,
        vectors=cut.outputs,
        chunk=CHUNK,
        result=SCRATCH,
        u=0,
        u_group=0,
        most=0,
        seen=0,
        seen_group=0,
    )


def _transform(cut: Tiling, made: KernelWords, groups: int, dtype: DType) -> Step:
    parts = groups * pairs_of(made.vectors, made.block) * -(-made.C // CHUNK)
    what = "turned" if made.turned else "as_is"
    return step(("winograd_kernel", what, str(dtype), cut.variant), made, parts)


def _seen(made: KernelWords, groups: int, dtype: DType) -> Step:
    return step(("winograd_kernel", "seen", str(dtype)), made, groups)


# ---- memory ------------------------------------------------------------------------------


def plain_cuts(posed: ConvProblem, dtype: DType) -> list[tuple[ConvProblem, Tiling]]:
    """List the plain problems, and how they are cut."""
    return [
        (part.problem, tiling(part.problem, dtype, kernel.tile))
        for kernel in sub_kernels(posed)
        for part in kernel.parts
    ]


def whole_bytes(posed: ConvProblem, dtype: DType, threads: int) -> int:
    """Count the bytes for a forward problem that is not cut, its packed kernel among them."""
    room = 0
    for kernel in sub_kernels(posed):
        cuts, raw = (cut(posed, kernel, dtype, threads) for cut in (packed_cuts, raw_cuts))
        own = (scratch_bytes(cut, posed.G, threads) for cut in cuts)
        room = max(room, *own, raw_layout(posed, raw, threads)[3])
    return room + _beside(posed, dtype) + LINES


def most_bytes(posed: ConvProblem, dtype: DType) -> int:
    """Bound `whole_bytes` of one thread for any number of images.

    It is largest where panels have as many tiles as they may have, or where tiles are just so
    few that all are one panel, and a kernel comes piece by piece.
    """
    one = posed.one_image
    tiles = max((cut.tiles for _, cut in plain_cuts(one, dtype)), default=1)
    few = one._replace(N=max(1, (MANY_TILES - 1) // tiles))
    return max(whole_bytes(few, dtype, 1), tile_bytes(posed._replace(N=MANY_IMAGES), dtype))


def tile_bytes(posed: ConvProblem, dtype: DType) -> int:
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
