"""Clients of an HTTP node that connect and do nothing, do not read, or wait: none is kept, and none keeps it."""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.adapters.test_http import HEAD, Running
from zkfed.adapters import filesystem, http_node
from zkfed.adapters.filesystem import FilesystemTransport
from zkfed.adapters.http import HttpTransport
from zkfed.adapters.http_node import HttpNode, serving
from zkfed.adapters.memory import MemoryTransport


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
    with serving(HttpNode(store, may_write=lambda channel, key: True)) as url:
        running, before = Running(url, store), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        slow = [socket.socket() for _ in range(50)]
        for connection in slow:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((running.host, running.port))
            connection.sendall(b"GET /v1/a HTTP/1.1\r\nHost: n\r\n\r\n")
        time.sleep(1)
        client = HttpTransport(url)
        assert [len(m) for m in client.fetch("a")] == [1 << 20] * 7
        client.close()
        for connection in slow:
            assert connection.recv(64).startswith(b"HTTP/1.1 200")
            connection.close()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10
