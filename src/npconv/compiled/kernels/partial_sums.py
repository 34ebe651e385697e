"""Sums of a few arrays that lie one behind the other, added up in their order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npconv.compiled.blocks import CALL_WORDS, OUT, SCRATCH
from npconv.compiled.kernels.loops import either, repeated
from npconv.compiled.kernels.memory import I64, emitted, get_int, getter
from npconv.compiled.kernels.rows import along
from npconv.compiled.kernels.vectors import Vectors

(ROWS, K, TERMS, EACH, W_GROUP, W_ROW, PLACES, IN_ORDER, AT, APART, COUNT, ADDS) = range(
    CALL_WORDS, CALL_WORDS + 12
)


def make(dtype: str) -> Callable[..., None]:
    """Make the kernel that adds up some rows of a kernel's gradient."""
    v = Vectors(dtype)
    row, get, old, put = _row(v), getter(v.dtype), v.outside.getter, v.outside.setter
    item, size = v.itemsize, v.outside.itemsize

    def sums(block: int, part: int, worker: int) -> None:
        T, apart, count = get_int(block, TERMS), get_int(block, APART), get_int(block, COUNT)
        first = part * get_int(block, EACH)
        for i in range(first, min(first + get_int(block, EACH), get_int(block, ROWS))):
            g, k = i // get_int(block, K), i % get_int(block, K)
            place = g * get_int(block, W_GROUP) + k * get_int(block, W_ROW)
            to, of = (
                get_int(block, OUT) + size * place,
                get_int(block, SCRATCH) + get_int(block, AT) + item * i * T,
            )
            if get_int(block, IN_ORDER):
                row(to, of, T, apart, count, get_int(block, ADDS))
                continue
            for t in range(T):
                at, total = get_int(get_int(block, PLACES), t), get(of, t)
                for n in range(1, count):
                    total += get(of + n * apart, t)
                if get_int(block, ADDS):
                    total += old(to, at)
                put(to, at, total)

    return sums


def _row(v: Vectors) -> Any:
    """Make ``(to, of, length, apart, count, adds)``: of ``count`` rows so many bytes apart."""

    def sums(
        builder: Any, to: Any, of: Any, length: Any, apart: Any, count: Any, adds: Any
    ) -> None:
        def move(place: Any, mask: Any) -> None:
            def add(step: Any, held: list[Any]) -> list[Any]:
                one = builder.add(of, builder.mul(step, apart))
                return [builder.fadd(held[0], v.load(builder, one, place, mask))]

            (total,) = repeated(builder, count, [v.zero], add)

            def write(added: bool) -> None:
                value = total
                if added:
                    value = builder.fadd(total, v.outside.load(builder, to, place, mask))
                v.outside.store(builder, to, place, value, mask)

            either(builder, builder.icmp_signed("!=", adds, I64(0)), write)

        along(v, builder, length, move)

    return emitted(sums, 6)
