"""Noise for a vector of counts: OpenDP's mechanisms, their charge, and how wide the result is.

    noised_k = sum_i v_ik + e_k,   |v_i|_1 <= T,  |v_i|_2 <= sqrt(T)

e is integer discrete Gaussian noise (zCDP at sqrt(T)) or integer Laplace noise (pure, at T). The
charge is read from OpenDP's map; the scale is searched on it, never computed from epsilon.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.dp.loss import PrivacyLoss, exact
from zkfed.dp.noise import _library, calibrate, charge_of
from zkfed.errors import PolicyError, shown

__all__ = ["CONFIDENCE", "NOISES", "THRESHOLD_SHARE", "CountNoise", "Threshold"]

NOISES = ("gaussian", "laplace")
CONFIDENCE = 0.95
"""Of every half-width."""
THRESHOLD_SHARE = Fraction(1, 100)
"""Of delta, what one release of unknown keys takes: a hundred fit into the whole, ten leave 90 % of it."""
_TAU_MAX = 1 << 31


@dataclass(frozen=True)
class CountNoise:
    """Calibrated noise for the sum of bounded vectors.

    Attributes:
        kind: "gaussian" or "laplace".
        scale: sigma, or b, in people.
        loss: Of one release.
        draws: How many independent noises are in the result: 2 in the encrypted mode, where the
            adders and the key holder each add one and only one is charged.
    """

    kind: str
    scale: float
    loss: PrivacyLoss
    draws: int = 1

    @classmethod
    def calibrate(cls, kind: str, epsilon: Any, delta: float, contributions: int) -> CountNoise:
        """Returns the noise with which one release costs at most epsilon at delta.

        Args:
            kind: "gaussian" or "laplace".
            epsilon: In (0, 100].
            delta: In (0, 1); Laplace noise does not use it.
            contributions: T >= 1.

        Raises:
            TypeError, ValueError: epsilon or delta is no number or out of range.
            PolicyError: No such noise.
        """
        wanted = exact("epsilon", epsilon, most=100)
        if kind == "laplace":
            return _laplace(wanted, contributions)
        if kind != "gaussian":
            raise PolicyError(f"noise is {shown(kind)}, expected one of {NOISES}")
        return _gaussian(float(wanted), delta, contributions)

    @property
    def deviation(self) -> float:
        """The standard deviation of one noised count, in people."""
        return self.scale * math.sqrt((1 if self.kind == "gaussian" else 2) * self.draws)

    def add(self, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Returns the counts with one fresh noise on each, from the operating system's randomness.

        Args:
            counts: int64, each below 2^53 in absolute value.
        """
        values = np.asarray(counts)
        if values.ndim != 1 or values.dtype != np.int64 or (np.abs(values) >= 1 << 53).any():
            raise ValueError("counts are a vector of int64 below 2^53")
        noised = np.asarray(_mechanism(self.kind, self.scale)(values.tolist()))
        if noised.shape != values.shape or noised.dtype != np.int64:
            raise ValueError("OpenDP returned something else than a vector of 64-bit integers")
        return noised

    def half_width_of(self, weights: npt.NDArray[np.float64], confidence: float = CONFIDENCE) -> float:
        """Returns the a with |noised - true| <= a in `confidence` of all releases, for sum_k w_k noised_k.

        Args:
            weights: w, one for each count.
            confidence: In (0, 1).
        """
        used = np.abs(weights[weights != 0])
        if len(used) == 1:
            return float(used[0]) * self._count_half_width(confidence)
        norm = float(np.sqrt((used * used).sum()))
        if self.kind == "gaussian":
            return _normal_quantile(confidence) * self.scale * norm * math.sqrt(self.draws)
        return _laplace_quantile(tuple(used.tolist()), confidence) * self.scale

    def _count_half_width(self, confidence: float) -> float:
        if self.draws > 1:
            return math.ceil(_normal_quantile(confidence) * self.deviation)
        return _accuracy(self.kind, self.scale, 1 - confidence)


@dataclass(frozen=True)
class Threshold:
    """A release of counts whose keys are not known beforehand.

    Attributes:
        noise: Of each count; its loss includes the delta of the threshold.
        tau: The smallest noised count that is shown for privacy's sake.
        shown_from: max(tau, k).
    """

    noise: CountNoise
    tau: int
    shown_from: int

    @classmethod
    def calibrate(cls, kind: str, epsilon: Any, delta: float, contributions: int, *, k: int) -> Threshold:
        """Returns noise and threshold with which one release costs at most epsilon at delta.

        A hundredth of delta is for the threshold. Arguments and errors as `CountNoise.calibrate`.
        """
        whole = Fraction(str(delta))
        part = whole * THRESHOLD_SHARE
        noise = CountNoise.calibrate(kind, epsilon, float(whole - part), contributions)
        tau = _tau(kind, noise.scale, contributions, float(part))
        rho, epsilon_charged, spent = _threshold_map(kind, noise.scale, contributions, tau)
        loss = PrivacyLoss(rho, epsilon_charged, spent)
        return cls(CountNoise(kind, noise.scale, loss), tau, max(tau, k))

    def release(self, counts: dict[str, int]) -> dict[str, int]:
        """Returns the noised counts of the keys that are shown: those of at least `shown_from`."""
        mechanism = _threshold_mechanism(self.noise.kind, self.noise.scale, self.shown_from)
        return {str(key): int(value) for key, value in mechanism(dict(counts)).items()}


