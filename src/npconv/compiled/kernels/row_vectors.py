"""Vectors of numbers as kernels use them: loads and stores, whole, in part, every n-th.

Written in LLVM's vector types, which Numba does not have: so one source serves AVX-512,
AVX2 and NEON.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import binding, ir
from numba.core import cgutils

from npconv.compiled.kernels.memory import I32, I64, KINDS, at, declared

ITEM = {"float32": 4, "float64": 8}
FEW = 4  # up to so many vectors are shuffled into one another; more go number by number


def lanes_of(dtype: str) -> int:
    """Count the numbers in one of this machine's vectors."""
    features = binding.get_host_cpu_features()
    wide = 64 if features.get("avx512f") else 32 if features.get("avx2") else 16
    return wide // ITEM[dtype]


class Vectors:
    """Writes instructions on vectors of one dtype. ``b`` is always the builder."""

    def __init__(self, dtype: str) -> None:
        self.number, self.kind = KINDS[dtype]
        self.item, self.lanes = ITEM[dtype], lanes_of(dtype)
        self.vector = ir.VectorType(self.kind, self.lanes)
        self.integers = ir.VectorType(I32, self.lanes)
        self.bits = ir.VectorType(I32 if self.item == 4 else I64, self.lanes)
        self.mask = ir.VectorType(ir.IntType(1), self.lanes)
        self.name = f"v{self.lanes}f{8 * self.item}"

    # ---- values ------------------------------------------------------------------------

    def constant(self, value: float) -> Any:
        """Give a vector of equal numbers, known beforehand."""
        return ir.Constant(self.vector, [value] * self.lanes)

    def nobody(self, b: Any) -> Any:
        """Give the bits of -1 as numbers: a place that is none."""
        return b.bitcast(ir.Constant(self.bits, [-1] * self.lanes), self.vector)

    def counting(self, b: Any, first: Any, step: Any) -> Any:
        """Give 64-bit integers ``first, first + step, ...`` in as many bits as numbers have."""
        if self.item == 4:
            first, step = b.trunc(first, I32), b.trunc(step, I32)
        iota = ir.Constant(self.bits, list(range(self.lanes)))
        return b.add(self.broadcast(b, first), b.mul(iota, self.broadcast(b, step)))

    def broadcast(self, b: Any, value: Any) -> Any:
        """Repeat a number, or an integer, in all lanes."""
        one = ir.Constant(ir.VectorType(value.type, self.lanes), ir.Undefined)
        lanes = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        return b.shuffle_vector(b.insert_element(one, value, I32(0)), one, lanes)

    def fma(self, b: Any, x: Any, y: Any, z: Any) -> Any:
        """Give ``x * y + z``, rounded once."""
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        return b.call(declared(b, kind, f"llvm.fma.{self.name}"), [x, y, z])

    def total(self, b: Any, x: Any) -> Any:
        """Add up the lanes, halves onto halves."""
        lanes = self.lanes
        while lanes > 1:
            lanes //= 2
            low, high = (_pick(b, x, x, range(i, i + lanes)) for i in (0, lanes))
            x = b.fadd(low, high)
        return b.extract_element(x, I32(0))

    # ---- masks -------------------------------------------------------------------------

    def between(self, b: Any, start: Any, low: Any, high: Any, step: int = 1) -> Any:
        """Say for each lane ``i`` whether ``low <= start + step * i < high``."""
        far = I64(step * self.lanes + 1)  # beyond all lanes; so that 32 bits are enough
        iota = ir.Constant(ir.VectorType(I32, self.lanes), [step * i for i in range(self.lanes)])
        first, stop = (
            self.broadcast(b, b.trunc(_clamp(b, b.sub(end, start), far), I32))
            for end in (low, high)
        )
        return b.and_(b.icmp_signed(">=", iota, first), b.icmp_signed("<", iota, stop))

    def any(self, b: Any, mask: Any) -> Any:
        """Say whether any lane is set."""
        bits = b.bitcast(mask, ir.IntType(self.lanes))
        return b.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    # ---- memory ------------------------------------------------------------------------

    def load(self, b: Any, address: Any, index: Any) -> Any:
        """Read a vector that begins at an element."""
        place = at(b, self.kind, address, index)
        return b.load(b.bitcast(place, self.vector.as_pointer()), align=self.item)

    def store(self, b: Any, value: Any, address: Any, index: Any) -> None:
        """Write a vector that begins at an element."""
        place = at(b, self.kind, address, index)
        b.store(value, b.bitcast(place, self.vector.as_pointer()), align=self.item)

    def load_some(self, b: Any, address: Any, index: Any, mask: Any, fill: Any) -> Any:
        """Read where the mask says so; elsewhere give what ``fill`` holds, and read nothing."""
        place = b.bitcast(at(b, self.kind, address, index), self.vector.as_pointer())
        kind = ir.FunctionType(self.vector, [place.type, I32, self.mask, self.vector])
        load = declared(b, kind, f"llvm.masked.load.{self.name}.p0")
        return b.call(load, [place, I32(self.item), mask, fill])

    def store_some(self, b: Any, value: Any, address: Any, index: Any, mask: Any) -> None:
        """Write where the mask says so."""
        place = b.bitcast(at(b, self.kind, address, index), self.vector.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [self.vector, place.type, I32, self.mask])
        store = declared(b, kind, f"llvm.masked.store.{self.name}.p0")
        b.call(store, [value, place, I32(self.item), mask])

    def gather(self, b: Any, address: Any, index: Any, step: Any, mask: Any, fill: Any) -> Any:
        """Read every ``step``-th element from one on, where the mask says so."""
        places = self._places(b, address, index, step)
        kind = ir.FunctionType(self.vector, [places.type, I32, self.mask, self.vector])
        load = declared(b, kind, f"llvm.masked.gather.{self.name}.v{self.lanes}p0")
        return b.call(load, [places, I32(self.item), mask, fill])

    def scatter(self, b: Any, value: Any, address: Any, index: Any, step: Any, mask: Any) -> None:
        """Write every ``step``-th element from one on, where the mask says so."""
        places = self._places(b, address, index, step)
        kind = ir.FunctionType(ir.VoidType(), [self.vector, places.type, I32, self.mask])
        store = declared(b, kind, f"llvm.masked.scatter.{self.name}.v{self.lanes}p0")
        b.call(store, [value, places, I32(self.item), mask])

    def _places(self, b: Any, address: Any, index: Any, step: Any) -> Any:
        integers = ir.VectorType(I64, self.lanes)
        iota = ir.Constant(integers, list(range(self.lanes)))
        first, apart = (
            self.broadcast(b, each)
            for each in (b.add(address, b.mul(index, I64(self.item))), b.mul(step, I64(self.item)))
        )
        places = b.add(first, b.mul(iota, apart))
        return b.inttoptr(places, ir.VectorType(self.kind.as_pointer(), self.lanes))

    def store_integers(self, b: Any, value: Any, address: Any, index: Any, mask: Any) -> None:
        """Write a vector of 32-bit integers as one of 64 bits, where the mask says so."""
        wide = ir.VectorType(I64, self.lanes)
        place = b.bitcast(at(b, I64, address, index), wide.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [wide, place.type, I32, self.mask])
        store = declared(b, kind, f"llvm.masked.store.v{self.lanes}i64.p0")
        b.call(store, [b.sext(value, wide), place, I32(8), mask])

    # ---- shuffles ----------------------------------------------------------------------

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
        return (
            vectors[0]
            if list(lanes) == list(range(len(lanes)))
            else _pick(b, vectors[0], vectors[0], lanes)
        )
    joined = list(vectors)
    while len(joined) > 2:
        if len(joined) % 2:
            joined.append(ir.Constant(joined[0].type, ir.Undefined))
        pairs = zip(joined[::2], joined[1::2], strict=True)
        joined = [_pick(b, x, y, range(2 * x.type.count)) for x, y in pairs]
    return _pick(b, joined[0], joined[1], lanes)


