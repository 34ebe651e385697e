"""Loops in code that is written instruction by instruction, and vectors that change in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from numba.core import cgutils

from npconv.compiled.kernels.memory import I64
from npconv.compiled.registers import masks

TOGETHER = 4  # sums that are formed side by side: one alone waits for itself
# Steps at once of a loop whose sums fill the registers, as they do in large products: it runs 4 %
# faster than in pairs, as LLVM would have it. With fewer sums, that is as good.
STEPS, MANY_SUMS = 4, 10  # STEPS: a power of two


@contextmanager
def loop(b: Any, start: Any, stop: Any, step: int = 1) -> Iterator[Any]:
    """Emit a loop over integers, perhaps none."""
    before = b.block
    head, inside, after = (b.append_basic_block(name) for name in ("head", "step", "done"))
    b.branch(head)
    b.position_at_end(head)
    i = b.phi(I64)
    i.add_incoming(start, before)
    b.cbranch(b.icmp_signed("<", i, stop), inside, after)
    b.position_at_end(inside)
    yield i
    i.add_incoming(b.add(i, I64(step)), b.block)
    b.branch(head)
    b.position_at_end(after)


def either(b: Any, condition: Any, emit: Callable[[bool], None]) -> None:
    """Emit ``emit(True)`` for where a condition holds, and ``emit(False)`` for elsewhere."""
    with b.if_else(condition) as (yes, no):
        with yes:
            emit(True)
        with no:
            emit(False)


def unmasked(b: Any, whole: Any, emit: Callable[[bool], None]) -> None:
    """Emit the same for vectors that may be whole: ``emit(False)`` masks them.

    Where masks cost nothing, all are masked.
    """
    if masks():
        emit(False)
    else:
        either(b, whole, emit)


class Held:
    """Values that change, in registers: LLVM makes them so."""

    def __init__(self, b: Any, kind: Any, names: Sequence[Any]) -> None:
        once: Any = cgutils.alloca_once
        self._places = {name: once(b, kind) for name in names}
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


def repeated(
    b: Any,
    count: Any,
    begin: Sequence[Any],
    step: Callable[[Any, list[Any]], Sequence[Any]],
) -> list[Any]:
    """Emit a loop of ``count`` steps, perhaps none, that carries values of one type along."""
    held = Held(b, begin[0].type, range(len(begin)))
    for name, value in enumerate(begin):
        held[name] = value

    def steps(first: Any, number: int) -> None:
        for n in range(number):
            i = b.add(first, I64(n))
            for name, value in enumerate(step(i, [held[name] for name in held.names])):
                held[name] = value

    at_once = STEPS if len(begin) >= MANY_SUMS else 1
    done = b.and_(count, I64(-at_once))
    with loop(b, I64(0), done, at_once) as i:
        steps(i, at_once)
    while at_once > 1:  # what is left: a half of as many, perhaps, and so on
        at_once //= 2
        here = b.and_(count, I64(at_once))
        with b.if_then(b.icmp_signed("!=", here, I64(0))):
            steps(done, at_once)
        done = b.add(done, here)
    return [held[name] for name in held.names]
