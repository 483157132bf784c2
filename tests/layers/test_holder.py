"""The key holder refuses whatever is not one sum of enough updates, and says nothing when a sum fails.

A request that is not in order is a typed error and leaves the key in place; a sum that does not open is
one signed word, the same whatever was wrong, and the key is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.layers.holder_requests import aggregation_of, commits_of, one_coordinate, refused, resigned, revive
from tests.layers.parties import DEADLINE_S, Cohort, Opened, make_policy, provers, proving_keys, signed
from zkfed.encoding import digest
from zkfed.errors import (
    DecodeError,
    IntegrityError,
    NotAuthorised,
    PolicyError,
    ProofInvalid,
    Replay,
    SignatureInvalid,
    StoreFault,
    ZkfedError,
)
from zkfed.groth16.prove import Prover
from zkfed.layers.agreement import draw_groups
from zkfed.layers.holder import KeyHolder
from zkfed.updates.messages import Aggregate, Announcement, Commit, Failure
from zkfed.updates.signing import SigningKey


@pytest.fixture(scope="module")
def asked() -> tuple[Cohort, Opened]:
    """A round that is ready to be opened and that no test may open."""
    cohort = Cohort(make_policy(max_clients=4, min_clients=3), devices=4)
    return cohort, cohort.ready()


# -- requests that are not in order ------------------------------------------------------------


def test_a_list_that_the_adders_did_not_sign(asked: tuple[Cohort, Opened]) -> None:
    cohort, opened = asked
    commits, body = commits_of(cohort, opened), signed(opened.aggregation).body
    for key in (SigningKey.generate(), cohort.holder_key, cohort.device_keys[0]):
        forged = key.sign("aggregation", body).encode()
        refused(
            cohort.holder, lambda f=forged: cohort.holder.open(f, opened.ciphertext, commits, first=cohort.first),
            NotAuthorised, "pinned adders",
        )  # fmt: skip
    broken = opened.aggregation[:-1] + bytes([opened.aggregation[-1] ^ 1])
    refused(
        cohort.holder, lambda: cohort.holder.open(broken, opened.ciphertext, commits, first=cohort.first),
        SignatureInvalid,
    )  # fmt: skip


def test_a_ciphertext_whose_digest_the_adders_did_not_sign(asked: tuple[Cohort, Opened]) -> None:
    cohort, opened = asked
    other = opened.ciphertext[:-1] + bytes([opened.ciphertext[-1] ^ 1])
    commits = commits_of(cohort, opened)
    for ciphertext in (other, b"", opened.ciphertext[:-1]):
        refused(
            cohort.holder,
            lambda c=ciphertext: cohort.holder.open(opened.aggregation, c, commits, first=cohort.first),
            IntegrityError, "signed",
        )  # fmt: skip


def test_commits_that_differ_from_the_signed_list(asked: tuple[Cohort, Opened]) -> None:
    cohort, opened = asked
    commits = commits_of(cohort, opened)
    for other in (commits[1:], commits[::-1], (*commits, commits[0]), ()):
        refused(
            cohort.holder,
            lambda c=other: cohort.holder.open(opened.aggregation, opened.ciphertext, c, first=cohort.first),
            DecodeError, "not the list",
        )  # fmt: skip


def by_list(cohort: Cohort, opened: Opened, commits: list[bytes]) -> Callable[[], bytes]:
    """Asks to open a sum of other clients, in order and signed by the adders."""
    ordered = tuple(sorted(commits, key=lambda c: signed(c).digest))
    aggregation = aggregation_of(cohort, opened, members=tuple(signed(c).digest for c in ordered))
    return lambda: cohort.holder.open(aggregation, opened.ciphertext, ordered, first=cohort.first)


def test_too_few_or_too_many_clients(asked: tuple[Cohort, Opened]) -> None:
    cohort, opened = asked
    commits = list(commits_of(cohort, opened))
    refused(cohort.holder, by_list(cohort, opened, commits[:2]), PolicyError, "2 clients, the policy allows 3 to 4")
    refused(cohort.holder, by_list(cohort, opened, []), PolicyError, "0 clients")
    policy = cohort.agreement.policy
    smaller = Cohort(make_policy(max_clients=3), devices=4)
    ready = smaller.announce()
    made = [smaller.commit(i, ready) for i in range(4)]
    ready.aggregation = smaller.adder_key.sign(
        "aggregation", Aggregate(ready.announced.digest, (), digest("zkfed/v1/ciphertext", b"")).encode()
    ).encode()
    assert policy.max_clients == 4
    refused(smaller.holder, by_list(smaller, ready, made), PolicyError, "4 clients, the policy allows 2 to 3")


def test_a_client_twice_or_a_copied_commitment_or_a_stranger(asked: tuple[Cohort, Opened]) -> None:
    cohort, opened = asked
    commits = list(commits_of(cohort, opened))
    first, second = signed(commits[0]), signed(commits[1])
    key = next(k for k in cohort.device_keys if k.public == first.signer)
    copied = replace(Commit.decode(first.body), commitment=Commit.decode(second.body).commitment)
    again = key.sign("commit", copied.encode()).encode()
    refused(cohort.holder, by_list(cohort, opened, [again, *commits[:2]]), Replay, "stands in the list twice")
    refused(cohort.holder, by_list(cohort, opened, [again, *commits[1:]]), Replay, "same C_D")
    stranger = SigningKey.generate().sign("commit", first.body).encode()
    refused(cohort.holder, by_list(cohort, opened, [stranger, *commits[1:]]), NotAuthorised, "not enrolled")


def test_an_attempt_that_was_not_announced(asked: tuple[Cohort, Opened]) -> None:
    cohort, opened = asked
    aggregation = aggregation_of(cohort, opened, announcement=bytes(32))
    refused(
        cohort.holder,
        lambda: cohort.holder.open(aggregation, opened.ciphertext, commits_of(cohort, opened), first=cohort.first),
        Replay, "no open key",
    )  # fmt: skip
    refused(
        cohort.holder,
        lambda: cohort.holder.open(opened.aggregation, opened.ciphertext, commits_of(cohort, opened), first=bytes(32)),
        Replay, "another round",
    )  # fmt: skip


def test_after_all_of_that_the_honest_request_is_served() -> None:
    cohort = Cohort()
    opened = cohort.ready()
    for aggregation in (b"", b"\0\0\0\7garbage", opened.aggregation[:-1]):
        refused(
            cohort.holder,
            lambda a=aggregation: cohort.holder.open(
                a, opened.ciphertext, commits_of(cohort, opened), first=cohort.first
            ),
            DecodeError,
        )
    assert signed(cohort.open(opened)).kind == "release"


# -- once a key ---------------------------------------------------------------------------------


def test_a_key_decrypts_once() -> None:
    cohort = Cohort()
    opened = cohort.ready()
    secret = cohort.holder._attempts[opened.announced.body.encryption_key].secret
    assert signed(cohort.open(opened)).kind == "release"
    assert secret._context is None
    refused(cohort.holder, lambda: cohort.open(opened), Replay, "no open key")


def test_a_restart_does_not_make_a_key_fresh(tmp_path: Path) -> None:
    cohort = Cohort(journal=tmp_path / "journal")
    opened = cohort.ready()
    attempt = cohort.holder._attempts[opened.announced.body.encryption_key]
    context = attempt.secret._context
    commits = commits_of(cohort, opened)
    assert signed(cohort.open(opened)).kind == "release"
    assert (tmp_path / "journal").read_text() == opened.announced.body.encryption_key.hex() + "\n"
    # Without the attempt there is nothing to decrypt with; with it, the journal says no.
    restarted = cohort.new_holder()
    ask = [opened.aggregation, opened.ciphertext, commits]
    refused(restarted, lambda: restarted.open(*ask, first=cohort.first), Replay, "no open key")
    revived = revive(cohort.new_holder(), attempt, context)
    refused(revived, lambda: revived.open(*ask, first=cohort.first), Replay, "decrypted before")
    # And it is the journal that says so: a holder with an empty one would decrypt.
    cohort.journal = tmp_path / "other"
    forgetful = revive(cohort.new_holder(), attempt, context)
    assert signed(forgetful.open(*ask, first=cohort.first)).kind == "release"


def test_nothing_is_decrypted_if_it_cannot_be_recorded(tmp_path: Path) -> None:
    cohort = Cohort(journal=tmp_path / "missing" / "journal")
    opened = cohort.ready()
    refused(cohort.holder, lambda: cohort.open(opened), StoreFault, "cannot be written")
    (tmp_path / "missing").mkdir()
    assert signed(cohort.open(opened)).kind == "release"


@pytest.mark.parametrize("content", [b"no key\n", b"ab\xff\n", b"abc\n", b"ab" * 32, b"ab" * 31 + b"\n", b"\n"])
def test_a_journal_that_cannot_be_read_stops_the_key_holder(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "journal").write_bytes(content)
    with pytest.raises(StoreFault, match="cannot be read"):
        Cohort(journal=tmp_path / "journal")


# -- offers and announcements ---------------------------------------------------------------------


def test_an_offer_that_is_not_due() -> None:
    cohort = Cohort()
    holder = cohort.holder
    for ask in ((2, 1, 0), (0, 1, 0), (1, 2, 0), (1, 1, 1), (1, 1, -1), (1, 0, 0), (1, 3, 0)):
        refused(holder, lambda a=ask: holder.offer(*a), PolicyError)
    offer, key = holder.offer(1, 1)
    # Asked again, for a transport may lose it: the same bytes, hence no second key and no second noise.
    assert holder.offer(1, 1) == (offer, key)
    draft = cohort.adder.announce(offer, key, deadline_s=DEADLINE_S)
    announced = holder.countersign(draft)
    assert holder.countersign(draft) == announced
    assert holder.offer(1, 1) == (offer, key)


def announcement(cohort: Cohort, draft: bytes, key: SigningKey | None = None, **changes: Any) -> bytes:
    body = replace(Announcement.decode(signed(draft).body), **changes)
    return (key or cohort.adder_key).sign("announcement", body.encode()).encode()


def test_an_announcement_that_is_not_the_answer_to_the_offer() -> None:
    cohort = Cohort()
    draft, _ = cohort.offer_and_draft()
    body, holder = Announcement.decode(signed(draft).body), cohort.holder
    stranger = announcement(cohort, draft, SigningKey.generate())
    refused(holder, lambda: holder.countersign(stranger), NotAuthorised, "pinned adders")
    for changes, text in (
        ({"encryption_key": bytes(32)}, "open offer"),
        ({"round": 2}, "repeat the offer"),
        ({"group": 1}, "repeat the offer"),
        ({"holder_commitment": body.adder_commitment}, "repeat the offer"),
        ({"holder_proof": body.adder_proof}, "repeat the offer"),
        ({"policy": bytes(32)}, "its policy"),
        ({"base": bytes(32)}, "its base"),
        ({"previous": b"\1" * 32}, "its previous"),
        ({"benchmark": bytes(32)}, "its benchmark"),
        ({"enrolment": bytes(32)}, "its enrolment"),
        ({"improvement_key": cohort.agreement.noise.digest}, "its improvement_key"),
        ({"noise_key": bytes(32)}, "its noise_key"),
    ):
        forged = announcement(cohort, draft, **changes)
        refused(holder, lambda f=forged: holder.countersign(f), PolicyError, text)
    # The adders' noise is proven too: a commitment to nothing, or K's own, is none.
    for commitment, proof in (
        (body.holder_commitment, body.adder_proof),
        (body.holder_commitment, body.holder_proof),
        (body.adder_commitment, body.holder_proof),
    ):
        forged = announcement(cohort, draft, adder_commitment=commitment, adder_proof=proof)
        refused(holder, lambda f=forged: holder.countersign(f), ProofInvalid)
    announced = holder.countersign(draft)
    # The same draft gets the same answer; another one for the same offer gets none.
    assert holder.countersign(draft) == announced
    second = announcement(cohort, draft, deadline_s=body.deadline_s + 1)
    refused(holder, lambda: holder.countersign(second), PolicyError, "open offer")


def test_members_of_a_repeated_attempt_are_the_drawn_ones() -> None:
    cohort = Cohort(devices=4)
    opened = resigned(cohort, first := cohort.ready(), one_coordinate(cohort, first))
    failure = Failure.decode(signed(cohort.open(opened)).body)
    refused(cohort.holder, lambda: cohort.holder.offer(1, 1), Replay, "opened before")
    groups = draw_groups(failure.nonce, opened.members, smallest=2, groups=3)
    assert len(groups) == 2
    draft, _ = cohort.offer_and_draft(2, 0, groups[0])
    mixed = tuple(sorted((groups[0][0], groups[1][0])))
    for members in (groups[1], mixed, groups[0][:1], opened.members):
        forged = announcement(cohort, draft, members=members)
        refused(cohort.holder, lambda f=forged: cohort.holder.countersign(f), PolicyError, "members or first")
    forged = announcement(cohort, draft, first=b"\1" * 32)
    refused(cohort.holder, lambda: cohort.holder.countersign(forged), PolicyError, "members or first")
    countersigned = cohort.holder.countersign(draft)
    # A sum over somebody of the other group is not opened either.
    second = Opened(countersigned, b"")
    second.aggregation = cohort.adder_key.sign(
        "aggregation", Aggregate(second.announced.digest, mixed, digest("zkfed/v1/ciphertext", b"x")).encode()
    ).encode()
    commits = tuple(cohort.commits[m] for m in mixed)
    refused(
        cohort.holder, lambda: cohort.holder.open(second.aggregation, b"x", commits, first=cohort.first),
        NotAuthorised, "no member",
    )  # fmt: skip
    refused(cohort.holder, lambda: cohort.holder.offer(1, 2, 2), PolicyError, "no group")


def test_keys_that_were_not_used_are_erased_with_the_round() -> None:
    cohort = Cohort()
    opened = cohort.announce()
    secret = cohort.holder._attempts[opened.announced.body.encryption_key].secret
    cohort.close([opened])
    assert secret._context is None
    assert cohort.holder.offer(2, 1)


def test_another_signing_key_than_the_pinned_one() -> None:
    cohort = Cohort()
    with pytest.raises(PolicyError, match="pins another key"):
        KeyHolder(cohort.agreement, SigningKey.generate(), provers()[1], base=cohort.base)


def test_a_noise_prover_for_another_circuit_makes_no_offer() -> None:
    cohort = Cohort()
    other = provers(1)[1]
    assert isinstance(other, Prover)
    assert other.key.verifying.digest != proving_keys()[1].verifying.digest
    holder = KeyHolder(cohort.agreement, cohort.holder_key, other, base=cohort.base)
    with pytest.raises((ZkfedError, ValueError)):
        holder.offer(1, 1)
    assert not holder._attempts


def test_commits_to_another_announcement_are_not_opened(asked: tuple[Cohort, Opened]) -> None:
    cohort, opened = asked
    other = b"\1" * 32
    moved = []
    for commit in commits_of(cohort, opened):
        body = replace(Commit.decode(signed(commit).body), announcement=other)
        key = next(k for k in cohort.device_keys if k.public == signed(commit).signer)
        moved.append(key.sign("commit", body.encode()).encode())
    moved.sort(key=lambda c: signed(c).digest)
    aggregation = aggregation_of(cohort, opened, members=tuple(signed(c).digest for c in moved))
    refused(
        cohort.holder, lambda: cohort.holder.open(aggregation, opened.ciphertext, tuple(moved), first=other),
        Replay, "belong to another round",
    )  # fmt: skip
