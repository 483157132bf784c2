"""The integer noise of one party: scale by OpenDP's map, samples by OpenDP's sampler.

    eta_k ~ N_Z(0, sigma^2),   P[eta = x] proportional to exp(-x^2 / (2 sigma^2))

G and K each add the full sigma to the exact sum of integer updates, so that the guarantee
holds against either alone; the charge is that of one noise (protocol.md section 8).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.fixedpoint import ceil_with_root

__all__ = ["NoiseScale", "calibrate", "noise_norm_bound", "sample"]

SIGMA_BITS = 16
"""Significant bits of a calibrated sigma: it is a public input of statement N, so that the
last bits of a platform's logarithms must not show in it. Costs at most 2^-15 of sigma."""
SIGMA_MAX = (1 << 28) // 10
"""Coordinates of a noise are proven to be below 2^28; beyond ten sigma lie 2^-75 of them."""
COUNT_MAX = 1 << 24
NORM_TAIL = 28
"""A noise vector breaks the norm bound of statement N with probability e^-28 < 2^-40."""


@dataclass(frozen=True, slots=True)
class NoiseScale:
    """A scale and its charge, read from OpenDP's map when it is built.

    Attributes:
        sigma: Of the discrete Gaussian, in integer units.
        sensitivity: d_in, the largest L2 norm of one client's integers.
        delta: For which epsilon is stated, in (0, 1).
        rho: The zCDP charge of one release, rho = d_in^2 / (2 sigma^2), rounded up.
        epsilon: Of one release at `delta`.

    Raises:
        ValueError: A value is out of range, or the charge is not finite.
        TypeError: A value is not a number of its kind.
    """

    sigma: float
    sensitivity: int
    delta: float
    rho: float = field(init=False)
    epsilon: float = field(init=False)

    def __post_init__(self) -> None:
        sigma = _number("sigma", self.sigma, SIGMA_MAX)
        delta = _delta(self.delta)
        if type(self.sensitivity) is not int:
            raise TypeError(f"sensitivity is a {type(self.sensitivity).__name__}, expected an int")
        if not 1 <= self.sensitivity < 1 << 53:
            raise ValueError(f"sensitivity is {self.sensitivity}, expected an int in [1, 2^53)")
        rho, epsilon = charge_of(sigma, self.sensitivity, delta)
        if not (math.isfinite(rho) and math.isfinite(epsilon)):
            raise ValueError(f"sigma {sigma} protects nothing: its charge is not finite")
        for name, value in (("sigma", sigma), ("delta", delta), ("rho", rho), ("epsilon", epsilon)):
            object.__setattr__(self, name, value)


@functools.lru_cache(maxsize=64, typed=True)  # typed: True is no number
def calibrate(epsilon: float, delta: float, sensitivity: int) -> NoiseScale:
    """Returns the smallest sigma (to 16 bits) with which one release costs at most epsilon.

    Args:
        epsilon: Of one release, in (0, 100].
        delta: In (0, 1).
        sensitivity: d_in = ceil(sqrt(B2)) >= 1, in integer units.

    Raises:
        ValueError: A value is out of range, or the noise would not fit statement N.
        TypeError: A value is not a number of its kind.
    """
    epsilon, delta = _number("epsilon", epsilon, 100.0), _delta(delta)
    # rho + 2 sqrt(rho ln(1/delta)) = epsilon overestimates the loss: sigma is at most `high`,
    # and never less than an eighth of it. The search stays where the map does not overflow.
    root = math.sqrt(-math.log(delta))
    # sqrt(a^2 + b) - a as b / (sqrt(a^2 + b) + a): the difference of a small epsilon would be 0.
    high = sensitivity * (math.sqrt(root * root + epsilon) + root) / (math.sqrt(2) * epsilon)
    if not high / 8 < SIGMA_MAX:
        raise _too_large(high)
    found = float(
        _library().binary_search(
            lambda sigma: charge_of(sigma, sensitivity, delta)[1] <= epsilon, bounds=(high / 8, high * 1.01)
        )
    )
    sigma = _round_up(found)
    if sigma > SIGMA_MAX:
        raise _too_large(sigma)
    scale = NoiseScale(sigma, sensitivity, delta)
    if scale.epsilon > epsilon:
        raise ValueError(f"no sigma was found for epsilon {epsilon} at delta {delta}")
    return scale


