"""Shows that a round about registered rows works, and that its beacon is opened once, by both, over one list.

Every refusal leaves the party as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.layers.own_rows import DRAWN, REGISTERED, OwnCohort, own_policy, own_provers
from tests.layers.parties import NOW_S, Opened, OtherPlaintext, fingerprint, signed
from zkfed.errors import (
    BudgetExceeded,
    CommitmentMismatch,
    DecodeError,
    IntegrityError,
    NotAuthorised,
    PolicyError,
    Replay,
    SignatureInvalid,
    UnsatisfiedConstraint,
    ZkfedError,
)
from zkfed.layers.agreement import draw_groups
from zkfed.layers.beacon import fault_of_beacon, nonce_hash, open_beacon
from zkfed.layers.bridge import check_release
from zkfed.layers.heart import Device
from zkfed.layers.transcript import Transcript
from zkfed.updates.messages import Failure, Reveal
from zkfed.updates.signing import SigningKey
from zkfed.updates.update import ModelUpdate, model_digest


@pytest.fixture
def cohort() -> OwnCohort:
    return OwnCohort()


def refused(party: Any, call: Callable[[], Any], error: type[ZkfedError], text: str) -> None:
    before = fingerprint(party)
    with pytest.raises(error, match=text) as caught:
        call()
    assert type(caught.value) is error
    assert fingerprint(party) == before


def test_two_rounds_are_accepted_and_checked_by_anyone(cohort: OwnCohort, tmp_path: Any) -> None:
    drawn = []
    for _ in range(2):
        opened = cohort.ready()
        drawn.append([d._current().terms.drawn.indices for d in cohort.devices])
        assert signed(cohort.open(opened)).kind == "release"
        cohort.close([opened])
    check_release(cohort.transcript)
    cohort.transcript.save(tmp_path)
    again = Transcript.load(tmp_path)
    check_release(again)
    assert again.agreement.enrolment == cohort.agreement.enrolment
    for indices in [i for per_round in drawn for i in per_round]:
        assert len(set(indices)) == DRAWN
        assert 0 <= min(indices) <= max(indices) < REGISTERED
    assert len({i for per_round in drawn for i in per_round}) > 1  # neither one draw for all nor for ever


def test_a_repeated_attempt_keeps_rows_and_proof() -> None:
    cohort = OwnCohort(devices=4, kinds=[OtherPlaintext])
    first = cohort.ready()
    rounds = [d._current() for d in cohort.devices]
    before = [(r.terms.drawn.indices, r.proof) for r in rounds]
    failure = Failure.decode(signed(cohort.open(first)).body)
    cohort.devices[0].is_honest = True
    opened = [first]
    for group, members in enumerate(draw_groups(failure.nonce, first.members, smallest=2, groups=3)):
        attempt = cohort.announce(2, group, members)
        assert attempt.announced.body.holder_beacon == attempt.announced.body.adder_beacon == b""
        cohort.seal_all(attempt)
        cohort.add(attempt)
        assert signed(cohort.open(attempt)).kind == "release"
        opened.append(attempt)
    assert [(d._current().terms.drawn.indices, d._current().proof) for d in cohort.devices] == before
    cohort.close(opened)
    check_release(cohort.transcript)


# -- the beacon ------------------------------------------------------------------------------------


def reveal(cohort: OwnCohort, key: SigningKey, data: bytes, **changes: Any) -> bytes:
    """Signs a changed opening."""
    return key.sign("reveal", replace(Reveal.decode(signed(data).body), **changes).encode()).encode()


def bad_openings(cohort: OwnCohort, key: SigningKey, good: bytes) -> list[tuple[bytes, type[ZkfedError], str]]:
    body = Reveal.decode(signed(good).body)
    forged = bytearray(good)
    forged[-1] ^= 1
    return [
        (reveal(cohort, key, good, nonce=bytes(32)), CommitmentMismatch, "another beacon nonce"),
        (reveal(cohort, key, good, announcement=bytes(32)), Replay, "another round"),
        (reveal(cohort, cohort.device_keys[0], good), NotAuthorised, "not opened by"),
        (key.sign("receipt", body.encode()).encode(), DecodeError, "another kind"),
        (bytes(forged), SignatureInvalid, "signature"),
        (b"", DecodeError, "signed"),
    ]


def test_the_key_holder_refuses_an_opening_that_does_not_fit(cohort: OwnCohort) -> None:
    cohort.committed()
    good, commits = cohort.adder.reveal(), cohort.adder.commits
    for bad, error, text in bad_openings(cohort, cohort.adder_key, good):
        refused(cohort.holder, lambda bad=bad: cohort.holder.reveal(bad, commits), error, text)
    own = reveal(cohort, cohort.holder_key, good)
    refused(cohort.holder, lambda: cohort.holder.reveal(own, commits), NotAuthorised, "the adders")
    assert cohort.holder.reveal(good, commits) == cohort.holder.reveal(good, commits)


def test_the_key_holder_opens_over_one_list_of_true_commits(cohort: OwnCohort) -> None:
    opened = cohort.committed()
    good, commits = cohort.adder.reveal(), cohort.adder.commits
    listed = Reveal.decode(signed(good).body).commits

    def ask(names: tuple[bytes, ...], messages: tuple[bytes, ...]) -> bytes:
        return cohort.holder.reveal(reveal(cohort, cohort.adder_key, good, commits=names), messages)

    refused(cohort.holder, lambda: ask(listed, commits[1:]), DecodeError, "not the list")
    refused(cohort.holder, lambda: ask(listed[1:], commits), DecodeError, "not the list")
    stranger = SigningKey.generate().sign("commit", signed(commits[0]).body)
    names = tuple(sorted((*listed, stranger.digest)))
    by_name = dict(zip(listed, commits, strict=True)) | {stranger.digest: stranger.encode()}
    refused(cohort.holder, lambda: ask(names, tuple(by_name[n] for n in names)), NotAuthorised, "not enrolled")
    key = cohort.device_keys[0]
    other = next(c for c in commits if signed(c).signer != key.public)
    copied = key.sign("commit", signed(other).body)  # a second commit of one client, with a copied C_D
    names = tuple(sorted({*listed, copied.digest}))
    by_name[copied.digest] = copied.encode()
    refused(cohort.holder, lambda: ask(names, tuple(by_name[n] for n in names)), Replay, "twice|same C_D")
    ask(listed[1:], commits[1:])
    refused(cohort.holder, lambda: ask(listed, commits), Replay, "another commit list")
    assert opened.announced.body.holder_beacon != opened.announced.body.adder_beacon


def test_the_adders_refuse_an_opening_that_does_not_fit(cohort: OwnCohort) -> None:
    cohort.committed()
    refused(cohort.adder, lambda: cohort.adder.accept_beacon(b""), PolicyError, "the adders open the beacon first")
    good = cohort.holder.reveal(cohort.adder.reveal(), cohort.adder.commits)
    for bad, error, text in bad_openings(cohort, cohort.holder_key, good):
        refused(cohort.adder, lambda bad=bad: cohort.adder.accept_beacon(bad), error, text)
    listed = Reveal.decode(signed(good).body).commits
    other = reveal(cohort, cohort.holder_key, good, commits=listed[1:])
    refused(cohort.adder, lambda: cohort.adder.accept_beacon(other), DecodeError, "different commit lists")
    cohort.adder.accept_beacon(good)


def test_nothing_is_sealed_before_the_beacon(cohort: OwnCohort) -> None:
    opened = cohort.committed()
    device = cohort.devices[0]
    refused(device, lambda: device.seal(opened.announcement, opened.key), PolicyError, "beacon is not open")
    cohort.open_beacon()
    refused(device, lambda: device.seal(opened.announcement, opened.key), PolicyError, "beacon is not open")


def test_the_adders_take_no_update_before_the_beacon() -> None:
    ahead = OwnCohort()
    opened = ahead.start()
    message = ahead.devices[0].seal(opened.announcement, opened.key)
    ahead.adder._beacon = None  # as if the key holder had not answered
    verdict = ahead.adder.receive_sealed(message)
    assert (verdict.is_accepted, verdict.code) == (False, "policy")
    assert "beacon is not open" in verdict.reason


def test_a_device_refuses_a_beacon_that_is_not_its_rounds(cohort: OwnCohort) -> None:
    cohort.committed()
    adder, holder = cohort.open_beacon()
    device = cohort.devices[0]
    for bad, error, text in bad_openings(cohort, cohort.holder_key, holder):
        refused(device, lambda bad=bad: device.accept_beacon((adder, bad)), error, text)
    for bad, error, text in bad_openings(cohort, cohort.adder_key, adder):
        refused(device, lambda bad=bad: device.accept_beacon((bad, holder)), error, text)
    refused(device, lambda: device.accept_beacon((adder,)), NotAuthorised, "the key holder did not open")
    refused(device, lambda: device.accept_beacon(()), NotAuthorised, "the adders did not open")
    refused(device, lambda: device.accept_beacon((adder, holder, holder)), DecodeError, "beacon of two")
    without = tuple(c for c in Reveal.decode(signed(adder).body).commits if c != device._current().commit.digest)
    left_out = (
        reveal(cohort, cohort.adder_key, adder, commits=without),
        reveal(cohort, cohort.holder_key, holder, commits=without),
    )
    refused(device, lambda: device.accept_beacon(left_out), NotAuthorised, "without this device's commit")


def test_a_device_answers_about_one_draw_a_round(cohort: OwnCohort) -> None:
    cohort.start()
    device, (adder, holder) = cohort.devices[0], cohort.reveals
    own = (device._current().commit.digest,)
    second = (
        reveal(cohort, cohort.adder_key, adder, commits=own),
        reveal(cohort, cohort.holder_key, holder, commits=own),
    )
    refused(device, lambda: device.accept_beacon(second), Replay, "over another commit list")
    device.accept_beacon(cohort.reveals)


def test_a_device_counts_its_answers_and_stops() -> None:
    cohort = OwnCohort(own_policy(acceptance_bits_max=1))
    cohort.honest_round()
    opened = cohort.announce()
    refused(cohort.devices[0], lambda: cohort.commit(0, opened), BudgetExceeded, "as often as the policy allows")
    # Nor does one whose process was started again in between.
    update = cohort.update(0)
    cohort.devices[0] = Device(cohort.agreement, cohort.device_keys[0], own_provers()[0], rows=cohort.rows[0])
    refused(
        cohort.devices[0], lambda: cohort.commit(0, opened, update), BudgetExceeded, "as often as the policy allows"
    )


def test_an_update_that_does_not_improve_the_drawn_rows_sits_out(cohort: OwnCohort) -> None:
    opened = cohort.announce()
    worse = ModelUpdate(-cohort.update(0).integers, model_digest(cohort.base))
    assert (worse.integers != 0).any()
    cohort.adder.receive_commit(cohort.commit(0, opened, worse), now_s=NOW_S)  # nobody can tell yet
    cohort.open_beacon()
    with pytest.raises(UnsatisfiedConstraint, match="does not improve the drawn rows"):
        cohort.devices[0].accept_beacon(cohort.reveals)
    with pytest.raises(UnsatisfiedConstraint):
        cohort.devices[0].seal(opened.announcement, opened.key)


def test_an_update_above_the_clip_is_not_committed(cohort: OwnCohort) -> None:
    long = ModelUpdate(np.full(12, (1 << 15) - 1), model_digest(cohort.base))
    opened = cohort.announce()
    with pytest.raises(UnsatisfiedConstraint, match="norm"):
        cohort.commit(0, opened, long)


# -- the record ------------------------------------------------------------------------------------


def stopped(cohort: OwnCohort, opened: Opened, reveals: tuple[bytes, ...]) -> str:
    """Closes a round without a sum and returns what its record says about the beacon."""
    cohort.reveals = reveals
    cohort.close([opened])
    check_release(cohort.transcript)
    record = cohort.transcript.rounds[-1]
    return fault_of_beacon(cohort.agreement.policy, opened.announced, record.reveals)


def test_the_record_names_who_stopped_a_round() -> None:
    cohort = OwnCohort()
    assert "the adders did not open" in stopped(cohort, cohort.committed(), ())
    opened = cohort.committed()
    assert "the key holder did not open" in stopped(cohort, opened, (cohort.adder.reveal(),))
    opened = cohort.committed()
    good = cohort.adder.reveal()
    bad = reveal(cohort, cohort.holder_key, good, nonce=bytes(32))
    assert "the key holder opened another beacon nonce" in stopped(cohort, opened, (good, bad))
    assert (cohort.base == 0).all()
    opened = cohort.ready()
    cohort.open(opened)
    cohort.close([opened])
    assert fault_of_beacon(cohort.agreement.policy, opened.announced, cohort.reveals) == ""
    check_release(cohort.transcript)


def test_a_record_whose_beacon_does_not_fit_is_refused() -> None:
    cohort = OwnCohort()
    opened = cohort.honest_round()
    adder, holder = cohort.reveals
    shorter = Reveal.decode(signed(adder).body).commits[1:]
    both = (
        reveal(cohort, cohort.adder_key, adder, commits=shorter),
        reveal(cohort, cohort.holder_key, holder, commits=shorter),
    )
    cases: list[tuple[tuple[bytes, ...], type[ZkfedError], str]] = [
        ((), NotAuthorised, "the adders did not open"),
        ((adder,), NotAuthorised, "the key holder did not open"),
        ((holder, adder), NotAuthorised, "not opened by the adders"),
        ((adder, reveal(cohort, cohort.holder_key, holder, nonce=bytes(32))), CommitmentMismatch, "another beacon"),
        (both, IntegrityError, "over another commit list"),
    ]
    true = cohort.transcript.rounds[-1]
    for reveals, error, text in cases:
        forged = replace(true, reveals=reveals)
        closing = cohort.adder_key.sign("transcript", forged.digest).encode()
        cohort.transcript.rounds[-1] = replace(forged, closing=closing)
        with pytest.raises(error, match=text):
            check_release(cohort.transcript)
    cohort.transcript.rounds[-1] = replace(true, reveals=(adder, holder))
    check_release(cohort.transcript)
    assert true.digest != replace(true, reveals=both).digest
    assert open_beacon(cohort.agreement.policy, opened.announced, (adder, holder)).commits


def test_a_record_of_more_rounds_than_answers_allowed_is_refused() -> None:
    cohort = OwnCohort(own_policy(acceptance_bits_max=1))
    cohort.honest_round()
    check_release(cohort.transcript)
    opened = cohort.announce()
    cohort.reveals = ()
    cohort.close([opened])
    with pytest.raises(PolicyError, match="fewer rounds"):
        check_release(cohort.transcript)


def test_the_role_stands_in_the_hash() -> None:
    assert nonce_hash("adder", bytes(32)) != nonce_hash("holder", bytes(32))


def test_a_device_without_rows_or_record_is_refused() -> None:
    cohort = OwnCohort(unregistered=[1])
    statement = cohort.devices[0]._prover
    with pytest.raises(NotAuthorised, match="has not registered"):
        Device(cohort.agreement, cohort.device_keys[1], statement, rows=cohort.rows[0])
    with pytest.raises(PolicyError, match="registered rows"):
        Device(cohort.agreement, cohort.device_keys[0], statement)
