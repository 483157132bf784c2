"""Attack: use a proof of S1 a second time: in another round, for another client, as another statement.

ctx holds kind, round, client, C_D, registration, drawn rows and beacon, so a proof belongs to one of
each. The nullifier names the kind too: a proof counts once a round and client.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.layers.own_rows import OwnCohort
from tests.layers.parties import Cohort, Opened, signed
from zkfed.errors import ProofInvalid
from zkfed.groth16.proof import Proof
from zkfed.groth16.verify import verify
from zkfed.layers.bridge import check_release
from zkfed.updates.messages import Seal
from zkfed.updates.sealed import SealedUpdate


def with_proof(cohort: Cohort, opened: Opened, index: int, proof: bytes) -> bytes:
    """Returns a device's sealed update with another proof, signed by the device."""
    update = SealedUpdate.decode(cohort.devices[index].seal(opened.announcement, opened.key))
    key = next(k for k in cohort.device_keys if k.public == update.signed.signer)
    return SealedUpdate(key.sign("seal", replace(update.seal, proof=proof).encode()), update.outer).encode()


def turned_down(cohort: Cohort, message: bytes) -> None:
    verdict = cohort.adder.receive_sealed(message)
    assert (verdict.is_accepted, verdict.code) == (False, "proof-invalid"), verdict


def test_the_proof_of_another_round_is_refused() -> None:
    cohort = OwnCohort()
    cohort.honest_round()
    old = cohort.devices[0]._current().proof
    opened = cohort.start()
    turned_down(cohort, with_proof(cohort, opened, 0, old))
    assert cohort.adder.receive_sealed(cohort.devices[0].seal(opened.announcement, opened.key)).is_accepted


def test_the_proof_of_another_client_is_refused() -> None:
    cohort = OwnCohort()
    opened = cohort.start()
    other = SealedUpdate.decode(cohort.devices[1].seal(opened.announcement, opened.key)).seal.proof
    turned_down(cohort, with_proof(cohort, opened, 0, other))
    assert cohort.adder.receive_sealed(cohort.devices[0].seal(opened.announcement, opened.key)).is_accepted


def test_a_record_with_the_proof_of_another_round_is_refused() -> None:
    cohort = OwnCohort()
    first = cohort.honest_round()
    cohort.honest_round()
    old = {signed(s).signer: Seal.decode(signed(s).body).proof for s in first.seals}
    record = cohort.transcript.rounds[1]
    attempt = record.attempts[0]
    seals = []
    for data in attempt.seals:
        key = next(k for k in cohort.device_keys if k.public == signed(data).signer)
        body = replace(Seal.decode(signed(data).body), proof=old[key.public])
        seals.append(key.sign("seal", body.encode()).encode())
    forged = replace(record, attempts=(replace(attempt, seals=tuple(seals)),))
    closing = cohort.adder_key.sign("transcript", forged.digest).encode()
    cohort.transcript.rounds[1] = replace(forged, closing=closing)
    with pytest.raises(ProofInvalid, match="proofs of"):
        check_release(cohort.transcript)


def test_a_proof_of_s1_is_no_proof_of_another_statement() -> None:
    cohort = OwnCohort()
    opened = cohort.start()
    device, agreement = cohort.devices[0], cohort.agreement
    device.seal(opened.announcement, opened.key)
    current = device._current()
    proof = Proof.decode(agreement.backend, agreement.improvement.layout, current.proof)
    instance = agreement.improvement_instance(current.terms, current.first, device.public_key, current.point)
    verify(agreement.improvement, instance, proof)
    context = current.terms.context(
        policy=agreement.policy.digest, announcement=current.first.digest, signer=device.public_key,
        commitment=agreement.backend.encode(current.point),
    )  # fmt: skip
    assert context.digest(agreement.improvement) == instance.context
    changes = {
        "kind": "S2", "policy": bytes(32), "announcement": bytes(32), "signer": cohort.devices[1].public_key,
        "data": bytes(32), "beacon": bytes(32),
    }  # fmt: skip
    for name, value in changes.items():
        other = replace(context, **{name: value}).digest(agreement.improvement)
        with pytest.raises(ProofInvalid):
            verify(agreement.improvement, replace(instance, context=other), proof)
    # Nor does it count in a round about a benchmark, whose circuit and keys are others.
    benchmark = Cohort()
    turned_down(benchmark, with_proof(benchmark, benchmark.start(), 0, current.proof))
