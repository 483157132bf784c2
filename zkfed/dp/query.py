"""A question about a cohort, and what one person's answer may be.

    v in {0, 1}^K,   sum_k v_k <= T

K categories, T = `contributions`. A person's answer is such a vector and nothing else: category
numbers, never the text, the time or the command that led to them. Under zero-out adjacency
(membership of the cohort is public, one person's vector is replaced by zeros) the sum over a
cohort changes by at most T in the L1 norm and by sqrt(T) in the L2 norm, however many rows came
from one person.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from zkfed.counts import CountBounds, Counts
from zkfed.encoding import Writer, digest
from zkfed.errors import DecodeError, LimitExceeded, PolicyError, shown
from zkfed.policy import SHARE_SCALE, parse_share

__all__ = ["CohortQuery", "Report", "Reports", "check_label", "check_person"]

CATEGORIES_MAX = 1 << 16
ROWS_MAX = 1 << 22
VECTORS_MAX = 1 << 28
"""Entries of all vectors together, 8 bytes each."""
PERSON_CHARACTERS_MAX = 200
_LABEL = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,80}")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def check_label(what: str, value: Any) -> str:
    """Returns a label of 1 to 80 characters without control characters; raises PolicyError."""
    if not isinstance(value, str) or _LABEL.fullmatch(value) is None or value != value.strip():
        raise PolicyError(f"{what} is {shown(value)}, expected 1 to 80 printable characters, no space at the ends")
    return value


def check_person(value: Any) -> str:
    """Returns a person's identifier; the text of the error does not hold it.

    Raises:
        DecodeError: Not a str of 1 to 200 characters.
    """
    if not isinstance(value, str) or not 1 <= len(value) <= PERSON_CHARACTERS_MAX or _SURROGATE.search(value):
        raise DecodeError(f"a person is named by a str of 1 to {PERSON_CHARACTERS_MAX} characters")
    return value


@dataclass(frozen=True, slots=True)
class Report:
    """One person's bounded answer to one question.

    Attributes:
        person: Who answers; the same name for the same person in every question and round.
        question: `CohortQuery.digest`.
        indices: The categories with v_k = 1, ascending; secret. For unknown keys, see `keys`.
        keys: The labels themselves where categories are not known beforehand (WHO); secret.
    """

    person: str = field(repr=False)
    question: bytes = field(repr=False)
    indices: tuple[int, ...] = field(default=(), repr=False)
    keys: tuple[str, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return "one person's report (hidden)"


@dataclass(frozen=True)
class Reports:
    """Many people's bounded answers, in columns.

    Attributes:
        question: `CohortQuery.digest`.
        persons: Who answers, one entry a report; a person may stand in it more than once.
        owner: Of each category number, the position of its report in `persons`, ascending.
        indices: The category numbers, of all reports.
        keys: Where categories are not known beforehand: the labels that `indices` count.
    """

    question: bytes = field(repr=False)
    persons: Sequence[str] = field(repr=False)
    owner: npt.NDArray[np.int64] = field(repr=False)
    indices: npt.NDArray[np.int64] = field(repr=False)
    keys: tuple[str, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.persons)

    def __str__(self) -> str:
        return f"{len(self)} reports (hidden)"

    def check(self, count: int) -> None:
        """Checks the columns before anything is spent on them: a device sends category numbers as it likes.

        Args:
            count: How many categories there are; where keys are named, their number.

        Raises:
            DecodeError: A number names no category or no report, or the columns do not fit.
        """
        if any(x.ndim != 1 or x.dtype != np.int64 or len(x) != len(self.owner) for x in (self.owner, self.indices)):
            raise DecodeError("reports are two columns of int64, as long as each other")
        for column, most in ((self.owner, len(self.persons)), (self.indices, len(self.keys) or count)):
            if len(column) and not 0 <= column.min() <= column.max() < most:
                raise DecodeError("a report names a category or a person that does not exist")

    @cached_property
    def members(self) -> tuple[list[str], npt.NDArray[np.int64]]:
        """Returns the distinct people in order of appearance, and of each report its person's position."""
        seen: dict[str, int] = {}
        codes = np.fromiter((seen.setdefault(p, len(seen)) for p in self.persons), np.int64, len(self.persons))
        return list(seen), codes

    def bounded(self, contributions: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Returns (person, category) of everything that counts: each pair once, at most T of a person.

        What came first counts. Several reports of one person are one answer, so a person with a
        million rows weighs as much as any other.

        Args:
            contributions: T.
        """
        who = self.members[1][self.owner]
        pairs = np.stack([who, self.indices], axis=1)
        if len(who) > 1:
            # The first of each pair, in the order of arrival; then the rank of each within its person.
            order = np.lexsort((np.arange(len(who)), self.indices, who))
            ordered = pairs[order]
            is_new = np.ones(len(order), bool)
            is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
            first = np.sort(order[is_new])
            first = first[np.argsort(who[first], kind="stable")]
            person = who[first]
            starts = np.flatnonzero(np.r_[True, person[1:] != person[:-1]])
            rank = np.arange(len(person)) - np.repeat(starts, np.diff(np.r_[starts, len(person)]))
            pairs = pairs[first[rank < contributions]]
        return pairs[:, 0], pairs[:, 1]


@dataclass(frozen=True)
class CohortQuery(abc.ABC):
    """A question about a cohort; `Who`, `What`, `How` and `When` are the four kinds.

    Attributes:
        name: What is asked, such as "method".
        categories: The labels that are counted; empty where they are not known beforehand.
        contributions: T, how many categories of one person count at most.
        k: The smallest cohort that is answered, and the smallest group that WHO shows.
        half_width: The precision that is promised, such as "5%": of the cohort's people, or of a
            share. An answer that does not keep it says "too noisy".
    """

    name: str
    categories: tuple[str, ...] = ()
    contributions: int = 1
    k: int = 20
    half_width: Any = None

    dimension: ClassVar[str] = ""
    is_share: ClassVar[bool] = False
    """Whether the answer is a share among those who answered; otherwise it is a number of people."""

    def __post_init__(self) -> None:
        check_label(f"the name of a {self.dimension} question", self.name)
        object.__setattr__(self, "categories", self._checked_categories())
        for name, low, high in (("contributions", 1, 1 << 10), ("k", 2, 1 << 30)):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise PolicyError(f"{self}: {name} is {shown(value)}, expected an int in [{low}, {high}]")
        if self.categories and self.contributions > len(self.categories):
            raise PolicyError(f"{self}: {self.contributions} contributions to {len(self.categories)} categories")
        if self.half_width is not None:
            promised = Fraction(parse_share(self.half_width), SHARE_SCALE)
            object.__setattr__(self, "half_width", promised)

    def _checked_categories(self) -> tuple[str, ...]:
        given: Any = self.categories
        if not isinstance(given, (list, tuple)):
            raise PolicyError(f"{self}: categories are a {type(given).__name__}, expected a list of labels")
        labels = tuple(check_label(f"{self}: a category", c) for c in given)
        if len(set(labels)) != len(labels) or not 1 <= len(labels) <= CATEGORIES_MAX:
            raise PolicyError(f"{self}: {len(labels)} categories, expected 1 to {CATEGORIES_MAX} distinct ones")
        return labels

    def __str__(self) -> str:
        return f"{self.dimension} {self.name}"

    @cached_property
    def digest(self) -> bytes:
        """Names the question: who asks the same about the same people gets the same answer."""
        w = Writer("zkfed/v1/cohort-query").text(self.dimension).text(self.name)
        w.list([c.encode() for c in self.categories]).u64(self.contributions).u64(self.k)
        return digest("zkfed/v1/cohort-query", w.bytes(self._rest()).finish())

    def _rest(self) -> bytes:
        """Returns what else makes the question."""
        return b""

    @property
    def count(self) -> int:
        """K, the length of a person's vector."""
        return len(self.categories)

    # -- a person's answer -----------------------------------------------------------------

    def report(self, person: str, answer: Any) -> Report:
        """Returns one person's bounded answer; None is no answer.

        Args:
            person: Who answers.
            answer: See the kind of question.

        Raises:
            DecodeError: The person's name or the answer is malformed, or names no category. The text
                does not hold the answer.
        """
        return Report(check_person(person), self.digest, self._bound(self._indices(answer)))

    def reports(self, answers: Iterable[tuple[str, Any] | Report]) -> Reports:
        """Returns many people's bounded answers, from (person, answer) pairs or from reports.

        Raises:
            DecodeError: See `report`; or a report is for another question.
            LimitExceeded: More than 2^22 categories in all.
        """
        persons, owner, indices = list[str](), list[int](), list[int]()
        for row in answers:
            report = row if isinstance(row, Report) else self._pair(row)
            if report.question != self.digest:
                raise DecodeError(f"a report is for another question than {self}")
            owner.extend([len(persons)] * len(report.indices))
            persons.append(report.person)
            indices.extend(report.indices)
            if len(indices) + len(persons) > ROWS_MAX:
                raise LimitExceeded(f"{self}: more than {ROWS_MAX} rows")
        return Reports(self.digest, persons, np.array(owner, np.int64), np.array(indices, np.int64))

    def columns(self, persons: Sequence[str], answers: Sequence[str | None]) -> Reports:
        """Returns many people's answers of one category each, fast; None is no answer.

        Args:
            persons: n names.
            answers: n labels.

        Raises:
            DecodeError: The lengths differ, a name is malformed, or an answer names no category.
            LimitExceeded: More than 2^22 people.
        """
        if len(persons) != len(answers):
            raise DecodeError(f"{self}: {len(persons)} persons and {len(answers)} answers")
        if len(persons) > ROWS_MAX:
            raise LimitExceeded(f"{self}: more than {ROWS_MAX} rows")
        for person in persons:
            check_person(person)
        codes = np.fromiter((-1 if a is None else self._place(a) for a in answers), np.int64, len(answers))
        given = np.flatnonzero(codes >= 0)
        return Reports(self.digest, list(persons), given, codes[given])

    def coded(self, reports: Reports) -> Reports:
        """Returns reports whose indices are coordinates of v: what the encrypted and the local mode count."""
        if reports.question != self.digest:
            raise DecodeError(f"the reports are for another question than {self}")
        return reports

    @property
    def counts(self) -> Counts:
        """What a device proves of its vector in the encrypted mode: statement S4 about this question."""
        return Counts(CountBounds(self.count, 1, 0, self.contributions), self.digest)

    def vectors(self, reports: Reports) -> tuple[list[str], npt.NDArray[np.int64]]:
        """Returns the distinct people and their vectors, shape (people, K); secret."""
        coded = self.coded(reports)
        people = coded.members[0]
        if len(people) * self.count > VECTORS_MAX:
            raise LimitExceeded(f"{self}: {len(people)} vectors of {self.count} would not fit into memory")
        v = np.zeros((len(people), self.count), np.int64)
        v[coded.bounded(self.contributions)] = 1
        return people, v

    def _pair(self, row: Any) -> Report:
        if not isinstance(row, tuple) or len(row) != 2:
            raise DecodeError(f"{self}: expected (person, answer) or a Report, got a {type(row).__name__}")
        return self.report(*row)

    def _indices(self, answer: Any) -> list[int]:
        if answer is None:
            return []
        labels = [answer] if isinstance(answer, str) else answer
        if not isinstance(labels, (list, tuple, set, frozenset)):
            raise DecodeError(f"{self}: an answer is a {type(answer).__name__}, expected labels of categories")
        return [self._place(label) for label in labels]

    def _place(self, label: Any) -> int:
        place = self._places.get(label) if isinstance(label, str) else None
        if place is None:
            # The label is a person's answer: it is not repeated here.
            raise DecodeError(f"{self}: an answer is none of the {self.count} declared categories")
        return place

    @cached_property
    def _places(self) -> dict[str, int]:
        return {label: i for i, label in enumerate(self.categories)}

    def _bound(self, indices: Iterable[int]) -> tuple[int, ...]:
        """Returns the first T distinct categories, ascending."""
        return tuple(sorted(list(dict.fromkeys(indices))[: self.contributions]))
