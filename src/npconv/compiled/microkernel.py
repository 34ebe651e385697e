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

        def add_row(step: Any, sums: list[Any]) -> list[Any]:
            start = builder.mul(step, I64(vectors * self.lanes))
            row = [self._load(builder, b, start, j) for j in range(vectors)]
            offset = builder.load(builder.gep(s, [step]))
            added = []
            for i, base in enumerate(bases):
                held = sums[i * vectors : (i + 1) * vectors]
                added += self._add_products(builder, builder.gep(base, [offset]), row, held)
            return added

        zero = ir.Constant(self.vector, [0.0] * self.lanes)
        flat = self._repeat(builder, depth, [zero] * rows * vectors, add_row)
        added = [flat[i * vectors : (i + 1) * vectors] for i in range(rows)]
        with builder.if_else(builder.icmp_signed("!=", add, I64(0))) as (onto, over):
            with onto:
                self._store_block(builder, c, stride, added, onto=True)
            with over:
                self._store_block(builder, c, stride, added, onto=False)

    def copy(self, builder: Any, vectors: int, to: Any, of: Any, count: Any) -> None:
        to, of = (builder.inttoptr(each, self.scalar.as_pointer()) for each in (to, of))
        for j in range(vectors):
            value = self._load_first(builder, of, I64(j * self.lanes), count)
            self._store(builder, to, I64(0), j, value)

    def _repeat(
        self, builder: Any, steps: Any, begin: list[Any], add: Callable[[Any, list[Any]], list[Any]]
    ) -> list[Any]:
        """Emit a loop of at least one step that carries vectors along."""
        before = builder.block
        inside, after = (builder.append_basic_block(name) for name in ("step", "done"))
        builder.branch(inside)
        builder.position_at_end(inside)
        step = builder.phi(I64)
        step.add_incoming(I64(0), before)
        held = [builder.phi(self.vector) for _ in begin]
        new = add(step, held)
        following = builder.add(step, I64(1))
        step.add_incoming(following, inside)
        for phi, first, value in zip(held, begin, new, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(value, inside)
        builder.cbranch(builder.icmp_signed("<", following, steps), inside, after)
        builder.position_at_end(after)
        return new

    def _add_products(self, builder: Any, number: Any, row: Any, sums: Any) -> list[Any]:
        fma = self._fma(builder)
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

    def _fma(self, builder: Any) -> Any:
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        return _function(builder, kind, f"llvm.fma.{self.name}")

    def _load_first(self, builder: Any, base: Any, start: Any, count: Any) -> Any:
        """Load a vector; numbers from ``count`` on are not read, but zeros."""
        pointer, mask = self._vector_at(builder, base, start, 0), self._mask(builder, start, count)
        kinds = [self.vector.as_pointer(), I32, mask.type, self.vector]
        name = f"llvm.masked.load.{self.name}.p0{self.name}"
        load = _function(builder, ir.FunctionType(self.vector, kinds), name)
        zero = ir.Constant(self.vector, [0.0] * self.lanes)
        return builder.call(load, [pointer, I32(self.itemsize), mask, zero])

    def _mask(self, builder: Any, start: Any, count: Any) -> Any:
        places = ir.Constant(ir.VectorType(I64, self.lanes), list(range(self.lanes)))
        places = builder.add(places, self._broadcast(builder, start, I64))
        return builder.icmp_signed("<", places, self._broadcast(builder, count, I64))

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
