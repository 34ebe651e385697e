"""Vectors of channels, as Winograd's transforms use them: some bytes behind an address."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from llvmlite import ir

from npconv.compiled.kernels.arithmetic import Arithmetic, every_other, pick
from npconv.compiled.kernels.loops import Held, either
from npconv.compiled.kernels.memory import I8, I32, I64, declared, prefetch


class Lanes(Arithmetic):
    """Vectors that begin some bytes behind addresses, which are integers."""

    @property
    def count(self) -> int:
        """How many there are."""
        return self.lanes

    def at(self, builder: Any, address: Any, offset: Any = 0) -> Any:
        """Point some bytes behind an address."""
        offset = I64(offset) if isinstance(offset, int) else offset
        return builder.gep(builder.inttoptr(address, I8.as_pointer()), [offset])

    def every(self, builder: Any, address: Any, apart: Any) -> Iterator[Any]:
        """Point to places so many bytes apart, without end: each from the one before it.

        That takes one register; as multiples of ``apart`` they would take one each.
        """
        place = self.at(builder, address)
        while True:
            yield place
            place = builder.gep(place, [apart])

    def load(self, builder: Any, address: Any, offset: Any = 0) -> Any:
        """Load a vector."""
        return self.span.load(builder, self.at(builder, address, offset))

    def store(self, builder: Any, value: Any, address: Any, offset: Any = 0) -> None:
        """Store a vector."""
        self.span.store(builder, self.at(builder, address, offset), value)

    def prefetch(self, builder: Any, address: Any, offset: Any = 0) -> None:
        """Call a vector into the cache; where there is no memory, nothing happens."""
        prefetch(builder, self.at(builder, address, offset))

    def load_some(self, builder: Any, mask: Any, address: Any, offset: Any = 0) -> Any:
        """Load the lanes of a mask; the others are not read, but zeros."""
        return self.span.load(builder, self.at(builder, address, offset), mask)

    def store_some(
        self, builder: Any, mask: Any, value: Any, address: Any, offset: Any = 0
    ) -> None:
        """Store the lanes of a mask."""
        self.span.store(builder, self.at(builder, address, offset), value, mask)

    def load_number(self, builder: Any, address: Any, offset: Any = 0) -> Any:
        """Load one number into every lane."""
        return self.broadcast(builder, builder.load(self.number_at(builder, address, offset)))

    def number_at(self, builder: Any, address: Any, offset: Any) -> Any:
        """Point to one number."""
        return builder.bitcast(self.at(builder, address, offset), self.scalar.as_pointer())

    def gathered(self, builder: Any, address: Any, offsets: Sequence[Any]) -> Any:
        """Load a vector number by number, from as many places as there are lanes."""
        vector = self.zero
        for i, offset in enumerate(offsets):
            number = builder.load(self.number_at(builder, address, offset))
            vector = builder.insert_element(vector, number, I32(i))
        return vector

    def load_apart(self, builder: Any, address: Any, offset: Any, apart: Any, stop: Any) -> Any:
        """Load numbers so many bytes apart: ``stop`` of them, at least one; zeros behind those."""
        places = []
        for i in range(self.lanes):
            there = builder.icmp_signed("<", I64(i), stop)
            step = builder.select(there, I64(i), I64(0))
            places.append(builder.add(offset, builder.mul(step, apart)))
        vector = self.gathered(builder, address, places)
        return builder.select(self.first(builder, stop), vector, self.zero)

    def load_pairs(self, builder: Any, address: Any, offset: Any, stop: Any = None) -> Any:
        """Load every other number: ``stop`` of them, and zeros behind; or a whole vector."""
        n, low, high = self.lanes, None, None
        if stop is not None:
            read = builder.sub(builder.mul(stop, I64(2)), I64(1))
            low = self.first(builder, read)
            high = self.first(builder, builder.sub(read, I64(n - 1)))
        behind = builder.add(offset, I64(self.nbytes - self.itemsize))
        return every_other(
            builder,
            self.load_some(builder, low, address, offset),
            self.load_some(builder, high, address, behind),
        )

    def load_row(self, builder: Any, address: Any, offset: Any, apart: Any, stop: Any) -> Any:
        """Load numbers of a row, which lie side by side or apart; as `load_apart`."""
        held = Held(builder, self.type, [0])

        def load(together: bool) -> None:
            if together:
                held[0] = self.load_some(builder, self.first(builder, stop), address, offset)
            else:
                held[0] = self.load_apart(builder, address, offset, apart, stop)

        either(builder, builder.icmp_signed("==", apart, I64(self.itemsize)), load)
        return held[0]

    def larger(self, builder: Any, a: Any, b: Any) -> Any:
        """Give the larger of each two lanes; ``b`` where either is NaN."""
        return builder.select(builder.fcmp_ordered(">", a, b), a, b)

    def magnitude(self, builder: Any, a: Any) -> Any:
        """Give ``|a|``."""
        kind = ir.FunctionType(self.type, [self.type])
        return builder.call(declared(builder, kind, f"llvm.fabs.{self.span.name}"), [a])

    def largest(self, builder: Any, a: Any) -> Any:
        """Give the largest lane of vectors without NaN."""
        half = self.lanes // 2
        while half:  # LLVM's own reduction minds NaN, and takes twice as long as all the rest
            other = pick(builder, a, a, [(i + half) % self.lanes for i in range(self.lanes)])
            a, half = self.larger(builder, a, other), half // 2
        return builder.extract_element(a, I32(0))

    def any_nan(self, builder: Any, a: Any) -> Any:
        """Give 1 where any lane is NaN, else 0."""
        return builder.zext(self.any(builder, builder.fcmp_unordered("uno", a, a)), I64)
