"""Circuits of lookups with weights: powers of a challenge, and a column with its sketch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.gadgets.gadget_circuits import Circuit, secret
from zkfed.algebra.curve import Curve
from zkfed.algebra.field import as_ints
from zkfed.gadgets.weighted import challenge_powers, weighted_lookup
from zkfed.r1cs.builder import Builder, Values
from zkfed.r1cs.linear import Linear

__all__ = ["COLUMN", "TABLE", "WEIGHTED"]

TABLE = [-2, 0, 1, 7]
COLUMN = [7, -2, 7, 1, 7]


def _powers(curve: Curve) -> Circuit:
    builder = Builder("challenge-powers", curve=curve)
    (theta,) = builder.challenge("theta")
    out = challenge_powers(builder, "powers", theta, 5, segment=builder.segment("t"))
    return Circuit(builder.finish(), {}, {}, out)


def sums_of(values: Values, wires: Linear) -> Any:
    """Returns for each entry of the table the sum of the weights of the column's entries that are it."""
    weights = values(wires)
    column = as_ints(np.asarray(values.private["x"]))
    return as_ints([int(weights[np.equal(column, t)].sum()) % values.order for t in TABLE])


def _lookup(curve: Curve) -> Circuit:
    builder = Builder("weighted-lookup", curve=curve)
    x = builder.witness("x", (len(COLUMN),), secret("x"), segment=builder.segment("s"))
    (theta,) = builder.challenge("theta")
    segment = builder.segment("t")
    weights = challenge_powers(builder, "powers", theta, len(COLUMN), segment=segment)
    sums = builder.witness("sums", (len(TABLE),), lambda values: sums_of(values, weights), segment=segment)
    (alpha,) = builder.challenge("alpha")
    weighted_lookup(builder, "column", (x, weights), (as_ints(TABLE), sums), alpha)
    return Circuit(builder.finish(), {}, {"x": COLUMN}, sums)


WEIGHTED: dict[str, Callable[[Curve], Circuit]] = {"challenge-powers": _powers, "weighted-lookup": _lookup}
