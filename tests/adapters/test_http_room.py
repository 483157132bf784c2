"""What one key can make an HTTP node hold: as much as an honest device answers, twice, in as many channels as asks."""

from __future__ import annotations

import contextlib
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from tests.adapters.test_http import HEAD, Running
from tests.layers.parties import ROWS, make_policy, proving_keys
from tests.orchestrator import mailing
from tests.orchestrator.hosting import federation
from zkfed.adapters.http import HttpTransport
from zkfed.adapters.http_node import HttpNode, serving
from zkfed.adapters.memory import MemoryTransport
from zkfed.cli.serve import may_answer
from zkfed.errors import LimitExceeded, NotAuthorised, ZkfedError
from zkfed.orchestrator.events import Refused, Released
from zkfed.orchestrator.holding import HolderLink
from zkfed.orchestrator.http_wire import signature_headers
from zkfed.orchestrator.mailbox import MemberMailbox, NodeMailbox, federation_name
from zkfed.orchestrator.node import Node
from zkfed.orchestrator.options import Options
from zkfed.orchestrator.room import channel_bytes_needed, check_channel_room
from zkfed.orchestrator.synthetic import synthetic_cohort
from zkfed.policy import LinearModel
from zkfed.updates.signing import SigningKey

ROOM = 100_000


@pytest.fixture
def url() -> Iterator[str]:
    node = HttpNode(MemoryTransport(), may_write=lambda channel, key: True, key_bytes_max=lambda channel: ROOM)
    with serving(node) as url:
        yield url


def test_a_key_has_its_room_in_a_channel_and_no_more(url: str) -> None:
    mine, other = (HttpTransport(url, key=SigningKey.generate()) for _ in range(2))
    mine.publish("a", bytes(60_000))
    for size in (60_000, 40_000, 10**7):
        with pytest.raises(LimitExceeded, match="the node refused"):
            mine.publish("a", b"\1" * size)
    for _ in range(3):  # what is there already takes no more room, however often it comes
        mine.publish("a", bytes(60_000))
    mine.publish("a", b"\2" * 30_000)
    with pytest.raises(LimitExceeded, match=r"at most \d+ are carried"):
        mine.publish("a", b"\1" * 10_000)
    mine.publish("b", bytes(60_000))
    other.publish("a", b"\3" * 60_000)
    assert [len(m) for m in other.fetch("a")][:2] == [60_000, 30_000]
    mine.close()
    other.close()


