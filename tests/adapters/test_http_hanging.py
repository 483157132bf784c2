"""Clients of an HTTP node that connect and do nothing, do not read, or wait: none is kept, and none keeps it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.adapters.test_http import HEAD, Running
from tests.peak_memory import at_most
from zkfed.adapters import filesystem, http_node
from zkfed.adapters.filesystem import FilesystemTransport
from zkfed.adapters.http import HttpTransport
from zkfed.adapters.http_node import HttpNode, serving
from zkfed.adapters.memory import MemoryTransport
from zkfed.orchestrator import http_pages
from zkfed.orchestrator.http_wire import decode_page


def is_cut_off(connection: socket.socket) -> bool:
    connection.settimeout(5)
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def test_connections_that_nobody_uses_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent ones, half requests, also after a whole one; somebody who waits or sends is not idle."""
    monkeypatch.setattr(http_node, "IDLE_S_MAX", 0.5)
    store = MemoryTransport()
    get = b"GET /v1/a HTTP/1.1\r\nHost: n\r\n"
    with serving(HttpNode(store, may_write=lambda channel, key: True)) as url:
        running = Running(url, store)
        idle = [socket.create_connection((running.host, running.port)) for _ in range(3)]
        for connection, said in zip(idle, (b"", get, get + b"\r\n" + get), strict=True):
            connection.sendall(said)
        answer = httpx.get(f"{url}/v1/a?start=0&wait=3", trust_env=False)  # longer than the node is patient
        assert answer.status_code == 200
        for connection in idle:
            assert is_cut_off(connection)
            connection.close()
        running.still_works()


def test_an_answer_that_nobody_reads_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_node, "IDLE_S_MAX", 0.5)
    store = MemoryTransport()
    for number in range(7):
        store.publish("a", bytes([number]) * (1 << 20))
    with serving(HttpNode(store, may_write=lambda channel, key: True)) as url:
        running = Running(url, store)
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((running.host, running.port))
        connection.sendall(b"GET /v1/a HTTP/1.1\r\nHost: n\r\n\r\n")
        time.sleep(2.5)
        taken = 0
        with connection, contextlib.suppress(ConnectionResetError, TimeoutError):
            connection.settimeout(5)
            while piece := connection.recv(1 << 16):
                taken += len(piece)
        assert taken < 7 << 20
        running.still_works()


def test_nobody_who_waits_or_hangs_keeps_a_node_from_ending() -> None:
    store = MemoryTransport()
    with serving(HttpNode(store, may_write=lambda channel, key: True)) as url:
        running = Running(url, store)
        hanging = [socket.create_connection((running.host, running.port)) for _ in range(3)]
        hanging[0].sendall(b"GET /v1/never?start=0&wait=20 HTTP/1.1\r\nHost: n\r\n\r\n")
        hanging[1].sendall(HEAD + b"Content-Length: 100\r\n\r\nx")
        time.sleep(0.3)
        start = time.monotonic()
    assert time.monotonic() - start < 8
    assert not [thread for thread in threading.enumerate() if thread.name == "zkfed-http"]
    for connection in hanging:
        connection.close()


def test_who_waits_at_a_folder_reads_no_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand devices that wait for one message are told of it by its name."""
    store = FilesystemTransport(tmp_path)
    store.publish("a", b"x")
    assert (store.count("a"), store.count("b")) == (1, 0)
    read = list[str]()
    monkeypatch.setattr(filesystem, "_read", lambda folder, entry, maximum: read.append(entry.name) or b"x")
    with serving(HttpNode(store, may_write=lambda channel, key: True)) as url:
        client = HttpTransport(url)
        start = time.monotonic()
        client.wait("a", start=0, timeout_s=10)
        assert time.monotonic() - start < 5
        assert read == []
        client.close()


def test_slow_readers_cost_a_slice_each_and_no_page() -> None:
    """Fifty that take nothing of 7 MiB each: 350 MiB if their answers were kept."""
    store = MemoryTransport()
    for number in range(7):
        store.publish("a", bytes([number]) * (1 << 20))
    with serving(HttpNode(store, may_write=lambda channel, key: True)) as url, contextlib.ExitStack() as stack:
        running, client = Running(url, store), HttpTransport(url)
        stack.callback(client.close)
        slow = [stack.enter_context(socket.socket()) for _ in range(50)]
        with at_most(64 << 20):
            for connection in slow:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.connect((running.host, running.port))
                connection.sendall(b"GET /v1/a HTTP/1.1\r\nHost: n\r\n\r\n")
            time.sleep(1)
            assert [len(m) for m in client.fetch("a")] == [1 << 20] * 7
            for connection in slow:
                assert connection.recv(64).startswith(b"HTTP/1.1 200")


def test_a_page_of_a_large_folder_is_read_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FilesystemTransport(tmp_path)
    sent = [bytes([number]) * (1 << 20) for number in range(20)]
    for message in sent:
        store.publish("a", message)
    assert store.page("a", start=18, bytes_max=1) == (sent[18],)
    assert store.page("a", start=18, bytes_max=1 << 30) == (sent[18], sent[19])
    assert store.page("a", start=20, bytes_max=1) == store.page("b", start=0, bytes_max=1) == ()
    read, honest = list[str](), filesystem._read

    def counted(folder: int, entry: Any, maximum: int) -> bytes:
        read.append(entry.name)
        return honest(folder, entry, maximum)

    monkeypatch.setattr(filesystem, "_read", counted)
    with serving(HttpNode(store, may_write=lambda channel, key: True)) as url:
        answer = httpx.get(f"{url}/v1/a?start=3", trust_env=False)
        assert decode_page(answer.content, 1 << 26) == sent[3:11]
        assert len(read) == 8
        client = HttpTransport(url)
        assert client.fetch("a") == tuple(sent)
        client.close()


def test_pages_of_a_folder_that_nobody_reads_have_a_limit_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_pages, "HELD_BYTES_MAX", 10 << 20)
    store = FilesystemTransport(tmp_path)
    for number in range(8):
        store.publish("a", bytes([number]) * (1 << 20))
    app = HttpNode(store, may_write=lambda channel, key: True)
    with serving(app) as url, socket.socket() as slow:
        running = Running(url, store)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((running.host, running.port))
        slow.sendall(b"GET /v1/a HTTP/1.1\r\nHost: n\r\n\r\n")
        assert slow.recv(64).startswith(b"HTTP/1.1 200")
        answer = httpx.get(f"{url}/v1/a", trust_env=False)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert httpx.get(f"{url}/v1/a?start=7", trust_env=False).status_code == 200  # what fits is handed out
        slow.close()
        client = HttpTransport(url, timeout_s=20)
        assert len(client.fetch("a")) == 8
        client.close()
        give_up = time.monotonic() + 10
        while app._pages.held and time.monotonic() < give_up:
            time.sleep(0.01)
        assert app._pages.held == 0
