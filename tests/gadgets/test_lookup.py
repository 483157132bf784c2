"""Shows the edges of range checks by lookup over the real field.

Values just outside a range, negative ones, scalars whose square is small, and provers who
choose their limbs or multiplicities freely.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gadgets.gadget_circuits import secret
from tests.witness_runner import Run
from zkfed.algebra.curve import BLS12_381, BN254, Curve
from zkfed.errors import UnsatisfiedConstraint
from zkfed.gadgets.lookup import RangeTable, lookups_per_value
from zkfed.r1cs.builder import Builder
from zkfed.r1cs.system import System


def circuit(bits: int, limb_bits: int, curve: Curve = BLS12_381) -> System:
    builder = Builder("range", curve=curve)
    table = RangeTable(builder, limb_bits, builder.segment("s"))
    table.in_range("range", builder.witness("x", (1,), secret("x"), segment="s"), bits)
    table.commit()
    (alpha,) = builder.challenge("alpha")
    table.close(alpha)
    return builder.finish()


def root_of_two(curve: Curve) -> int:
    """Returns s with s^2 = 2: for a primitive 8th root w, (w + 1/w)^2 = w^2 + w^-2 + 2 = 2."""
    w = curve.root_of_unity(8)
    return (w + pow(w, -1, curve.order)) % curve.order


SIZES = [(16, 8), (16, 5), (16, 7), (10, 4), (12, 4), (5, 5), (3, 5), (1, 4), (40, 11)]


@pytest.mark.parametrize("curve", [BLS12_381, BN254], ids=lambda c: c.name)
@pytest.mark.parametrize(("bits", "limb_bits"), SIZES)
def test_the_edges(bits: int, limb_bits: int, curve: Curve) -> None:
    system, r = circuit(bits, limb_bits, curve), curve.order
    for inside in (0, 1, (1 << bits) - 1, (1 << bits) // 2):
        Run(system, {}, {"x": [inside]}).check()
    root = root_of_two(curve)
    assert root * root % r == 2
    outside = [1 << bits, (1 << bits) + 1, -1, -(1 << bits), 1 << (bits + limb_bits), r - 1, r // 2, root, r - root]
    for value in outside:
        with pytest.raises(UnsatisfiedConstraint, match="outside the range"):
            Run(system, {}, {"x": [value]}).check()
        with pytest.raises(UnsatisfiedConstraint, match="does not hold"):
            Run(system, {}, {"x": [value]}, is_strict=False).check()


@given(data=st.data())
def test_no_choice_of_limbs_or_multiplicities_helps(data: st.DataObject) -> None:
    """The prover may commit anything before the challenge; the identity is checked after it."""
    system, size = circuit(10, 4), 16
    value = data.draw(st.sampled_from([1 << 10, (1 << 10) + 77, 1 << 12, -1, root_of_two(BLS12_381)]))
    limbs = data.draw(st.lists(st.integers(-20, 40), min_size=2, max_size=2))
    counts = data.draw(st.lists(st.integers(-3, 3), min_size=size, max_size=size))

    def chosen(wires: Any, hint: Any) -> Any:
        for column in (limbs, counts):
            if len(wires) == len(column):
                return lambda _values: np.array(column, dtype=object)
        return hint

    steps = tuple((stage, wires, chosen(wires, hint) if stage == 0 else hint) for stage, wires, hint in system.steps)
    with pytest.raises(UnsatisfiedConstraint, match="table/sum"):
        Run(replace(system, steps=steps), {}, {"x": [value]}).check()


def test_an_honest_refusal_names_the_place_and_not_the_value() -> None:
    builder = Builder("range")
    table = RangeTable(builder, 4, builder.segment("s"))
    for name in ("first", "second"):
        table.in_range(name, builder.witness(name, (3,), secret(name), segment="s"), 8)
    table.commit()
    (alpha,) = builder.challenge("alpha")
    table.close(alpha)
    with pytest.raises(UnsatisfiedConstraint) as caught:
        Run(builder.finish(), {}, {"first": [1, 2, 3], "second": [4, 5, 987654]}).check()
    assert (caught.value.constraint, caught.value.position) == ("second/top", (2,))
    assert "987654" not in str(caught.value)


def test_ranges_that_do_not_fit_the_field_are_refused() -> None:
    builder = Builder("range")
    table = RangeTable(builder, 8, builder.segment("s"))
    for bits in (0, -1, 254, 300):
        with pytest.raises(ValueError, match="does not fit the field"):
            table.in_range("range", builder.context, bits)
    with pytest.raises(ValueError, match="comes before close"):
        table.close(builder.context)


@pytest.mark.parametrize(("bits", "limb_bits"), SIZES)
def test_the_cost_of_a_value_is_the_stated_one(bits: int, limb_bits: int) -> None:
    system = circuit(bits, limb_bits)
    lookups = sum(label.size for label in system.labels if label.name == "table/lookups")
    assert lookups == lookups_per_value(bits, limb_bits)
