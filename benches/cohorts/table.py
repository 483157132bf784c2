"""Writes the result: the part of docs/benchmarks.md between the markers."""

from __future__ import annotations

from typing import Any

from benches.cohorts.measure import CASES
from benches.cohorts.probes import PROBES

__all__ = ["between_markers", "harms", "section"]

BEGIN, END = "<!-- statistics:begin -->", "<!-- statistics:end -->"
TITLE = "## Statistics beside other libraries"
Row = dict[str, Any]

METHOD = """\
Each library in an interpreter of its own, in turn, with the same rows in memory as a Python list of (person, label);
the code of each is in benches/cohorts/library_*.py, written as its documentation says. Epsilon is 1 for one release:
Laplace pure, Gaussian at (1, 1e-6). **Error**: |answer - truth| in people over all bins of six releases, its 95 %
quantile and its mean. **Time**: median of five, from the rows to the answer; zkfed's has the ledger in it, checked,
charged and stored durably, while the others keep nothing. diffprivlib and OpenDP's Context do not know whose a row is:
the caller has bounded the rows of each person and said so (for diffprivlib by dividing epsilon), as it is here."""

CARELESS = """\
What each lets a careless caller do. Every cell is the outcome of a program that was run (benches/cohorts/probes.py).
**Bold**: nobody was told, and what was promised to the people in the data is broken, or was never limited. That is no
verdict on a library: the others are mechanisms for a caller who keeps the books, and none says that its budget outlives
its process. OpenDP's Context is the one over rows; its Polars side can truncate by person. PipelineDP splits a budget
over questions that are all asked before the first answer: its accountant refuses a later one, whatever is left."""


def _name(library: str, versions: dict[str, str]) -> str:
    names = {"zkfed": "zkfed", "opendp": "OpenDP Context", "diffprivlib": "diffprivlib", "pipelinedp": "PipelineDP"}
    return f"{names[library]} {versions[library]}".strip()


def section(result: dict[str, Any], about: str) -> str:
    """Returns the text between the markers.

    Args:
        result: See `benches.cohorts.__main__`.
        about: The machine, the date and what was measured.
    """
    versions = result["versions"]
    lines = [about, "", METHOD]
    for key, case in CASES.items():
        lines += [
            "",
            f"*{case.title}:*",
            "",
            "| | noise | error, 95 % | error, mean | seconds |",
            "|---|---|--:|--:|--:|",
        ]
        for row in (r for r in result["measured"] if r["case"] == key):
            error = f"{row['error_95']:.1f} | {row['error_mean']:.2f}"
            lines.append(f"| {_name(row['library'], versions)} | {row['noise']} | {error} | {row['seconds']:.2f} |")
    lines += ["", CARELESS, "", "| | " + " | ".join(_name(x, versions) for x in versions) + " |"]
    lines.append("|---" * (len(versions) + 1) + "|")
    cells = {(r["probe"], r["library"]): r for r in result["probes"]}
    for probe, (title, _) in PROBES.items():
        lines.append(f"| {title} | " + " | ".join(_cell(cells.get((probe, x))) for x in versions) + " |")
    lines += ["", *(f"- {name}: absent, {why}" for name, why in result["absent"].items())]
    return "\n".join(lines).rstrip() + "\n"


def _cell(row: Row | None) -> str:
    if row is None:
        return "-"
    return f"**{row['text']}**" if row["is_harm"] else row["text"]


def harms(result: dict[str, Any], library: str) -> list[str]:
    """Returns the probes that did harm in a library."""
    return [r["probe"] for r in result["probes"] if r["library"] == library and r["is_harm"]]


def between_markers(document: str, text: str) -> str:
    """Returns the document with the text between the markers; adds them at the end if they are missing."""
    if BEGIN not in document:
        document = document.rstrip() + f"\n\n{TITLE}\n\n{BEGIN}\n{END}\n"
    head, _, rest = document.partition(BEGIN)
    return f"{head}{BEGIN}\n{text}{END}{rest.partition(END)[2]}"
