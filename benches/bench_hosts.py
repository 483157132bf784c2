"""What a host costs: one softmax 64x10 round of 24 devices over each transport, beside memory; uploads a second.

Every device is a `Member` in a thread with a connection of its own, and the node is one more client of
the transport; over memory the same threads share one store. Servers are processes on this machine.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.adapters import servers
from tests.orchestrator.mailing import close, run_over
from zkfed.adapters.http import HttpTransport
from zkfed.adapters.http_node import HttpNode, serving
from zkfed.adapters.memory import MemoryTransport
from zkfed.orchestrator.events import Released
from zkfed.orchestrator.holding import HolderLink, HolderMailbox
from zkfed.orchestrator.kit import write_kit
from zkfed.orchestrator.member import Member, Provers
from zkfed.orchestrator.node import Node
from zkfed.orchestrator.options import Options, make_keys
from zkfed.orchestrator.synthetic import synthetic_cohort
from zkfed.policy import Improvement, LinearModel, RoundPolicy
from zkfed.ports import Transport
from zkfed.updates.signing import SigningKey

DEVICES = 24
HOSTS = ["memory", "http", "nats", "mqtt"]
BEGUN = b"POST /v1/a HTTP/1.1\r\nHost: n\r\nContent-Type: application/octet-stream\r\nContent-Length: 9\r\n\r\nx"
Open = Callable[[], Transport]


@contextmanager
def medium(host: str) -> Iterator[Open]:
    """Yields what opens a connection to a medium that runs."""
    with ExitStack() as running, tempfile.TemporaryDirectory() as folder:
        if host == "http":
            command = [sys.executable, "-m", "benches.http_store"]
            process = running.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            url = process.stdout.readline().strip() if process.stdout else ""
            yield lambda: HttpTransport(url)
        elif host == "nats":
            from zkfed.adapters.nats import NatsTransport

            broker = running.enter_context(servers.running("nats-server", Path(folder), servers.NATS))
            yield lambda: NatsTransport(f"nats://127.0.0.1:{broker.port}", prefix="bench")
        elif host == "mqtt":
            from zkfed.adapters.mqtt import MqttTransport

            broker = running.enter_context(servers.running("mosquitto", Path(folder), servers.MOSQUITTO))
            yield lambda: MqttTransport(f"mqtt://127.0.0.1:{broker.port}", prefix="bench")
        else:
            store = MemoryTransport()
            yield lambda: store


@pytest.fixture(scope="module")
def made() -> tuple[RoundPolicy, Any, Any, Any]:
    statement = Improvement(model=LinearModel(features=64, classes=10), rows=200, at_least="1%")
    policy = RoundPolicy(
        statement=statement, clip_norm=1.0, epsilon=1.5, delta=1e-6, min_clients=8, epsilon_max=100.0
    )  # fmt: skip
    shards, rows = synthetic_cohort(policy.improvement.model, DEVICES, 200)
    return policy, make_keys(policy), shards, rows


@pytest.mark.parametrize("host", HOSTS)
def test_round_over(benchmark: Any, host: str, made: tuple[RoundPolicy, Any, Any, Any]) -> None:
    """Enrolment and one round of 24 devices, from the first ask to the released model."""
    policy, keys, shards, rows = made
    provers = Provers(policy, keys)
    with ExitStack() as running:

        def fresh() -> tuple[tuple[Any, ...], dict[str, Any]]:
            node = Node(policy, rows, options=Options(keys=keys))
            members = [Member(provers, shard, key=SigningKey.generate()) for shard in shards]
            open_connection = running.enter_context(medium(host))
            return (node, members, open_connection(), open_connection), {}

        def one_round(node: Node, members: list[Member], node_side: Transport, open_member: Open) -> None:
            events = run_over(node, members, node_side, open_member, poll_s=0.1)
            assert [e.accepted for e in events if isinstance(e, Released)] == [DEVICES]
            close(node_side)

        benchmark.pedantic(one_round, setup=fresh, rounds=3, warmup_rounds=1)


def test_round_over_http_with_the_key_holder_apart(benchmark: Any, made: tuple[RoundPolicy, Any, Any, Any]) -> None:
    """As over HTTP, and the key holder is one more party on the same node."""
    policy, keys, shards, rows = made
    provers, key = Provers(policy, keys), SigningKey.generate()
    with ExitStack() as running:

        def fresh() -> tuple[tuple[Any, ...], dict[str, Any]]:
            open_connection = running.enter_context(medium("http"))
            link = HolderLink(key.public, open_connection())
            node = Node(policy, rows, options=Options(keys=keys), holder=link)
            members = [Member(provers, shard, key=SigningKey.generate()) for shard in shards]
            return (node, members, link, open_connection), {}

        def one_round(node: Node, members: list[Member], link: HolderLink, open_connection: Open) -> None:
            node_side = open_connection()
            events = run_over(
                node, members, node_side, open_connection, poll_s=0.1,
                holder=lambda transport: HolderMailbox(node.policy, key, keys, transport),
            )  # fmt: skip
            assert [e.accepted for e in events if isinstance(e, Released)] == [DEVICES]
            for transport in (node_side, link.transport):
                close(transport)

        benchmark.pedantic(one_round, setup=fresh, rounds=3, warmup_rounds=1)


def test_round_over_flower(benchmark: Any, made: tuple[RoundPolicy, Any, Any, Any], tmp_path: Path) -> None:
    """The same over Flower: enrolment and one round, its messages and its strategy; Ray's start is no part of it."""
    pytest.importorskip("flwr", reason="pip install 'zkfed[flower]'")
    from benches.flower_round import over_flower

    policy, keys, shards, rows = made
    write_kit(tmp_path / "kit", policy, keys, benchmark=rows)

    def one_round() -> None:
        assert over_flower(tmp_path / "kit", policy, shards, exchanges=2)[1] == DEVICES

    benchmark.pedantic(one_round, rounds=3, warmup_rounds=1)


def test_sealed_updates_a_second_into_an_http_node(benchmark: Any) -> None:
    """Uploads of the size of a sealed 64x10 update, signed, by four clients at once; per upload."""
    key, size, count = SigningKey.generate(), 400_000, 100
    with serving(HttpNode(MemoryTransport(), may_write=lambda channel, signer: signer == key.public)) as url:
        clients = [HttpTransport(url, key=key) for _ in range(4)]
        numbers = iter(range(1000))

        def upload() -> None:
            channel = f"bench/{next(numbers)}"

            def some(client: HttpTransport, first: int) -> None:
                for number in range(first, count, 4):
                    client.publish(channel, number.to_bytes(4, "big") + bytes(size))

            threads = [threading.Thread(target=some, args=(c, i)) for i, c in enumerate(clients)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        benchmark.extra_info["uploads"] = count
        benchmark.pedantic(upload, rounds=3, warmup_rounds=1)
        for client in clients:
            client.close()


def test_fetch_beside_a_thousand_idle_connections(benchmark: Any) -> None:
    """What an honest publish and fetch take while 1,000 connections have begun a body and say no more."""
    import resource
    import socket

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    with serving(HttpNode(MemoryTransport(), may_write=lambda channel, key: True)) as url, ExitStack() as idle:
        port = int(url.rsplit(":", 1)[1])
        for _ in range(1000):
            connection = idle.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(BEGUN)
        client = HttpTransport(url)
        numbers = iter(range(10**6))

        def honest() -> None:
            channel = f"bench/{next(numbers)}"
            client.publish(channel, b"next")
            assert client.fetch(channel) == (b"next",)

        benchmark.pedantic(honest, rounds=20, warmup_rounds=1)
        client.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
