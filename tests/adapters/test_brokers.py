"""Shows what NATS and MQTT have in common: bad addresses, certificates, passwords and brokers are typed errors.

Every error is a `TransportError` in time, holds no password, and the next honest call goes through.
"""

from __future__ import annotations

import contextlib
import gc
import os
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.hostile import Answer, certificate, tcp_server
from tests.adapters.servers import MOSQUITTO, NATS, Broker, free_port, running
from zkfed.adapters.mqtt import MqttTransport
from zkfed.adapters.nats import NatsTransport
from zkfed.errors import LimitExceeded, TransportError

PASSWORD = "hunter2-do-not-show"  # noqa: S105
KINDS: dict[str, tuple[Callable[..., Any], str, str]] = {
    "nats": (NatsTransport, "nats-server", NATS),
    "mqtt": (MqttTransport, "mosquitto", MOSQUITTO),
}
NATS_INFO = b'INFO {"server_id":"x","version":"2.9.10","max_payload":1048576,"headers":true,"proto":1}\r\n'

kinds = pytest.mark.parametrize("kind", sorted(KINDS))


@contextlib.contextmanager
def transport(kind: str, port: int, *, host: str = "127.0.0.1", login: str = "", **options: Any) -> Iterator[Any]:
    opened = KINDS[kind][0](f"{kind}://{login}{host}:{port}", **{"timeout_s": 5} | options)
    try:
        yield opened
    finally:
        opened.close()


@contextlib.contextmanager
def broker_of(kind: str, folder: Path, extra: str = "") -> Iterator[Broker]:
    _, name, config = KINDS[kind]
    with running(name, folder, config + extra) as broker:
        yield broker


@kinds
@pytest.mark.parametrize(
    "url",
    ["", "HOST", "http://host", "KIND://", "KIND://host/path", "KIND://host?x=1", "KIND://host:port", "KIND://h:70000"],
)
def test_a_malformed_url_is_refused_and_not_shown(kind: str, url: str) -> None:
    with pytest.raises(TransportError, match=r"expected (nats|mqtt)") as refused:
        KINDS[kind][0](url.replace("KIND", kind).replace("//", f"//me:{PASSWORD}@"))
    assert PASSWORD not in str(refused.value)


@kinds
@pytest.mark.parametrize("prefix", ["", "a.b", "a/b", "A", "a*", "+", "#", ">", "a" * 101, "a\n"])
def test_a_malformed_prefix_is_refused(kind: str, prefix: str) -> None:
    with pytest.raises(TransportError, match="prefix"):
        KINDS[kind][0](f"{kind}://host", prefix=prefix)


@kinds
def test_nobody_there_is_said_in_time_without_the_password(kind: str) -> None:
    with transport(kind, free_port(), login=f"me:{PASSWORD}@", timeout_s=0.5) as alone:
        started = time.monotonic()
        with pytest.raises(TransportError, match=r"127\.0\.0\.1:\d+ failed for 0\.5 s") as refused:
            alone.publish("a", b"x")
        assert time.monotonic() - started < 2
        assert PASSWORD not in str(refused.value) + repr(alone)


@kinds
def test_a_closed_transport_says_so(kind: str, tmp_path: Path) -> None:
    with broker_of(kind, tmp_path) as broker, transport(kind, broker.port) as opened:
        opened.publish("a", b"x")
        opened.close()
        with pytest.raises(TransportError, match="closed; make a new one"):
            opened.fetch("a")
        opened.close()


@kinds
def test_two_federations_on_one_broker_do_not_mix(kind: str, tmp_path: Path) -> None:
    with (
        broker_of(kind, tmp_path) as broker,
        transport(kind, broker.port, prefix="one") as one,
        transport(kind, broker.port, prefix="two") as two,
    ):
        one.publish("a", b"of one")
        two.publish("a", b"of two")
        assert one.fetch("a") == (b"of one",)
        assert two.fetch("a") == (b"of two",)


