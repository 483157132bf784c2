"""WHO: how many people belong to each cluster, without a list of clusters made beforehand.

    central             labels as they come; shown is a group whose noisy count is at least max(tau, k)
    encrypted, local    a public hash of the label chooses one of B buckets; a bucket is named by
                        the labels of `known`, others are shown by number

tau is such that a group of one person is shown with probability delta/100 at most. This is
(epsilon, delta)-DP, and no group whose *noisy* count is below max(tau, k) is shown; it is not
k-anonymity of the raw table.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist
from typing import Any, ClassVar

import numpy as np

from zkfed.dp.mechanism import CONFIDENCE
from zkfed.dp.query import ROWS_MAX, CohortQuery, Report, Reports, check_label, check_person
from zkfed.encoding import Writer, digest
from zkfed.errors import DecodeError, LimitExceeded, PolicyError, shown

__all__ = ["Who"]

SALTS_MAX = 1 << 10


@dataclass(frozen=True)
class Who(CohortQuery):
    """How many people belong to each cluster, such as a persona: "power user", never "user_123".

    An answer is one label, or None; with T > 1 a list. A label is not checked for naming a person:
    the threshold is what keeps a label of one person, or of a few, from being shown.

    Attributes:
        buckets: B, where labels are hashed (encrypted and local mode).
        known: Labels by which buckets are named; public.
    """

    buckets: int = 64
    known: tuple[str, ...] = ()

    dimension: ClassVar[str] = "WHO"

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.buckets) is not int or not 2 <= self.buckets <= 1 << 12:
            raise PolicyError(f"{self}: buckets is {shown(self.buckets)}, expected an int in [2, 4096]")
        object.__setattr__(self, "known", tuple(check_label(f"{self}: a known label", x) for x in self.known))
        object.__setattr__(self, "_salt", self._first_salt())

    def _first_salt(self) -> int:
        """Returns the smallest number with which no two known labels share a bucket; public."""
        for salt in range(SALTS_MAX):
            if len({_hashed(self.name, label, salt) % self.buckets for label in self.known}) == len(self.known):
                return salt
        raise PolicyError(f"{self}: {len(self.known)} known labels do not fit {self.buckets} buckets: choose more")

    def _checked_categories(self) -> tuple[str, ...]:
        if self.categories:
            raise PolicyError(f"{self}: WHO has no categories; name buckets with known=[...], or ask WHAT")
        return ()

    def _rest(self) -> bytes:
        return Writer("zkfed/v1/who").u64(self.buckets).u64(self.__dict__["_salt"]).finish()

    @property
    def count(self) -> int:
        """B."""
        return self.buckets

    def bucket(self, label: str) -> int:
        """Returns the bucket of a label: a public hash, so it hides nothing."""
        return _hashed(self.name, label, self.__dict__["_salt"]) % self.buckets

    @cached_property
    def bucket_labels(self) -> tuple[str, ...]:
        """The name of each bucket."""
        names = {self.bucket(label): label for label in self.known}
        return tuple(names.get(i, f"unnamed group {i}") for i in range(self.buckets))

    def shown_from(self, half_width: float) -> int:
        """Returns the smallest noised count of a bucket that is shown.

        It is at least k, and so large that no empty bucket is shown in 99 % of all releases.

        Args:
            half_width: Of one bucket's count, at 95 %.
        """
        normal = NormalDist()
        tail = normal.inv_cdf(1 - 0.01 / self.buckets) / normal.inv_cdf((1 + CONFIDENCE) / 2)
        return max(self.k, math.ceil(half_width * tail))

    def report(self, person: str, answer: Any) -> Report:
        """Returns one person's bounded answer, its labels and their buckets; raises as `CohortQuery.report`."""
        labels = () if answer is None else (answer,) if isinstance(answer, str) else answer
        if not isinstance(labels, (list, tuple, set, frozenset)):
            raise DecodeError(f"{self}: an answer is a {type(answer).__name__}, expected a label")
        try:
            keys = [check_label("a label", x) for x in labels]
        except PolicyError:
            # The label is a person's answer: it is not repeated here.
            raise DecodeError(f"{self}: a label is not 1 to 80 printable characters") from None
        keys = list(dict.fromkeys(keys))[: self.contributions]
        return Report(check_person(person), self.digest, self._bound(self.bucket(x) for x in keys), tuple(sorted(keys)))

    def reports(self, answers: Iterable[tuple[str, Any] | Report]) -> Reports:
        """Returns many people's labels; raises as `CohortQuery.reports`."""
        persons, owner, indices, places = list[str](), list[int](), list[int](), dict[str, int]()
        for row in answers:
            report = row if isinstance(row, Report) else self._pair(row)
            if report.question != self.digest:
                raise DecodeError(f"a report is for another question than {self}")
            owner.extend([len(persons)] * len(report.keys))
            persons.append(report.person)
            indices.extend(places.setdefault(key, len(places)) for key in report.keys)
            if len(indices) + len(persons) > ROWS_MAX:
                raise LimitExceeded(f"{self}: more than {ROWS_MAX} rows")
        found = tuple(places)
        return Reports(self.digest, persons, np.array(owner, np.int64), np.array(indices, np.int64), found)

    def coded(self, reports: Reports) -> Reports:
        """Returns reports that count buckets instead of labels."""
        super().coded(reports)
        buckets = np.array([self.bucket(key) for key in reports.keys], np.int64)
        return replace(reports, indices=buckets[reports.indices] if len(buckets) else reports.indices, keys=())

    def columns(self, persons: Any, answers: Any) -> Reports:
        """Returns many people's labels; raises as `CohortQuery.columns`."""
        if len(persons) != len(answers):
            raise DecodeError(f"{self}: {len(persons)} persons and {len(answers)} answers")
        return self.reports(zip(persons, answers, strict=True))


def _hashed(name: str, label: str, salt: int) -> int:
    hashed = digest("zkfed/v1/who-bucket", name.encode(), salt.to_bytes(8, "big"), label.encode())
    return int.from_bytes(hashed[:8], "big")
