"""The noise is what it is charged for: calibration, distribution, bounds, refusals.

Goodness of fit of the sampler (chi-square, Kolmogorov-Smirnov), and an auditor that bounds
epsilon from below on neighbouring inputs: it passes the mechanism and catches twins that
are broken on purpose. Tests find bugs; they prove no privacy.

The sampler takes the operating system's randomness and cannot be seeded. Each statistical
test therefore states how often it fails by chance: at most once in 10^6 runs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from zkfed.dp.noise import NoiseScale, calibrate, noise_norm_bound, sample
from zkfed.policy import NOISE_BITS

CHANCE = 1e-6


# -- calibration ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epsilon", "delta", "ratio"),
    [(0.1, 1e-5, 33.98), (0.1, 1e-6, 39.46), (0.1, 1e-8, 48.93), (1.0, 1e-6, 4.53), (8.0, 1e-6, 0.69)],
)
def test_known_answers(epsilon: float, delta: float, ratio: float) -> None:
    scale = calibrate(epsilon, delta, 32775)
    assert scale.sigma / 32775 == pytest.approx(ratio, abs=0.006)
    assert scale.rho == pytest.approx(32775**2 / (2 * scale.sigma**2), rel=1e-12)


@given(st.floats(0.01, 20), st.sampled_from([1e-9, 1e-6, 1e-3, 0.3]), st.integers(1, 40_000))
@settings(max_examples=15)
def test_charge_is_at_most_what_was_asked_for_and_close_to_it(epsilon: float, delta: float, sensitivity: int) -> None:
    scale = calibrate(epsilon, delta, sensitivity)
    assert 0.999 * epsilon < scale.epsilon <= epsilon
    mantissa = math.frexp(scale.sigma)[0] * 2**16
    assert mantissa == int(mantissa)  # 16 bits: equal on platforms whose logarithms differ


def test_charge_never_understates_the_exact_gaussian() -> None:
    # Balle and Wang 2018, theorem 8: the exact delta of the continuous mechanism.
    for epsilon in (0.1, 1.0, 4.0):
        scale = calibrate(epsilon, 1e-6, 1000)
        mu = 1000 / scale.sigma
        exact = stats.norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * stats.norm.cdf(-mu / 2 - epsilon / mu)
        assert exact <= 1e-6


@pytest.mark.parametrize("bad", [0, 0.0, -1.0, math.nan, math.inf, -math.inf])
def test_impossible_budgets_are_refused(bad: float) -> None:
    with pytest.raises(ValueError):
        calibrate(bad, 1e-6, 1000)
    with pytest.raises(ValueError):
        calibrate(1.0, bad, 1000)
    with pytest.raises(ValueError):
        NoiseScale(bad, 1000, 1e-6)


@pytest.mark.parametrize("bad", [True, "1.0", None, 1j, np.array([1.0])])
def test_budgets_of_another_type_are_refused(bad: Any) -> None:
    with pytest.raises(TypeError):
        calibrate(bad, 1e-6, 1000)
    with pytest.raises(TypeError):
        calibrate(1.0, bad, 1000)


def test_other_refusals() -> None:
    with pytest.raises(ValueError, match="everything may be revealed"):
        calibrate(1.0, 1.0, 1000)
    with pytest.raises(ValueError, match="statement N allows"):
        calibrate(0.0001, 1e-6, 32775)
    with pytest.raises(ValueError, match="sensitivity is 0"):
        NoiseScale(1.0, 0, 1e-6)
    with pytest.raises(TypeError):
        NoiseScale(1.0, 1000.0, 1e-6)  # type: ignore[arg-type]
    scale = calibrate(1.0, 1e-6, 1000)
    for count in (0, -1, 1 << 25):
        with pytest.raises(ValueError):
            sample(scale, count)
    with pytest.raises(TypeError):
        sample(scale, 3.0)  # type: ignore[arg-type]


def test_noise_without_protection_is_refused() -> None:
    # OpenDP itself accepts a scale of 0 and charges infinity; here it cannot be built.
    with pytest.raises(ValueError):
        NoiseScale(1e-200, 1000, 1e-6)


# -- distribution --------------------------------------------------------------------------------


def chi_square(draws: np.ndarray[Any, Any], sigma: float) -> float:
    """Returns the p-value of draws against the probability masses of N_Z(0, sigma^2)."""
    edge = math.ceil(4 * sigma)
    support = np.arange(-edge, edge + 1)
    mass = np.exp(-(np.arange(-60 * edge, 60 * edge + 1) ** 2) / (2 * sigma**2)).sum()
    expected = np.exp(-(support**2) / (2 * sigma**2)) / mass
    observed = np.array([(draws == x).sum() for x in support] + [(np.abs(draws) > edge).sum()])
    expected = np.append(expected, 1 - expected.sum()) * len(draws)
    keep = expected >= 5
    pooled = np.append(observed[keep], observed[~keep].sum()), np.append(expected[keep], expected[~keep].sum())
    return float(stats.chisquare(*pooled, sum_check=False).pvalue)


def test_small_noise_has_the_masses_of_the_discrete_gaussian() -> None:
    draws = sample(NoiseScale(3.0, 1, 1e-6), 40_000)
    assert chi_square(draws, 3.0) > CHANCE
    assert chi_square(draws, 3.15) < CHANCE  # the test sees an error of 5 %


def test_large_noise_is_gaussian_and_uncorrelated() -> None:
    scale = calibrate(2.0, 1e-6, 32775)
    draws = sample(scale, 60_000)
    assert stats.kstest(draws / scale.sigma, "norm").pvalue > CHANCE
    assert stats.kstest(draws / (0.95 * scale.sigma), "norm").pvalue < CHANCE  # the test sees 5 %
    correlation = float(np.corrcoef(draws[:-1], draws[1:])[0, 1])
    assert abs(correlation) < 5 / math.sqrt(len(draws))


def test_two_samples_differ() -> None:
    scale = calibrate(1.0, 1e-6, 32775)
    first, second = sample(scale, 170), sample(scale, 170)
    assert first.dtype == np.int64
    assert (first != second).sum() > 150


# -- the bounds of statement N -------------------------------------------------------------------


@pytest.mark.parametrize("count", [31, 170, 650])
def test_honest_noise_misses_the_norm_bound_once_in_2_40(count: int) -> None:
    # Exact tail of the continuous Gaussian, whose sum of squares is chi-square with P degrees.
    bound = noise_norm_bound(1000.0, count) / 1000.0**2
    assert stats.chi2.sf(bound, count) < 2.0**-40
    # The bound of protocol.md section 8, 1.1 sigma^2 P, refuses honest noise all the time.
    assert stats.chi2.sf(1.1 * count, count) > 0.03


def test_drawn_noise_agrees_with_both_figures() -> None:
    # 2,000 vectors of 31: about 653 exceed 1.1 sigma^2 P (six standard deviations: 125), none the bound.
    scale = NoiseScale(1000.0, 1000, 1e-6)
    norms = (sample(scale, 31 * 2000).reshape(2000, 31).astype(np.float64) ** 2).sum(axis=1)
    assert (norms <= noise_norm_bound(scale.sigma, 31)).all()
    expected = 2000 * stats.chi2.sf(1.1 * 31, 31)
    assert abs((norms > 1.1 * 1000.0**2 * 31).sum() - expected) < 125


def test_norm_bound_is_the_ceiling_of_its_formula() -> None:
    assert noise_norm_bound(1.0, 7) == 63 + 28  # sqrt(28 * 7) = 14
    assert noise_norm_bound(0.5, 7) == math.ceil(91 / 4)
    with pytest.raises(ValueError):
        noise_norm_bound(1.0, 0)
    with pytest.raises(ValueError):
        noise_norm_bound(math.inf, 7)


def test_largest_scale_stays_inside_the_range_of_statement_n() -> None:
    largest = (1 << 28) // 10
    noise = sample(NoiseScale(float(largest), largest, 1e-6), 1000)
    assert np.abs(noise).max() < 1 << NOISE_BITS
    with pytest.raises(ValueError):
        NoiseScale(float(largest + 1), largest, 1e-6)


# -- audit ---------------------------------------------------------------------------------------


def epsilon_at_least(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], *, delta: float, chance: float) -> float:
    """Returns a lower bound on epsilon that is wrong with probability `chance` at most.

    Threshold events in both directions, Clopper-Pearson intervals, Bonferroni over all of them.
    """
    count, levels = len(a), np.quantile(np.concatenate([a, b]), np.linspace(0.02, 0.98, 40))
    level = chance / (4 * len(levels))
    best = 0.0
    for threshold in levels:
        for sign in (1, -1):
            hits = [int((sign * sample >= sign * threshold).sum()) for sample in (a, b)]
            for more, fewer in (hits, hits[::-1]):
                low = stats.beta.ppf(level / 2, more, count - more + 1) if more else 0.0
                high = stats.beta.ppf(1 - level / 2, fewer + 1, count - fewer) if fewer < count else 1.0
                if low > delta:
                    best = max(best, math.log((low - delta) / high))
    return best


AUDITED = calibrate(1.0, 1e-6, 1000)
DRAWS = 50_000


def test_auditor_finds_no_more_than_the_claimed_epsilon() -> None:
    with_client, without = sample(AUDITED, DRAWS) + AUDITED.sensitivity, sample(AUDITED, DRAWS)
    found = epsilon_at_least(with_client, without, delta=1e-6, chance=CHANCE)
    assert 0.2 < found <= AUDITED.epsilon  # above 0.2: the auditor does see the client


@pytest.mark.parametrize("broken", ["sigma/4", "not clipped"])
def test_auditor_catches_a_broken_twin(broken: str) -> None:
    sigma = AUDITED.sigma / 4 if broken == "sigma/4" else AUDITED.sigma
    norm = 4 * AUDITED.sensitivity if broken == "not clipped" else AUDITED.sensitivity
    twin = NoiseScale(sigma, AUDITED.sensitivity, 1e-6)
    found = epsilon_at_least(sample(twin, DRAWS) + norm, sample(twin, DRAWS), delta=1e-6, chance=CHANCE)
    assert found > AUDITED.epsilon
