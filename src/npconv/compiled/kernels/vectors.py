"""Numbers of arrays in vectors: by element, in the dtype of the array or of its sums."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from npconv.compiled.kernels.arithmetic import Arithmetic, Span
from npconv.compiled.kernels.memory import I32, KINDS, at, emitted
from npconv.compiled.registers import ITEMSIZES, SUMS


class Vectors(Arithmetic):
    """Vectors that begin at elements; addresses are 64-bit integers.

    Sums of some dtypes are formed in another, `SUMS`: then that is what the vectors are of,
    and ``outside`` are those of what arrays hold.
    """

    def __init__(self, dtype: str, parts: int = 1) -> None:
        super().__init__(SUMS.get(dtype, dtype), parts)
        self.outside = Outside(self, dtype)

    def scalar_at(self, b: Any, address: Any, index: Any) -> Any:
        """Load one number."""
        return b.load(at(b, self.scalar, address, index))

    def load(self, b: Any, address: Any, index: Any, mask: Any = None, fill: Any = None) -> Any:
        """Load a vector; with a mask only its lanes, elsewhere ``fill``, or zeros."""
        return self.span.load(b, at(b, self.scalar, address, index), mask, fill)

    def store(self, b: Any, address: Any, index: Any, value: Any, mask: Any = None) -> None:
        """Store a vector; with a mask only its lanes."""
        self.span.store(b, at(b, self.scalar, address, index), value, mask)


class Outside:
    """Numbers as arrays hold them: read into vectors of the dtype of sums, written from them."""

    def __init__(self, v: Vectors, dtype: str) -> None:
        self.v, self.dtype, self.itemsize = v, dtype, ITEMSIZES[dtype]
        # NumPy's bfloat16 is an integer to LLVM: not every processor knows it.
        kinds = {"float16": ir.HalfType(), "bfloat16": ir.IntType(16)}
        self.scalar = kinds.get(dtype) or KINDS[dtype][1]
        self.span = Span(self.scalar, self.itemsize, v.lanes)

    @property
    def getter(self) -> Any:
        """Make the function ``(address, index)`` that reads an element."""
        return emitted(self.number, 2, self.v.numba_type)

    @property
    def setter(self) -> Any:
        """Make the function ``(address, index, value)`` that writes an element."""

        def put(builder: Any, address: Any, index: Any, value: Any) -> None:
            value = self._narrow(builder, value)
            builder.store(value, at(builder, self.scalar, address, index))

        return emitted(put, (types.int64, types.int64, self.v.numba_type))

    def number(self, builder: Any, address: Any, index: Any) -> Any:
        """Load one number."""
        return self._wide(builder, builder.load(at(builder, self.scalar, address, index)))

    def row(self, builder: Any, address: Any, count: int) -> Any:
        """Load so many numbers that lie side by side, other than a vector has."""
        pointer = at(builder, ir.VectorType(self.scalar, count), address)
        return self._wide(builder, builder.load(pointer, align=self.itemsize))

    def load(self, builder: Any, address: Any, index: Any, mask: Any = None) -> Any:
        """Load a vector; with a mask only its lanes, and zeros stand elsewhere."""
        pointer = at(builder, self.scalar, address, index)
        return self._wide(builder, self.span.load(builder, pointer, mask))

    def store(self, builder: Any, address: Any, index: Any, value: Any, mask: Any = None) -> None:
        """Store a vector; with a mask only its lanes."""
        pointer = at(builder, self.scalar, address, index)
        self.span.store(builder, pointer, self._narrow(builder, value), mask)

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