@functools.lru_cache(maxsize=256)
def _gaussian(epsilon: float, delta: float, contributions: int) -> CountNoise:
    # The charge depends on sensitivity / sigma alone: search at sensitivity 1, then scale both.
    unit = calibrate(epsilon, delta, 1)
    sensitivity = math.nextafter(math.sqrt(contributions), math.inf)
    scale = unit.sigma * sensitivity
    while True:
        rho, charged = charge_of(scale, sensitivity, delta)
        if charged <= epsilon:
            return CountNoise("gaussian", scale, PrivacyLoss.gaussian(rho))
        scale = math.nextafter(scale, math.inf)


@functools.lru_cache(maxsize=256)
def _laplace(epsilon: Fraction, contributions: int) -> CountNoise:
    wanted, high = float(epsilon), contributions / float(epsilon)
    scale = float(
        _library().binary_search(
            lambda b: _mechanism("laplace", b).map(contributions) <= wanted, bounds=(high / 2, high * 1.01)
        )
    )
    charged = float(_mechanism("laplace", scale).map(contributions))
    if not charged <= wanted or not math.isfinite(charged):
        raise PolicyError(f"no Laplace noise was found for epsilon {shown(epsilon)}")
    # What was asked for is charged: it is at least the map's number, and an exact rational.
    return CountNoise("laplace", scale, PrivacyLoss.pure(epsilon))


@functools.lru_cache(maxsize=256)
def _mechanism(kind: str, scale: float) -> Any:
    library = _library()
    domain = library.vector_domain(library.atom_domain(T="i64"))
    if kind == "gaussian":
        return library.m.make_gaussian(domain, library.l2_distance(T="f64"), scale=scale)
    return library.m.make_laplace(domain, library.l1_distance(T="i64"), scale=scale)


# -- unknown keys ----------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _threshold_mechanism(kind: str, scale: float, threshold: int) -> Any:
    library = _library()
    domain = library.map_domain(library.atom_domain(T="String"), library.atom_domain(T="i64"))
    unit = library.absolute_distance(T="i64")
    if kind == "gaussian":
        metric = library.l02inf_distance(unit)
        return library.m.make_gaussian_threshold(domain, metric, scale=scale, threshold=threshold)
    metric = library.l01inf_distance(unit)
    return library.m.make_laplace_threshold(domain, metric, scale=scale, threshold=threshold)


def _threshold_map(kind: str, scale: float, contributions: int, tau: int) -> tuple[Fraction, Fraction | None, Fraction]:
    """Returns (rho, pure epsilon or None, delta) of a release at tau.

    OpenDP shows what reaches its threshold and accounts for what lies above it (its issue 2922): its
    map is read at tau - 1, and the release is at tau.
    """
    t = contributions
    distance = (t, math.isqrt(t - 1) + 1 if t > 1 else 1, 1) if kind == "gaussian" else (t, t, 1)
    loss, delta = _threshold_mechanism(kind, scale, tau - 1).map(distance)
    if not math.isfinite(loss) or not math.isfinite(delta):
        raise PolicyError("this noise protects nothing: its charge is not finite")
    if kind == "gaussian":
        return Fraction(loss), None, Fraction(delta)
    epsilon = Fraction(loss)
    return epsilon * epsilon / 2, epsilon, Fraction(delta)


@functools.lru_cache(maxsize=256)
def _tau(kind: str, scale: float, contributions: int, delta: float) -> int:
    """Returns the smallest tau whose map's delta is at most `delta`."""
    low, high = 1, 2
    while _threshold_map(kind, scale, contributions, high)[2] > delta:
        low, high = high, 2 * high
        if high >= _TAU_MAX:
            raise PolicyError(f"no threshold reaches delta {delta:.1g} at this epsilon: raise epsilon")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _threshold_map(kind, scale, contributions, middle)[2] <= delta else (middle, high)
    return high


# -- quantiles -------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _accuracy(kind: str, scale: float, alpha: float) -> float:
    """Returns the smallest whole a with P[|noise| > a] <= alpha."""
    library = _library()
    accuracy = (
        library.discrete_gaussian_scale_to_accuracy
        if kind == "gaussian"
        else library.discrete_laplacian_scale_to_accuracy
    )
    # OpenDP's is the smallest with P[|noise| >= a] <= alpha, and noise is whole.
    return max(float(math.ceil(accuracy(scale=scale, alpha=alpha)) - 1), 0.0)


def _normal_quantile(confidence: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf((1 + confidence) / 2)


@functools.lru_cache(maxsize=4096)
def _laplace_quantile(weights: tuple[float, ...], confidence: float) -> float:
    """Returns x with P[|sum_j w_j L_j| <= x] = confidence for standard Laplace L_j.

        P[|X| <= x] = 2/pi int_0^inf sin(x t)/t prod_j 1/(1 + w_j^2 t^2) dt

    Source: Gil-Pelaez 1951, inversion of the characteristic function.
    """
    w = np.array(weights)
    if len(w) == 0:
        return 0.0
    if len(w) == 1:
        return float(-w[0] * math.log(1 - confidence))
    deviation = math.sqrt(2 * float((w * w).sum()))
    # The product falls at least like t^-4: beyond 200 / deviation nothing is left.
    t = (np.arange(1 << 15) + 0.5) * (400 / deviation / (1 << 15))
    density = np.exp(-np.log1p((w[:, None] * t) ** 2).sum(axis=0)) / t
    low, high = 0.0, 20 * deviation
    for _ in range(60):
        x = (low + high) / 2
        inside = 2 / math.pi * float((np.sin(x * t) * density).sum()) * (t[1] - t[0])
        low, high = (x, high) if inside < confidence else (low, x)
    return high
