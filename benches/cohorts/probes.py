"""What a careless caller does to a library, and what happens: `python -m benches.cohorts.probes LIBRARY PROBE FOLDER`.

A probe's outcome is a text and whether it is *harm*: nobody was told, and what was promised to the people in
the data is broken or was never limited. Both are computed from what the library did, never written down beforehand.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
CATEGORIES = ["a", "b"]
ROWS = [(f"p{i}", "a" if i < 70 else "b") for i in range(100)]
TRUTH = {"a": 70, "b": 30}
EPSILONS: dict[str, Any] = {
    "NaN": math.nan, "0": 0.0, "-1": -1.0, "infinite": math.inf, "True": True, 'the string "1"': "1",
}  # fmt: skip
TOO_MUCH = (0.6, 0.55)
"""Of a budget of 1.0; not equal, for an equal question may be answered from the store."""
LOOSE_DELTA, ONE_PERSON_LABELS = 0.05, 20_000
WAIT_S = 120


@dataclass(frozen=True)
class Outcome:
    text: str
    is_harm: bool = False


def tried(ask: Callable[[], Any]) -> tuple[Any, str]:
    """Returns (value, ""), or (None, the name of what was raised)."""
    try:
        return ask(), ""
    except Exception as error:  # noqa: BLE001 - whatever a library raises is its answer
        return None, type(error).__name__


def error_of(found: dict[str, float]) -> float:
    return max(abs(found[label] - true) for label, true in TRUTH.items())


def session(library: Any, folder: Path, budget: Any, rows: Any = None) -> Any:
    return library.Session(ROWS if rows is None else rows, CATEGORIES, budget, folder)


# -- one process -----------------------------------------------------------------------------------


def epsilon_of_no_use(library: Any, folder: Path, epsilon: Any) -> Outcome:
    """Without a budget where the library works without one: nothing else than the check of epsilon is in the way."""
    asked, _ = tried(lambda: session(library, folder, None))
    asked = asked or session(library, folder, 10.0)
    found, raised = tried(lambda: asked.histogram(epsilon))
    if raised:
        return Outcome(f"refused ({raised})")
    if epsilon is True:
        return Outcome("taken as 1")
    errors = [error_of(found)]
    for _ in range(9):
        again, raised = tried(lambda: asked.histogram(epsilon))
        errors += [] if raised else [error_of(again)]
    return Outcome("answered without noise" if max(errors) == 0 else f"answered, noise up to {max(errors):.0f}", True)


def outside_the_list(library: Any, folder: Path) -> Outcome:
    asked = session(library, folder, 10.0, [*ROWS, *((f"z{i}", "something else") for i in range(100))])
    found, raised = tried(lambda: asked.histogram(1.0))
    if raised:
        return Outcome(f"refused ({raised})")
    leaks = set(found) != set(CATEGORIES) or error_of(found) > 50
    return Outcome("counted or shown" if leaks else "dropped", leaks)


def thousand_rows(library: Any, folder: Path) -> Outcome:
    asked = session(library, folder, 10.0, [*ROWS, *[("p0", "b")] * 1000])
    found, raised = tried(lambda: asked.histogram(1.0))
    if raised:
        return Outcome(f"refused ({raised})")
    is_many = found["b"] > TRUTH["b"] + 500
    return Outcome(f"counts {found['b'] - TRUTH['b']:.0f} times" if is_many else "counts once at most", is_many)


def two_names(library: Any, folder: Path) -> Outcome:
    """One person, who is p0 and also 99 others: no library can know."""
    asked = session(library, folder, 10.0, [*ROWS, *((f"p0 again {i}", "b") for i in range(99))])
    found, raised = tried(lambda: asked.histogram(1.0))
    if raised:
        return Outcome(f"refused ({raised})")
    return Outcome("counts 99 times", True) if found["b"] > TRUTH["b"] + 50 else Outcome("counts once at most")


def outside_bounds(library: Any, folder: Path) -> Outcome:
    """Hours from 0 to 23: what is a million worth?"""
    found, raised = tried(lambda: library.outlier([12.0] * 100 + [1e6], 1.0, folder))
    if raised:
        return Outcome(f"refused ({raised})")
    return Outcome("counts in full", True) if found > 1e5 else Outcome("clamped")


def unlisted_labels(library: Any, folder: Path) -> Outcome:
    """A label that one person alone has may be shown with probability delta at most."""
    if library.unknown is None:
        return Outcome("no such question")
    rows = [(f"p{i}", f"only p{i}") for i in range(ONE_PERSON_LABELS)] + [(f"q{i}", "many") for i in range(200)]
    found, raised = tried(lambda: library.unknown(rows, 1.0, LOOSE_DELTA, folder))
    if raised:
        return Outcome(f"refused ({raised})")
    shown = sum(label.startswith("only") for label in found)
    # Three standard deviations above delta are chance in one run of a thousand.
    limit = ONE_PERSON_LABELS * LOOSE_DELTA + 3 * math.sqrt(ONE_PERSON_LABELS * LOOSE_DELTA)
    return Outcome(f"shown with probability {shown / ONE_PERSON_LABELS:.4f}", shown > limit)


def small_cohort(library: Any, folder: Path) -> Outcome:
    return spent(lambda: session(library, folder, 10.0, ROWS[68:71]).histogram(1.0))


def twice(library: Any, folder: Path) -> Outcome:
    asked, answers = session(library, folder, 2.0), []
    for _ in range(4):
        found, raised = tried(lambda: asked.histogram(1.0, is_new=False))
        answers += [] if raised else [found]
    if len(answers) == 4:
        is_stored = all(found == answers[0] for found in answers)
        return Outcome("the stored answer, charged once" if is_stored else "answered anew, not charged", not is_stored)
    return Outcome(f"{len(answers)} answered, then refused ({raised})")


def overrun(library: Any, folder: Path) -> Outcome:
    asked = session(library, folder, 1.0)
    return second_of([spent(lambda epsilon=epsilon: asked.histogram(epsilon)) for epsilon in TOO_MUCH])


def after_a_refusal(library: Any, folder: Path) -> Outcome:
    asked = session(library, folder, 1.0)
    for epsilon in TOO_MUCH:
        tried(lambda epsilon=epsilon: asked.histogram(epsilon))
    _, raised = tried(lambda: asked.histogram(0.1))
    return Outcome(f"refused ({raised})" if raised else "answered")


def tenths(library: Any, folder: Path) -> Outcome:
    asked = session(library, folder, 1.0)
    answered = sum(not tried(lambda: asked.histogram(0.1))[1] for _ in range(11))
    return Outcome(f"{answered} answered", answered > 10)


def copied(library: Any, folder: Path) -> Outcome:
    """Another object with the same people and the same budget, as after `data.copy()`."""
    ask = [spent(lambda e=e: session(library, folder, 1.0, list(ROWS)).histogram(e)) for e in TOO_MUCH]
    return second_of(ask)


def spent(ask: Callable[[], Any]) -> Outcome:
    _, raised = tried(ask)
    return Outcome(f"refused ({raised})" if raised else "answered")


def second_of(outcomes: list[Outcome]) -> Outcome:
    """Returns what became of two questions of which the budget has room for one."""
    texts = [outcome.text for outcome in outcomes]
    if texts.count("answered") == 2:
        return Outcome("both answered", True)
    return Outcome(next(text for text in texts if text != "answered") if "answered" in texts else f"both {texts[0]}")


# -- several processes -----------------------------------------------------------------------------


def spend(library: Any, folder: Path, epsilon: float) -> Outcome:
    """One process of several."""
    asked = session(library, folder, 1.0)
    if (folder / "wait").exists():
        (folder / f"ready-{os.getpid()}").touch()
        limit = time.monotonic() + WAIT_S
        while not (folder / "go").exists() and time.monotonic() < limit:
            time.sleep(0.001)
    return spent(lambda: asked.histogram(epsilon))


def restarted(library: Any, folder: Path) -> Outcome:
    return second_of([_result(_start(library, epsilon, folder)) for epsilon in TOO_MUCH])


def deleted(library: Any, folder: Path) -> Outcome:
    """Nothing of the first process is left: whoever can delete the files, and nobody keeps a checkpoint elsewhere."""
    outcomes = []
    for epsilon in TOO_MUCH:
        outcomes.append(_result(_start(library, epsilon, folder)))
        for path in folder.iterdir():
            path.unlink()
    return second_of(outcomes)


def together(library: Any, folder: Path) -> Outcome:
    (folder / "wait").touch()
    processes = [_start(library, epsilon, folder) for epsilon in TOO_MUCH]
    limit = time.monotonic() + WAIT_S
    while len(list(folder.glob("ready-*"))) < 2 and time.monotonic() < limit:
        time.sleep(0.01)
    (folder / "go").touch()
    return second_of([_result(process) for process in processes])


def _start(library: Any, epsilon: float, folder: Path) -> subprocess.Popen[str]:
    name = library.__name__.rpartition(".")[2]
    argv = [sys.executable, "-m", "benches.cohorts.probes", name, f"spend {epsilon}", str(folder)]
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _result(process: subprocess.Popen[str]) -> Outcome:
    out, error = process.communicate(timeout=2 * WAIT_S)
    if process.returncode:
        raise RuntimeError(error[-500:])
    return Outcome(**json.loads(out.splitlines()[-1]))


PROBES: dict[str, tuple[str, Callable[[Any, Path], Outcome]]] = {
    **{
        f"epsilon {name}": (f"epsilon is {name}", lambda library, folder, e=e: epsilon_of_no_use(library, folder, e))
        for name, e in EPSILONS.items()
    },
    "outside the list": ("a category outside the list", outside_the_list),
    "thousand rows": ("one person with 1,000 rows", thousand_rows),
    "outside bounds": ("a number of 1,000,000 where 23 is the largest", outside_bounds),
    "unlisted labels": (f"unlisted labels at delta {LOOSE_DELTA}: one person's own label", unlisted_labels),
    "small cohort": ("a cohort of three people", small_cohort),
    "twice": ("the same question four times, budget for two", twice),
    "overrun": ("0.6 of a budget of 1.0, then 0.55", overrun),
    "after a refusal": ("then an honest 0.1", after_a_refusal),
    "tenths": ("0.1 of a budget of 1.0, eleven times", tenths),
    "copied": ("0.6 of 1.0, then 0.55 of a copy of the data", copied),
    "restarted": ("0.6 of 1.0, then 0.55 after a restart", restarted),
    "together": ("0.6 and 0.55 of 1.0, in two processes at once", together),
    "deleted": ("0.6 of 1.0, then 0.55 after all files were deleted", deleted),
    "two names": ("one person under 100 names", two_names),
}
"""Title and program of each."""


def main(library: str, probe: str, folder: str) -> None:
    module = importlib.import_module(f"benches.cohorts.{library}")
    kind, _, epsilon = probe.partition(" ")
    outcome = spend(module, Path(folder), float(epsilon)) if kind == "spend" else PROBES[probe][1](module, Path(folder))
    print(json.dumps({"text": outcome.text, "is_harm": outcome.is_harm}))


if __name__ == "__main__":
    main(*sys.argv[1:])
