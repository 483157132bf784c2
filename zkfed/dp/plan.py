"""Before you ask: what a question would cost and how precise its answer would be.

Nothing here sees data and nothing is spent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from zkfed.dp.loss import PrivacyLoss
from zkfed.dp.mechanism import CountNoise, Threshold
from zkfed.dp.query import CohortQuery
from zkfed.dp.randomise import Randomiser
from zkfed.dp.rendering import plan_html
from zkfed.dp.who import Who
from zkfed.errors import PolicyError, shown

__all__ = ["MODES", "Asking", "Plan", "PlanRow", "expected", "people_needed"]

MODES = ("central", "encrypted", "local")
SHARE_ASSUMED = 0.7
"""Of one category, where the error depends on it; the others share the rest."""
PEOPLE_MAX = 1 << 40
_RELEASES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One way to ask.

    Attributes:
        mode: "central", "encrypted" or "local".
        epsilon: Of one release.
        loss: Of one release, exact.
        half_width: Expected, in the unit of the answer: a share, or people; if everybody answers.
        shown_from: Smallest noised count that WHO shows; None for other questions.
        people_min: The smallest cohort that keeps the promised half-width and k; None if none does.
        releases: How many such questions fit into the budget of one person.
    """

    mode: str
    epsilon: float
    loss: PrivacyLoss
    half_width: float
    shown_from: int | None
    people_min: int | None
    releases: int


