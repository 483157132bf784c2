"""The adders announce what is due, once, and add what belongs to one attempt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.layers.adder_messages import refused, rewritten, sealed_with, turned_down
from tests.layers.parties import (
    DEADLINE_S,
    NOW_S,
    Cohort,
    OtherPlaintext,
    fingerprint,
    provers,
    signed,
)
from zkfed.encoding import digest
from zkfed.errors import (
    DecodeError,
    NotAuthorised,
    PolicyError,
    ProofInvalid,
    Replay,
)
from zkfed.he.keys import SecretKey
from zkfed.he.sealing import open_sealed
from zkfed.layers.agreement import draw_groups
from zkfed.layers.polis import Adder
from zkfed.updates.messages import Failure, Offer
from zkfed.updates.sealed import SealedUpdate
from zkfed.updates.signing import SigningKey


def test_offers_that_are_refused() -> None:
    cohort = Cohort()
    offer, key = cohort.holder.offer(1, 1)
    body = Offer.decode(signed(offer).body)
    other_key = SecretKey.generate(cohort.agreement.encryption).public

    def announce(signer: SigningKey, key: bytes = key, members: tuple[bytes, ...] = (), **changes: Any) -> Any:
        data = signer.sign("offer", replace(body, **changes).encode()).encode()
        return lambda: cohort.adder.announce(data, key, members=members, deadline_s=DEADLINE_S)

    k = cohort.holder_key
    refused(cohort, announce(SigningKey.generate()), NotAuthorised, "pinned key holder")
    refused(cohort, announce(cohort.adder_key), NotAuthorised, "pinned key holder")
    refused(cohort, announce(k, policy=bytes(32)), PolicyError, "another policy")
    refused(cohort, announce(k, previous=b"\1" * 32), PolicyError, "another transcript")
    refused(cohort, announce(k, round=2), PolicyError, "round 1 is open")
    refused(cohort, announce(k, attempt=3), PolicyError, "not attempt 3")
    refused(cohort, announce(k, attempt=0), PolicyError, "not attempt 0")
    refused(cohort, announce(k, group=1), PolicyError, "everybody's")
    refused(cohort, announce(k, members=(bytes(32),)), PolicyError, "everybody's")
    refused(cohort, announce(k, attempt=2, members=(bytes(32),)), PolicyError, "committed in this round")
    refused(cohort, announce(k, key=other_key.to_bytes()), PolicyError, "not the offered one")
    refused(cohort, announce(k, key=b"key"), DecodeError)
    refused(cohort, announce(k, encryption_key=other_key.digest, key=other_key.to_bytes()), ProofInvalid)
    refused(cohort, announce(k, noise_proof=b""), DecodeError)
    draft = cohort.adder.announce(offer, key, deadline_s=DEADLINE_S)
    # Asked again, for a transport may lose it: the same bytes, hence no second noise.
    assert cohort.adder.announce(offer, key, deadline_s=DEADLINE_S + 1) == draft
    # A key holder that offers the same attempt twice would see two sums where the policy counts one.
    refused(cohort, announce(k, encryption_key=other_key.digest, key=other_key.to_bytes()), Replay, "announced before")
    announced = cohort.holder.countersign(draft)
    cohort.adder.open_attempt(announced)
    cohort.adder.open_attempt(announced)
    refused(cohort, announce(k), Replay, "announced before")


def test_a_client_is_in_one_group_of_an_attempt() -> None:
    cohort = Cohort(devices=4)
    cohort.start()
    names = sorted(cohort.commits)

    def draft(group: int, members: list[bytes]) -> Callable[[], bytes]:
        secret = SecretKey.generate(cohort.agreement.encryption)
        holder = cohort.new_holder()
        holder._groups[2] = [()] * 3
        offer, key = holder.offer(1, 2, group)
        assert secret.public.digest != digest("", key)
        return lambda: cohort.adder.announce(offer, key, members=tuple(members), deadline_s=DEADLINE_S)

    assert draft(0, names[:2])()
    refused(cohort, draft(1, names[1:3]), Replay, "two groups")
    assert draft(1, names[2:])()


def test_an_attempt_that_this_adder_did_not_announce() -> None:
    cohort, other = Cohort(), Cohort()
    draft, _ = cohort.offer_and_draft()
    announcement = cohort.holder.countersign(draft)
    refused(cohort, lambda: cohort.adder.open_attempt(draft), DecodeError)
    foreign = other.holder.countersign(other.offer_and_draft()[0])
    refused(cohort, lambda: cohort.adder.open_attempt(foreign), NotAuthorised)
    cohort.adder.open_attempt(announcement)
    before = fingerprint(cohort.adder)
    cohort.adder.open_attempt(announcement)
    assert fingerprint(cohort.adder) == before
    late = Cohort()
    mine = late.holder.countersign(late.offer_and_draft()[0])
    late.adder._pending.clear()
    refused(late, lambda: late.adder.open_attempt(mine), PolicyError, "did not announce")


def test_sums_that_are_refused() -> None:
    cohort = Cohort()
    opened = cohort.start()
    name = opened.announced.digest
    refused(cohort, lambda: cohort.adder.aggregate(bytes(32)), PolicyError, "unknown")
    refused(cohort, lambda: cohort.adder.aggregate(name), PolicyError, "0 valid updates, the policy needs 2")
    sealed = [d.seal(opened.announcement, opened.key) for d in cohort.devices]
    assert cohort.adder.receive_sealed(sealed[0]).is_accepted
    refused(cohort, lambda: cohort.adder.aggregate(name), PolicyError, "1 valid updates")
    assert cohort.adder.receive_sealed(sealed[1]).is_accepted
    cohort.add(opened)
    refused(cohort, lambda: cohort.adder.aggregate(name), PolicyError, "aggregated already")
    turned_down(cohort, sealed[2], "replay", "not open")  # too late


def test_updates_of_the_round_before_are_replays() -> None:
    cohort = Cohort()
    first = cohort.start()
    commits = list(cohort.commits.values())
    cohort.seal_all(first)
    cohort.add(first)
    cohort.open(first)
    cohort.close([first])
    cohort.start()
    for message in first.sealed:
        turned_down(cohort, message, "replay")
    for message in commits:
        refused(cohort, lambda m=message: cohort.adder.receive_commit(m, now_s=NOW_S), Replay, "another round")  # type: ignore[misc]


def test_another_signing_key_than_the_pinned_one() -> None:
    cohort = Cohort()
    with pytest.raises(PolicyError, match="pins another key"):
        Adder(cohort.agreement, SigningKey.generate(), provers()[1], base=cohort.base)


def test_a_client_of_another_group_is_refused() -> None:
    cohort = Cohort(devices=4, kinds=[OtherPlaintext])
    first = cohort.ready()
    failure = Failure.decode(signed(cohort.open(first)).body)
    groups = draw_groups(failure.nonce, first.members, smallest=2, groups=2)
    opened = [cohort.announce(2, g, members) for g, members in enumerate(groups)]
    stranger = next(d for d in cohort.devices if d._current().commit.digest in groups[1])
    message = stranger.seal(opened[1].announcement, opened[1].key)
    body = opened[0].announced.body
    content = open_sealed(
        cohort.adder._sealing, SealedUpdate.decode(message).outer, info=opened[1].announced.digest,
        aad=stranger._current().commit.digest,
    )  # fmt: skip
    moved = sealed_with(cohort, opened[0], message, content)
    changes = {"announcement": opened[0].announced.digest, "encryption_key": body.encryption_key}
    turned_down(cohort, rewritten(cohort, moved, **changes), "not-authorised", "no member of this attempt")
    turned_down(cohort, rewritten(cohort, message, announcement=first.announced.digest), "replay", "not open")
    assert cohort.adder.receive_sealed(message).is_accepted
