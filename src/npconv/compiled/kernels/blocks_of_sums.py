"""The innermost loops: a small block of sums of products, held in vector registers.

In each step a row of vectors is loaded, one number for each row of the block is broadcast,
and all their products are added to the block (Goto and van de Geijn, Anatomy of
High-Performance Matrix Multiplication, 2008). One of the two factors is packed, so that a
step finds it behind the last one. The other is read where it lies, through a table of
offsets: from an image, so that its columns are never written.

    broadcast:  c[i, j] = sum over t of  x[bases[i] + steps[t]] * packed[t, j]
    shifted:    c[i, j] = sum over t of  packed[t, i] * x[bases[j / lanes] + steps[t] + j % lanes]
"""

from __future__ import annotations

from typing import Any

from npconv.compiled.kernels.loops import repeated
from npconv.compiled.kernels.memory import I64, at, emitted
from npconv.compiled.kernels.vectors import Vectors


def broadcast_block(v: Vectors, rows: int, vectors: int) -> Any:
    """Make ``(x, bases, steps, packed, c, depth, onto)``: vectors run along the packed factor.

    Rows of ``c`` are as long as the block is wide. Where ``onto`` is not 0, the sums are
    added to what ``c`` holds.
    """

    def block(
        builder: Any, x: Any, bases: Any, steps: Any, packed: Any, c: Any, depth: Any, onto: Any
    ) -> None:
        width = vectors * v.lanes
        starts = [_start(v, builder, x, bases, i) for i in range(rows)]

        def add(step: Any, sums: list[Any]) -> list[Any]:
            first = builder.mul(step, I64(width))
            places = [builder.add(first, I64(j * v.lanes)) for j in range(vectors)]
            row = [v.load(builder, packed, place) for place in places]
            offset = builder.load(at(builder, I64, steps, step))
            new: list[Any] = []
            for i, start in enumerate(starts):
                number = builder.load(builder.gep(start, [offset]))
                same = v.broadcast(builder, number)
                held = sums[i * vectors : (i + 1) * vectors]
                pairs = zip(row, held, strict=True)
                new += [v.fma(builder, same, factor, value) for factor, value in pairs]
            return new

        sums = repeated(builder, depth, [v.zero] * (rows * vectors), add)
        _write(v, builder, sums, vectors, c, I64(width), onto)

    return emitted(block, 7)


def shifted_block(v: Vectors, rows: int, vectors: int) -> Any:
    """Make ``(x, bases, steps, packed, c, stride, depth, onto)``: vectors run along the image.

    Rows of ``c`` are ``stride`` numbers apart, their vectors side by side.
    """

    def block(
        builder: Any,
        x: Any, bases: Any, steps: Any, packed: Any, c: Any, stride: Any, depth: Any, onto: Any,
    ) -> None:  # fmt: skip
        starts = [_start(v, builder, x, bases, j) for j in range(vectors)]

        def add(step: Any, sums: list[Any]) -> list[Any]:
            offset = builder.load(at(builder, I64, steps, step))
            first = builder.mul(step, I64(rows))

            def factor(j: int) -> Any:
                place = builder.bitcast(builder.gep(starts[j], [offset]), v.type.as_pointer())
                return builder.load(place, align=v.itemsize)

            def number(i: int) -> Any:
                one = v.scalar_at(builder, packed, builder.add(first, I64(i)))
                return v.broadcast(builder, one)

            new = list(sums)
            # The fewer of the two stay in registers while the others come one by one.
            if rows < vectors:
                numbers = [number(i) for i in range(rows)]
                for j in range(vectors):
                    column = factor(j)
                    for i in range(rows):
                        n = i * vectors + j
                        new[n] = v.fma(builder, numbers[i], column, sums[n])
            else:
                row = [factor(j) for j in range(vectors)]
                for i in range(rows):
                    same = number(i)
                    for j in range(vectors):
                        n = i * vectors + j
                        new[n] = v.fma(builder, same, row[j], sums[n])
            return new

        sums = repeated(builder, depth, [v.zero] * (rows * vectors), add)
        _write(v, builder, sums, vectors, c, stride, onto)

    return emitted(block, 8)


def _start(v: Vectors, builder: Any, x: Any, bases: Any, i: int) -> Any:
    return at(builder, v.scalar, x, builder.load(at(builder, I64, bases, I64(i))))


def _write(
    v: Vectors, builder: Any, sums: list[Any], vectors: int, c: Any, stride: Any, onto: Any
) -> None:
    places = []
    for n in range(len(sums)):
        start = builder.mul(stride, I64(n // vectors))
        places.append(builder.add(start, I64(n % vectors * v.lanes)))
    with builder.if_else(builder.icmp_signed("!=", onto, I64(0))) as (added, written):
        with added:
            for place, value in zip(places, sums, strict=True):
                held = builder.fadd(v.load(builder, c, place), value)
                v.store(builder, c, place, held)
        with written:
            for place, value in zip(places, sums, strict=True):
                v.store(builder, c, place, value)
