"""A federation in one process, over the memory transport: the first thing to try."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from zkfed.adapters.memory import MemoryTransport
from zkfed.orchestrator.client import Shard
from zkfed.orchestrator.federation import Federation, Options
from zkfed.policy import RoundPolicy
from zkfed.ports import Transport

__all__ = ["LocalFederation"]


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
