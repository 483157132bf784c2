"""Shows that what belongs to registered rows is refused where no rows are drawn, and missed where they are.

Beacon hashes, openings, commits' kinds, updates' form, and the parts of a transcript.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from tests.layers.own_rows import OwnCohort, own_policy
from tests.layers.parties import NOW_S, Cohort, fingerprint, signed
from zkfed.encoding import Reader, Writer, digest
from zkfed.errors import DecodeError, IntegrityError, LimitExceeded, PolicyError, ZkfedError
from zkfed.layers.bridge import check_release
from zkfed.layers.registry import registration_terms
from zkfed.layers.transcript import Transcript
from zkfed.updates.messages import Announcement, Commit, Reveal
from zkfed.updates.update import ModelUpdate, model_digest

ENDS: tuple[Literal["big", "little"], ...] = ("big", "little")


@pytest.fixture
def cohort() -> OwnCohort:
    return OwnCohort()


def refused(party: Any, call: Callable[[], Any], error: type[ZkfedError], text: str) -> None:
    before = fingerprint(party)
    with pytest.raises(error, match=text) as caught:
        call()
    assert type(caught.value) is error
    assert fingerprint(party) == before


# -- where no rows are drawn -----------------------------------------------------------------------


def test_a_round_about_a_benchmark_has_no_beacon() -> None:
    cohort = Cohort()
    opened = cohort.start()
    assert opened.announced.body.holder_beacon == opened.announced.body.adder_beacon == b""
    refused(cohort.adder, cohort.adder.reveal, PolicyError, "no round that draws rows")
    reveal = cohort.adder_key.sign("reveal", Reveal(cohort.first, (), bytes(32)).encode()).encode()
    refused(cohort.holder, lambda: cohort.holder.reveal(reveal, ()), PolicyError, "no round that draws rows")
    refused(cohort.adder, lambda: cohort.adder.accept_beacon(reveal), PolicyError, "open the beacon first")
    with pytest.raises(PolicyError, match="draws no rows"):
        cohort.agreement.own_terms(cohort.base, bytes(32), client=bytes(32), commitment=b"")
    with pytest.raises(PolicyError, match="not about registered rows"):
        registration_terms(cohort.agreement.policy)


def test_nothing_is_opened_before_a_round_is_announced(cohort: OwnCohort) -> None:
    refused(cohort.adder, cohort.adder.reveal, PolicyError, "no round that draws rows")
    refused(cohort.holder, lambda: cohort.holder.reveal(b"", ()), PolicyError, "no round that draws rows")


def test_an_announcement_has_beacon_hashes_exactly_where_rows_are_drawn() -> None:
    for cohort, changes in (
        (Cohort(), {"holder_beacon": bytes(32), "adder_beacon": bytes(32)}),
        (Cohort(), {"adder_beacon": bytes(32)}),
        (OwnCohort(), {"adder_beacon": b""}),
        (OwnCohort(), {"adder_beacon": bytes(31)}),
    ):
        draft, _ = cohort.offer_and_draft()
        body = replace(Announcement.decode(signed(draft).body), **changes)
        with pytest.raises(PolicyError, match=r"beacon nonces|repeat the offer"):
            cohort.holder.countersign(cohort.adder_key.sign("announcement", body.encode()).encode())
        with pytest.raises(PolicyError, match="beacon nonces"):
            cohort.agreement.check_body(body, base=cohort.base, previous=cohort.previous)
        cohort.holder.countersign(draft)


def test_the_key_holders_hash_is_repeated(cohort: OwnCohort) -> None:
    draft, _ = cohort.offer_and_draft()
    body = replace(Announcement.decode(signed(draft).body), holder_beacon=bytes(32))
    with pytest.raises(PolicyError, match="repeat the offer"):
        cohort.holder.countersign(cohort.adder_key.sign("announcement", body.encode()).encode())


def test_a_record_about_a_benchmark_holds_no_openings() -> None:
    cohort = Cohort()
    cohort.honest_round()
    record = replace(cohort.transcript.rounds[0], reveals=(b"x",))
    closing = cohort.adder_key.sign("transcript", record.digest).encode()
    cohort.transcript.rounds[0] = replace(record, closing=closing)
    with pytest.raises(DecodeError, match="draws no rows"):
        check_release(cohort.transcript)


# -- where they are --------------------------------------------------------------------------------


def test_a_commit_promises_the_policys_statement(cohort: OwnCohort) -> None:
    opened = cohort.announce()
    message = cohort.commit(0, opened)
    body = replace(Commit.decode(signed(message).body), kinds="S2")
    key = next(k for k in cohort.device_keys if k.public == signed(message).signer)
    other = key.sign("commit", body.encode()).encode()
    refused(cohort.adder, lambda: cohort.adder.receive_commit(other, now_s=NOW_S), DecodeError, "other statements")
    cohort.adder.receive_commit(message, now_s=NOW_S)


def test_the_key_holder_opens_for_no_more_clients_than_the_policy_allows() -> None:
    cohort = OwnCohort(own_policy(max_clients=2))
    opened = cohort.announce()
    messages = [cohort.commit(i, opened) for i in range(3)]
    for message in messages[:2]:
        cohort.adder.receive_commit(message, now_s=NOW_S)
    body = Reveal.decode(signed(cohort.adder.reveal()).body)
    messages.sort(key=lambda m: signed(m).digest)
    listed = replace(body, commits=tuple(signed(m).digest for m in messages))
    reveal = cohort.adder_key.sign("reveal", listed.encode()).encode()
    refused(cohort.holder, lambda: cohort.holder.reveal(reveal, tuple(messages)), PolicyError, "3 clients")


@pytest.mark.parametrize(
    "integers",
    [np.zeros(11, np.int64), np.zeros((4, 3), np.int64), np.zeros(12), np.zeros(12, np.int32),
     np.full(12, 1 << 15), np.full(12, -(1 << 15) - 1), np.full(12, np.nan)],
)  # fmt: skip
def test_an_update_of_another_form_is_refused_before_it_is_committed(cohort: OwnCohort, integers: Any) -> None:
    opened = cohort.announce()
    update = ModelUpdate(integers, model_digest(cohort.base))
    refused(cohort.devices[0], lambda: cohort.commit(0, opened, update), DecodeError, "update")


def test_an_update_of_another_base_model_is_refused(cohort: OwnCohort) -> None:
    opened, update = cohort.announce(), cohort.update(0)
    other = replace(update, base=model_digest(cohort.base + 1))
    refused(cohort.devices[0], lambda: cohort.commit(0, opened, other), IntegrityError, "another base model")
    device = cohort.devices[0]
    for base in (cohort.base + 1, cohort.base[:-1]):
        refused(
            device,
            lambda base=base: device.commit(opened.announcement, update, base=base, previous=cohort.previous),
            PolicyError, "its base is not the one expected",
        )  # fmt: skip


# -- the record ------------------------------------------------------------------------------------


def rewritten(folder: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Changes the objects of a saved transcript and its index."""
    r = Reader((folder / "index").read_bytes(), "zkfed/v1/transcript")
    objects = [(folder / "objects" / n.hex()).read_bytes() for n in r.list(1 << 10, exact=32)]
    names = []
    for data in change(objects):
        names.append(digest("zkfed/v1/object", data))
        (folder / "objects" / names[-1].hex()).write_bytes(data)
    (folder / "index").write_bytes(Writer("zkfed/v1/transcript").list(names).finish())


