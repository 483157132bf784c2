"""Shows that S1 and S4 run over Flower too, and that a node that fails between two asks is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("flwr", reason="pip install 'zkfed[flower]'")

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg

from tests.adapters.flower_grid import HereGrid, as_is
from tests.layers.counts import count_keys, count_policy
from tests.layers.own_rows import interpolating, own_keys, own_policy, own_shards
from tests.layers.parties import ROWS, make_policy, proving_keys
from zkfed import check_release
from zkfed.adapters.flower_client import ZkfedMod
from zkfed.adapters.flower_server import Zkfed
from zkfed.orchestrator.client import proximal_least_squares
from zkfed.orchestrator.kit import open_node, write_kit
from zkfed.orchestrator.synthetic import synthetic_cohort

DEVICES = 3


def app_of(kit: Path, answer: Any, **mod: Any) -> ClientApp:
    """A ClientApp that trains by `answer(base, number of the device)`."""
    app = ClientApp(mods=[ZkfedMod(str(kit), **mod)])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        (base,) = message.content["arrays"].to_numpy_ndarrays()
        weights = answer(base, int(context.node_config["partition-id"]))
        return Message(RecordDict({"arrays": ArrayRecord([weights])}), reply_to=message)

    return app


def run(kit: Path, app: ClientApp, exchanges: int, change: Any = as_is) -> tuple[Zkfed, Any]:
    strategy = Zkfed(FedAvg(fraction_evaluate=0.0), open_node(kit, exchanges=exchanges))
    first = ArrayRecord([np.zeros(strategy.node.policy.model.shape)])
    result = strategy.start(HereGrid([app] * DEVICES, change), first, num_rounds=1)
    check_release(strategy.node.transcript)
    return strategy, result.train_metrics_clientapp[1]


def test_registered_rows(tmp_path: Path) -> None:
    """S1: each device registers rows of its own, and looks at the drawn ones before it seals."""
    policy, shards = own_policy(), own_shards(DEVICES)
    write_kit(tmp_path, policy, own_keys())
    app = app_of(
        tmp_path,
        lambda base, number: interpolating(policy.model, base, shards[number], 1),
        rows=lambda context: shards[int(context.node_config["partition-id"])],
    )
    _, metrics = run(tmp_path, app, 2)
    assert metrics["accepted"] + metrics["refused"] == DEVICES
    assert metrics["accepted"] >= policy.min_clients


@pytest.mark.parametrize("exchanges", [1, 2])
def test_counts(tmp_path: Path, exchanges: int) -> None:
    """S4: what a ClientApp returns is its vector of counts."""
    policy = count_policy(attempts=1) if exchanges == 1 else count_policy()
    write_kit(tmp_path, policy, count_keys())
    vectors = np.identity(policy.model.parameters)
    app = app_of(tmp_path, lambda base, number: vectors[number % 2].reshape(policy.model.shape))
    _, metrics = run(tmp_path, app, exchanges)
    assert metrics["accepted"] == DEVICES


def test_half_a_count_is_refused(tmp_path: Path) -> None:
    """What is no whole number is not rounded: that would prove another answer than the app gave."""
    policy = count_policy(attempts=1)
    write_kit(tmp_path, policy, count_keys())
    app = app_of(tmp_path, lambda base, number: np.full(policy.model.shape, 0.5 if number == 2 else 0.0))
    strategy, metrics = run(tmp_path, app, 1)
    assert (metrics["accepted"], metrics["refused"]) == (2, 1)
    ((name, verdict),) = strategy.refused
    assert name == "node 2"
    assert "zkfed: decode: a statistic is a vector of whole numbers" in verdict.reason


def garbage(reply: Message) -> Message:
    reply.content = RecordDict({"zkfed": ConfigRecord({"version": 1, "answer": b"garbage"})})
    return reply


def cut(reply: Message) -> Message:
    reply.content = RecordDict({})
    return reply


@pytest.mark.parametrize("change", [garbage, cut])
def test_a_node_that_fails_when_it_is_to_seal(tmp_path: Path, change: Any) -> None:
    """Having committed, node 2 sends no sealed update: it is refused, and the two others are released."""
    policy = make_policy()
    shards, benchmark = synthetic_cohort(policy.model, DEVICES, ROWS)
    write_kit(tmp_path, policy, proving_keys(), benchmark=benchmark)
    app = app_of(tmp_path, lambda base, number: proximal_least_squares(policy.model, base, shards[number], 1))
    asked = []

    def on_the_way(node: int, reply: Message) -> Message:
        asked.append(node)
        return change(reply) if node == 2 and asked.count(2) == 3 else reply

    strategy, metrics = run(tmp_path, app, 2, on_the_way)
    assert metrics["accepted"] == 2
    assert "node 2" in [name for name, _ in strategy.refused]
