"""Error at equal epsilon, and time, of one library: `python -m benches.cohorts.measure LIBRARY CASE NOISE FOLDER`.

Every library gets the same rows, as a list of (person, label). Time is from there to the answer; zkfed's
includes the checked, charged and durably stored entry in the ledger, the others keep nothing.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS = 5


@dataclass(frozen=True)
class Case:
    """A histogram.

    Attributes:
        title: For the table.
        people: n, of whom each is in `rows_each` categories.
        categories: K.
        rows_each: T, which is also the bound that every library is told.
    """

    title: str
    people: int
    categories: int
    rows_each: int


CASES = {
    "flat": Case("1,000 categories, 100,000 people, one each", 100_000, 1_000, 1),
    "week": Case("168 hours of the week, 10,000 people, eight each", 10_000, 168, 8),
}


def rows_of(case: Case) -> tuple[list[tuple[str, str]], list[str]]:
    """Returns rows that are the same in every run, and the categories."""
    categories = [f"c{i}" for i in range(case.categories)]
    # A run of neighbours from a drawn start: distinct categories of one person, as hours of use are.
    start = np.random.default_rng(6).integers(0, case.categories, case.people)
    rows = [
        (f"p{i}", categories[(s + j) % case.categories]) for i, s in enumerate(start.tolist())
        for j in range(case.rows_each)
    ]  # fmt: skip
    return rows, categories


def measure(library: Any, case: Case, noise: str, folder: Path) -> dict[str, Any]:
    rows, categories = rows_of(case)
    places = {label: i for i, label in enumerate(categories)}
    truth = np.bincount([places[label] for _, label in rows], minlength=case.categories)
    seconds, errors = list[float](), list[float]()
    for number in range(ROUNDS + 1):
        inside = folder / str(number)
        inside.mkdir()
        start = time.perf_counter()
        found = library.count(rows, categories, case.rows_each, noise, inside)
        if number:  # the first calibrates, imports and warms up
            seconds.append(time.perf_counter() - start)
        errors += [abs(found[label] - int(truth[i])) for label, i in places.items()]
    return {
        "seconds": float(np.median(seconds)),
        "error_mean": float(np.mean(errors)),
        "error_95": float(np.quantile(errors, 0.95)),
        "errors": len(errors),
    }


def main(library: str, case: str, noise: str, folder: str) -> None:
    module = importlib.import_module(f"benches.cohorts.{library}")
    print(json.dumps(measure(module, CASES[case], noise, Path(folder))))


if __name__ == "__main__":
    main(*sys.argv[1:])
