"""Nodes and members over a transport: late starters, restarts, strangers, and a node that is somebody else."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.orchestrator.hosting import federation
from tests.orchestrator.mailing import run_over
from zkfed.adapters.memory import MemoryTransport
from zkfed.errors import PolicyError, TransportError
from zkfed.layers.bridge import check_release
from zkfed.layers.transcript import RoundRecord, Transcript
from zkfed.orchestrator.events import Refused, Released, RoundAbandoned
from zkfed.orchestrator.key_parts import PART_BYTES, fetch_keys, publish_keys
from zkfed.orchestrator.mailbox import MemberMailbox, NodeMailbox, _ask_digest, _Reply, federation_name, fetch_policy
from zkfed.orchestrator.member import Member
from zkfed.updates.signing import Signed, SigningKey


@pytest.mark.parametrize(("kind", "options"), [("S2", {}), ("S2", {"exchanges": 1}), ("S4", {}), ("S1", {})], ids=str)
def test_a_federation_over_a_transport(kind: str, options: dict[str, Any]) -> None:
    node, members = federation(kind, **options)
    store = MemoryTransport()
    events = run_over(node, members, store, lambda: store, rounds=2)
    assert [e.accepted for e in events if isinstance(e, Released)] == [3, 3]
    # Everybody can check from what the transport holds and what a member knows.
    transcript = Transcript.of_head(members[0].head)
    transcript.rounds.extend(RoundRecord.decode(m) for m in store.fetch(f"{federation_name(node.policy)}/records"))
    check_release(transcript)
    assert transcript.rounds[-1].digest == node.transcript.rounds[-1].digest
    assert fetch_policy(store, node.policy.digest).encode() == node.policy.encode()
    with pytest.raises(TransportError, match="no policy with the digest"):
        fetch_policy(store, bytes(32))


class Strangers(MemoryTransport):
    """Whatever is published, a stranger's garbage and a forged copy come before it."""

    def publish(self, channel: str, message: bytes) -> str:
        super().publish(channel, secrets.token_bytes(30))
        super().publish(channel, SigningKey.generate().sign("ask", message[:200]).encode())
        super().publish(channel, SigningKey.generate().sign("reply", message[:200]).encode())
        super().publish(channel, SigningKey.generate().sign("receipt", message[:200]).encode())
        return super().publish(channel, message)


def test_strangers_who_write_into_every_channel_change_nothing() -> None:
    node, members = federation()
    store = Strangers()
    events = run_over(node, members, store, lambda: store)
    assert [e.accepted for e in events if isinstance(e, Released)] == [3]
    assert not [e for e in events if isinstance(e, Refused)]


def test_another_policy_in_its_place_is_not_taken() -> None:
    node, _ = federation()
    other, _ = federation()
    store = MemoryTransport()
    store.publish(f"{federation_name(node.policy)}/policy", other.policy.encode())
    NodeMailbox(node, store, devices=3)
    assert fetch_policy(store, node.policy.digest).digest == node.policy.digest


class Meddling(MemoryTransport):
    """Whenever the node asks something, somebody writes before the devices do."""

    def __init__(self, meddle: Callable[[MemoryTransport, str, int, bytes], None]) -> None:
        super().__init__()
        self._meddle = meddle

    def publish(self, channel: str, message: bytes) -> str:
        address = super().publish(channel, message)
        name, kind, *number = channel.split("/")
        if kind == "asks":
            self._meddle(self, name, int(number[0]), message)
        return address


def answer_as(keys: list[SigningKey], *, first: int, last: int) -> Callable[[MemoryTransport, str, int, bytes], None]:
    """Strangers who answer some asks, well-formed and in time."""

    def meddle(store: MemoryTransport, name: str, number: int, message: bytes) -> None:
        asked = _ask_digest(Signed.decode(message, "ask", limit=1 << 26).body)
        for key in keys if first <= number <= last else []:
            said = _Reply(asked, b"", "policy", "no").encode()
            store.publish(f"{name}/answers/{number}", key.sign("reply", said).encode())

    return meddle


def test_strangers_who_answer_take_nobodys_place() -> None:
    node, members = federation()
    store = Meddling(answer_as([SigningKey.generate() for _ in members], first=1, last=9))
    events = run_over(node, members, store, lambda: store, window_s=20)
    assert [e.accepted for e in events if isinstance(e, Released)] == [3]
    assert not [e for e in events if isinstance(e, Refused)]


def test_strangers_do_not_end_an_enrolment_that_is_not_for_them() -> None:
    node, members = federation()
    node._allowed = frozenset(m.public_key for m in members)
    store = Meddling(answer_as([SigningKey.generate() for _ in members], first=0, last=0))
    events = run_over(node, members, store, lambda: store, window_s=20)
    assert [e.accepted for e in events if isinstance(e, Released)] == [3]


