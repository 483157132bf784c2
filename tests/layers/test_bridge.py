"""`check_release` refuses every false record, whoever signed it.

Each forgery is signed again by all who would have to conspire (adders, key holder, devices), so that
the check of a signature never hides the check that is meant.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.layers.parties import Cohort, OtherPlaintext, signed
from zkfed.encoding import digest
from zkfed.errors import (
    CommitmentMismatch,
    DecodeError,
    IntegrityError,
    NotAuthorised,
    PolicyError,
    ProofInvalid,
    Replay,
    SignatureInvalid,
    ZkfedError,
)
from zkfed.layers.agreement import Agreement, Announced, draw_groups
from zkfed.layers.bridge import check_release
from zkfed.layers.transcript import Attempt, RoundRecord, Transcript
from zkfed.updates.messages import Aggregate, Announcement, Commit, Failure, Release, Seal
from zkfed.updates.signing import SigningKey
from zkfed.updates.update import decode_ints, encode_ints

HONEST, REPEATED = 0, 1


@functools.cache
def federation() -> Cohort:
    """Returns a cohort after an honest round and one in which a device encrypts something else."""
    cohort = Cohort(devices=6, kinds=[OtherPlaintext])
    cohort.devices[0].is_honest = True
    cohort.honest_round()
    cohort.devices[0].is_honest = False
    first = cohort.ready()
    failure = Failure.decode(signed(cohort.open(first)).body)
    groups = draw_groups(failure.nonce, first.members, smallest=2, groups=3)
    opened = [first]
    for group, members in enumerate(groups):
        attempt = cohort.announce(2, group, members)
        cohort.seal_all(attempt)
        cohort.add(attempt)
        cohort.open(attempt)
        opened.append(attempt)
    cohort.close(opened)
    return cohort


@dataclass
class Forge:
    """A copy of the transcript, and all keys to sign what is changed in it."""

    cohort: Cohort
    transcript: Transcript

    def sign(self, key: SigningKey, kind: str, body: Any) -> bytes:
        return key.sign(kind, body.encode()).encode()

    def by_client(self, public: bytes) -> SigningKey:
        return next(k for k in self.cohort.device_keys if k.public == public)

    def attempt(self, number: int, index: int = 0) -> Attempt:
        return self.transcript.rounds[number].attempts[index]

    def put(self, number: int, index: int, **changes: Any) -> None:
        record = self.transcript.rounds[number]
        attempts = list(record.attempts)
        attempts[index] = replace(attempts[index], **changes)
        self.put_record(number, attempts=tuple(attempts))

    def put_record(self, number: int, **changes: Any) -> None:
        """Changes a record and has the adders sign it again."""
        record = replace(self.transcript.rounds[number], **changes)
        closing = self.cohort.adder_key.sign("transcript", record.digest).encode()
        self.transcript.rounds[number] = replace(record, closing=closing)

    def release(self, number: int, index: int = 0, **changes: Any) -> None:
        body = Release.decode(signed(self.attempt(number, index).outcome).body)
        self.put(number, index, outcome=self.sign(self.cohort.holder_key, "release", replace(body, **changes)))

    def failure(self, **changes: Any) -> None:
        body = Failure.decode(signed(self.attempt(REPEATED).outcome).body)
        self.put(REPEATED, 0, outcome=self.sign(self.cohort.holder_key, "failure", replace(body, **changes)))

    def sums(self, change: Callable[[Any], Any]) -> None:
        body = Release.decode(signed(self.attempt(HONEST).outcome).body)
        self.release(HONEST, sums=encode_ints(change(decode_ints(body.sums))))

    def aggregation(self, number: int, index: int = 0, **changes: Any) -> None:
        """Changes a list; the release names the new one."""
        body = replace(Aggregate.decode(signed(self.attempt(number, index).aggregation).body), **changes)
        self.put(number, index, aggregation=self.sign(self.cohort.adder_key, "aggregation", body))
        if signed(self.attempt(number, index).outcome).kind == "release":
            self.release(number, index, aggregation=digest("zkfed/v1/aggregation-digest", body.encode()))

    def members(self, number: int, index: int = 0) -> tuple[bytes, ...]:
        return Aggregate.decode(signed(self.attempt(number, index).aggregation).body).members

    def seal(self, number: int, position: int, **changes: Any) -> None:
        seals = list(self.attempt(number).seals)
        old = signed(seals[position])
        body = replace(Seal.decode(old.body), **changes)
        seals[position] = self.sign(self.by_client(old.signer), "seal", body)
        self.put(number, 0, seals=tuple(seals))

    def seal_of(self, number: int, position: int) -> Seal:
        return Seal.decode(signed(self.attempt(number).seals[position]).body)

    def announcement(self, number: int, index: int = 0, **changes: Any) -> None:
        body = replace(Announced.decode(self.attempt(number, index).announced).body, **changes)
        g = self.cohort.adder_key.sign("announcement", body.encode())
        k = self.cohort.holder_key.sign("announcement-holder", body.encode())
        self.put(number, index, announced=Announced(body, g, k).encode())

    def agreement(self, **changes: Any) -> None:
        self.transcript.agreement = replace(self.transcript.agreement, **changes)


@pytest.fixture
def forge() -> Forge:
    cohort = federation()
    transcript = cohort.transcript
    return Forge(cohort, Transcript(transcript.agreement, transcript.base.copy(), list(transcript.rounds)))


def refused(forge: Forge, error: type[ZkfedError], text: str | None = None) -> None:
    with pytest.raises(error, match=text) as caught:
        check_release(forge.transcript)
    assert type(caught.value) is error
    check_release(federation().transcript)


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


# -- the order of rounds ----------------------------------------------------------------------


def test_rounds_in_another_order_dropped_or_doubled(forge: Forge) -> None:
    first, second = forge.transcript.rounds
    for rounds in ([second, first], [second], [first, first]):
        forge.transcript.rounds = rounds
        refused(forge, PolicyError)


def test_a_round_without_an_attempt(forge: Forge) -> None:
    forge.put_record(HONEST, attempts=())
    refused(forge, DecodeError, "no attempt")


def test_the_first_attempt_twice(forge: Forge) -> None:
    attempts = forge.transcript.rounds[HONEST].attempts
    forge.put_record(HONEST, attempts=attempts * 2)
    refused(forge, PolicyError, "two first attempts")


def test_attempts_in_another_order_or_the_failed_one_left_out(forge: Forge) -> None:
    attempts = forge.transcript.rounds[REPEATED].attempts
    for other in (attempts[1:], attempts[::-1]):
        forge.put_record(REPEATED, attempts=other)
        refused(forge, (Replay if other else PolicyError))


# -- groups -----------------------------------------------------------------------------------


def released(forge: Forge) -> list[int]:
    attempts = forge.transcript.rounds[REPEATED].attempts
    return [i for i, a in enumerate(attempts) if signed(a.outcome).kind == "release"]


def test_a_group_that_the_nonce_did_not_draw(forge: Forge) -> None:
    forge.failure(nonce=bytes(32))
    refused(forge, PolicyError, "nonce drew")


def test_a_group_twice(forge: Forge) -> None:
    attempts = forge.transcript.rounds[REPEATED].attempts
    again = attempts[released(forge)[0]]
    forge.put_record(REPEATED, attempts=(*attempts, again))
    refused(forge, PolicyError, "nonce drew")


def test_a_group_chosen_by_the_adders_and_the_key_holder(forge: Forge) -> None:
    everybody = forge.members(REPEATED)
    index = released(forge)[0]
    others = tuple(sorted({*everybody} - {*forge.members(REPEATED, index)}))[:2]
    forge.announcement(REPEATED, index, members=others)
    refused(forge, PolicyError, "nonce drew")


def test_a_failure_of_another_attempt(forge: Forge) -> None:
    forge.failure(announcement=bytes(32))
    refused(forge, IntegrityError, "a failure of another attempt")


def test_a_member_in_two_released_groups(forge: Forge) -> None:
    first, second = released(forge)[:2]
    body = Announced.decode(forge.attempt(REPEATED, second).announced).body
    mixed = tuple(sorted((forge.members(REPEATED, first)[0], body.members[0])))
    forge.aggregation(REPEATED, second, members=mixed)
    refused(forge, NotAuthorised)


# -- what everybody agreed on -----------------------------------------------------------------


def test_another_base_model(forge: Forge) -> None:
    forge.transcript.base[0, 0] += 1
    refused(forge, PolicyError, "its base is not the one expected")


def test_another_policy(forge: Forge) -> None:
    agreement = forge.transcript.agreement
    for changes in ({"epsilon": np.nextafter(2.0, 3)}, {"min_clients": 3}, {"attempts": 3}, {"server_rate": 0.5}):
        forge.agreement(policy=replace(agreement.policy, **changes))
        refused(forge, PolicyError, "its policy is not the one expected")


def test_other_pinned_keys(forge: Forge) -> None:
    policy = forge.transcript.agreement.policy
    forge.agreement(policy=replace(policy, adder_key=SigningKey.generate().public))
    refused(forge, NotAuthorised, "not signed by the pinned")


def test_another_benchmark(forge: Forge) -> None:
    benchmark = copy.deepcopy(forge.transcript.agreement.benchmark)
    benchmark.features[0, 0] += 1 if benchmark.features[0, 0] < 127 else -1
    forge.agreement(benchmark=benchmark)
    refused(forge, PolicyError, "its benchmark is not the one expected")


def test_another_enrolment(forge: Forge) -> None:
    enrolled = forge.transcript.agreement.enrolled
    for keys in (enrolled[1:], tuple(sorted((*enrolled, SigningKey.generate().public)))):
        forge.agreement(enrolled=keys)
        refused(forge, PolicyError, "its enrolment is not the one expected")


def test_other_verifying_keys(forge: Forge) -> None:
    from tests.layers.parties import make_policy
    from zkfed.orchestrator.federation import make_keys

    improvement, noise = make_keys(make_policy())
    for name, key in (("improvement", improvement), ("noise", noise)):
        forge.transcript.agreement = federation().agreement
        forge.agreement(**{name: key.verifying})
        refused(forge, PolicyError, f"its {name}_key is not the one expected")


@pytest.mark.parametrize("party", ["holder", "adder"])
def test_a_noise_commitment_that_was_replaced(forge: Forge, party: str) -> None:
    agreement: Agreement = forge.transcript.agreement
    zero = agreement.backend.encode(agreement.generators.commit(np.zeros(12, np.int64), 1))
    forge.announcement(HONEST, **{f"{party}_commitment": zero})
    refused(forge, ProofInvalid)


def test_a_noise_of_another_round_or_role(forge: Forge) -> None:
    later = Announced.decode(forge.attempt(REPEATED).announced).body
    forge.announcement(HONEST, holder_commitment=later.holder_commitment, holder_proof=later.holder_proof)
    refused(forge, ProofInvalid)
    body = Announced.decode(federation().transcript.rounds[HONEST].attempts[0].announced).body
    forge.transcript.rounds[HONEST] = federation().transcript.rounds[HONEST]
    forge.announcement(HONEST, adder_commitment=body.holder_commitment, adder_proof=body.holder_proof)
    refused(forge, ProofInvalid)


def test_an_announcement_that_is_not_signed_by_both(forge: Forge) -> None:
    value = Announced.decode(forge.attempt(HONEST).announced)
    stranger, body = SigningKey.generate(), value.body.encode()
    for g, k in (
        (stranger.sign("announcement", body), value.by_holder),
        (value.by_adder, stranger.sign("announcement-holder", body)),
        (value.by_adder, forge.cohort.adder_key.sign("announcement-holder", body)),
    ):
        forge.put(HONEST, 0, announced=Announced(value.body, g, k).encode())
        refused(forge, NotAuthorised, "not signed by the pinned")
    other: Announcement = replace(value.body, deadline_s=value.body.deadline_s + 1)
    k = forge.cohort.holder_key.sign("announcement-holder", other.encode())
    forge.put(HONEST, 0, announced=Announced(value.body, value.by_adder, k).encode())
    refused(forge, DecodeError, "signed different bodies")


def test_another_deadline_makes_it_another_announcement(forge: Forge) -> None:
    forge.announcement(HONEST, deadline_s=5)
    refused(forge, Replay, "another round")


# -- anything else ----------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.integers(0, 1), st.data())
def test_no_changed_byte_of_a_record_passes(number: int, data: st.DataObject) -> None:
    """One byte, anywhere: a typed error, also when the adders sign the result."""
    record = federation().transcript.rounds[number]
    encoded = bytearray(record.encode())
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= data.draw(st.integers(1, 255))
    transcript = copy.copy(federation().transcript)
    transcript.rounds = list(transcript.rounds)
    with pytest.raises(ZkfedError):
        check_changed(transcript, number, bytes(encoded))


def check_changed(transcript: Transcript, number: int, encoded: bytes) -> None:
    changed, record = RoundRecord.decode(encoded), transcript.rounds[number]
    if changed.closing == record.closing:
        closing = federation().adder_key.sign("transcript", changed.digest).encode()
        changed = replace(changed, closing=closing)
    transcript.rounds[number] = changed
    check_release(transcript)
