"""Shows what the builder refuses to build, and the form of what it builds.

Refused: values that could wrap around the field, claims without proof, operands that a
prover could still choose after the challenge, wires in no constraint. Form: the wire order
and the isolated rows of protocol.md section 5.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.witness_runner import Run
from zkfed.algebra.curve import BLS12_381, BN254, Curve
from zkfed.gadgets.boolean import BitRanges, boolean, in_range_by_bits
from zkfed.gadgets.compare import at_most
from zkfed.gadgets.lookup import RangeTable
from zkfed.r1cs.builder import Builder, Values
from zkfed.r1cs.linear import Linear, constant
from zkfed.r1cs.system import LinkSpec, System

R = BLS12_381.order


def zeros(shape: tuple[int, ...] = ()) -> Any:
    return lambda _values: np.zeros(shape, dtype=object)


def bits(builder: Builder, count: int, name: str = "bits") -> Linear:
    out = builder.witness(name, (count,), zeros((count,)), bounds=(0, 1))
    boolean(builder, name, out)
    return out


# -- bit budget ----------------------------------------------------------------------------------


@pytest.mark.parametrize("curve", [BLS12_381, BN254], ids=lambda c: c.name)
def test_bounds_at_half_the_order_are_the_first_refused(curve: Curve) -> None:
    builder = Builder("b", curve=curve)
    x = builder.input("x", bounds=(-1, 1))
    largest = (curve.order - 1) // 2
    assert builder.bounds(x * largest) == (-largest, largest)
    with pytest.raises(ValueError, match=r"can wrap around the field of 25[45] bits"):
        builder.bounds(x * (largest + 1))
    with pytest.raises(ValueError, match="can wrap"):
        builder.bounds(x * largest + 1)
    with pytest.raises(ValueError, match="can wrap"):
        builder.bounds(x * -(largest + 1))


def test_products_and_sums_of_products_that_can_wrap_are_refused() -> None:
    builder = Builder("b")
    x = builder.input("x", (8,), bounds=(-(1 << 126), 1 << 126))
    builder.bounds(builder.product("squares", x, x)[:2])
    with pytest.raises(ValueError, match="can wrap"):
        builder.product("fourth", builder.product("again", x, x), x)
    total = builder.product("more", x, x).sum()
    with pytest.raises(ValueError, match="can wrap"):
        builder.bounds(total * 2)
    with pytest.raises(ValueError, match="can wrap"):
        builder.enforce("sum", total * 2, constant(1), constant(0))
    with pytest.raises(ValueError, match="can wrap"):
        builder.define("defined", total * 2, segment=builder.segment("s"))


def test_an_enforced_product_that_can_wrap_is_refused() -> None:
    builder = Builder("b")
    x, y = builder.input("x", bounds=(0, 1 << 200)), builder.input("y", bounds=(-5, 1 << 100))
    with pytest.raises(ValueError, match="can wrap"):
        builder.enforce("xy", x, y, constant(0))


def test_a_slack_that_can_wrap_is_refused() -> None:
    builder = Builder("b")
    low, high = builder.input("low", bounds=(-(1 << 253), 0)), builder.input("high", bounds=(0, 1 << 253))
    with pytest.raises(ValueError, match="can wrap"):
        at_most(BitRanges(builder), "slack", low, high)
    with pytest.raises(ValueError, match="can wrap"):
        RangeTable(builder, 8, builder.segment("s")).in_range("slack", high - low, 200)


def test_the_norm_that_wraps_in_a_small_field_is_refused() -> None:
    # 99^2 + 0^2 + 7^2 = 9850 = 6 mod 23: in a field of 23 elements a norm of 6 would be "proven".
    toy = Curve("toy", 23, 23, 1, 1, 5, 0)
    builder = Builder("norm", curve=toy)
    with pytest.raises(ValueError, match="can wrap around the field of 5 bits"):
        builder.product("squares", builder.input("d", (3,), bounds=(0, 99)), builder.input("e", bounds=(0, 99)))
    small = builder.input("small", (3,), bounds=(-2, 2))
    with pytest.raises(ValueError, match="can wrap"):
        builder.bounds(builder.product("squares", small, small).sum())
    assert sum(v * v for v in (99, 0, 7)) % 23 == 6


def test_interval_arithmetic_is_exact_for_signs() -> None:
    builder = Builder("b")
    x, y = builder.input("x", bounds=(-3, 5)), builder.input("y", bounds=(-7, 2))
    assert builder.bounds(x - y) == (-5, 12)
    assert builder.bounds(x * -2 + 1) == (-9, 7)
    assert builder.bounds(builder.product("xy", x, y)) == (-35, 21)
    assert builder.bounds(builder.product("xx", x, x)) == (0, 25)
    scalar = builder.input("scalar")
    assert builder.bounds(x + scalar) is None
    assert builder.bounds(builder.product("free", x, scalar)) is None


# -- claims --------------------------------------------------------------------------------------


def test_claimed_bounds_must_be_proven() -> None:
    builder = Builder("b")
    x = builder.witness("claimed", (2,), zeros((2,)), bounds=(0, 7))
    builder.enforce("used", x, constant(1), constant(0))
    with pytest.raises(ValueError, match="bounds of claimed are claimed and never proven"):
        builder.finish()
    in_range_by_bits(builder, "range", x[:1], 3)
    builder.justify(x[:1], (0, 7))
    with pytest.raises(ValueError, match="bounds of claimed"):
        builder.finish()
    in_range_by_bits(builder, "range", x[1:], 3)
    builder.justify(x[1:], (0, 7))
    builder.finish()


@pytest.mark.parametrize("proven", [(-1, 7), (0, 8), (-5, 50)])
def test_a_claim_narrower_than_its_proof_is_refused(proven: tuple[int, int]) -> None:
    builder = Builder("b")
    x = builder.witness("claimed", (1,), zeros((1,)), bounds=(0, 7))
    with pytest.raises(ValueError, match="claimed claims narrower bounds than are proven"):
        builder.justify(x, proven)
    with pytest.raises(ValueError, match="narrower"):
        builder.justify(x + 4, (proven[0] + 4, proven[1] + 4))
    builder.justify(x + 4, (4, 11))


def test_justify_takes_claimed_wires_and_nothing_else() -> None:
    builder = Builder("b")
    x = builder.witness("x", (2,), zeros((2,)), bounds=(0, 7))
    free = builder.witness("free", (2,), zeros((2,)))
    for wrong in (x * 2, x + x, x[:1] + x[1:], constant([1, 2]), x - x):
        with pytest.raises(ValueError, match="single wires plus a constant"):
            builder.justify(wrong, (0, 7))
    for wrong in (free, builder.input("i", bounds=(0, 7)), builder.product("p", x, x)):
        with pytest.raises(ValueError, match="claimed and not yet proven"):
            builder.justify(wrong, (0, 7))
    builder.justify(x, (0, 7))
    with pytest.raises(ValueError, match="not yet proven"):
        builder.justify(x, (0, 7))


def test_owed_proofs_are_demanded() -> None:
    builder = Builder("b")
    builder.segment("s")
    table = RangeTable(builder, 3, "s")
    x = builder.witness("x", (2,), zeros((2,)), bounds=(0, 7))
    table.in_range("x/range", x, 3)
    builder.justify(x, (0, 7))
    with pytest.raises(ValueError, match="never proven: range table"):
        builder.finish()


# -- names and segments --------------------------------------------------------------------------


def test_ambiguous_names_are_refused() -> None:
    builder = Builder("b")
    builder.input("x")
    builder.segment("s")
    for twice in (lambda: builder.input("x"), lambda: builder.challenge("x"), lambda: builder.input("ctx")):
        with pytest.raises(ValueError, match="declared twice"):
            twice()
    for wrong in (lambda: builder.segment("s"), lambda: builder.segment("t", LinkSpec("s", "update", 7, 32))):
        with pytest.raises(ValueError, match="declared twice, or its link names another one"):
            wrong()


def test_a_segment_of_another_stage_or_none_takes_no_wires() -> None:
    builder = Builder("b")
    builder.segment("s")
    with pytest.raises(ValueError, match="cannot enter segment unknown at stage 0"):
        builder.witness("w", (), zeros(), segment="unknown")
    builder.challenge("alpha")
    with pytest.raises(ValueError, match="cannot enter segment s at stage 1"):
        builder.witness("w", (), zeros(), segment="s")


def test_derived_inputs_have_no_bounds() -> None:
    builder = Builder("b")
    builder.challenge("alpha")
    with pytest.raises(ValueError, match="derived input late has no bounds"):
        builder.input("late", bounds=(0, 1))
    builder.input("late")


# -- the finished system -------------------------------------------------------------------------


def sample() -> System:
    """Builds a circuit with every kind of wire, declared out of final order."""
    builder = Builder("sample")
    builder.segment("b")
    builder.segment("a", LinkSpec("a", "update", 7, 32))
    private = builder.witness("private", (), zeros())
    w = builder.witness("w", (3,), zeros((3,)), segment="a")
    x = builder.input("x", (2,), bounds=(0, 9))
    v = builder.witness("v", (2,), zeros((2,)), segment="b")
    builder.enforce("rows", w[:2] + x, v, private)
    builder.enforce("last", w[2], constant(1), private * 5)
    (alpha,) = builder.challenge("alpha")
    builder.segment("c")
    u = builder.witness("u", (), zeros(), segment="c")
    late = builder.input("late")
    builder.enforce("late", u, alpha, late)
    return builder.finish()


def test_wires_stand_in_the_order_of_the_protocol() -> None:
    system = sample()
    assert [(i.name, i.start, i.size, i.stage, i.is_challenge) for i in system.inputs] == [
        ("ctx", 1, 1, 0, False), ("x", 2, 2, 0, False), ("alpha", 4, 1, 1, True), ("late", 5, 1, 1, False),
    ]  # fmt: skip
    assert [(s.name, s.start, s.stop, s.stage, s.is_linked) for s in system.segments] == [
        ("b", 6, 9, 0, False), ("a", 9, 13, 0, True), ("c", 13, 15, 1, False),
    ]  # fmt: skip
    assert (system.public_count, system.private_start, system.wire_count) == (6, 15, 16)
    assert (system.layout.public_count, system.layout.stage_count) == (6, 1)
    assert sorted(system.final_of.tolist()) == list(range(16))
    assert [s.name for s in system.layout.unlinked] == ["b", "c"]


def test_isolated_rows_hold_one_wire_and_nothing_else() -> None:
    system = sample()
    isolated = {label.name: label for label in system.labels if label.name.startswith("isolated/")}
    names = [f"isolated/{i.name}" for i in system.inputs] + [f"isolated/mask/{s.name}" for s in system.segments]
    assert sorted(isolated) == sorted(names)
    alone = []
    for label in isolated.values():
        for row in range(label.start, label.start + label.size):
            (column,) = system.a.columns[system.a.indptr[row] : system.a.indptr[row + 1]]
            assert system.a.coefficients[system.a.indptr[row]] == 1
            for side in (system.b, system.c):
                assert side.indptr[row] == side.indptr[row + 1]
            alone.append(int(column))
    masks = [s.stop - 1 for s in system.segments]
    assert sorted(alone) == [*range(1, system.public_count), *sorted(masks)]
    first = min(label.start for label in isolated.values())
    for mask in masks:
        for side in (system.a, system.b, system.c):
            assert mask not in side.columns[: side.indptr[first]]


def test_a_committed_wire_without_constraint_is_refused() -> None:
    builder = Builder("b")
    builder.segment("s")
    builder.witness("lost", (2,), zeros((2,)), segment="s")
    with pytest.raises(ValueError, match="public or committed wire 2 is in no constraint"):
        builder.finish()


def test_a_wire_whose_coefficients_cancel_is_in_no_constraint() -> None:
    builder = Builder("b")
    builder.segment("s")
    w = builder.witness("w", (), zeros(), segment="s")
    builder.enforce("nothing", w - w, constant(1), constant(0))
    builder.enforce("r times it", w * R, constant(1), constant(0))
    with pytest.raises(ValueError, match="in no constraint"):
        builder.finish()


def test_hints_see_signed_integers_and_run_in_order() -> None:
    builder = Builder("b")
    x = builder.input("x", bounds=(-9, 9))
    seen: list[int] = []

    def hint(values: Values) -> Any:
        seen.append(int(values(x * 3 + 1)))
        return np.asarray(values.reduced(x), dtype=object)

    builder.enforce("same", builder.witness("w", (), hint), constant(1), x)
    Run(builder.finish(), {"x": -4}).check()
    assert seen == [-11]
