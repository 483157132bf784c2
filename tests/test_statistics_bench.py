"""Shows that the bench of statistics libraries measures what it says: its probes find harm, and its tables repeat them.

The probes of zkfed and some of OpenDP run here; `make bench-statistics` runs all of all libraries.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benches.cohorts import library_opendp, library_zkfed
from benches.cohorts.install import LIBRARIES
from benches.cohorts.measure import CASES, Case, measure, rows_of
from benches.cohorts.probes import PROBES
from benches.cohorts.table import BEGIN, END, between_markers, harms, section

NOT_PREVENTED = {"deleted", "two names"}
"""Files that are gone without a checkpoint kept elsewhere, and people with many names: docs/cohorts.md says so."""


@pytest.mark.parametrize("probe", PROBES)
def test_a_careless_caller_of_zkfed_does_no_harm_but_what_the_docs_name(probe: str, tmp_path: Path) -> None:
    outcome = PROBES[probe][1](library_zkfed, tmp_path)
    assert outcome.is_harm == (probe in NOT_PREVENTED), outcome.text


def test_a_deleted_ledger_is_noticed_with_a_checkpoint(tmp_path: Path) -> None:
    from zkfed.errors import LedgerCorrupt
    from zkfed.orchestrator.cohort import Cohort, CohortOptions

    session = library_zkfed.Session([(f"p{i}", "a") for i in range(30)], ["a", "b"], 1.0, tmp_path)
    session.histogram(0.6)
    checkpoint = session.cohort.ledger.checkpoint()
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(LedgerCorrupt):
        Cohort(
            tmp_path / "ledger.db", epsilon_per_person=1.0, delta=1e-6, period="lifetime",
            options=CohortOptions(checkpoint=checkpoint),
        )  # fmt: skip


@pytest.mark.parametrize("probe", ["thousand rows", "copied", "outside bounds"])
def test_the_probes_notice_harm(probe: str, tmp_path: Path) -> None:
    assert PROBES[probe][1](library_opendp, tmp_path).is_harm


@pytest.mark.parametrize("noise", ["laplace", "gaussian"])
@pytest.mark.parametrize("library", [library_zkfed, library_opendp], ids=lambda x: x.NAME)
def test_every_library_counts_the_same_rows(library: Any, noise: str, tmp_path: Path) -> None:
    case = Case("small", people=300, categories=20, rows_each=2)
    rows, categories = rows_of(case)
    assert len(set(rows)) == len(rows) == 600
    assert len(categories) == 20
    row = measure(library, case, noise, tmp_path)
    # At epsilon 1 the largest of these noises has a standard deviation of 10.
    assert 0 < row["error_mean"] < 40
    assert row["errors"] == 6 * 20


def test_the_other_libraries_are_pinned_and_their_drivers_compile() -> None:
    folder = Path(library_zkfed.__file__).parent
    for name in LIBRARIES:
        source = folder / f"library_{name}.py"
        compile(source.read_text("utf-8"), str(source), "exec")
    for path in folder.glob("requirements-*.txt"):
        assert all("==" in line for line in path.read_text("utf-8").splitlines() if not line.startswith("#"))


def result() -> dict[str, Any]:
    row = {"library": "zkfed", "case": "flat", "noise": "laplace", "error_95": 3.0, "error_mean": 0.87, "seconds": 0.5}
    return {
        "versions": {"zkfed": "", "opendp": "0.16.0"},
        "absent": {"diffprivlib": "no wheel"},
        "measured": [row],
        "probes": [
            {"library": "zkfed", "probe": "overrun", "text": "refused (BudgetExceeded)", "is_harm": False},
            {"library": "opendp", "probe": "overrun", "text": "both answered", "is_harm": True},
        ],
    }


def test_the_table_says_what_was_found_and_what_is_absent() -> None:
    text = section(result(), "Measured somewhere.")
    assert "| zkfed | laplace | 3.0 | 0.87 | 0.50 |" in text
    assert f"| {PROBES['overrun'][0]} | refused (BudgetExceeded) | **both answered** |" in text
    assert "- diffprivlib: absent, no wheel" in text
    assert harms(result(), "opendp") == ["overrun"]
    assert harms(result(), "zkfed") == []
    document = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert between_markers(document, "new\n") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert between_markers("# Title\n", "new\n").count(BEGIN) == 1
    assert set(CASES) == {"flat", "week"}


def test_a_probe_is_a_program_that_prints_its_outcome(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "benches.cohorts.probes", "library_zkfed", "epsilon NaN", str(tmp_path)]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(argv, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == '{"text": "refused (ValueError)", "is_harm": false}\n', done.stderr
