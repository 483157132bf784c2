"""A record that is longer than a transport carries at once reaches key holder and readers in pieces."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.orchestrator.hosting import carry, federation
from tests.orchestrator.mailing import run_over
from tests.orchestrator.test_holding import Apart
from zkfed.adapters.memory import MemoryTransport
from zkfed.errors import LimitExceeded, PolicyError
from zkfed.layers.bridge import check_release
from zkfed.layers.transcript import RoundRecord, Transcript
from zkfed.orchestrator import holding, records
from zkfed.orchestrator.events import Released
from zkfed.orchestrator.mailbox import federation_name
from zkfed.orchestrator.records import fetch_records, read_records, record_messages

MOST = 1500


Publish = Callable[[MemoryTransport, str, bytes], str]


def too_small(publish: Publish) -> Publish:
    """Returns a transport's `publish` that carries no more of a record at once than real ones do of a large one."""

    def limited(transport: MemoryTransport, channel: str, message: bytes) -> str:
        if b"zkfed/v1/round-record" in message and len(message) > MOST + 500:
            raise LimitExceeded(f"a message of {len(message)} bytes")
        return publish(transport, channel, message)

    return limited


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryTransport, "publish", too_small(MemoryTransport.publish))
    for module in (holding, records):
        monkeypatch.setattr(module, "PIECE_BYTES", MOST)


@pytest.mark.usefixtures("_short")
def test_a_key_holder_elsewhere_settles_a_record_in_pieces() -> None:
    apart = Apart()
    mailbox = apart.mailbox()
    asked = list[str]()
    poll = mailbox.poll

    def counted() -> str:
        asked.append(poll())
        return asked[-1]

    mailbox.poll = counted  # type: ignore[method-assign]
    with apart.held(mailbox):
        events = apart.run(2)
    assert sum(isinstance(e, Released) for e in events) == 2
    check_release(apart.node.transcript)
    assert asked.count("settle") == 2
    assert asked.count("piece") == sum((len(r.encode()) - 1) // MOST for r in apart.node.transcript.rounds) > 2
    assert mailbox._holder is not None
    assert mailbox._holder.previous == apart.node.transcript.rounds[-1].digest
    assert np.array_equal(mailbox._holder.base, apart.node.base)


@pytest.mark.usefixtures("_short")
def test_pieces_that_do_not_follow_or_are_too_many_are_refused_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that sends more and more of a record, or the middle of one, does not fill its key holder."""
    apart = Apart()
    mailbox = apart.mailbox()
    with apart.held(mailbox):
        apart.run()
        monkeypatch.setattr(holding, "RECORD_BYTES_MAX", 10_000)
        remote = apart.node._remote
        assert remote is not None
        for wrong in (8000, 9999, 2**63):
            for at in (0, 4000):
                remote._ask("piece", at.to_bytes(8, "big"), bytes(4000))
            assert len(mailbox._pieces) == 8000
            with pytest.raises(PolicyError, match="pieces come in order, and at most 10000 bytes"):
                remote._ask("piece", wrong.to_bytes(8, "big"), bytes(4000))
            assert not mailbox._pieces
        remote._ask("piece", bytes(8), bytes(4000))  # left over, and in nobody's way
        monkeypatch.setattr(holding, "RECORD_BYTES_MAX", 1 << 20)
        assert any(isinstance(e, Released) for e in carry(apart.node.run(1), apart.members))


@pytest.mark.usefixtures("_short")
def test_everybody_reads_it_from_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short and cut ones in one channel, strangers' messages between them."""
    node, members = federation()
    store = MemoryTransport()
    name = f"{federation_name(node.policy)}/records"
    store.publish(name, b"\x01" + bytes(100))
    assert sum(isinstance(e, Released) for e in run_over(node, members, store, lambda: store, rounds=2)) == 2
    store.publish(name, b"\x02" + bytes(72))
    store.publish(name, b"\x00")
    messages = store.fetch(name)
    assert len(messages) > 2 + 3
    transcript = Transcript.of_head(members[0].head)
    transcript.rounds.extend(read_records(messages))
    assert [r.digest for r in transcript.rounds] == [r.digest for r in node.transcript.rounds]
    check_release(transcript)
    monkeypatch.setattr(records, "PIECE_BYTES", 1 << 23)
    whole = record_messages(node.transcript.rounds[0])
    assert whole == [node.transcript.rounds[0].encode()]
    assert list(read_records(whole)) == [RoundRecord.decode(whole[0])]


def test_more_records_than_a_channel_holds_go_on_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    node, members = federation()
    store = MemoryTransport()
    name = federation_name(node.policy)
    monkeypatch.setattr(records, "CHANNEL_RECORDS_BYTES", 15_000)
    assert sum(isinstance(e, Released) for e in run_over(node, members, store, lambda: store, rounds=4)) == 4
    assert [len(store.fetch(f"{name}/records{end}")) for end in ("", "/1", "/2")] == [2, 2, 0]
    transcript = Transcript.of_head(members[0].head)
    transcript.rounds.extend(fetch_records(store, name))
    assert [r.digest for r in transcript.rounds] == [r.digest for r in node.transcript.rounds]
    check_release(transcript)
