"""How a kernel is told what to do: one block of 64-bit integers.

The first words change from call to call: addresses of the operands, of the result, of
working memory. Behind them stand constants of the problem, made when planning. Machine code
finds the addresses itself, in the objects a call brings: where in them is found here.
"""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np


@cache
def data_offset() -> int:
    """Find where in an array object NumPy keeps the address of its numbers.

    Asking NumPy for it takes a microsecond an array, and there are four in a call. The place
    is part of NumPy's binary interface; here it is looked up rather than known.
    """
    arrays = [np.empty(n, np.uint8) for n in (10, 1000, 100_000)]
    for offset in range(16, 64, 8):
        found = [ctypes.c_size_t.from_address(id(array) + offset).value for array in arrays]
        if found == [array.ctypes.data for array in arrays]:
            return offset
    raise AssertionError("an array knows where its numbers are")


@cache
def items_offset() -> int:
    """Find where in a tuple its first item stands, likewise."""
    order = object(), object()
    for offset in range(16, 64, 8):
        found = [ctypes.c_size_t.from_address(id(order) + offset + at).value for at in (0, 8)]
        if found == [id(item) for item in order]:
            return offset
    raise AssertionError("a tuple knows its items")


CALL_WORDS, MOST_WORDS = 6, 96
FIRST, SECOND, OUT, BIAS, SCRATCH, FLAGS = range(CALL_WORDS)
