"""A statistic says what was estimated, how wide it is, whether it keeps its promise, and what it cost."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from zkfed.dp.answer import Answer
from zkfed.dp.how import How
from zkfed.dp.loss import PrivacyLoss
from zkfed.dp.mechanism import CountNoise
from zkfed.dp.plan import Asking, Plan, expected, people_needed
from zkfed.dp.query import CohortQuery
from zkfed.dp.statistic import CohortStatistic, Cost, estimate
from zkfed.dp.what import What
from zkfed.dp.when import When
from zkfed.dp.who import Who
from zkfed.errors import DecodeError, PolicyError, ZkfedError

DELTA = 1e-6
HOW = How("method", ["declarative", "imperative", "both"], half_width="5%")
NOISE = CountNoise.calibrate("gaussian", 0.5, DELTA, 1)
COST = Cost(PrivacyLoss.gaussian(0.0066), 0.5, DELTA, 0.5, 0.7, 4.0, "2026-Q4")


def statistic(counts: list[int], query: CohortQuery = HOW, people: int = 660) -> CohortStatistic:
    found, outcome, answered = estimate(query, query.categories, np.array(counts), NOISE.half_width_of, people)
    return CohortStatistic(query, "central", people, found, outcome, COST, "discrete Gaussian", answered)


def test_it_reads_as_one_line() -> None:
    text = str(statistic([462, 132, 66]))
    assert text == (
        "HOW method: declarative 70 % ± 3 %, imperative 20 % ± 2 %, both 10 % ± 2 % (DP noise, 95 %), n >= 630; "
        "epsilon 0.5 of 4 spent, person-level, zero-out"
    )


def test_the_guarantee_leaves_nothing_out() -> None:
    line = statistic([462, 132, 66]).guarantee
    for part in (
        "person-level", "zero-out adjacency", "membership is public", "(0.5, 1e-06)", "2026-Q4", "of 4", "(0.7, 1e-06)",
        "may be in every release", "at most 1 of a person's categories", "the host drew the noise", "contrib",
        "sampling error comes on top",
    ):  # fmt: skip
        assert part in line


def test_a_promise_that_is_not_kept_is_an_outcome() -> None:
    kept, broken = statistic([462, 132, 66]), statistic([200, 50, 20])
    assert (kept.outcome, broken.outcome) == ("released", "too noisy")
    assert max(e.half_width for e in kept.estimates) <= 0.05 < max(e.half_width for e in broken.estimates)
    assert "too noisy: ± 5% was promised" in str(broken)


def test_shares_of_almost_nobody_are_not_shown() -> None:
    nobody = statistic([5, -3, 4])
    assert (nobody.outcome, nobody.estimates) == ("too noisy", ())
    assert "nothing is shown" in str(nobody)


def test_the_half_width_of_a_share_is_that_of_the_quotient() -> None:
    """Simulated: the 95 % quantile of the error of a share, within 5 %."""
    true, runs = np.array([462, 132, 66]), 4000
    noised = true + NOISE.add(np.zeros(3 * runs, np.int64)).reshape(runs, 3)
    error = np.abs(noised / noised.sum(axis=1, keepdims=True) - true / true.sum())
    for one, quantile in zip(statistic(true.tolist()).estimates, np.quantile(error, 0.95, axis=0), strict=True):
        assert one.half_width == pytest.approx(quantile, rel=0.08)


def test_counts_are_people() -> None:
    what = statistic([100, 20, -4], What("intent", ("a", "b", "c")))
    assert str(what).startswith("WHAT intent: a 100 ± 17, b 20 ± 17, c 0 ± 17 (DP noise, 95 %), of 660 people;")
    assert what["c"].value == -4
    with pytest.raises(KeyError):
        what["d"]
    promised = statistic([100, 20, -4], What("intent", ("a", "b", "c"), half_width="2%"))
    assert promised.outcome == "too noisy"


def test_it_goes_into_json() -> None:
    data = json.loads(json.dumps(statistic([462, 132, 66]).to_dict()))
    assert (data["estimates"][0]["label"], data["estimates"][0]["estimate"]) == ("declarative", 0.7)
    assert {"dimension", "mode", "people", "epsilon", "delta", "spent", "remaining", "seconds"} <= data.keys()


# -- answers as bytes ------------------------------------------------------------------------------


def test_an_answer_is_canonical() -> None:
    answer = Answer(("a", "b"), np.array([3, -1]), 20, 8.68)
    data = answer.encode()
    back = Answer.decode(data)
    assert (back.labels, back.counts.tolist(), back.people, back.scale) == (("a", "b"), [3, -1], 20, 8.68)
    for wrong in (data[:-1], data + b"\0", b"", data.replace(b"zkfed", b"zkfee")):
        with pytest.raises(ZkfedError):
            Answer.decode(wrong)
    with pytest.raises(DecodeError):
        Answer.decode(Answer(("a",), np.array([3, -1]), 20, 8.68).encode())


# -- plans -----------------------------------------------------------------------------------------


def plan(query: CohortQuery, people: int = 2000, **more: Any) -> Plan:
    return Plan.of(query, people, epsilons=(0.1, 0.5), budget=(Fraction(4), DELTA), noise="gaussian", **more)


def test_a_plan_says_what_the_answer_will_be() -> None:
    row = next(r for r in plan(HOW).rows if (r.mode, r.epsilon > 0.3) == ("central", True))
    found, _, _ = estimate(HOW, HOW.categories, np.array([1400, 300, 300]), NOISE.half_width_of, 2000)
    assert row.half_width == pytest.approx(found[0].half_width, rel=1e-6)
    assert row.releases == 46


@pytest.mark.parametrize("mode", ["central", "encrypted", "local"])
def test_the_smallest_cohort_is_the_smallest(mode: str) -> None:
    way = expected(HOW, Asking(mode, 0.5, DELTA))
    needed = people_needed(HOW, way)
    assert needed is not None
    assert way.half_width(needed) <= 0.05 < way.half_width(needed - 1)


def test_pure_planning_repeats_the_design() -> None:
    """dp-and-he.md: "70 % +-5 %" needs about 620 / 125 / 65 people at epsilon 0.1 / 0.5 / 1.0 (Laplace)."""
    for epsilon, people in ((0.1, 620), (0.5, 125), (1.0, 65)):
        way = expected(HOW, Asking("central", epsilon, DELTA, "laplace"))
        assert people_needed(HOW, way) == pytest.approx(people, rel=0.1)


@pytest.mark.parametrize(
    "query", [Who("persona"), When("hour-of-week"), What("w", list("abc"), contributions=2), HOW], ids=str
)
def test_plans_read_well(query: CohortQuery) -> None:
    lines = str(plan(query)).splitlines()
    assert len(lines) == 8
    assert all(len(line) <= 110 for line in lines)
    assert json.loads(json.dumps(plan(query).to_dict()))["rows"][0]["mode"] == "central"


@pytest.mark.parametrize("people", [0, -1, True, 2.0, "3", 1 << 41])
def test_a_plan_is_for_people(people: Any) -> None:
    with pytest.raises(PolicyError):
        plan(HOW, people)