def test_messages_of_no_bytes_are_not_free(url: str) -> None:
    transport = HttpTransport(url, key=SigningKey.generate())
    for number in range(ROOM // 1026):
        transport.publish("a", number.to_bytes(2, "big"))
    with pytest.raises(LimitExceeded, match="97 messages into the channel, 100000 bytes are its room"):
        transport.publish("a", b"one more")
    transport.close()


def test_bodies_of_one_key_that_come_at_once_have_one_room(url: str) -> None:
    """Each finds room when its first byte comes; when the last has come, only the first ones still do."""
    key, running = SigningKey.generate(), Running(url, MemoryTransport())
    bodies = [bytes([number]) * 60_000 for number in range(5)]
    with contextlib.ExitStack() as stack:
        uploads = []
        for body in bodies:
            headers = signature_headers(key, "POST", "/v1/a", body, now_s=int(time.time()))
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
            connection = stack.enter_context(socket.create_connection((running.host, running.port), timeout=10))
            connection.sendall(HEAD + lines + b"Content-Length: 60000\r\n\r\n" + body[:-1])
            uploads.append(connection)
        time.sleep(0.5)
        for connection, body in zip(uploads, bodies, strict=True):
            connection.sendall(body[-1:])
        said = [connection.recv(1 << 12)[:12] for connection in uploads]
    assert sorted(said) == [b"HTTP/1.1 200", *[b"HTTP/1.1 413"] * 4]
    reader = HttpTransport(url)
    assert len(reader.fetch("a")) == 1
    reader.close()


def test_a_message_that_the_store_did_not_take_costs_no_room() -> None:
    store = MemoryTransport(message_bytes_max=1000)
    node = HttpNode(store, may_write=lambda channel, key: True, key_bytes_max=lambda channel: 10_000)
    with serving(node) as url:
        transport = HttpTransport(url, key=SigningKey.generate())
        for number in range(5):
            with pytest.raises(LimitExceeded, match="at most 1000 are carried"):
                transport.publish("a", bytes([number]) * 5000)
        transport.publish("a", bytes(1000))
        transport.close()


class Hosted(NodeMailbox):
    """The mailbox of the node that runs."""

    running: ClassVar[list[NodeMailbox]] = []

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.running[:] = [self]


def may_write(channel: str, key: bytes | None) -> bool:
    """Opens channels as `zkfed serve` does."""
    (mailbox,) = Hosted.running
    return key is not None and mailbox.takes(channel) and may_answer(mailbox.node, channel, key)


def room(channel: str) -> int:
    return Hosted.running[0].room(channel)


@pytest.mark.parametrize(("kind", "options"), [("S2", {}), ("S2", {"exchanges": 1}), ("S4", {}), ("S1", {})], ids=str)
def test_honest_rounds_need_half_of_it_at_most(
    kind: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailing, "NodeMailbox", Hosted)
    node, members = federation(kind, **options)
    store, keys = MemoryTransport(), iter(m._key for m in members)
    half = HttpNode(store, may_write=may_write, key_bytes_max=lambda channel: room(channel) // 2)
    with serving(half) as url:
        events = mailing.run_over(node, members, store, lambda: HttpTransport(url, key=next(keys)), rounds=2)
    assert [e.accepted for e in events if isinstance(e, Released)] == [3, 3]
    assert not [e for e in events if isinstance(e, Refused)]


def test_an_enrolled_device_fills_neither_an_open_ask_nor_the_earlier_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes whatever it can, while a round runs and the others answer."""
    monkeypatch.setattr(mailing, "NodeMailbox", Hosted)
    node, members = federation(devices=4)
    store, insider = MemoryTransport(), members[3]._key
    taken, refused = list[int](), list[type[Exception]]()

    class Greedy(MemberMailbox):
        def wait(self, pause_s: float = 0.1) -> None:
            super().wait(pause_s)
            for asked in range(9) if self.member.public_key == insider.public else ():
                for size in (1 << 20, 50_000, 0):
                    try:
                        self.transport.publish(f"{self.name}/answers/{asked}", secrets.token_bytes(8) + bytes(size))
                        taken.append(size + 8)
                    except ZkfedError as error:
                        refused.append(type(error))

    keys = iter(m._key for m in members)
    with serving(HttpNode(store, may_write=may_write, key_bytes_max=room)) as url:
        events = mailing.run_over(
            node, members, store, lambda: HttpTransport(url, key=next(keys)), mailbox_of=Greedy, window_s=5
        )
    (released,) = (e for e in events if isinstance(e, Released))
    assert released.accepted >= 3
    assert set(refused) == {LimitExceeded, NotAuthorised}
    assert sum(taken) <= sum(Hosted.running[0].room(f"{Hosted.running[0].name}/answers/{k}") for k in range(9))


def test_a_key_holder_answers_in_as_many_channels_as_it_was_asked() -> None:
    policy, store, key = make_policy(), MemoryTransport(), SigningKey.generate()
    _, benchmark = synthetic_cohort(policy.model, 3, ROWS)
    node = Node(policy, benchmark, options=Options(keys=proving_keys()), holder=HolderLink(key.public, store))
    mailbox = NodeMailbox(node, store, devices=3)
    for asked in range(3):
        takes = [mailbox.takes(f"{mailbox.name}/holder/answers/{k}") for k in range(5)]
        assert takes == [k < asked for k in range(5)]
        assert not mailbox.takes(f"{mailbox.name}/holder/answers/x")
        node.end()  # tells it something


def test_answers_that_fit_into_no_channel_are_said_so_before_the_first() -> None:
    """The last devices' updates would be refused otherwise, in every round; insiders answer twice as much each."""
    node, _ = federation()
    needed = channel_bytes_needed(node.policy, 1000)
    for transport in (MemoryTransport(channel_bytes_max=needed // 10), MemoryTransport(channel_bytes_max=1 << 20)):
        with pytest.raises(LimitExceeded, match=f"1000 devices answer with .*channel_bytes_max={needed}$"):
            NodeMailbox(node, transport, devices=1000)
        assert transport.fetch(f"{federation_name(node.policy)}/policy") == ()
    NodeMailbox(node, MemoryTransport(channel_bytes_max=needed), devices=1000)
    large = LinearModel(features=7000, classes=10)
    policy = replace(node.policy, statement=replace(node.policy.improvement, model=large))
    check_channel_room(policy, 450, MemoryTransport())
    with pytest.raises(LimitExceeded, match="500 devices answer with"):
        check_channel_room(policy, 500, MemoryTransport())
