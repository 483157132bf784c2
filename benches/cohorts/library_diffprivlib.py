"""diffprivlib: its `tools.histogram` of category numbers, with a `BudgetAccountant` where there is a budget."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffprivlib import BudgetAccountant, tools

NAME, PACKAGE = "diffprivlib", "diffprivlib"
NOISES = ("laplace",)
Rows = Sequence[tuple[str, str]]


class Session:
    """Rows and an accountant; without a budget the library's own, which admits everything."""

    def __init__(self, rows: Rows, categories: Sequence[str], budget: Any, folder: Path) -> None:
        self.places = {label: i for i, label in enumerate(categories)}
        # One number for each category; labels that nobody listed are beyond the range.
        self.numbers = [self.places.get(label, len(self.places) + 1) for _, label in rows]
        self.accountant = None if budget is None else BudgetAccountant(epsilon=budget)

    def histogram(self, epsilon: Any, *, is_new: bool = True) -> dict[str, float]:
        size = len(self.places)
        counts, _ = tools.histogram(
            self.numbers, epsilon=epsilon, bins=size, range=(0, size), accountant=self.accountant
        )
        return {label: float(counts[i]) for label, i in self.places.items()}


unknown = None


def outlier(values: Sequence[float], epsilon: float, folder: Path) -> float:
    return float(tools.sum(list(values), epsilon=epsilon, bounds=(0, 23)))


def count(rows: Rows, categories: Sequence[str], bound: int, noise: str, folder: Path) -> dict[str, float]:
    """At epsilon 1, which the caller has divided by the number of a person's rows."""
    return Session(rows, categories, 1.0, folder).histogram(1.0 / bound)
