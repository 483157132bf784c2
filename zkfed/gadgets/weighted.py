"""Lookups with weights: one row an entry says that it is in a table, and what its weights add up to.

    sum_i w_i/(alpha - x_i) = sum_t N_t/(alpha - t)

holds as rational functions of alpha exactly if for each value t of the table N_t is the sum of
the weights of the x_i that are t, and for each other value that sum is 0. With w_i = theta^(i+1),
drawn after all x_i are committed, no sum of weights is 0 but the empty one, so every x_i is in
the table; and

    sum_t t N_t = sum_i theta^(i+1) x_i

is the sketch of the column, without a product for each entry. Two sides that differ agree for at
most K + T - 1 values of alpha (K entries, T values); a sum of weights vanishes for at most K
values of theta. Cost: K + T + 1 rows.

Source: [LogUp] Haboeck, eprint 2022/1530, section 3, where all weights are 1.
"""

from __future__ import annotations

import numpy as np

from zkfed.algebra.field import Ints, batch_inverse, powers
from zkfed.r1cs.builder import Builder, Values
from zkfed.r1cs.linear import Linear, concatenate, constant

__all__ = ["challenge_powers", "weighted_lookup"]


def challenge_powers(builder: Builder, name: str, challenge: Linear, count: int, *, segment: str) -> Linear:
    """Returns committed wires c, c^2, ..., c^count of a challenge of this stage. Cost: `count` rows."""

    def hint(values: Values) -> Ints:
        return powers(int(values(challenge)[()]), count + 1, values.order)[1:]

    out = builder.witness(name, (count,), hint, segment=segment)
    before = concatenate([constant([1]), out[:-1]])
    builder.enforce(name, before, challenge, out)
    return out


def weighted_lookup(
    builder: Builder, name: str, lookups: tuple[Linear, Linear], entries: tuple[Ints, Linear], alpha: Linear
) -> None:
    """Enforces the identity of the module at the challenge alpha.

    Args:
        builder: At the stage of alpha.
        name: Of the constraints.
        lookups: (x, w), vectors of one length, fixed before alpha.
        entries: (the distinct values t, N), vectors of one length, N fixed before alpha.
        alpha: The challenge.
    """
    (x, w), (table, numerators), order = lookups, entries, builder.curve.order
    parts = (("lookups", x, w), ("entries", constant(table), numerators))
    sums = []
    for part, value, numerator in parts:
        denominator = alpha - builder.operand(value)

        def quotients(values: Values, top: Linear = numerator, bottom: Linear = denominator) -> Ints:
            return np.asarray(values(top) * batch_inverse(values.reduced(bottom), order) % order, dtype=object)

        fractions = builder.witness(f"{name}/{part}", value.shape, quotients)
        # The fraction stands in A and the value in B: B costs G2, where small values are cheap.
        builder.enforce(f"{name}/{part}", fractions, denominator, builder.operand(numerator))
        sums.append(fractions.sum())
    builder.enforce(f"{name}/sum", sums[0] - sums[1], constant(1), constant(0))
