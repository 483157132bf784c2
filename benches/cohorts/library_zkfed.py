"""zkfed: a `Cohort` with a ledger in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zkfed
from zkfed.dp.query import CohortQuery, Reports
from zkfed.orchestrator.cohort import Cohort, CohortOptions

NAME, PACKAGE = "zkfed", "zkfed"
NOISES = ("laplace", "gaussian")
Rows = Sequence[tuple[str, str]]


class Session:
    """One question to one cohort; every question to it is a new one (`again`)."""

    def __init__(self, rows: Rows, categories: Sequence[str], budget: Any, folder: Path) -> None:
        self.query, self.rows, self.asked = zkfed.What("intent", list(categories)), rows, 0
        self.cohort = cohort(budget, folder)

    def histogram(self, epsilon: Any, *, is_new: bool = True) -> dict[str, float]:
        self.asked += is_new
        persons, answers = zip(*self.rows, strict=True)
        reports = self.query.columns(persons, answers)
        found = self.cohort.ask(self.query, reports, epsilon=epsilon, again=self.asked)
        return {e.label: e.value for e in found.estimates}


def cohort(budget: Any, folder: Path, *, delta: float = 1e-6, noise: str = "laplace") -> Cohort:
    options = CohortOptions(noise=noise)
    return Cohort(folder / "ledger.db", epsilon_per_person=budget, delta=delta, period="lifetime", options=options)


def unknown(rows: Rows, epsilon: float, delta: float, folder: Path) -> dict[str, float]:
    """Labels that nobody listed beforehand; the smallest group that may be shown is the smallest k, 2."""
    query = zkfed.Who("persona", k=2)
    found = cohort(epsilon, folder, delta=delta).ask(query, query.reports(rows), epsilon=epsilon)
    return {e.label: e.value for e in found.estimates}


def outlier(values: Sequence[float], epsilon: float, folder: Path) -> float:
    """A sum of numbers in declared bounds: here an hour of the day, as a number from 0 to 23."""
    query = zkfed.When("hour-of-day", contributions=1)
    reports = query.reports((f"p{i}", int(value)) for i, value in enumerate(values))
    return sum(e.value for e in cohort(epsilon, folder).ask(query, reports, epsilon=epsilon).estimates)


def count(rows: Rows, categories: Sequence[str], bound: int, noise: str, folder: Path) -> dict[str, float]:
    """At epsilon 1 (delta 1e-6): at most `bound` categories of a person count; from rows to the stored answer."""
    query: CohortQuery = zkfed.What("intent", list(categories), contributions=bound)
    if bound == 1:
        persons, answers = zip(*rows, strict=True)
        reports: Reports = query.columns(persons, answers)
    else:
        reports = query.reports(rows)
    found = cohort(1.0, folder, noise=noise).ask(query, reports, epsilon=1.0)
    return {e.label: e.value for e in found.estimates}