@kinds
def test_a_channel_above_the_readers_limit_is_refused_and_others_go_on(kind: str, tmp_path: Path) -> None:
    with broker_of(kind, tmp_path) as broker, transport(kind, broker.port) as opened:
        opened.channel_bytes_max = 1000
        for number in range(4):
            opened.publish("full", bytes([number]) * 300)
        for _ in range(2):
            with pytest.raises(LimitExceeded, match="more than 1000 bytes"):
                opened.fetch("full")
        opened.publish("b", b"next")
        assert opened.fetch("b") == (b"next",)


# -- who it is ---------------------------------------------------------------------------------


def _password_config(kind: str, folder: Path) -> str:
    if kind == "nats":
        return f'authorization {{ user: me, password: "{PASSWORD}" }}\n'
    import base64
    import hashlib

    salt = secrets.token_bytes(12)  # mosquitto's own format, "$7$": PBKDF2
    derived = hashlib.pbkdf2_hmac("sha512", PASSWORD.encode(), salt, 101)
    coded = [base64.b64encode(part).decode() for part in (salt, derived)]
    (folder / "passwords").write_text(f"me:$7$101${coded[0]}${coded[1]}\n")
    return f"allow_anonymous false\npassword_file {folder}/passwords\n"


@kinds
def test_a_password_lets_in_and_a_wrong_one_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    config = _password_config(kind, tmp_path)
    base = KINDS[kind][2].replace("allow_anonymous true\n", "")
    with running(KINDS[kind][1], tmp_path, base + config) as broker:
        with transport(kind, broker.port, login=f"me:{PASSWORD}@") as opened:
            opened.publish("a", b"x")
            assert opened.fetch("a") == (b"x",)
            assert PASSWORD not in repr(opened)
        for login in ("", f"me:{PASSWORD}x@"):
            with transport(kind, broker.port, login=login, timeout_s=20) as stranger:
                started = time.monotonic()
                with pytest.raises(TransportError, match="refuses this user") as refused:
                    stranger.publish("a", b"x")
                assert time.monotonic() - started < 5
                assert PASSWORD not in str(refused.value)


# -- certificates ------------------------------------------------------------------------------


# paho leaves the socket of a TLS handshake that failed to the garbage collector.
left_by_paho = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def _tls_config(kind: str, cert: Path, key: Path) -> str:
    if kind == "nats":
        return f'tls {{ cert_file: "{cert}", key_file: "{key}" }}\n'
    return f"certfile {cert}\nkeyfile {key}\n"


@left_by_paho
@kinds
def test_a_certificate_must_be_trusted_and_fit_the_host(kind: str, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path / "right", "127.0.0.1")
    trusted = ssl.create_default_context(cafile=str(cert))
    with broker_of(kind, tmp_path, _tls_config(kind, cert, key)) as broker:
        with transport(kind, broker.port, tls=trusted) as opened:
            opened.publish("a", bytes(3 << 20))
            assert opened.fetch("a") == (bytes(3 << 20),)
        for host, tls in (("127.0.0.1", ssl.create_default_context()), ("localhost", trusted)):
            with transport(kind, broker.port, host=host, tls=tls, timeout_s=20, login=f"me:{PASSWORD}@") as wrong:
                started = time.monotonic()
                with pytest.raises(TransportError, match="no certificate that fits") as refused:
                    wrong.publish("a", b"x")
                assert time.monotonic() - started < 5
                assert PASSWORD not in str(refused.value)
    gc.collect()


@left_by_paho
@kinds
def test_no_password_goes_out_where_tls_was_asked_for_and_the_server_offers_none(kind: str) -> None:
    def without_tls(connection: socket.socket, received: list[bytes]) -> None:
        connection.sendall(NATS_INFO if kind == "nats" else b"\x20\x02\x00\x00")
        while data := connection.recv(4096):
            received.append(data)
            connection.sendall(b"PONG\r\n" if kind == "nats" else b"")

    with tcp_server(without_tls) as (port, received):
        tls = ssl.create_default_context()
        with (
            transport(kind, port, tls=tls, login=f"me:{PASSWORD}@", timeout_s=1) as opened,
            pytest.raises(TransportError) as refused,
        ):
            opened.publish("a", b"x")
        assert PASSWORD not in str(refused.value)
    assert PASSWORD.encode() not in b"".join(received)
    gc.collect()


