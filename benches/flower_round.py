"""A softmax 64x10 round of 24 devices under Flower and as `LocalFederation`, in seconds.

    python -m benches.flower_round [--over here|simulation|wire] [--devices 24] [--workers 2]

    here        one process, two devices at a time; replies are written to bytes and read again
    simulation  Flower's own simulation: two processes of Ray's, which stay
    wire        `flwr run` over SuperLink and SuperNodes on loopback; Flower starts a process for every message

All prove the same statement. Simulation and wire first run the same training without zkfed (`plain_s`): that is
Flower's own, and `ratio` is what is above it, over `LocalFederation`, both per accepted update. It is the second of
two rounds: what a process starts once is no part of it. Over the wire it starts for every message, and is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from zkfed import Improvement, LinearModel, LocalFederation, RoundPolicy
from zkfed.orchestrator.client import proximal_least_squares
from zkfed.orchestrator.events import Released, RoundStarted
from zkfed.orchestrator.kit import open_node, write_kit
from zkfed.orchestrator.options import Options, make_keys
from zkfed.orchestrator.synthetic import synthetic_cohort

__all__ = ["flower_round", "over_flower"]

ROWS = 100
APP = Path(__file__).resolve().parent / "flower_wire"


def _policy() -> RoundPolicy:
    statement = Improvement(model=LinearModel(features=64, classes=10), rows=ROWS, at_least="0.1%")
    return RoundPolicy(
        statement=statement, clip_norm=1.0, epsilon=60.0, delta=1e-6, epsilon_max=1000.0, min_clients=2, attempts=1
    )


def over_flower(
    kit: Path, policy: RoundPolicy, shards: list[Any], exchanges: int = 1, rounds: int = 1
) -> tuple[float, int]:
    """Returns (seconds of the last round, accepted)."""
    from flwr.app import ArrayRecord, Message, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp.strategy import FedAvg

    from tests.adapters.flower_grid import HereGrid
    from zkfed.adapters.flower_client import ZkfedMod
    from zkfed.adapters.flower_server import Zkfed

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
    result = strategy.start(grid, ArrayRecord([np.zeros(policy.model.shape)]), num_rounds=rounds)
    return time.perf_counter() - begun[-1], int(result.train_metrics_clientapp[rounds]["accepted"])


def _through_bytes(node: int, reply: Any) -> Any:
    if reply.has_content():
        record = type(reply.content["zkfed"])
        reply.content["zkfed"] = record.inflate(reply.content["zkfed"].deflate())
    return reply


def over_processes(kit: Path, devices: int, over: str) -> dict[str, float]:
    """Returns what `flower_wire/timing.py` measured: seconds of plain training, of a proved round, and accepted."""
    told = {"ZKFED_KIT": str(kit), "ZKFED_BENCH_DEVICES": str(devices), "ZKFED_BENCH_ROWS": str(ROWS)}
    if over == "simulation":
        env = {**os.environ, **told, "PYTHONPATH": f"{APP.parents[1]}{os.pathsep}{APP}"}
        command = [sys.executable, str(APP / "timing.py")]
        said = subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=900).stdout
    else:
        from tests.adapters.test_flower_wire import federation, flwr_run

        os.environ.update(told)
        with federation(kit.parent, kit, [f"partition-id={number}" for number in range(devices)]) as env:
            said = flwr_run(APP, env)
    found = json.loads(next(line for line in said.splitlines() if line.startswith("TIMES ")).removeprefix("TIMES "))
    return {
        "plain_s": found["plain_s"][-1],
        "flower_s": found["flower_s"][-1],
        "flower_accepted": found["accepted"][-1],
    }


def local_round(policy: RoundPolicy, shards: list[Any], options: Options, benchmark: Any) -> tuple[float, int]:
    """Returns (seconds of the second round, accepted)."""
    local = LocalFederation(policy, shards, benchmark=benchmark, options=options)
    seconds, accepted, start = 0.0, 0, 0.0
    for event in local.run(2):
        if isinstance(event, RoundStarted):
            start = time.perf_counter()
        if isinstance(event, Released):
            seconds, accepted = time.perf_counter() - start, event.accepted
    return seconds, accepted


def flower_round(devices: int = 24, workers: int = 2, over: str = "here") -> dict[str, float]:
    """Returns seconds of one round over Flower and in `LocalFederation` with so many threads, and who was accepted."""
    policy = _policy()
    keys = make_keys(policy)
    shards, benchmark = synthetic_cohort(policy.model, devices, ROWS)
    options = Options(keys=keys, exchanges=1, workers=workers)
    local_s, accepted = local_round(policy, shards, options, benchmark)
    with tempfile.TemporaryDirectory() as folder:
        kit = Path(folder) / "kit"
        write_kit(kit, policy, keys, benchmark=benchmark)
        if over == "here":
            flower_s, flower_accepted = over_flower(kit, policy, shards, rounds=2)
            found: dict[str, float] = {"plain_s": 0.0, "flower_s": flower_s, "flower_accepted": flower_accepted}
        else:
            found = over_processes(kit, devices, over)
    ratio = (found["flower_s"] - found["plain_s"]) / found["flower_accepted"] / (local_s / accepted)
    measured = {"devices": devices, "local_s": local_s, **found, "ratio": ratio, "local_accepted": accepted}
    return {name: round(value, 3) for name, value in measured.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=24)
    parser.add_argument("--workers", type=int, default=2, help="threads of LocalFederation; over Flower there are two")
    parser.add_argument("--over", choices=["here", "simulation", "wire"], default="here")
    chosen = parser.parse_args()
    sys.stdout.write(json.dumps(flower_round(chosen.devices, chosen.workers, chosen.over)) + "\n")
