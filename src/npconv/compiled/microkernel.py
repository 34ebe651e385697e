"""The innermost loops: a small block of a matrix product, held in vector registers.

    c[i, j]  =  sum over t of  p[r[i] + s[t]] * b[t, j]        j < width = vectors * lanes

In each step one row of ``b`` is loaded, one number for each row of the block is broadcast,
and all their products are added to the block, which stays in registers throughout (Goto and
van de Geijn, Anatomy of High-Performance Matrix Multiplication, 2008). Where the numbers lie
is said by two tables of offsets, so they are read from a kernel or from an image as it is.

The loops are written in LLVM's vector types, which Numba does not have: so one source
serves AVX-512, AVX2 and NEON.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

I32, I64 = ir.IntType(32), ir.IntType(64)


class Block(NamedTuple):
    """What the registers of this machine hold: ``rows`` times ``vectors`` of ``lanes``."""

    rows: int
    vectors: int
    lanes: int

    @property
    def width(self) -> int:
        """Numbers in a row of the block."""
        return self.vectors * self.lanes


@cache
def block_for(dtype: np.dtype[Any]) -> Block:
    """Choose the block: the accumulators, a row of ``b`` and one broadcast must fit."""
    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return Block(8, 3, 64 // dtype.itemsize)  # 24 + 3 + 1 of 32 registers
    if features.get("avx2"):
        return Block(4, 3, 32 // dtype.itemsize)  # 12 + 3 + 1 of 16
    return Block(8, 3, 16 // dtype.itemsize)  # NEON has 32; SSE spills, and is merely slower


@cache
def block_product(dtype: np.dtype[Any], rows: int, vectors: int, lanes: int) -> Any:
    """Make the function ``(p, r, s, b, c, depth, stride, add)`` of addresses and numbers.

    ``stride`` counts elements from one row of ``c`` to the next; where ``add`` is not 0, the
    product is added to what ``c`` holds. ``depth`` is at least 1.
    """
    emit = _Emitter(dtype, lanes)

    @intrinsic
    def product(
        typingctx: Any, p: Any, r: Any, s: Any, b: Any, c: Any, depth: Any, stride: Any, add: Any
    ) -> tuple[Any, Callable[..., Any]]:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            emit.product(builder, rows, vectors, *args)
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 8), codegen

    return product


@cache
def row_copy(dtype: np.dtype[Any], vectors: int, lanes: int) -> Any:
    """Make the function ``(to, of, count)`` that copies up to ``vectors`` vectors.

    What it reads ends with ``count`` numbers; it writes whole vectors, zeros behind them.
    """
    emit = _Emitter(dtype, lanes)

    @intrinsic
    def copy(typingctx: Any, to: Any, of: Any, count: Any) -> tuple[Any, Callable[..., Any]]:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            emit.copy(builder, vectors, *args)
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 3), codegen

    return copy


class _Emitter:
    """Writes loops in LLVM's intermediate representation."""

    def __init__(self, dtype: np.dtype[Any], lanes: int) -> None:
        self.scalar = ir.FloatType() if dtype == np.float32 else ir.DoubleType()
        self.itemsize, self.lanes = dtype.itemsize, lanes
        self.vector = ir.VectorType(self.scalar, lanes)
        self.name = f"v{lanes}f{8 * dtype.itemsize}"

    def product(
        self, builder: Any, rows: int, vectors: int,
        p: Any, r: Any, s: Any, b: Any, c: Any, depth: Any, stride: Any, add: Any,
    ) -> None:  # fmt: skip
        p, b, c = (builder.inttoptr(each, self.scalar.as_pointer()) for each in (p, b, c))
        r, s = (builder.inttoptr(each, I64.as_pointer()) for each in (r, s))
        bases = [builder.gep(p, [builder.load(builder.gep(r, [I64(i)]))]) for i in range(rows)]
        before = builder.block
        inside, after = (builder.append_basic_block(name) for name in ("step", "store"))
        builder.branch(inside)
        builder.position_at_end(inside)
        step = builder.phi(I64)
        step.add_incoming(I64(0), before)
        sums = [[builder.phi(self.vector) for _ in range(vectors)] for _ in range(rows)]
        row = [
            self._load(builder, b, builder.mul(step, I64(vectors * self.lanes)), j)
            for j in range(vectors)
        ]
        offset = builder.load(builder.gep(s, [step]))
        added = [
            self._add_products(builder, builder.gep(base, [offset]), row, held)
            for base, held in zip(bases, sums, strict=True)
        ]
        following = builder.add(step, I64(1))
        step.add_incoming(following, inside)
        zero = ir.Constant(self.vector, [0.0] * self.lanes)
        for held, new in zip(sums, added, strict=True):
            for phi, value in zip(held, new, strict=True):
                phi.add_incoming(zero, before)
                phi.add_incoming(value, inside)
        builder.cbranch(builder.icmp_signed("<", following, depth), inside, after)
        builder.position_at_end(after)
        with builder.if_else(builder.icmp_signed("!=", add, I64(0))) as (onto, over):
            with onto:
                self._store_block(builder, c, stride, added, onto=True)
            with over:
                self._store_block(builder, c, stride, added, onto=False)

    def copy(self, builder: Any, vectors: int, to: Any, of: Any, count: Any) -> None:
        kind = self.vector.as_pointer()
        bits = ir.VectorType(ir.IntType(1), self.lanes)
        load = _function(
            builder,
            ir.FunctionType(self.vector, [kind, I32, bits, self.vector]),
            f"llvm.masked.load.{self.name}.p0{self.name}",
        )
        to, of = (builder.inttoptr(each, self.scalar.as_pointer()) for each in (to, of))
        left = self._broadcast(builder, count, I64)
        zero = ir.Constant(self.vector, [0.0] * self.lanes)
        for j in range(vectors):
            numbers = range(j * self.lanes, (j + 1) * self.lanes)
            places = ir.Constant(ir.VectorType(I64, self.lanes), list(numbers))
            mask = builder.icmp_signed("<", places, left)
            source = self._vector_at(builder, of, I64(0), j)
            value = builder.call(load, [source, I32(self.itemsize), mask, zero])
            self._store(builder, to, I64(0), j, value)

    def _add_products(self, builder: Any, number: Any, row: Any, sums: Any) -> list[Any]:
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        fma = _function(builder, kind, f"llvm.fma.{self.name}")
        same = self._broadcast(builder, builder.load(number), self.scalar)
        return [builder.call(fma, [same, *pair]) for pair in zip(row, sums, strict=True)]

    def _broadcast(self, builder: Any, element: Any, kind: Any) -> Any:
        nothing = ir.Constant(ir.VectorType(kind, self.lanes), ir.Undefined)
        one = builder.insert_element(nothing, element, I32(0))
        lanes = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        return builder.shuffle_vector(one, nothing, lanes)

    def _store_block(self, builder: Any, c: Any, stride: Any, values: Any, *, onto: bool) -> None:
        for i, row in enumerate(values):
            start = builder.mul(stride, I64(i))
            for j, value in enumerate(row):
                held = builder.fadd(value, self._load(builder, c, start, j)) if onto else value
                self._store(builder, c, start, j, held)

    def _load(self, builder: Any, base: Any, start: Any, number: int) -> Any:
        pointer = self._vector_at(builder, base, start, number)
        return builder.load(pointer, align=self.itemsize)

    def _store(self, builder: Any, base: Any, start: Any, number: int, value: Any) -> None:
        pointer = self._vector_at(builder, base, start, number)
        builder.store(value, pointer, align=self.itemsize)

    def _vector_at(self, builder: Any, base: Any, start: Any, number: int) -> Any:
        pointer = builder.gep(base, [builder.add(start, I64(number * self.lanes))])
        return builder.bitcast(pointer, self.vector.as_pointer())


def _function(builder: Any, kind: Any, name: str) -> Any:
    """Declare one of LLVM's own functions."""
    return cgutils.get_or_insert_function(builder.module, kind, name)  # type: ignore[no-untyped-call] # as Numba is
