"""The same seed, updates and policy give the same bytes over every host: sum, release and next model.

The noise of both parties comes from a seed here, which only a test can do: the library draws it from
the system. Everything else that is random (keys, blinders, encryption) differs from run to run.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.adapters.servers import MOSQUITTO, NATS, running
from tests.layers.parties import ROWS as BENCHMARK_ROWS
from tests.layers.parties import make_policy, proving_keys
from tests.orchestrator.hosting import carry, federation, ingredients
from tests.orchestrator.mailing import close, run_over
from zkfed.adapters.http import HttpTransport
from zkfed.adapters.http_node import HttpNode, serving
from zkfed.adapters.memory import MemoryTransport
from zkfed.adapters.mqtt import MqttTransport
from zkfed.adapters.nats import NatsTransport
from zkfed.layers import noise
from zkfed.layers.bridge import check_release
from zkfed.layers.transcript import released_sums
from zkfed.orchestrator.client import proximal_least_squares
from zkfed.orchestrator.holding import HolderLink, HolderMailbox
from zkfed.orchestrator.kit import open_node, write_kit
from zkfed.orchestrator.member import Member, Provers
from zkfed.orchestrator.node import Node
from zkfed.orchestrator.options import Options
from zkfed.orchestrator.synthetic import synthetic_cohort
from zkfed.updates.signing import SigningKey
from zkfed.updates.update import encode_ints

SEED, ROUNDS, DEVICES = 7, 2, 3


def outcome(node: Node) -> tuple[bytes, ...]:
    """Returns the released sums and the last model, as canonical bytes."""
    check_release(node.transcript)
    sums = [encode_ints(s) for record in node.transcript.rounds for s, _ in released_sums(record)]
    assert len(sums) == ROUNDS
    return (*sums, encode_ints(node.base.ravel()))


def over_handle() -> tuple[bytes, ...]:
    node, members = federation()
    carry(node.enrol(), members)
    carry(node.run(ROUNDS), members)
    return outcome(node)


def over_memory() -> tuple[bytes, ...]:
    node, members = federation()
    store = MemoryTransport()
    run_over(node, members, store, lambda: store, rounds=ROUNDS)
    return outcome(node)


def over_http() -> tuple[bytes, ...]:
    node, members = federation()
    with serving(HttpNode(MemoryTransport(), may_write=lambda channel, key: True)) as url:
        node_side = HttpTransport(url)
        run_over(node, members, node_side, lambda: HttpTransport(url), rounds=ROUNDS)
        close(node_side)
    return outcome(node)


def over_http_with_the_key_holder_apart() -> tuple[bytes, ...]:
    policy, keys, shards, benchmark, _ = ingredients("S2", DEVICES)
    key, provers = SigningKey.generate(), Provers(policy, keys)
    members = [Member(provers, shard, key=SigningKey.generate()) for shard in shards]
    with serving(HttpNode(MemoryTransport(), may_write=lambda channel, key: True)) as url:
        node_side = HttpTransport(url)
        link = HolderLink(key.public, HttpTransport(url))
        node = Node(policy, benchmark, options=Options(keys=keys), holder=link)
        run_over(
            node, members, node_side, lambda: HttpTransport(url), rounds=ROUNDS,
            holder=lambda transport: HolderMailbox(node.policy, key, keys, transport),
        )  # fmt: skip
        close(node_side)
        close(link.transport)
    return outcome(node)


def over_broker(server: str, folder: Path) -> tuple[bytes, ...]:
    kind, config = {"nats-server": (NatsTransport, NATS), "mosquitto": (MqttTransport, MOSQUITTO)}[server]
    node, members = federation()
    with running(server, folder, config) as broker:
        url = f"{'nats' if kind is NatsTransport else 'mqtt'}://127.0.0.1:{broker.port}"
        node_side = kind(url)
        run_over(node, members, node_side, lambda: kind(url), rounds=ROUNDS)
        close(node_side)
    return outcome(node)


def over_flower(kit: Path) -> tuple[bytes, ...]:
    """As over the others, with the rows in the ClientApps and the keys in their contexts."""
    from flwr.app import ArrayRecord, Context, Message, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp.strategy import FedAvg

    from tests.adapters.flower_grid import HereGrid
    from zkfed.adapters.flower_client import ZkfedMod
    from zkfed.adapters.flower_server import Zkfed

    policy = make_policy()
    shards, benchmark = synthetic_cohort(policy.model, DEVICES, BENCHMARK_ROWS)
    write_kit(kit, policy, proving_keys(), benchmark=benchmark)
    app = ClientApp(mods=[ZkfedMod(str(kit))])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        (base,) = message.content["arrays"].to_numpy_ndarrays()
        weights = proximal_least_squares(policy.model, base, shards[context.node_config["partition-id"]], 1)
        return Message(RecordDict({"arrays": ArrayRecord([weights])}), reply_to=message)

    strategy = Zkfed(FedAvg(fraction_evaluate=0.0), open_node(kit))
    strategy.start(HereGrid([app] * DEVICES), ArrayRecord([np.zeros(policy.model.shape)]), num_rounds=ROUNDS)
    return outcome(strategy.node)


def seed_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = np.random.default_rng(SEED)
    monkeypatch.setattr(
        noise, "sample", lambda scale, count, drawn=drawn: np.rint(drawn.normal(0, 100, count)).astype(np.int64)
    )


@pytest.mark.parametrize("server", ["nats-server", "mosquitto"])
def test_a_broker_releases_the_same_bytes(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seed_noise(monkeypatch)
    expected = over_memory()
    seed_noise(monkeypatch)
    assert over_broker(server, tmp_path) == expected


# Flower imports typer, which imports names that click is about to drop.
@pytest.mark.filterwarnings("ignore:'click.:DeprecationWarning")
def test_flower_releases_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("flwr", reason="pip install 'zkfed[flower]'")
    seed_noise(monkeypatch)
    expected = over_memory()
    seed_noise(monkeypatch)
    assert over_flower(tmp_path / "kit") == expected


def test_every_host_releases_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for host in (over_handle, over_memory, over_http, over_http_with_the_key_holder_apart):
        seed_noise(monkeypatch)
        found[host.__name__] = host()
    assert len(set(found.values())) == 1, {name: [len(b) for b in parts] for name, parts in found.items()}
