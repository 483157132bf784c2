"""What a question about a cohort was answered: numbers, how wide they are, what they cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.dp.loss import PrivacyLoss
from zkfed.dp.query import CohortQuery
from zkfed.dp.rendering import statistic_html

__all__ = ["RELEASED", "TOO_NOISY", "CohortStatistic", "Cost", "Estimate", "estimate"]

RELEASED, TOO_NOISY = "released", "too noisy"
MODES = ("central", "encrypted", "local")
SHOWN_MAX = 6
DENOMINATOR_ERROR_MAX = 0.25
"""Of the number of those who answered, relative: beyond it a quotient has no first order."""

Width = Callable[[npt.NDArray[np.float64]], float]
"""Returns the half-width of sum_k w_k n_k for weights w."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """One number of a statistic.

    Attributes:
        label: The category.
        value: People, or a share in [0, 1]; as released, so it may lie outside what is possible.
        half_width: |value - truth| is at most this in 95 % of all releases; noise only, no sampling error.
    """

    label: str
    value: float
    half_width: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What a release cost, and what is left.

    Attributes:
        loss: Of this release.
        epsilon: Of this release, at `delta`.
        delta: Of the budget.
        spent: epsilon of the person of this cohort that has spent most in this period, this release included.
        lifetime: The same over all periods.
        budget: epsilon of one person and period.
        period: Its name, such as "2026-Q4".
    """

    loss: PrivacyLoss
    epsilon: float
    delta: float
    spent: float
    lifetime: float
    budget: float
    period: str

    @property
    def remaining(self) -> float:
        """Budget - spent; losses do not add up linearly, so more questions may fit than it seems."""
        return max(self.budget - self.spent, 0.0)


