"""Runs of Winograd's filtering, prepared: which steps, in how many parts."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from npconv.algorithms.protocol import DType
from npconv.compiled.blocks import CALL_WORDS, FIRST, OUT, SCRATCH, SECOND
from npconv.compiled.machine_code import address_of
from npconv.compiled.prepared import Prepared, Step, Strides, step
from npconv.compiled.winograd import (
    Slice,
    Tiling,
    dealt,
    in_bytes,
    is_shared,
    pairs_of,
    scratch_bytes,
    slices,
    tile_axes,
    tiling,
    whole_lines,
    words,
)
from npconv.compiled.winograd_words import ALONE_BYTES, CheckWords, KernelWords, Words
from npconv.problem import ConvProblem

# A kernel that was not packed is transformed as a whole up to so many bytes. A larger one is in
# pieces, few enough bytes to be multiplied before they leave the second cache; or where there are
# many tiles, enough to be worth transforming the tiles once more.
U_BYTES, PIECE_BYTES = 5 * 2**19, 5 * 2**18
MANY_U_BYTES, MANY_TILES = 5 * 2**20, 64
# How many input channels of the kernel one part transforms, for two vectors of output channels.
CHUNK = 32
FEW_IMAGES = 4  # for each thread, that are checked piece by piece
# The block where such a kernel has to be transformed piece by piece: see `_pieces`.
SMALL_BLOCK = 1


def seen_numbers(problem: ConvProblem) -> int:
    """Count what the checks want to know of a group's kernel; see `winograd_kernel`."""
    return problem.C * (1 + problem.taps)


