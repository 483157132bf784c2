"""What the demo's cohort can learn, whom it refuses, what the proof buys: sweeps behind the presets.

    python -m benches.learning            # half a minute on an idle machine, writes build/learning.json
    python -m benches.learning --quick    # the same tables from fewer runs

Simulated: no proofs, no encryption; see benches/simulation.py. Every figure is a mean over
seeds (cut of the data, label skew, noise); +- is the standard deviation over them.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import json
import time
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from benches.simulation import ATTACKS, RULES, Run, Scenario, World, charge, simulate
from examples.cohort import (
    PRESETS,
    Cohort,
    Preset,
    all_features,
    benchmark_only,
    centralised,
    load_cohort,
    resampled_shards,
)
from zkfed.dp.accounting import predicted_noise_signal
from zkfed.dp.loss import epsilon_of

Row = dict[str, Any]
SHARES = (0.0, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1)
STRENGTHS = (0.01, 0.03, 0.1, 0.2, 0.5, 1.0, 2.0)
CLIPS = (0.05, 0.1, 0.2, 0.4, 0.8)
FEATURES = (8, 10, 12, 14, 16, 20)
SKEWS = {"none": 1e4, "mild (3)": 3.0, "strong (1)": 1.0, "extreme (0.3)": 0.3}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer seeds and a coarser sweep")
    parser.add_argument("--out", type=Path, default=Path("build/learning.json"))
    options = parser.parse_args(arguments)
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    # The matrices are tiny: threads would only wait for one another.
    with threadpool_limits(1):
        report = tables(is_quick=options.quick)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    print(f"{report['seconds']} s, written to {options.out}")


def tables(*, is_quick: bool) -> dict[str, Any]:
    """Prints every table and returns them."""
    began, seeds = time.perf_counter(), 3 if is_quick else 10
    print("Simulated without proofs or encryption; noise from a seeded generator.\n")
    report: dict[str, Any] = {"seeds": seeds}
    for name, preset in PRESETS.items():
        report[name] = show(f"preset {name}: {preset.title}", presets(preset, seeds))
    standard = PRESETS["standard"]
    report["cohorts"] = show(
        "cohorts: the best of each size and epsilon with at most one honest device in ten refused in any round",
        cohorts(standard, 2 if is_quick else 5, is_coarse=is_quick),
    )
    for title, candidates in variants(standard).items():
        rows = varied(candidates, seeds)
        report[title] = show(f"{title}: honest devices refused by round, accuracy", rows)
    report["refusals"] = show(
        "honest devices that a share X would refuse, by skew and round (the schedule decides who is summed)",
        refusals(standard, seeds),
    )
    report["attackers"] = show(
        "final accuracy with a share of attackers, under three rules (simulated without proofs)",
        attackers(standard, seeds),
    )
    report["small_epsilon"] = show(
        "epsilon = 0.1 a round: devices needed (their rows are drawn with replacement: the data set is too small)",
        small_epsilon(standard, max(seeds // 2, 2)),
    )
    report["seconds"] = round(time.perf_counter() - began, 1)
    return report


# -- worlds --------------------------------------------------------------------------------------


@functools.cache
def cohort_of(preset: Preset, seed: int) -> Cohort:
    return load_cohort(dataclasses.replace(preset, seed=seed))


@functools.cache
def _world(data: str, devices: int, features: int, skew: float, cheats: int, seed: int) -> World:
    preset = next(p for p in PRESETS.values() if p.data == data)
    cohort = load_cohort(dataclasses.replace(preset, devices=devices, features=features, skew=skew, seed=seed))
    return World(cohort, cohort.shards[: devices - cheats])


def world_of(preset: Preset, seed: int) -> World:
    """Returns the honest devices of a preset; the cheats have their rows but are left out."""
    return _world(preset.data, preset.devices, preset.features, preset.skew, len(preset.cheat_rounds), seed)


def runs(preset: Preset, scenario: Scenario, seeds: int) -> list[Run]:
    return [simulate(world_of(preset, s), preset, scenario, seed=1000 + s) for s in range(seeds)]


def total_epsilon(preset: Preset, attempts: int) -> float:
    """Returns epsilon at the preset's delta of a number of attempts, by zCDP composition."""
    parameters = world_of(preset, 0).moment[0].size
    return epsilon_of(Fraction(charge(preset, parameters).rho) * attempts, preset.delta)


def predicted(preset: Preset, devices: int) -> float:
    parameters = world_of(preset, 0).moment[0].size
    scale = charge(preset, parameters)
    return predicted_noise_signal(scale.sigma, parameters, devices, preset.clip_norm * 2**15)


