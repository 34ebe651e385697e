"""Windows that slide along rows: what depthwise convolution and pooling have in common.

A block is a few rows of outputs, one vector of each. Row ``i`` of the inputs, counted in
units of the dilation, is loaded once and used by every output row that sees it:

    output row p  sees, through kernel row r,  input row i = p * apart + r

Neighbouring outputs lie ``step`` inputs apart. Where the columns were spread apart (the
gradient of a strided convolution), outputs fall into phases, each with kernel columns of
its own; all phases are computed side by side and interleaved when they are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any, NamedTuple

from npconv.compiled import sliding_words as words
from npconv.compiled.front_end import helper
from npconv.compiled.kernels.loops import either, loop, unmasked
from npconv.compiled.kernels.memory import I64, at, get_int
from npconv.compiled.kernels.row_vectors import FEW, RowVectors
from npconv.compiled.registers import masks

# Where each phase's kernel columns read, counted from the first of all; or, where that is
# too far to be part of the code, only how many there are: then it is read from memory.
Columns = tuple[tuple[int, ...], ...]


class Shape(NamedTuple):
    """What is known of the windows when code is made; part of a variant's name."""

    rows: int
    apart: int
    step: int
    columns: Columns
    known: bool

    @classmethod
    def of(cls, text: str) -> Shape:
        """Read its name."""
        kind = "k" if "k" in text else "r"
        sizes, phases = text.split(kind)
        columns = (tuple(map(int, p.split("."))) if p else () for p in phases.split("_"))
        rows, apart, step = map(int, sizes.split("x"))
        return cls(rows, apart, step, tuple(columns), kind == "k")

    def unit_rows(self, outputs: int) -> list[int]:
        """List the input rows that so many output rows see."""
        return sorted({p * self.apart + r for p in range(outputs) for r in range(self.rows)})


@helper
def item_at(block: int, number: int) -> Any:
    """Say what an item is: its band, its outer position and that one's number, and its places.

    These count the elements before what it reads, and before its first output.
    """
    bands, outers = get_int(block, words.BANDS), get_int(block, words.OUTERS)
    rest, at_band = number // bands, number % bands
    rest, at_outer = rest // outers, rest % outers
    n, g = rest // get_int(block, words.G), rest % get_int(block, words.G)
    band = get_int(block, words.BAND_TABLE) + 8 * words.BAND_WORDS * at_band
    outer = get_int(block, words.OUTER_TABLE) + 8 * words.OUTER_WORDS * at_outer
    x = n * get_int(block, words.X_N) + g * get_int(block, words.X_G)
    y = n * get_int(block, words.Y_N) + g * get_int(block, words.Y_G)
    y += get_int(outer, words.TO) + get_int(band, words.ROW_TO)
    return band, outer, at_outer, x, y


class Lines(NamedTuple):
    """Where a block's inputs lie: LLVM values, integers of 64 bits."""

    rows: dict[int, Any]  # the address of each input row's first element
    reads: list[list[Any]]  # the first output's input, for each phase and kernel column
    width: Any  # elements in an input row


def words_at(b: Any, address: Any) -> Callable[[int], Any]:
    """Give a function that reads the integers at an address."""
    return lambda i: b.load(at(b, I64, address, I64(i)))


def reads_of(b: Any, shape: Shape, base: Any, table: Any) -> list[list[Any]]:
    """Say where the first output reads, through each phase's columns."""
    if shape.known:
        return [[b.add(base, I64(s)) for s in phase] for phase in shape.columns]
    each, number = words_at(b, table), count()
    return [[b.add(base, each(next(number))) for _ in phase] for phase in shape.columns]


def _is_inside(
    b: Any, shape: Shape, vectors: RowVectors, word: Callable[[int], Any], j: Any
) -> Any:
    """Say whether a vector of outputs reads nothing but elements, also what it skips."""
    more = shape.step - 1 if 1 < shape.step <= FEW else 0
    start = b.mul(j, I64(shape.step))
    first = b.sub(b.add(start, word(words.LOW_READ)), I64(more))
    last = b.add(b.add(start, word(words.HIGH_READ)), I64(shape.step * vectors.lanes - 1 + more))
    fits = b.and_(b.icmp_signed(">=", first, I64(0)), b.icmp_signed("<", last, word(words.WIDTH)))
    return b.and_(fits, b.icmp_signed("<=", b.add(j, I64(vectors.lanes)), word(words.FULL)))


def each_seen(
    b: Any,
    shape: Shape,
    vectors: RowVectors,
    lines: Lines,
    j: Any,
    outputs: int,
    fill: Any,
    use: Callable[[int, int, int, int, Any], None],
    *,
    whole: bool,
    in_order: bool = False,
) -> None:
    """Load what vectors of outputs see; ``use(p, r, phase, s, x)`` for each that sees it.

    Where not ``whole``, columns beyond the row are not read but ``fill``. ``in_order`` goes
    through the kernel's elements row by row.
    """
    load = _Loads(b, shape, vectors, lines, j, fill, whole)
    columns = [(f, s) for f, phase in enumerate(shape.columns) for s in range(len(phase))]
    pairs = [(i, f, s) for f, s in columns for i in shape.unit_rows(outputs)]
    if in_order or 1 < shape.step <= FEW:
        pairs.sort()  # what columns share is in registers, but not of all rows at once
    for i, f, s in pairs:
        x = load(i, f, s)
        for p in range(outputs):
            r = i - p * shape.apart
            if 0 <= r < shape.rows:
                use(p, r, f, s, x)


