"""HTTP with a peer that misbehaves: a node against hostile clients, a client against hostile nodes (C1 to C6)."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import ipaddress
import json
import resource
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from zkfed.adapters.http import HttpTransport
from zkfed.adapters.http_node import HttpNode, serving
from zkfed.adapters.memory import MemoryTransport
from zkfed.errors import (
    DecodeError,
    IntegrityError,
    LimitExceeded,
    NotAuthorised,
    SignatureInvalid,
    TransportError,
    ZkfedError,
)
from zkfed.orchestrator.http_wire import encode_page, parse_json, signature_headers
from zkfed.updates.signing import SigningKey

KEY = SigningKey(bytes(range(32)))


class Running:
    """A real node on a free port, its store, and a client."""

    def __init__(self, url: str, store: MemoryTransport) -> None:
        self.url, self.store = url, store
        self.host, port = url.removeprefix("http://").split(":")
        self.port = int(port)

    def post(self, body: bytes, channel: str = "a", **headers: str) -> tuple[int, dict[str, str]]:
        given = {"content-type": "application/octet-stream"} | {k.replace("_", "-"): v for k, v in headers.items()}
        answer = httpx.post(f"{self.url}/v1/{channel}", content=body, headers=given, trust_env=False)
        return answer.status_code, json.loads(answer.content)

    def still_works(self) -> None:
        client = HttpTransport(self.url, key=KEY)
        client.publish("honest", b"next")
        assert client.fetch("honest")[-1] == b"next"
        client.close()


@pytest.fixture
def node() -> Iterator[Running]:
    store = MemoryTransport()
    with serving(HttpNode(store, may_write=lambda channel, key: key == KEY.public)) as url:
        running = Running(url, store)
        yield running
        running.still_works()


def signed(body: bytes, path: str = "/v1/a", now_s: int | None = None, key: SigningKey = KEY) -> dict[str, str]:
    return signature_headers(key, "POST", path, body, now_s=int(time.time()) if now_s is None else now_s)


# -- a node against clients ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["", "text/html", "application/json", "multipart/form-data; boundary=x"])
def test_another_content_type_is_refused(node: Running, kind: str) -> None:
    status, said = node.post(b"x", content_type=kind, **signed(b"x"))
    assert (status, said["code"]) == (415, "transport")
    assert node.store.fetch("a") == ()


def test_a_compressed_body_is_not_unpacked(node: Running) -> None:
    bomb = gzip.compress(bytes(1 << 24))
    status, said = node.post(bomb, content_encoding="gzip", **signed(bomb))
    assert (status, said["code"]) == (415, "transport")
    assert node.store.fetch("a") == ()


def test_who_did_not_sign_or_may_not_write_is_refused(node: Running) -> None:
    stranger = SigningKey.generate()
    cases = [
        ({}, 403, "not-authorised"),
        (signed(b"x", key=stranger), 403, "not-authorised"),
        (signed(b"y"), 401, "signature-invalid"),
        (signed(b"x", path="/v1/b"), 401, "signature-invalid"),
        (signed(b"x", now_s=int(time.time()) - 3600), 401, "signature-invalid"),
        (signed(b"x") | {"zkfed-time": "١٢"}, 401, "signature-invalid"),
        (signed(b"x") | {"zkfed-signature": "zz"}, 401, "signature-invalid"),
        ({"zkfed-key": KEY.public.hex()}, 401, "signature-invalid"),
    ]
    for headers, status, code in cases:
        given = {"content-type": "application/octet-stream"} | headers
        encoded = {k: v.encode() for k, v in given.items()}
        answer = httpx.post(f"{node.url}/v1/a", content=b"x", headers=encoded, trust_env=False)
        assert (answer.status_code, answer.json()["code"]) == (status, code), headers
    assert node.store.fetch("a") == ()


def test_a_replayed_request_changes_nothing(node: Running) -> None:
    headers = signed(b"x")
    assert [node.post(b"x", **{k.replace("-", "_"): v for k, v in headers.items()})[0] for _ in range(3)] == [200] * 3
    assert node.store.fetch("a") == (b"x",)


def test_an_idempotency_key_of_another_message_is_refused(node: Running) -> None:
    status, said = node.post(b"x", idempotency_key=hashlib.sha256(b"y").hexdigest(), **signed(b"x"))
    assert (status, said["code"]) == (400, "decode")
    assert node.store.fetch("a") == ()


def raw(node: Running, request: bytes, *, wait_s: float = 3.0) -> bytes:
    with socket.create_connection((node.host, node.port), timeout=wait_s) as connection:
        connection.sendall(request)
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except (TimeoutError, ConnectionResetError):
            pass
        return answer


HEAD = b"POST /v1/a HTTP/1.1\r\nHost: n\r\nContent-Type: application/octet-stream\r\n"


def test_ten_gigabytes_are_refused_before_they_come(node: Running) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = raw(node, HEAD + b"Content-Length: 10000000000\r\n\r\n" + bytes(1 << 20))
    assert answer.startswith(b"HTTP/1.1 413")
    assert json.loads(answer.split(b"\r\n\r\n")[1])["code"] == "limit-exceeded"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_a_body_without_an_end_costs_no_more_than_the_limit(node: Running) -> None:
    """Chunks as long as the node takes them: it stops at its limit of one message."""
    before, sent = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    piece = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    with socket.create_connection((node.host, node.port), timeout=5) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(10_000):
                connection.sendall(piece)
                sent += 1
        except OSError:
            pass
    assert sent < 60  # 16 MiB, and what the sockets hold
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


@pytest.mark.parametrize(
    "request_bytes",
    [
        HEAD + b"Content-Length: 100\r\n\r\nshort",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 1e3\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
        b"GET /v1/a?start=-1 HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n",
        b"GET /v1/a?start=" + b"9" * 5000 + b" HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n",
        b"GET /v1/../../etc/passwd HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n",
        b"GET /v1/%2e%2e%2f%2e%2e HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n",
        b"GET /v1/" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: n\r\n\r\n",
        b"DELETE /v1/a HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n",
        bytes(range(256)) * 40,
    ],
    ids=range(15),
)
def test_what_is_no_request_is_refused_without_a_trace_of_the_code(node: Running, request_bytes: bytes) -> None:
    answer = raw(node, request_bytes, wait_s=1.0)
    assert not answer.startswith(b"HTTP/1.1 200")
    assert b"Traceback" not in answer
    assert b".py" not in answer
    assert len(answer) < 2000


def test_a_store_that_fails_says_nothing_of_why(tmp_path: Path) -> None:
    class Broken(MemoryTransport):
        def publish(self, channel: str, message: bytes) -> str:
            raise RuntimeError(f"secret path {tmp_path}")

    with serving(HttpNode(Broken(), may_write=lambda channel, key: True)) as url:
        answer = httpx.post(f"{url}/v1/a", content=b"x", headers={"content-type": "application/octet-stream"})
    assert answer.status_code == 500
    assert json.loads(answer.content)["code"] == "transport"
    assert b"secret" not in answer.content


def test_a_thousand_idle_connections_do_not_delay_an_honest_one(node: Running) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    idle = []
    try:
        for number in range(1000):
            idle.append(socket.create_connection((node.host, node.port), timeout=5))
            if number % 2:
                idle[-1].sendall(HEAD + b"Content-Length: 100\r\n\r\nx")  # begins, and never goes on
        start = time.perf_counter()
        node.still_works()
        assert time.perf_counter() - start < 2
    finally:
        for connection in idle:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# -- a client against nodes ------------------------------------------------------------------------

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
        (answer(b"<html>Welcome</html>"), DecodeError, "JSON object"),
        (answer(TWICE), DecodeError, "unique keys"),
        (answer(b'{"address": "00"}'), TransportError, "another message's address"),
        (answer(b"[" * 60_000), DecodeError, "JSON object"),
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
    ids=range(16),
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
    def endless(connection: socket.socket, number: int) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n")
        while True:
            connection.sendall(bytes(1 << 20))

    with hostile(endless) as url:
        client = HttpTransport(url, timeout_s=20, message_bytes_max=1 << 20)
        with pytest.raises(LimitExceeded, match="longer than"):
            client.fetch("a")
        client.close()


def test_a_node_that_drips_is_left_in_time() -> None:
    def drip(connection: socket.socket, number: int) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 9999\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.1)

    with hostile(drip) as url:
        client = HttpTransport(url, timeout_s=1.0)
        start = time.perf_counter()
        with pytest.raises(TransportError, match="did not end within"):
            client.fetch("a")
        assert time.perf_counter() - start < 4
        client.close()


def test_a_page_with_a_changed_message_or_cut_is_refused() -> None:
    page = encode_page((b"one", b"two"))
    for said, error in (
        (page.replace(b"two", b"2wo"), IntegrityError),
        (page[:-1], TransportError),
        (page + b"\0", TransportError),
        (b"", TransportError),
    ):
        with hostile(lambda c, n, said=said: c.sendall(answer(said, "application/octet-stream"))) as url:  # type: ignore[misc]
            client = HttpTransport(url, timeout_s=2)
            with pytest.raises(error):
                client.fetch("a")
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
        good = HttpTransport(url, tls=trusted)
        good.publish("a", b"x")
        assert good.fetch("a") == (b"x",)
        good.close()
        with pytest.raises(TransportError, match="no certificate that fits"):
            HttpTransport(url, timeout_s=2).publish("a", b"y")
    other = certificate(tmp_path / "other", "node.example")
    with serving(node, tls=other) as url:
        client = HttpTransport(url, tls=ssl.create_default_context(cafile=other[0]), timeout_s=2)
        with pytest.raises(TransportError, match="no certificate that fits"):
            client.publish("a", b"y")
    assert good.url.startswith("https://")
