"""A cohort that is made up: rows from one linear teacher, for examples without data."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.orchestrator.client import Shard
from zkfed.policy import Model

__all__ = ["synthetic_cohort"]

ROWS_PER_DEVICE = 40


def synthetic_cohort(
    model: Model, devices: int, rows: int, *, registered: int = 0
) -> tuple[list[Shard], tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """Returns shards and a benchmark of rows that a fixed linear teacher labelled.

    The rows are simulated, the same on every call: use them to try the library, not to
    judge what a model learns.

    Args:
        model: The model family.
        devices: How many shards, of 40 rows each.
        rows: Of the benchmark.
        registered: Rows beside its own that each device may register; 0 gives none.
    """
    # Simulation data only: keys, masks and noise never come from this generator.
    generator = np.random.default_rng(20240601)
    teacher = generator.normal(size=(model.features, model.outputs))

    def draw(count: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        x = generator.uniform(-1, 1, (count, model.features))
        logits = x @ teacher + generator.normal(scale=0.1, size=(count, model.outputs))
        if model.classes == 1:
            return x, np.tanh(logits[:, 0] / model.features**0.5)
        labels = logits.argmax(axis=1) if model.classes > 2 else (logits[:, 0] > 0).astype(np.int64)
        return x, labels

    def own() -> Shard:
        return Shard(*draw(ROWS_PER_DEVICE), Shard(*draw(registered)) if registered else None)

    return [own() for _ in range(devices)], draw(rows)
