"""How a kernel is told what to do: one block of 64-bit integers.

The first words change from call to call: addresses of the operands, of the result, of
working memory. Behind them stand constants of the problem, made when planning.
"""

from __future__ import annotations

CALL_WORDS, MOST_WORDS = 6, 96
FIRST, SECOND, OUT, BIAS, SCRATCH, FLAGS = range(CALL_WORDS)
