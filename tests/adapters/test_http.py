"""An HTTP node with clients that misbehave (errors.md C1 to C6)."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.peak_memory import at_most
from zkfed.adapters import http_node
from zkfed.adapters.http import HttpTransport
from zkfed.adapters.http_node import HttpNode, serving
from zkfed.adapters.memory import MemoryTransport
from zkfed.orchestrator import http_uploads
from zkfed.orchestrator.http_wire import signature_headers
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


@pytest.fixture
def anybody() -> Iterator[Running]:
    """A node whose channels are open to everybody, so that bodies come as far as they are read."""
    store = MemoryTransport()
    with serving(HttpNode(store, may_write=lambda channel, key: True)) as url:
        running = Running(url, store)
        yield running
        running.still_works()


def signed(body: bytes, path: str = "/v1/a", now_s: int | None = None, key: SigningKey = KEY) -> dict[str, str]:
    return signature_headers(key, "POST", path, body, now_s=int(time.time()) if now_s is None else now_s)


@pytest.mark.parametrize("kind", ["", "text/html", "application/json", "multipart/form-data; boundary=x"])
def test_another_content_type_is_refused(node: Running, kind: str) -> None:
    status, said = node.post(b"x", content_type=kind, **signed(b"x"))
    assert (status, said.get("code")) == (415, "transport")
    assert node.store.fetch("a") == ()


def test_a_compressed_body_is_not_unpacked(node: Running) -> None:
    bomb = gzip.compress(bytes(1 << 24))
    status, said = node.post(bomb, content_encoding="gzip", **signed(bomb))
    assert (status, said.get("code")) == (415, "transport")
    assert node.store.fetch("a") == ()


def test_who_did_not_sign_or_may_not_write_is_refused(node: Running) -> None:
    stranger = SigningKey.generate()
    cases = [
        ({}, 403, "not-authorised"),
        (signed(b"x", key=stranger), 403, "not-authorised"),
        (signed(b"y"), 400, "decode"),
        (signed(b"y") | {"idempotency-key": hashlib.sha256(b"x").hexdigest()}, 401, "signature-invalid"),
        (signed(b"x") | {"idempotency-key": ""}, 401, "signature-invalid"),
        (signed(b"x") | {"idempotency-key": "zz"}, 401, "signature-invalid"),
        (signed(b"x", path="/v1/b"), 401, "signature-invalid"),
        (signed(b"x", now_s=int(time.time()) - 3600), 401, "signature-invalid"),
        (signed(b"x") | {"zkfed-time": "١٢"}, 401, "signature-invalid"),
        (signed(b"x") | {"zkfed-signature": "zz"}, 401, "signature-invalid"),
        ({k: v.upper() if k == "zkfed-key" else v for k, v in signed(b"x").items()}, 401, "signature-invalid"),
        ({k: f"0{v}" if k == "zkfed-time" else v for k, v in signed(b"x").items()}, 401, "signature-invalid"),
        ({"zkfed-key": KEY.public.hex()}, 401, "signature-invalid"),
    ]
    for headers, status, code in cases:
        given = {"content-type": "application/octet-stream"} | headers
        encoded = {k: v.encode() for k, v in given.items()}
        answer = httpx.post(f"{node.url}/v1/a", content=b"x", headers=encoded, trust_env=False)
        assert (answer.status_code, answer.json().get("code")) == (status, code), headers
    assert node.store.fetch("a") == ()


def test_a_replayed_request_changes_nothing(node: Running) -> None:
    headers = signed(b"x")
    assert [node.post(b"x", **{k.replace("-", "_"): v for k, v in headers.items()})[0] for _ in range(3)] == [200] * 3
    assert node.store.fetch("a") == (b"x",)


def test_an_idempotency_key_of_another_message_is_refused(node: Running) -> None:
    status, said = node.post(b"x", **signed(b"y"))
    assert (status, said.get("code")) == (400, "decode")
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


def test_ten_gigabytes_are_refused_before_they_come(anybody: Running) -> None:
    with at_most(64 << 20):
        answer = raw(anybody, HEAD + b"Content-Length: 10000000000\r\n\r\n" + bytes(1 << 20))
    assert answer.startswith(b"HTTP/1.1 413")
    assert json.loads(answer.split(b"\r\n\r\n")[1])["code"] == "limit-exceeded"


def test_a_body_without_an_end_costs_no_more_than_the_limit(anybody: Running) -> None:
    """Chunks as long as the node takes them: it stops at its limit of one message."""
    sent, piece = 0, b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    address = anybody.host, anybody.port
    with at_most(64 << 20), socket.create_connection(address, timeout=5) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(10_000):
                connection.sendall(piece)
                sent += 1
    assert sent < 60  # 16 MiB, and what the sockets hold


def test_a_body_that_passes_the_limit_is_refused_there() -> None:
    store = MemoryTransport()
    with serving(HttpNode(store, may_write=lambda channel, key: True, upload_bytes_max=1 << 20)) as url:
        piece = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
        answer = raw(Running(url, store), HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + 2 * piece)
        assert answer.startswith(b"HTTP/1.1 413")


def test_all_uploads_together_have_a_limit_and_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_uploads, "IN_FLIGHT_BYTES_MAX", 100_000)
    store = MemoryTransport()
    app = HttpNode(store, may_write=lambda channel, key: True)
    with serving(app) as url:
        running = Running(url, store)
        slow = [socket.create_connection((running.host, running.port), timeout=5) for _ in range(3)]
        for connection in slow:  # half of what each announces, and then it waits
            connection.sendall(HEAD + b"Content-Length: 60000\r\n\r\n" + bytes(30_000))
        give_up = time.monotonic() + 20
        while app._uploads.in_flight < 90_000 and time.monotonic() < give_up:
            time.sleep(0.01)
        answer = httpx.post(
            f"{url}/v1/a", content=bytes(30_000), headers={"content-type": "application/octet-stream"}, trust_env=False
        )
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["code"] == "transport"
        for connection in slow:
            connection.close()
        while app._uploads.in_flight and time.monotonic() < give_up:
            time.sleep(0.01)
        assert app._uploads.in_flight == 0
        running.still_works()
    assert store.fetch("a") == ()


def test_a_body_that_stops_coming_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_uploads, "BODY_S_MAX", 0.3)
    store = MemoryTransport()
    app = HttpNode(store, may_write=lambda channel, key: True)
    with serving(app) as url:
        running = Running(url, store)
        answer = raw(running, HEAD + b"Content-Length: 60000\r\n\r\n" + bytes(30_000))
        assert answer.startswith(b"HTTP/1.1 400")
        assert b"did not end within" in answer
        assert app._uploads.in_flight == 0
        running.still_works()


def test_a_wait_is_no_longer_than_the_node_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_node, "WAIT_S_MAX", 0.2)
    store = MemoryTransport()
    with serving(HttpNode(store, may_write=lambda channel, key: True)) as url:
        started = time.monotonic()
        httpx.get(f"{url}/v1/quiet?start=0&wait=3", trust_env=False)
        assert time.monotonic() - started < 2


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


@pytest.mark.parametrize("number", ["-1", "x", "", "1.0", "1e3", "\u0663", "9" * 30, "0x1"])
@pytest.mark.parametrize("name", ["start", "wait"])
def test_what_is_no_number_is_said_to_be_none(node: Running, name: str, number: str) -> None:
    answer = httpx.get(f"{node.url}/v1/a", params={"start": "0", name: number}, trust_env=False)
    assert (answer.status_code, answer.json().get("code")) == (400, "decode")


def test_a_store_that_fails_says_nothing_of_why(tmp_path: Path) -> None:
    class Broken(MemoryTransport):
        def publish(self, channel: str, message: bytes) -> str:
            raise RuntimeError(f"secret path {tmp_path}")

    with serving(HttpNode(Broken(), may_write=lambda channel, key: True)) as url:
        answer = httpx.post(f"{url}/v1/a", content=b"x", headers={"content-type": "application/octet-stream"})
    assert answer.status_code == 500
    assert json.loads(answer.content)["code"] == "transport"
    assert b"secret" not in answer.content


def test_a_thousand_idle_connections_do_not_delay_an_honest_one(anybody: Running) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    idle = []
    try:
        for number in range(1000):
            idle.append(socket.create_connection((anybody.host, anybody.port), timeout=5))
            if number % 2:
                idle[-1].sendall(HEAD + b"Content-Length: 100\r\n\r\nx")  # begins, and never goes on
        start = time.perf_counter()
        anybody.still_works()
        assert time.perf_counter() - start < 2
    finally:
        for connection in idle:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_waiting_ends_with_a_message_or_with_its_time(node: Running) -> None:
    client = HttpTransport(node.url, key=KEY)
    start = time.perf_counter()
    client.wait("quiet", start=0, timeout_s=1)
    assert 0.9 < time.perf_counter() - start < 5
    for publish in (client.publish, node.store.publish):  # over HTTP, and by the node's own roles
        seen = len(client.fetch("news"))
        threading.Timer(0.3, publish, ("news", f"{seen}".encode())).start()
        start = time.perf_counter()
        client.wait("news", start=seen, timeout_s=10)
        assert time.perf_counter() - start < 5
        assert len(client.fetch("news")) == seen + 1
    client.close()


def test_hundreds_that_wait_do_not_delay_an_honest_one(node: Running) -> None:
    request = b"GET /v1/never?start=0&wait=20 HTTP/1.1\r\nHost: n\r\n\r\n"
    idle = []
    try:
        for _ in range(300):
            idle.append(socket.create_connection((node.host, node.port), timeout=5))
            idle[-1].sendall(request)
        start = time.perf_counter()
        node.still_works()
        assert time.perf_counter() - start < 2
    finally:
        for connection in idle:
            connection.close()


def lines(headers: dict[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()


def test_who_may_not_write_is_refused_before_a_byte_of_its_body_is_taken(node: Running) -> None:
    """Nor does it help to name a key that may, and no request stands in the way of those that do."""
    stranger, named = signed(b"x", key=SigningKey.generate()), signed(b"x") | {"zkfed-signature": "0" * 128}
    for headers, status in ({}, b"403"), (stranger, b"403"), (named, b"401"):
        said = raw(node, HEAD + lines(headers) + b"Content-Length: 16000000\r\n\r\n")  # and none of them comes
        assert said.startswith(b"HTTP/1.1 " + status)


def test_a_host_header_does_not_move_a_signed_request_to_another_channel(node: Running) -> None:
    head = b"POST /v1/b HTTP/1.1\r\nHost: n/v1/a?\r\nContent-Type: application/octet-stream\r\n"
    said = raw(node, head + lines(signed(b"x")) + b"Content-Length: 1\r\n\r\nx")
    assert said.startswith(b"HTTP/1.1 401")
    assert node.store.fetch("b") == ()
