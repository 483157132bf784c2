"""Clients that cheat when they register rows (protocol.md section 6: Registration; review H8).

Each client here knows openings of its own commitments and assembles its proof without a check. It
is turned away by the equation that is named: the circuit's (1) for rows that are not valid, the
link's (3) for rows that are not the committed ones, both where ctx has changed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.groth16.samples import verdicts
from tests.statements.registration_samples import (
    ROWS,
    SIGNER,
    committed,
    forge,
    honest,
    prover_of,
    rows_of,
    terms_of,
)
from zkfed.algebra.backend import Points
from zkfed.algebra.field import to_limbs
from zkfed.commitments.pedersen import generators
from zkfed.errors import DecodeError, ProofInvalid
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.verify import verify
from zkfed.statements.registration import RegistrationRecord, RegistrationTerms, check_registration

SIZE = 48


def table() -> Any:
    return rows_of().table.astype(object)


def with_value(row: int, column: int, value: Any) -> Any:
    out = table()
    out[row, column] = value
    return out


def verdict(record: RegistrationRecord, instance: Instance, classes: int = 3) -> tuple[bool, bool, bool]:
    key = prover_of(classes).key.verifying
    return verdicts(key, instance, Proof.decode(key.backend, key.layout, record.proof))


def refuse(record: RegistrationRecord, terms: RegistrationTerms | None = None) -> None:
    terms = terms or terms_of()
    with pytest.raises(ProofInvalid):
        check_registration(prover_of(terms.classes).key.verifying, terms, record)


def test_control_the_forger_with_valid_rows_is_accepted() -> None:
    record, instance = forge(table())
    assert verdict(record, instance) == (True, True, True)
    check_registration(prover_of().key.verifying, terms_of(), record)


@pytest.mark.parametrize("value", [128, -129, 1 << 30])
def test_a_feature_of_more_than_a_byte(value: int) -> None:
    record, instance = forge(with_value(4, 1, value))
    assert verdict(record, instance) == (False, True, True)
    refuse(record)


@pytest.mark.parametrize("target", [(0, 0, 0), (1, 1, 0), (2, -1, 0), (0, 0, 127)])
def test_a_target_that_is_not_one_hot(target: tuple[int, ...]) -> None:
    record, instance = forge(with_value(4, slice(3, 6), target))
    assert verdict(record, instance) == (False, True, True)
    refuse(record)


def test_a_binary_target_of_zero() -> None:
    rows, terms = rows_of(2).table.astype(object), terms_of(2)
    rows[4, 3] = 0
    record, instance = forge(rows, terms=terms)
    assert verdict(record, instance, 2) == (False, True, True)
    refuse(record, terms)


def test_a_histogram_outside_the_bound() -> None:
    """All rows of one class: mislabelled, or chosen to be easy."""
    rows = table()
    rows[:, 3:] = [1, 0, 0]
    record, instance = forge(rows)
    assert verdict(record, instance) == (False, True, True)
    refuse(record)


def test_false_counts_for_a_histogram_outside_the_bound() -> None:
    """The client commits to the counts 3, 3, 2 of other labels than it has."""
    rows, system = table(), terms_of().circuit()
    rows[:, 3:] = [1, 0, 0]
    counts = next(i for i, (s, w, _) in enumerate(system.steps) if s == 0 and len(w) == 3)
    steps = [*system.steps]
    steps[counts] = (0, steps[counts][1], lambda values: np.array([3, 3, 2], dtype=object))
    record, instance = forge(rows, system=replace(system, steps=tuple(steps)))
    assert verdict(record, instance) == (False, True, True)
    refuse(record)


@pytest.mark.parametrize("what", ["a feature", "a label", "two rows swapped"])
def test_valid_rows_shown_to_the_circuit_others_committed(what: str) -> None:
    """The circuit is satisfied by what it sees; the commitments hold something else."""
    shown = table()
    real = shown.copy()
    if what == "a feature":
        real[2, 0] += 1000
    elif what == "a label":
        real[2, 3:] = [5, 5, -9]
    else:
        real[[0, 1]] = real[[1, 0]]
    record, instance = forge(real, shown=shown)
    assert verdict(record, instance) == (True, True, False)
    refuse(record)


def test_a_row_commitment_replaced_after_theta() -> None:
    """The digest of all commitments, in order, stands in ctx: another row is another theta, and another statement."""
    record = honest()
    b = prover_of().backend
    other = b.encode(committed(table()[:1], (99,)))
    for at in (0, ROWS - 1):
        data = record.commitments
        refuse(replace(record, commitments=data[: at * SIZE] + other + data[(at + 1) * SIZE :]))


def test_a_row_commitment_replaced_within_the_old_sketch() -> None:
    """Even a verifier that kept the old theta and ctx would see that the sketch has changed."""
    record, key = honest(), prover_of().key.verifying
    b, terms = key.backend, terms_of()
    points = b.decode("G1", record.commitments, ROWS)
    other = b.concat("G1", [b.take(points, np.arange(ROWS - 1)), committed(table()[:1], (99,))])
    proof = Proof.decode(b, key.layout, record.proof)
    old = terms.instance(key, record, points)
    verify(key, old, proof)
    with pytest.raises(ProofInvalid):
        verify(key, replace(old, derive_commitments=terms.instance(key, record, other).derive_commitments), proof)
    changed = replace(old, derive_commitments=terms.instance(key, record, other).derive_commitments)
    assert verdicts(key, changed, proof) == (True, True, False)


def test_control_without_the_commitments_in_ctx_rows_are_fitted_to_theta() -> None:
    """The forgery that ctx stops: if theta does not depend on C_0, the client chooses C_0 after it.

    Committed are valid rows but for the last one, 10^6 in its first feature; C_0 gets the opening
    that makes the sketch come out as if all had been valid.
    """
    prover, terms, valid = prover_of(), terms_of(), table()
    key, order = prover.key.verifying, prover.backend.curve.order
    blind = (1000,) * ROWS
    record = RegistrationRecord(terms.policy, terms.epoch, SIGNER, b"no commitments", b"")
    seen: dict[str, int] = {}

    def points(theta: int) -> Points:
        bad = valid.copy()
        bad[ROWS - 1, 0] = 10**6
        b, g = prover.backend, committed(bad, blind)
        first = b.take(generators(b, "row", 6, 1).lanes, np.array([0]))
        # theta x_0 + theta^8 10^6 = theta x_0' + theta^8 x_7
        shift = pow(theta, ROWS - 1, order) * (int(valid[ROWS - 1, 0]) - 10**6) % order
        fitted = b.add(b.take(g, np.array([0])), b.scale(first, to_limbs([shift])))
        return b.concat("G1", [fitted, b.take(g, np.arange(1, ROWS))])

    def derive(stage: int, challenges: dict[str, int]) -> tuple[Points, ...]:
        seen.update(challenges)
        return terms.instance(key, record, points(challenges["theta"])).derive_commitments(stage, challenges)

    instance = replace(terms.instance(key, record, committed(valid, blind)), derive_commitments=derive)

    def blinder(challenges: dict[str, int]) -> int:
        return sum(1000 * pow(challenges["theta"], i + 1, order) for i in range(ROWS)) % order

    proof = prover.prove(instance, {"rows": valid}, (blinder,))
    verify(key, instance, proof)
    named = replace(
        record, commitments=prover.backend.encode(points(seen["theta"])), proof=proof.encode(prover.backend)
    )
    refuse(named)


def test_duplicate_commitments() -> None:
    record = honest()
    data = record.commitments
    twice = replace(record, commitments=data[:-SIZE] + data[:SIZE])
    with pytest.raises(DecodeError, match="row commitments are equal"):
        check_registration(prover_of().key.verifying, terms_of(), twice)


def test_the_rows_of_another_client() -> None:
    """Whoever copies a record cannot put its own key in: ctx holds the first one's."""
    refuse(replace(honest(), signer=b"t" * 32))


