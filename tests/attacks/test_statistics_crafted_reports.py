"""Attack: reports as no honest device writes them; they were charged first and broke, or were counted, afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import zkfed
from zkfed.dp.query import Report, Reports
from zkfed.errors import DecodeError

HOW = zkfed.How("method", ["declarative", "imperative", "both"])
PEOPLE = [f"p{i}" for i in range(30)]


@pytest.mark.parametrize("mode", ["central", "encrypted"])
@pytest.mark.parametrize(
    ("owner", "indices"), [([0], [3]), ([0], [-1]), ([30], [0]), ([-1], [0]), ([0, 1], [0]), ([0], [1 << 40])]
)
def test_columns_that_name_nothing_are_refused_before_a_charge(owner: list[int], indices: list[int], mode: str) -> None:
    cohort = zkfed.Cohort(None, epsilon_per_person=4, delta=1e-6)
    before = cohort.ledger.checkpoint()
    with pytest.raises(DecodeError):
        cohort.ask(HOW, Reports(HOW.digest, PEOPLE, np.array(owner), np.array(indices)), epsilon=1, mode=mode)
    assert cohort.ledger.checkpoint() == before


@pytest.mark.parametrize("place", [3, -1])
def test_one_device_with_a_category_that_does_not_exist_is_refused(place: int) -> None:
    cohort = zkfed.Cohort(None, epsilon_per_person=4, delta=1e-6)
    before = cohort.ledger.checkpoint()
    rows = [*(HOW.report(p, "both") for p in PEOPLE), Report("x", HOW.digest, (place,))]
    with pytest.raises(DecodeError):
        cohort.ask(HOW, rows, epsilon=1)
    assert cohort.ledger.checkpoint() == before


@pytest.mark.parametrize(
    ("query", "row"),
    [(HOW, ("\ud800", "both")), (zkfed.Who("persona"), ("p", "\ud800"))],
    ids=["person", "label"],
)
def test_half_a_character_is_a_typed_error(query: Any, row: Any) -> None:
    with pytest.raises(DecodeError):
        query.reports([row])
