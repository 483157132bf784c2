"""Cohort statistics: a large histogram, the ledger's releases, and whether half-widths are what they say."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zkfed
from zkfed.adapters.memory import MemoryTransport
from zkfed.counts import CountBounds
from zkfed.dp.query import CohortQuery
from zkfed.dp.randomise import randomise
from zkfed.layers.bridge import check_release
from zkfed.orchestrator.cohort import Cohort, CohortOptions
from zkfed.orchestrator.counting import CountRelease, count_encrypted, count_policy
from zkfed.orchestrator.options import Options, make_keys

DELTA = 1e-6
CATEGORIES = [f"category {i}" for i in range(1000)]
PEOPLE = 100_000
METHODS = ["declarative", "imperative", "both"]
BUDGET = 1000.0
"""So large that the benches never meet it: refusals are measured elsewhere."""


def labels(people: int, categories: list[str]) -> list[str]:
    """Returns a category for each person: a third of them the first, the others drawn, none secret."""
    drawn = np.random.default_rng(6).integers(0, len(categories), people)
    drawn[: people // 3] = 0
    return [categories[i] for i in drawn]


def cohort(ledger: Path | None, noise: str = "gaussian") -> Cohort:
    options = CohortOptions(noise=noise, transport=MemoryTransport)
    return Cohort(ledger, epsilon_per_person=BUDGET, delta=DELTA, period="lifetime", options=options)


def test_histogram(benchmark: Any, tmp_path: Path) -> None:
    """1,000 categories over 100,000 people: from labels to the charged, noised and stored answer."""
    people, given = [f"person {i}" for i in range(PEOPLE)], labels(PEOPLE, CATEGORIES)
    query, numbers = zkfed.What("intent", CATEGORIES), itertools.count()

    def fresh() -> tuple[tuple[Cohort], dict[str, Any]]:
        return (cohort(tmp_path / f"{next(numbers)}.db"),), {}

    def ask(asked: Cohort) -> None:
        asked.ask(query, query.columns(people, given), epsilon=0.5)

    benchmark.pedantic(ask, setup=fresh, rounds=5, warmup_rounds=1)


def test_histogram_again(benchmark: Any, tmp_path: Path) -> None:
    """The same, of people whom the ledger knows already: what each further question costs."""
    people, given = [f"person {i}" for i in range(PEOPLE)], labels(PEOPLE, CATEGORIES)
    query, numbers, asked = zkfed.What("intent", CATEGORIES), itertools.count(), cohort(tmp_path / "ledger.db")
    benchmark.pedantic(
        lambda: asked.ask(query, query.columns(people, given), epsilon=0.5, again=next(numbers)),
        rounds=5, warmup_rounds=1,
    )  # fmt: skip


def test_thousand_releases(benchmark: Any, tmp_path: Path) -> None:
    """1,000 questions to 640 people, each charged, answered and stored with full durability."""
    query, numbers = zkfed.How("method", METHODS), itertools.count()
    reports = query.columns([f"person {i}" for i in range(640)], labels(640, METHODS))

    def fresh() -> tuple[tuple[Cohort], dict[str, Any]]:
        return (cohort(tmp_path / f"{next(numbers)}.db"),), {}

    def ask(asked: Cohort) -> None:
        for number in range(1000):
            asked.ask(query, reports, epsilon=0.05, again=number)

    benchmark.pedantic(ask, setup=fresh, rounds=3)


def test_encrypted_histogram(benchmark: Any) -> None:
    """1,000 bins from 1,000 devices: committed, proven, encrypted, checked in one batch, summed, opened, checked again.

    All parties and devices share this process. The stage in which devices prove, encrypt and sign ("seal") is
    not in `encrypted_histogram_s`; their commitments are.
    """
    bounds = CountBounds(coordinates=1000, each_max=1, total_min=0, total_max=1)
    policy = count_policy(bounds, bytes(32), people=1000, loss=(1.0, DELTA), min_clients=20)
    options = Options(keys=make_keys(policy))
    vectors = list(np.identity(1000, np.int64))
    releases = list[CountRelease]()

    def ask() -> None:
        releases.append(count_encrypted(policy, vectors, transport=MemoryTransport(), options=options))
        check_release(releases[-1].transcript)

    benchmark.pedantic(ask, rounds=1)
    (release,) = releases
    whole = benchmark.stats.stats.median
    benchmark.extra_info |= {
        "encrypted_histogram_s": whole - release.seconds["seal"],
        "encrypted_devices_seal_s": release.seconds["seal"],
        "encrypted_whole_s": whole,
        "encrypted_stages_s": release.seconds,
        "encrypted_people": release.people,
    }


WIDTHS: dict[str, tuple[str, str, CohortQuery, int, float, int]] = {
    "central Gaussian counts": ("central", "gaussian", zkfed.What("x", CATEGORIES[:500]), 2_000, 0.05, 40),
    "central Laplace counts": ("central", "laplace", zkfed.What("x", CATEGORIES[:500]), 2_000, 0.05, 40),
    "central Gaussian shares": ("central", "gaussian", zkfed.How("x", METHODS), 3_000, 0.2, 1_500),
    "central Laplace shares": ("central", "laplace", zkfed.How("x", METHODS), 3_000, 0.2, 1_000),
    "encrypted counts": ("encrypted", "", zkfed.What("x", CATEGORIES[:500]), 20, 0.05, 8),
    "local one-of-K counts": ("local", "", zkfed.What("x", CATEGORIES[:12]), 400, 2.0, 400),
    "local bits counts": ("local", "", zkfed.What("x", CATEGORIES[:48], contributions=2), 1_000, 4.0, 150),
}
"""Mode, noise, question, people, epsilon, releases: at least 3,000 errors each, which tells the quantile to 2 %."""


@pytest.mark.parametrize("name", WIDTHS)
def test_half_width(benchmark: Any, name: str) -> None:
    """The 95 % quantile of |estimate - truth| / half-width over many releases: 1 if the half-width is true."""
    mode, noise, query, people, epsilon, releases = WIDTHS[name]
    given = labels(people, list(query.categories))
    reports = query.columns([f"person {i}" for i in range(people)], given)
    counts = np.array([given.count(c) for c in query.categories], float)
    truth = counts / people if query.is_share else counts
    asked = cohort(None, noise or "gaussian")
    errors: list[float] = []

    def release() -> None:
        for number in range(releases):
            if mode == "local":
                found = asked.ask(query, randomise(query, reports, epsilon=epsilon))
            else:
                found = asked.ask(query, reports, epsilon=epsilon, mode=mode, again=number)
            # How many half-widths each estimate is away from the truth.
            errors.extend(abs(e.value - t) / e.half_width for e, t in zip(found.estimates, truth, strict=True))

    benchmark.pedantic(release, rounds=1)
    benchmark.extra_info["quantile_over_half_width"] = float(np.quantile(errors, 0.95))
    benchmark.extra_info["errors"] = len(errors)
