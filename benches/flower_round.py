"""A softmax 64x10 round of 24 devices, over Flower's own messages and as `LocalFederation`, in seconds.

    python -m benches.flower_round [--devices 24] [--workers 2]

Both run the same proofs in one process, two devices at a time; Flower's replies are written to
bytes and read again, as on a wire. Ray's start is no part of it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from zkfed import Improvement, LinearModel, LocalFederation, RoundPolicy
from zkfed.orchestrator.client import proximal_least_squares
from zkfed.orchestrator.kit import open_node, write_kit
from zkfed.orchestrator.options import Options, make_keys
from zkfed.orchestrator.synthetic import synthetic_cohort

__all__ = ["flower_round", "over_flower"]

ROWS = 100


def _policy() -> RoundPolicy:
    statement = Improvement(model=LinearModel(features=64, classes=10), rows=ROWS, at_least="0.1%")
    return RoundPolicy(
        statement=statement, clip_norm=1.0, epsilon=60.0, delta=1e-6, epsilon_max=1000.0, min_clients=2, attempts=1
    )


def over_flower(kit: Path, policy: RoundPolicy, shards: list[Any], exchanges: int = 1) -> tuple[float, int]:
    """Returns (seconds of the round without the enrolment, accepted)."""
    from flwr.app import ArrayRecord, Message, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp.strategy import FedAvg

    from tests.adapters.flower_grid import HereGrid
    from zkfed.adapters.flower_client import ZkfedMod
    from zkfed.adapters.flower_server import Zkfed
    from zkfed.orchestrator.events import RoundStarted

    app = ClientApp(mods=[ZkfedMod(str(kit))])

    @app.train()
    def train(message: Any, context: Any) -> Any:
        base = np.asarray(message.content["arrays"].to_numpy_ndarrays()[0], dtype=np.float64)
        shard = shards[int(context.node_config["partition-id"])]
        weights = proximal_least_squares(policy.model, base, shard, 1)
        return Message(RecordDict({"arrays": ArrayRecord([weights])}), reply_to=message)

    begun: list[float] = []

    def tell(event: Any) -> None:
        if isinstance(event, RoundStarted):
            begun.append(time.perf_counter())

    strategy = Zkfed(FedAvg(fraction_evaluate=0.0), open_node(kit, exchanges=exchanges), tell=tell)
    grid = HereGrid([app] * len(shards), _through_bytes, workers=2)
    result = strategy.start(grid, ArrayRecord([np.zeros(policy.model.shape)]), num_rounds=1)
    return time.perf_counter() - begun[0], int(result.train_metrics_clientapp[1]["accepted"])


def _through_bytes(node: int, reply: Any) -> Any:
    if reply.has_content():
        record = type(reply.content["zkfed"])
        reply.content["zkfed"] = record.inflate(reply.content["zkfed"].deflate())
    return reply


def flower_round(devices: int = 24, workers: int = 2) -> dict[str, float]:
    """Returns seconds of one round over Flower and in `LocalFederation` with so many threads, and who was accepted."""
    policy = _policy()
    keys = make_keys(policy)
    shards, benchmark = synthetic_cohort(policy.model, devices, ROWS)
    options = Options(keys=keys, exchanges=1, workers=workers)
    local = LocalFederation(policy, shards, benchmark=benchmark, options=options)
    start = time.perf_counter()
    accepted = [getattr(event, "accepted", 0) for event in local.run(1)]
    local_s = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        kit = Path(folder) / "kit"
        write_kit(kit, policy, keys, benchmark=benchmark)
        flower_s, flower_accepted = over_flower(kit, policy, shards)
    return {
        "devices": devices,
        "local_s": round(local_s, 3),
        "flower_s": round(flower_s, 3),
        "ratio": round(flower_s / local_s, 3),
        "local_accepted": max(accepted),
        "flower_accepted": flower_accepted,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=24)
    parser.add_argument("--workers", type=int, default=2, help="threads of LocalFederation; over Flower there are two")
    chosen = parser.parse_args()
    sys.stdout.write(json.dumps(flower_round(chosen.devices, chosen.workers)) + "\n")
