"""Handwritten digits on three sites of an NVFlare job, in its simulator: proved, summed under encryption, noised.

    python -m examples.nvflare_digits --rounds 3

The same file is what every site runs: NVFlare starts it with `--site`.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path

import numpy as np
from sklearn import datasets

from examples.cohort import whitened
from zkfed.layers.bridge import check_release
from zkfed.layers.transcript import Transcript
from zkfed.orchestrator.client import Shard, proximal_least_squares
from zkfed.orchestrator.kit import write_kit
from zkfed.orchestrator.options import make_keys
from zkfed.policy import Improvement, LinearModel, RoundPolicy

SITES, BENCHMARK, TEST = 3, 100, 400
STATEMENT = Improvement(model=LinearModel(features=8, classes=10), rows=BENCHMARK, at_least="1%")
# Three sites are no crowd to hide in: at epsilon 8 the noise is three times the signal, and at 48 the
# promise is weak. Proofs and encryption do not depend on it; a real federation has more sites.
POLICY = RoundPolicy(
    statement=STATEMENT, clip_norm=0.5, epsilon=48.0, delta=1e-6, epsilon_max=192.0, min_clients=SITES, attempts=1
)


def rows() -> tuple[Shard, Shard, list[Shard]]:
    """Returns the public benchmark, rows to test with, and what each site has; equal on every call."""
    loaded = datasets.load_digits()
    # Simulation data only: keys, masks and noise never come from this generator.
    order = np.random.default_rng(0).permutation(len(loaded.target))
    public, test, rest = np.split(order, [BENCHMARK, BENCHMARK + TEST])
    x = whitened(loaded.data / 16.0, loaded.data[public] / 16.0, STATEMENT.model.features)
    parts = [Shard(x[part], loaded.target[part]) for part in (public, test, *np.array_split(rest, SITES))]
    return parts[0], parts[1], parts[2:]


def train_as_site() -> None:
    """What a site runs: plain NVFlare, which knows nothing of zkfed."""
    import nvflare.client as flare

    flare.init()
    shard = rows()[2][int(flare.get_site_name().removeprefix("site-")) - 1]
    while flare.is_running():
        received = flare.receive()
        if received is None:
            return
        base = np.asarray(received.params["numpy_key"], np.float64)
        weights = proximal_least_squares(STATEMENT.model, base, shard, 0)
        flare.send(flare.FLModel(params={"numpy_key": weights}))


def run(folder: Path, rounds: int) -> float:
    """Runs the job and returns the accuracy of what it released."""
    from nvflare.app_common.np.recipes.fedavg import NumpyFedAvgRecipe
    from nvflare.recipe import SimEnv

    from zkfed.adapters.nvflare import ZkfedAggregator, prove_results

    benchmark, test, _ = rows()
    kit = str(folder / "kit")
    write_kit(kit, POLICY, make_keys(POLICY), benchmark=(benchmark.features, benchmark.labels))
    recipe = NumpyFedAvgRecipe(
        name="zkfed-digits",
        model=np.zeros(STATEMENT.model.shape).tolist(),
        min_clients=SITES,
        num_rounds=1 + rounds,  # the first one enrols
        train_script=str(Path(__file__).resolve()),
        train_args="--site",
        aggregator=ZkfedAggregator(kit),
    )
    prove_results(recipe, kit)
    recipe.run(SimEnv(num_clients=SITES, workspace_root=str(folder)))
    released = folder / "zkfed-digits" / "server" / "simulate_job"
    check_release(Transcript.load(released / "zkfed"))
    weights = np.load(released / "models" / "server.npy")
    logits = np.column_stack([test.features, np.ones(len(test.features))]) @ weights
    return float((logits.argmax(axis=1) == test.labels).mean())


def main() -> None:
    """Runs the job, or, with `--site`, one site of it."""
    parser = argparse.ArgumentParser(description="NVFlare and zkfed on handwritten digits.")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--site", action="store_true", help="NVFlare starts a site so")
    options = parser.parse_args()
    if options.site:
        train_as_site()
        return
    with tempfile.TemporaryDirectory() as folder:
        accuracy = run(Path(folder), options.rounds)
    logging.shutdown()
    print(f"the transcript holds; accuracy {accuracy:.1%} on {TEST} rows that no site has seen")


if __name__ == "__main__":
    main()