def test_answers_to_earlier_asks_are_no_answers_however_many_are_replayed() -> None:
    def replay(store: MemoryTransport, name: str, number: int, message: bytes) -> None:
        for earlier in range(number):
            for old in store.fetch(f"{name}/answers/{earlier}"):
                store.publish(f"{name}/answers/{number}", old)

    node, members = federation()
    store = Meddling(replay)
    events = run_over(node, members, store, lambda: store, rounds=3, window_s=20)
    assert [e.accepted for e in events if isinstance(e, Released)] == [3, 3, 3]
    assert not [e for e in events if isinstance(e, Refused)]


def test_an_ask_that_is_replayed_under_the_next_number_does_not_hide_it() -> None:
    def ahead(store: MemoryTransport, name: str, number: int, message: bytes) -> None:
        MemoryTransport.publish(store, f"{name}/asks/{number + 1}", message)

    node, members = federation()
    store = Meddling(ahead)
    events = run_over(node, members, store, lambda: store, window_s=20)
    assert [e.accepted for e in events if isinstance(e, Released)] == [3]


def test_a_devices_own_account_is_escaped_and_short() -> None:
    class Loud(Member):
        def handle(self, request: bytes, own: bytes = b"") -> bytes:
            if b"ask-enrol" not in request[:40]:
                raise PolicyError("\x1b[31m" * 100)
            return super().handle(request, own)

    node, members = federation()
    store = MemoryTransport()
    loud = Loud(members[2]._provers, None, key=members[2]._key)
    events = run_over(node, [*members[:2], loud], store, lambda: store, window_s=20)
    (refused,) = (e for e in events if isinstance(e, Refused))
    assert "x1b" in str(refused)
    assert "\x1b" not in str(refused)
    assert len(refused.verdict.reason) <= 200


def test_an_ask_of_another_node_is_not_answered() -> None:
    node, members = federation()
    other, _ = federation()
    store = MemoryTransport()
    impostor = NodeMailbox(other, store, devices=3)
    impostor.name = federation_name(node.policy)
    impostor._post(b"anything", ())
    mailbox = MemberMailbox(members[0], store, policy=node.policy, key=members[0]._key)
    assert mailbox.poll() == ""
    assert store.fetch(f"{mailbox.name}/answers/0") == ()


class Shaky:
    """A member's side of a store, of whose calls about every third fails: before it did anything, or after."""

    def __init__(self, store: MemoryTransport, seed: int) -> None:
        self._store, self._chance, self.failed = store, random.Random(seed), 0

    def _may_fail(self) -> None:
        if self._chance.random() < 0.2:
            self.failed += 1
            raise TransportError("the network is away")

    def publish(self, channel: str, message: bytes) -> str:
        self._may_fail()
        address = self._store.publish(channel, message)
        self._may_fail()
        return address

    def fetch(self, channel: str, *, start: int = 0) -> tuple[bytes, ...]:
        self._may_fail()
        return self._store.fetch(channel, start=start)


def test_a_poll_that_fails_loses_neither_ask_nor_answer() -> None:
    """Members that just poll again over a network that comes and goes: nobody misses a round, or answers twice."""
    node, members = federation()
    store = MemoryTransport()
    shaky = [Shaky(store, seed) for seed in range(len(members))]
    sides = iter(shaky)

    class Patient(MemberMailbox):
        def poll(self) -> str:
            try:
                return super().poll()
            except TransportError:
                return ""

    events = run_over(node, members, store, lambda: next(sides), rounds=3, mailbox_of=Patient)
    assert [e.accepted for e in events if isinstance(e, Released)] == [3, 3, 3]
    assert not [e for e in events if isinstance(e, Refused)]
    assert all(side.failed > 5 for side in shaky)


def test_a_device_that_is_silent_costs_its_window_and_no_more() -> None:
    node, members = federation(devices=4)
    store = MemoryTransport()

    class Mute(Member):
        def handle(self, request: bytes, own: bytes = b"") -> bytes:
            if b"ask-enrol" not in request[:40]:
                raise RuntimeError("a text with a row 0.123")
            return super().handle(request, own)

    mute = Mute(members[3]._provers, None, key=members[3]._key)
    events = run_over(node, [*members[:3], mute], store, lambda: store)
    refused = [e.verdict for e in events if isinstance(e, Refused)]
    assert [(v.client, v.code) for v in refused] == [(mute.public_key.hex(), "device-failed")]
    assert "0.123" not in refused[0].reason
    assert [e.accepted for e in events if isinstance(e, Released)] == [3]


