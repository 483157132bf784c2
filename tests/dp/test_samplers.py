"""Every sampler that a statistic uses has the distribution that it is charged for; three percent off is seen.

Chi-square against exact probabilities, Kolmogorov-Smirnov where the steps are fine, and the dispersion, which is what
privacy hangs on. Samplers take the operating system's randomness and cannot be seeded: each of the few dozen p-values
below may fall under 10^-8 by chance, the whole file fails once in 10^6 runs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from zkfed.dp.mechanism import CountNoise, Threshold
from zkfed.dp.query import CohortQuery
from zkfed.dp.randomise import Randomiser
from zkfed.dp.what import What

CHANCE = 1e-8
DRAWS = 150_000
OFF = 0.97
"""Three percent less noise than claimed."""
SCALES = [(kind, scale) for kind in ("gaussian", "laplace") for scale in (0.7, 3.0, 40.0)]


@functools.cache
def drawn(kind: str, scale: float) -> npt.NDArray[np.int64]:
    noise = replace(CountNoise.calibrate(kind, 1.0, 1e-6, 1), scale=scale)
    return noise.add(np.zeros(DRAWS, np.int64))


def mass(kind: str, scale: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Returns the support and the exact probabilities of an integer noise."""
    edge = math.ceil(30 * scale) + 30
    x = np.arange(-edge, edge + 1)
    weight = np.exp(-(x**2) / (2 * scale**2)) if kind == "gaussian" else np.exp(-np.abs(x) / scale)
    return x, weight / weight.sum()


def fits(draws: npt.NDArray[np.int64], kind: str, scale: float) -> float:
    """Returns the p-value of chi-square against the exact probabilities, pooled where fewer than 10 are expected."""
    x, p = mass(kind, scale)
    observed = np.bincount(np.clip(draws - x[0], 0, len(x) - 1), minlength=len(x))
    expected = p * len(draws)
    keep = expected >= 10
    pooled = np.append(observed[keep], observed[~keep].sum()), np.append(expected[keep], expected[~keep].sum())
    return float(stats.chisquare(*pooled, sum_check=False).pvalue)


def disperses(draws: npt.NDArray[np.int64], kind: str, scale: float) -> float:
    """Returns the p-value of the sufficient statistic of the scale: mean x^2, or mean |x|."""
    x, p = mass(kind, scale)
    statistic: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]] = np.square if kind == "gaussian" else np.abs
    mean = float(p @ statistic(x))
    variance = float(p @ (statistic(x) - mean) ** 2)
    z = (float(statistic(draws).mean()) - mean) / math.sqrt(variance / len(draws))
    return float(2 * stats.norm.sf(abs(z)))


@pytest.mark.parametrize(("kind", "scale"), SCALES)
def test_integer_noise_has_its_probabilities(kind: str, scale: float) -> None:
    assert fits(drawn(kind, scale), kind, scale) > CHANCE
    assert disperses(drawn(kind, scale), kind, scale) > CHANCE


@pytest.mark.parametrize(("kind", "scale"), SCALES)
def test_three_percent_of_the_scale_is_seen(kind: str, scale: float) -> None:
    """Draws against the claim of a scale 3 % larger: more than 11 deviations where 5.7 are needed."""
    assert disperses(drawn(kind, scale), kind, scale / OFF) < CHANCE


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
def test_coarse_noise_is_nearly_continuous(kind: str) -> None:
    scale = 4000.0
    noise = replace(CountNoise.calibrate(kind, 1.0, 1e-6, 1), scale=scale)
    draws = noise.add(np.zeros(DRAWS, np.int64))
    law = "norm" if kind == "gaussian" else "laplace"
    assert stats.kstest(draws / scale, law).pvalue > CHANCE
    assert stats.kstest(draws / (1.05 * scale), law).pvalue < CHANCE


@pytest.mark.parametrize(("kind", "scale"), SCALES)
def test_neighbouring_draws_are_independent(kind: str, scale: float) -> None:
    draws = drawn(kind, scale).astype(np.float64)
    for column in (draws, draws**2):
        for lag in (1, 2, 7):
            z = float(np.corrcoef(column[:-lag], column[lag:])[0, 1]) * math.sqrt(len(column) - lag)
            assert abs(z) < 6.5


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
def test_the_threshold_release_adds_the_same_noise(kind: str) -> None:
    """Counts far above the threshold: nothing is cut off, so the noise of a count is the whole law."""
    threshold = Threshold.calibrate(kind, 1.0, 1e-6, 1, k=2)
    keys = {f"key {i}": 100_000 for i in range(1000)}
    draws = np.array([n - 100_000 for _ in range(60) for n in threshold.release(keys).values()])
    assert len(draws) == 60_000
    assert fits(draws, kind, threshold.noise.scale) > CHANCE
    assert disperses(draws, kind, threshold.noise.scale) > CHANCE
    assert disperses(draws, kind, threshold.noise.scale / 0.94) < CHANCE


# -- randomised response ---------------------------------------------------------------------------

ANSWERS = 20_000


def responses(query: CohortQuery, epsilon: float, answer: list[int]) -> tuple[Randomiser, npt.NDArray[np.int64]]:
    r = Randomiser.calibrate(query, epsilon)
    data = r.respond([answer] * ANSWERS)
    return r, data.astype(np.int64) if r.kind == "one-of" else np.unpackbits(data, axis=1, count=r.count).astype(int)


@pytest.mark.parametrize("answer", [[0], [3], []], ids=["first", "last", "none"])
def test_one_of_a_few_keeps_the_truth_as_often_as_it_says(answer: list[int]) -> None:
    r, data = responses(What("few", list("abcd")), 1.0, answer)
    assert r.kind == "one-of"
    truth = answer[0] if answer else r.count
    expected = np.where(np.arange(r.count + 1) == truth, r.p, r.q) * ANSWERS
    counts = np.bincount(data, minlength=r.count + 1)
    assert stats.chisquare(counts, expected).pvalue > CHANCE
    wrong = np.where(np.arange(r.count + 1) == truth, r.p * 1.08, (1 - r.p * 1.08) / r.count) * ANSWERS
    assert stats.chisquare(counts, wrong).pvalue < CHANCE


@pytest.mark.parametrize("answer", [[0, 5, 11], [], [7]], ids=["three", "none", "one"])
def test_each_bit_is_flipped_alone_and_as_often_as_it_says(answer: list[int]) -> None:
    r, data = responses(What("bits", list("abcdefghijkl"), contributions=3), 3.0, answer)
    assert r.kind == "bits"
    true = np.zeros(r.count, int)
    true[answer] = 1
    flipped = data ^ true
    for bit in range(r.count):
        assert stats.binomtest(int(flipped[:, bit].sum()), ANSWERS, r.q).pvalue > CHANCE
    # All twelve together see three percent.
    assert stats.binomtest(int(flipped.sum()), flipped.size, r.q).pvalue > CHANCE
    assert stats.binomtest(int(flipped.sum()), flipped.size, r.q * 1.03).pvalue < CHANCE
    pairs = np.corrcoef(flipped.T)[np.triu_indices(r.count, 1)] * math.sqrt(ANSWERS)
    assert np.abs(pairs).max() < 6.5