class _Loads:
    """Loads of one block; a vector that several kernel columns share is loaded once."""

    def __init__(
        self,
        b: Any,
        shape: Shape,
        vectors: RowVectors,
        lines: Lines,
        j: Any,
        fill: Any,
        whole: bool,
    ) -> None:
        self.b, self.shape, self.vectors, self.lines = b, shape, vectors, lines
        self.start, self.fill, self.whole = b.mul(j, I64(shape.step)), fill, whole
        self.masks: dict[Any, Any] = {}
        self.seen: dict[Any, Any] = {}

    def __call__(self, i: int, f: int, s: int) -> Any:
        b, step, V = self.b, self.shape.step, self.vectors
        place = self.shape.columns[f][s] if self.shape.known else (f, s)
        index = b.add(self.start, self.lines.reads[f][s])
        if 1 < step <= FEW:
            first = place % step if isinstance(place, int) else 0
            group = place - first if isinstance(place, int) else place
            if (i, group) not in self.seen:
                index = b.sub(index, I64(first))
                self.seen[i, group] = [
                    self._load(i, (group, k), b.add(index, I64(k * V.lanes))) for k in range(step)
                ]
            return V.every(b, self.seen[i, group], first)
        if (i, place) not in self.seen:
            self.seen[i, place] = self._load(i, place, index)
        return self.seen[i, place]

    def _load(self, i: int, place: Any, index: Any) -> Any:
        b, step, V, row = self.b, self.shape.step, self.vectors, self.lines.rows[i]
        apart = step if step > FEW else 1
        if self.whole and apart == 1:
            return V.load(b, row, index)
        if place not in self.masks:
            self.masks[place] = V.between(b, index, I64(0), self.lines.width, apart)
        if apart == 1:
            return V.load(b, row, index, self.masks[place], self.fill)
        return V.gather(b, row, index, I64(apart), self.masks[place], self.fill)


def store_outputs(
    b: Any, vectors: RowVectors, records: tuple[Any, Any], values: Sequence[Any],
    place: tuple[Any, int], j: Any, apart: bool, *, whole: bool,
) -> None:  # fmt: skip
    """Store outputs ``j`` and on of each phase in row ``p`` of a block; ``place`` is (y, p).

    Phases are interleaved; of a lone phase among many, numbers are written one by one.
    """
    (block, band), (y, p) = records, place
    word = words_at(b, block)
    pitch = b.mul(words_at(b, band)(words.PITCH), I64(vectors.itemsize))
    row = b.add(y, b.mul(pitch, I64(p)))
    if apart:
        step, mask = word(words.OUT_STEP), vectors.between(b, j, I64(0), word(words.NUMBER))
        vectors.scatter(b, row, b.mul(j, step), step, values[0], mask)
        return
    start = b.mul(j, I64(len(values)))
    for k, value in enumerate(vectors.interleaved(b, values)):
        index = b.add(start, I64(k * vectors.lanes))
        if whole:
            vectors.store(b, row, index, value)
            continue

        def put(all_there: bool, index: Any = index, value: Any = value) -> None:
            mask = None if all_there else vectors.between(b, index, I64(0), word(words.OUT_WIDTH))
            vectors.store(b, row, index, value, mask)

        stop = b.add(index, I64(vectors.lanes))
        unmasked(b, b.icmp_signed("<=", stop, word(words.OUT_WIDTH)), put)


def along_row(
    b: Any, shape: Shape, vectors: RowVectors, block: Any, emit: Callable[[Any, bool], None],
    *, once: bool = False,
) -> None:  # fmt: skip
    """Emit a loop over a row's vectors of outputs: ``emit(j, whole)`` twice for each.

    It is ``whole`` where all lanes are outputs that read nothing but elements. Unless each
    output is met ``once``, the last vector may begin within the one before it.
    """
    word = words_at(b, block)
    with loop(b, I64(0), word(words.NUMBER), vectors.lanes) as begin:
        j, last = begin, b.sub(word(words.NUMBER), I64(vectors.lanes))
        if not (once or masks()):
            overlaps = b.and_(b.icmp_signed(">", j, last), b.icmp_signed(">=", last, I64(0)))
            j = b.select(overlaps, last, j)
        either(b, _is_inside(b, shape, vectors, word, j), partial(emit, j))


def lines_of(
    b: Any, shape: Shape, item: int, block: Any, band: Any, plane: Any, x: Any, read: Any,
    outputs: int,
) -> Lines:  # fmt: skip
    """Say where the inputs lie that so many output rows read through a plane.

    ``x`` is the address of an image's channel, ``read`` the first row's first input row.
    Rows that are padding are read from where there is nothing but padding.
    """
    word, of_band, of_plane = (words_at(b, each) for each in (block, band, plane))
    there = b.icmp_signed("!=", of_plane(words.IS_THERE), I64(0))
    height = b.select(there, word(words.HEIGHT), I64(0))
    address = b.add(x, b.mul(of_plane(words.AT), I64(item)))
    read, unit = b.add(read, of_plane(words.ROW_AT)), of_band(words.UNIT)
    rows = {}
    for i in shape.unit_rows(outputs):
        row = b.add(read, b.mul(unit, I64(i)))
        place = b.add(address, b.mul(row, word(words.X_PITCH)))
        inside = b.icmp_unsigned("<", row, height)
        rows[i] = b.select(inside, place, word(words.NOTHING))
    first = b.add(word(words.FIRST_READ), of_plane(words.COLUMN_AT))
    return Lines(rows, reads_of(b, shape, first, word(words.READ_TABLE)), word(words.WIDTH))


def plane_at(b: Any, block: Any, index: Any) -> Any:
    """Say where a plane's record lies."""
    table = words_at(b, block)(words.PLANE_TABLE)
    return b.add(table, b.mul(index, I64(8 * words.PLANE_WORDS)))