# -- brokers that lie --------------------------------------------------------------------------


def _silent(connection: socket.socket, received: list[bytes]) -> None:
    while connection.recv(4096):
        pass


def _garbage(connection: socket.socket, received: list[bytes]) -> None:
    connection.sendall(os.urandom(5000))
    _silent(connection, received)


def _garbage_after_hello(connection: socket.socket, received: list[bytes]) -> None:
    connection.sendall(NATS_INFO)  # an MQTT client takes it for garbage of another kind
    connection.recv(4096)
    connection.sendall(b"PONG\r\n" + os.urandom(5000))
    _silent(connection, received)


def _cut_off(connection: socket.socket, received: list[bytes]) -> None:
    """Breaks off in the middle of a message of a megabyte."""
    first = connection.recv(4096) if not received else b""
    if first[:1] == b"\x10":  # MQTT: a connection, a subscription, then a long message
        connection.sendall(b"\x20\x02\x00\x00")
        subscription = connection.recv(4096)
        connection.sendall(b"\x90\x03" + subscription[2:4] + b"\x01")
        connection.sendall(b"\x32\x80\x80\x40\x00\x03a/b\x00\x01" + bytes(1000))


def _cut_off_nats(connection: socket.socket, received: list[bytes]) -> None:
    connection.sendall(NATS_INFO)
    connection.recv(4096)
    connection.sendall(b"PONG\r\n")
    connection.recv(4096)
    connection.sendall(b"MSG _INBOX.a.b 1 1000000\r\n" + bytes(1000))


def _bad_info(connection: socket.socket, received: list[bytes]) -> None:
    connection.sendall(b'INFO {"max_payload":"large","connect_urls":7,"tls_required":[]}\r\n')
    _silent(connection, received)


def _long_line(connection: socket.socket, received: list[bytes]) -> None:
    for _ in range(64):
        connection.sendall(b"INFO {" + b" " * (1 << 18))


@kinds
@pytest.mark.parametrize(
    "answer", [_silent, _garbage, _garbage_after_hello, _cut_off, _cut_off_nats, _bad_info, _long_line]
)
def test_a_server_that_is_no_broker_is_a_typed_error_in_time(kind: str, answer: Answer) -> None:
    with tcp_server(answer) as (port, _), transport(kind, port, timeout_s=0.5, login=f"me:{PASSWORD}@") as opened:
        started = time.monotonic()
        for call in (lambda: opened.publish("a", b"x" * 100), lambda: opened.fetch("a")):
            with pytest.raises(TransportError) as refused:
                call()
            assert PASSWORD not in str(refused.value)
            assert str(refused.value).isascii()
            assert len(str(refused.value)) < 400
        assert time.monotonic() - started < 6


@kinds
def test_a_connection_that_breaks_within_a_message_loses_and_doubles_nothing(kind: str, tmp_path: Path) -> None:
    """A relay between us and a real broker drops every connection after 700 kB, then after ever more."""
    room = [700_000]
    with broker_of(kind, tmp_path) as broker:

        def relay(connection: socket.socket, received: list[bytes]) -> None:
            left = room[0]
            room[0] *= 3
            with socket.create_connection(("127.0.0.1", broker.port)) as upstream:

                def back() -> None:
                    with contextlib.suppress(OSError):
                        while data := upstream.recv(65536):
                            connection.sendall(data)

                backward = threading.Thread(target=back)
                backward.start()
                with contextlib.suppress(OSError):
                    while left > 0 and (data := connection.recv(65536)):
                        upstream.sendall(data)
                        left -= len(data)
                for end in (connection, upstream):
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
                backward.join()

        message = secrets.token_bytes(3 << 20)
        with tcp_server(relay) as (port, _), transport(kind, port, timeout_s=15) as shaky:
            shaky.publish("a", message)
            shaky.publish("a", b"after")
        with transport(kind, broker.port) as reader:
            assert reader.fetch("a") == (message, b"after")
    assert room[0] > 700_000 * 3
