"""A device takes part only in the round that it was enrolled for, and gives away one sum an attempt.

It believes nobody: it compares every announcement with its own base model, benchmark, policy and keys,
and checks that both noises are proven before it encrypts anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.layers.parties import NOW_S, Cohort, Opened, OtherPlaintext, fingerprint, provers, signed
from zkfed.errors import (
    DecodeError,
    IntegrityError,
    NotAuthorised,
    PolicyError,
    ProofInvalid,
    Replay,
    SignatureInvalid,
    UnsatisfiedConstraint,
    ZkfedError,
)
from zkfed.he.keys import SecretKey
from zkfed.layers.agreement import Announced, draw_groups
from zkfed.layers.heart import Device
from zkfed.updates.messages import Failure, Receipt
from zkfed.updates.sealed import SealedUpdate
from zkfed.updates.signing import SigningKey
from zkfed.updates.update import ModelUpdate, model_digest


@pytest.fixture(scope="module")
def announced() -> tuple[Cohort, Opened]:
    """A round that is announced, in which devices 0 and 1 have committed and 2 has not."""
    cohort = Cohort()
    opened = cohort.announce()
    for index in (0, 1):
        cohort.send_commit(index, opened)
    return cohort, opened


def refused(device: Device, call: Callable[[], Any], error: type[Exception], text: str | None = None) -> None:
    before = fingerprint(device)
    with pytest.raises(error, match=text) as caught:
        call()
    assert type(caught.value) is error
    assert fingerprint(device) == before


def announcement(cohort: Cohort, opened: Opened, signers: tuple[SigningKey, ...] = (), **changes: Any) -> bytes:
    """Changes an announcement; both pinned parties sign the result, unless others are given."""
    body = replace(opened.announced.body, **changes)
    g, k = signers or (cohort.adder_key, cohort.holder_key)
    return Announced(body, g.sign("announcement", body.encode()), k.sign("announcement-holder", body.encode())).encode()


def test_announcements_that_a_device_does_not_expect(announced: tuple[Cohort, Opened]) -> None:
    cohort, opened = announced
    device, update, body = cohort.devices[2], cohort.update(2), opened.announced.body
    stranger = SigningKey.generate()

    def commit(data: bytes) -> Callable[[], bytes]:
        return lambda: device.commit(data, update, base=cohort.base, previous=bytes(32))

    for signers in ((stranger, cohort.holder_key), (cohort.adder_key, stranger), (cohort.holder_key, cohort.adder_key)):
        refused(device, commit(announcement(cohort, opened, signers)), NotAuthorised, "pinned adders and key holder")
    for changes, text in (
        ({"policy": bytes(32)}, "its policy"),
        ({"base": bytes(32)}, "its base"),
        ({"previous": b"\1" * 32}, "its previous"),
        ({"benchmark": bytes(32)}, "its benchmark"),
        ({"enrolment": bytes(32)}, "its enrolment"),
        ({"improvement_key": bytes(32)}, "its improvement_key"),
        ({"noise_key": bytes(32)}, "its noise_key"),
        ({"attempt": 2, "first": b"\1" * 32, "members": (bytes(32),)}, "first attempt of a round"),
        ({"attempt": 3, "first": b"\1" * 32, "members": (bytes(32),)}, "the policy allows 2"),
    ):
        # Attempt 2 has other noises, whose proofs name the attempt: see the error that comes first.
        error: type[ZkfedError] = ProofInvalid if changes.get("attempt") == 2 else PolicyError
        refused(device, commit(announcement(cohort, opened, **changes)), error, None if error is ProofInvalid else text)
    broken = opened.announcement[:-1] + bytes([opened.announcement[-1] ^ 1])
    refused(device, commit(broken), SignatureInvalid)
    for data in (b"", opened.announcement[:-1], opened.announced.by_adder.encode()):
        refused(device, commit(data), DecodeError)
    for changes in (
        {"holder_commitment": body.adder_commitment},
        {"adder_commitment": body.holder_commitment},
        {"adder_commitment": body.holder_commitment, "adder_proof": body.holder_proof},
        {"holder_commitment": body.adder_commitment, "holder_proof": body.adder_proof},
        {"encryption_key": bytes(32)},
        {"round": 2},
    ):
        refused(device, commit(announcement(cohort, opened, **changes)), ProofInvalid)
    for changes in ({"holder_proof": b""}, {"adder_proof": body.adder_proof[1:]}, {"holder_commitment": b"x"}):
        refused(device, commit(announcement(cohort, opened, **changes)), DecodeError)


def test_a_device_knows_its_own_base_model_and_history(announced: tuple[Cohort, Opened]) -> None:
    cohort, opened = announced
    device, update = cohort.devices[2], cohort.update(2)
    other = cohort.base.copy()
    other[0, 0] = 1
    refused(
        device, lambda: device.commit(opened.announcement, update, base=other, previous=bytes(32)),
        PolicyError, "its base",
    )  # fmt: skip
    refused(
        device, lambda: device.commit(opened.announcement, update, base=cohort.base, previous=b"\1" * 32),
        PolicyError, "its previous",
    )  # fmt: skip
    foreign = ModelUpdate(update.integers, model_digest(other))
    refused(device, lambda: cohort.commit(2, opened, foreign), IntegrityError, "another base model")


def test_an_update_that_does_not_satisfy_the_statement_is_not_committed(announced: tuple[Cohort, Opened]) -> None:
    cohort, opened = announced
    device, update = cohort.devices[2], cohort.update(2)
    worse = ModelUpdate(-update.integers, update.base)
    refused(device, lambda: cohort.commit(2, opened, worse), UnsatisfiedConstraint, "does not improve")
    large = ModelUpdate(np.full_like(update.integers, 1 << 14), update.base)
    refused(device, lambda: cohort.commit(2, opened, large), UnsatisfiedConstraint, "norm is above")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(announced: tuple[Cohort, Opened], value: float) -> None:
    cohort, _ = announced
    weights = np.zeros((4, 3))
    weights[1, 2] = value
    refused(cohort.devices[2], lambda: cohort.devices[2].quantise(cohort.base, weights), ValueError)


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (12,), (4, 3, 1), ()])
def test_weights_of_another_shape(announced: tuple[Cohort, Opened], shape: tuple[int, ...]) -> None:
    cohort, _ = announced
    with pytest.raises(ValueError, match="shape"):
        cohort.devices[2].quantise(cohort.base, np.zeros(shape))


def test_a_device_commits_once_a_round(announced: tuple[Cohort, Opened]) -> None:
    cohort, opened = announced
    device = cohort.devices[1]
    message = device._current().commit.encode()
    assert cohort.commit(1, opened) == message  # a lost message is sent again as it was
    changed = ModelUpdate(cohort.update(1).integers - 1, cohort.update(1).base)
    refused(device, lambda: cohort.commit(1, opened, changed), Replay, "already")
    # Another announcement of the same round, by adders and key holder together: it would open a second sum.
    again = announcement(cohort, opened, deadline_s=1)
    refused(
        device, lambda: device.commit(again, cohort.update(1), base=cohort.base, previous=bytes(32)), Replay, "already"
    )
    refused(device, lambda: device.seal(again, opened.key), Replay, "another one than")


def test_receipts(announced: tuple[Cohort, Opened]) -> None:
    cohort, opened = announced
    device = cohort.devices[0]
    mine = device._current().commit
    good = cohort.adder.receive_commit(mine.encode(), now_s=NOW_S)
    device.accept_receipt(good)
    stranger = SigningKey.generate().sign("receipt", Receipt(mine.digest).encode()).encode()
    refused(device, lambda: device.accept_receipt(stranger), IntegrityError, "pinned adders")
    other = cohort.adder.receive_commit(cohort.devices[1]._current().commit.encode(), now_s=NOW_S)
    refused(device, lambda: device.accept_receipt(other), IntegrityError, "another commit")
    refused(device, lambda: device.accept_receipt(opened.announcement), DecodeError)
    refused(device, lambda: device.accept_receipt(good[:-1] + bytes([good[-1] ^ 1])), SignatureInvalid)


def test_the_encryption_key_is_the_announced_one(announced: tuple[Cohort, Opened]) -> None:
    cohort, opened = announced
    device = cohort.devices[1]
    other = SecretKey.generate(cohort.agreement.encryption).public.to_bytes()
    refused(device, lambda: device.seal(opened.announcement, other), PolicyError, "not the announced one")
    for key in (b"", opened.key[:-1], opened.key + b"\0"):
        refused(device, lambda k=key: device.seal(opened.announcement, k), DecodeError)  # type: ignore[misc]
    SealedUpdate.decode(device.seal(opened.announcement, opened.key))


def test_nothing_is_sealed_before_a_commit(announced: tuple[Cohort, Opened]) -> None:
    cohort, opened = announced
    refused(cohort.devices[2], lambda: cohort.devices[2].seal(opened.announcement, opened.key), PolicyError, "has not")
    refused(cohort.devices[2], lambda: cohort.devices[2].accept_receipt(b""), DecodeError)


def test_a_repeated_attempt_has_the_same_proof_and_everything_else_fresh() -> None:
    cohort = Cohort(devices=5, kinds=[OtherPlaintext])
    first = cohort.ready()
    failure = Failure.decode(signed(cohort.open(first)).body)
    groups = draw_groups(failure.nonce, first.members, smallest=2, groups=2)
    opened = [cohort.announce(2, g, members) for g, members in enumerate(groups)]
    for attempt in opened:
        cohort.seal_all(attempt)
    bodies = [o.announced.body for o in (first, *opened)]
    for name in ("encryption_key", "holder_commitment", "adder_commitment", "holder_proof", "adder_proof"):
        assert len({getattr(b, name) for b in bodies}) == len(bodies)
    before = {s.seal.commit: s for s in map(SealedUpdate.decode, first.sealed)}
    again = [SealedUpdate.decode(s) for o in opened for s in o.sealed]
    assert len(again) == len(before) == 5
    for update in again:
        old = before[update.seal.commit]
        assert update.seal.proof == old.seal.proof
        assert update.seal.ciphertext != old.seal.ciphertext
        assert update.seal.encryption_key != old.seal.encryption_key

    members = groups[0]
    device = next(d for d in cohort.devices if d._current().commit.digest in members)
    stay = next(d for d in cohort.devices if d._current().commit.digest not in members)
    refused(stay, lambda: stay.seal(opened[0].announcement, opened[0].key), PolicyError, "no member")
    refused(device, lambda: device.seal(opened[1].announcement, opened[1].key), PolicyError, "no member")
    assert device.seal(opened[0].announcement, opened[0].key) in opened[0].sealed  # again as it was
    fresh = Device(cohort.agreement, cohort.device_keys[0], provers()[0])
    late = opened[0].announcement
    update = cohort.update(0)
    refused(
        fresh, lambda: fresh.commit(late, update, base=cohort.base, previous=bytes(32)), PolicyError, "first attempt"
    )
    # Adders and key holder together put it into a second group, whose noise they prove correctly.
    cohort.holder._groups[2] = [*groups, members]
    cohort.adder._announced.clear()
    doubled = cohort.announce(2, 2, members)
    refused(device, lambda: device.seal(doubled.announcement, doubled.key), Replay, "for another group")
    elsewhere = announcement(cohort, opened[0], first=b"\1" * 32)
    refused(device, lambda: device.seal(elsewhere, opened[0].key), PolicyError, "no member")


def test_a_device_does_not_seal_for_another_round() -> None:
    cohort = Cohort()
    opened = cohort.honest_round()
    device = cohort.devices[0]
    later = cohort.announce()
    refused(device, lambda: device.seal(later.announcement, later.key), PolicyError)
    cohort.send_commit(0, later)
    refused(device, lambda: device.seal(opened.announcement, opened.key), PolicyError)
    with pytest.raises(ZkfedError):
        device.commit(opened.announcement, cohort.update(0), base=cohort.base, previous=bytes(32))


def test_devices_that_cannot_be_made() -> None:
    cohort = Cohort()
    with pytest.raises(PolicyError, match="not enrolled"):
        Device(cohort.agreement, SigningKey.generate(), provers()[0])
    with pytest.raises(PolicyError, match="not the one of the agreement"):
        Device(cohort.agreement, cohort.device_keys[0], provers()[1])
    with pytest.raises(PolicyError, match="not the one of the agreement"):
        Device(cohort.agreement, cohort.device_keys[0], provers(2)[0])


def test_an_attempt_under_another_round_number_is_no_attempt_of_this_one() -> None:
    cohort = Cohort(kinds=[OtherPlaintext])
    cohort.open(cohort.ready())
    (members,) = cohort.holder._groups[2]
    cohort.round = cohort.holder._round = cohort.adder._round = 2
    opened = cohort.announce(2, 0, members)  # both noises are proven for it
    device = cohort.devices[1]
    refused(device, lambda: device.seal(opened.announcement, opened.key), Replay, "committed to round 1, not 2")
