"""An auditor: lower bounds on the loss of any mechanism, from what it returns for two neighbouring inputs.

    p = P[M(x) in S],  q = P[M(x') in S]          for every event S, in both directions
    epsilon >= ln((p - delta) / q)
    rho     >= max over a > 1 of D_a(p || q) / a  D_a: Renyi divergence of two coins (data processing)

The second is for Gaussian noise: its epsilon at a delta of 10^-6 shows in events that no test sees, its rho shows
in every second run.

The first half of the runs chooses the event, the second half bounds its two probabilities (exact
binomial intervals of Clopper and Pearson). Given the first half, the event is a fixed set and the
second half's counts are binomial, so the bound is that of one event however many were looked at. The
union bound is paid for two: the event that tells most of epsilon and the one that tells most of rho.

A bound above the claim refutes the claim. A bound below it proves nothing: an audit finds mistakes, and an
event that it did not look at, or that happens too seldom for the runs, stays hidden.

Source: Ding et al. 2018 (StatDP, arXiv 1805.10559), choosing on other runs; Bichsel et al. 2021 (DP-Sniper),
events from an estimated likelihood ratio; Bun and Steinke 2016 (eprint 2016/816), zCDP, and with a delta.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.dp.loss import PrivacyLoss
from zkfed.errors import PolicyError, shown

__all__ = ["Audit", "Found", "audit", "audit_samples", "binomial_bounds"]

RUNS_MIN, RUNS_MAX = 100, 1 << 22
COORDINATES_MAX = 64
"""Coordinates that are looked at one by one: those whose means differ most."""
BINS = 32
"""Of the likelihood ratio of one coordinate."""
VALUES = 256
"""Up to as many different values each is a threshold; beyond, quantiles are."""
LEVELS = np.concatenate([np.geomspace(1e-5, 0.01, 16), np.linspace(0.02, 0.98, 97), 1 - np.geomspace(0.01, 1e-5, 16)])

ORDERS = (1.001, 1.1, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0)
"""Of the Renyi divergences that are tried; near 1 for small losses."""

_Floats = npt.NDArray[np.float64]
_Feature = Callable[[_Floats], _Floats]
"""Maps outputs, shape (n, d), to one number each."""


@dataclass(frozen=True, slots=True)
class Found:
    """One event, and what it shows.

    Attributes:
        bound: The mechanism loses at least as much.
        event: What was looked for.
        hits: How often it happened, for the input where it is more likely and for the other one.
    """

    bound: float
    event: str
    hits: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found.

    Attributes:
        epsilon: The mechanism is (epsilon, delta)-private for no smaller epsilon.
        rho: It is rho-zCDP (delta-approximately) for no smaller rho.
        runs: Of each input, in the half that bounds.
        delta: Of the claim.
        confidence: That both bounds hold.
    """

    epsilon: Found
    rho: Found
    runs: int
    delta: float
    confidence: float

    @property
    def epsilon_lower(self) -> float:
        return self.epsilon.bound

    @property
    def rho_lower(self) -> float:
        return self.rho.bound

    def __str__(self) -> str:
        # Rounded down, the safe way for a lower bound.
        lines = [
            f"{name} >= {math.floor(found.bound * 10_000) / 10_000:.4f}: {found.event} in {found.hits[0]} and in "
            f"{found.hits[1]} of {self.runs} runs"
            for name, found in (("epsilon", self.epsilon), ("rho", self.rho))
        ]
        return f"{'; '.join(lines)} (delta {self.delta:.3g}, confidence 1 - {1 - self.confidence:.1g})"

    def require_at_most(self, claim: PrivacyLoss | float) -> None:
        """Checks that a claim is not refuted.

        Args:
            claim: A loss: its rho, and its epsilon if it is pure; or an epsilon at the audit's delta.

        Raises:
            PolicyError: It is: what was measured contradicts what was declared.
            ValueError: The claim allows a larger delta than the audit did.
        """
        if not isinstance(claim, PrivacyLoss):
            claimed = [("epsilon", float(claim), self.epsilon_lower)]
        elif float(claim.delta) > self.delta:
            raise ValueError(f"the claim has delta {float(claim.delta):.3g}, the audit was made for {self.delta:.3g}")
        else:
            claimed = [("rho", float(claim.rho), self.rho_lower)]
            if claim.epsilon is not None:
                claimed.append(("epsilon", float(claim.epsilon), self.epsilon_lower))
        for name, most, found in claimed:
            if not found <= most:  # refuses NaN too
                raise PolicyError(f"the mechanism loses more than the claimed {name} {most:.4g}: {self}")


