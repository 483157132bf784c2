"""PipelineDP on its local backend: people are bounded by the library, partitions are public or selected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pipeline_dp

NAME, PACKAGE = "PipelineDP", "pipeline-dp"
NOISES = ("laplace", "gaussian")
Rows = Sequence[tuple[str, str]]


class Session:
    """One accountant: it splits its total over the questions that are asked before the first answer."""

    def __init__(self, rows: Rows, categories: Sequence[str], budget: Any, folder: Path) -> None:
        self.rows, self.categories, self.budget = rows, list(categories), budget
        self.started: tuple[Any, Any] | None = None

    def histogram(self, epsilon: Any, *, is_new: bool = True) -> dict[str, float]:
        self.started = self.started or engine(epsilon if self.budget is None else self.budget, 1e-6)
        return _counts(self.started, self.rows, self.categories, parameters())


def engine(epsilon: Any, delta: float) -> tuple[Any, Any]:
    accountant = pipeline_dp.NaiveBudgetAccountant(total_epsilon=epsilon, total_delta=delta)
    return accountant, pipeline_dp.DPEngine(accountant, pipeline_dp.LocalBackend())


def parameters(bound: int = 1, noise: str = "laplace") -> Any:
    return pipeline_dp.AggregateParams(
        noise_kind=getattr(pipeline_dp.NoiseKind, noise.upper()), metrics=[pipeline_dp.Metrics.PRIVACY_ID_COUNT],
        max_partitions_contributed=bound, max_contributions_per_partition=1,
    )  # fmt: skip


def _counts(started: tuple[Any, Any], rows: Rows, public: list[str] | None, asked: Any) -> dict[str, float]:
    accountant, begun = started
    extractors = pipeline_dp.DataExtractors(
        privacy_id_extractor=lambda row: row[0], partition_extractor=lambda row: row[1], value_extractor=lambda row: 0
    )
    found = begun.aggregate(rows, asked, extractors, public_partitions=public)
    accountant.compute_budgets()
    return {label: float(values.privacy_id_count) for label, values in found}


def unknown(rows: Rows, epsilon: float, delta: float, folder: Path) -> dict[str, float]:
    return _counts(engine(epsilon, delta), rows, None, parameters())


def outlier(values: Sequence[float], epsilon: float, folder: Path) -> float:
    accountant, begun = engine(epsilon, 1e-6)
    asked = pipeline_dp.AggregateParams(
        noise_kind=pipeline_dp.NoiseKind.LAPLACE, metrics=[pipeline_dp.Metrics.SUM], max_partitions_contributed=1,
        max_contributions_per_partition=1, min_value=0, max_value=23,
    )  # fmt: skip
    extractors = pipeline_dp.DataExtractors(
        privacy_id_extractor=lambda row: row[0], partition_extractor=lambda row: "all",
        value_extractor=lambda row: row[1],
    )  # fmt: skip
    found = begun.aggregate(list(enumerate(values)), asked, extractors, public_partitions=["all"])
    accountant.compute_budgets()
    return float(next(iter(found))[1].sum)


def count(rows: Rows, categories: Sequence[str], bound: int, noise: str, folder: Path) -> dict[str, float]:
    """At epsilon 1 and delta 1e-6: the library keeps at most `bound` categories of a person."""
    return _counts(engine(1.0, 1e-6), rows, list(categories), parameters(bound, noise))
