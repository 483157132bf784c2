"""Attack: take part with rows that one has not registered oneself, or register a second time.

A record is signed by its client, and its proof is bound to that key, policy and epoch; one client has
one record, and one row commitment has one client. Who has no record cannot commit, nor be in a sum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.layers.own_rows import OwnCohort, own_policy, own_provers
from tests.layers.parties import NOW_S, fingerprint, signed
from zkfed.errors import (
    DecodeError,
    KeyRefused,
    NotAuthorised,
    PolicyError,
    ProofInvalid,
    Replay,
    SignatureInvalid,
    ZkfedError,
)
from zkfed.layers.agreement import Agreement
from zkfed.layers.bridge import check_release
from zkfed.layers.registry import Registry
from zkfed.statements.improvement import Benchmark
from zkfed.statements.registration import RegistrationRecord
from zkfed.updates.messages import Commit
from zkfed.updates.signing import SigningKey


@pytest.fixture(scope="module")
def cohort() -> OwnCohort:
    return OwnCohort()


def record_of(data: bytes) -> RegistrationRecord:
    return RegistrationRecord.decode(signed(data).body)


def resigned(key: SigningKey, record: RegistrationRecord, **changes: Any) -> bytes:
    return key.sign("registration", replace(record, **changes).encode()).encode()


def refused(registry: Registry, data: bytes, error: type[ZkfedError], text: str | None = None) -> None:
    before = fingerprint(registry)
    with pytest.raises(error, match=text) as caught:
        registry.receive(data)
    assert type(caught.value) is error
    assert fingerprint(registry) == before


def test_a_record_is_its_clients_own(cohort: OwnCohort) -> None:
    registry, victim = cohort.new_registry(), record_of(cohort.registry.records[0])
    thief = next(k for k in cohort.device_keys if k.public != victim.signer)
    refused(registry, resigned(thief, victim), NotAuthorised, "another client's registration")
    refused(registry, resigned(thief, victim, signer=thief.public), ProofInvalid)
    stranger = SigningKey.generate()
    refused(registry, resigned(stranger, victim, signer=stranger.public), NotAuthorised, "not enrolled")
    registry.receive(cohort.registry.records[0])
    assert list(registry) == [victim.signer]


def test_a_record_is_for_one_policy_and_epoch(cohort: OwnCohort) -> None:
    registry, data = cohort.new_registry(), cohort.registry.records[0]
    key = next(k for k in cohort.device_keys if k.public == signed(data).signer)
    refused(registry, resigned(key, record_of(data), epoch=2), ProofInvalid, "another policy or epoch")
    refused(registry, resigned(key, record_of(data), policy=bytes(32)), ProofInvalid, "another policy or epoch")
    other = Registry(
        own_policy(epsilon=1.0).pinned(adder_key=cohort.adder_key.public, holder_key=cohort.holder_key.public),
        [key.public], own_provers()[2].key.verifying,
    )  # fmt: skip
    refused(other, data, ProofInvalid, "another policy or epoch")


def test_a_client_registers_once(cohort: OwnCohort) -> None:
    registry = cohort.new_registry()
    first = cohort.registry.records[0]
    index = next(i for i, k in enumerate(cohort.device_keys) if k.public == signed(first).signer)
    kept = cohort.rows[index]
    assert registry.receive(first) == registry.receive(first)
    refused(registry, cohort.register(index, cohort.quantised(index)), Replay, "other rows in this epoch")
    cohort.rows[index] = kept


def test_two_clients_cannot_register_one_commitment(cohort: OwnCohort) -> None:
    registry, shared = cohort.new_registry(), cohort.quantised(0)
    kept = list(cohort.rows)
    registry.receive(cohort.register(0, shared))
    # With the openings, which it was given, the second client's proof holds: the registry alone refuses.
    copied = cohort.register(1, shared)
    cohort.new_registry().receive(copied)
    refused(registry, copied, Replay, "of another client")
    cohort.rows[:] = kept


def test_nothing_is_registered_after_the_epoch(cohort: OwnCohort) -> None:
    registry = cohort.new_registry()
    registry.close()
    refused(registry, cohort.registry.records[0], PolicyError, "epoch has closed")


def test_what_is_no_signed_record_is_refused(cohort: OwnCohort) -> None:
    registry, data = cohort.new_registry(), cohort.registry.records[0]
    bad = bytearray(data)
    bad[-1] ^= 1
    refused(registry, bytes(bad), SignatureInvalid, "signature")
    refused(registry, b"", DecodeError, "signed")
    key = next(k for k in cohort.device_keys if k.public == signed(data).signer)
    refused(registry, key.sign("registration", b"x").encode(), DecodeError, "registration-record")
    record = record_of(data)
    size = len(record.commitments) // len(cohort.quantised(0))
    twice = record.commitments[:size] * 2 + record.commitments[2 * size :]
    refused(registry, resigned(key, record, commitments=twice), DecodeError, "equal")
    swapped = record.commitments[size : 2 * size] + record.commitments[:size] + record.commitments[2 * size :]
    refused(registry, resigned(key, record, commitments=swapped), ProofInvalid)
    refused(registry, resigned(key, record, proof=record.proof[:-1]), DecodeError)


def test_who_has_not_registered_cannot_take_part() -> None:
    cohort = OwnCohort(unregistered=[0])
    opened = cohort.announce()
    honest = cohort.send_commit(0, opened)
    body = Commit.decode(signed(cohort.commits[honest]).body)
    point = cohort.agreement.backend.encode(cohort.agreement.generators.commit(cohort.update(0).integers, 7))
    ghost = cohort.device_keys[0].sign("commit", replace(body, commitment=point).encode())
    calls: list[Callable[[], Any]] = [
        lambda: cohort.adder.receive_commit(ghost.encode(), now_s=NOW_S),
        lambda: cohort.agreement.own_terms(
            cohort.base, bytes(32), client=cohort.device_keys[0].public, commitment=point
        ),
    ]
    for call in calls:
        before = fingerprint(cohort.adder)
        with pytest.raises(NotAuthorised, match="has not registered"):
            call()
        assert fingerprint(cohort.adder) == before
    # A record of adders that took the commit all the same.
    cohort.send_commit(1, opened)
    cohort.open_beacon()
    for device in cohort.devices:
        device.accept_beacon(cohort.reveals)
    cohort.seal_all(opened)
    cohort.add(opened)
    cohort.open(opened)
    record = cohort.close([opened])
    check_release(cohort.transcript)
    commits = sorted((*record.commits, ghost.encode()), key=lambda c: signed(c).digest)
    forged = replace(record, commits=tuple(commits))
    closing = cohort.adder_key.sign("transcript", forged.digest).encode()
    cohort.transcript.rounds[0] = replace(forged, closing=closing)
    with pytest.raises(NotAuthorised, match="has not registered"):
        check_release(cohort.transcript)


def test_an_agreement_needs_the_closed_registry_of_its_own_policy(cohort: OwnCohort) -> None:
    agreement = cohort.agreement

    def build(registry: Registry | None, **changes: Any) -> Agreement:
        return replace(agreement, registry=registry, **changes)

    for registry in (None, cohort.new_registry()):
        with pytest.raises(PolicyError, match="registry"):
            build(registry)
    other = OwnCohort()
    with pytest.raises(PolicyError, match="another policy"):
        build(other.registry)
    with pytest.raises(PolicyError, match="not enrolled"):
        build(cohort.registry, enrolled=agreement.enrolled[1:])
    with pytest.raises(DecodeError, match="benchmark"):
        build(cohort.registry, benchmark=Benchmark.of(cohort.policy.model, [[0.0, 0.0, 0.0]], [0]))
    wrong = own_provers()[1].key.verifying
    with pytest.raises(KeyRefused, match="another circuit"):
        Registry(cohort.policy, agreement.enrolled, wrong)
    with pytest.raises(KeyRefused, match="development key"):
        Registry(replace(cohort.policy, setup="production"), agreement.enrolled, own_provers()[2].key.verifying)
    assert build(cohort.registry).enrolment == agreement.enrolment


def test_the_announcement_names_every_record(cohort: OwnCohort) -> None:
    fewer = Registry.of(cohort.policy, cohort.agreement.enrolled, cohort.registry.key, cohort.registry.records[1:])
    assert replace(cohort.agreement, registry=fewer).enrolment != cohort.agreement.enrolment
