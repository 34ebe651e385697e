"""Max pooling of small images: what each output sees stands in a table.

Where rows are shorter than vectors, a vector is of outputs from several rows, and of several
images and channels, whose inputs are gathered. One code serves all windows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from npconv.compiled.blocks import CALL_WORDS, FIRST, FLAGS, OUT, SECOND
from npconv.compiled.kernels.arithmetic import Span
from npconv.compiled.kernels.loops import Held, loop
from npconv.compiled.kernels.memory import I32, I64, at, declared, emitted, get_int, setter
from npconv.compiled.kernels.row_vectors import RowVectors
from npconv.compiled.registers import ITEMSIZES

# How many planes there are, in a part, and whose outputs the table holds; elements of a plane,
# its outputs; rows of the table (elements of a window), their length, where it stands (32-bit
# integers, -1 where a window sees nothing), and the places where the planes of outputs begin.
PLANES, CHUNK, TOGETHER, SIZE, OUTPUTS, TAPS, LENGTH, TABLE, STARTS = range(
    CALL_WORDS, CALL_WORDS + 9
)


def make(what: str, dtype: str) -> Callable[..., None]:
    """Make ``max``, ``places``, which says also where they stood, or ``grad``."""
    emit = {"max": _largest, "places": _places, "grad": _gradient}[what]
    V, item = RowVectors(dtype), ITEMSIZES[dtype]
    work, put, clears = emitted(_work(V, emit), 5), setter(dtype), what == "grad"

    def kernel(block: int, part: int, worker: int) -> None:
        """Of outputs: FIRST are inputs, OUT maxima, SECOND places; ``grad`` reads SECOND."""
        chunk, together = get_int(block, CHUNK), get_int(block, TOGETHER)
        size, outputs = get_int(block, SIZE), get_int(block, OUTPUTS)
        stop = min(part * chunk + chunk, get_int(block, PLANES))
        for plane in range(part * chunk, stop, together):
            count = min(together, stop - plane)
            x = get_int(block, FIRST) + item * plane * size
            if clears:
                dy = get_int(block, SECOND) + item * plane * outputs
                dx = get_int(block, OUT) + item * plane * size
                for i in range(count * size):
                    put(dx, i, 0.0)
                work(block, x, dx, dy, count * outputs)
            else:
                y = get_int(block, OUT) + item * plane * outputs
                places = get_int(block, SECOND) + 8 * plane * outputs
                work(block, x, y, places, count * outputs)

    return kernel


def _work(V: RowVectors, use: Callable[..., None]) -> Callable[..., None]:
    def work(b: Any, block: Any, x: Any, out: Any, second: Any, count: Any) -> None:
        """Find what won each output, a vector of them at a time."""

        def word(name: int) -> Any:
            return b.load(at(b, I64, block, I64(name)))

        best, where = Held(b, V.type, [0]), Held(b, V.integers, [0])
        with loop(b, I64(0), count, V.lanes) as j:
            inside = V.between(b, j, I64(0), count)
            best[0], where[0] = V.constant(-math.inf), ir.Constant(V.integers, [-1] * V.lanes)
            with loop(b, I64(0), word(TAPS)) as tap:
                row = b.add(b.mul(tap, word(LENGTH)), j)
                place = _integers(b, V, word(TABLE), row)
                there = b.icmp_signed(">=", place, ir.Constant(V.integers, [0] * V.lanes))
                there = b.and_(there, inside)
                value, held = _gather(b, V, x, place, there), best[0]
                # The first of equals wins, and the first NaN for good.
                larger = b.fcmp_unordered(">", value, held)
                wins = b.and_(there, b.and_(larger, b.fcmp_ordered("ord", held, held)))
                best[0] = b.select(wins, value, held)
                where[0] = b.select(wins, place, where[0])
            use(b, V, word, best[0], where[0], out, second, j, count, inside)

    return work


def _integers(b: Any, V: RowVectors, address: Any, index: Any) -> Any:
    """Read a vector of 32-bit integers."""
    return Span(I32, 4, V.lanes).load(b, at(b, I32, address, index))


def _gather(b: Any, V: RowVectors, x: Any, places: Any, mask: Any) -> Any:
    wide = ir.VectorType(I64, V.lanes)
    size = ir.Constant(wide, [V.itemsize] * V.lanes)
    addresses = b.add(V.broadcast(b, x), b.mul(b.sext(places, wide), size))
    pointers = b.inttoptr(addresses, ir.VectorType(V.scalar.as_pointer(), V.lanes))
    kind = ir.FunctionType(V.type, [pointers.type, I32, mask.type, V.type])
    load = declared(b, kind, f"llvm.masked.gather.{V.span.name}.v{V.lanes}p0")
    return b.call(load, [pointers, I32(V.itemsize), mask, V.zero])


def _largest(
    b: Any, V: RowVectors, word: Any, best: Any, where: Any, y: Any, places: Any, j: Any,
    count: Any, inside: Any,
) -> None:  # fmt: skip
    """Write the largest elements."""
    V.store(b, y, j, best, inside)


def _places(
    b: Any, V: RowVectors, word: Any, best: Any, where: Any, y: Any, places: Any, j: Any,
    count: Any, inside: Any,
) -> None:  # fmt: skip
    """Write also where in its plane each stood."""
    V.store(b, y, j, best, inside)
    place = b.sub(where, _integers(b, V, word(STARTS), j))
    V.store_integers(b, places, j, place, inside)
    _tell(b, V, word, where, inside)


def _gradient(
    b: Any, V: RowVectors, word: Any, best: Any, where: Any, dx: Any, dy: Any, j: Any,
    count: Any, inside: Any,
) -> None:  # fmt: skip
    """Add each output's gradient to its winner's, one after the other."""
    _tell(b, V, word, where, inside)
    once: Any = cgutils.alloca_once
    spilled = once(b, V.integers)
    b.store(where, spilled)
    winners = b.bitcast(spilled, I32.as_pointer())
    left = b.sub(count, j)
    left = b.select(b.icmp_signed("<", left, I64(V.lanes)), left, I64(V.lanes))
    with loop(b, I64(0), left) as i:
        winner = b.sext(b.load(b.gep(winners, [i])), I64)
        with b.if_then(b.icmp_signed(">=", winner, I64(0))):
            to = at(b, V.scalar, dx, winner)
            b.store(b.fadd(b.load(to), b.load(at(b, V.scalar, dy, b.add(j, i)))), to)


def _tell(b: Any, V: RowVectors, word: Any, where: Any, inside: Any) -> None:
    """Tell of windows that found nothing above -inf."""
    nobody = b.icmp_signed("<", where, ir.Constant(V.integers, [0] * V.lanes))
    with b.if_then(V.any(b, b.and_(nobody, inside))):
        b.store(I64(1), at(b, I64, word(FLAGS)))
