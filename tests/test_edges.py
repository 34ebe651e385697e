"""No kernel reads or writes beyond an array's ends: there the memory is not ours.

Arrays begin, or end, with a page of their own; the page beside it may not be touched. A kernel
that does crashes the process, as it would crash a user's.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import numpy as np
import pytest

import npconv
from checks import serves
from oracle import Array
from problems import RandomProblem

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mprotect is asked for by name")

NOT_AT_ALL = 0  # C's PROT_NONE

# Rows longer than vectors, and ends that are no whole ones; every other number read or written.
EDGES: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "plain": ((2, 3, 13, 27), (5, 3, 3, 3), {"padding": 1}),
    "pointwise strided": ((2, 5, 15, 33), (19, 5, 1, 1), {"stride": 2}),
    "strided": ((2, 3, 21, 37), (9, 3, 3, 3), {"stride": 2, "padding": 1}),
    "strided inside": ((1, 3, 21, 37), (2, 3, 5, 5), {"stride": 2}),
    "dilated": ((2, 3, 24, 37), (9, 3, 3, 3), {"dilation": 2}),
    "dilated and strided": ((1, 3, 40, 75), (9, 3, 3, 3), {"dilation": 13, "stride": 2}),
    "depthwise": ((2, 5, 21, 37), (5, 1, 3, 3), {"groups": 5, "stride": 2, "padding": 1}),
    "signal": ((2, 3, 131), (9, 3, 5), {"stride": 2}),
    "volume": ((1, 3, 7, 9, 19), (9, 3, 3, 3, 3), {"stride": (1, 2, 2)}),
}


def at_the_edge(values: Array, *, behind: bool) -> Array:
    """Copy an array to where memory that may be touched ends, or begins."""
    page = mmap.PAGESIZE
    room = -(-values.nbytes // page) * page
    memory = mmap.mmap(-1, room + page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    guard = start + (room if behind else 0)
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(guard), page, NOT_AT_ALL) == 0
    offset = room - values.nbytes if behind else page
    there = np.frombuffer(memory, values.dtype, values.size, offset).reshape(values.shape)
    there[...] = values
    return there


# Kernels of other dtypes are written by the same code: they are tried where rows are strided.
CASES = [(name, "f4") for name in EDGES] + [("strided", "f8"), ("strided", "f2")]


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_nothing_beyond_an_array_is_touched(name: str, dtype: str) -> None:
    x, w, options = EDGES[name]
    rng = np.random.default_rng(0)
    y = npconv.conv_output_shape(x, w, **options)
    shapes = {"forward": (x, w, y), "input_grad": (y, w, x), "kernel_grad": (y, x, w)}
    problem = RandomProblem(x, w, options)
    for direction, given in shapes.items():
        operands = [rng.integers(-3, 4, shape).astype(dtype) for shape in given]
        for algorithm in ("direct", "winograd_fused", "depthwise"):
            if not serves(problem, algorithm):
                continue
            planned = {"dtype": dtype, "direction": direction, "algorithm": algorithm, **options}
            try:
                plan = npconv.plan_conv(x, w, **planned)
            except npconv.UnsupportedError:
                continue  # this dtype, or this direction
            right = plan(*operands[:2])
            for behind in (True, False):
                first, second, out = (at_the_edge(each, behind=behind) for each in operands)
                found = plan(first, second, out=out)
                np.testing.assert_array_equal(found, right)
