"""The sweep behind the demo computes what the library computes.

Its vectorised training, improvement and rounding equal the ones of the public functions, so
its figures are about the demo and not about another algorithm.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benches.simulation import RULES, Scenario, World, clipped, simulate
from examples.cohort import PRESETS, Cohort, accuracy, load_cohort
from zkfed.fixedpoint import norm_bound, quantise_features, quantise_targets, quantise_update, squared_loss
from zkfed.orchestrator.client import proximal_least_squares
from zkfed.policy import LinearModel

SCALE = 2**15


@pytest.fixture(scope="module", params=sorted(PRESETS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def cohort(name: str) -> Cohort:
    return load_cohort(PRESETS[name])


def test_rows_are_used_once_and_shards_are_equal(cohort: Cohort, name: str) -> None:
    preset = PRESETS[name]
    assert len(cohort.shards) == preset.devices
    assert len({len(s.labels) for s in cohort.shards}) == 1
    assert cohort.benchmark[0].shape == (preset.benchmark_rows, preset.features)
    parts = [cohort.benchmark[0], cohort.test[0], *[s.features for s in cohort.shards]]
    rows = np.concatenate(parts)
    assert np.abs(rows).max() <= 1.0
    # Equal rows exist in no data set here, so a row that is used twice shows.
    assert len(np.unique(rows, axis=0)) == len(rows)


def test_cohort_is_the_same_on_every_call(cohort: Cohort, name: str) -> None:
    again = load_cohort(PRESETS[name])
    assert (again.test[0] == cohort.test[0]).all()
    assert all((a.labels == b.labels).all() for a, b in zip(again.shards, cohort.shards, strict=True))
    other = load_cohort(dataclasses.replace(PRESETS[name], seed=1))
    assert other.test[0].tolist() != cohort.test[0].tolist()


def test_smaller_concentration_means_more_skew(name: str) -> None:
    def commonest(skew: float) -> float:
        cohorts = [load_cohort(dataclasses.replace(PRESETS[name], skew=skew, seed=seed)) for seed in range(3)]
        return float(np.mean([np.bincount(s.labels).max() / len(s.labels) for c in cohorts for s in c.shards]))

    assert commonest(0.3) > commonest(3.0) > commonest(1e4)


def test_simulated_step_is_the_one_that_a_device_makes(cohort: Cohort, name: str) -> None:
    preset, world = PRESETS[name], World(cohort)
    model = LinearModel(cohort.features, cohort.classes)
    base = np.random.default_rng(5).normal(scale=0.1, size=world.moment.shape[1:])
    steps = world.steps(base, preset.strength, moment=world.moment)
    integers = np.rint(clipped(steps, preset.clip_norm) * SCALE).astype(np.int64)
    for index in (0, 3, len(cohort.shards) - 1):
        trained = proximal_least_squares(model, base, cohort.shards[index], 1, strength=preset.strength)
        assert steps[index] == pytest.approx(trained - base, abs=1e-9)
        exact = quantise_update(trained - base, clip_norm=preset.clip_norm)
        # A value next to a rounding boundary may fall to either side.
        assert np.abs(exact - integers[index]).max() <= 1
        assert (exact != integers[index]).sum() <= 1
        assert int((exact * exact).sum()) <= norm_bound(preset.clip_norm, exact.size)


def test_simulated_improvement_is_the_one_that_is_proven(cohort: Cohort) -> None:
    world = World(cohort)
    base = np.random.default_rng(6).integers(-3000, 3000, world.moment.shape[1:])
    step = np.random.default_rng(7).integers(-3000, 3000, world.moment.shape[1:])
    x = quantise_features(cohort.benchmark[0])
    t = quantise_targets(cohort.benchmark[1], classes=cohort.classes)
    before, after = squared_loss(x, base, t), squared_loss(x, base + step, t)
    simulated = world.improvements(base / SCALE, step[None] / SCALE)
    assert simulated[0] == pytest.approx(1 - after / before, rel=1e-9)
    assert world.loss(base / SCALE) == pytest.approx(before / (127 * SCALE) ** 2, rel=1e-9)


def test_a_run_learns_and_its_rule_refuses(cohort: Cohort, name: str) -> None:
    preset, world = PRESETS[name], World(cohort)
    quiet = simulate(world, preset, Scenario(is_noised=False), seed=1)
    assert quiet.accuracy[-1] > accuracy(np.zeros(world.moment.shape[1:]), cohort) + 0.3
    assert quiet.noise == [0.0] * preset.rounds
    attacked = simulate(world, preset, Scenario(RULES[2], "sign flip", 0.3), seed=1)
    free = simulate(world, preset, Scenario(RULES[1], "sign flip", 0.3), seed=1)
    assert not np.array(attacked.is_accepted)[:, : attacked.attackers].any()
    assert np.array(free.is_accepted).all()
