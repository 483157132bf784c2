"""Local mode: what leaves a device is random enough, and what the host estimates is right within its width."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from zkfed.dp.how import How
from zkfed.dp.query import CohortQuery
from zkfed.dp.randomise import RandomisedReports, Randomiser, randomise
from zkfed.dp.what import What
from zkfed.dp.when import When
from zkfed.errors import DecodeError, PolicyError

HOW = How("method", ["declarative", "imperative", "both"])
WHAT = What("intent", [f"intent {i}" for i in range(12)], contributions=3)
QUERIES: list[CohortQuery] = [
    HOW,
    WHAT,
    When("session-length"),
    When("hour-of-day"),
    What("many", list("abcdefghijkl")),
]


@pytest.mark.parametrize("query", QUERIES, ids=str)
@pytest.mark.parametrize("epsilon", [0.5, 1, 4])
def test_the_likelihood_ratio_of_any_two_answers_is_bounded(query: CohortQuery, epsilon: float) -> None:
    r = Randomiser.calibrate(query, epsilon)
    ratio = r.p / r.q if r.kind == "one-of" else (r.p / r.q) ** (2 * query.contributions)
    assert 1 < ratio <= math.exp(epsilon) * (1 + 1e-9)
    assert ratio == pytest.approx(math.exp(epsilon), rel=1e-6)
    assert r.loss.at(1e-6) <= epsilon
    if r.kind == "one-of":
        assert r.p + query.count * r.q == pytest.approx(1)


def test_one_of_a_few_and_bits_of_many() -> None:
    assert Randomiser.calibrate(HOW, 1).kind == "one-of"
    assert Randomiser.calibrate(What("w", [str(i) for i in range(50)]), 1).kind == "bits"
    assert Randomiser.calibrate(WHAT, 1).kind == "bits"


@pytest.mark.parametrize("query", QUERIES[:3], ids=str)
def test_the_estimate_is_unbiased_and_as_wide_as_it_says(query: CohortQuery) -> None:
    """Z = error / deviation over 200 cohorts is standard normal: chi-square of its squares at 10^-7."""
    rng, people, runs = np.random.default_rng(5), 60, 200
    answers = [
        (f"p{i}", [query.categories[j] for j in rng.choice(query.count, query.contributions, replace=False)])
        for i in range(people)
    ]
    reports = query.reports(answers)
    true = query.vectors(reports)[1].sum(axis=0)
    weights, z = np.arange(query.count) - 1.0, []
    for _ in range(runs):
        out = randomise(query, reports, epsilon=3)
        r = out.randomiser
        counts = r.estimate(r.observed(out.data), people)
        deviation = r.half_width_of(weights, true.astype(float), people) / 1.959964
        z.append(float(weights @ (counts - true)) / deviation)
    assert abs(np.sum(z)) / math.sqrt(runs) < 5.5
    assert 1e-7 < stats.chi2.cdf(np.sum(np.square(z)), runs) < 1 - 1e-7


def test_only_the_first_answer_of_a_person_counts() -> None:
    r = Randomiser.calibrate(HOW, 1)
    out = RandomisedReports(HOW.digest, r, ("a", "b", "a"), np.array([0, 1, 2]))
    people, data = out.first_of_each()
    assert (people, data.tolist()) == (["a", "b"], [0, 1])


def test_reports_of_devices_add_up_if_they_answer_the_same() -> None:
    one, two = (randomise(HOW, HOW.report(p, "both"), epsilon=1) for p in ("a", "b"))
    assert len(one + two) == 2
    with pytest.raises(PolicyError):
        _ = one + randomise(HOW, HOW.report("c", "both"), epsilon=2)
    with pytest.raises(PolicyError):
        _ = one + randomise(How("x", HOW.categories), How("x", HOW.categories).report("c", "both"), epsilon=1)


@pytest.mark.parametrize("data", [[3], [-1], [0.0], [[0]], [True]])
def test_answers_that_no_device_gives_are_refused(data: Any) -> None:
    with pytest.raises(DecodeError):
        Randomiser.calibrate(How("m", ["a", "b"]), 1).observed(np.array(data))


@pytest.mark.parametrize("data", [np.zeros((3, 1), np.uint8), np.zeros((3, 2), np.int64), np.zeros(3, np.uint8)])
def test_bits_of_another_length_are_refused(data: Any) -> None:
    with pytest.raises(DecodeError):
        Randomiser.calibrate(WHAT, 1).observed(data)


def test_too_many_categories_are_never_randomised() -> None:
    with pytest.raises(ValueError):
        Randomiser.calibrate(WHAT, 1).respond([[0, 1, 2, 3]])


@pytest.mark.parametrize(
    ("epsilon", "error"), [(0, ValueError), (math.nan, ValueError), (True, TypeError), ("1", TypeError)]
)
def test_a_useless_epsilon_is_refused(epsilon: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        randomise(HOW, HOW.report("a", "both"), epsilon=epsilon)
