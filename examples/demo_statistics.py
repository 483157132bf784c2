"""The statistics demo: WHO, WHAT, HOW and WHEN about two cohorts, in three ways to trust, from one ledger each.

    python -m examples.demo_statistics --out build/statistics

Central: the host holds the reports. Encrypted: every device proves and encrypts its report, nobody sees one.
Local: every device randomises its own. Writes report.json, report.html, statistics.png and plan.png; then asks for
too much, repeats a question, and puts an old copy of the ledger back.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

import zkfed
from examples.screen import Screen, console
from examples.statistics_page import draw, draw_plan, write_page
from examples.studies import MODES, Study, made_up, real, truth_of
from zkfed.dp.plan import Plan
from zkfed.dp.randomise import randomise
from zkfed.dp.statistic import CohortStatistic
from zkfed.errors import BudgetExceeded, LedgerCorrupt
from zkfed.orchestrator.cohort import CohortOptions

DELTA = 1e-6
EPSILON = {"central": 0.5, "encrypted": 1.5, "local": 2.0}
"""Of one question. Local answers carry the noise of every person: they need more for less."""
BUDGET = {"central": 4.0, "encrypted": 4.0, "local": 10.0}


@dataclass(frozen=True)
class Preset:
    """How large a run is."""

    people: int
    encrypted: int
    survey: int | None


PRESETS = {"standard": Preset(2000, 200, None), "small": Preset(300, 40, 300)}


@dataclass(frozen=True)
class Answered:
    """One statistic beside what is true."""

    study: Study
    statistic: CohortStatistic
    truth: dict[str, float]

    def row(self) -> dict[str, Any]:
        """Returns the statistic for report.json; its headline is the largest category."""
        one = max(self.statistic.estimates, key=lambda e: e.value, default=None)
        label = max(self.truth, key=lambda x: self.truth[x]) if one is None else one.label
        return self.statistic.to_dict() | {
            "dataset": self.study.name,
            "label": label,
            "estimate": None if one is None else one.value,
            "half_width": None if one is None else one.half_width,
            "truth": self.truth.get(label, 0.0),
            "truths": self.truth,
        }

    def covered(self) -> tuple[int, int]:
        """Returns how many of the intervals hold the truth, and how many there are."""
        inside = [abs(e.value - self.truth.get(e.label, 0.0)) <= e.half_width for e in self.statistic.estimates]
        return sum(inside), len(inside)


def main(arguments: list[str] | None = None) -> int:
    """Runs the demo and returns an exit code."""
    parser = argparse.ArgumentParser(description="Cohort statistics in three modes, with a ledger.")
    parser.add_argument("--preset", choices=PRESETS, default="standard")
    parser.add_argument("--out", type=Path, default=Path("build/statistics"))
    chosen = parser.parse_args(arguments)
    preset, out, start = PRESETS[chosen.preset], chosen.out, time.perf_counter()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with Screen() as screen:
        studies = [made_up(preset.people), real(preset.survey)]
        for study in studies:
            screen.say(f"{study.name}: {study.note}")
        answers = [a for study in studies for a in _ask_all(study, preset, out, screen)]
    _print(answers)
    plan, refusals = _show_ledger(studies[0], out)
    inside, total = (sum(x) for x in zip(*(a.covered() for a in answers), strict=True))
    coverage = f"{inside} of {total} released intervals hold the truth (95 % are meant to)"
    console.print(coverage)
    draw(answers, out / "statistics.png")
    draw_plan(plan, answers[2].statistic.cost.loss, DELTA, out / "plan.png")
    report = {
        "preset": chosen.preset, "delta": DELTA, "statistics": [a.row() for a in answers], "coverage": [inside, total],
        "plan": plan.to_dict(), "refusals": refusals, "studies": {s.name: s.note for s in studies},
        "seconds": time.perf_counter() - start,
    }  # fmt: skip
    (out / "report.json").write_text(json.dumps(report, indent=1), "utf-8")
    write_page(answers, plan, [coverage, *refusals], out)
    console.print(f"wrote report.json, report.html, statistics.png and plan.png to {out} in {report['seconds']:.0f} s")
    return 0


def _ask_all(study: Study, preset: Preset, out: Path, screen: Screen) -> list[Answered]:
    """Asks the four questions in the three modes; every mode has a cohort, and a ledger, of its own."""
    answers = []
    for mode in MODES:
        ledger = out / f"{study.name.replace(' ', '-')}-{mode}.db"
        options = CohortOptions(watch=screen.show)
        cohort = zkfed.Cohort(ledger, epsilon_per_person=BUDGET[mode], delta=DELTA, options=options)
        for number, (query, _) in enumerate(study.questions):
            rows = study.reports(number, preset.encrypted if mode == "encrypted" else None)
            start = time.perf_counter()
            if mode == "local":
                # What each device does with its own answer; here all of them one after the other.
                answer = cohort.ask(query, randomise(query, rows, epsilon=EPSILON[mode]))
            else:
                answer = cohort.ask(query, rows, epsilon=EPSILON[mode], mode=mode)
            screen.say(f"  {mode:<9} {query}: {len(answer.estimates)} numbers in {time.perf_counter() - start:.1f} s")
            answers.append(Answered(study, answer, truth_of(query, rows)))
    return answers


def _print(answers: list[Answered]) -> None:
    table = Table(title="the largest category of every question, beside the truth", title_justify="left")
    for name, side in (
        ("data", "left"), ("question", "left"), ("mode", "left"), ("people", "right"), ("category", "left"),
        ("estimate", "right"), ("± 95 %", "right"), ("truth", "right"), ("epsilon", "right"), ("left", "right"),
    ):  # fmt: skip
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for answered in answers:
        row = answered.row()
        factor, unit = (100, " %") if row["unit"] == "share" else (1, "")
        shown = ["-" if row[x] is None else f"{factor * row[x]:.0f}{unit}" for x in ("estimate", "half_width", "truth")]
        mark = "" if row["outcome"] == "released" else f"  ({row['outcome']})"
        table.add_row(
            row["dataset"], f"{row['dimension']} {row['query']}", row["mode"], str(row["people"]), row["label"] + mark,
            *shown, f"{row['epsilon']:.2g}", f"{row['remaining']:.2g}",
        )  # fmt: skip
    console.print(table)
    console.print(answers[2].statistic.guarantee, style="dim", highlight=False)


def _show_ledger(study: Study, out: Path) -> tuple[Plan, list[str]]:
    """Plans, overdraws, repeats, and puts an old ledger back; returns the plan and what was said."""
    path, query = out / "community.db", study.questions[2][0]
    rows, said = study.reports(2), []
    cohort = zkfed.Cohort(path, epsilon_per_person=1.0, delta=DELTA)
    plan = cohort.plan(query, people=len(rows))
    console.print(str(plan), highlight=False)
    cohort.ask(query, rows, epsilon=0.5)
    cohort.ledger.close()
    shutil.copy(path, out / "old-copy.db")
    cohort = zkfed.Cohort(path, epsilon_per_person=1.0, delta=DELTA)
    again = cohort.ask(query, rows, epsilon=0.5)
    said.append(f"asked again: {again}")
    try:
        cohort.ask(query, rows, epsilon=0.95, again=1)
    except BudgetExceeded as error:
        said.append(f"asked for too much: refused ({error.code}): {error}")
    cohort.ask(query, rows, epsilon=0.5, again=1)
    checkpoint = cohort.ledger.checkpoint()
    cohort.ledger.close()
    shutil.copy(out / "old-copy.db", path)
    try:
        zkfed.Cohort(path, epsilon_per_person=1.0, delta=DELTA, options=CohortOptions(checkpoint=checkpoint))
    except LedgerCorrupt as error:
        said.append(f"put an old copy of the ledger back: refused ({error.code}): {error}")
    for line in said:
        console.print(line, highlight=False)
    return plan, said


if __name__ == "__main__":
    sys.exit(main())
