"""Lookups with weights accept exactly columns out of the table, with the right sum for each entry.

Shown on random columns over the real field, against provers who choose the sums; by trying all
assignments over a field of 13; and for the rule that operands are fixed before their challenge.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gadgets.gadget_circuits import Circuit, run, secret
from tests.gadgets.toy_field import ToySystem, toy_curve
from tests.gadgets.weighted_circuits import COLUMN, TABLE, WEIGHTED
from zkfed.algebra.curve import BLS12_381, BN254
from zkfed.algebra.field import as_ints, powers
from zkfed.errors import UnsatisfiedConstraint
from zkfed.gadgets.weighted import challenge_powers, weighted_lookup
from zkfed.r1cs.builder import Builder
from zkfed.r1cs.linear import Linear, constant

R = BLS12_381.order
LOOKUP = WEIGHTED["weighted-lookup"](BLS12_381)


def result(circuit: Circuit, z: Any) -> list[int]:
    assert circuit.outputs is not None
    return list(z[circuit.system.final_of[circuit.outputs.wires]])


@pytest.mark.parametrize("curve", [BLS12_381, BN254], ids=lambda c: c.name)
def test_powers_are_the_powers(curve: Any) -> None:
    circuit = WEIGHTED["challenge-powers"](curve)
    work = run(circuit)
    assert result(circuit, work.check()) == powers(work.challenges["theta"], 6, curve.order)[1:].tolist()


@given(st.lists(st.sampled_from([*TABLE, 2, -1, R - 2, 1 << 90]), min_size=5, max_size=5))
def test_columns_out_of_the_table_are_accepted_with_their_sketch(column: list[int]) -> None:
    """R - 2 is -2, so the honest sums have to count it."""
    signed = [v - R if v > R // 2 else v for v in column]
    work = run(LOOKUP, x=signed)
    if not set(signed) <= set(TABLE):
        with pytest.raises(UnsatisfiedConstraint, match="column/sum"):
            work.check()
        return
    sums = result(LOOKUP, work.check())
    weights = powers(work.challenges["theta"], 6, R)[1:]
    assert int(as_ints(TABLE) @ as_ints(sums)) % R == int(weights @ as_ints(signed)) % R


@given(st.lists(st.integers(-3, 3), min_size=4, max_size=4).filter(any), st.integers(0, 4))
def test_no_other_sums_are_accepted(shifts: list[int], at: int) -> None:
    """Sums that are off by weights of the column, or by small numbers."""

    def lying(hint: Any) -> Any:
        return lambda values: hint(values) + as_ints(shifts) * (1 if at == 4 else values(weights)[at])

    steps = list(LOOKUP.system.steps)
    last = max(i for i, (stage, wires, _) in enumerate(steps) if stage == 1 and len(wires) == len(TABLE))
    tensor = next(wires for stage, wires, _ in steps if stage == 1 and len(wires) == len(COLUMN))
    weights = Linear.of_wires(tensor)
    steps[last] = (1, steps[last][1], lying(steps[last][2]))
    liar = replace(LOOKUP, system=replace(LOOKUP.system, steps=tuple(steps)))
    with pytest.raises(UnsatisfiedConstraint, match="column/sum"):
        run(liar).check()


# -- all assignments -------------------------------------------------------------------------------


def is_true(x: list[int], weights: list[int], sums: list[int], p: int) -> bool:
    claimed = dict.fromkeys(range(p), 0) | {0: sums[0], 1: sums[1]}
    return all(sum(w for v, w in zip(x, weights, strict=True) if v == t) % p == n for t, n in claimed.items())


@pytest.mark.parametrize("weights", [(1, 5), (4, 4), (3, -3)])
def test_the_identity_holds_for_more_than_a_few_alpha_only_if_it_is_true(weights: tuple[int, int]) -> None:
    """All pairs of values, all sums, all alpha that are no pole, over 13 elements; the table is {0, 1}.

    The weights 3 and -3 add up to 0: then two equal values outside the table pass, and must, which
    is why weights are drawn after the values.
    """
    p = 13
    builder = Builder("toy", curve=toy_curve(p))
    segment = builder.segment("s")
    x = builder.witness("x", (2,), secret("x"), segment=segment)
    sums = builder.witness("sums", (2,), secret("sums"), segment=segment)
    (alpha,) = builder.challenge("alpha")
    weighted_lookup(builder, "column", (x, constant(np.array(weights, dtype=object))), (as_ints([0, 1]), sums), alpha)
    toy = ToySystem(builder.finish())
    wires = [*toy.wires(x), *toy.wires(sums), *toy.wires(alpha)]
    table = toy.table(**{f"w{w}": range(p) for w in wires})
    poles = np.concatenate([table[wires[:2]], np.zeros((1, table.shape[1])), np.ones((1, table.shape[1]))])
    table = table[:, (table[wires[4]] != poles).all(axis=0)]
    toy.solve(table, {*wires, *range(toy.system.public_count), toy.system.segment("s").stop - 1})
    accepted: dict[tuple[int, ...], list[bool]] = {}
    for case, good in zip(table[wires[:4]].T.tolist(), toy.accepted(table).tolist(), strict=True):
        accepted.setdefault(tuple(case), []).append(good)
    assert len(accepted) == p**4
    found = 0
    for case, goods in accepted.items():
        truth = is_true(list(case[:2]), list(weights), list(case[2:]), p)
        assert all(goods) if truth else sum(goods) <= 3
        found += truth
        # Weights that do not cancel leave nothing outside the table.
        assert not truth or set(case[:2]) <= {0, 1} or sum(weights) % p == 0
    assert found == 4 + (p - 2) * (sum(weights) % p == 0)


# -- what is fixed when ----------------------------------------------------------------------------


@pytest.mark.parametrize("late", ["values", "weights", "sums"])
def test_operands_are_committed_before_alpha(late: str) -> None:
    builder = Builder("late")
    builder.segment("s")
    builder.challenge("theta")
    builder.segment("t")
    w = {name: builder.witness(name, (2,), secret(name), segment="t") for name in ("values", "weights", "sums")}
    w[late] = builder.witness("late", (2,), secret("late"))
    (alpha,) = builder.challenge("alpha")
    with pytest.raises(ValueError, match="not committed before the challenge of stage 2"):
        weighted_lookup(builder, "column", (w["values"], w["weights"]), (as_ints([0, 1]), w["sums"]), alpha)


def test_powers_of_a_challenge_are_fixed_for_the_next_one() -> None:
    builder = Builder("powers")
    (theta,) = builder.challenge("theta")
    out = challenge_powers(builder, "powers", theta, 3, segment=builder.segment("t"))
    with pytest.raises(ValueError, match="not committed before the challenge of stage 1"):
        builder.operand(out)
    builder.challenge("alpha")
    builder.operand(out)
