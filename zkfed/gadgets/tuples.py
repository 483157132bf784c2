"""Lookups of rows with several columns in a constant table, by LogUp.

    f(v) = v_0 + beta v_1 + beta^2 v_2 + ...,     sum_i 1/(alpha - f(v_i)) = sum_t m_t/(alpha - f(t))

for rows t of the table and looked-up rows v_i. alpha and beta are independent challenges, drawn
after all v_i and m_t are committed. As polynomials in beta, f(v) and f(t) are equal only if all
columns are; so every v_i is a row t, and m_t counts how often, except with probability
(lookups + rows)(1 + columns)/r. Cost: as many rows of constraints for each lookup as there are
columns, and one for each row of the table.

The columns are never packed into one with a constant for beta: v_0 + 2^b v_1 = t has a solution v_1
in the field for *every* v_0 (tests/attacks/test_packed_lookup.py).

The counts are worth having: a column that is only summed up is not looked up at all, since
sum_i c(v_i) = sum_t m_t c_t is linear in the committed counts.

Source: [LogUp] Haboeck, eprint 2022/1530, sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zkfed.algebra.field import Ints, as_ints, batch_inverse
from zkfed.errors import UnsatisfiedConstraint
from zkfed.gadgets.boolean import Ranges
from zkfed.gadgets.lookup import RangeTable
from zkfed.gadgets.product import horner
from zkfed.r1cs.builder import Builder, Values
from zkfed.r1cs.linear import Linear, constant, stack

__all__ = ["Choose", "Tables", "TupleLookup"]

Choose = Callable[[Values], npt.NDArray[np.int64]]
"""Which row of the table each lookup takes: the prover's choice."""


@dataclass(frozen=True)
class TupleLookup:
    """Rows looked up in one table; what they are is owed until `Tables.close`.

    Attributes:
        rows: The table, shape (rows, columns).
        columns: Looked-up values as committed wires, shape (columns, lookups).
        counts: m_t, how often each row of the table is taken.
    """

    name: str
    rows: Ints
    columns: Linear
    counts: Linear

    def total(self, column: npt.NDArray[np.int64] | Ints) -> Linear:
        """Returns the sum over all lookups of a further column of the table. Cost: nothing."""
        return (self.counts * column).sum()


class Tables:
    """The range table of a circuit and its tables of rows.

    Stage 0: `look_up` for each table, then `commit` once. After the challenges: `close`.

    Attributes:
        builder: Of the circuit.
        ranges: The circuit's strategy for range checks.
        segment: Of stage 0; holds everything that is looked up.
        lookups: So far.
    """

    def __init__(self, ranges: Ranges) -> None:
        if ranges.segment is None:
            raise ValueError("what is looked up must be committed: the ranges have no segment")
        self.builder: Builder = ranges.builder
        self.ranges, self.segment = ranges, ranges.segment
        self.lookups: list[TupleLookup] = []

    def look_up(self, name: str, rows: Ints, count: int, choose: Choose) -> TupleLookup:
        """Commits `count` rows of a table and how often each row is taken.

        Args:
            name: Of the table.
            rows: Distinct rows of integers, shape (rows, columns).
            count: Lookups.
            choose: Returns the number of the row of each lookup.

        Raises:
            ValueError: Two rows are equal: their counts, and so `total`, would be ambiguous.
        """
        builder, table = self.builder, as_ints(rows)
        index = {tuple(row): i for i, row in enumerate(table.tolist())}
        if len(index) != len(table):
            raise ValueError(f"{name}: two rows of the table are equal")
        columns = []
        for j in range(table.shape[1]):
            bounds = (int(table[:, j].min()), int(table[:, j].max()))

            def hint(values: Values, j: int = j) -> Ints:
                return np.asarray(table[choose(values), j], dtype=object)

            column = builder.witness(f"{name}/column-{j}", (count,), hint, segment=self.segment, bounds=bounds)
            builder.justify(column, bounds)
            columns.append(column)
        looked_up = stack(columns)

        def multiplicities(values: Values) -> Ints:
            places = [index.get(tuple(row), -1) for row in values(looked_up).T.tolist()]
            if values.is_strict and -1 in places:
                at = places.index(-1)
                text = f"{builder.name}: constraint {name}[{at}] does not hold: no row of the table is looked up"
                raise UnsatisfiedConstraint(text, name, (at,))
            found = np.bincount([place for place in places if place >= 0], minlength=len(table))
            return np.asarray(found.astype(object), dtype=object)

        counts = builder.witness(
            f"{name}/counts", (len(table),), multiplicities, segment=self.segment, bounds=(0, count)
        )
        builder.justify(counts, (0, count))
        lookup = TupleLookup(name, table, looked_up, counts)
        # All bounds above are the table's, which holds only once the challenges have checked it.
        builder.owe(lookup.columns.wires.tobytes(), f"{name} (Tables.close)")
        self.lookups.append(lookup)
        return lookup

    def commit(self) -> None:
        """Commits the counts of the range table: nothing is range-checked after it."""
        if isinstance(self.ranges, RangeTable):
            self.ranges.commit()

    def close(self, alpha: Linear, beta: Linear) -> None:
        """Adds the identities at the challenges alpha and beta.

        Raises:
            ValueError: One challenge for both: columns could make good for one another.
        """
        has_columns = any(len(lookup.columns) > 1 for lookup in self.lookups)
        if has_columns and np.array_equal(alpha.wires, beta.wires):
            raise ValueError("alpha and beta are one challenge; columns need a second one")
        if isinstance(self.ranges, RangeTable):
            self.ranges.close(alpha)
        for lookup in self.lookups:
            self._close(lookup, alpha, beta)

    def _close(self, lookup: TupleLookup, alpha: Linear, beta: Linear) -> None:
        builder, name, order = self.builder, lookup.name, self.builder.curve.order
        looked_up = builder.operand(lookup.columns).transpose()
        denominators = alpha - horner(builder, f"{name}/columns", looked_up, beta)

        def inverses(values: Values) -> Ints:
            return batch_inverse(values.reduced(denominators), order)

        inverse = builder.witness(f"{name}/inverses", (looked_up.shape[0],), inverses)
        builder.enforce(f"{name}/lookups", inverse, denominators, constant(1))
        power, entries = beta, alpha - lookup.rows[:, 0]
        for j in range(1, lookup.rows.shape[1]):
            entries = entries - power * lookup.rows[:, j]
            if j + 1 < lookup.rows.shape[1]:
                power = builder.product(f"{name}/power-{j + 1}", power, beta)

        def quotients(values: Values) -> Ints:
            inverted = batch_inverse(values.reduced(entries), order)
            return np.asarray(values(lookup.counts) * inverted % order, dtype=object)

        quotient = builder.witness(f"{name}/quotients", (len(lookup.rows),), quotients)
        builder.enforce(f"{name}/entries", quotient, entries, builder.operand(lookup.counts))
        builder.enforce(f"{name}/sum", inverse.sum() - quotient.sum(), constant(1), constant(0))
        builder.settle(lookup.columns.wires.tobytes())