def sample(scale: NoiseScale, count: int) -> npt.NDArray[np.int64]:
    """Draws `count` independent values of N_Z(0, sigma^2) from the operating system's randomness.

    About 15 to 30 microseconds a value. The sampler's running time depends on the values; no
    claim is made against an observer of its timing.

    Args:
        scale: From `calibrate`.
        count: P >= 1.

    Raises:
        ValueError: `count` is out of range.
        TypeError: `count` is no int.
    """
    if type(count) is not int:
        raise TypeError(f"count is a {type(count).__name__}, expected an int")
    if not 1 <= count <= COUNT_MAX:
        raise ValueError(f"count is {count}, expected an int in [1, {COUNT_MAX}]")
    noise = np.asarray(_mechanism(scale.sigma)([0] * count))
    if noise.shape != (count,) or noise.dtype != np.int64:
        raise ValueError("OpenDP returned something else than a vector of 64-bit integers")
    return noise


def noise_norm_bound(sigma: float, count: int) -> int:
    """Returns the bound on |eta|^2 in statement N: honest noise misses it once in 2^40 draws.

        sigma^2 (P + 2 sqrt(28 P) + 56), rounded up

    Conditioning the noise on it changes a release by at most 2^-39 in total variation.

    Args:
        sigma: Of the noise.
        count: P.

    Source: Laurent and Massart, "Adaptive estimation of a quadratic functional by model
    selection", Annals of Statistics 28 (2000), lemma 1. It holds for the discrete Gaussian
    too: by Poisson summation E exp(t eta^2) is at most that of the continuous one, t > 0.
    """
    if type(count) is not int or not 1 <= count <= COUNT_MAX:
        raise ValueError(f"count is {count!r}, expected an int in [1, {COUNT_MAX}]")
    variance = Fraction(_number("sigma", sigma, SIGMA_MAX)) ** 2
    return ceil_with_root(variance * (count + 2 * NORM_TAIL), variance**2 * (4 * NORM_TAIL * count))


def charge_of(sigma: float, sensitivity: float, delta: float) -> tuple[float, float]:
    """Returns OpenDP's (rho, epsilon at delta) of one vector of noise at a sensitivity."""
    library, mechanism = _library(), _mechanism(sigma)
    converted = library.c.make_fix_delta(library.c.make_zCDP_to_approxDP(mechanism), delta)
    return float(mechanism.map(float(sensitivity))), float(converted.map(float(sensitivity))[0])


def _mechanism(sigma: float) -> Any:
    library = _library()
    space = library.vector_domain(library.atom_domain(T="i64")), library.l2_distance(T="f64")
    return library.m.make_gaussian(*space, scale=sigma)


@functools.cache
def _library() -> Any:
    """Returns what zkfed uses of OpenDP, under the names of its prelude.

    The prelude itself imports scikit-learn, SciPy and pandas where they are installed: 1.6 s of every process.
    """
    from opendp import accuracy, combinators, domains, measurements, metrics, mod

    # Every constructor of OpenDP stands behind this flag: "not fully vetted". Nothing that
    # relies on the caller's honesty is switched on.
    mod.enable_features("contrib")
    names = {k: v for module in (mod, domains, metrics, accuracy) for k, v in vars(module).items() if k[0] != "_"}
    return SimpleNamespace(**names, m=measurements, c=combinators)


def _round_up(sigma: float) -> float:
    mantissa, exponent = math.frexp(sigma)
    return math.ldexp(math.ceil(math.ldexp(mantissa, SIGMA_BITS)), exponent - SIGMA_BITS)


def _number(name: str, value: float, maximum: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is a {type(value).__name__}, expected a number")
    if not 0 < value <= maximum:
        raise ValueError(f"{name} is {value}, expected a number in (0, {maximum}]")
    return float(value)


def _delta(value: float) -> float:
    if _number("delta", value, 1.0) == 1.0:
        raise ValueError("delta is 1: everything may be revealed; expected a number in (0, 1)")
    return float(value)


def _too_large(sigma: float) -> ValueError:
    return ValueError(
        f"this epsilon and clip need noise of sigma {sigma:.3g}, statement N allows {SIGMA_MAX}: "
        f"raise epsilon or delta, or lower clip_norm or fraction_bits"
    )
