"""Shows that NATS is a transport, and that neither a broker nor a stranger on it can do more than be in the way."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.adapters.servers import NATS, Broker, running
from zkfed.adapters.nats import NatsTransport
from zkfed.errors import LimitExceeded, TransportError
from zkfed.orchestrator.pieces import cut
from zkfed.testing.transport_conformance import Medium, TransportConformance

T = TypeVar("T")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running("nats-server", tmp_path_factory.mktemp("nats"), NATS) as broker:
        yield broker


class TestNats(TransportConformance):
    @pytest.fixture
    def medium(self, broker: Broker) -> Medium:
        limit = 1 << 24
        return Medium(
            open=lambda: NatsTransport(f"nats://127.0.0.1:{broker.port}", message_bytes_max=limit, timeout_s=10),
            restart=broker.restart,
            message_bytes_max=limit,
            close=lambda transport: transport.close(),  # type: ignore[attr-defined]
        )


# -- strangers with a NATS client of their own -------------------------------------------------


def raw(broker: Broker, act: Callable[[Any], Awaitable[T]]) -> T:
    """Does something on the broker with nats-py itself, as anybody may who is let in."""
    import nats

    async def run() -> T:
        client = await nats.connect(f"nats://127.0.0.1:{broker.port}")
        try:
            return await act(client)
        finally:
            await client.close()

    return asyncio.run(run())


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Broker]:
    with running("nats-server", tmp_path, NATS) as broker:
        yield broker


@contextlib.contextmanager
def opened(broker: Broker, **options: Any) -> Iterator[NatsTransport]:
    transport = NatsTransport(f"nats://127.0.0.1:{broker.port}", **{"timeout_s": 10} | options)
    try:
        yield transport
    finally:
        transport.close()


def test_garbage_cut_pieces_and_replays_on_our_subject_keep_nothing_out(fresh: Broker) -> None:
    message = secrets.token_bytes(3 << 20)
    items = cut(message, (1 << 20) - 512)
    with opened(fresh) as transport:
        transport.publish("a", b"before")

        async def write(client: Any) -> None:
            for item in (b"", b"\x07", os.urandom(1000), *(item[: len(item) // 2] for item in items), *items[:2]):
                await client.jetstream().publish("zkfed.a", item)
            for item in reversed(items):  # the whole of it, backwards
                await client.jetstream().publish("zkfed.a", item)

        raw(fresh, write)
        transport.publish("a", message)
        transport.publish("a", b"after")
        assert transport.fetch("a") == (b"before", message, b"after")


def test_a_stranger_who_takes_the_names_of_our_items_keeps_nothing_out(fresh: Broker) -> None:
    """`Nats-Msg-Id` is free for all: the server drops what comes under a name that it has seen."""
    item = b"\0honest"
    name = hashlib.sha256(b"zkfed.a\0" + item).hexdigest()
    with opened(fresh) as transport:
        transport.publish("elsewhere", b"x")
        raw(fresh, lambda client: client.jetstream().publish("zkfed.a", b"\0forged", headers={"Nats-Msg-Id": name}))
        transport.publish("a", b"honest")
        assert transport.fetch("a") == (b"forged", b"honest")


def test_a_full_stream_refuses_and_keeps_what_it_has(fresh: Broker) -> None:
    async def create(client: Any) -> None:
        await client.jetstream().add_stream(
            name="zkfed", subjects=["zkfed.>"], max_bytes=10_000, discard="new", allow_direct=False
        )

    raw(fresh, create)
    with opened(fresh) as transport:
        transport.publish("a", bytes(5000))
        with pytest.raises(LimitExceeded, match="is full: maximum bytes exceeded"):
            transport.publish("a", bytes(6000))
        transport.publish("a", b"small")
        assert transport.fetch("a") == (bytes(5000), b"small")


def test_a_stream_that_is_for_something_else_is_refused(fresh: Broker) -> None:
    raw(fresh, lambda client: client.jetstream().add_stream(name="zkfed", subjects=["other.>"]))
    with opened(fresh) as transport, pytest.raises(TransportError, match="does not take the subjects"):
        transport.publish("a", b"x")
    with opened(fresh, prefix="mine") as transport:
        transport.publish("a", b"x")
        assert transport.fetch("a") == (b"x",)


def test_a_stream_that_was_made_anew_is_read_from_its_start(fresh: Broker) -> None:
    with opened(fresh) as transport:
        for number in range(5):
            transport.publish("a", b"%d" % number)
        assert len(transport.fetch("a")) == 5
        raw(fresh, lambda client: client.jetstream().delete_stream("zkfed"))
        fresh.restart()
        transport.publish("a", b"new")
        assert transport.fetch("a") == (b"new",)


def test_a_server_that_repeats_itself_is_left_at_once(fresh: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    from nats.js import JetStreamContext

    honest = JetStreamContext.get_msg

    async def first_again(self: Any, stream: str, seq: int, *args: Any, **options: Any) -> Any:
        return await honest(self, stream, 1, *args, **options)

    with opened(fresh, timeout_s=2) as transport:
        transport.publish("a", b"x")
        monkeypatch.setattr(JetStreamContext, "get_msg", first_again)
        with pytest.raises(TransportError, match="another message than the next"):
            transport.fetch("a")


def test_a_server_without_jetstream_is_said(tmp_path: Path) -> None:
    with (
        running("nats-server", tmp_path, 'listen: "127.0.0.1:@PORT@"\n') as broker,
        opened(broker, timeout_s=1) as plain,
        pytest.raises(TransportError, match="may this user do that"),
    ):
        plain.publish("a", b"x")


def test_a_server_with_a_small_limit_gets_smaller_pieces(tmp_path: Path) -> None:
    with running("nats-server", tmp_path, NATS + "max_payload: 8192\n") as broker, opened(broker) as transport:
        message = secrets.token_bytes(500_000)
        transport.publish("a", message)
        assert transport.fetch("a") == (message,)
        with pytest.raises(LimitExceeded, match="raise the broker's message limit"):
            transport.publish("a", bytes(1 << 24))
    with (
        running("nats-server", tmp_path, NATS + "max_payload: 1000\n") as broker,
        opened(broker) as transport,
        pytest.raises(TransportError, match="carries 1000 bytes at once, at least 4096"),
    ):
        transport.publish("a", b"x")


def test_channels_beyond_what_is_kept_in_memory_are_read_anew(fresh: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zkfed.adapters.nats._KEPT_BYTES_MAX", 1000)
    with opened(fresh) as transport:
        for channel in ("a", "b", "c"):
            for number in range(3):
                transport.publish(channel, bytes([number]) * 400)
        for channel in ("a", "b", "c", "a"):
            assert transport.fetch(channel, start=1) == (b"\1" * 400, b"\2" * 400)
            assert len(transport._logs) == 1


def test_without_the_extra_the_text_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nats.errors", None)
    with pytest.raises(TransportError, match=re.escape("pip install 'zkfed[nats]'")):
        NatsTransport("nats://host")
