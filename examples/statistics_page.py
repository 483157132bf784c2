"""The pictures and the page of the statistics demo."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zkfed.dp.loss import PrivacyLoss
from zkfed.dp.plan import Plan
from zkfed.dp.plots import COLOURS, MARKERS, plot_epsilon

if TYPE_CHECKING:
    from examples.demo_statistics import Answered

__all__ = ["draw", "draw_plan", "write_page"]

GREY = "#999999"
ROWS = 8
STYLE = """
:root { color-scheme: light dark; } body { font: 15px/1.5 system-ui, sans-serif; max-width: 70em; margin: 2em auto;
padding: 0 1em; } img { max-width: 100%; background: #fff; } section { margin: 1em 0; } h4 { margin: .6em 0 .2em; }
.three { display: grid; grid-template-columns: repeat(auto-fit, minmax(22em, 1fr)); gap: 1em; } li { margin: .3em 0; }
.wide { overflow-x: auto; } .all { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.all td, .all th { padding: .15em .7em; text-align: left; border-bottom: 1px solid #8884; }
"""


def draw(answers: Sequence[Answered], path: Path) -> None:
    """Writes the picture of all statistics: a row for each study, a column for each question."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    studies = list(dict.fromkeys(a.study.name for a in answers))
    figure, axes = plt.subplots(len(studies), 4, figsize=(19, 5.2 * len(studies)), layout="constrained")
    for row, name in enumerate(studies):
        own = [a for a in answers if a.study.name == name]
        for column, dimension in enumerate(("WHO", "WHAT", "HOW", "WHEN")):
            _panel(axes[row][column], [a for a in own if a.statistic.query.dimension == dimension])
        axes[row][0].set_ylabel(f"{name}\n{axes[row][0].get_ylabel()}")
        place, title = ("upper", "lower")[row % 2], f"{name}: estimates in three modes with their 95 % intervals"
        marks = axes[row][0].get_legend_handles_labels()
        figure.legend(*marks, loc=f"outside {place} center", ncols=6, title=title, title_fontsize=13)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _panel(axis: Any, answers: Sequence[Answered]) -> None:
    """Draws one question: shares of people, so that cohorts of different sizes compare."""
    query = answers[0].statistic.query
    largest = max(answers, key=lambda a: a.statistic.people)
    whole = 1.0 if query.is_share else float(largest.statistic.people)
    labels = list(query.categories) or sorted(largest.truth, key=lambda x: -largest.truth[x])[:ROWS]
    truth = [100 * largest.truth.get(x, 0.0) / whole for x in labels]
    places = np.arange(len(labels))
    axis.bar(places, truth, color=GREY, alpha=0.4, label=f"truth, {largest.statistic.people} people")
    for shift, answered in enumerate(answers):
        one = answered.statistic
        size = 1.0 if query.is_share else float(one.people)
        found = {e.label: e for e in one.estimates}
        shown = [(p, found[x]) for p, x in zip(places, labels, strict=True) if x in found]
        axis.errorbar(
            [p + 0.22 * (shift - 1) for p, _ in shown], [100 * e.value / size for _, e in shown],
            yerr=[100 * e.half_width / size for _, e in shown], fmt=MARKERS[one.mode], color=COLOURS[one.mode],
            markersize=4, capsize=2, linewidth=1.2,
            label=f"{one.mode}, {one.people} people, epsilon {one.cost.epsilon:.1f}",
        )  # fmt: skip
        if one.people != largest.statistic.people:
            own = [100 * answered.truth.get(x, 0.0) / size for x in labels]
            ticks = places + 0.22 * (shift - 1)
            axis.hlines(own, ticks - 0.1, ticks + 0.1, color="black", linewidth=1, label=f"truth, these {one.people}")
        hidden = [p + 0.22 * (shift - 1) for p, x in zip(places, labels, strict=True) if x not in found]
        note = "not shown: below its threshold" if query.dimension == "WHO" and one.mode == "local" else None
        axis.scatter(hidden, [0.0] * len(hidden), marker="x", s=22, color=COLOURS[one.mode], zorder=3, label=note)
    step = max(len(labels) // 8, 1)
    axis.set_xticks(places[::step], labels[::step], rotation=35, ha="right", fontsize=9)
    axis.set_title(str(query))
    axis.set_ylim(min(-3.0, axis.get_ylim()[0]), None)
    axis.axhline(0, color="black", linewidth=0.6)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0f}")
    axis.set_ylabel("share of those who answered (%)" if query.is_share else "share of the cohort's people (%)")
    axis.grid(axis="y", alpha=0.3)


def draw_plan(plan: Plan, loss: PrivacyLoss, delta: float, path: Path) -> None:
    """Writes the picture of what asking costs: error over people, epsilon over releases."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(14, 5.5), layout="constrained")
    plan.plot(axes[0])
    plot_epsilon(loss, delta, axis=axes[1])
    figure.savefig(path, dpi=90)
    plt.close(figure)


def write_page(answers: Sequence[Answered], plan: Plan, said: Sequence[str], out: Path) -> None:
    """Writes report.html: everything in one file, no script."""
    parts = ["<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Cohort statistics</title>"]
    parts.append("<meta name='viewport' content='width=device-width, initial-scale=1'>")
    parts.append(f"<style>{STYLE}</style></head><body><h1>Cohort statistics</h1>")
    notes = dict.fromkeys(f"{a.study.name}: {a.study.note}." for a in answers)
    parts.append(f"<ul>{''.join(f'<li>{escape(n)}</li>' for n in notes)}</ul>")
    parts.append(
        f"<p><strong>{escape(said[0])}.</strong> Bars are estimates, the dark line on them is the interval: the "
        "noise alone, at 95 %. The encrypted mode asks fewer devices; its truth is that of those.</p>"
    )
    parts.append(
        f"{_image(out / 'statistics.png', 'estimates of three modes beside the truth')}"
        f"<h2>The largest category of every question</h2>{_summary(answers)}"
    )
    for name in dict.fromkeys(a.study.name for a in answers):
        parts.append(f"<h2>{escape(name)}</h2>")
        for dimension in ("WHO", "WHAT", "HOW", "WHEN"):
            own = [a for a in answers if (a.study.name, a.statistic.query.dimension) == (name, dimension)]
            cells = "".join(a.statistic._repr_html_() for a in own)
            parts.append(f"<h3>{escape(str(own[0].statistic.query))}</h3><div class='three'>{cells}</div>")
    parts.append(f"<h2>Before you ask</h2>{plan._repr_html_()}{_image(out / 'plan.png', 'error and cost')}")
    parts.append(f"<h2>The ledger</h2><ul>{''.join(f'<li>{escape(s)}</li>' for s in said[1:])}</ul></body></html>")
    (out / "report.html").write_text("\n".join(parts), "utf-8")


def _summary(answers: Sequence[Answered]) -> str:
    """Returns all statistics as one table, each beside what is true."""
    names = ("data", "question", "mode", "people", "category", "estimate", "&plusmn; 95 %", "truth", "epsilon", "left")
    rows = []
    for row in (a.row() for a in answers):
        factor, unit = (100, " %") if row["unit"] == "share" else (1, "")
        shown = ["-" if row[x] is None else f"{factor * row[x]:.0f}{unit}" for x in ("estimate", "half_width", "truth")]
        mark = "" if row["outcome"] == "released" else f" ({row['outcome']})"
        cells = (
            row["dataset"], f"{row['dimension']} {row['query']}", row["mode"], str(row["people"]), row["label"] + mark,
            *shown, f"{row['epsilon']:.2g}", f"{row['remaining']:.2g}",
        )  # fmt: skip
        rows.append("".join(f"<td>{escape(cell)}</td>" for cell in cells))
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<div class='wide'><table class='all'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _image(path: Path, text: str) -> str:
    return f"<img alt='{text}' src='data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}'>"
