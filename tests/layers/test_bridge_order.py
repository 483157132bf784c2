"""`check_release` refuses records whose rounds, groups or public facts are not the true ones.

Like in test_bridge.py, everybody who would have to conspire signs each forgery.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.layers.forge import HONEST, REPEATED, Forge, federation, refused, released
from tests.layers.parties import Cohort, OtherPlaintext, make_policy
from zkfed.errors import (
    DecodeError,
    IntegrityError,
    NotAuthorised,
    PolicyError,
    ProofInvalid,
    Replay,
    ZkfedError,
)
from zkfed.layers import polis
from zkfed.layers.agreement import Agreement, Announced, draw_groups
from zkfed.layers.bridge import check_release
from zkfed.layers.noise import NoiseVector
from zkfed.layers.transcript import RoundRecord, Transcript
from zkfed.orchestrator.federation import make_keys
from zkfed.updates.messages import Announcement
from zkfed.updates.signing import SigningKey

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


def test_a_group_that_the_nonce_did_not_draw(forge: Forge) -> None:
    # Few members have few partitions: a nonce may draw the announced groups again by chance.
    policy, members = forge.cohort.agreement.policy, forge.members(REPEATED)
    announced = {forge.members(REPEATED, index) for index in released(forge)}
    nonce = next(
        nonce
        for nonce in (bytes([i]) * 32 for i in range(256))
        if not announced <= {*draw_groups(nonce, members, smallest=policy.min_clients, groups=policy.groups)}
    )
    forge.failure(nonce=nonce)
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


# -- noises and keys are fresh -------------------------------------------------------------------


def test_a_noise_that_the_key_holder_uses_in_two_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = Cohort()
    noise = NoiseVector.draw(cohort.agreement)
    monkeypatch.setattr(NoiseVector, "draw", classmethod(lambda cls, agreement: noise))
    monkeypatch.setattr(polis, "NoiseVector", FreshNoise)
    cohort.honest_round()
    check_release(cohort.transcript)
    cohort.honest_round()  # with a new proof, which holds
    with pytest.raises(Replay, match="a noise is used twice"):
        check_release(cohort.transcript)


def test_one_noise_of_both_parties(monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = Cohort()
    noise = NoiseVector.draw(cohort.agreement)
    monkeypatch.setattr(NoiseVector, "draw", classmethod(lambda cls, agreement: noise))
    cohort.honest_round()
    with pytest.raises(Replay, match="a noise is used twice"):
        check_release(cohort.transcript)


draw_honestly = NoiseVector.draw


class FreshNoise:
    """The honest draw, for the party that is not meant."""

    @staticmethod
    def draw(agreement: Agreement) -> NoiseVector:
        return draw_honestly(agreement)


def test_a_release_without_a_list(forge: Forge) -> None:
    index = released(forge)[-1]
    forge.put(REPEATED, index, aggregation=b"")
    refused(forge, DecodeError, "no aggregation")
    forge.put(REPEATED, index, outcome=b"")
    refused(forge, DecodeError, "no aggregation")
    forge.put(REPEATED, index, seals=())
    check_release(forge.transcript)  # an attempt that broke off: nothing of it counts


# -- numbers that adders and key holder agree on ---------------------------------------------------


def test_a_round_with_another_number() -> None:
    cohort = Cohort()
    cohort.round = cohort.holder._round = cohort.adder._round = 2
    cohort.honest_round()
    with pytest.raises(PolicyError, match="attempt 1 of round 2 is out of order"):
        check_release(cohort.transcript)


def test_an_attempt_that_was_left_out() -> None:
    cohort = Cohort(make_policy(attempts=3), devices=2, kinds=[OtherPlaintext])
    first = cohort.ready()
    cohort.open(first)
    cohort.holder._groups[3] = cohort.holder._groups[2]
    (members,) = cohort.holder._groups[2]
    later = cohort.announce(3, 0, members)
    cohort.seal_all(later)
    cohort.add(later)
    cohort.open(later)
    cohort.close([first, later])
    with pytest.raises(PolicyError, match="attempt 3 of round 1 is out of order"):
        check_release(cohort.transcript)
