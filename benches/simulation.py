"""A federated run without cryptography: the arithmetic of a round, for sweeps.

Each round does what the protocol does to the numbers: train, clip, round to integers, refuse
what does not improve the benchmark, add, add two noises, move the model. It proves, encrypts
and signs nothing, and two things are simulated: noise is a rounded Gaussian from a seeded
generator (the library draws it from OpenDP), and an update that a rule forbids is left out,
because a proof for it could not be made.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from examples.cohort import Cohort, Preset, accuracy
from zkfed.dp.noise import NoiseScale, calibrate
from zkfed.fixedpoint import norm_bound, quantise_features, quantise_targets
from zkfed.orchestrator.client import Shard
from zkfed.policy import parse_share

__all__ = ["ATTACKS", "RULES", "Run", "Scenario", "World", "charge", "simulate"]

Floats = npt.NDArray[np.float64]

FRACTION_BITS = 15
UNIT = 127.0
RULES = ("nothing", "norm", "norm and improvement")
"""Nobody checks; the proof bounds the norm (S0); it also shows the improvement (S2)."""
ATTACKS = ("random noise", "label flip", "sign flip", "scaled", "adaptive label flip")
"""Noise of BOOST times the clip; a step on labels c -> classes - 1 - c; the negative of the own
step; BOOST times that; and a label flip mixed with the honest step until it passes S2."""
BOOST = 20.0


@dataclass(frozen=True)
class Scenario:
    """What is done to a run.

    Attributes:
        rule: What is enforced: one of `RULES`.
        attack: One of `ATTACKS`.
        share: Of the devices that attack, in every round.
        is_noised: Whether G and K add their noises.
        failed_round: A round whose first attempt fails and that is repeated in groups, of
            which one is lost; 0 is none.
    """

    rule: str = RULES[-1]
    attack: str = ATTACKS[0]
    share: float = 0.0
    is_noised: bool = True
    failed_round: int = 0


@dataclass
class Run:
    """What happened, by round.

    Attributes:
        accuracy: On the test rows, after each round.
        improvement: (rounds, devices): by which share each update lowers the benchmark's loss.
        is_accepted: (rounds, devices).
        signal: |mean update| / C.
        noise: |mean of the noises| / C.
        attackers: How many of the devices attack; they are the first ones.
    """

    attackers: int
    accuracy: list[float] = field(default_factory=list)
    improvement: list[Floats] = field(default_factory=list)
    is_accepted: list[npt.NDArray[np.bool_]] = field(default_factory=list)
    signal: list[float] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)

    def honest_refused(self) -> Floats:
        """Returns the share of honest devices that each round refuses."""
        return 1.0 - np.array([a[self.attackers :].mean() for a in self.is_accepted])


class World:
    """The rows of a cohort as the quadratic forms that least squares needs.

    Attributes:
        gram, moment: X^T X / n and X^T T / n of each device, shape (devices, d, d) and (devices, d, c).
        flipped: The moment with label y replaced by classes - 1 - y.
    """

    def __init__(self, cohort: Cohort, shards: list[Shard] | None = None) -> None:
        self.cohort = cohort
        parts = [self._rows(s.features, s.labels) for s in (shards or cohort.shards)]
        turned = [self._targets(cohort.classes - 1 - s.labels) for s in (shards or cohort.shards)]
        self.gram = np.array([x.T @ x / len(x) for x, _ in parts])
        self.moment = np.array([x.T @ t / len(x) for x, t in parts])
        self.flipped = np.array([x.T @ t / len(x) for (x, _), t in zip(parts, turned, strict=True)])
        x, t = self._rows(*cohort.benchmark)
        self.public = x.T @ x, x.T @ t, float((t * t).sum())

    def _rows(self, x: Floats, y: npt.NDArray[Any]) -> tuple[Floats, Floats]:
        return quantise_features(x) / UNIT, self._targets(y)

    def _targets(self, y: npt.NDArray[Any]) -> Floats:
        return quantise_targets(y, classes=self.cohort.classes) / (UNIT * 2**FRACTION_BITS)

    @property
    def devices(self) -> int:
        return len(self.gram)

    def loss(self, weights: Floats) -> float:
        """Returns |X W - T|^2 over the benchmark."""
        gram, moment, constant = self.public
        return float((weights * (gram @ weights - 2 * moment)).sum() + constant)

    def improvements(self, base: Floats, steps: Floats) -> Floats:
        """Returns 1 - L(W0 + D_i) / L(W0) for each device."""
        gram, moment, _ = self.public
        change = (steps * (gram @ steps + 2 * (gram @ base - moment))).sum(axis=(1, 2))
        return np.asarray(-change / self.loss(base))

    def steps(self, base: Floats, strength: float, *, moment: Floats) -> Floats:
        """Returns each device's proximal least-squares step (see `proximal_least_squares`)."""
        system = self.gram + strength * np.identity(self.gram.shape[1])
        return np.asarray(np.linalg.solve(system, moment - self.gram @ base))


