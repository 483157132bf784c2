"""Range checks by LogUp: all limbs of a circuit share one table [0, 2^b).

    sum_i 1/(alpha - x_i) = sum_t m_t/(alpha - t)

holds as rational functions of alpha exactly if every x_i is a table entry t that occurs m_t
times; checked at a random alpha drawn after all x_i and m_t are committed, it fails for
anything else except with probability (lookups + 2^b)/r. Cost: one row a lookup, 2^b + 1
rows for the table.

Source: [LogUp] Haboeck, eprint 2022/1530, section 3.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zkfed.algebra.field import Ints, batch_inverse
from zkfed.errors import UnsatisfiedConstraint
from zkfed.r1cs.builder import Builder, Values
from zkfed.r1cs.linear import Linear, concatenate, constant

__all__ = ["RangeTable", "lookups_per_value"]


def lookups_per_value(bits: int, limb_bits: int) -> int:
    """Returns R(B) = ceil(B/b), plus 1 if b does not divide B."""
    return -(-bits // limb_bits) + (bits % limb_bits > 0)


class RangeTable:
    """The table [0, 2^limb_bits) and everything that is looked up in it.

    Stage 0: `in_range` for each tensor, then `commit` once. After the challenge: `close`.
    """

    def __init__(self, builder: Builder, limb_bits: int, segment: str) -> None:
        self.builder, self.limb_bits, self.segment = builder, limb_bits, segment
        self.size = 1 << limb_bits
        self._names: list[str] = []
        self._values: list[Linear] = []
        self._shifts: list[npt.NDArray[np.int64]] = []
        self._multiplicities: Linear | None = None

    def in_range(self, name: str, value: Linear, bits: int) -> None:
        """Enforces 0 <= value_i < 2^bits for each entry.

        value = sum_j 2^(b j) limb_j. All limbs but the top one are wires; the top one is
        what is left, a linear combination. If b does not divide bits, the top limb is
        looked up a second time, shifted up, so that it has only the bits that are left.

        Raises:
            ValueError: The range is too wide for the field, the value could wrap, or the
                multiplicities are committed already.
        """
        builder, b = self.builder, self.limb_bits
        if self._multiplicities is not None:
            raise ValueError(f"{name}: nothing is looked up after RangeTable.commit")
        # Callers justify bounds by this range at once; it holds only once `close` has been called.
        builder.owe(self, "range table (RangeTable.commit and close)")
        if bits < 1 or bits + 2 > builder.curve.order.bit_length():
            raise ValueError(f"{name}: a range of {bits} bits does not fit the field")
        flat = value.reshape(value.size)
        builder.bounds(flat)
        free = -(-bits // b) - 1
        top = flat
        if free:
            shifts = np.arange(free, dtype=object) * b

            def hint(values: Values) -> Ints:
                numbers = values(flat)
                return np.asarray((numbers[:, None] >> shifts) % self.size, dtype=object)

            limbs = builder.witness(
                f"{name}/limbs", (flat.size, free), hint, segment=self.segment, bounds=(0, self.size - 1)
            )
            self._look_up(f"{name}/limbs", limbs.reshape(limbs.size), 0)
            builder.justify(limbs.reshape(limbs.size), (0, self.size - 1))
            weighted = limbs * [1 << (b * j) for j in range(free)]
            low = Linear((flat.size,), weighted.indptr[::free], weighted.wires, weighted.coefficients)
            top = flat - low
        self._look_up(f"{name}/top", top, b * free)
        rest = bits - b * free
        if rest < b:
            self._look_up(f"{name}/top-shifted", top * (1 << (b - rest)), b * free)

    def integer_in_range(self, name: str, value: Linear, bits: int) -> None:
        """Enforces 0 <= value_i < 2^bits for entries that other constraints prove to be integers.

        ceil(bits/b) lookups each: none is shifted. With k = b ceil(bits/b) - bits, 2^k value is
        checked as a whole, 0 <= 2^k value < 2^(b ceil(bits/b)) modulo r. The bit budget has shown
        |2^k value| < r/2, so the same holds over the integers, and so does 0 <= value < 2^bits.

        It is needed that the value is an integer: value = 1/2^k modulo r passes. And to look up the
        shifted top limb alone would not do: value = low + 2^(bits - b) e with any e below 2^b and
        low up to 2^(b (ceil(bits/b) - 1)) would pass, which reaches beyond 2^bits.

        Raises:
            ValueError: As `in_range`; or an entry is not proven to be an integer yet.
        """
        scaled = value * (1 << (-bits % self.limb_bits))
        self.builder.proven_bounds(scaled)
        self.in_range(name, scaled, bits + -bits % self.limb_bits)

    def _look_up(self, name: str, value: Linear, shift: int) -> None:
        """Looks up value / 2^shift; the division is moved into the row of `close`."""
        self._names.append(name)
        self._values.append(value)
        self._shifts.append(np.full(value.size, shift, np.int64))

    def commit(self) -> None:
        """Adds the multiplicities m_t to the segment; nothing may be looked up after it."""
        everything, shift = concatenate(self._values), np.concatenate(self._shifts).astype(object)
        sizes = [v.size for v in self._values]

        def hint(values: Values) -> Ints:
            numbers = values(everything)
            quotient = numbers >> shift
            inside = np.asarray((quotient << shift == numbers) & (quotient >= 0) & (quotient < self.size), dtype=bool)
            if values.is_strict and not inside.all():
                self._refuse(int(np.flatnonzero(~inside)[0]), sizes, numbers)
            found = quotient[inside].astype(np.int64)
            return np.bincount(found, minlength=self.size).astype(object)

        self._multiplicities = self.builder.witness("table/multiplicities", (self.size,), hint, segment=self.segment)
        self.builder.expect(self._multiplicities, (0, everything.size))

    def _refuse(self, at: int, sizes: list[int], numbers: Ints) -> None:
        offsets = np.cumsum([0, *sizes])
        which = int(np.searchsorted(offsets, at, side="right")) - 1
        position, bits = int(at - offsets[which]), int(abs(numbers[at])).bit_length()
        name = f"{self._names[which]}"
        raise UnsatisfiedConstraint(
            f"{self.builder.name}: constraint {name}[{position}] does not hold: a value of {bits} bits "
            f"with its sign is outside the range",
            name,
            (position,),
        )

    def close(self, alpha: Linear) -> None:
        """Adds the rows of the identity at the challenge alpha."""
        builder, multiplicities = self.builder, self._multiplicities
        if multiplicities is None:
            raise ValueError("RangeTable.commit comes before close")
        everything = builder.operand(concatenate(self._values))
        scale = np.array([1 << int(s) for s in np.concatenate(self._shifts)], dtype=object)
        # (2^k alpha - y) inverse = 2^k says inverse = 1/(alpha - y/2^k) with integer coefficients.
        denominators = alpha * scale - everything
        order = builder.curve.order

        def inverses(values: Values) -> Ints:
            return np.asarray(batch_inverse(values.reduced(denominators), order) * scale % order, dtype=object)

        inverse = builder.witness("table/inverses", (everything.size,), inverses)
        builder.enforce("table/lookups", inverse, denominators, constant(scale))
        entries = alpha - np.arange(self.size, dtype=object)

        def quotients(values: Values) -> Ints:
            inverted = batch_inverse(values.reduced(entries), order)
            return np.asarray(values(multiplicities) * inverted % order, dtype=object)

        quotient = builder.witness("table/quotients", (self.size,), quotients)
        builder.enforce("table/entries", quotient, entries, builder.operand(multiplicities))
        builder.settle(self)
        builder.enforce("table/sum", inverse.sum() - quotient.sum(), constant(1), constant(0))