# -- tables --------------------------------------------------------------------------------------


def presets(preset: Preset, seeds: int) -> list[Row]:
    """What a preset gives, and what it is compared with."""
    honest = world_of(preset, 0).devices
    private = runs(preset, Scenario(), seeds)
    failed = runs(preset, Scenario(failed_round=2), seeds)
    exact = runs(preset, Scenario(is_noised=False), seeds)
    cohorts = [cohort_of(preset, s) for s in range(seeds)]
    shards = [s.labels for c in cohorts for s in c.shards]
    by_round = np.mean([r.accuracy for r in private], axis=0)
    facts: list[tuple[str, Any]] = [
        ("honest devices / parameters / rounds", f"{honest} / {world_of(preset, 0).moment[0].size} / {preset.rounds}"),
        ("rows of a device", len(shards[0])),
        ("share of a device's commonest class", mean_of(np.bincount(y).max() / len(y) for y in shards)),
        ("epsilon: one attempt", preset.epsilon),
        ("epsilon: all rounds, no failed attempt", round(total_epsilon(preset, preset.rounds), 3)),
        ("epsilon: all rounds and one failed attempt", round(total_epsilon(preset, preset.rounds + 1), 3)),
        ("noise/signal predicted (units of C)", round(predicted(preset, honest), 3)),
        ("noise observed (units of C)", mean_of(r.noise for r in private)),
        ("signal observed (units of C)", mean_of(r.signal for r in private)),
        ("noise/signal observed", mean_of(np.divide(r.noise, r.signal) for r in private)),
        ("accuracy: base model (zeros)", mean_of(accuracy_of_zeros(c) for c in cohorts)),
        ("accuracy: released, by round", " ".join(f"{a:.3f}" for a in by_round)),
        ("accuracy: released", mean_of(r.accuracy[-1] for r in private)),
        ("accuracy: released, round 2 repeated in groups", mean_of(r.accuracy[-1] for r in failed)),
        ("accuracy: the same rounds without noise", mean_of(r.accuracy[-1] for r in exact)),
        ("accuracy: same model, centralised", mean_of(centralised(c) for c in cohorts)),
        ("accuracy: same model, on the public benchmark alone", mean_of(benchmark_only(c) for c in cohorts)),
        ("accuracy: linear model of all features, centralised", mean_of(all_features(c) for c in cohorts)),
        ("honest refused, by round", " ".join(f"{x:.3f}" for x in np.mean([r.honest_refused() for r in private], 0))),
        ("honest refused, all rounds", mean_of(r.honest_refused().mean() for r in private)),
    ]
    return [{"figure": name, "value": value} for name, value in facts]


def cohorts(preset: Preset, seeds: int, *, is_coarse: bool) -> list[Row]:
    """Sweeps devices, rounds, epsilon, features, clip and rate around a preset."""
    sizes = [(40, 5), (60, 5), (80, 5), (100, 5), (80, 4)]
    out = []
    for (devices, rounds), epsilon in itertools.product(sizes, (1.0, 1.5, 2.0)):
        best: Row = {}
        for features, clip, rate in itertools.product(
            (10, 12) if is_coarse else (8, 10, 12, 14, 16), (0.2,) if is_coarse else (0.15, 0.2, 0.3), (1.5, 2.0)
        ):
            candidate = dataclasses.replace(
                preset, devices=devices, rounds=rounds, epsilon=epsilon, features=features, clip_norm=clip,
                server_rate=rate,
            )  # fmt: skip
            done = runs(candidate, Scenario(), seeds)
            refused = float(np.max(np.mean([r.honest_refused() for r in done], axis=0)))
            final = float(np.mean([r.accuracy[-1] for r in done]))
            if refused <= 0.1 and final > best.get("accuracy", 0.0):
                best = {
                    "honest": devices - len(preset.cheat_rounds),
                    "rounds": rounds,
                    "client-rounds": devices * rounds,
                    "epsilon": epsilon,
                    "total epsilon": round(total_epsilon(candidate, rounds), 2),
                    "features": features,
                    "clip": clip,
                    "rate": rate,
                    "noise/signal": round(predicted(candidate, devices - len(preset.cheat_rounds)), 2),
                    "accuracy": round(final, 3),
                    "refused at most": round(refused, 3),
                }
        out.append(best)
    return out


