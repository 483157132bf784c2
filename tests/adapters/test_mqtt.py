"""Shows that MQTT is a transport, and that neither a broker nor a stranger on it can do more than be in the way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.adapters.servers import MOSQUITTO, Broker, running
from zkfed.adapters.mqtt import MqttTransport
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