@dataclass(frozen=True)
class CohortStatistic:
    """The answer to one `CohortQuery`.

    Attributes:
        query: The question.
        mode: "central", "encrypted" or "local".
        people: Of the cohort; public.
        estimates: In the order of the categories; for WHO the largest first.
        outcome: "released"; or "too noisy", if the promised half-width is not kept.
        cost: What was spent. Nothing, if it was clear beforehand that the promise cannot be kept.
        noise: What was drawn, for people.
        answered: The least number of people who answered, at 97.5 %; None where it is not estimated.
        entry: Number of the charge in the ledger; None if nothing was charged.
        is_stored: Whether it is the stored answer of an earlier, equal question: nothing was charged.
        seconds: What it took.
    """

    query: CohortQuery
    mode: str
    people: int
    estimates: tuple[Estimate, ...]
    outcome: str
    cost: Cost
    noise: str
    answered: int | None = None
    entry: int | None = None
    is_stored: bool = False
    seconds: float = field(default=0.0, compare=False)

    @property
    def half_width(self) -> float:
        """The largest half-width; infinite if there is no estimate."""
        return max((e.half_width for e in self.estimates), default=float("inf"))

    def __getitem__(self, label: str) -> Estimate:
        """Returns the estimate of one category; raises KeyError."""
        for one in self.estimates:
            if one.label == label:
                return one
        raise KeyError(label)

    def __str__(self) -> str:
        ordered = sorted(self.estimates, key=lambda e: -e.value)
        parts = [self._shown(e) for e in ordered[:SHOWN_MAX]]
        if len(ordered) > SHOWN_MAX:
            parts.append(f"{len(ordered) - SHOWN_MAX} more")
        numbers = f"{', '.join(parts)} (DP noise, 95 %)" if parts else "nothing is shown"
        if self.outcome == TOO_NOISY:
            numbers += f" - {self._too_noisy()}"
        size = f", n >= {self.answered}" if self.answered is not None else f", of {self.people} people"
        stored = "stored answer, nothing charged; " if self.is_stored else ""
        cost = self.cost
        return (
            f"{self.query}: {numbers}{size}; {stored}epsilon {cost.spent:.3g} of {cost.budget:.3g} spent, "
            f"person-level, {'any answer for any other' if self.mode == 'local' else 'zero-out'}"
        )

    def _too_noisy(self) -> str:
        if self.query.half_width is None:
            return "too noisy: too few answered for shares to mean anything"
        promised = float(self.query.half_width)
        if not self.estimates:
            return f"too noisy: ± {promised:.0%} cannot be kept with {self.people} people; nothing was spent"
        return f"too noisy: ± {promised:.0%} was promised"

    def _shown(self, one: Estimate) -> str:
        if self.query.is_share:
            return f"{one.label} {min(max(one.value, 0), 1):.0%} ± {one.half_width:.0%}".replace("%", " %")
        return f"{one.label} {max(one.value, 0):.0f} ± {one.half_width:.0f}"

    @property
    def guarantee(self) -> str:
        """The guarantee as one line that leaves nothing out."""
        return guarantee_line(self)

    def _repr_html_(self) -> str:
        return statistic_html(self)

    def plot(self, axis: Any = None, **more: Any) -> Any:
        """Draws the estimates with their intervals; see `zkfed.dp.plots.plot_statistic` (extra `plot`)."""
        from zkfed.dp.plots import plot_statistic

        return plot_statistic(self, axis, **more)

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as JSON-able values."""
        cost = self.cost
        return {
            "dimension": self.query.dimension,
            "query": self.query.name,
            "mode": self.mode,
            "people": self.people,
            "outcome": self.outcome,
            "unit": "share" if self.query.is_share else "people",
            "estimates": [{"label": e.label, "estimate": e.value, "half_width": e.half_width} for e in self.estimates],
            "answered_min": self.answered,
            "epsilon": cost.epsilon,
            "delta": cost.delta,
            "rho": float(cost.loss.rho),
            "spent": cost.spent,
            "spent_lifetime": cost.lifetime,
            "remaining": cost.remaining,
            "budget": cost.budget,
            "period": cost.period,
            "noise": self.noise,
            "guarantee": self.guarantee,
            "entry": self.entry,
            "is_stored": self.is_stored,
            "seconds": self.seconds,
        }


def estimate(
    query: CohortQuery, labels: tuple[str, ...], values: npt.NDArray[Any], width: Width, people: int
) -> tuple[tuple[Estimate, ...], str, int | None]:
    """Turns noised counts into estimates: post-processing, which costs nothing.

    Args:
        query: The question.
        labels: One for each count.
        values: Noised or estimated counts, shape (K,).
        width: Of a weighted sum of the counts.
        people: Of the cohort; public.

    Returns:
        Estimates, outcome, and the least number of those who answered (shares only).
    """
    counts = np.asarray(values, np.float64)
    if not query.is_share:
        if len(counts) <= 1 << 10:
            widths = [width(_one(len(counts), i)) for i in range(len(counts))]
        else:
            # The widest serves all: that of the largest count.
            widths = [width(_one(len(counts), int(counts.argmax())))] * len(counts)
        out = tuple(Estimate(x, float(v), w) for x, v, w in zip(labels, counts, widths, strict=True))
        promised = query.half_width
        is_wide = promised is not None and max(widths, default=0.0) / people > promised
        return out, TOO_NOISY if is_wide else RELEASED, None
    total, ones = float(counts.sum()), np.ones(len(counts))
    error = width(ones)
    least = max(int(total - error), 0)
    if error > DENOMINATOR_ERROR_MAX * total:
        return (), TOO_NOISY, least
    found = []
    for i, label in enumerate(labels):
        share = counts[i] / total
        found.append(Estimate(label, float(share), width((_one(len(counts), i) - share * ones) / total)))
    is_wide = query.half_width is not None and max(e.half_width for e in found) > query.half_width
    return tuple(found), TOO_NOISY if is_wide else RELEASED, least


def _one(count: int, place: int) -> npt.NDArray[np.float64]:
    out = np.zeros(count)
    out[place] = 1.0
    return out


_AGAINST = {
    "central": "the host drew the noise and sees every report; holds against everybody but the host",
    "encrypted": (
        "the adders and the key holder each drew noise, one of the two is charged; holds against everybody but the key "
        "holder together with the adders or with anyone who sees a client's ciphertext; conditional on the accepted "
        "set; computational; here all parties ran in one process, whose memory holds every report"
    ),
    "local": "each device randomised its own answer; holds against everybody, the host included",
}


def guarantee_line(statistic: CohortStatistic) -> str:
    """Returns unit, adjacency, loss, scope, participation, bound, noise and trust as one line."""
    s, cost = statistic, statistic.cost
    adjacency = (
        "any answer of a person may be replaced by any other"
        if s.mode == "local"
        else "zero-out adjacency (membership is public; replacing an answer instead of zeroing it costs twice the norm)"
    )
    facts = [
        f"person-level (one identifier), {adjacency}",
        f"this release: ({cost.epsilon:.4g}, {cost.delta:.1g}), rho {float(cost.loss.rho):.4g}",
        f"all releases and rounds of {cost.period} so far: ({cost.spent:.4g}, {cost.delta:.1g}) of {cost.budget:.4g}",
        f"over all periods: ({cost.lifetime:.4g}, {cost.delta:.1g})",
        "a person may be in every release",
        f"at most {s.query.contributions} of a person's categories count, each once",
        s.noise,
        _AGAINST[s.mode],
        "mechanisms of OpenDP's `contrib`, not fully vetted",
        "half-widths are those of the noise at 95 %; sampling error comes on top",
    ]
    return "; ".join(facts)
