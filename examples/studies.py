"""What the statistics demo asks whom: two studies, four dimensions each, and what is true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import zkfed
from examples import interactions, survey
from zkfed.device.rhythm import bins_of
from zkfed.dp.query import CohortQuery, Reports

__all__ = ["MODES", "Study", "made_up", "real", "truth_of"]

MODES = ("central", "encrypted", "local")


@dataclass(frozen=True)
class Study:
    """People, and four questions about them.

    Attributes:
        name: For files and tables.
        note: Where the data are from.
        questions: (query, the answer of one person) for WHO, WHAT, HOW and WHEN.
        people: Everybody.
    """

    name: str
    note: str
    questions: tuple[tuple[CohortQuery, Callable[[Any], Any]], ...]
    people: Sequence[Any]

    def reports(self, number: int, people: int | None = None) -> Reports:
        """Returns the bounded answers to one question, of all or of `people` who are spread over the list."""
        query, answer = self.questions[number]
        step = 1 if people is None else max(len(self.people) // people, 1)
        return query.reports((p.name, answer(p)) for p in self.people[::step][:people])


def made_up(people: int) -> Study:
    """Returns the study of the generated log: commands pass the vocabulary, times become local hours."""
    intent = zkfed.What("intent", interactions.VOCABULARY, contributions=3)
    hours = zkfed.When("hour-of-day", contributions=3)
    return Study(
        "made-up log",
        f"{people} people made up by a documented random process (examples/interactions.py); data about nobody",
        (
            (zkfed.Who("persona", known=interactions.PERSONAS), lambda p: p.persona),
            (intent, lambda p: intent.sanitised(p.commands)),
            (zkfed.How("method", interactions.METHODS, half_width="5%"), lambda p: p.method),
            (hours, lambda p: bins_of(hours, p.times_s, utc_offset_s=p.utc_offset_s)),
        ),
        interactions.make_people(people),
    )


def real(people: int | None = None) -> Study:
    """Returns the study of the election survey."""
    voters = survey.load()[:people]
    return Study(
        "survey 1996",
        f"{len(voters)} people of the American National Election Study of 1996, public domain, from statsmodels",
        (
            (zkfed.Who("age and education", known=sorted({v.group for v in voters}), buckets=64), lambda v: v.group),
            (zkfed.What("party", survey.PARTIES), lambda v: v.party),
            (zkfed.How("vote", survey.VOTES, half_width="5%"), lambda v: v.vote),
            (zkfed.When("news on television", survey.DAYS), lambda v: v.news),
        ),
        voters,
    )


def truth_of(query: CohortQuery, reports: Reports) -> dict[str, float]:
    """Returns what a host that sees everything would count, in the unit of the statistic."""
    if query.dimension == "WHO":
        _, indices = reports.bounded(query.contributions)
        return {key: float((indices == i).sum()) for i, key in enumerate(reports.keys)}
    counts = query.vectors(reports)[1].sum(axis=0)
    total = counts.sum() if query.is_share else 1
    return {label: float(n / total) for label, n in zip(query.categories, counts, strict=True)}
