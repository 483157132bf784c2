"""Shows that MQTT is a transport, and that neither a broker nor a stranger on it can do more than be in the way."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.hostile import tcp_server
from tests.adapters.servers import MOSQUITTO, Broker, running
from zkfed.adapters.mqtt import MqttTransport
from zkfed.errors import TransportError
from zkfed.orchestrator.pieces import cut
from zkfed.testing.transport_conformance import Medium, TransportConformance


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running("mosquitto", tmp_path_factory.mktemp("mqtt"), MOSQUITTO) as broker:
        yield broker


class TestMqtt(TransportConformance):
    @pytest.fixture
    def medium(self, broker: Broker) -> Medium:
        limit = 1 << 24
        return Medium(
            open=lambda: MqttTransport(f"mqtt://127.0.0.1:{broker.port}", message_bytes_max=limit, timeout_s=10),
            restart=broker.restart,
            message_bytes_max=limit,
            close=lambda transport: transport.close(),  # type: ignore[attr-defined]
        )


# -- strangers with an MQTT client of their own ------------------------------------------------


def raw(broker: Broker, writes: list[tuple[str, bytes]]) -> None:
    """Leaves retained messages on the broker with aiomqtt itself, as anybody may who is let in."""
    import aiomqtt

    async def run() -> None:
        async with aiomqtt.Client("127.0.0.1", broker.port) as client:
            for topic, payload in writes:
                await client.publish(topic, payload, qos=1, retain=True)

    asyncio.run(run())


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Broker]:
    with running("mosquitto", tmp_path, MOSQUITTO) as broker:
        yield broker


@contextlib.contextmanager
def opened(broker: Broker, login: str = "", **options: Any) -> Iterator[MqttTransport]:
    transport = MqttTransport(f"mqtt://{login}127.0.0.1:{broker.port}", **{"timeout_s": 10} | options)
    try:
        yield transport
    finally:
        transport.close()


def test_garbage_cut_pieces_and_replays_on_our_topics_keep_nothing_out(fresh: Broker) -> None:
    message = secrets.token_bytes(3 << 20)
    items = cut(message, 1 << 19)
    clock = bytes(8)
    garbage = [b"\0", bytes(8), os.urandom(1000), *(clock + item[: len(item) // 2] for item in items)]
    replays = [b"\xff" * 8 + item for item in reversed(items[1:])]
    writes = [(f"zkfed/x/a/{number}", payload) for number, payload in enumerate(garbage + replays)]
    writes += [("zkfed/x/~", b"mark"), ("zkfed/x", b"short"), ("zkfed", b"x"), ("zkfed/x/a/b/c", clock + b"\0deeper")]
    with opened(fresh) as early:
        assert early.fetch("a") == ()
        raw(fresh, writes)
        early.publish("a", message)
        early.publish("a", b"after")
        assert early.fetch("a") == (message, b"after")
    with opened(fresh) as late:
        assert late.fetch("a") == (message, b"after")


def test_a_stranger_who_moves_clocks_moves_only_what_nobody_was_given(fresh: Broker) -> None:
    with opened(fresh, "honest@") as writer, opened(fresh) as reader:
        writer.publish("a", b"1")
        writer.publish("a", b"2")
        assert reader.fetch("a") == (b"1", b"2")
        raw(fresh, [("zkfed/x/a/first", bytes(8) + b"\0forged"), ("zkfed/x/a/again", bytes(8) + b"\0" + b"2")])
        assert reader.fetch("a") == (b"1", b"2", b"forged")
        assert reader.fetch("a", start=2) == (b"forged",)


def test_an_erased_topic_is_withheld_from_late_readers_and_can_be_published_again(fresh: Broker) -> None:
    with opened(fresh, "honest@") as writer, opened(fresh) as reader:
        writer.publish("a", b"x")
        assert reader.fetch("a") == (b"x",)
        raw(fresh, [(f"zkfed/honest/a/{hashlib.sha256(bytes(1) + b'x').hexdigest()}", b"")])
        assert reader.fetch("a") == (b"x",)
        with opened(fresh) as late:
            assert late.fetch("a") == ()
            writer.publish("a", b"x")
            assert late.fetch("a") == (b"x",)


def test_more_retained_messages_than_a_brokers_usual_queue_all_come(fresh: Broker) -> None:
    with opened(fresh) as writer, opened(fresh) as late:
        for number in range(1500):
            writer.publish("a", b"%d" % number)
        assert late.fetch("a") == tuple(b"%d" % number for number in range(1500))


RULES = "user device\ntopic write zkfed/device/#\ntopic read zkfed/#\nuser mute\ntopic read zkfed/#\n"


def test_rules_of_the_broker_keep_a_user_to_its_own_topics(tmp_path: Path) -> None:
    """A user that may not write is told, although MQTT 3.1.1 acknowledges what it drops."""
    (tmp_path / "rules").write_text(RULES)
    with running("mosquitto", tmp_path, MOSQUITTO + f"acl_file {tmp_path}/rules\n") as broker:
        with opened(broker, "device@") as device:
            device.publish("a", b"x")
            assert device.fetch("a") == (b"x",)
        with (
            opened(broker, "mute@", timeout_s=1) as mute,
            pytest.raises(TransportError, match="have to let this user write zkfed/mute/#"),
        ):
            mute.publish("a", b"y")


def test_a_broker_that_refuses_to_let_us_read_is_said() -> None:
    def refusing(connection: socket.socket, received: list[bytes]) -> None:
        connection.recv(4096)
        connection.sendall(b"\x20\x02\x00\x00")
        asked = connection.recv(4096)
        connection.sendall(b"\x90\x03" + asked[2:4] + b"\x80")
        while connection.recv(4096):
            pass

    with tcp_server(refusing) as (port, _):
        transport = MqttTransport(f"mqtt://127.0.0.1:{port}", timeout_s=2)
        with pytest.raises(TransportError, match="refuses to let this user read"):
            transport.fetch("a")
        transport.close()


@pytest.mark.parametrize("user", ["a%2Fb", "%2B", "%23", "a%20b", "x" * 101, ""])
def test_a_user_that_cannot_be_a_level_of_topics_is_refused(user: str) -> None:
    with pytest.raises(TransportError, match="a level of topics"):
        MqttTransport(f"mqtt://{user}:hidden@host")


def test_without_the_extra_the_text_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiomqtt", None)
    with pytest.raises(TransportError, match=re.escape("pip install 'zkfed[mqtt]'")):
        MqttTransport("mqtt://host")
