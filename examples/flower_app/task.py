"""What both sides of the app agree on before it starts: the policy, its keys and the public benchmark.

`python examples/flower_app/task.py` writes them to the folder in ZKFED_KIT, else to ~/.zkfed/flower-digits.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

import zkfed
from zkfed.orchestrator.kit import write_kit
from zkfed.orchestrator.options import make_keys

KIT = Path(os.environ.get("ZKFED_KIT") or Path.home() / ".zkfed" / "flower-digits")
FEATURES, CLASSES, BENCHMARK_ROWS, DEVICES = 16, 10, 100, 4


def policy() -> zkfed.RoundPolicy:
    """The loss of privacy is far too large for real people: four devices cannot hide each other's noise."""
    model = zkfed.LinearModel(features=FEATURES, classes=CLASSES)
    statement = zkfed.Improvement(model=model, rows=BENCHMARK_ROWS, at_least="1%")
    return zkfed.RoundPolicy(
        statement=statement, clip_norm=1.0, epsilon=60.0, delta=1e-6, epsilon_max=1000.0, min_clients=2, attempts=1
    )


def digits() -> tuple[Any, Any]:
    """Returns (X, y) of scikit-learn's digits, each image as 4 x 4 means, in [-1, 1]."""
    from sklearn.datasets import load_digits

    data = load_digits()
    means = data.images.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, FEATURES)
    order = np.random.default_rng(1).permutation(len(means))
    return (means / 8.0 - 1.0)[order], data.target[order]


def shard(device: int) -> tuple[Any, Any]:
    """Returns the rows of one device; the first rows are the benchmark's."""
    X, y = digits()
    return X[BENCHMARK_ROWS + device :: DEVICES], y[BENCHMARK_ROWS + device :: DEVICES]


def write() -> None:
    """Writes the kit, with development keys: for trying, not for real people."""
    X, y = digits()
    write_kit(KIT, policy(), make_keys(policy()), benchmark=(X[:BENCHMARK_ROWS], y[:BENCHMARK_ROWS]))


if __name__ == "__main__":
    write()
