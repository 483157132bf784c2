"""Every transport passes the public suite, `zkfed.testing.transport_conformance`: memory, folder, HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from zkfed.adapters.filesystem import FilesystemTransport
from zkfed.adapters.http import HttpTransport
from zkfed.adapters.http_node import HttpNode, serving
from zkfed.adapters.memory import MemoryTransport
from zkfed.testing.transport_conformance import Medium, TransportConformance
from zkfed.updates.signing import SigningKey


class TestMemory(TransportConformance):
    @pytest.fixture
    def medium(self) -> Medium:
        store = MemoryTransport()
        return Medium(open=lambda: store)


class TestFilesystem(TransportConformance):
    @pytest.fixture
    def medium(self, tmp_path: Path) -> Medium:
        return Medium(open=lambda: FilesystemTransport(tmp_path), restart=lambda: None)


class TestHttp(TransportConformance):
    @pytest.fixture
    def medium(self, tmp_path: Path) -> Iterator[Medium]:
        store, limit = FilesystemTransport(tmp_path), 1 << 24
        key = SigningKey.generate()
        node = HttpNode(store, may_write=lambda channel, signer: signer == key.public)
        with ExitStack() as running:
            url = running.enter_context(serving(node))

            def restart() -> None:
                running.close()
                running.enter_context(serving(node, port=int(url.rsplit(":", 1)[1])))

            yield Medium(
                open=lambda: HttpTransport(url, key=key, message_bytes_max=limit),
                restart=restart,
                message_bytes_max=limit,
                close=lambda transport: transport.close(),  # type: ignore[attr-defined]
            )
