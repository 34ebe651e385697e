"""LLVM's vector types, which Numba does not have: one source for AVX-512, AVX2 and NEON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from npconv.compiled.kernels.memory import I32, I64, KINDS, at, declared
from npconv.compiled.registers import vector_bytes


class Vectors:
    """Writes operations on vectors of one dtype; addresses are 64-bit integers."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.numba_type, self.scalar = KINDS[dtype]
        self.itemsize = {"float32": 4, "float64": 8, "int64": 8}[dtype]
        self.is_float = dtype.startswith("float")
        self.lanes = vector_bytes() // self.itemsize
        self.type = ir.VectorType(self.scalar, self.lanes)
        self.name = f"v{self.lanes}{'f' if self.is_float else 'i'}{8 * self.itemsize}"
        self.zero = ir.Constant(self.type, [0] * self.lanes)

    # ---- numbers ---------------------------------------------------------------------

    def add(self, builder: Any, a: Any, b: Any) -> Any:
        """Add."""
        return builder.fadd(a, b) if self.is_float else builder.add(a, b)

    def multiply_add(self, builder: Any, a: Any, b: Any, c: Any) -> Any:
        """Give ``a * b + c``, rounded once."""
        if not self.is_float:
            return builder.add(builder.mul(a, b), c)
        kind = ir.FunctionType(self.type, [self.type] * 3)
        return builder.call(declared(builder, kind, f"llvm.fma.{self.name}"), [a, b, c])

    def broadcast(self, builder: Any, element: Any, kind: Any = None) -> Any:
        """Repeat a number in all lanes."""
        kind = kind or self.scalar
        nothing = ir.Constant(ir.VectorType(kind, self.lanes), ir.Undefined)
        one = builder.insert_element(nothing, element, I32(0))
        lanes = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        return builder.shuffle_vector(one, nothing, lanes)

    # ---- memory ----------------------------------------------------------------------

    def scalar_at(self, builder: Any, address: Any, index: Any) -> Any:
        """Load one number."""
        return builder.load(at(builder, self.scalar, address, index))

    def load(self, builder: Any, address: Any, index: Any) -> Any:
        """Load a vector that begins at an element."""
        return builder.load(self._pointer(builder, address, index), align=self.itemsize)

    def store(self, builder: Any, address: Any, index: Any, value: Any) -> None:
        """Store a vector."""
        builder.store(value, self._pointer(builder, address, index), align=self.itemsize)

    def first(self, builder: Any, count: Any) -> Any:
        """Make the mask of the first ``count`` lanes."""
        places = ir.Constant(ir.VectorType(I64, self.lanes), list(range(self.lanes)))
        return builder.icmp_signed("<", places, self.broadcast(builder, count, I64))

    def load_masked(self, builder: Any, address: Any, index: Any, mask: Any) -> Any:
        """Load the lanes of a mask; nothing else is read, and zeros stand there."""
        pointer = self._pointer(builder, address, index)
        kinds = [self.type.as_pointer(), I32, mask.type, self.type]
        name = f"llvm.masked.load.{self.name}.p0"
        load = declared(builder, ir.FunctionType(self.type, kinds), name)
        return builder.call(load, [pointer, I32(self.itemsize), mask, self.zero])

    def store_masked(self, builder: Any, address: Any, index: Any, mask: Any, value: Any) -> None:
        """Store the lanes of a mask; nothing else is written."""
        pointer = self._pointer(builder, address, index)
        kinds = [self.type, self.type.as_pointer(), I32, mask.type]
        name = f"llvm.masked.store.{self.name}.p0"
        store = declared(builder, ir.FunctionType(ir.VoidType(), kinds), name)
        builder.call(store, [value, pointer, I32(self.itemsize), mask])

    def _pointer(self, builder: Any, address: Any, index: Any) -> Any:
        pointer = at(builder, self.scalar, address, index)
        return builder.bitcast(pointer, self.type.as_pointer())

    # ---- squares ---------------------------------------------------------------------

    def transposed(self, builder: Any, rows: Sequence[Any]) -> list[Any]:
        """Exchange rows and lanes of as many vectors as there are lanes.

        In each round, pairs of rows exchange the halves of blocks twice as small.
        """
        rows, half = list(rows), self.lanes // 2
        while half:
            for i in range(self.lanes):
                if i & half:
                    continue
                low = [lane if not lane & half else lane - half + self.lanes
                       for lane in range(self.lanes)]  # fmt: skip
                high = [lane + half if not lane & half else lane + self.lanes
                        for lane in range(self.lanes)]  # fmt: skip
                a, b = rows[i], rows[i + half]
                rows[i] = self._shuffled(builder, a, b, low)
                rows[i + half] = self._shuffled(builder, a, b, high)
            half //= 2
        return rows

    def _shuffled(self, builder: Any, a: Any, b: Any, lanes: Sequence[int]) -> Any:
        mask = ir.Constant(ir.VectorType(I32, self.lanes), list(lanes))
        return builder.shuffle_vector(a, b, mask)


def repeat(
    builder: Any,
    steps: Any,
    begin: Sequence[Any],
    step: Callable[[Any, list[Any]], list[Any]],
) -> list[Any]:
    """Write a loop of at least one step that carries values along."""
    before = builder.block
    inside, after = (builder.append_basic_block(name) for name in ("step", "done"))
    builder.branch(inside)
    builder.position_at_end(inside)
    index = builder.phi(I64)
    index.add_incoming(I64(0), before)
    held = [builder.phi(value.type) for value in begin]
    new = step(index, held)
    following = builder.add(index, I64(1))
    end = builder.block
    index.add_incoming(following, end)
    for phi, first, value in zip(held, begin, new, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(value, end)
    builder.cbranch(builder.icmp_signed("<", following, steps), inside, after)
    builder.position_at_end(after)
    return new