def test_a_record_of_another_policy_epoch_or_order() -> None:
    record, data = honest(), honest().commitments
    for other in (terms_of(policy=b"q" * 32), terms_of(epoch=8)):
        refuse(record, other)
        refuse(replace(record, policy=other.policy, epoch=other.epoch), other)
    refuse(replace(record, commitments=data[SIZE : 2 * SIZE] + data[:SIZE] + data[2 * SIZE :]))


def test_a_record_under_other_class_bounds() -> None:
    """A policy that asks for more balance: the bounds are public inputs of the proof."""
    for terms in (terms_of(least=1), terms_of(most=5), terms_of(least=3, most=4)):
        refuse(honest(), terms)


@pytest.mark.parametrize("what", ["short", "long", "empty", "identity", "not a point"])
def test_commitments_that_are_not_m_points(what: str) -> None:
    record = honest()
    data = {
        "short": record.commitments[:-SIZE],
        "long": record.commitments + record.commitments[:SIZE],
        "empty": b"",
        "identity": bytes([0xC0]) + bytes(SIZE - 1) + record.commitments[SIZE:],
        "not a point": b"\xff" * SIZE + record.commitments[SIZE:],
    }[what]
    with pytest.raises(DecodeError):
        check_registration(prover_of().key.verifying, terms_of(), replace(record, commitments=data))


@pytest.mark.parametrize("proof", [b"", b"\0" * 100])
def test_a_record_without_a_proof(proof: bytes) -> None:
    with pytest.raises(DecodeError):
        check_registration(prover_of().key.verifying, terms_of(), replace(honest(), proof=proof))


def test_one_changed_bit_of_the_proof() -> None:
    record = honest()
    for at in range(0, len(record.proof), 37):
        bad = bytearray(record.proof)
        bad[at] ^= 1
        with pytest.raises((ProofInvalid, DecodeError)):
            check_registration(prover_of().key.verifying, terms_of(), replace(record, proof=bytes(bad)))