def _pick(b: Any, x: Any, y: Any, lanes: Sequence[int]) -> Any:
    return b.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes)))


def _clamp(b: Any, value: Any, far: Any) -> Any:
    low = b.neg(far)
    value = b.select(b.icmp_signed("<", value, low), low, value)
    return b.select(b.icmp_signed("<", value, far), value, far)


@contextmanager
def loop(b: Any, start: Any, stop: Any, step: int = 1) -> Iterator[Any]:
    """Emit a loop over integers."""
    once: Any = cgutils.alloca_once
    index = once(b, I64)
    b.store(start, index)
    test, body, after = (b.append_basic_block(name) for name in ("test", "body", "after"))
    b.branch(test)
    b.position_at_end(test)
    i = b.load(index)
    b.cbranch(b.icmp_signed("<", i, stop), body, after)
    b.position_at_end(body)
    yield i
    b.store(b.add(i, I64(step)), index)
    b.branch(test)
    b.position_at_end(after)


class Held:
    """Vectors that change, in registers: LLVM makes them so."""

    def __init__(self, b: Any, vectors: Vectors, names: Sequence[Any], kind: Any = None) -> None:
        once: Any = cgutils.alloca_once
        self._places = {name: once(b, kind or vectors.vector) for name in names}
        self._builder, self.names = b, list(names)

    def __getitem__(self, name: Any) -> Any:
        """Give the value."""
        return self._builder.load(self._places[name])

    def __setitem__(self, name: Any, value: Any) -> None:
        """Change it."""
        self._builder.store(value, self._places[name])

    def fill(self, value: Any) -> None:
        """Change all of them."""
        for name in self._places:
            self[name] = value