def varied(candidates: dict[str, Preset], seeds: int) -> list[Row]:
    """Runs variants of a preset: honest devices refused by round, accuracy, and the centralised one."""
    out = []
    for name, candidate in candidates.items():
        done = runs(candidate, Scenario(), seeds)
        row: Row = {"variant": name, "noise/signal": round(predicted(candidate, world_of(candidate, 0).devices), 2)}
        for number, refused in enumerate(np.mean([r.honest_refused() for r in done], axis=0), 1):
            row[f"round {number}"] = round(float(refused), 3)
        row["accuracy"] = mean_of(r.accuracy[-1] for r in done)
        out.append(row | {"centralised": mean_of(centralised(cohort_of(candidate, s)) for s in range(seeds))})
    return out


def variants(preset: Preset) -> dict[str, dict[str, Preset]]:
    """Returns what is varied around a preset, one thing at a time."""
    distance = preset.clip_norm * preset.server_rate
    return {
        "proximal term": {f"strength {v:g}": dataclasses.replace(preset, strength=v) for v in STRENGTHS},
        "clip, at the same distance C * rate": {
            f"C {v:g}": dataclasses.replace(preset, clip_norm=v, server_rate=distance / v) for v in CLIPS
        },
        "number of features": {f"{v} features": dataclasses.replace(preset, features=v) for v in FEATURES},
    }


def refusals(preset: Preset, seeds: int) -> list[Row]:
    """Shares of honest devices below each X, and below the schedule's."""
    out = []
    for name, skew in SKEWS.items():
        done = runs(dataclasses.replace(preset, skew=skew), Scenario(), seeds)
        for number in range(preset.rounds):
            shares = np.concatenate([r.improvement[number] for r in done])
            row: Row = {"skew": name, "round": number + 1}
            row |= {f"X={x:.1%}": round(float((shares < x).mean()), 3) for x in SHARES}
            refused = np.mean([r.honest_refused()[number] for r in done])
            scheduled = preset.schedule[min(number + 1, len(preset.schedule)) - 1]
            row |= {"schedule": scheduled, "refused": round(float(refused), 3)}
            out.append(row | {"accuracy": mean_of(r.accuracy[number] for r in done)})
    return out


def attackers(preset: Preset, seeds: int) -> list[Row]:
    """Final accuracy by attack, share and rule; and how many attackers the last rule refuses."""
    out = []
    for attack, share in itertools.product(ATTACKS, (0.0, 0.1, 0.2, 0.3)):
        row: Row = {"attack": attack, "share": f"{share:.0%}"}
        for rule in RULES:
            done = runs(preset, Scenario(rule, attack, share), seeds)
            row[rule] = mean_of(r.accuracy[-1] for r in done)
        refused = [1 - a[: r.attackers].mean() for r in done if r.attackers for a in r.is_accepted]
        honest = [r.honest_refused().mean() for r in done]
        row["attackers refused"] = round(float(np.mean(refused)), 3) if refused else "-"
        out.append(row | {"honest refused": round(float(np.mean(honest)), 3)})
    return out


def small_epsilon(preset: Preset, seeds: int) -> list[Row]:
    """Accuracy at epsilon = 0.1 for growing cohorts of resampled shards."""
    out = []
    for devices in (250, 500, 750, 950, 1200, 1500):
        candidate = dataclasses.replace(preset, epsilon=0.1)
        done = []
        for seed in range(seeds):
            cohort = cohort_of(preset, seed)
            rows = len(cohort.shards[0].labels)
            shards = resampled_shards(cohort, devices=devices, rows=rows, skew=preset.skew, seed=seed)
            done.append(simulate(World(cohort, shards), candidate, Scenario(), seed=seed))
        out.append({
            "devices": devices,
            "total epsilon": round(total_epsilon(candidate, preset.rounds), 3),
            "noise/signal": round(predicted(candidate, devices), 3),
            "accuracy": mean_of(r.accuracy[-1] for r in done),
            "refused at most": round(float(np.max(np.mean([r.honest_refused() for r in done], axis=0))), 3),
        })  # fmt: skip
    return out


def accuracy_of_zeros(cohort: Cohort) -> float:
    from examples.cohort import accuracy

    outputs = cohort.classes if cohort.classes > 2 else 1
    return accuracy(np.zeros((cohort.features + 1, outputs)), cohort)


# -- printing ------------------------------------------------------------------------------------


def mean_of(values: Iterable[Any]) -> str:
    flat = np.array([np.mean(v) for v in values])
    return f"{flat.mean():.3f} +- {flat.std():.3f}"


def show(title: str, rows: Sequence[Row]) -> list[Row]:
    """Prints rows as a table and returns them."""
    rows = [r for r in rows if r]
    columns = list(rows[0])
    cells = [columns, *[[str(r[c]) for c in columns] for r in rows]]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    print(title)
    for line in cells:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    print(flush=True)
    return rows


if __name__ == "__main__":
    main()
