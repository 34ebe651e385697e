"""Vectors of numbers, as kernels emit them: one source for AVX-512, AVX2 and NEON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from npconv.compiled.host import vector_bytes
from npconv.compiled.kernels.memory import I8, I32, I64, KINDS, declared

ITEMSIZES = {"float32": 4, "float64": 8}


class Lanes:
    """Writes vector instructions for one dtype. Addresses are integers, offsets bytes."""

    def __init__(self, dtype: str) -> None:
        self.scalar, self.itemsize = KINDS[dtype][1], ITEMSIZES[dtype]
        self.count = vector_bytes() // self.itemsize
        self.nbytes = self.count * self.itemsize
        self.kind = ir.VectorType(self.scalar, self.count)
        self.zero = ir.Constant(self.kind, [0.0] * self.count)
        self._name = f"v{self.count}f{8 * self.itemsize}"

    def all(self, number: float) -> Any:
        """Give a constant in every lane, as the dtype rounds it."""
        return ir.Constant(self.kind, [number] * self.count)

    def at(self, builder: Any, address: Any, offset: Any = 0) -> Any:
        """Point to a vector some bytes behind an address."""
        pointer = builder.inttoptr(address, I8.as_pointer())
        offset = I64(offset) if isinstance(offset, int) else offset
        return builder.bitcast(builder.gep(pointer, [offset]), self.kind.as_pointer())

    def load(self, builder: Any, address: Any, offset: Any = 0) -> Any:
        """Load a vector."""
        return builder.load(self.at(builder, address, offset), align=self.itemsize)

    def store(self, builder: Any, value: Any, address: Any, offset: Any = 0) -> None:
        """Store a vector."""
        builder.store(value, self.at(builder, address, offset), align=self.itemsize)

    def prefetch(self, builder: Any, address: Any, offset: Any = 0) -> None:
        """Call a vector into the cache; where there is no memory, nothing happens."""
        kind = ir.FunctionType(ir.VoidType(), [I8.as_pointer(), I32, I32, I32])
        pointer = builder.bitcast(self.at(builder, address, offset), I8.as_pointer())
        call = declared(builder, kind, "llvm.prefetch.p0i8")
        builder.call(call, [pointer, I32(0), I32(3), I32(1)])

    def load_some(self, builder: Any, mask: Any, address: Any, offset: Any = 0) -> Any:
        """Load the lanes of a mask; the others are not read, but zeros."""
        kinds = [self.kind.as_pointer(), I32, mask.type, self.kind]
        name = f"llvm.masked.load.{self._name}.p0{self._name}"
        load = declared(builder, ir.FunctionType(self.kind, kinds), name)
        pointer = self.at(builder, address, offset)
        return builder.call(load, [pointer, I32(self.itemsize), mask, self.zero])

    def store_some(
        self, builder: Any, mask: Any, value: Any, address: Any, offset: Any = 0
    ) -> None:
        """Store the lanes of a mask."""
        kinds = [self.kind, self.kind.as_pointer(), I32, mask.type]
        name = f"llvm.masked.store.{self._name}.p0{self._name}"
        store = declared(builder, ir.FunctionType(ir.VoidType(), kinds), name)
        pointer = self.at(builder, address, offset)
        builder.call(store, [value, pointer, I32(self.itemsize), mask])

    def mask(self, builder: Any, first: Any, stop: Any) -> Any:
        """Choose lanes ``first .. stop - 1``."""
        lanes = ir.Constant(ir.VectorType(I32, self.count), list(range(self.count)))
        first, stop = (self._everywhere(builder, builder.trunc(n, I32)) for n in (first, stop))
        below = builder.icmp_signed("<", lanes, stop)
        return builder.and_(below, builder.icmp_signed(">=", lanes, first))

    def broadcast(self, builder: Any, address: Any, offset: Any = 0) -> Any:
        """Load one number into every lane."""
        pointer = builder.bitcast(self.at(builder, address, offset), self.scalar.as_pointer())
        return self._everywhere(builder, builder.load(pointer))

    def _everywhere(self, builder: Any, number: Any) -> Any:
        nothing = ir.Constant(ir.VectorType(number.type, self.count), ir.Undefined)
        one = builder.insert_element(nothing, number, I32(0))
        places = ir.Constant(ir.VectorType(I32, self.count), [0] * self.count)
        return builder.shuffle_vector(one, nothing, places)

    def fma(self, builder: Any, a: Any, b: Any, c: Any) -> Any:
        """Give ``a * b + c``, rounded once."""
        kind = ir.FunctionType(self.kind, [self.kind] * 3)
        return builder.call(declared(builder, kind, f"llvm.fma.{self._name}"), [a, b, c])

    def larger(self, builder: Any, a: Any, b: Any) -> Any:
        """Give the larger of each two lanes; ``b`` where either is NaN."""
        return builder.select(builder.fcmp_ordered(">", a, b), a, b)

    def magnitude(self, builder: Any, a: Any) -> Any:
        """Give ``|a|``."""
        kind = ir.FunctionType(self.kind, [self.kind])
        return builder.call(declared(builder, kind, f"llvm.fabs.{self._name}"), [a])

    def largest(self, builder: Any, a: Any) -> Any:
        """Give the largest lane of vectors without NaN."""
        half = self.count // 2
        while half:  # LLVM's own reduction minds NaN, and takes twice as long as all the rest
            other = self._shuffled(
                builder, a, a, [(i + half) % self.count for i in range(self.count)]
            )
            a, half = self.larger(builder, a, other), half // 2
        return builder.extract_element(a, I32(0))

    def total(self, builder: Any, a: Any) -> Any:
        """Add up the lanes, in a fixed order."""
        kind = ir.FunctionType(self.scalar, [self.scalar, self.kind])
        add = declared(builder, kind, f"llvm.vector.reduce.fadd.{self._name}")
        return builder.call(add, [self.scalar(0.0), a])

    def any_nan(self, builder: Any, a: Any) -> Any:
        """Give 1 where any lane is NaN, else 0."""
        bits = builder.fcmp_unordered("uno", a, a)
        word = builder.bitcast(bits, ir.IntType(self.count))
        return builder.zext(builder.icmp_unsigned("!=", word, word.type(0)), I64)

    def turned(self, builder: Any, rows: Sequence[Any]) -> list[Any]:
        """Exchange rows and columns of a square: in steps that pair rows ever farther apart."""
        rows, n, apart = list(rows), self.count, 1
        while apart < n:
            # Of squares of 2 x 2 blocks, each ``apart`` wide, the off-diagonal ones change.
            first = [i if not i & apart else n + i - apart for i in range(n)]
            second = [i + apart if not i & apart else n + i for i in range(n)]
            for i in range(n):
                if not i & apart:
                    a, b = rows[i], rows[i + apart]
                    rows[i] = self._shuffled(builder, a, b, first)
                    rows[i + apart] = self._shuffled(builder, a, b, second)
            apart *= 2
        return rows

    def _shuffled(self, builder: Any, a: Any, b: Any, lanes: Sequence[int]) -> Any:
        places = ir.Constant(ir.VectorType(I32, self.count), list(lanes))
        return builder.shuffle_vector(a, b, places)


def repeated(
    builder: Any,
    count: Any,
    begin: Sequence[Any],
    body: Callable[[Any, list[Any]], Sequence[Any]],
) -> list[Any]:
    """Emit a loop of ``count`` steps, perhaps none, that carries values along."""
    before = builder.block
    head, inside, after = (builder.append_basic_block(name) for name in ("head", "step", "done"))
    builder.branch(head)
    builder.position_at_end(head)
    step = builder.phi(I64)
    step.add_incoming(I64(0), before)
    held = [builder.phi(value.type) for value in begin]
    builder.cbranch(builder.icmp_signed("<", step, count), inside, after)
    builder.position_at_end(inside)
    new = body(step, held)
    following, last = builder.add(step, I64(1)), builder.block
    step.add_incoming(following, last)
    for phi, first, value in zip(held, begin, new, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(value, last)
    builder.branch(head)
    builder.position_at_end(after)
    return held
