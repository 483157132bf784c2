"""A run of Flower's simulation, in a process of its own: `python -m tests.adapters.flower_job KIT`."""

from __future__ import annotations

import sys

import numpy as np
from flwr.app import ArrayRecord, Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from tests.adapters.test_flower import SHAPE, plain_app
from zkfed.adapters.flower_client import ZkfedMod
from zkfed.adapters.flower_server import Zkfed
from zkfed.orchestrator.kit import open_node

KIT = sys.argv[1]


def nan_at_node_two(message: Message, context: Context, call_next: object) -> Message:
    """A mod of the last node that spoils what was trained."""
    out = call_next(message, context)  # type: ignore[operator]
    if context.node_config["partition-id"] == 2:
        out.content["arrays"] = ArrayRecord([np.full(SHAPE, np.nan)])
    return out


def client_app() -> ClientApp:
    return plain_app([ZkfedMod(KIT), nan_at_node_two])


def main() -> None:
    server = ServerApp()

    @server.main()
    def run(grid: Grid, context: Context) -> None:
        strategy = Zkfed(FedAvg(fraction_evaluate=0.0, min_available_nodes=3), open_node(KIT, exchanges=1))
        result = strategy.start(grid, ArrayRecord([np.zeros(SHAPE)]), num_rounds=2)
        rounds = result.train_metrics_clientapp.values()
        sys.stdout.write(f"accepted {[m['accepted'] for m in rounds]} refused {[m['refused'] for m in rounds]}\n")
        sys.stdout.flush()

    resources = {"client_resources": {"num_cpus": 1}, "init_args": {"num_cpus": 2, "include_dashboard": False}}
    run_simulation(server, client_app(), num_supernodes=3, backend_config=resources)


if __name__ == "__main__":
    main()