@dataclass(frozen=True)
class Plan:
    """What a question would cost, for each mode and several epsilons.

    Attributes:
        query: The question.
        people: For how large a cohort.
        delta: Of the budget.
        budget: epsilon of one person and period.
        noise: "gaussian" or "laplace", in central mode.
        rows: Ways to ask.
    """

    query: CohortQuery
    people: int
    delta: float
    budget: float
    noise: str
    rows: tuple[PlanRow, ...]

    @property
    def unit(self) -> str:
        """Of the half-widths."""
        return "points" if self.query.is_share else "people"

    def __str__(self) -> str:
        promise = f", ± {float(self.query.half_width):.0%} promised" if self.query.half_width is not None else ""
        head = (
            f"{self.query}: {self.people} people, T = {self.query.contributions}{promise}; budget {self.budget:.3g} a "
            f"person at delta {self.delta:.1g}; nothing is spent by planning"
        )
        names = ("mode", "epsilon", "± 95 %", "shown from", "people needed", "such questions")
        lines = [head, "{:<10} {:>7}  {:>12}  {:>10}  {:>14}  {:>14}".format(*names)]
        for row in self.rows:
            width = f"{row.half_width * 100:.2g} {self.unit}" if self.query.is_share else f"{row.half_width:.0f} people"
            needed = "none is enough" if row.people_min is None else str(row.people_min)
            tau = "-" if row.shown_from is None else str(row.shown_from)
            lines.append(
                f"{row.mode:<10} {row.epsilon:>7.3g}  {width:>12}  {tau:>10}  {needed:>14}  {row.releases:>14}"
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return plan_html(self)

    def plot(self, axis: Any = None) -> Any:
        """Draws the error over the size of the cohort; see `zkfed.dp.plots.plot_plan` (extra `plot`)."""
        from zkfed.dp.plots import plot_plan

        return plot_plan(self, axis)

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as JSON-able values."""
        return {
            "dimension": self.query.dimension,
            "query": self.query.name,
            "people": self.people,
            "delta": self.delta,
            "budget": self.budget,
            "noise": self.noise,
            "rows": [
                {
                    "mode": r.mode,
                    "epsilon": r.epsilon,
                    "rho": float(r.loss.rho),
                    "half_width": r.half_width,
                    "shown_from": r.shown_from,
                    "people_min": r.people_min,
                    "releases": r.releases,
                }
                for r in self.rows
            ],
        }

    @classmethod
    def of(
        cls, query: CohortQuery, people: int, *, epsilons: tuple[Any, ...], budget: tuple[Fraction, float], noise: str
    ) -> Plan:
        """Plans a question.

        Args:
            query: The question.
            people: Of the cohort, at least 1.
            epsilons: Of one release each.
            budget: (epsilon, delta) of one person and period.
            noise: "gaussian" or "laplace", in central mode.

        Raises:
            TypeError, ValueError: An epsilon is no number or out of range.
            PolicyError: `people` is no int above 0, or no such noise.
        """
        if type(people) is not int or not 1 <= people <= PEOPLE_MAX:
            raise PolicyError(f"people is {shown(people)}, expected an int in [1, {PEOPLE_MAX}]")
        rows = [_row(query, people, (mode, noise), epsilon, budget) for mode in MODES for epsilon in epsilons]
        return cls(query, people, budget[1], float(budget[0]), noise, tuple(rows))


@dataclass(frozen=True, slots=True)
class Expected:
    """The noise of one way to ask.

    Attributes:
        loss: Of one release.
        half_width: Of the answer, as a function of the cohort's size.
        shown_from: Smallest noised count that WHO shows; in local mode that of a cohort of k people.
    """

    loss: PrivacyLoss
    half_width: Callable[[int], float]
    shown_from: int | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """One way to ask.

    Attributes:
        mode: "central", "encrypted" or "local".
        epsilon: Of one release.
        delta: Of the budget.
        noise: "gaussian" or "laplace", in central mode.
    """

    mode: str
    epsilon: Any
    delta: float
    noise: str = "gaussian"


def expected(query: CohortQuery, way: Asking, *, share: float = SHARE_ASSUMED) -> Expected:
    """Returns the loss and the expected half-width of one way to ask, if everybody answers.

    Args:
        query: The question.
        way: How to ask.
        share: Of the category that a share is about.

    Raises:
        TypeError, ValueError, PolicyError: A value is no number, out of range, or not a mode.
    """
    mode, epsilon, delta, noise = way.mode, way.epsilon, way.delta, way.noise
    if mode not in MODES:
        raise PolicyError(f"mode is {shown(mode)}, expected one of {MODES}")
    weights = np.zeros(query.count)
    weights[0] = 1.0
    if query.is_share:
        weights -= share
    if mode == "local":
        randomiser = Randomiser.calibrate(query, epsilon)
        shares = np.full(query.count, (1 - share) / max(query.count - 1, 1))
        shares[0] = share

        def local(people: int) -> float:
            width = randomiser.half_width_of(weights, shares * people, people)
            return width / people if query.is_share else width

        return Expected(randomiser.loss, local, _tau_of_buckets(query, local(query.k)))
    tau = None
    if isinstance(query, Who) and mode == "central":
        threshold = Threshold.calibrate(noise, epsilon, delta, query.contributions, k=query.k)
        drawn, tau = threshold.noise, threshold.shown_from
    else:
        kind = "gaussian" if mode == "encrypted" else noise
        drawn = CountNoise.calibrate(kind, epsilon, delta, query.contributions)
        drawn = replace(drawn, draws=2 if mode == "encrypted" else 1)
    width = drawn.half_width_of(weights)
    tau = tau or _tau_of_buckets(query, width)
    return Expected(drawn.loss, lambda people: width / people if query.is_share else width, tau)


def _tau_of_buckets(query: CohortQuery, half_width: float) -> int | None:
    return query.shown_from(half_width) if isinstance(query, Who) else None


def people_needed(query: CohortQuery, way: Expected) -> int | None:
    """Returns the smallest cohort with the promised half-width, at least k; None if no cohort has it."""
    promised = query.half_width
    if promised is None:
        return query.k

    def is_kept(people: int) -> bool:
        return bool(way.half_width(people) / (1 if query.is_share else people) <= promised)

    low, high = 0, query.k
    while not is_kept(high):
        low, high = high, 2 * high
        if high > PEOPLE_MAX:
            return None
    while high - low > 1 and high > query.k:
        middle = (low + high) // 2
        low, high = (low, middle) if is_kept(middle) else (middle, high)
    return high


def _row(
    query: CohortQuery, people: int, how: tuple[str, str], epsilon: Any, budget: tuple[Fraction, float]
) -> PlanRow:
    mode, noise = how
    way = expected(query, Asking(mode, epsilon, budget[1], noise))
    return PlanRow(
        mode, way.loss.at(budget[1]), way.loss, way.half_width(people), way.shown_from, people_needed(query, way),
        _releases(way.loss, *budget),
    )  # fmt: skip


def _releases(loss: PrivacyLoss, epsilon_max: Fraction, delta: float) -> int:
    """Returns how many releases of that loss fit into a budget."""
    if not loss.is_within(epsilon_max, delta):
        return 0
    low, high = 1, 2
    while high < _RELEASES_MAX and loss.times(high).is_within(epsilon_max, delta):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if loss.times(middle).is_within(epsilon_max, delta) else (low, middle)
    return low
