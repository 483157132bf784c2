"""Shows that a node of Flower speaks for itself alone, and that a server changes nothing of what a node trains from."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("flwr", reason="pip install 'zkfed[flower]'")

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg

from tests.adapters.flower_grid import HereGrid
from tests.adapters.test_flower import SHAPE, kit, plain_app, policy_once, start
from tests.layers.parties import ROWS, proving_keys
from zkfed.adapters.flower_client import ZkfedMod
from zkfed.adapters.flower_server import Zkfed
from zkfed.errors import PolicyError
from zkfed.orchestrator import flower_wire
from zkfed.orchestrator.client import proximal_least_squares
from zkfed.orchestrator.kit import open_node, write_kit
from zkfed.orchestrator.synthetic import synthetic_cohort

__all__ = ["kit"]


def apps(folder: str) -> list[ClientApp]:
    return [plain_app([ZkfedMod(folder)])] * 3


class Copying:
    """From its n-th reply on, node 2 answers with what another node has just answered."""

    def __init__(self, first: int) -> None:
        self._first, self._count, self._last = first, 0, b""

    def __call__(self, node: int, reply: Message) -> Any:
        if node != 2:
            self._last = bytes(reply.content["zkfed"]["answer"])
            return reply
        self._count += 1
        if self._count < self._first or reply.has_error():
            return reply

        def copied() -> Message:
            """Fetched when all have answered, in whatever order they were asked."""
            time.sleep(0.2)  # whoever copies comes later
            reply.content = RecordDict({"zkfed": ConfigRecord({"version": 1, "answer": self._last})})
            return reply

        return copied


@pytest.mark.parametrize("first", [1, 2], ids=["enrols", "trains"])
def test_a_node_that_answers_with_anothers_words_is_refused_itself(kit: str, first: int) -> None:
    strategy, _, result = start(kit, apps(kit), Copying(first))
    assert result.train_metrics_clientapp[1]["accepted"] == 2
    assert {(name, verdict.code) for name, verdict in strategy.refused} == {("node 2", "not-authorised")}


def test_an_answer_above_the_limit_is_refused(kit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flower_wire, "MESSAGE_BYTES_MAX", 1000)  # an enrolment has less
    strategy, _, result = start(kit, apps(kit))
    assert result.train_metrics_clientapp[1]["accepted"] == 0
    assert {verdict.code for _, verdict in strategy.refused} == {"limit-exceeded"}


def test_replies_that_come_twice_are_taken_once(kit: str) -> None:
    """Whoever drives the strategy, and however it fetches."""
    strategy = Zkfed(FedAvg(fraction_evaluate=0.0), open_node(kit, exchanges=1))
    grid, arrays = HereGrid(apps(kit)), ArrayRecord([np.zeros(SHAPE, dtype=np.float32)])
    messages = strategy.configure_train(1, arrays, ConfigRecord(), grid)
    replies = [copy for reply in grid.send_and_receive(messages) for copy in (reply, reply)]
    _, metrics = strategy.aggregate_train(1, replies)
    assert metrics is not None
    assert metrics["accepted"] == 3
    assert strategy.refused == []


def test_a_spent_budget_asks_nobody_and_ends_no_run(tmp_path: Path) -> None:
    policy = replace(policy_once(), epsilon_max=61.0)
    write_kit(tmp_path, policy, proving_keys(), benchmark=synthetic_cohort(policy.model, 1, ROWS)[1])
    strategy, _, result = start(str(tmp_path), apps(str(tmp_path)), rounds=2)
    assert result.train_metrics_clientapp[1]["accepted"] == 3
    assert result.train_metrics_clientapp[2]["budget-exceeded"] == 1
    assert len(strategy.node.transcript.rounds) == 1


class Tampering(HereGrid):
    """Changes what goes to the nodes."""

    def __init__(self, given: list[ClientApp], **records: Any) -> None:
        super().__init__(given)
        self.records = records

    def _reply(self, message: Message) -> Message:
        content = dict(message.content)
        if "arrays" in self.records:
            content["arrays"] = self.records["arrays"]
        if "version" in self.records:
            content["zkfed"] = ConfigRecord({**dict(content["zkfed"]), "version": self.records["version"]})
        message.content = RecordDict(content)
        return super()._reply(message)


def test_a_node_trains_from_the_signed_base_whatever_arrays_come_along(kit: str) -> None:
    """Arrays that a server chose could tell it a single node's rows, or make its update worthless."""
    seen = list[Any]()
    app = ClientApp(mods=[ZkfedMod(kit)])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        (array,) = message.content["arrays"].to_numpy_ndarrays()
        seen.append(array)
        model = policy_once().model
        shard = synthetic_cohort(model, 4, 16)[0][int(context.node_config["partition-id"])]
        trained = proximal_least_squares(model, np.asarray(array, dtype=np.float64), shard, 1)
        records = {"arrays": ArrayRecord([trained]), "metrics": MetricRecord({"num-examples": 16})}
        return Message(RecordDict(records), reply_to=message)

    strategy = Zkfed(FedAvg(fraction_evaluate=0.0), open_node(kit, exchanges=1))
    grid = Tampering([app] * 3, arrays=ArrayRecord([np.full(SHAPE, 7.0, dtype=np.float32)]))
    strategy.start(grid, ArrayRecord([np.zeros(SHAPE, dtype=np.float32)]), num_rounds=1)
    assert len(seen) == 3
    assert not any(array.any() for array in seen)


def test_a_result_of_two_models_is_refused(kit: str) -> None:
    """Which of the two is meant is not ours to guess."""
    honest = plain_app([ZkfedMod(kit)])
    double = ClientApp(mods=[ZkfedMod(kit)])

    @double.train()
    def train(message: Message, context: Context) -> Message:
        arrays = ArrayRecord([np.full(SHAPE, 0.01)])
        records = {"arrays": arrays, "more": arrays, "metrics": MetricRecord({"num-examples": 16})}
        return Message(RecordDict(records), reply_to=message)

    strategy, _, result = start(kit, [honest, honest, double])
    assert result.train_metrics_clientapp[1]["accepted"] == 2
    ((name, verdict),) = strategy.refused
    assert name == "node 2"
    assert "2 ArrayRecords" in verdict.reason


def test_a_request_of_another_version_is_not_answered(kit: str) -> None:
    strategy = Zkfed(FedAvg(fraction_evaluate=0.0), open_node(kit, exchanges=1))
    grid = Tampering(apps(kit), version=2)
    with pytest.raises(PolicyError, match="0 devices"):
        strategy.start(grid, ArrayRecord([np.zeros(SHAPE, dtype=np.float32)]), num_rounds=1)
    assert all("version 2, expected 1" in reply.error.reason for reply in grid.seen)
