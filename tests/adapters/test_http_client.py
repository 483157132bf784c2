"""An HTTP client with nodes that misbehave, or whose certificate does not fit (errors.md C1 to C6)."""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from zkfed.adapters import http
from zkfed.adapters.http import HttpTransport
from zkfed.adapters.http_node import HttpNode, serving
from zkfed.adapters.memory import MemoryTransport
from zkfed.encoding import Writer
from zkfed.errors import (
    DecodeError,
    IntegrityError,
    LimitExceeded,
    NotAuthorised,
    SignatureInvalid,
    TransportError,
    ZkfedError,
)
from zkfed.orchestrator.http_wire import encode_page, parse_json

Script = Callable[[socket.socket, int], None]


@contextmanager
def hostile(script: Script) -> Iterator[str]:
    """A server that reads a request and then does what the script says; gets (connection, its number)."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    over = threading.Event()

    def run() -> None:
        number = 0
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                continue
            with connection:
                connection.settimeout(2)
                try:
                    connection.recv(65536)
                    script(connection, number)
                except OSError:
                    pass
            number += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        thread.join()
        listener.close()


def answer(body: bytes, kind: str = "application/json", status: str = "200 OK", **headers: str) -> bytes:
    more = "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in headers.items())
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{more}\r\n"
    )
    return head.encode() + body


LOUD = b'{"code": "limit-exceeded", "text": "\\u001b[31m' + b"a" * 4000 + b'"}'
GOOD = {"address": hashlib.sha256(b"x").hexdigest()}
TWICE = b'{"address": "%s", "address": "0"}' % GOOD["address"].encode()


@pytest.mark.parametrize(
    ("said", "error", "text"),
    [
        (answer(b"<html>Welcome</html>", "text/html"), TransportError, "is it a zkfed node"),
        (answer(b"<html>Welcome</html>"), DecodeError, "expected JSON"),
        (answer(TWICE), DecodeError, "unique names"),
        (answer(b'{"address": "00"}'), TransportError, "another message's address"),
        (answer(b"[" * 60_000), DecodeError, "nested more than 32 deep"),
        (answer(b'["address"]'), DecodeError, "JSON object, got list"),
        (answer(b"{" * 100_000), LimitExceeded, "longer than"),
        (answer(json.dumps(GOOD).encode(), content_encoding="gzip"), TransportError, "compressed"),
        (answer(b"", status="302 Found", location="http://127.0.0.1:1/"), TransportError, "answered 302"),
        (answer(LOUD, status="413 X"), LimitExceeded, "x1b"),
        (answer(b'{"code": "not-authorised", "text": "no"}', status="403 X"), NotAuthorised, "refused: no"),
        (answer(b'{"code": "signature-invalid", "text": "no"}', status="401 X"), SignatureInvalid, "no"),
        (answer(b'{"code": "unheard-of", "text": "no"}', status="400 X"), TransportError, "answered 400"),
        (answer(b'{"code": 7}', status="400 X"), TransportError, "answered 400"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", TransportError, "no answer"),
        (b"\x15\x03\x01\x00\x02\x02\x28", TransportError, "no answer"),
        (b"", TransportError, "no answer"),
    ],
    ids=range(17),
)  # fmt: skip
def test_a_node_that_answers_nonsense(said: bytes, error: type[ZkfedError], text: str) -> None:
    with hostile(lambda connection, number: connection.sendall(said)) as url:
        client = HttpTransport(url, timeout_s=1.0)
        start = time.perf_counter()
        with pytest.raises(error, match=text) as caught:
            client.publish("a", b"x")
        assert time.perf_counter() - start < 4
        assert len(str(caught.value)) < 500
        assert "\x1b" not in str(caught.value)
        client.close()


def test_an_absurd_retry_after_is_not_waited_for() -> None:
    def busy_once(connection: socket.socket, number: int) -> None:
        busy = answer(b"{}", status="429 Too Many", retry_after="99999999")
        connection.sendall(answer(json.dumps(GOOD).encode()) if number else busy)

    with hostile(busy_once) as url:
        client = HttpTransport(url, timeout_s=10)
        start = time.perf_counter()
        client.publish("a", b"x")
        assert time.perf_counter() - start < 5
        client.close()


def test_a_node_that_never_stops_answering_costs_no_more_than_the_limit() -> None:
    sent = [0]

    def endless(connection: socket.socket, number: int) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n")
        while sent[0] < 400:
            connection.sendall(bytes(1 << 20))
            sent[0] += 1

    with hostile(endless) as url:
        client = HttpTransport(url, timeout_s=20, message_bytes_max=1 << 20)
        with pytest.raises(LimitExceeded, match="longer than"):
            client.fetch("a")
        client.close()
    assert sent[0] < 40


def check_left_in_time(drip: Script) -> None:
    with hostile(drip) as url:
        client = HttpTransport(url, timeout_s=1.0)
        start = time.perf_counter()
        with pytest.raises(TransportError, match="did not end within"):
            client.fetch("a")
        assert time.perf_counter() - start < 3
        client.close()


def test_a_node_that_drips_is_left_in_time() -> None:
    def drip(connection: socket.socket, number: int) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 9999\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.1)

    check_left_in_time(drip)


def test_a_node_that_drips_its_headers_is_left_in_time() -> None:
    """Nobody sees a piece of an answer before its head is whole: the reads themselves have a deadline."""

    def drip(connection: socket.socket, number: int) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(60):
            connection.sendall(b"x")
            time.sleep(0.1)

    check_left_in_time(drip)


def test_a_page_with_a_changed_message_or_cut_is_refused() -> None:
    page = encode_page((b"one", b"two"))
    for said, error in (
        (page.replace(b"two", b"2wo"), IntegrityError),
        (page[:-1], TransportError),
        (page + b"\0", TransportError),
        (b"", TransportError),
        (Writer("zkfed/v1/http-page").list([hashlib.sha256(b"one").digest()]).finish(), TransportError),
        (encode_page((bytes(2000),)), LimitExceeded),
    ):
        with hostile(lambda c, n, said=said: c.sendall(answer(said, "application/octet-stream"))) as url:  # type: ignore[misc]
            client = HttpTransport(url, timeout_s=2, message_bytes_max=1000)
            with pytest.raises(error):
                client.fetch("a")
            client.close()


def test_a_channel_that_never_ends_is_left_at_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "CHANNEL_BYTES_MAX", 5000)
    monkeypatch.setattr(http, "PAGE_BYTES", 2000)

    def more(connection: socket.socket, number: int) -> None:
        page = encode_page((bytes([number]) * 2000,)) if number < 9 else encode_page(())
        connection.sendall(answer(page, "application/octet-stream"))

    with hostile(more) as url:
        client = HttpTransport(url, timeout_s=5)
        with pytest.raises(LimitExceeded, match="more than 5000 bytes"):
            client.fetch("a")
        client.close()


def test_a_node_that_hands_out_small_pages_for_ever_is_left() -> None:
    def same(connection: socket.socket, number: int) -> None:
        page = encode_page((b"again",)) if number < 50 else b"that was too often"
        connection.sendall(answer(page, "application/octet-stream"))

    with hostile(same) as url:
        client = HttpTransport(url, timeout_s=5)
        assert set(client.fetch("a")) == {b"again"}
        client.close()


def test_a_channel_of_many_pages_is_read_to_its_end() -> None:
    store = MemoryTransport()
    sent = [b"", bytes(9 << 20), b"x", *(bytes([n]) * (3 << 20) for n in range(6)), b"y", bytes(8 << 20), b"z"]
    for message in sent:
        store.publish("a", message)
    with serving(HttpNode(store, may_write=lambda channel, key: False)) as url:
        client = HttpTransport(url)
        assert client.fetch("a") == tuple(sent)
        assert client.fetch("a", start=3) == tuple(sent[3:])
        client.close()


def test_a_node_that_is_always_busy_is_left_in_time() -> None:
    busy = answer(b"{}", status="503 Busy", retry_after="1")
    with hostile(lambda connection, number: connection.sendall(busy)) as url:
        client = HttpTransport(url, timeout_s=1.5)
        started = time.monotonic()
        with pytest.raises(TransportError, match="answered 503"):
            client.publish("a", b"x")
        assert time.monotonic() - started < 4
        client.close()


def test_nobody_there_and_addresses_that_are_none() -> None:
    with pytest.raises(TransportError, match="no answer from"):
        HttpTransport("http://127.0.0.1:1", timeout_s=0.3).fetch("a")
    for url in ("ftp://h", "h", "http://", "http://user:secret@h"):
        with pytest.raises(TransportError) as caught:
            HttpTransport(url)
        assert "secret" not in str(caught.value)
    with pytest.raises(DecodeError):
        parse_json(b"\xff")


def certificate(folder: Path, name: str) -> tuple[str, str]:
    """Writes a self-signed certificate for a host name; returns the two files."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "zkfed test")])
    now = dt.datetime.now(dt.UTC)
    address: x509.GeneralName = x509.DNSName(name)
    if name[0].isdigit():
        address = x509.IPAddress(ipaddress.ip_address(name))
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )  # fmt: skip
    return str(files[0]), str(files[1])


def test_a_certificate_has_to_fit(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    node = HttpNode(MemoryTransport(), may_write=lambda channel, key: True)
    files = certificate(tmp_path, "127.0.0.1")
    trusted = ssl.create_default_context(cafile=files[0])
    with serving(node, tls=files) as url:
        with closing(HttpTransport(url, tls=trusted)) as good:
            good.publish("a", b"x")
            assert good.fetch("a") == (b"x",)
        misfit = partial(pytest.raises, TransportError, match="no certificate that fits")
        # Closed whatever happens: a connection that hangs on would hide why this fails.
        with closing(HttpTransport(url, timeout_s=2)) as client, misfit():
            client.publish("a", b"y")
    other = certificate(tmp_path / "other", "node.example")
    with serving(node, tls=other) as url:
        context = ssl.create_default_context(cafile=other[0])
        with closing(HttpTransport(url, tls=context, timeout_s=2)) as client, misfit():
            client.publish("a", b"y")
    assert good.url.startswith("https://")
