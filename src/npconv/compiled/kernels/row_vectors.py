"""Rows of outputs in vectors: neighbours may lie apart, and some may not be there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from npconv.compiled.kernels.arithmetic import Span, pick
from npconv.compiled.kernels.memory import I32, I64, at, declared
from npconv.compiled.kernels.vectors import Vectors

FEW = 4  # up to so many vectors are shuffled into one another; more go number by number


class RowVectors(Vectors):
    """Vectors of every n-th number, of places in a row, of what lies between its ends."""

    def __init__(self, dtype: str) -> None:
        super().__init__(dtype)
        self.bits = ir.VectorType(I32 if self.itemsize == 4 else I64, self.lanes)

    # ---- places ------------------------------------------------------------------------

    def nobody(self, b: Any) -> Any:
        """Give the bits of -1 as numbers: a place that is none."""
        return b.bitcast(ir.Constant(self.bits, [-1] * self.lanes), self.type)

    def counting(self, b: Any, first: Any, step: Any) -> Any:
        """Give 64-bit integers ``first, first + step, ...`` in as many bits as numbers have."""
        if self.itemsize == 4:
            first, step = b.trunc(first, I32), b.trunc(step, I32)
        iota = ir.Constant(self.bits, list(range(self.lanes)))
        return b.add(self.broadcast(b, first), b.mul(iota, self.broadcast(b, step)))

    def between(self, b: Any, start: Any, low: Any, high: Any, step: int = 1) -> Any:
        """Say for each lane ``i`` whether ``low <= start + step * i < high``."""
        far = I64(step * self.lanes + 1)  # beyond all lanes; so that 32 bits are enough
        iota = ir.Constant(self.integers, [step * i for i in range(self.lanes)])
        first, stop = (
            self.broadcast(b, b.trunc(_clamp(b, b.sub(end, start), far), I32))
            for end in (low, high)
        )
        return b.and_(b.icmp_signed(">=", iota, first), b.icmp_signed("<", iota, stop))

    def store_integers(self, b: Any, address: Any, index: Any, value: Any, mask: Any) -> None:
        """Store a vector of 32-bit integers as one of 64 bits: the lanes of a mask."""
        wide = Span(I64, 8, self.lanes)
        wide.store(b, at(b, I64, address, index), b.sext(value, wide.type), mask)

    # ---- numbers apart -----------------------------------------------------------------

    def gather(self, b: Any, address: Any, index: Any, step: Any, mask: Any, fill: Any) -> Any:
        """Read every ``step``-th element from one on, where the mask says so."""
        places = self._places(b, address, index, step)
        kind = ir.FunctionType(self.type, [places.type, I32, mask.type, self.type])
        load = declared(b, kind, f"llvm.masked.gather.{self.span.name}.v{self.lanes}p0")
        return b.call(load, [places, I32(self.itemsize), mask, fill])

    def scatter(self, b: Any, address: Any, index: Any, step: Any, value: Any, mask: Any) -> None:
        """Write every ``step``-th element from one on, where the mask says so."""
        places = self._places(b, address, index, step)
        kind = ir.FunctionType(ir.VoidType(), [self.type, places.type, I32, mask.type])
        store = declared(b, kind, f"llvm.masked.scatter.{self.span.name}.v{self.lanes}p0")
        b.call(store, [value, places, I32(self.itemsize), mask])

    def _places(self, b: Any, address: Any, index: Any, step: Any) -> Any:
        integers = ir.VectorType(I64, self.lanes)
        iota = ir.Constant(integers, list(range(self.lanes)))
        index, step = (b.mul(each, I64(self.itemsize)) for each in (index, step))
        first, apart = (self.broadcast(b, each) for each in (b.add(address, index), step))
        places = b.add(first, b.mul(iota, apart))
        return b.inttoptr(places, ir.VectorType(self.scalar.as_pointer(), self.lanes))

    def every(self, b: Any, vectors: Sequence[Any], first: int) -> Any:
        """Give every n-th of the numbers in n vectors, from one on."""
        step = len(vectors)
        return _from_all(b, vectors, range(first, step * self.lanes, step))

    def interleaved(self, b: Any, vectors: Sequence[Any]) -> list[Any]:
        """Give the first lanes of all vectors, then the second ones, and so on."""
        count = len(vectors)
        order = [f * self.lanes + i for i in range(self.lanes) for f in range(count)]
        parts = (order[k * self.lanes : (k + 1) * self.lanes] for k in range(count))
        return [_from_all(b, vectors, part) for part in parts]


def _from_all(b: Any, vectors: Sequence[Any], lanes: Sequence[int]) -> Any:
    """Pick lanes, counted through all vectors."""
    if len(vectors) == 1:
        same = list(lanes) == list(range(len(lanes)))
        return vectors[0] if same else pick(b, vectors[0], vectors[0], lanes)
    joined = list(vectors)
    while len(joined) > 2:
        if len(joined) % 2:
            joined.append(ir.Constant(joined[0].type, ir.Undefined))
        pairs = zip(joined[::2], joined[1::2], strict=True)
        joined = [pick(b, x, y, range(2 * x.type.count)) for x, y in pairs]
    return pick(b, joined[0], joined[1], lanes)


def _clamp(b: Any, value: Any, far: Any) -> Any:
    low = b.neg(far)
    value = b.select(b.icmp_signed("<", value, low), low, value)
    return b.select(b.icmp_signed("<", value, far), value, far)
