"""A Flower app that times itself: plain training as a query, then two proved rounds. As a script, it simulates."""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from zkfed.adapters.flower_client import ZkfedMod
from zkfed.adapters.flower_server import Zkfed
from zkfed.orchestrator.client import proximal_least_squares
from zkfed.orchestrator.events import Released, RoundStarted
from zkfed.orchestrator.kit import open_node
from zkfed.orchestrator.synthetic import synthetic_cohort
from zkfed.policy import RoundPolicy

KIT = Path(os.environ["ZKFED_KIT"])
DEVICES, ROWS = int(os.environ["ZKFED_BENCH_DEVICES"]), int(os.environ["ZKFED_BENCH_ROWS"])

app = ClientApp(mods=[ZkfedMod(str(KIT))])


@functools.cache
def cohort() -> tuple[Any, Any]:
    """Returns model and shards; a process makes them once."""
    model = RoundPolicy.decode((KIT / "policy.bin").read_bytes()).model
    return model, synthetic_cohort(model, DEVICES, ROWS)[0]


def trained(message: Message, context: Context) -> Message:
    model, shards = cohort()
    base = np.asarray(message.content["arrays"].to_numpy_ndarrays()[0], dtype=np.float64)
    weights = proximal_least_squares(model, base, shards[int(context.node_config["partition-id"])], 1)
    return Message(RecordDict({"arrays": ArrayRecord([weights])}), reply_to=message)


app.train()(trained)
app.query()(trained)
server = ServerApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Writes seconds and who was accepted as one line of JSON."""
    while len(nodes := list(grid.get_node_ids())) < DEVICES:
        time.sleep(0.5)
    arrays = ArrayRecord([np.zeros(cohort()[0].shape)])
    plain, begun, rounds = list[float](), list[float](), list[float]()
    for _ in range(2):  # the first one starts what Flower keeps running
        start = time.perf_counter()
        asked = [Message(RecordDict({"arrays": arrays}), node, "query") for node in nodes]
        list(grid.send_and_receive(asked))
        plain.append(time.perf_counter() - start)

    def tell(event: object) -> None:
        if isinstance(event, RoundStarted):
            begun.append(time.perf_counter())
        if isinstance(event, Released):
            rounds.append(time.perf_counter() - begun[-1])

    strategy = Zkfed(FedAvg(fraction_evaluate=0.0, min_available_nodes=DEVICES), open_node(KIT, exchanges=1), tell=tell)
    result = strategy.start(grid, arrays, num_rounds=2)
    accepted = [m["accepted"] for m in result.train_metrics_clientapp.values()]
    sys.stdout.write("\nTIMES " + json.dumps({"plain_s": plain, "flower_s": rounds, "accepted": accepted}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    import timing  # as Ray's processes import it
    from flwr.simulation import run_simulation

    resources = {"client_resources": {"num_cpus": 1}, "init_args": {"num_cpus": 2, "include_dashboard": False}}
    run_simulation(timing.server, timing.app, num_supernodes=DEVICES, backend_config=resources)
