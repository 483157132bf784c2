"""HOW: shares of a preference among those who answered, such as "70 % prefer declarative"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from zkfed.dp.query import CohortQuery
from zkfed.errors import PolicyError

__all__ = ["How"]


@dataclass(frozen=True)
class How(CohortQuery):
    """Which of some methods people prefer, each person one.

        share_c = n_c / sum_j n_j

    Numerator and denominator are noised; the half-width is that of the quotient, to first order.
    An answer is one label, or None.
    """

    dimension: ClassVar[str] = "HOW"
    is_share: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.contributions != 1 or len(self.categories) < 2:
            raise PolicyError(f"{self}: a preference is one of at least two categories")
