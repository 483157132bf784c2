"""A real public data set: 944 people of the American National Election Study of 1996 (public domain).

It comes with the package `statsmodels` as a table; the package itself is not imported. Its columns stand for
the four dimensions: WHO is age and education, WHAT is the party that somebody identifies with, HOW is the
expected vote, WHEN is how many days a week somebody watches the news on television.
"""

from __future__ import annotations

import csv
import importlib.util
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DAYS", "PARTIES", "VOTES", "Voter", "load"]

PARTIES = (
    "strong Democrat", "weak Democrat", "independent, Democrat", "independent", "independent, Republican",
    "weak Republican", "strong Republican",
)  # fmt: skip
VOTES = ("Clinton", "Dole")
DAYS = tuple(f"{n} days" for n in range(8))
EDUCATION = {1: "school", 2: "school", 3: "high school", 4: "some college", 5: "college", 6: "college", 7: "college"}


@dataclass(frozen=True)
class Voter:
    """One person who was asked."""

    name: str
    group: str
    party: str
    vote: str
    news: str


def load() -> list[Voter]:
    """Returns all 944 people.

    Raises:
        FileNotFoundError: `statsmodels` is not installed: it is in the extra `demo`.
    """
    package = importlib.util.find_spec("statsmodels")
    if package is None or package.origin is None:
        raise FileNotFoundError("the survey comes with statsmodels: pip install 'zkfed[demo]'")
    path = Path(package.origin).parent / "datasets" / "anes96" / "anes96.csv"
    with path.open(encoding="ascii", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quotechar="'"))
    return [_voter(i, row) for i, row in enumerate(rows)]


def _voter(number: int, row: dict[str, str]) -> Voter:
    age = int(row["age"])
    band = "under 35" if age < 35 else "35 to 54" if age < 55 else "55 and over"
    group = f"{band}, {EDUCATION[int(row['educ'])]}"
    return Voter(
        f"voter-{number:04d}", group, PARTIES[int(row["PID"])], VOTES[int(row["vote"])], DAYS[int(row["TVnews"])]
    )
