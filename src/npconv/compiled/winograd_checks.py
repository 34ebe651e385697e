"""The checks of Winograd's filtering, prepared: what of operands and results they look at."""

from __future__ import annotations

from npconv.algorithms.protocol import DType
from npconv.compiled.machine_code import address_of
from npconv.compiled.prepared import Step, step
from npconv.compiled.winograd import Tiling
from npconv.compiled.winograd_pictures import Picture, in_bytes, tile_axes
from npconv.compiled.winograd_words import CheckWords

FEW_IMAGES = 4  # for each thread, that are checked piece by piece


def check_step(made: CheckWords, dtype: DType, threads: int) -> Step:
    """Prepare the check of all images, a few of them cut for threads to share."""
    images = made.N * made.G
    pieces = threads if images < FEW_IMAGES * threads else 1
    made = made._replace(pieces=pieces)
    return step(("winograd_check", "image", str(dtype)), made, images * pieces)


def check_words(one: Picture, cut: Tiling) -> CheckWords:
    """Tell the checks where inputs and outputs lie, and which elements may stray."""
    problem = one.problem
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
        one.x_at * cut.item, *in_bytes(problem, one.x, cut.item),
        one.y_at * cut.item, *in_bytes(problem, one.y, cut.item),
        problem.N, problem.G, problem.C, problem.K,
        h_axis.size if one.is_there else 0, w_axis.size,
        h_axis.out, w_axis.out, h_axis.low, w_axis.low,
        *read[0], *read[1], *inside[0], *inside[1], h_axis.kernel, w_axis.kernel, 0, 0, 0, 1,
    )  # fmt: skip


def held_against(made: CheckWords, one: Picture, cut: Tiling, dtype: DType) -> CheckWords:
    """Tell the check of an image what the result of the whole problem holds."""
    (h, w), whole = tile_axes(one.whole), one.whole
    *_, of_row, of_pixel = in_bytes(whole, one.whole_x, cut.item)
    return made._replace(
        R=h.kernel, S=w.kernel, held=address_of("winograd_held", str(dtype)),
        taps=whole.taps, tap=one.tap,
        whole_at=one.whole_at * cut.item, of_row=of_row, of_pixel=of_pixel,
        size_h=h.size if one.is_there else 0, size_w=w.size, out_h=h.out, out_w=w.out,
        low_h=h.low, low_w=w.low, stride_h=h.stride, stride_w=w.stride,
        dilation_h=h.dilation, dilation_w=w.dilation,
        holes_h=h.input_dilation, holes_w=w.input_dilation,
    )  # fmt: skip
