"""Federations and cohorts in one process, over the memory transport: the first thing to try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from zkfed.adapters.memory import MemoryTransport
from zkfed.dp.ledger import Ledger
from zkfed.orchestrator import cohort
from zkfed.orchestrator.client import Shard
from zkfed.orchestrator.cohort import CohortOptions
from zkfed.orchestrator.federation import Federation, Options
from zkfed.policy import RoundPolicy
from zkfed.ports import Transport

__all__ = ["Cohort", "LocalFederation"]


class LocalFederation(Federation):
    """`Federation` over a fresh `MemoryTransport`, unless another transport is given."""

    def __init__(
        self,
        policy: RoundPolicy,
        devices: int | Sequence[Shard] = 24,
        *,
        benchmark: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None,
        transport: Transport | None = None,
        options: Options | None = None,
    ) -> None:
        super().__init__(
            policy, devices, transport=transport or MemoryTransport(), benchmark=benchmark, options=options
        )


class Cohort(cohort.Cohort):
    """`zkfed.orchestrator.cohort.Cohort` with a fresh `MemoryTransport` for each encrypted question."""

    def __init__(
        self,
        ledger: str | Path | Ledger | None,
        *,
        epsilon_per_person: Any,
        delta: Any,
        period: str = "quarter",
        options: CohortOptions | None = None,
    ) -> None:
        options = options or CohortOptions()
        super().__init__(
            ledger, epsilon_per_person=epsilon_per_person, delta=delta, period=period,
            options=replace(options, transport=options.transport or MemoryTransport),
        )  # fmt: skip
