"""What the words of a block, and of each phase, mean to the kernels of direct summation."""

from npconv.compiled.blocks import CALL_WORDS

(GROUPS, CHANNELS, OUT_CHANNELS, BAND_BYTES, WORKER_BYTES, PHASES, PARTS, PACKED_GROUP, BLOCKS,
 X_IMAGE, X_GROUP, X_CHANNEL, X_PLANE, X_ROW, X_COLUMN, PLANES, HEIGHT, WIDTH,
 Y_IMAGE, Y_GROUP, Y_CHANNEL, BLOCK_VECTORS, PIECE_AT, W_GROUP, W_ROW,
 TILE_BASES, TILE_STEPS,
 IMAGES, PANEL_BYTES, CHUNK_CHANNELS, TAPS, W_TERMS,
 IN_ORDER, STREAMS, SUMS_AT, SUMS, SUMS_ROW,
 X_OPERAND, Y_OPERAND, BLOCKS_A_PART) = range(CALL_WORDS, CALL_WORDS + 40)  # fmt: skip
(OF_PHASE, PLANES_OUT, ROW_PIECES, COLUMN_PIECES, CHUNKS, BLOCKS_A_CHUNK, BLOCK_COUNT,
 ROWS, ALL_ROWS, COLUMNS, ALL_COLUMNS, TERMS, TERM_OFFSETS, BASES, LAST_BASES, PACKED,
 PLANE_SLOTS, ROW_SLOTS, COLUMN_RUNS, COLUMN_LENGTH, COLUMN_BETWEEN,
 PLANE_INPUTS, ROW_INPUTS, COLUMN_FIRSTS, PLANE_STEP, ROW_STEP, COLUMN_STEP,
 Y_START, Y_PLANE, Y_ROW, Y_COLUMN,
 IN_PLACE, A_PIECE, SOURCES, RUN, RUN_STEP, TOGETHER, SEEN, PHASE_WORDS) = range(39)  # fmt: skip
# A row of a band has COLUMN_RUNS runs of slots, of COLUMN_LENGTH each, which hold every
# COLUMN_BETWEEN-th input from one of COLUMN_FIRSTS on.
# SEEN gives the first term of each row of outputs, and the one behind its last: others meet
# padding. Where SOURCES are given, the kernel is packed a piece at a time, as it is read: that many
# terms of a block. They follow each other in runs; the sources of a run are RUN_STEP apart.
# TILE_BASES and TILE_STEPS are tables for what a shifted tile reads, copied together; or 0.

# Terms summed before a block is put aside, at most: what a block reads of both factors stays in
# the first cache. Where numbers of the image are broadcast, A_PIECE says how many there are.
DEPTH = 128
