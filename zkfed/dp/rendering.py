"""Statistics and plans as HTML, for notebooks and pages: tables with bars, no script, every label escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zkfed.dp.plan import Plan
    from zkfed.dp.statistic import CohortStatistic

__all__ = ["plan_html", "statistic_html"]

ROWS_MAX = 24
_TABLE = "border-collapse:collapse;font-variant-numeric:tabular-nums"
_CELL = "padding:.15em .7em;text-align:right"
_NAME = "padding:.15em .7em;text-align:left"
_BAR = "width:14em;padding:.15em .7em"


def statistic_html(statistic: CohortStatistic) -> str:
    """Returns a statistic as a table: estimate, interval, bar; the cost and the guarantee below."""
    s, scale = statistic, statistic.people if not statistic.query.is_share else 1.0
    shown = sorted(s.estimates, key=lambda e: -e.value)[:ROWS_MAX]
    rows = "".join(
        f'<tr><td style="{_NAME}">{escape(e.label)}</td><td style="{_CELL}">{_number(s, e.value)}</td>'
        f'<td style="{_CELL}">&plusmn; {_number(s, e.half_width)}</td>'
        f'<td style="{_BAR}">{_bar(e.value / scale, e.half_width / scale)}</td></tr>'
        for e in shown
    )
    left_out = len(s.estimates) - len(shown)
    more = f"<p>{left_out} more are left out here; see <code>estimates</code>.</p>" if left_out else ""
    unit = "share of those who answered" if s.query.is_share else f"people, of {s.people}"
    head = (
        f'<thead><tr><th style="{_NAME}">category</th><th style="{_CELL}">{unit}</th>'
        f'<th style="{_CELL}">95 %</th><th></th></tr></thead>'
    )
    table = f'<table style="{_TABLE}">{head}<tbody>{rows}</tbody></table>' if rows else "<p>Nothing is shown.</p>"
    cost = s.cost
    return (
        f'<section class="zkfed-statistic"><h4>{escape(str(s.query))} '
        f"<small>({escape(s.mode)}{', stored answer' if s.is_stored else ''})</small></h4>{_outcome(s)}{table}{more}"
        f"<p>epsilon {cost.epsilon:.3g} at delta {cost.delta:.1g}; {cost.spent:.3g} of {cost.budget:.3g} spent in "
        f"{escape(cost.period)}, {cost.remaining:.3g} left.</p>"
        f"<details><summary>guarantee</summary><p>{escape(s.guarantee)}</p></details></section>"
    )


def plan_html(plan: Plan) -> str:
    """Returns a plan as a table."""
    names = ("mode", "epsilon", f"&plusmn; 95 % ({plan.unit})", "shown from", "people needed", "such questions")
    head = "".join(f'<th style="{_CELL}">{name}</th>' for name in names)
    factor = 100 if plan.query.is_share else 1
    rows = "".join(
        f'<tr><td style="{_NAME}">{row.mode}</td><td style="{_CELL}">{row.epsilon:.3g}</td>'
        f'<td style="{_CELL}">{row.half_width * factor:.3g}</td>'
        f'<td style="{_CELL}">{"-" if row.shown_from is None else row.shown_from}</td>'
        f'<td style="{_CELL}">{"none is enough" if row.people_min is None else row.people_min}</td>'
        f'<td style="{_CELL}">{row.releases}</td></tr>'
        for row in plan.rows
    )
    return (
        f'<section class="zkfed-plan"><h4>{escape(str(plan.query))} <small>(plan for {plan.people} people)</small></h4>'
        f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        f"<p>Budget {plan.budget:.3g} a person at delta {plan.delta:.1g}; nothing is spent by planning.</p></section>"
    )


def _number(statistic: CohortStatistic, value: float) -> str:
    return f"{100 * value:.1f} %" if statistic.query.is_share else f"{value:.0f}"


def _outcome(statistic: CohortStatistic) -> str:
    if statistic.outcome == "released":
        return ""
    return f'<p><strong style="color:#D55E00">{escape(statistic.outcome)}</strong></p>'


def _bar(value: float, half_width: float) -> str:
    """Returns a bar with its interval, in percent of its cell; clamped to what is possible."""
    middle, low, high = (100 * min(max(x, 0.0), 1.0) for x in (value, value - half_width, value + half_width))
    return (
        '<div style="position:relative;height:.9em;background:#8882">'
        f'<div style="position:absolute;left:0;width:{middle:.1f}%;height:100%;background:#56B4E9"></div>'
        f'<div style="position:absolute;left:{low:.1f}%;width:{max(high - low, 0.5):.1f}%;top:35%;height:30%;'
        'background:#0072B2"></div></div>'
    )