def test_a_transcript_holds_every_registration_once_and_in_order(cohort: OwnCohort, tmp_path: Path) -> None:
    cohort.transcript.save(tmp_path)
    records = list(cohort.registry.records)
    cases: list[tuple[list[bytes], type[ZkfedError]]] = [
        ([records[1], records[0], records[2]], DecodeError),
        ([records[0], *records], DecodeError),
        ([b"x"], ZkfedError),
    ]
    for wrong, error in cases:
        data = Writer("zkfed/v1/registrations").list(wrong).finish()
        rewritten(tmp_path, lambda objects, data=data: [*objects[:7], data])
        with pytest.raises(error):
            Transcript.load(tmp_path)
    rewritten(tmp_path, lambda objects: objects[:7])
    with pytest.raises(DecodeError, match="at least 8"):
        Transcript.load(tmp_path)


def test_fewer_registrations_than_announced_are_another_enrolment(cohort: OwnCohort, tmp_path: Path) -> None:
    cohort.honest_round()
    cohort.transcript.save(tmp_path)
    fewer = Writer("zkfed/v1/registrations").list(cohort.registry.records[1:]).finish()
    rewritten(tmp_path, lambda objects: [*objects[:7], fewer, *objects[8:]])
    with pytest.raises(PolicyError, match="its enrolment"):
        check_release(Transcript.load(tmp_path))


def test_a_registration_too_large_to_check_is_refused_before_it_is_built(cohort: OwnCohort, tmp_path: Path) -> None:
    cohort.transcript.save(tmp_path)
    assert Transcript.load(tmp_path, parameters_max=12).agreement.registry is not None
    policy = cohort.policy
    large = replace(policy.statement.registration, rows=1 << 16, class_rows_max=1 << 16)
    for statement in (
        replace(policy.statement, registration=large),
        replace(policy.statement, registration=None, loss="cross-entropy", rows=1 << 20),
        # 4 rows of 3 classes are 12 cells, as many as weights are allowed; a cell takes 10 KB, a weight 7.
        replace(policy.statement, registration=None, loss="cross-entropy", rows=5),
    ):
        huge = replace(policy, statement=statement)
        rewritten(tmp_path, lambda objects, huge=huge: [huge.encode(), *objects[1:]])
        with pytest.raises(LimitExceeded, match="parameters_max"):
            Transcript.load(tmp_path, parameters_max=12)


def test_a_record_holds_no_row_and_no_text_shows_one(cohort: OwnCohort) -> None:
    opened = cohort.committed()
    nonces = [cohort.adder._nonce, cohort.holder._nonce]
    rounds = [device._current() for device in cohort.devices]
    parties = [*cohort.devices, cohort.adder, cohort.holder, cohort.registry, cohort.agreement, *rounds, *cohort.rows]
    closed = "\n".join(f"{p!r}\n{p}" for p in parties)
    assert not [n for n in nonces if n.hex() in closed or repr(n) in closed]
    cohort.open_beacon()
    for device in cohort.devices:
        device.accept_beacon(cohort.reveals)
    cohort.seal_all(opened)
    cohort.add(opened)
    text = closed + "\n".join(f"{p!r}\n{p}" for p in parties)
    cohort.open(opened)
    cohort.close([opened])
    objects = [*cohort.transcript._head().values(), *(r.encode() for r in cohort.transcript.rounds)]
    public = b"".join(objects)
    assert nonces[0] in public  # what is opened is found by the same search
    for rows in cohort.rows:
        assert rows is not None
        for kind in (">i8", "<i8", "i1", ">i4", "<i4", "<f8"):
            assert rows.features[:4].astype(kind).tobytes() not in public
        assert str(rows.features[0].tolist())[1:-1] not in text
        for blinder in rows.blinders:
            assert str(blinder) not in text
            assert not [end for end in ENDS if blinder.to_bytes(32, end) in public]