def audit(
    mechanism: Callable[[Any], Any],
    inputs: tuple[Any, Any],
    *,
    runs: int = 10_000,
    delta: float = 0.0,
    confidence: float = 0.99,
) -> Audit:
    """Runs a mechanism on two neighbouring inputs and returns lower bounds on its loss.

    Args:
        mechanism: Called `runs` times on each input. It returns a number, a vector of fixed length, a label, a
            set of released keys, or a mapping of released keys to numbers; everything it returns counts.
        inputs: Neighbours under the adjacency of the claim.
        runs: In [100, 2^22]; at 10,000 a Laplace mechanism of epsilon 1 shows about 0.85 of it.
        delta: Of the claim, in [0, 1).
        confidence: In (0, 1).

    Raises:
        TypeError, ValueError: A value is out of range, or outputs are of no kind above.
    """
    if type(runs) is not int or not RUNS_MIN <= runs <= RUNS_MAX:
        raise ValueError(f"runs is {shown(runs)}, expected an int in [{RUNS_MIN}, {RUNS_MAX}]")
    # In turns, so that what drifts over time is no difference between the inputs.
    outputs = [(mechanism(inputs[0]), mechanism(inputs[1])) for _ in range(runs)]
    return audit_samples([a for a, _ in outputs], [b for _, b in outputs], delta=delta, confidence=confidence)


def audit_samples(
    first: Sequence[Any] | npt.NDArray[Any],
    second: Sequence[Any] | npt.NDArray[Any],
    *,
    delta: float = 0.0,
    confidence: float = 0.99,
) -> Audit:
    """Returns lower bounds on the loss from independent outputs for two neighbouring inputs.

    Args:
        first: n outputs for one input; see `audit`. As an array of shape (n,) or (n, d) it is fast.
        second: n outputs for the other.
        delta: Of the claim, in [0, 1).
        confidence: In (0, 1).

    Raises:
        TypeError, ValueError: A value is out of range, or the outputs do not fit each other.
    """
    if not 0 <= delta < 1 or not 0 < confidence < 1:
        raise ValueError(f"delta is {shown(delta)}, confidence {shown(confidence)}: expected [0, 1) and (0, 1)")
    half = len(first) // 2
    if len(first) != len(second) or not RUNS_MIN <= len(first) <= RUNS_MAX:
        raise ValueError(f"{len(first)} and {len(second)} outputs, expected as many, {RUNS_MIN} to {RUNS_MAX}")
    names, (a, b) = _columns(first, second, half)
    chance = 1 - confidence
    # Two bounds of two ends each.
    chance, runs = (1 - confidence) / 2, len(first) - half
    found = list[Found]()
    for choice, bound in zip(_choose((a[:half], b[:half]), names, delta, chance), (_epsilon, _rho), strict=True):
        more, fewer = (int(choice.happens(x[half:]).sum()) for x in ((b, a) if choice.is_swapped else (a, b)))
        low, high = binomial_bounds(more, runs, chance)[0], binomial_bounds(fewer, runs, chance)[1]
        value = float(bound(np.array([low - delta]), np.array([high / (1 - delta)]))[0])
        found.append(Found(value, choice.text, (more, fewer)))
    return Audit(found[0], found[1], runs, float(delta), confidence)


def binomial_bounds(hits: int, runs: int, chance: float) -> tuple[float, float]:
    """Returns the exact interval of Clopper and Pearson for a probability, rounded outward.

        P[B(n, low) >= hits] = chance / 2 = P[B(n, high) <= hits]

    Args:
        hits: In [0, n].
        runs: n >= 1.
        chance: That the interval misses, at most; in (0, 1).
    """
    return _lower(hits, runs, chance / 2), 1 - _lower(runs - hits, runs, chance / 2)


