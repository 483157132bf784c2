"""Central, encrypted and local mode estimate the same truth, each within the widths that it states.

Two kinds of test. *Together*: the same people answer in all three modes, and every estimate is within four
half-widths of the truth. *Coverage*: over many independent errors, the share beyond one half-width is 5 %, tested
in both directions.

By chance, all of this file fails less than once in 10^6 runs:

- four half-widths are 7.8 standard deviations. For the Gaussian noise of the central and the encrypted mode that is
  below 10^-14 an estimate (10^-11 for a share, whose denominator may be off by a tenth). The local mode's error is a
  sum of independent Bernoulli variables of variance V >= 20; by Bernstein's inequality it exceeds t = 7.8 sqrt(V)
  with probability at most 2 exp(-t^2 / (2 V + 2 t / 3)) < 10^-8. There are 15 local estimates and 30 others.
- a coverage test fails where its number of misses has a binomial tail below 10^-8, and there are fewer than 20.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from scipy import stats

import zkfed
from zkfed.dp.query import CohortQuery, Reports
from zkfed.dp.randomise import randomise
from zkfed.dp.statistic import CohortStatistic
from zkfed.orchestrator.cohort import CohortOptions

PEOPLE = 200
CHANCE = 1e-8
MISSES = (0.03, 0.06)
"""P[|error| > half-width] is between these: counts are whole, and a share's width is to first order."""

Answers = list[Any]


def cohort(noise: str = "gaussian") -> zkfed.Cohort:
    """A budget that is never met: refusals are tested elsewhere."""
    options = CohortOptions(noise=noise)
    return zkfed.Cohort(None, epsilon_per_person=1000.0, delta=1e-6, period="lifetime", options=options)


