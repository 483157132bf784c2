"""Shows that S4 accepts exactly the one-hot and bounded count vectors, as circuits and with proofs.

Edges are exact; for each constraint there is a wrong vector that it alone refuses; no wire but
masks and ctx has a second value; a report for one place or with other bounds is none for another;
reports and noise add up to a histogram.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.statements.circuit_samples import reducing
from tests.witness_runner import Run, free_wires, names_of
from zkfed.algebra.curve import BLS12_381, BN254, Curve
from zkfed.algebra.field import as_ints
from zkfed.commitments.pedersen import generators
from zkfed.errors import CommitmentMismatch, DecodeError, KeyRefused, PolicyError, ProofInvalid, UnsatisfiedConstraint
from zkfed.groth16.prove import Prover
from zkfed.groth16.setup import development_keys
from zkfed.r1cs.system import System
from zkfed.statements.one_hot import CountTerms, Place, check_counts, prove_counts

CURVES = pytest.mark.parametrize("curve", [BLS12_381, BN254], ids=lambda c: c.name)
ONE_HOT, MAYBE = CountTerms(4), CountTerms(4, total_min=0)
FEW = CountTerms(4, total_min=1, total_max=2)
COUNTS = CountTerms(3, 5, 2, 9)
PLACE = Place(b"p" * 32, b"a" * 32, b"s" * 32, b"age group")
TOP = (1 << 15) - 1


def run(terms: CountTerms, vector: Any, *, system: System | None = None, is_strict: bool = True) -> Run:
    private = {"counts": as_ints(np.array(vector, dtype=object))}
    return Run(system or terms.circuit(), terms.static, private, is_strict=is_strict)


def is_accepted(terms: CountTerms, vector: Any, curve: Curve = BLS12_381) -> bool:
    """Asks honest code, and a prover who computes on."""
    system = terms.circuit(curve.name)
    try:
        run(terms, vector, system=system).check()
    except UnsatisfiedConstraint:
        for forging in (system, reducing(system)):
            with pytest.raises(UnsatisfiedConstraint):
                run(terms, vector, system=forging, is_strict=False).check()
        return False
    return True


# -- the relation ----------------------------------------------------------------------------------


@CURVES
@pytest.mark.parametrize("terms", [ONE_HOT, MAYBE], ids=["exactly one", "at most one"])
def test_one_hot_is_exact_on_every_small_vector(terms: CountTerms, curve: Curve) -> None:
    for vector in itertools.product((-1, 0, 1, 2), repeat=4):
        expected = set(vector) <= {0, 1} and terms.total_min <= sum(vector) <= 1
        assert is_accepted(terms, vector, curve) == expected


@CURVES
@pytest.mark.parametrize(("total_min", "total_max"), [(0, 2), (1, 2), (2, 2), (0, 3), (3, 3), (1, 4), (4, 4)])
def test_few_hot_is_exact_on_every_small_vector(total_min: int, total_max: int, curve: Curve) -> None:
    terms = CountTerms(4, 1, total_min, total_max)
    for vector in itertools.product((-1, 0, 1, 2), repeat=4):
        expected = set(vector) <= {0, 1} and total_min <= sum(vector) <= total_max
        assert is_accepted(terms, vector, curve) == expected


@pytest.mark.parametrize("terms", [COUNTS, CountTerms(2, 2, 4, 4)], ids=["counts", "all full"])
def test_bounded_counts_are_exact_on_every_small_vector(terms: CountTerms) -> None:
    values = (-1, 0, 1, 2, terms.each_max, terms.each_max + 1)
    for vector in itertools.product(values, repeat=terms.coordinates):
        expected = min(vector) >= 0 and max(vector) <= terms.each_max
        assert is_accepted(terms, vector) == (expected and terms.total_min <= sum(vector) <= terms.total_max)


@CURVES
@pytest.mark.parametrize("count", [1, 7, 8, 60])
def test_the_largest_bounds_are_exact(count: int, curve: Curve) -> None:
    terms = CountTerms(count, TOP, count * TOP - 1, count * TOP)
    vector = [TOP] * count
    assert is_accepted(terms, vector, curve)
    assert is_accepted(terms, [TOP - 1, *vector[1:]], curve)
    assert not is_accepted(terms, [TOP - 2, *vector[1:]], curve)
    assert not is_accepted(terms, [TOP + 1, *vector[1:]], curve)


@CURVES
def test_coordinates_that_cancel_modulo_r_are_refused(curve: Curve) -> None:
    for large in (1, TOP + 1, curve.order // 2):
        for terms in (ONE_HOT, MAYBE, FEW):
            assert not is_accepted(terms, [curve.order - large, large + 1, 0, 0], curve)
        assert not is_accepted(COUNTS, [curve.order - large, large + 3, 0], curve)
    # A half plus a half is one: only the bits tell it from a single answer.
    half = pow(2, -1, curve.order)
    assert run(
        ONE_HOT, [half, half, 0, 0], system=reducing(ONE_HOT.circuit(curve.name)), is_strict=False
    ).failing() == {"counts/boolean"}


@pytest.mark.parametrize(
    ("terms", "vector", "failing"),
    [
        (ONE_HOT, [2, -1, 0, 0], "counts/boolean"),
        (ONE_HOT, [1, 1, 0, 0], "total/at-most-one"),
        (ONE_HOT, [0, 0, 0, 0], "total/at-least"),
    ],
)
def test_each_constraint_of_one_hot_is_needed(terms: CountTerms, vector: Any, failing: str) -> None:
    # Of a sum of two, at-least fails too unless nothing is asked for.
    asked = replace(terms, total_min=0) if failing == "total/at-most-one" else terms
    assert run(asked, vector, is_strict=False).failing() == {failing}


@pytest.mark.parametrize(
    ("vector", "failing"),
    [
        ([2, 0, 0, 0], "counts/boolean"),
        ([3, -1, 0, 0], "counts/boolean"),
        ([0, 0, 0, 0], "total/at-least/sum"),
        ([1, 1, 0, 1], "total/at-most/sum"),
    ],
)
def test_each_constraint_of_few_hot_is_needed(vector: Any, failing: str) -> None:
    assert run(FEW, vector, is_strict=False).failing() == {failing}


@pytest.mark.parametrize(
    ("vector", "constraint"),
    [
        ([-1, 4, 1], "counts/range"),
        ([6, 0, 0], "counts/at-most-each"),
        ([1, 0, 0], "total/at-least"),
        ([5, 5, 0], "total/at-most"),
    ],
)
def test_each_range_of_bounded_counts_is_needed(vector: Any, constraint: str) -> None:
    assert run(COUNTS, vector, is_strict=False).failing() == {f"{constraint}/sum"}
    # By a table, whose sum stands for all ranges.
    wide, padded = replace(COUNTS, coordinates=64), vector + [0] * 61
    with pytest.raises(UnsatisfiedConstraint) as caught:
        run(wide, padded).check()
    assert caught.value.constraint.rsplit("/", 1)[0] == constraint
    assert run(wide, padded, is_strict=False).failing() == {"table/sum"}


@pytest.mark.parametrize(("terms", "vector"), [(ONE_HOT, [0, 1, 0, 0]), (FEW, [0, 1, 0, 1]), (COUNTS, [5, 0, 3])])
def test_only_masks_and_ctx_have_a_second_value(terms: CountTerms, vector: Any) -> None:
    system = terms.circuit()
    names = names_of(system, free_wires(system, run(terms, vector).check()))
    allowed = {"input/ctx", "mask/update", "mask/stage-0"}
    # A bound that is not tight may be another one, which is as true; the segment is tied to C_v by its link.
    assert names <= allowed | {"input/total-min", "input/total-max", "input/each-max"}
    assert {"input/ctx", "mask/update"} <= names


@pytest.mark.parametrize("count", [2, 8, 64, 500])
def test_costs(count: int) -> None:
    one_hot, bounded = CountTerms(count).circuit(), CountTerms(count, 3, 0, 9 if count > 2 else 6).circuit()
    # Bits, two for the sum; isolated: ctx, total-min, mask.
    assert (one_hot.constraint_count, one_hot.stage_count) == (count + 5, 0)
    few = CountTerms(count, total_max=2).circuit()
    # Bits, two slacks of the sum with a row for their bits' sum; isolated: ctx, both bounds, mask.
    assert (few.constraint_count, few.stage_count) == (count + 2 * (count.bit_length() + 1) + 4, 0)
    # Never dearer than bits alone: 16 rows a check.
    assert bounded.constraint_count <= 2 * count * 16 + 2 * (15 + count.bit_length() + 1) + 8


# -- terms -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bounds",
    [(0, 1, 1, 1), (1 << 17, 1, 1, 1), (4, 0, 0, 0), (4, TOP + 1, 0, 1), (4, 1, 2, 1), (4, 1, -1, 1), (4, 1, 0, 0),
     (4, 2, 0, 9), (4, 1, 0, 1.5), (4, True, 0, 1)],
)  # fmt: skip
def test_terms_that_no_circuit_holds_are_refused(bounds: Any) -> None:
    with pytest.raises(PolicyError):
        CountTerms(*bounds)


@pytest.mark.parametrize(
    "terms", [ONE_HOT, COUNTS, CountTerms(3, 2, 0, 5), CountTerms(3, 4, 0, 4), CountTerms(2, 3, 0, 6)]
)
def test_the_sensitivity_is_the_largest_norm(terms: CountTerms) -> None:
    allowed = [
        np.array(v)
        for v in itertools.product(range(terms.each_max + 1), repeat=terms.coordinates)
        if terms.total_min <= sum(v) <= terms.total_max
    ]
    assert terms.l1 == max(int(v.sum()) for v in allowed)
    assert terms.squared_l2 == max(int((v * v).sum()) for v in allowed)


# -- before proving --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "vector",
    [[0, 1, 0], [0, 1, 0, 0, 0], [[0, 1, 0, 0]], 1, [], [0.0, 1.0, 0.0, 0.0], [0, np.nan, 0, 1], [0, "1", 0, 0],
     [0, None, 0, 1], np.array([0, 1.5, 0, 0], dtype=object)],
    ids=["short", "long", "a row", "a number", "empty", "floats", "NaN", "text", "None", "a fraction"],
)  # fmt: skip
def test_what_is_no_count_vector_is_refused(vector: Any) -> None:
    with pytest.raises(DecodeError):
        ONE_HOT.check(vector)


@pytest.mark.parametrize(
    ("terms", "vector", "constraint", "position"),
    [
        (ONE_HOT, [0, -1, 2, 0], "counts/range", (1,)),
        (ONE_HOT, [0, 0, 2, 0], "counts/at-most-each", (2,)),
        (ONE_HOT, [0, 0, 0, 0], "total/at-least", ()),
        (ONE_HOT, [1, 0, 1, 0], "total/at-most", ()),
        (COUNTS, [5, 5, 0], "total/at-most", ()),
        (COUNTS, [0, 0, 1 << 200], "counts/at-most-each", (2,)),
    ],
)
def test_a_false_vector_is_refused_by_name_and_without_its_value(
    terms: CountTerms, vector: Any, constraint: str, position: Any
) -> None:
    with pytest.raises(UnsatisfiedConstraint) as caught:
        prove_counts(prover_of(terms), terms, vector, place=PLACE, blinder=1)
    assert (caught.value.constraint, caught.value.position) == (constraint, position)
    assert str(1 << 200) not in str(caught.value)


# -- proofs ----------------------------------------------------------------------------------------


@functools.cache
def prover_of(terms: CountTerms, curve: str = "bls12-381") -> Prover:
    system = terms.circuit(curve)
    return Prover(development_keys(system), system)


@pytest.mark.parametrize("curve", ["bls12-381", "bn254"])
@pytest.mark.parametrize(
    ("terms", "vector"),
    [(ONE_HOT, np.array([False, True, False, False])), (FEW, [1, 0, 0, 1]), (COUNTS, [5, 0, 3])],
)
def test_an_honest_report_is_accepted(terms: CountTerms, vector: Any, curve: str) -> None:
    prover = prover_of(replace(terms), curve)
    commitment, proof = prove_counts(prover, terms, vector, place=PLACE, blinder=77)
    point = check_counts(prover.key.verifying, terms, PLACE, commitment, proof)
    generators(prover.backend, "update", terms.coordinates).open(point, terms.check(vector), 77)


def test_a_report_holds_at_its_place_and_for_its_terms_alone() -> None:
    key = prover_of(COUNTS).key.verifying
    commitment, proof = prove_counts(prover_of(COUNTS), COUNTS, [5, 0, 3], place=PLACE, blinder=77)
    other, _ = prove_counts(prover_of(COUNTS), COUNTS, [5, 0, 3], place=PLACE, blinder=78)
    places = [
        replace(PLACE, policy=b"q" * 32), replace(PLACE, announcement=b"b" * 32), replace(PLACE, signer=b"t" * 32),
        replace(PLACE, question=b"region"),
    ]  # fmt: skip
    terms = [replace(COUNTS, each_max=6), replace(COUNTS, total_min=1), replace(COUNTS, total_max=8)]
    for wrong in [(COUNTS, p, commitment) for p in places] + [(t, PLACE, commitment) for t in terms]:
        with pytest.raises(ProofInvalid):
            check_counts(key, *wrong, proof)
    with pytest.raises(ProofInvalid):
        check_counts(key, COUNTS, PLACE, other, proof)
    with pytest.raises(DecodeError):
        check_counts(key, COUNTS, PLACE, commitment[:-1], proof)
    with pytest.raises(DecodeError):
        check_counts(key, COUNTS, PLACE, commitment, proof + b"\0")


def test_one_or_none_is_not_exactly_one() -> None:
    """One key serves both; the proof says which of them it is."""
    prover = prover_of(ONE_HOT)
    commitment, proof = prove_counts(prover, MAYBE, [0, 0, 0, 0], place=PLACE, blinder=5)
    check_counts(prover.key.verifying, MAYBE, PLACE, commitment, proof)
    with pytest.raises(ProofInvalid):
        check_counts(prover.key.verifying, ONE_HOT, PLACE, commitment, proof)


def test_one_key_serves_all_bounds_of_few_and_a_proof_says_which() -> None:
    prover, none = prover_of(FEW), replace(FEW, total_min=0)
    commitment, proof = prove_counts(prover, none, [0, 0, 0, 0], place=PLACE, blinder=5)
    check_counts(prover.key.verifying, none, PLACE, commitment, proof)
    for other in (FEW, replace(none, total_max=3), CountTerms(4, 2, 0, 2)):
        with pytest.raises((ProofInvalid, KeyRefused)):
            check_counts(prover.key.verifying, other, PLACE, commitment, proof)


def test_a_key_for_another_circuit_is_refused() -> None:
    with pytest.raises(KeyRefused):
        prove_counts(prover_of(COUNTS), ONE_HOT, [1, 0, 0, 0], place=PLACE, blinder=1)
    with pytest.raises(KeyRefused):
        check_counts(prover_of(COUNTS).key.verifying, CountTerms(4, 5, 2, 9), PLACE, b"", b"")


def test_reports_add_up_to_a_histogram() -> None:
    prover = prover_of(ONE_HOT)
    backend, total, blinders = prover.backend, np.zeros(4, dtype=object), 0
    points = []
    for client, answer in enumerate([2, 0, 2, 3]):
        vector, blinder = np.identity(4, dtype=np.int64)[answer], 1000 + client
        place = replace(PLACE, signer=bytes([client]) * 32)
        report = prove_counts(prover, ONE_HOT, vector, place=place, blinder=blinder)
        points.append(check_counts(prover.key.verifying, ONE_HOT, place, *report))
        total, blinders = total + vector.astype(object), blinders + blinder
    noise = [3, -2, 0, 1]
    shared = generators(backend, "update", 4)
    points.append(shared.commit(noise, 9))
    added = functools.reduce(backend.add, points)
    shared.open(added, total + np.array(noise, dtype=object), blinders + 9)
    with pytest.raises(CommitmentMismatch):
        shared.open(added, total, blinders + 9)