def _lower(hits: int, runs: int, level: float) -> float:
    """Returns the largest p with P[B(n, p) >= hits] <= level."""
    if hits == 0:
        return 0.0
    k = np.arange(1, runs + 1)
    ways = np.cumsum(np.log(runs - k + 1) - np.log(k))[hits - 1 :]
    more, fewer = k[hits - 1 :], runs - k[hits - 1 :]
    low, high, wanted = 0.0, hits / runs, math.log(level) - 1e-9
    for _ in range(60):
        p = (low + high) / 2
        terms = ways + more * math.log(p) + fewer * math.log1p(-p)
        top = float(terms.max())
        tail = top + math.log(float(np.exp(terms - top).sum()))
        low, high = (p, high) if tail <= wanted else (low, p)
    return low


# -- events ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Choice:
    text: str
    feature: _Feature
    threshold: float
    is_above: bool
    is_swapped: bool
    """Whether it is likelier for the second input."""

    def happens(self, outputs: _Floats) -> npt.NDArray[np.bool_]:
        return np.asarray((self.feature(outputs) >= self.threshold) == self.is_above)


def _choose(halves: tuple[_Floats, _Floats], names: list[str], delta: float, chance: float) -> list[_Choice]:
    """Returns the events that promise most for epsilon and for rho."""
    runs, gains = len(halves[0]), [-math.inf, -math.inf]
    best = [_Choice("nothing", _column(0), math.inf, is_above=True, is_swapped=False)] * 2
    for name, feature in _features(*halves, names):
        a, b = np.sort(feature(halves[0])), np.sort(feature(halves[1]))
        thresholds = _thresholds(np.concatenate([a, b]))
        below = [np.searchsorted(x, thresholds, side="left") for x in (a, b)]
        for is_above, is_swapped in itertools.product((True, False), repeat=2):
            p, q = (runs - n if is_above else n for n in (reversed(below) if is_swapped else below))
            low, high = _about(p, runs, chance)[0] - delta, _about(q, runs, chance)[1] / (1 - delta)
            for i, bound in enumerate((_epsilon, _rho)):
                gain = bound(low, high)
                at = int(gain.argmax())
                if gain[at] > gains[i]:
                    text = f"{name} {'>=' if is_above else '<'} {thresholds[at]:.4g}"
                    gains[i], best[i] = gain[at], _Choice(text, feature, thresholds[at], is_above, is_swapped)
    return best


def _thresholds(values: _Floats) -> _Floats:
    distinct = np.unique(values)
    return distinct if len(distinct) <= VALUES else np.unique(np.quantile(values, LEVELS, method="higher"))


def _epsilon(p: _Floats, q: _Floats) -> _Floats:
    """Returns ln(p / q), at least 0; p is P - delta."""
    return np.maximum(np.log(np.maximum(p, 1e-300) / q), 0.0)


def _rho(p: _Floats, q: _Floats) -> _Floats:
    """Returns max_a D_a(p || q) / a, 0 unless p > q; p and q are those of the part that delta leaves."""
    p, q = np.clip(p, 1e-300, 1 - 1e-12), np.clip(q, 1e-300, 1 - 1e-12)
    found = np.zeros(len(p))
    for a in ORDERS:
        one, other = (a * np.log(x) + (1 - a) * np.log(y) for x, y in ((p, q), (1 - p, 1 - q)))
        found = np.maximum(found, np.logaddexp(one, other) / ((a - 1) * a))
    return np.where(p > q, found, 0.0)


def _about(hits: npt.NDArray[np.int64], runs: int, chance: float) -> tuple[_Floats, _Floats]:
    """Returns intervals of many probabilities, good enough to choose by (Wilson's)."""
    z = NormalDist().inv_cdf(1 - chance / 2)
    center, spread = hits + z * z / 2, z * np.sqrt(hits * (1 - hits / runs) + z * z / 4)
    return np.maximum(center - spread, 0) / (runs + z * z), np.minimum(center + spread, runs + z * z) / (runs + z * z)


