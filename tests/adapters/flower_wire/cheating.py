"""A Flower app whose nodes cheat when they are to train: `way` in a SuperNode's `--node-config` says how."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from zkfed import check_release
from zkfed.adapters.flower_client import ZkfedMod
from zkfed.adapters.flower_server import Zkfed
from zkfed.orchestrator.client import proximal_least_squares
from zkfed.orchestrator.kit import open_node
from zkfed.orchestrator.synthetic import synthetic_cohort
from zkfed.policy import RoundPolicy

KIT = os.environ.get("ZKFED_KIT", "")
NODES, ROWS = 5, 20


def model() -> Any:
    with open(f"{KIT}/policy.bin", "rb") as file:
        return RoundPolicy.decode(file.read()).model


class Withheld(ConfigRecord):
    """A record whose bytes are none: SuperLink is told of a reply that is never uploaded."""

    def deflate(self) -> bytes:
        head, _, body = super().deflate().partition(b"\x00")
        return head + b"\x00" + b"\xff" * len(body)


Withheld.__name__ = "ConfigRecord"  # what its head says


def cheat(message: Message, context: Context, call_next: Any) -> Message:
    """A mod before ours: enrols honestly, and answers in our place when it is to train."""
    way = context.node_config.get("way", "")
    if message.metadata.message_type == "query" or b"ask-enrol" in message.content["zkfed"]["request"][:32]:
        return call_next(message, context)
    if way == "plain":
        records = {"arrays": message.content["arrays"], "metrics": MetricRecord({"num-examples": 1})}
        return Message(RecordDict(records), reply_to=message)
    if way == "silent":
        time.sleep(3600)
    if way == "withheld":
        return Message(RecordDict({"zkfed": Withheld({"version": 1, "answer": b"x"})}), reply_to=message)
    return call_next(message, context)


app = ClientApp(mods=[cheat, ZkfedMod(KIT)])


@app.train()
def train(message: Message, context: Context) -> Message:
    (base,) = message.content["arrays"].to_numpy_ndarrays()
    shard = synthetic_cohort(model(), NODES, ROWS)[0][int(context.node_config["partition-id"])]
    weights = proximal_least_squares(model(), np.asarray(base, dtype=np.float64), shard, 1)
    return Message(RecordDict({"arrays": ArrayRecord([weights])}), reply_to=message)


@app.query()
def started(message: Message, context: Context) -> Message:
    return Message(RecordDict({}), reply_to=message)


server = ServerApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    strategy = Zkfed(FedAvg(fraction_evaluate=0.0, min_available_nodes=NODES), open_node(KIT, exchanges=1))
    first = ArrayRecord([np.zeros(model().shape)])
    result = strategy.start(grid, first, num_rounds=1, timeout=patience(grid))
    for name, verdict in strategy.refused:
        sys.stdout.write(f"refused {name}: {verdict.code}: {verdict.reason}\n")
    metrics = result.train_metrics_clientapp[1]
    check_release(strategy.node.transcript)
    sys.stdout.write(f"accepted {metrics['accepted']} refused {metrics['refused']}, the transcript holds\n")
    sys.stdout.flush()


def patience(grid: Grid) -> float:
    """Returns seconds in which each node of this machine, today, starts a process and answers; four times over."""
    while len(nodes := list(grid.get_node_ids())) < NODES:
        time.sleep(0.5)
    start = time.monotonic()
    list(grid.send_and_receive([Message(RecordDict({}), node, "query") for node in nodes]))
    return 10 + 4 * (time.monotonic() - start)