def spread(*shares: tuple[Any, int]) -> Answers:
    """Returns PEOPLE answers, so many percent of each."""
    return [answer for answer, percent in shares for _ in range(PEOPLE * percent // 100)]


QUESTIONS: dict[str, tuple[CohortQuery, Answers, dict[str, float]]] = {
    "WHO": (
        zkfed.Who("persona", k=20, buckets=16, known=("newcomer", "regular", "power user")),
        spread(("regular", 60), ("power user", 40)),
        {"regular": 120, "power user": 80},
    ),
    "WHAT": (
        zkfed.What("intent", ["install", "debug", "plot", "share"], contributions=2),
        spread((["install", "debug"], 50), (["debug"], 30), (None, 20)),
        {"install": 100, "debug": 160, "plot": 0, "share": 0},
    ),
    "HOW": (
        zkfed.How("method", ["declarative", "imperative"]),
        spread(("declarative", 70), ("imperative", 30)),
        {"declarative": 0.7, "imperative": 0.3},
    ),
    "WHEN": (
        zkfed.When("day-of-week"),
        spread(([0, 1, 2], 50), ([2, 6], 50)),
        {"Mon": 100, "Tue": 100, "Wed": 200, "Thu": 0, "Fri": 0, "Sat": 0, "Sun": 100},
    ),
}
"""Question, what 200 people answer, and the truth."""


def ask(query: CohortQuery, reports: Reports, mode: str, asked: zkfed.Cohort | None = None) -> CohortStatistic:
    asked = asked or cohort()
    if mode == "local":
        return asked.ask(query, randomise(query, reports, epsilon=2.0))
    return asked.ask(query, reports, epsilon=1.0, mode=mode)


@pytest.mark.parametrize("mode", ["central", "encrypted", "local"])
@pytest.mark.parametrize("dimension", QUESTIONS)
def test_every_mode_finds_the_truth_within_its_width(dimension: str, mode: str) -> None:
    query, answers, truth = QUESTIONS[dimension]
    assert query.dimension == dimension
    found = ask(query, query.reports((f"p{i}", a) for i, a in enumerate(answers)), mode)
    assert (found.mode, found.people, found.outcome) == (mode, PEOPLE, "released")
    if dimension == "WHO":
        # A group of nobody is not shown; 80 people are far above what is shown in any mode.
        assert truth.keys() <= {e.label for e in found.estimates} <= truth.keys() | set(query.bucket_labels)
    else:
        assert [e.label for e in found.estimates] == list(truth)
    for label, true in truth.items():
        one = found[label]
        assert 0 < one.half_width < np.inf
        assert abs(one.value - true) <= 4 * one.half_width, label


def test_a_wrong_truth_is_noticed() -> None:
    """The test above has teeth: central mode tells 120 from 200 people, and shares of 70 % from 30 %."""
    for dimension, label, wrong in (("WHO", "regular", 200), ("HOW", "declarative", 0.3)):
        query, answers, _ = QUESTIONS[dimension]
        one = ask(query, query.reports((f"p{i}", a) for i, a in enumerate(answers)), "central")[label]
        assert abs(one.value - wrong) > 4 * one.half_width


# -- coverage --------------------------------------------------------------------------------------


def tails(is_miss: Iterable[bool]) -> tuple[float, float]:
    """Returns the probabilities of so many misses or more at 6 %, and of so few or fewer at 3 %."""
    missed = list(is_miss)
    count = sum(missed)
    return (
        float(stats.binom.sf(count - 1, len(missed), MISSES[1])),
        float(stats.binom.cdf(count, len(missed), MISSES[0])),
    )


def misses(found: CohortStatistic, truth: dict[str, float]) -> list[bool]:
    return [abs(e.value - truth[e.label]) > e.half_width for e in found.estimates]


CATEGORIES = [f"c{i}" for i in range(300)]


def people_of(query: CohortQuery, people: int, answer: Any) -> Reports:
    return query.reports((f"p{i}", answer) for i in range(people))


@pytest.mark.parametrize("noise", ["gaussian", "laplace"])
def test_five_percent_of_central_counts_are_beyond_the_width(noise: str) -> None:
    query, asked = zkfed.What("x", CATEGORIES, contributions=2), cohort(noise)
    reports, truth = people_of(query, 25, ["c0", "c7"]), dict.fromkeys(CATEGORIES, 0) | {"c0": 25, "c7": 25}
    found = [m for i in range(5) for m in misses(asked.ask(query, reports, epsilon=0.1, again=i), truth)]
    assert len(found) == 1500
    assert min(tails(found)) > CHANCE


def test_five_percent_of_central_shares_are_beyond_the_width() -> None:
    query, asked = zkfed.How("x", ["a", "b", "c"]), cohort()
    reports = query.reports((f"p{i}", "aabbbbbbbc"[i % 10]) for i in range(2000))
    truth = {"a": 0.2, "b": 0.7, "c": 0.1}
    # The errors of one release add up to zero: one of each is independent of the others.
    found = [misses(asked.ask(query, reports, epsilon=0.2, again=i), truth)[i % 3] for i in range(750)]
    assert min(tails(found)) > CHANCE


def test_five_percent_of_encrypted_counts_are_beyond_the_width() -> None:
    query, asked = zkfed.What("x", CATEGORIES, contributions=2), cohort()
    reports, truth = people_of(query, 20, ["c0", "c7"]), dict.fromkeys(CATEGORIES, 0) | {"c0": 20, "c7": 20}
    found = [
        m for i in range(3) for m in misses(asked.ask(query, reports, epsilon=0.1, mode="encrypted", again=i), truth)
    ]
    assert len(found) == 900
    assert min(tails(found)) > CHANCE


def test_five_percent_of_local_bits_are_beyond_the_width() -> None:
    """Bits are flipped independently: every estimate counts."""
    query, asked = zkfed.What("x", CATEGORIES[:48], contributions=2), cohort()
    reports, truth = people_of(query, 400, ["c0", "c7"]), dict.fromkeys(CATEGORIES[:48], 0) | {"c0": 400, "c7": 400}
    found = [m for _ in range(20) for m in misses(asked.ask(query, randomise(query, reports, epsilon=1)), truth)]
    assert asked.ask(query, randomise(query, reports, epsilon=1)).noise.startswith("randomised response, each of")
    assert len(found) == 960
    assert min(tails(found)) > CHANCE


def test_five_percent_of_local_answers_are_beyond_the_width() -> None:
    """One answer of four: the errors of one release depend on each other, so one of each is taken."""
    query, asked = zkfed.What("x", ["a", "b", "c"]), cohort()
    reports, truth = query.reports((f"p{i}", "aab"[i % 3]) for i in range(300)), {"a": 200, "b": 100, "c": 0}
    found = [misses(asked.ask(query, randomise(query, reports, epsilon=1)), truth)[i % 3] for i in range(250)]
    assert tails(found)[0] > CHANCE


def test_widths_of_half_and_of_twice_the_size_would_be_noticed() -> None:
    """The coverage tests have teeth: of 750 errors, a width that is wrong by a factor of two fails one tail."""
    errors = np.abs(stats.norm.ppf((np.arange(750) + 0.5) / 750))
    assert min(tails((errors > 1.96).tolist())) > CHANCE
    assert tails((errors > 1.96 / 2).tolist())[0] < CHANCE
    assert tails((errors > 1.96 * 2).tolist())[1] < CHANCE