@functools.cache
def _calibrated(epsilon: float, delta: float, sensitivity: int) -> NoiseScale:
    return calibrate(epsilon, delta, sensitivity)


def charge(preset: Preset, parameters: int) -> NoiseScale:
    """Returns the scale of one party's noise and its charge."""
    bound = norm_bound(preset.clip_norm, parameters, FRACTION_BITS)
    return _calibrated(preset.epsilon, preset.delta, math.isqrt(bound - 1) + 1)


def clipped(steps: Floats, norm: float) -> Floats:
    """Returns steps scaled down to an L2 norm and cut to the range of a coordinate."""
    lengths = np.sqrt((steps * steps).sum(axis=(1, 2), keepdims=True))
    limit = (2**15 - 1) / 2**FRACTION_BITS
    return np.clip(steps * np.minimum(1.0, norm / np.maximum(lengths, 1e-12)), -limit, limit)


def simulate(world: World, preset: Preset, scenario: Scenario, *, seed: int) -> Run:
    """Runs all rounds of a preset and returns what happened.

    Args:
        world: The devices' rows.
        preset: Its numbers; its schedule is applied under the rule "norm and improvement" only.
        scenario: Rule, attack and noise.
        seed: Of noise, attackers and groups.
    """
    generator = np.random.default_rng(seed)
    scale = 2.0**FRACTION_BITS
    sigma = charge(preset, world.moment[0].size).sigma
    run = Run(round(scenario.share * world.devices))
    weights = np.zeros(world.moment.shape[1:])
    for number in range(1, preset.rounds + 1):
        share = parse_share(preset.schedule[min(number, len(preset.schedule)) - 1]) / 1e6
        steps = _sent(world, weights, preset, scenario, attackers=run.attackers, share=share, generator=generator)
        integers = np.rint(steps * scale)
        improvement = world.improvements(weights, integers / scale)
        accepted = improvement >= share if scenario.rule == RULES[-1] else np.ones(world.devices, dtype=bool)
        groups = _groups(
            preset, generator.permutation(np.flatnonzero(accepted)), has_failed=number == scenario.failed_round
        )
        total, noise, count = np.zeros_like(weights), np.zeros_like(weights), max(sum(map(len, groups)), 1)
        for group in groups:
            total += integers[group].sum(axis=0)
            if scenario.is_noised:
                noise += np.rint(generator.normal(scale=sigma, size=(2, *weights.shape))).sum(axis=0)
        weights = np.rint(weights * scale + preset.server_rate * (total + noise) / count) / scale
        run.accuracy.append(accuracy(weights, world.cohort))
        run.improvement.append(improvement)
        run.is_accepted.append(accepted)
        run.signal.append(float(np.linalg.norm(total)) / count / scale / preset.clip_norm)
        run.noise.append(float(np.linalg.norm(noise)) / count / scale / preset.clip_norm)
    return run


def _groups(preset: Preset, members: npt.NDArray[np.intp], *, has_failed: bool) -> list[npt.NDArray[np.intp]]:
    """Returns what is summed: all members, or all groups but one of a repeated attempt, or nothing."""
    most = len(members) // preset.min_clients
    if most < 1:
        return []
    return np.array_split(members, min(preset.groups, most))[1:] if has_failed else [members]


def _sent(
    world: World,
    base: Floats,
    preset: Preset,
    scenario: Scenario,
    *,
    attackers: int,
    share: float,
    generator: np.random.Generator,
) -> Floats:
    """Returns the updates that the devices send; the first `attackers` of them attack.

    Honest devices clip under every rule; the rules differ in what attackers are held to.
    """
    local = world.steps(base, preset.strength, moment=world.moment)
    honest = clipped(local, preset.clip_norm)
    sent, bad = honest.copy(), slice(0, attackers)
    if scenario.attack == "random noise":
        noise = generator.normal(size=local[bad].shape)
        sent[bad] = noise / np.linalg.norm(noise, axis=(1, 2), keepdims=True) * BOOST * preset.clip_norm
    elif scenario.attack in ("label flip", "adaptive label flip"):
        sent[bad] = world.steps(base, preset.strength, moment=world.flipped)[bad]
    else:
        sent[bad] = -local[bad] * (BOOST if scenario.attack == "scaled" else 1.0)
    if scenario.rule != "nothing":
        sent = clipped(sent, preset.clip_norm)
    if scenario.attack == "adaptive label flip" and scenario.rule == RULES[-1]:
        sent[bad] = _hidden(world, base, sent[bad], honest[bad], share)
    return sent


def _hidden(world: World, base: Floats, poison: Floats, cover: Floats, share: float) -> Floats:
    """Returns, for each attacker, the mix with most poison that still passes the rule."""
    best = poison.copy()
    for part in np.linspace(0.0, 1.0, 21):
        mix = part * poison + (1 - part) * cover
        passes = world.improvements(base, mix) >= share + 1e-4
        best[passes] = mix[passes]
    return best
