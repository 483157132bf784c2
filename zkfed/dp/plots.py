"""Pictures of statistics, plans and budgets (matplotlib, the extra `plot`): they return axes and show nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zkfed.dp.loss import PrivacyLoss
from zkfed.dp.plan import Asking, expected

if TYPE_CHECKING:
    from zkfed.dp.plan import Plan
    from zkfed.dp.statistic import CohortStatistic

__all__ = ["COLOURS", "plot_epsilon", "plot_plan", "plot_statistic"]

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#999999"
COLOURS = {"central": BLUE, "encrypted": ORANGE, "local": GREEN}
"""Okabe and Ito's palette: distinct for colour-blind readers; markers differ too."""
MARKERS = {"central": "o", "encrypted": "s", "local": "D"}
LABELS_MAX = 8


def plot_statistic(statistic: CohortStatistic, axis: Any = None, *, truth: Mapping[str, float] | None = None) -> Any:
    """Draws the estimates with their intervals, the largest on top.

    Args:
        statistic: To be drawn; at most 8 categories, or all of an ordered one (WHEN).
        axis: A matplotlib axis; None makes one.
        truth: What is known to be true, in the unit of the statistic, as grey bars.

    Returns:
        The axis.
    """
    axis = _axis(axis)
    factor, unit = (100, "share of those who answered (%)") if statistic.query.is_share else (1, "people")
    colour, marker = COLOURS[statistic.mode], MARKERS[statistic.mode]
    if statistic.query.dimension == "WHEN" and len(statistic.estimates) > LABELS_MAX:
        shown = list(statistic.estimates)
        places, values = np.arange(len(shown)), np.array([factor * e.value for e in shown])
        widths = np.array([factor * e.half_width for e in shown])
        axis.fill_between(places, values - widths, values + widths, color=colour, alpha=0.25, linewidth=0)
        axis.plot(places, values, color=colour, label=statistic.mode)
        if truth is not None:
            axis.plot(places, [factor * truth.get(e.label, 0) for e in shown], color=GREY, label="truth")
        step = max(len(shown) // 6, 1)
        axis.set_xticks(places[::step], [e.label for e in shown][::step], rotation=30, ha="right")
        axis.set(ylabel=unit, title=str(statistic.query))
        axis.legend()
        return axis
    shown = sorted(statistic.estimates, key=lambda e: e.value)[-LABELS_MAX:]
    places = np.arange(len(shown))
    if truth is not None:
        axis.barh(places, [factor * truth.get(e.label, 0) for e in shown], color=GREY, alpha=0.4, label="truth")
    axis.errorbar(
        [factor * e.value for e in shown], places, xerr=[factor * e.half_width for e in shown], fmt=marker,
        color=colour, capsize=3, label=f"{statistic.mode}, 95 %",
    )  # fmt: skip
    axis.set_yticks(places, [e.label for e in shown])
    axis.set(xlabel=unit, title=str(statistic.query))
    axis.legend()
    return axis


def plot_plan(plan: Plan, axis: Any = None) -> Any:
    """Draws the expected half-width over the size of the cohort, a line for each mode and epsilon."""
    axis = _axis(axis)
    factor, unit = (100, "half-width (percentage points)") if plan.query.is_share else (1, "half-width (people)")
    sizes = np.unique(np.geomspace(plan.query.k, max(100 * plan.people, 10**5), 60).astype(int))
    styles = ["-", "--", ":", "-."]
    seen: dict[str, int] = {}
    for row in plan.rows:
        style = styles[seen.setdefault(row.mode, 0) % len(styles)]
        seen[row.mode] += 1
        way = expected(plan.query, Asking(row.mode, row.loss.epsilon or row.epsilon, plan.delta, plan.noise))
        widths = [factor * way.half_width(int(n)) for n in sizes]
        axis.plot(sizes, widths, style, color=COLOURS[row.mode], label=f"{row.mode}, epsilon {row.epsilon:.2g}")
    if plan.query.half_width is not None:
        axis.axhline(factor * float(plan.query.half_width), color=RED, linewidth=1, label="promised")
    axis.axvline(plan.people, color=GREY, linewidth=1, linestyle="--", label=f"{plan.people} people")
    axis.set(xscale="log", yscale="log", xlabel="people in the cohort", ylabel=unit, title=f"error of {plan.query}")
    if plan.query.is_share:
        axis.set_ylim(top=100)  # beyond it a share says nothing
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.yaxis.set_major_formatter("{x:,g}")
    axis.legend(fontsize="small")
    axis.grid(alpha=0.3)
    return axis


def plot_epsilon(
    loss: PrivacyLoss, delta: float, *, releases: Sequence[int] = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
    axis: Any = None,
) -> Any:  # fmt: skip
    """Draws what equal releases or rounds add up to: by zCDP, as charged, and by adding epsilons.

    Args:
        loss: Of one of them.
        delta: At which epsilon is stated.
        releases: How many.
        axis: A matplotlib axis; None makes one.
    """
    axis = _axis(axis)
    single = loss.at(delta)
    charged = [loss.times(n).at(delta) for n in releases]
    axis.plot(releases, charged, "o-", color=BLUE, label=f"charged (zCDP, delta {delta:.0e})")
    axis.plot(releases, [n * single for n in releases], "--", color=ORANGE, label="epsilons added up, deltas too")
    mu = math.sqrt(2 * float(loss.rho))
    label = "continuous Gaussian, exact (GDP)"
    axis.plot(releases, [_gdp(mu * math.sqrt(n), delta) for n in releases], ":", color=GREEN, label=label)
    axis.set(
        xscale="log", yscale="log", xlabel="releases or rounds", ylabel="epsilon of one person",
        title=f"what epsilon {single:.2g} adds up to",
    )  # fmt: skip
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.yaxis.set_major_formatter("{x:,g}")
    axis.legend(fontsize="small")
    axis.grid(alpha=0.3)
    return axis


def _gdp(mu: float, delta: float) -> float:
    """Returns epsilon of mu-GDP at delta: a comparison, which nothing is charged by.

    delta(epsilon) = Phi(mu/2 - epsilon/mu) - e^epsilon Phi(-mu/2 - epsilon/mu)

    Source: Dong, Roth, Su 2022, Gaussian differential privacy, corollary 2.13.
    """
    from statistics import NormalDist

    phi = NormalDist().cdf
    low, high = 0.0, 1.0
    while phi(mu / 2 - high / mu) - math.exp(high) * phi(-mu / 2 - high / mu) > delta and high < 500:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        is_above = phi(mu / 2 - middle / mu) - math.exp(middle) * phi(-mu / 2 - middle / mu) > delta
        low, high = (middle, high) if is_above else (low, middle)
    return high


def _axis(axis: Any) -> Any:
    if axis is not None:
        return axis
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1]
