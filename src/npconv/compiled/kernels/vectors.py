"""LLVM's vector types, which Numba does not have: one source for AVX-512, AVX2 and NEON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types

from npconv.compiled.kernels.memory import I32, I64, KINDS, at, declared, emitted
from npconv.compiled.registers import ITEMSIZES, SUMS, vector_bytes


class Vectors:
    """Writes operations on vectors of one dtype; addresses are 64-bit integers.

    Sums of some dtypes are formed in another, `SUMS`: then that is what the vectors are of,
    and ``outside`` are those of what arrays hold.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = SUMS.get(dtype, dtype)
        self.numba_type, self.scalar = KINDS[self.dtype]
        self.itemsize = ITEMSIZES[self.dtype]
        self.lanes = vector_bytes() // self.itemsize
        self.type = ir.VectorType(self.scalar, self.lanes)
        self.name = f"v{self.lanes}f{8 * self.itemsize}"
        self.zero = ir.Constant(self.type, [0] * self.lanes)
        self.outside = Outside(self, dtype)

    # ---- numbers ---------------------------------------------------------------------

    def add(self, builder: Any, a: Any, b: Any) -> Any:
        """Add."""
        return builder.fadd(a, b)

    def multiply_add(self, builder: Any, a: Any, b: Any, c: Any) -> Any:
        """Give ``a * b + c``, rounded once."""
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


class Outside:
    """Numbers as arrays hold them: read into vectors of the dtype of sums, written from them."""

    def __init__(self, v: Vectors, dtype: str) -> None:
        self.v, self.dtype, self.itemsize = v, dtype, ITEMSIZES[dtype]
        # NumPy's bfloat16 is an integer to LLVM: not every processor knows it.
        kinds = {"float16": ir.HalfType(), "bfloat16": ir.IntType(16)}
        self.scalar = kinds.get(dtype) or KINDS[dtype][1]
        self.type = ir.VectorType(self.scalar, v.lanes)
        self.name = f"v{v.lanes}{'i' if isinstance(self.scalar, ir.IntType) else 'f'}"
        self.name += str(8 * self.itemsize)

    @property
    def getter(self) -> Any:
        """Make the function ``(address, index)`` that reads an element."""

        def get(builder: Any, address: Any, index: Any) -> Any:
            return self._wide(builder, builder.load(at(builder, self.scalar, address, index)))

        return emitted(get, 2, self.v.numba_type)

    @property
    def setter(self) -> Any:
        """Make the function ``(address, index, value)`` that writes an element."""

        def put(builder: Any, address: Any, index: Any, value: Any) -> None:
            value = self._narrow(builder, value)
            builder.store(value, at(builder, self.scalar, address, index))

        return emitted(put, (types.int64, types.int64, self.v.numba_type))

    def load(self, builder: Any, address: Any, index: Any, mask: Any = None) -> Any:
        """Load a vector; with a mask only its lanes, and zeros stand elsewhere."""
        pointer = at(builder, self.scalar, address, index)
        pointer = builder.bitcast(pointer, self.type.as_pointer())
        if mask is None:
            return self._wide(builder, builder.load(pointer, align=self.itemsize))
        nothing = ir.Constant(self.type, [0] * self.v.lanes)
        kinds = [self.type.as_pointer(), I32, mask.type, self.type]
        kind, name = ir.FunctionType(self.type, kinds), f"llvm.masked.load.{self.name}.p0"
        held = builder.call(
            declared(builder, kind, name), [pointer, I32(self.itemsize), mask, nothing]
        )
        return self._wide(builder, held)

    def store(self, builder: Any, address: Any, index: Any, value: Any, mask: Any = None) -> None:
        """Store a vector; with a mask only its lanes."""
        pointer = at(builder, self.scalar, address, index)
        pointer = builder.bitcast(pointer, self.type.as_pointer())
        value = self._narrow(builder, value)
        if mask is None:
            builder.store(value, pointer, align=self.itemsize)
            return
        kinds = [self.type, self.type.as_pointer(), I32, mask.type]
        kind, name = ir.FunctionType(ir.VoidType(), kinds), f"llvm.masked.store.{self.name}.p0"
        store = declared(builder, kind, name)
        builder.call(store, [value, pointer, I32(self.itemsize), mask])

    def _wide(self, builder: Any, value: Any) -> Any:
        """Bring a number, or a vector, into the dtype of sums."""
        to = self._like(value, self.v.scalar)
        if self.dtype == "float16":
            return builder.fpext(value, to)
        if self.dtype == "int64":
            return builder.sitofp(value, to)
        if self.dtype == "bfloat16":  # the upper half of a float32
            bits = self._like(value, I32)
            upper = builder.shl(builder.zext(value, bits), self._constant(bits, 16))
            return builder.bitcast(upper, to)
        return value

    def _narrow(self, builder: Any, value: Any) -> Any:
        to = self._like(value, self.scalar)
        if self.dtype == "float16":
            return builder.fptrunc(value, to)
        if self.dtype == "int64":
            return builder.fptosi(value, to)
        if self.dtype == "bfloat16":
            return builder.trunc(self._rounded(builder, value), to)
        return value

    def _rounded(self, builder: Any, value: Any) -> Any:
        """Round a float32 to the nearest that ends with 16 zeros, of two to the even one."""
        kind = self._like(value, I32)

        def number(n: int) -> Any:
            return self._constant(kind, n)

        bits = builder.bitcast(value, kind)
        upper = builder.lshr(bits, number(16))
        odd = builder.and_(upper, number(1))
        rounded = builder.lshr(builder.add(builder.add(bits, number(0x7FFF)), odd), number(16))
        is_nan = builder.fcmp_unordered("uno", value, value)
        return builder.select(is_nan, builder.or_(upper, number(0x40)), rounded)

    def _like(self, value: Any, scalar: Any) -> Any:
        vector = isinstance(value.type, ir.VectorType)
        return ir.VectorType(scalar, value.type.count) if vector else scalar

    @staticmethod
    def _constant(kind: Any, n: int) -> Any:
        vector = isinstance(kind, ir.VectorType)
        return ir.Constant(kind, [n] * kind.count if vector else n)


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
