"""What cohort the default epsilon = 0.1 a round would need: a simulation, without proofs."""

from __future__ import annotations

import dataclasses

import numpy as np

from benches.learning import total_epsilon
from benches.simulation import Scenario, World, simulate
from examples.cohort import Cohort, Preset, resampled_shards

__all__ = ["default_epsilon_line"]

DEFAULT_EPSILON = 0.1
SIZES = (250, 500, 750, 1000, 1500, 2000, 3000)
SEEDS = 3


def default_epsilon_line(preset: Preset, cohort: Cohort, accuracy: float) -> str:
    """Returns one line: the smallest simulated cohort that reaches an accuracy at epsilon = 0.1.

    Rows are drawn with replacement, since the data set is too small for so many devices.
    """
    candidate = dataclasses.replace(preset, epsilon=DEFAULT_EPSILON)
    spent = total_epsilon(candidate, preset.rounds)
    devices, mean = 0, 0.0
    for devices in SIZES:
        mean = float(np.mean([_final_accuracy(candidate, cohort, devices, seed) for seed in range(SEEDS)]))
        if mean >= accuracy:
            break
    verdict = f"about {devices} devices" if mean >= accuracy else f"more than {devices} devices"
    return (
        f"at the default epsilon {DEFAULT_EPSILON:g} a round ({spent:.2g} in all) the same quality would need "
        f"{verdict} ({mean:.1%}; simulated without proofs, {SEEDS} runs, rows drawn with replacement)"
    )


def _final_accuracy(preset: Preset, cohort: Cohort, devices: int, seed: int) -> float:
    rows = len(cohort.shards[0].labels)
    shards = resampled_shards(cohort, devices=devices, rows=rows, skew=preset.skew, seed=seed)
    return simulate(World(cohort, shards), preset, Scenario(), seed=seed).accuracy[-1]
