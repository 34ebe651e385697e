"""LLVM's vector types, which Numba does not have: one source for AVX-512, AVX2 and NEON.

What is the same wherever vectors come from: `Vectors` reads elements of arrays, `RowVectors`
also every n-th of them, and `Lanes` what lies some bytes behind an address.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from npconv.compiled.kernels.memory import I32, I64, KINDS, declared
from npconv.compiled.registers import ITEMSIZES, vector_bytes


class Span:
    """So many numbers of one LLVM type, side by side in memory."""

    def __init__(self, scalar: Any, itemsize: int, lanes: int) -> None:
        self.itemsize, self.type = itemsize, ir.VectorType(scalar, lanes)
        kind = "i" if isinstance(scalar, ir.IntType) else "f"
        self.name = f"v{lanes}{kind}{8 * itemsize}"
        self.zero = ir.Constant(self.type, [0] * lanes)

    def load(self, b: Any, pointer: Any, mask: Any = None, fill: Any = None) -> Any:
        """Load a vector; with a mask only its lanes, elsewhere ``fill``, or zeros."""
        pointer = b.bitcast(pointer, self.type.as_pointer())
        if mask is None:
            return b.load(pointer, align=self.itemsize)
        kind = ir.FunctionType(self.type, [pointer.type, I32, mask.type, self.type])
        load = declared(b, kind, f"llvm.masked.load.{self.name}.p0")
        return b.call(
            load, [pointer, I32(self.itemsize), mask, self.zero if fill is None else fill]
        )

    def store(self, b: Any, pointer: Any, value: Any, mask: Any = None) -> None:
        """Store a vector; with a mask only its lanes."""
        pointer = b.bitcast(pointer, self.type.as_pointer())
        if mask is None:
            b.store(value, pointer, align=self.itemsize)
            return
        kind = ir.FunctionType(ir.VoidType(), [self.type, pointer.type, I32, mask.type])
        store = declared(b, kind, f"llvm.masked.store.{self.name}.p0")
        b.call(store, [value, pointer, I32(self.itemsize), mask])


class Arithmetic:
    """Writes operations on vectors of one dtype, or parts of such. ``b`` is always the builder."""

    def __init__(self, dtype: str, parts: int = 1) -> None:
        self.dtype = dtype
        self.numba_type, self.scalar = KINDS[dtype]
        self.itemsize = ITEMSIZES[dtype]
        self.lanes = vector_bytes() // self.itemsize // parts
        self.nbytes = self.lanes * self.itemsize
        self.span = Span(self.scalar, self.itemsize, self.lanes)
        self.type, self.zero = self.span.type, self.span.zero
        self.integers = ir.VectorType(I32, self.lanes)

    # ---- numbers -------------------------------------------------------------------------

    def constant(self, number: float) -> Any:
        """Give a number in all lanes, known beforehand."""
        return ir.Constant(self.type, [number] * self.lanes)

    def broadcast(self, b: Any, number: Any) -> Any:
        """Repeat a number, or an integer, in all lanes."""
        nothing = ir.Constant(ir.VectorType(number.type, self.lanes), ir.Undefined)
        one = b.insert_element(nothing, number, I32(0))
        return pick(b, one, nothing, [0] * self.lanes)

    def fma(self, b: Any, x: Any, y: Any, z: Any) -> Any:
        """Give ``x * y + z``, rounded once."""
        kind = ir.FunctionType(self.type, [self.type] * 3)
        return b.call(declared(b, kind, f"llvm.fma.{self.span.name}"), [x, y, z])

    def total(self, b: Any, x: Any) -> Any:
        """Add up the lanes, halves onto halves."""
        lanes = self.lanes
        while lanes > 1:
            lanes //= 2
            low, high = (pick(b, x, x, range(i, i + lanes)) for i in (0, lanes))
            x = b.fadd(low, high)
        return b.extract_element(x, I32(0))

    # ---- masks ---------------------------------------------------------------------------

    def mask(self, b: Any, first: Any, stop: Any) -> Any:
        """Choose lanes ``first .. stop - 1``, of which 32 bits are looked at."""
        lanes = ir.Constant(self.integers, list(range(self.lanes)))
        first, stop = (self.broadcast(b, b.trunc(n, I32)) for n in (first, stop))
        return b.and_(b.icmp_signed("<", lanes, stop), b.icmp_signed(">=", lanes, first))

    def first(self, b: Any, count: Any) -> Any:
        """Choose the first lanes."""
        return self.mask(b, I64(0), count)

    def any(self, b: Any, mask: Any) -> Any:
        """Say whether any lane is chosen."""
        bits = b.bitcast(mask, ir.IntType(self.lanes))
        return b.icmp_unsigned("!=", bits, bits.type(0))

    # ---- squares -------------------------------------------------------------------------

    def transposed(self, b: Any, rows: Sequence[Any]) -> list[Any]:
        """Exchange rows and lanes of a square: in steps that pair rows ever farther apart."""
        rows, n, apart = list(rows), self.lanes, 1
        while apart < n:
            # Of squares of 2 x 2 blocks, each ``apart`` wide, the off-diagonal ones change.
            first = [i if not i & apart else n + i - apart for i in range(n)]
            second = [i + apart if not i & apart else n + i for i in range(n)]
            for i in range(n):
                if not i & apart:
                    x, y = rows[i], rows[i + apart]
                    rows[i], rows[i + apart] = pick(b, x, y, first), pick(b, x, y, second)
            apart *= 2
        return rows


def every_other(b: Any, low: Any, high: Any) -> Any:
    """Pick every other number of a row: of a vector, and of the one that begins at its last lane.

    So nothing behind the last number is asked for.
    """
    n = low.type.count
    return pick(b, low, high, [2 * i if 2 * i < n else 2 * i + 1 for i in range(n)])


def pick(b: Any, x: Any, y: Any, lanes: Sequence[int]) -> Any:
    """Pick lanes, counted through two vectors."""
    return b.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes)))
