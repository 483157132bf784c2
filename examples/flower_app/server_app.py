"""The server: an ordinary FedAvg that says who is asked, inside Zkfed, which says what is released."""

from __future__ import annotations

import numpy as np
import task
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from zkfed.adapters.flower_server import Zkfed
from zkfed.orchestrator.kit import open_node
from zkfed.orchestrator.layouts import CoefIntercept

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Runs the rounds and keeps model and public record beside the kit."""
    node = open_node(task.KIT, exchanges=1)
    inner = FedAvg(fraction_evaluate=0.0, min_available_nodes=task.DEVICES)
    strategy = Zkfed(inner, node, layout=CoefIntercept())
    first = ArrayRecord([np.zeros((task.CLASSES, task.FEATURES)), np.zeros(task.CLASSES)])
    strategy.start(grid, first, num_rounds=int(context.run_config["num-server-rounds"]))
    node.transcript.save(task.KIT / "record")
    np.save(task.KIT / "model.npy", node.model)
