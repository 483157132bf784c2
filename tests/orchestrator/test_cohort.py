"""A cohort is asked: checked, charged, computed, stored; and whatever is wrong is refused before anything is spent."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zkfed
from zkfed.dp.ledger import Ledger
from zkfed.dp.query import CohortQuery, Reports
from zkfed.dp.randomise import randomise
from zkfed.errors import BudgetExceeded, DecodeError, LedgerCorrupt, LimitExceeded, PolicyError, ZkfedError
from zkfed.local import Cohort
from zkfed.orchestrator.cohort import CohortOptions

DELTA = 1e-6
QUARTER = 1_700_000_000.0
"""14 November 2023."""
HOW = zkfed.How("method", ["declarative", "imperative", "both"])
PEOPLE = 640


class Clock:
    def __init__(self, now: float = QUARTER) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def cohort(ledger: Any = None, *, epsilon: Any = 4.0, **more: Any) -> Cohort:
    more.setdefault("clock", Clock())
    return Cohort(ledger, epsilon_per_person=epsilon, delta=DELTA, period="quarter", options=CohortOptions(**more))


def reports(query: CohortQuery = HOW, people: int = PEOPLE, *, prefix: str = "p") -> Reports:
    """70 % prefer the first category, 20 % the second, the others the third."""
    share = [0, 0, 0, 0, 0, 0, 0, 1, 1, 2]
    return query.reports((f"{prefix}{i}", query.categories[share[i % 10]]) for i in range(people))


def fingerprint(asked: Cohort) -> tuple[int, bytes]:
    point = asked.ledger.checkpoint()
    return point.index, point.digest


# -- an answer -------------------------------------------------------------------------------------


def test_seventy_percent_prefer_declarative(tmp_path: Path) -> None:
    asked = cohort(tmp_path / "community.db")
    share = asked.ask(HOW, reports(), epsilon=0.5)
    assert abs(share["declarative"].value - 0.7) < 4 * share["declarative"].half_width
    assert share.half_width < 0.04
    assert "epsilon 0.5 of 4 spent, person-level, zero-out" in str(share)
    assert share.cost.remaining == pytest.approx(3.5, abs=1e-4)
    assert share.cost.period == "2023-Q4"
    assert share.entry is not None


@pytest.mark.parametrize("noise", ["gaussian", "laplace"])
@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (zkfed.Who("persona"), "power user"),
        (zkfed.What("intent", ["install", "debug"], contributions=2), ["install", "debug"]),
        (zkfed.How("method", ["a", "b"]), "a"),
        (zkfed.When("hour-of-week"), [30, 31, 32]),
        (zkfed.When("session-length"), 2),
    ],
    ids=str,
)
def test_all_four_dimensions_in_central_and_local_mode(noise: str, query: CohortQuery, answer: Any) -> None:
    rows = query.reports((f"p{i}", answer) for i in range(400))
    asked = cohort(noise=noise, epsilon=100)
    for given in (rows, randomise(query, rows, epsilon=8)):
        found = asked.ask(query, given, epsilon=1 if given is rows else None)
        assert found.outcome == "released"
        top = max(found.estimates, key=lambda e: e.value)
        truth = 1.0 if query.is_share else 400.0
        assert abs(top.value - truth) <= 4 * max(top.half_width, 0.01)
        assert found.to_dict()["dimension"] == query.dimension


def test_who_never_shows_a_small_group() -> None:
    query = zkfed.Who("persona", k=20)
    rows = query.reports([*((f"p{i}", "power user") for i in range(300)), *((f"q{i}", f"user_{i}") for i in range(30))])
    for number in range(20):
        found = cohort().ask(query, rows, epsilon=1.0, again=number)
        assert [e.label for e in found.estimates] == ["power user"]
        assert "user_" not in str(found) + str(found.to_dict())


# -- the ledger in front ---------------------------------------------------------------------------


def test_a_repeated_question_costs_nothing_and_says_nothing_new(tmp_path: Path) -> None:
    asked = cohort(tmp_path / "community.db")
    first = asked.ask(HOW, reports(), epsilon=0.5)
    before = fingerprint(asked)
    # Other answers of the same people: telling that they changed would be a bit without noise.
    changed = HOW.reports((f"p{i}", "both") for i in range(PEOPLE))
    for rows in (reports(), changed):
        again = asked.ask(HOW, rows, epsilon=0.5)
        assert again.is_stored
        assert again.estimates == first.estimates
        assert "stored answer, nothing charged" in str(again)
    assert fingerprint(asked) == before
    anew = asked.ask(HOW, reports(), epsilon=0.5, again=1)
    assert not anew.is_stored
    assert anew.cost.spent > first.cost.spent


@pytest.mark.parametrize("noise", ["gaussian", "laplace"])
def test_what_is_over_budget_is_refused_and_the_next_honest_question_is_answered(noise: str) -> None:
    asked = cohort(epsilon=1.0, noise=noise)
    asked.ask(HOW, reports(), epsilon=0.9)
    before = fingerprint(asked)
    with pytest.raises(BudgetExceeded, match=r"0\.9"):
        asked.ask(HOW, reports(), epsilon=0.8)
    assert fingerprint(asked) == before
    assert asked.ask(HOW, reports(), epsilon=0.05).entry == before[0]


def test_a_tenth_ten_times_and_not_eleven() -> None:
    asked = cohort(epsilon=1.0, noise="laplace")
    for number in range(10):
        asked.ask(HOW, reports(), epsilon=0.1, again=number)
    with pytest.raises(BudgetExceeded):
        asked.ask(HOW, reports(), epsilon=0.1, again=10)


def test_another_name_of_the_data_or_the_question_is_no_new_budget() -> None:
    asked = cohort(epsilon=1.0)
    asked.ask(HOW, reports(), epsilon=0.9)
    renamed = zkfed.How("another name", HOW.categories)
    copied = list(reports(renamed).persons)[::-1]
    with pytest.raises(BudgetExceeded):
        asked.ask(renamed, renamed.reports((p, "both") for p in copied), epsilon=0.9)
    # Nor are some of the people, or more people than before.
    with pytest.raises(BudgetExceeded):
        asked.ask(HOW, reports(people=100), epsilon=0.9)
    with pytest.raises(BudgetExceeded):
        asked.ask(HOW, reports(people=PEOPLE + 1), epsilon=0.9)
    assert asked.ask(HOW, reports(prefix="others"), epsilon=0.9).outcome == "released"


def test_two_cohorts_that_differ_by_one_person_are_charged_for_both() -> None:
    asked = cohort(noise="laplace")
    asked.ask(HOW, reports(people=100), epsilon=1)
    both = asked.ask(HOW, reports(people=101), epsilon=1)
    assert both.cost.spent == 2.0
    with_the_one_alone = asked.ledger.spent(asked.ledger.people(["p100"]), now_s=QUARTER)
    assert with_the_one_alone.epsilon == 1.0


def test_a_clock_that_jumps_gives_no_budget_twice() -> None:
    clock = Clock()
    asked = cohort(epsilon=1.0, clock=clock)
    asked.ask(HOW, reports(), epsilon=0.9)
    clock.now += 100 * 86400
    later = asked.ask(HOW, reports(), epsilon=0.9, again=1)
    assert later.cost.period == "2024-Q1"
    assert later.cost.lifetime > later.cost.spent
    clock.now = QUARTER
    with pytest.raises(BudgetExceeded):
        asked.ask(HOW, reports(), epsilon=0.9, again=2)


@pytest.mark.parametrize("now", [math.nan, math.inf, -1.0, 1e300, "now", None])
def test_a_clock_that_tells_no_time_is_refused(now: Any) -> None:
    asked = cohort(clock=lambda: now)
    before = fingerprint(asked)
    with pytest.raises((ZkfedError, TypeError, ValueError)):
        asked.ask(HOW, reports(), epsilon=0.5)
    assert fingerprint(asked) == before


def test_a_restored_ledger_is_found(tmp_path: Path) -> None:
    path = tmp_path / "community.db"
    asked = cohort(path)
    asked.ask(HOW, reports(), epsilon=0.5)
    asked.ledger.close()
    old = path.read_bytes()
    asked = cohort(path)
    asked.ask(HOW, reports(), epsilon=0.6)
    checkpoint = asked.ledger.checkpoint()
    asked.ledger.close()
    for rest in tmp_path.iterdir():
        rest.unlink()
    path.write_bytes(old)
    with pytest.raises(LedgerCorrupt):
        cohort(path, checkpoint=checkpoint)


def test_many_threads_never_exceed_the_budget() -> None:
    asked, outcomes = cohort(epsilon=1.0, noise="laplace"), list[str]()

    def ask(number: int) -> None:
        try:
            asked.ask(HOW, reports(people=30), epsilon=0.1, again=number)
            outcomes.append("released")
        except BudgetExceeded:
            outcomes.append("refused")

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (outcomes.count("released"), outcomes.count("refused")) == (10, 54)


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [0, -1, math.nan, math.inf, 101, True, "0.5", None, b"1", [0.5], 10**400])
def test_a_useless_epsilon_is_refused(epsilon: Any) -> None:
    asked = cohort()
    before = fingerprint(asked)
    with pytest.raises((TypeError, ValueError)):
        asked.ask(HOW, reports(), epsilon=epsilon)
    assert fingerprint(asked) == before


@pytest.mark.parametrize("name", ["epsilon_per_person", "delta"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, True, "0.5", None])
def test_a_useless_budget_is_refused(name: str, value: Any) -> None:
    budget = {"epsilon_per_person": 4.0, "delta": DELTA, name: value}
    with pytest.raises((TypeError, ValueError)):
        Cohort(None, **budget)


@pytest.mark.parametrize(
    ("build", "error"),
    [
        (lambda c: c.ask(HOW, reports(people=19), epsilon=0.5), PolicyError),
        (lambda c: c.ask(HOW, [], epsilon=0.5), PolicyError),
        (lambda c: c.ask(HOW, [("p", "tabs")], epsilon=0.5), DecodeError),
        (lambda c: c.ask(HOW, reports(zkfed.How("m", ["a", "b", "c"])), epsilon=0.5), DecodeError),
        (lambda c: c.ask(HOW, reports(), epsilon=0.5, mode="trusted"), PolicyError),
        (lambda c: c.ask(HOW, reports(), epsilon=0.5, again=-1), PolicyError),
        (lambda c: c.ask(HOW, reports(), epsilon=0.5, again=True), PolicyError),
        (lambda c: c.ask("HOW method", reports(), epsilon=0.5), TypeError),
        (lambda c: c.ask(HOW, randomise(HOW, reports(), epsilon=1), epsilon=2), PolicyError),
        (lambda c: c.plan(HOW, people=0), PolicyError),
        (lambda c: c.plan(HOW, people=10, epsilons=(0,)), ValueError),
    ],
)
def test_bad_questions_spend_nothing(build: Callable[[Cohort], Any], error: type[Exception]) -> None:
    asked = cohort()
    before = fingerprint(asked)
    with pytest.raises(error):
        build(asked)
    assert fingerprint(asked) == before
    assert asked.ask(HOW, reports(), epsilon=0.5).outcome == "released"


def test_a_person_with_a_million_rows_is_one_person() -> None:
    query = zkfed.What("intent", ["install", "debug"])
    rows = [(f"p{i}", "debug") for i in range(50)] + [("greedy", "install")] * 300_000
    found = cohort(epsilon=100).ask(query, rows, epsilon=50)
    assert found.people == 51
    assert found["install"].value <= 1 + 4 * found["install"].half_width + 1


def test_too_many_rows_are_refused() -> None:
    rows = (("p", "both") for _ in range((1 << 21) + 1))
    with pytest.raises(LimitExceeded):
        HOW.reports(HOW.report("p", "both") for _ in rows)


def test_a_promise_that_cannot_be_kept_costs_nothing() -> None:
    asked, promised = cohort(), zkfed.How("method", HOW.categories, half_width="1%")
    before = fingerprint(asked)
    found = asked.ask(promised, reports(promised), epsilon=0.5)
    assert (found.outcome, found.estimates, found.cost.epsilon) == ("too noisy", (), 0.0)
    assert "nothing was spent" in str(found)
    assert fingerprint(asked) == before


def test_a_budget_cannot_be_raised_in_an_existing_ledger(tmp_path: Path) -> None:
    cohort(tmp_path / "l.db").ledger.close()
    with pytest.raises(PolicyError):
        cohort(tmp_path / "l.db", epsilon=8.0)


def test_an_open_ledger_is_shared() -> None:
    ledger = Ledger(None, epsilon_max=1.0, delta=DELTA, period="quarter")
    one, two = cohort(ledger, epsilon=1.0), cohort(ledger, epsilon=1.0)
    one.ask(HOW, reports(), epsilon=0.9)
    with pytest.raises(BudgetExceeded):
        two.ask(HOW, reports(), epsilon=0.9, again=1)
    with pytest.raises(PolicyError):
        cohort(ledger, epsilon=2.0)


def test_nothing_of_a_person_shows() -> None:
    asked = cohort()
    found = asked.ask(HOW, reports(), epsilon=0.5)
    for text in (repr(asked), repr(found), str(found), found.guarantee, str(found.to_dict())):
        assert "p17" not in text
    entries = "".join(map(repr, asked.ledger.entries()))
    assert "p17" not in entries


def test_a_plan_spends_nothing() -> None:
    asked = cohort()
    before = fingerprint(asked)
    text = str(asked.plan(zkfed.When("hour-of-week"), people=2_000))
    assert "nothing is spent by planning" in text
    assert fingerprint(asked) == before
    assert float(np.float64(asked.plan(HOW, people=640).rows[1].half_width)) < 0.04
    assert Fraction(asked.plan(HOW, people=640).rows[0].loss.rho) > 0
