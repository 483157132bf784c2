"""A table with two columns packed into one accepts every first column.

To look up (x, f(x)) as x + 2^b y in a table of numbers t = x + 2^b f(x) proves nothing, even with x in
range: y = (t - x)/2^b exists in the field for each x and t. Here a prover "shows" a wrong value that
way; the same prover fails against columns that are joined by a challenge.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.witness_runner import Run
from zkfed.algebra.field import as_ints
from zkfed.gadgets.lookup import RangeTable
from zkfed.gadgets.tuples import Tables
from zkfed.r1cs.builder import Builder
from zkfed.r1cs.linear import constant
from zkfed.r1cs.system import System

BITS = 4
SQUARES = np.array([[x, x * x] for x in range(1 << BITS)])


def secret(name: str) -> Any:
    return lambda values: as_ints(np.asarray(values.private[name], dtype=object))


def circuit(*, is_packed: bool) -> System:
    """Returns a circuit that claims y = x^2 for x in [0, 16)."""
    builder = Builder("square")
    ranges = RangeTable(builder, BITS, builder.segment("s"))
    x, y = (builder.witness(name, (1,), secret(name), segment="s") for name in "xy")
    ranges.in_range("x", x, BITS)
    tables = Tables(ranges)
    rows = as_ints(SQUARES @ [[1], [1 << BITS]] if is_packed else SQUARES)
    lookup = tables.look_up("squares", rows, 1, lambda values: np.asarray(values.private["row"]))
    columns = [x + y * (1 << BITS)] if is_packed else [x, y]
    for j, column in enumerate(columns):
        builder.enforce(f"column-{j}", lookup.columns[j] - column, constant(1), constant(0))
    tables.commit()
    tables.close(*builder.challenge("alpha", "beta"))
    return builder.finish()


@pytest.mark.parametrize("is_packed", [True, False])
def test_the_honest_prover_passes_both(is_packed: bool) -> None:
    for x in range(1 << BITS):
        Run(circuit(is_packed=is_packed), {}, {"x": [x], "y": [x * x], "row": [x]}).check()


def test_packed_columns_accept_a_wrong_value_for_every_x() -> None:
    packed, joined = circuit(is_packed=True), circuit(is_packed=False)
    order = packed.curve.order
    for x in range(1 << BITS):
        row = (x + 5) % (1 << BITS)
        packed_row = row + row * row * (1 << BITS)
        y = (packed_row - x) * pow(1 << BITS, -1, order) % order
        assert y != x * x
        private = {"x": [x], "y": [y], "row": [row]}
        Run(packed, {}, private).check()
        assert Run(joined, {}, private, is_strict=False).failing() == {"column-0", "column-1"}
