"""Shows that NATS is a transport, and that neither a broker nor a stranger on it can do more than be in the way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.adapters.servers import NATS, Broker, running
from zkfed.adapters.nats import NatsTransport
from zkfed.testing.transport_conformance import Medium, TransportConformance


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
