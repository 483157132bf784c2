"""Shows that no constraint can be left out: without it, a false claim is accepted.

Every row of every gadget and of a small instance of every statement is deleted in turn. A search
(forger.py) then finds changes of an honest run for which all other rows hold, for three draws of
the challenges with the same wires committed before them, while the plain claim is false. Rows
that hold for all values of their wires are told by their form: they bind public inputs and masks
to the proof, which is no matter of satisfaction (tests/attacks/test_groth16_mask_rows.py).
"""

from __future__ import annotations

from functools import cache

import pytest

from tests.evidence.deletions import Deletions, Starts, holds_for_all_values, label_of
from tests.evidence.forger import Forger
from tests.evidence.reviewed import NOT_SEARCHED, NOT_SHOWN, REDUNDANT
from tests.evidence.subjects import SUBJECTS, Subject, marked
from tests.witness_runner import Run
from zkfed.r1cs.builder import Builder, Values
from zkfed.r1cs.linear import constant

EVERY = pytest.mark.parametrize("name", marked(SUBJECTS))


@cache
def starts(name: str) -> Starts:
    return Starts(SUBJECTS[name])


def deletions(name: str) -> Deletions:
    return starts(name).first


@pytest.mark.parametrize("name", marked(name for name in SUBJECTS if name not in NOT_SEARCHED))
def test_without_any_one_constraint_a_false_claim_is_accepted(name: str) -> None:
    search, forger = starts(name), deletions(name).forger
    rows = [row for row in range(len(forger.rows)) if not holds_for_all_values(forger, row)]
    listed = REDUNDANT.get(name, {}) | NOT_SHOWN.get(name, {})
    needless = {
        label for row in rows
        if search.forgery(row, is_listed=(label := label_of(forger, row)) in listed) is None
    }  # fmt: skip
    assert needless == set(listed)


@EVERY
def test_rows_that_hold_for_all_values_are_the_isolated_ones(name: str) -> None:
    forger = deletions(name).forger
    isolated = {row for row in range(len(forger.rows)) if label_of(forger, row).startswith("isolated/")}
    assert isolated == {row for row in range(len(forger.rows)) if holds_for_all_values(forger, row)}
    assert all(len(forger.wires_of[row]) == 1 for row in isolated)


@EVERY
def test_the_same_search_finds_nothing_against_the_whole_circuit(name: str) -> None:
    search = deletions(name)
    (nothing,) = [row for row in range(len(search.forger.rows)) if label_of(search.forger, row) == "isolated/ctx"]
    assert [r for r in search.recipes if search.forger.succeeds(r, nothing)] == []


# -- the search itself ----------------------------------------------------------------------------


def _squares(*, is_doubled: bool) -> Subject:
    """Builds y = x^2 with x in {0, 1, 2}, and says that y is 0, 1 or 4."""
    builder = Builder("squares")
    x = builder.witness("x", (), lambda values: values.private["x"])
    part = builder.product("part", x, x - 1)
    builder.enforce("range", part, x - 2, constant(0))

    def half(values: Values) -> int:
        return values.private["x"] ** 2

    y = builder.witness("y", (), half)
    for name in ("square", "again")[: 1 + is_doubled]:
        builder.enforce(name, x, x, y)
    system = builder.finish()
    outputs = tuple(system.final_of[y.wires].tolist())
    return Subject("squares", lambda: Run(system, {}, {"x": 2}), lambda at: at.outputs[0] in (0, 1, 4), outputs)


@pytest.mark.parametrize("is_doubled", [False, True])
def test_a_row_that_stands_twice_is_found_needless(is_doubled: bool) -> None:
    search = Deletions(Forger(_squares(is_doubled=is_doubled)))
    names = [label_of(search.forger, row) for row in range(len(search.forger.rows))]
    needless = {name for row, name in enumerate(names) if search.forgery(row) is None}
    assert needless == {"isolated/ctx"} | ({"square", "again"} if is_doubled else set())
