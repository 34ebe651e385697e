"""What direct summation takes: products, numbers moved, working memory."""

from __future__ import annotations

import math

from npconv.compiled.direct import layout
from npconv.compiled.direct_phases import share_seen
from npconv.problem import ConvProblem
from npconv.scratch import LINES

WAITING = {1: 1, 2: 1}  # rows that could be computed while blocks of so many rows wait


def workspace(problem: ConvProblem, itemsize: int) -> int:
    """Bound the bytes one thread works in, however arrays lie."""
    each = (layout(problem, itemsize, as_it_lies=lies) for lies in (False, True))
    return max(how.worker_numbers for how in each) * itemsize + LINES


def counts(problem: ConvProblem, itemsize: int) -> tuple[int, int]:
    """Count the products formed, in whole vectors, and the numbers moved.

    Each image reads the packed kernel. Blocks of one or two rows wait for what they load.
    """
    how = layout(problem, itemsize)
    products = moved = 0
    width = sum(width for _, width in how.blocks)
    if how.mode == "shifted":
        width += sum(WAITING.get(height, 0) for _, height in how.blocks)
    for piece in how.pieces:
        outputs, terms = piece.phase.outputs, how.terms(piece)
        if how.trims:
            terms = math.ceil(terms * share_seen(problem, piece.phase))
        columns = piece.phase.axes[-1].number
        if how.mode == "broadcast":
            products += outputs * terms * width
        else:
            products += outputs * terms * width * -(-columns // how.lanes) * how.lanes // columns
        moved += piece.number * problem.C * piece.band.channel + 2 * outputs * problem.K
    images = problem.N * problem.G
    return images * products, images * (moved + how.packed)
