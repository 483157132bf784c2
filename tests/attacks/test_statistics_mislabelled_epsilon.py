"""Attack: randomised reports that name a smaller loss than they have, so that the ledger charges too little.

Answers kept with the probability of epsilon 20 and labelled 0.1 would leave 39/40 of the budget for more of them.
"""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import Any

import pytest

import zkfed
from zkfed.dp.randomise import RandomisedReports, Randomiser, randomise
from zkfed.errors import PolicyError

HOW = zkfed.How("method", ["declarative", "imperative", "both"])
ROWS = HOW.reports((f"p{i}", "both") for i in range(50))


@pytest.mark.parametrize(
    "lie",
    [
        {"epsilon": Fraction(1, 10)},
        {"epsilon": 20.0},
        {"p": math.nan},
        {"p": 0.25, "q": 0.25},
        {"q": math.nan},
        {"kind": "bits"},
        {"kind": "x"},
        {"count": 2},
        {"count": 1 << 40},
        {"contributions": 2},
    ],
    ids=str,
)
def test_a_randomiser_that_is_not_what_its_epsilon_says_is_refused(lie: dict[str, Any]) -> None:
    out = randomise(HOW, ROWS, epsilon=20)
    lied = RandomisedReports(HOW.digest, dataclasses.replace(out.randomiser, **lie), out.persons, out.data)
    cohort = zkfed.Cohort(None, epsilon_per_person=40, delta=1e-6)
    before = cohort.ledger.checkpoint()
    with pytest.raises(PolicyError, match="not randomised as their epsilon says"):
        cohort.ask(HOW, lied)
    assert cohort.ledger.checkpoint() == before
    assert cohort.ask(HOW, out).cost.epsilon <= 20


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 1, 3])
def test_an_honest_one_of_another_platform_is_taken(epsilon: float) -> None:
    one = Randomiser.calibrate(HOW, epsilon)
    dataclasses.replace(one, p=math.nextafter(one.p, 1)).check(HOW)
