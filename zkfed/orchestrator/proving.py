"""Proofs of a device's rounds and registered rows, made in other processes through an `Executor`.

A proof is made from the update and, for S1, from rows in the clear, so whoever runs the executor reads
both: use processes of the device itself, or of whoever holds all data anyway, as in a simulation. A device
checks the proof that comes back before it seals with it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zkfed.commitments.rows import PrivateRows
from zkfed.encoding import Writer
from zkfed.errors import KeyRefused
from zkfed.groth16.keys import ProvingKey
from zkfed.layers.agreement import Agreement
from zkfed.layers.round_state import Proving, RoundState, encode_rows, encode_task
from zkfed.layers.transcript import Transcript
from zkfed.orchestrator.fan_out import answers
from zkfed.orchestrator.works import PROVE, REGISTER
from zkfed.policy import RoundPolicy
from zkfed.ports import Executor

__all__ = ["proving_in"]


def proving_in(executor: Executor, folder: str | Path) -> Proving:
    """Returns what has devices prove through an executor: `Options(proving=...)`, `open_provers(..., executor=...)`.

    Proving keys are large, so workers open them from files. Ctrl-C stops the wait, not a worker's proof.

    Args:
        executor: Its workers see every update and row in the clear.
        folder: A kit (`write_kit`), or any folder with statement.key and, for S1, registration.key, under
            this path on every worker. Whoever can write there can make workers prove under keys that leak.

    Raises:
        StoreFault: The keys cannot be read here.
        KeyRefused: They are no proving keys.
    """
    return _Elsewhere(executor, Path(folder).resolve()).proving


class _Elsewhere:
    def __init__(self, executor: Executor, folder: Path) -> None:
        self._executor, self._folder = executor, folder
        self._head: tuple[Agreement, bytes] | None = None
        self._statement = ProvingKey.load(self._path("statement")).verifying.digest

    @property
    def proving(self) -> Proving:
        return Proving(self.prove, self.register)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.key"

    def prove(self, agreement: Agreement, client: bytes, state: RoundState) -> bytes:
        if agreement.improvement.digest != self._statement:
            raise KeyRefused("the workers' statement.key is not the key of this agreement")
        w = Writer(PROVE).text(str(self._path("statement"))).bytes(self._statement)
        return self._ask("prove", w.bytes(self._head_of(agreement)).bytes(encode_task(client, state)).finish())

    def register(self, policy: RoundPolicy, client: bytes, rows: PrivateRows) -> bytes:
        w = Writer(REGISTER).text(str(self._path("registration"))).bytes(policy.encode()).bytes(client)
        return self._ask("register", w.list(encode_rows(rows)).finish())

    def _ask(self, work: str, payload: bytes) -> bytes:
        return answers(self._executor, work, [payload], 1)[0]

    def _head_of(self, agreement: Agreement) -> bytes:
        """Returns the agreement as bytes, the same in all rounds, so that a worker reads it once."""
        if self._head is None or self._head[0] is not agreement:
            self._head = agreement, Transcript(agreement, np.zeros(agreement.policy.model.shape, np.int64)).head
        return self._head[1]