@pytest.mark.parametrize("kind", ["S2", "S1"])
def test_a_round_without_anybody_waits_for_nobody(kind: str) -> None:
    """Every device fails before it commits: nobody is left to ask, so no window passes, and nobody else is asked."""
    node, members = federation(kind)
    store = MemoryTransport()

    class Unwilling(Member):
        def handle(self, request: bytes, own: bytes = b"") -> bytes:
            if b"ask-join" in request[:40]:
                raise RuntimeError
            return super().handle(request, own)

    for member in members:
        member.__class__ = Unwilling
    start = time.monotonic()
    events = run_over(node, members, store, lambda: store, window_s=60)
    assert time.monotonic() - start < 40
    assert [e for e in events if isinstance(e, RoundAbandoned)]
    assert {e.verdict.code for e in events if isinstance(e, Refused)} == {"device-failed"}


def test_the_key_holder_is_told_that_the_node_goes_even_if_no_device_can_be() -> None:
    node, _ = federation()
    told = list[bool]()
    node.end = lambda: told.append(True)  # type: ignore[method-assign]

    class Down(MemoryTransport):
        def publish(self, channel: str, message: bytes) -> str:
            if "/asks/" in channel:
                raise TransportError("down")
            return super().publish(channel, message)

    with pytest.raises(TransportError, match="down"):
        list(NodeMailbox(node, Down(), devices=3).run(1))
    assert told == [True]


def test_answers_are_taken_to_what_was_asked_only() -> None:
    """A device that may answer cannot fill channels of its own invention."""
    node, _ = federation()
    mailbox = NodeMailbox(node, MemoryTransport(), devices=3)
    for asked in range(12):
        assert mailbox.takes(f"{mailbox.name}/answers/{asked}")
        for channel in (f"answers/{asked + 1}", "answers/00", "answers/x", "answers/", "answers/0/0", "asks/0", "0"):
            assert not mailbox.takes(f"{mailbox.name}/{channel}"), channel
        assert not mailbox.takes(f"x/answers/{asked}")
        mailbox._post(b"", ())
        assert mailbox.takes(f"{mailbox.name}/answers/0")


def test_a_member_that_restarts_takes_part_again() -> None:
    node, members = federation(devices=3)
    store = MemoryTransport()
    run_over(node, members, store, lambda: store, rounds=1)
    again = Member(members[0]._provers, members[0]._shard, key=members[0]._key, state=members[0].state())
    mailbox = MemberMailbox(again, store, policy=node.policy, key=again._key)
    assert mailbox.poll() == ""
    assert mailbox.is_over


def test_proving_keys_travel_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a stranger writes, and whenever: lists of its own, parts that were changed, garbage."""
    from tests.layers.parties import proving_keys
    from zkfed.orchestrator import key_parts

    monkeypatch.setattr(key_parts, "PART_BYTES", 5000)
    assert PART_BYTES > 5000
    node, keys = federation()[0], proving_keys()
    name, encoded = federation_name(node.policy), [key.encode() for key in keys[:2]]
    plain, mixed, half = MemoryTransport(), MemoryTransport(), MemoryTransport()
    with pytest.raises(TransportError, match="no proving keys"):
        fetch_keys(plain, node.policy)
    publish_keys(plain, node.policy, keys, node.sign)
    assert [key.encode() for key in fetch_keys(plain, node.policy)] == encoded
    publish_keys(mixed, node.policy, keys[::-1], SigningKey.generate().sign)
    for message in (b"", b"\xff\x80", b"0" * 64, node.sign("ask", b"").encode(), node.sign("keys", b"").encode()):
        mixed.publish(f"{name}/keys", message)
    for channel in ("keys/0", "keys/1"):
        parts = plain.fetch(f"{name}/{channel}")
        assert len(parts) > 2
        for part in parts:
            mixed.publish(f"{name}/{channel}", part[:-1] + bytes([part[-1] ^ 1]))
        half.publish(f"{name}/{channel}", parts[0])
    publish_keys(mixed, node.policy, keys, node.sign)
    assert [key.encode() for key in fetch_keys(mixed, node.policy)] == encoded
    half.publish(f"{name}/keys", plain.fetch(f"{name}/keys")[0])
    with pytest.raises(TransportError, match="1 of"):
        fetch_keys(half, node.policy)


def test_a_flood_of_strangers_signatures_ends_with_the_window() -> None:
    """Each costs a check that it is an answer; eight thousand take about a second, five million ten minutes."""
    node, members = federation()
    node._allowed = frozenset(m.public_key for m in members)
    store, stranger = MemoryTransport(), SigningKey.generate()
    mailbox = NodeMailbox(node, store, devices=3, window_s=0.05)
    read = list[bytes]()
    honest = mailbox._open

    def counted(message: bytes, posted: bytes, ask: Any) -> Any:
        read.append(message)
        return honest(message, posted, ask)

    mailbox._open = counted  # type: ignore[method-assign]
    for number in range(8000):
        store.publish(f"{mailbox.name}/answers/0", stranger.sign("reply", number.to_bytes(4, "big")).encode())
    start = time.monotonic()
    with pytest.raises(PolicyError, match="0 devices"):
        list(mailbox.run(1))
    assert time.monotonic() - start < 1
    assert 0 < len(read) < 8000
