"""WHEN: rhythms without a time zone: local hour of the week, length and number of sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from zkfed.dp.query import CohortQuery, check_label
from zkfed.errors import DecodeError, PolicyError, shown

__all__ = ["When"]

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
RHYTHMS: dict[str, tuple[tuple[str, ...], int]] = {
    "hour-of-week": (tuple(f"{day} {hour:02d}h" for day in _DAYS for hour in range(24)), 8),
    "hour-of-day": (tuple(f"{hour:02d}h" for hour in range(24)), 4),
    "day-of-week": (_DAYS, 3),
    "session-length": (("under 5 min", "5-15 min", "15-30 min", "30-60 min", "1-2 h", "over 2 h"), 1),
    "sessions-per-day": (("under 1", "1", "2", "3-4", "5-8", "over 8"), 1),
}
"""The rhythms: their bins, and how many bins of one person count by default."""


@dataclass(frozen=True)
class When(CohortQuery):
    """How many people are active in each bin of a rhythm, at most T bins of each person.

    `name` is one of "hour-of-week" (168 bins, T = 8), "hour-of-day" (24, 4), "day-of-week" (7, 3),
    "session-length" (6, 1) and "sessions-per-day" (6, 1); with `categories`, a rhythm of your own.
    Hours are the person's own local hours: a time zone never enters an answer. An answer is a list
    of bins, by label or by number from 0.
    """

    contributions: int = 0

    dimension: ClassVar[str] = "WHEN"

    def __post_init__(self) -> None:
        if not self.categories:
            if check_label("the name of a WHEN question", self.name) not in RHYTHMS:
                raise PolicyError(f"WHEN knows the rhythms {', '.join(RHYTHMS)}, not {shown(self.name)}")
            bins, usual = RHYTHMS[self.name]
            object.__setattr__(self, "categories", bins)
            object.__setattr__(self, "contributions", self.contributions or usual)
        elif self.contributions == 0:
            object.__setattr__(self, "contributions", 1)
        super().__post_init__()

    def _indices(self, answer: Any) -> list[int]:
        return super()._indices([answer] if type(answer) is int else answer)

    def _place(self, label: Any) -> int:
        if type(label) is int:
            if not 0 <= label < self.count:
                raise DecodeError(f"{self}: a bin is outside 0 to {self.count - 1}")
            return label
        return super()._place(label)
