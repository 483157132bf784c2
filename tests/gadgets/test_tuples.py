"""Shows that a lookup takes whole rows of its table and counts them, whatever a prover commits.

Rows that mix columns of two rows, rows beyond the table, and counts that are off; the rows of tiny
tables are tried out over a field of 13.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gadgets.gadget_circuits import LIMB_BITS, Circuit, run
from tests.gadgets.loss_circuits import LOSSES, TABLE
from tests.gadgets.toy_field import ToySystem, toy_curve
from zkfed.algebra.curve import BLS12_381
from zkfed.algebra.field import as_ints
from zkfed.errors import UnsatisfiedConstraint
from zkfed.gadgets.boolean import BitRanges
from zkfed.gadgets.lookup import RangeTable
from zkfed.gadgets.tuples import Tables
from zkfed.r1cs.builder import Builder
from zkfed.r1cs.system import System

ROWS = [tuple(row) for row in TABLE.tolist()]


def committed(rows: list[tuple[int, ...]], counts: list[int]) -> Circuit:
    """Returns the three-column circuit with a prover who commits these rows and counts."""
    circuit = LOSSES["tuples, three columns"](BLS12_381)
    columns = [as_ints(column) for column in np.array(rows, dtype=object).T]

    def step(stage: int, wires: Any, hint: Any) -> Any:
        if stage == 0 and len(wires) == 5:
            column = columns.pop(0)
            return lambda _values: column
        return (lambda _values: as_ints(counts)) if stage == 0 and len(wires) == 4 else hint

    steps = tuple((s, w, step(s, w, h)) for s, w, h in circuit.system.steps)
    return replace(circuit, system=replace(circuit.system, steps=steps))


@given(st.lists(st.integers(0, 3), min_size=5, max_size=5))
def test_rows_of_the_table_pass_with_their_counts(choice: list[int]) -> None:
    circuit = LOSSES["tuples, three columns"](BLS12_381)
    z = run(circuit, rows=choice).check()
    assert circuit.outputs is not None
    order = circuit.system.curve.order
    assert z[circuit.system.final_of[circuit.outputs.wires]].tolist() == [int(TABLE[choice, 1].sum()) % order]
    found = np.bincount(choice, minlength=4).tolist()
    run(committed([ROWS[i] for i in choice], found)).check()


ENTRIES = st.sampled_from([*sorted({int(v) for v in TABLE.ravel()}), -1, 8, 1 << 90])


@given(
    st.lists(st.one_of(st.sampled_from(ROWS), st.tuples(ENTRIES, ENTRIES, ENTRIES)), min_size=5, max_size=5),
    st.lists(st.integers(-2, 3), min_size=4, max_size=4),
)
def test_nothing_else_passes(rows: list[tuple[int, ...]], counts: list[int]) -> None:
    is_true = set(rows) <= set(ROWS) and [rows.count(row) for row in ROWS] == counts
    forged = committed(rows, counts)
    if is_true:
        run(forged).check()
    else:
        assert run(forged, is_strict=False).failing() == {"tuple/sum"}


def test_an_honest_refusal_names_the_place() -> None:
    circuit = committed([ROWS[0], ROWS[1], (0, -3, 1), ROWS[3], ROWS[3]], [1, 1, 1, 1])
    steps = tuple((s, w, h) for s, w, h in circuit.system.steps)
    original = {tuple(w): h for _, w, h in LOSSES["tuples, three columns"](BLS12_381).system.steps}
    honest = tuple((s, w, original[tuple(w)] if len(w) == 4 and s == 0 else h) for s, w, h in steps)
    with pytest.raises(UnsatisfiedConstraint, match="no row of the table") as caught:
        run(replace(circuit, system=replace(circuit.system, steps=honest))).check()
    assert (caught.value.constraint, caught.value.position) == ("tuple", (2,))


def test_equal_rows_are_refused() -> None:
    builder = Builder("b")
    tables = Tables(BitRanges(builder, builder.segment("s")))
    with pytest.raises(ValueError, match="two rows of the table are equal"):
        tables.look_up("t", as_ints([[1, 2], [3, 4], [1, 2]]), 2, lambda _: np.zeros(2, np.int64))


def test_one_challenge_for_rows_and_columns_is_refused() -> None:
    builder = Builder("b")
    tables = Tables(BitRanges(builder, builder.segment("s")))
    tables.look_up("t", as_ints([[1, 2], [3, 4]]), 2, lambda _: np.zeros(2, np.int64))
    (alpha,) = builder.challenge("alpha")
    with pytest.raises(ValueError, match="alpha and beta are one challenge"):
        tables.close(alpha, alpha)


def test_nothing_is_looked_up_after_its_challenge() -> None:
    builder = Builder("b")
    tables = Tables(RangeTable(builder, LIMB_BITS, builder.segment("s")))
    builder.challenge("alpha")
    with pytest.raises(ValueError, match="cannot enter segment s at stage 1"):
        tables.look_up("t", as_ints([[1], [3]]), 2, lambda _: np.zeros(2, np.int64))


def toy_system(p: int) -> tuple[System, Any]:
    builder = Builder("toy", curve=toy_curve(p))
    tables = Tables(BitRanges(builder, builder.segment("s")))
    lookup = tables.look_up("t", as_ints([[1, 2], [3, 0]]), 1, lambda _: np.zeros(1, np.int64))
    tables.close(*builder.challenge("alpha", "beta"))
    return builder.finish(), lookup


def test_all_rows_counts_and_challenges_of_a_tiny_table() -> None:
    """A wrong row or count passes for few challenges only; a right one fails only where a denominator is 0."""
    p = 13
    system, lookup = toy_system(p)
    toy = ToySystem(system)
    inputs = {i.name: i.start for i in system.inputs}
    columns, counts = toy.wires(lookup.columns).ravel(), toy.wires(lookup.counts)
    passing: dict[tuple[int, ...], int] = {}
    for m in ((1, 0), (0, 1), (1, 1), (0, 0), (2, 12)):
        axes = {f"w{w}": range(p) for w in (*columns, inputs["alpha"], inputs["beta"])}
        table = toy.table(**axes)
        table[counts] = np.array(m)[:, None]
        toy.solve(table, set(range(1, system.private_start)))
        good = table[:, toy.accepted(table)]
        for key in zip(*good[columns].tolist(), strict=True):
            passing[(*key, *m)] = passing.get((*key, *m), 0) + 1
    right = {(1, 2, 1, 0), (3, 0, 0, 1)}
    assert all(passing[key] >= p * p - 3 * p for key in right)
    assert max(count for key, count in passing.items() if key not in right) <= 4 * p