def packed_shape(problem: ConvProblem, cut: Tiling) -> tuple[int, int, int, int]:
    """Give the shape of a packed kernel: each group's, and behind it what the checks want."""
    beside = -(-seen_numbers(problem) // cut.elements)
    return problem.G, cut.h.t, cut.w.t, cut.u_bytes // cut.item // cut.elements + beside


@lru_cache(maxsize=1024)
def prepare_pack(problem: ConvProblem, turned: bool, dtype: DType, threads: int) -> Prepared:
    """Prepare the transform of a kernel of a forward problem into a packed one."""
    cut = tiling(problem.one_image, dtype)
    size = _numbers(packed_shape(problem, cut)) * cut.item
    made = _kernel_words(problem, cut, turned)._replace(
        operand=FIRST, result=OUT, u_group=size, seen=cut.u_bytes, seen_group=size
    )
    steps = (_transform(cut, made, problem.G, dtype), _seen(made, problem.G, dtype))
    return Prepared(steps, problem.G * cut.outputs * problem.C * cut.item, threads)


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
    if tile is not None:
        cut = dealt(tiling(problem, dtype, tile), problem.G, threads)
        size = _numbers(packed_shape(problem, cut)) * cut.item
        steps: list[Step] = []
        for one in slices(problem, x, y):
            made = words(problem, cut, x, y, size, threads, one)
            check = check_words(problem, cut, x, y, one)
            check = check._replace(seen_in=SECOND, seen=cut.u_bytes, seen_group=size)
            steps += _halves(made, cut, problem.G, threads, dtype, check)
        return Prepared(tuple(steps), scratch_bytes(cut, problem.G, threads), threads)
    return _from_raw(problem, dtype, x, y, threads, turned)


def _from_raw(
    problem: ConvProblem, dtype: DType, x: Strides, y: Strides, threads: int, turned: bool
) -> Prepared:
    """Transform some of the kernel, multiply with that, and so on."""
    cut = raw_tiling(problem, dtype, threads)
    u, most, seen, total = raw_layout(problem, cut, threads)
    seen_group = seen_numbers(problem) * cut.item
    blocks = _blocks_at_once(problem, cut, threads)
    u_group = blocks * cut.u_block
    kernel = _kernel_words(problem, cut, turned)._replace(
        u=u, u_group=u_group, most=most, seen=seen, seen_group=seen_group
    )
    pictures, shared = slices(problem, x, y), is_shared(cut, problem.G, threads)
    checks = [
        check_words(problem, cut, x, y, one)._replace(
            seen_in=SCRATCH, seen=seen, seen_group=seen_group
        )
        for one in pictures
    ]
    seen_step, steps = _seen(kernel, problem.G, dtype), []
    if blocks < cut.blocks and len(pictures) == 1 and shared:
        made = words(problem, cut, x, y, 0, threads, pictures[0])._replace(u=u)
        steps = _alone(made, kernel._replace(u_group=0), cut, problem.G, dtype)
        steps += [seen_step, check_step(checks[0], dtype, threads)]
        return Prepared(tuple(steps), total, threads)
    for first in range(0, cut.outputs, blocks * cut.block):
        stop = min(first + blocks * cut.block, cut.outputs)
        part = kernel._replace(first=first, vectors=stop - first)
        steps.append(_transform(cut, part, problem.G, dtype))
        if stop == cut.outputs:
            steps.append(seen_step)
        for one, check in zip(pictures, checks, strict=True):
            made = words(problem, cut, x, y, u_group, threads, one)._replace(
                u=u,
                first_block=first // cut.block,
                blocks=-(-(stop - first) // cut.block),
                vectors=stop,
            )
            last = check if stop == cut.outputs else None
            halves = _halves(made, cut, problem.G, threads, dtype, last)
            # V that threads share is still there, if it is not another picture's.
            steps += halves[1:] if first and shared and len(pictures) == 1 else halves
    return Prepared(tuple(steps), total, threads)


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


def raw_tiling(problem: ConvProblem, dtype: DType, threads: int) -> Tiling:
    """Cut a problem whose kernel is not packed: small blocks where it is transformed in pieces."""
    cut = tiling(problem, dtype)
    if cut.tiles >= MANY_TILES or problem.G * cut.u_bytes <= U_BYTES:
        return dealt(cut, problem.G, threads)
    cut = tiling(problem, dtype, None, SMALL_BLOCK)
    return cut._replace(panel=max(cut.tiles, 1), panels=1)  # which all threads multiply


def raw_layout(problem: ConvProblem, cut: Tiling, threads: int) -> tuple[int, int, int, int]:
    """Say where in scratch transformed kernels and what is known of them lie, and all bytes."""
    u = whole_lines(scratch_bytes(cut, problem.G, threads))
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


def _kernel_words(problem: ConvProblem, cut: Tiling, turned: bool) -> KernelWords:
    taps, item = problem.taps, cut.item
    # The kernel came as (G, K, C, *kernel), or, to be turned, with K and C exchanged.
    near, far = taps * item, taps * (problem.K if turned else problem.C) * item
    return KernelWords(
        operand=SECOND,
        of_group=problem.C * problem.K * taps * item,
        of_out=near if turned else far,
        of_in=far if turned else near,
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


def check_step(made: CheckWords, dtype: DType, threads: int) -> Step:
    """Prepare the check of all images, a few of them cut for threads to share."""
    images = made.N * made.G
    pieces = threads if images < FEW_IMAGES * threads else 1
    made = made._replace(pieces=pieces)
    return step(("winograd_check", "image", str(dtype)), made, images * pieces)


def check_words(
    problem: ConvProblem, cut: Tiling, x: Strides, y: Strides, one: Slice
) -> CheckWords:
    """Tell the checks where inputs and outputs lie, and which elements may stray."""
    h_axis, w_axis = tile_axes(problem)
    read, inside = [], []
    for axis in (h_axis, w_axis):
        lo, hi = axis.reads(0, axis.out)
        read.append((lo, hi))
        inside.append((max(lo, axis.reach - 1 - axis.low), min(hi, axis.out - axis.low)))
    if any(lo >= hi for lo, hi in inside):  # see `npconv.strays.frame`
        inside = [(0, 0), (0, 0)]
    if not one.is_there:
        read = [(0, 0), (0, 0)]
    return CheckWords(
        one.x * cut.item, *in_bytes(problem, x, cut.item),
        one.y * cut.item, *in_bytes(problem, y, cut.item),
        problem.N, problem.G, problem.C, problem.K,
        h_axis.size if one.is_there else 0, w_axis.size,
        h_axis.out, w_axis.out, h_axis.low, w_axis.low,
        *read[0], *read[1], *inside[0], *inside[1], h_axis.kernel, w_axis.kernel, 0, 0, 0, 1,
    )  # fmt: skip


def _numbers(shape: tuple[int, int, int, int]) -> int:
    """Count the numbers of one group."""
    return shape[1] * shape[2] * shape[3]
