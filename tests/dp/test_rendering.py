"""Statistics and plans read well as text, HTML and pictures, and no label becomes markup."""

from __future__ import annotations

from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

from zkfed.dp.how import How
from zkfed.dp.loss import PrivacyLoss
from zkfed.dp.mechanism import CountNoise
from zkfed.dp.plan import Plan
from zkfed.dp.plots import plot_epsilon
from zkfed.dp.query import CohortQuery
from zkfed.dp.statistic import CohortStatistic, Cost, estimate
from zkfed.dp.what import What
from zkfed.dp.when import When

mpl.use("Agg")
DELTA = 1e-6
NOISE = CountNoise.calibrate("gaussian", 0.5, DELTA, 1)
COST = Cost(PrivacyLoss.gaussian(0.0066), 0.5, DELTA, 0.5, 0.7, 4.0, "2026-Q4")
HOW = How("method", ["<script>alert(1)</script>", "a & b"], half_width="5%")
WHEN = When("hour-of-week")


class Checked(HTMLParser):
    """Raises if tags do not match, and collects them."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(html: str) -> Checked:
    parser = Checked()
    parser.feed(html)
    assert parser.open == []
    return parser


def statistic(query: CohortQuery, counts: list[int], people: int = 700) -> CohortStatistic:
    found, outcome, answered = estimate(query, query.categories, np.array(counts), NOISE.half_width_of, people)
    return CohortStatistic(query, "central", people, found, outcome, COST, "discrete Gaussian", answered)


def plan(query: CohortQuery) -> Plan:
    return Plan.of(query, 2000, epsilons=(0.1, 0.5), budget=(Fraction(4), DELTA), noise="gaussian")


@pytest.mark.parametrize(
    ("query", "counts"),
    [(HOW, [500, 200]), (HOW, [30, 20]), (HOW, [1, 0]), (WHEN, list(range(168))), (What("i", ("x",)), [-7])],
    ids=["kept", "too noisy", "nothing", "many", "below zero"],
)
def test_a_statistic_as_html(query: CohortQuery, counts: list[int]) -> None:
    one = statistic(query, counts)
    html = one._repr_html_()
    assert checked(html).seen.isdisjoint({"script", "style", "img", "iframe"})
    assert "zero-out adjacency" in html
    assert "0.5 of 4 spent in 2026-Q4" in html
    assert ("too noisy" in html) == (one.outcome == "too noisy")
    assert "width:-" not in html


@pytest.mark.parametrize("query", [HOW, WHEN, What("<b>", ("x", "y"))], ids=["how", "when", "markup"])
def test_a_plan_as_html(query: CohortQuery) -> None:
    html = plan(query)._repr_html_()
    assert checked(html).seen.isdisjoint({"script", "b"})
    assert "nothing is spent by planning" in html


@pytest.mark.parametrize(
    "drawn",
    [
        lambda: statistic(HOW, [500, 200]).plot(truth={"a & b": 0.3}),
        lambda: statistic(WHEN, list(range(168))).plot(truth={"Mon 00h": 3.0}),
        lambda: statistic(HOW, [1, 0]).plot(),
        lambda: plan(HOW).plot(),
        lambda: plan(WHEN).plot(),
        lambda: plot_epsilon(PrivacyLoss.gaussian(0.001), DELTA),
    ],
)
def test_pictures_have_labelled_axes_with_units(drawn: Any, tmp_path: Path) -> None:
    import matplotlib.pyplot as plt

    axis = drawn()
    labels = axis.get_xlabel() + axis.get_ylabel()
    assert any(unit in labels for unit in ("people", "%", "points", "epsilon"))
    assert axis.get_title()
    axis.figure.savefig(tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 5000
    plt.close(axis.figure)


def test_the_comparison_with_gdp_is_the_closed_form() -> None:
    """dp-he.md 3.2: epsilon 0.1 a round is 1.18 after 100 rounds by GDP, 1.27 as charged."""
    axis = plot_epsilon(PrivacyLoss.gaussian(1 / (2 * 36.3047**2)), DELTA, releases=(100, 1000))
    lines = {line.get_label(): line.get_ydata() for line in axis.get_lines()}
    assert lines["continuous Gaussian, exact (GDP)"] == pytest.approx([1.178, 4.179], rel=2e-3)
    assert lines["charged (zCDP, delta 1e-06)"] == pytest.approx([1.268, 4.470], rel=2e-2)
