"""What kernels of sliding windows are told: words of their block, and of their tables' records."""

from __future__ import annotations

from npconv.compiled.blocks import CALL_WORDS

# The block, behind what a call brings.
(
    CHUNK, ITEMS, G, K, BANDS, OUTERS, BAND_TABLE, OUTER_TABLE, PLANE_TABLE,
    X_N, X_G, X_PITCH, Y_N, Y_G, Y_K, HEIGHT, WIDTH, NOTHING,
    NUMBER, FULL, OUT_WIDTH, OUT_STEP, FIRST_READ, LOW_READ, HIGH_READ, READ_TABLE,
    IMAGES, SIZE, W_C, W_COLUMN_STEP, W_COLUMN,
) = range(CALL_WORDS, CALL_WORDS + 31)  # fmt: skip
# W_COLUMN is the first of as many as there are phases of columns.
MOST_PHASES = 4
# Pooling is told these instead: how many elements windows have along each axis (as numbers of
# the dtype), the places of inputs, which words say where operands are; in the gradient, the
# places where outer positions begin, and the first column.
(
    OUTER_SIZES, ROW_SIZES, COLUMN_SIZES, PLACE_FIRST, PLACE_ROW, PLACE_COLUMN, SOURCE, TARGET,
    OUTER_PLACES, FIRST_COLUMN,
) = range(W_COLUMN + MOST_PHASES, W_COLUMN + MOST_PHASES + 10)  # fmt: skip

# A band: where its first row goes and each next one, how many, what row they read through the
# first kernel row, how far the next output row reads and the next kernel row, its weights, and
# which output rows they are.
ROW_TO, PITCH, COUNT, READ, STEP, UNIT, W_AT, W_STEP, ROW, ROW_APART, BAND_WORDS = range(11)
# A position of the outer axes: where it goes, and its planes.
TO, BEGIN, END, OUTER_WORDS = range(4)
# A plane: where it lies, whether it is there at all or padding, how many rows and columns
# further it reads, its weights, and its place among the input's elements.
AT, IS_THERE, ROW_AT, COLUMN_AT, PLANE_W, PLACE, PLANE_WORDS = range(7)
