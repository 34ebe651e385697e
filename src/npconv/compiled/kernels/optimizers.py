"""Steps of optimisers: parameters, gradients and averages read once, and written once.

Every operation is one of NumPy's, rounded as there: nothing is fused, nothing reordered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from npconv.compiled.blocks import BIAS, FIRST, OUT, SCRATCH, SECOND
from npconv.compiled.kernels.channels import Rows, each_vector
from npconv.compiled.kernels.elementwise import chunk_of
from npconv.compiled.kernels.memory import DOUBLE, I64, at, declared, emitted, get_int
from npconv.compiled.kernels.row_vectors import RowVectors
from npconv.compiled.registers import ITEMSIZES


def make(rule: str, dtype: str) -> Callable[..., None]:
    """Make ``adam`` or ``momentum``.

    FIRST are gradients, OUT parameters, SECOND and BIAS averages, and SCRATCH the rule's
    numbers, in float64.
    """
    V, item = RowVectors(dtype), ITEMSIZES[dtype]
    write, numbers = {"adam": (_adam, 7), "momentum": (_momentum, 2)}[rule]

    def emit(b: Any, count: Any, told: Any, *addresses: Any) -> None:
        arrays = [Rows(b, V, address, I64(0)) for address in addresses]
        known = [_number(b, V, told, i) for i in range(numbers)]

        def body(place: Any, mask: Any, _: int) -> None:
            write(b, V, known, arrays, place, mask)

        each_vector(b, V, I64(1), count, body)

    move = emitted(emit, 6)

    def kernel(block: int, part: int, worker: int) -> None:
        first, count = chunk_of(block, part, item)
        move(
            count,
            get_int(block, SCRATCH),
            get_int(block, FIRST) + first,
            get_int(block, OUT) + first,
            get_int(block, SECOND) + first,
            get_int(block, BIAS) + first,
        )

    return kernel


def _number(b: Any, V: RowVectors, told: Any, i: int) -> Any:
    """Give one of the rule's numbers in all lanes, rounded to the dtype of the arrays."""
    number = b.load(at(b, DOUBLE, told, I64(i)))
    return V.broadcast(b, number if V.itemsize == 8 else b.fptrunc(number, V.scalar))


def _adam(b: Any, V: RowVectors, known: Any, arrays: Any, place: Any, mask: Any) -> None:
    """Write `npconv.nn.Adam.update` for a vector."""
    beta1, rest1, beta2, rest2, root, eps, rate = known
    gradients, parameters, means, squares = arrays
    g = gradients.load(place, mask, V.zero)
    m = b.fadd(b.fmul(means.load(place, mask, V.zero), beta1), b.fmul(rest1, g))
    v = b.fmul(squares.load(place, mask, V.zero), beta2)
    v = b.fadd(v, b.fmul(rest2, b.fmul(g, g)))
    kind = ir.FunctionType(V.type, [V.type])
    deviation = b.call(declared(b, kind, f"llvm.sqrt.{V.span.name}"), [v])
    denominator = b.fadd(b.fdiv(deviation, root), eps)
    moved = b.fmul(rate, b.fdiv(m, denominator))
    means.store(place, mask, m)
    squares.store(place, mask, v)
    parameters.store(place, mask, b.fsub(parameters.load(place, mask, V.zero), moved))


def _momentum(b: Any, V: RowVectors, known: Any, arrays: Any, place: Any, mask: Any) -> None:
    """Write `npconv.nn.SGD.update`, with momentum but not Nesterov's, for a vector."""
    momentum, rate = known
    gradients, parameters, velocities, _ = arrays
    v = b.fmul(velocities.load(place, mask, V.zero), momentum)
    v = b.fadd(v, gradients.load(place, mask, V.zero))
    velocities.store(place, mask, v)
    moved = b.fmul(rate, v)
    parameters.store(place, mask, b.fsub(parameters.load(place, mask, V.zero), moved))
