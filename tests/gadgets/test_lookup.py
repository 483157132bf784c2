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
from zkfed.gadgets.boolean import BitRanges
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


# -- ranges of what is an integer already ---------------------------------------------------------


def integers(bits: int, limb_bits: int) -> System:
    """Checks a public integer, which the verifier bounds, in a range by `integer_in_range`."""
    builder = Builder("integer-range")
    table = RangeTable(builder, limb_bits, builder.segment("s"))
    table.integer_in_range("range", builder.input("x", bounds=(-(1 << 60), 1 << 60)), bits)
    table.commit()
    (alpha,) = builder.challenge("alpha")
    table.close(alpha)
    return builder.finish()


@pytest.mark.parametrize(("bits", "limb_bits"), SIZES)
def test_the_edges_of_an_integer_range(bits: int, limb_bits: int) -> None:
    system = integers(bits, limb_bits)
    for inside in (0, 1, (1 << bits) - 1, (1 << bits) // 2):
        Run(system, {"x": inside}).check()
    # What a shifted top limb alone would let through reaches up to 2^bits + 2^(bits - 1).
    near = [1 << bits, (1 << bits) + 1, (1 << bits) + (1 << (bits - 1)), -1, -2, -(1 << bits), 1 << 60, -(1 << 60)]
    for value in near:
        with pytest.raises(UnsatisfiedConstraint, match="outside the range"):
            Run(system, {"x": value}).check()
        assert "table/sum" in Run(system, {"x": value}, is_strict=False).failing()
    lookups = sum(label.size for label in system.labels if label.name == "table/lookups")
    assert lookups == -(-bits // limb_bits)


def test_a_fraction_would_pass_an_integer_range_so_integers_must_be_proven() -> None:
    half, r = pow(2, -1, BLS12_381.order), BLS12_381.order
    assert 2 * half % r == 1
    builder = Builder("range")
    x = builder.witness("x", (1,), secret("x"), segment=builder.segment("s"), bounds=(0, 7))
    for ranges in (RangeTable(builder, 4, "s"), BitRanges(builder, "s")):
        for value in (x, builder.witness("y", (1,), secret("x")), x + builder.context):
            with pytest.raises(ValueError, match="an integer is needed whose bounds are proven before"):
                ranges.integer_in_range("range", value, 3)
    # What would happen: the claim believed, the range taken as its proof.
    builder.proven_bounds = builder.bounds  # type: ignore[method-assign, assignment]
    table = RangeTable(builder, 4, "s")
    table.integer_in_range("range", x, 3)
    builder.justify(x, (0, 7))
    table.commit()
    (alpha,) = builder.challenge("alpha")
    table.close(alpha)
    system = builder.finish()
    chosen = tuple(
        (s, w, (lambda _v: np.array([0, 1] + [0] * 14, dtype=object)) if len(w) == 16 and s == 0 else h)
        for s, w, h in system.steps
    )
    Run(replace(system, steps=chosen), {}, {"x": [half]}).check()
