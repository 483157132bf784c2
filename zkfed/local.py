"""A federation in one process, over the memory transport: the first thing to try."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zkfed.adapters.memory import MemoryTransport
from zkfed.orchestrator.client import Shard
from zkfed.orchestrator.federation import Federation
from zkfed.policy import RoundPolicy

__all__ = ["LocalFederation"]


class LocalFederation(Federation):
    """`Federation` with a fresh `MemoryTransport`, unless another transport is given.

    Args:
        policy: What everybody agrees on.
        devices: How many, with synthetic rows; or one `Shard` each.
        options: The options of `Federation`: benchmark, make_client, keys, transport, workers.
    """

    def __init__(self, policy: RoundPolicy, devices: int | Sequence[Shard] = 24, **options: Any) -> None:
        options.setdefault("transport", MemoryTransport())
        super().__init__(policy, devices, **options)
