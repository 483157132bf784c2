"""`check_release` refuses every false record, whoever signed it.

Each forgery is signed again by all who would have to conspire (adders, key holder, devices), so that
the check of a signature never hides the check that is meant.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.layers.forge import HONEST, REPEATED, Forge, federation, refused, released
from tests.layers.parties import signed
from zkfed.errors import (
    CommitmentMismatch,
    DecodeError,
    IntegrityError,
    NotAuthorised,
    PolicyError,
    ProofInvalid,
    Replay,
    SignatureInvalid,
)
from zkfed.layers.agreement import Announced
from zkfed.layers.bridge import check_release
from zkfed.updates.messages import Aggregate, Commit, Release
from zkfed.updates.signing import SigningKey
from zkfed.updates.update import decode_ints


def test_the_honest_record_holds_and_so_does_each_of_its_beginnings(forge: Forge) -> None:
    kinds = [[signed(a.outcome).kind for a in r.attempts] for r in forge.transcript.rounds]
    assert kinds[HONEST] == ["release"]
    assert kinds[REPEATED][0] == "failure"
    assert sorted(kinds[REPEATED][1:]) == ["failure", "release", "release"]
    check_release(forge.transcript)
    forge.transcript.rounds.pop()
    check_release(forge.transcript)  # a shorter record is a true record of less


def test_signing_again_what_is_unchanged_changes_nothing(forge: Forge) -> None:
    # So that each refusal below is for what was changed, and not for the way in which it was signed.
    before = [r.encode() for r in forge.transcript.rounds]
    forge.sums(lambda s: s)
    forge.aggregation(HONEST)
    forge.seal(HONEST, 0)
    forge.announcement(HONEST)
    forge.failure()
    assert [r.encode() for r in forge.transcript.rounds] == before
    check_release(forge.transcript)


# -- the sum ----------------------------------------------------------------------------------


def test_one_coordinate_more_by_one(forge: Forge) -> None:
    forge.sums(lambda s: s + np.eye(1, len(s), 3, dtype=np.int64)[0])
    refused(forge, CommitmentMismatch, "does not fit")


def test_a_carry_between_lanes_is_no_other_sum(forge: Forge) -> None:
    def carry(sums: Any) -> Any:
        sums[0] += 1 << 32
        sums[1] -= 1
        return sums

    sums = decode_ints(Release.decode(signed(forge.attempt(HONEST).outcome).body).sums)
    lanes = [sum(int(v) << 32 * i for i, v in enumerate(s[:7])) for s in (sums, carry(sums.copy()))]
    assert lanes[0] == lanes[1]  # so the equation alone cannot tell them apart: the range does
    forge.sums(carry)
    refused(forge, CommitmentMismatch, "outside its lane")


@pytest.mark.parametrize("value", [1 << 31, -(1 << 31) - 1, (1 << 63) - 1, -(1 << 63)])
def test_a_sum_outside_its_lane(forge: Forge, value: int) -> None:
    forge.sums(lambda s: np.concatenate([s[:-1], np.array([value])]))
    refused(forge, CommitmentMismatch, "outside its lane")


def test_the_sum_of_blinders_is_canonical_and_exact(forge: Forge) -> None:
    body = Release.decode(signed(forge.attempt(HONEST).outcome).body)
    blinder, order = int.from_bytes(body.blinder, "big"), forge.transcript.agreement.order
    if blinder + order < 1 << 256:
        forge.release(HONEST, blinder=(blinder + order).to_bytes(32, "big"))
        refused(forge, CommitmentMismatch, "not below r")
    for wrong in ((blinder + 1) % order, (blinder - 1) % order, order - blinder):
        forge.release(HONEST, blinder=wrong.to_bytes(32, "big"))
        refused(forge, CommitmentMismatch, "does not fit")


def test_sums_of_another_number(forge: Forge) -> None:
    forge.sums(lambda s: s[:-1])
    refused(forge, DecodeError, "11 sums, expected 12")
    forge.sums(lambda s: np.append(s, [0, 0]))
    refused(forge, DecodeError, "13 sums, expected 12")


# -- the list ---------------------------------------------------------------------------------


def test_a_client_is_missing_from_the_list(forge: Forge) -> None:
    forge.aggregation(HONEST, members=forge.members(HONEST)[1:])
    refused(forge, DecodeError, "6 seals for 5 members")
    forge.put(HONEST, 0, seals=forge.attempt(HONEST).seals[1:])
    refused(forge, CommitmentMismatch)


def test_a_client_is_doubled(forge: Forge) -> None:
    members = forge.members(HONEST)
    with pytest.raises(DecodeError):
        Aggregate.decode(Aggregate(bytes(32), (members[0], *members), bytes(32)).encode())
    forge.aggregation(HONEST, members=(members[0], *members))
    refused(forge, DecodeError, "not in order or not distinct")


def test_a_client_of_another_round(forge: Forge) -> None:
    mixed = tuple(sorted((*forge.members(HONEST)[1:], forge.members(REPEATED)[0])))
    forge.aggregation(HONEST, members=mixed)
    refused(forge, NotAuthorised, "does not belong to its commit")


def test_seals_in_another_order(forge: Forge) -> None:
    forge.put(HONEST, 0, seals=forge.attempt(HONEST).seals[::-1])
    refused(forge, NotAuthorised, "does not belong to its commit")


def test_too_few_clients(forge: Forge) -> None:
    forge.aggregation(HONEST, members=forge.members(HONEST)[:1])
    forge.put(HONEST, 0, seals=forge.attempt(HONEST).seals[:1])
    refused(forge, PolicyError, "1 clients in a sum")


def test_a_commit_is_missing(forge: Forge) -> None:
    forge.put_record(HONEST, commits=forge.transcript.rounds[HONEST].commits[1:])
    refused(forge, NotAuthorised, "does not belong to its commit")


def test_commits_in_another_order_or_doubled(forge: Forge) -> None:
    commits = forge.transcript.rounds[HONEST].commits
    for other in (commits[::-1], (commits[0], *commits)):
        forge.put_record(HONEST, commits=other)
        refused(forge, DecodeError, "not in order or not distinct")


def resort(commits: list[bytes]) -> tuple[bytes, ...]:
    return tuple(sorted(commits, key=lambda c: signed(c).digest))


def test_two_commits_of_one_client_and_two_clients_with_one_commitment(forge: Forge) -> None:
    commits = list(forge.transcript.rounds[HONEST].commits)
    first, second = (signed(c) for c in commits[:2])
    copied = replace(Commit.decode(first.body), commitment=Commit.decode(second.body).commitment)
    again = forge.sign(forge.by_client(first.signer), "commit", copied)
    forge.put_record(HONEST, commits=resort([*commits, again]))
    refused(forge, Replay, "committed twice")
    forge.put_record(HONEST, commits=resort([again, *commits[1:]]))
    refused(forge, Replay, "same C_D")


def test_a_commit_by_a_stranger(forge: Forge) -> None:
    commits = list(forge.transcript.rounds[HONEST].commits)
    stranger = SigningKey.generate().sign("commit", signed(commits[0]).body).encode()
    forge.put_record(HONEST, commits=resort([*commits, stranger]))
    refused(forge, NotAuthorised, "not enrolled")


def test_a_commit_of_another_round(forge: Forge) -> None:
    forge.put_record(HONEST, commits=forge.transcript.rounds[REPEATED].commits)
    refused(forge, Replay, "another round")


# -- the seals and their proofs ---------------------------------------------------------------


def test_the_proof_of_another_client(forge: Forge) -> None:
    forge.seal(HONEST, 0, proof=forge.seal_of(HONEST, 1).proof)
    with pytest.raises(ProofInvalid) as caught:
        check_release(forge.transcript)
    assert caught.value.culprits == (0,)
    assert signed(forge.attempt(HONEST).seals[0]).signer.hex()[:16] in str(caught.value)


def test_the_proof_of_another_round(forge: Forge) -> None:
    forge.seal(HONEST, 0, proof=forge.seal_of(REPEATED, 0).proof)
    refused(forge, ProofInvalid)


def test_a_proof_that_is_cut(forge: Forge) -> None:
    forge.seal(HONEST, 0, proof=forge.seal_of(HONEST, 0).proof[:-1])
    refused(forge, DecodeError)


def test_a_seal_of_another_attempt_key_or_signer(forge: Forge) -> None:
    other = forge.attempt(REPEATED, 1)
    forge.seal(HONEST, 0, announcement=Announced.decode(other.announced).digest)
    refused(forge, IntegrityError, "another attempt or key")
    forge.transcript.rounds[HONEST] = federation().transcript.rounds[HONEST]
    forge.seal(HONEST, 0, encryption_key=bytes(32))
    refused(forge, IntegrityError, "another attempt or key")
    seals = list(federation().transcript.rounds[HONEST].attempts[0].seals)
    seals[0] = forge.by_client(signed(seals[1]).signer).sign("seal", signed(seals[0]).body).encode()
    forge.put(HONEST, 0, seals=tuple(seals))
    refused(forge, NotAuthorised, "does not belong to its commit")


def test_one_ciphertext_of_two_clients(forge: Forge) -> None:
    forge.seal(HONEST, 0, ciphertext=forge.seal_of(HONEST, 1).ciphertext)
    refused(forge, Replay, "same ciphertext")


# -- aggregation, release, closing ------------------------------------------------------------


def test_an_aggregation_of_another_attempt(forge: Forge) -> None:
    other = Announced.decode(forge.attempt(REPEATED, 1).announced).digest
    forge.aggregation(HONEST, announcement=other)
    refused(forge, IntegrityError, "an aggregation of another attempt")


def test_a_release_of_another_attempt(forge: Forge) -> None:
    forge.put(HONEST, 0, outcome=forge.attempt(REPEATED, released(forge)[0]).outcome)
    refused(forge, IntegrityError, "a release of another attempt")


def test_a_release_of_another_list(forge: Forge) -> None:
    forge.release(HONEST, aggregation=bytes(32))
    refused(forge, IntegrityError, "a release of another attempt")


@pytest.mark.parametrize("kind", ["release", "aggregation", "failure"])
def test_signed_by_somebody_else(forge: Forge, kind: str) -> None:
    number = REPEATED if kind == "failure" else HONEST
    name = "aggregation" if kind == "aggregation" else "outcome"
    body = signed(getattr(forge.attempt(number), name)).body
    for key in (SigningKey.generate(), forge.cohort.device_keys[0]):
        forge.put(number, 0, **{name: key.sign(kind, body).encode()})
        refused(forge, NotAuthorised, "not signed by the pinned")


def test_the_list_of_a_failed_attempt_is_the_adders_and_of_that_attempt(forge: Forge) -> None:
    # It decides which groups K's nonce draws, so a false one would choose who stands with whom.
    body = signed(forge.attempt(REPEATED).aggregation).body
    forge.put(REPEATED, 0, aggregation=SigningKey.generate().sign("aggregation", body).encode())
    refused(forge, NotAuthorised, "not signed by the pinned")
    forge.aggregation(REPEATED, announcement=bytes(32))
    refused(forge, IntegrityError, "an aggregation of another attempt")


def test_an_outcome_that_is_neither_release_nor_failure(forge: Forge) -> None:
    forge.put(HONEST, 0, outcome=forge.attempt(HONEST).aggregation)
    refused(forge, DecodeError, "release or a failure")


def test_a_forged_closing(forge: Forge) -> None:
    record = forge.transcript.rounds[HONEST]
    for closing, error in (
        (forge.cohort.holder_key.sign("transcript", record.digest).encode(), NotAuthorised),
        (forge.cohort.adder_key.sign("transcript", bytes(32)).encode(), IntegrityError),
        (forge.transcript.rounds[REPEATED].closing, IntegrityError),
        (record.closing[:-1] + bytes([record.closing[-1] ^ 1]), SignatureInvalid),
        (b"", DecodeError),
    ):
        forge.transcript.rounds[HONEST] = replace(record, closing=closing)
        refused(forge, error)