def _features(a: _Floats, b: _Floats, names: list[str]) -> list[tuple[str, _Feature]]:
    """Returns what thresholds are set on: single coordinates, their best sum, their likelihood ratio."""
    is_finite = np.isfinite(a).all(axis=0) & np.isfinite(b).all(axis=0)
    with np.errstate(invalid="ignore"):
        deviation = np.sqrt(a.var(axis=0) + b.var(axis=0)) + 1e-12
        apart = np.where(is_finite, (a.mean(axis=0) - b.mean(axis=0)) / deviation, np.inf)
    order = np.argsort(-np.abs(apart), kind="stable")[:COORDINATES_MAX]
    found = [(names[i], _column(int(i))) for i in order]
    if a.shape[1] > 1 and is_finite.any():
        weights = np.where(is_finite, apart / deviation, 0.0)
        found.append(("the sum along the difference", lambda x: np.where(is_finite, x, 0.0) @ weights))
    found.append(("the log-likelihood ratio", _likelihood_ratio(a, b)))
    return found


def _column(place: int) -> _Feature:
    return lambda x: x[:, place]


def _likelihood_ratio(a: _Floats, b: _Floats) -> _Feature:
    """Returns the estimated log-likelihood ratio, as if coordinates were independent.

    Coordinates that differ no more than by chance are left out: their estimates would only add noise.
    """
    tables = list[tuple[int, _Floats, _Floats]]()
    for i in range(a.shape[1]):
        values = np.unique(np.concatenate([a[:, i], b[:, i]]))
        if len(values) > BINS:
            levels = np.linspace(0, 1, BINS + 1)[1:-1]
            values = np.unique(np.quantile(np.concatenate([a[:, i], b[:, i]]), levels, method="higher"))
        edges = values[1:]
        counts = [np.bincount(np.searchsorted(edges, x[:, i], side="right"), minlength=len(values)) for x in (a, b)]
        free = len(values) - 1
        apart = float(((counts[0] - counts[1]) ** 2 / np.maximum(counts[0] + counts[1], 1)).sum())
        if apart > free + 4 * math.sqrt(2 * free):
            tables.append((i, edges, np.log((counts[0] + 0.5) / (counts[1] + 0.5))))

    def score(x: _Floats) -> _Floats:
        total = np.zeros(len(x))
        for i, edges, ratios in tables:
            total += ratios[np.searchsorted(edges, x[:, i], side="right")]
        return total

    return score


# -- outputs ---------------------------------------------------------------------------------------


def _columns(first: Any, second: Any, half: int) -> tuple[list[str], tuple[_Floats, _Floats]]:
    """Returns names of coordinates, and both outputs as arrays of shape (n, d).

    Released keys become one coordinate each: -inf where a key is missing. Only keys of the first half are looked
    at, for what is looked at must not depend on the second.
    """
    sample = first[0]
    if isinstance(sample, (str, AbstractSet, Mapping)):
        rows = [[_released(x) for x in side] for side in (first, second)]
        keys = sorted({key for side in rows for row in side[:half] for key in row}, key=str) or [""]
        made = [np.array([[row.get(key, -np.inf) for key in keys] for row in side], np.float64) for side in rows]
        return [f"key {shown(key)}" for key in keys], (made[0], made[1])
    arrays = [np.asarray(x, np.float64) for x in (first, second)]
    if arrays[0].shape != arrays[1].shape or arrays[0].ndim not in (1, 2) or not arrays[0].size:
        raise ValueError(
            f"outputs of shapes {arrays[0].shape} and {arrays[1].shape}, expected numbers or equal vectors"
        )
    # NaN is an output like any other; it has no order, so it gets one.
    a, b = (np.where(np.isnan(x), np.inf, x).reshape(len(x), -1) for x in arrays)
    return [f"coordinate {i}" for i in range(a.shape[1])] if a.shape[1] > 1 else ["the output"], (a, b)


def _released(output: Any) -> Mapping[Any, float]:
    if isinstance(output, Mapping):
        return output
    if isinstance(output, str):
        return {output: 1.0}
    if isinstance(output, AbstractSet):
        return dict.fromkeys(output, 1.0)
    raise TypeError(f"an output is a {type(output).__name__}, expected released keys like the first one")
