"""A federation about registered rows (S1) taken apart: `parties.Cohort` with a registry and a beacon.

Honest devices must never sit out, or tests would fail by the chance of a draw. So every device has
one row of each class, many times, and a step towards a model that fits all three exactly: it takes
the same share off every row's residual, whatever rows are drawn.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.layers.parties import Cohort, Opened
from zkfed.commitments.rows import PrivateRows
from zkfed.groth16.keys import ProvingKey
from zkfed.groth16.prove import Prover
from zkfed.layers.agreement import Agreement
from zkfed.layers.heart import Device, register_rows
from zkfed.layers.holder import KeyHolder
from zkfed.layers.polis import Adder
from zkfed.layers.registry import Registry, registration_terms
from zkfed.layers.transcript import Transcript
from zkfed.orchestrator.client import Shard
from zkfed.orchestrator.options import make_keys
from zkfed.policy import Improvement, LinearModel, Registration, RoundPolicy
from zkfed.statements.improvement import Benchmark
from zkfed.statements.terms import circuit_of
from zkfed.statements.update_bound import noise_circuit
from zkfed.updates.signing import SigningKey
from zkfed.updates.update import ModelUpdate

MODEL = LinearModel(features=3, classes=3)
DRAWN, REGISTERED = 4, 16


def own_shards(devices: int) -> list[Shard]:
    """Returns shards whose rows are registered and trained on; each device has them at another scale."""
    labels = np.arange(REGISTERED) % MODEL.classes
    return [Shard(np.eye(MODEL.features)[labels] * (0.95 - 0.05 * i), labels) for i in range(devices)]


def interpolating(model: LinearModel, base: Any, shard: Shard, _: int) -> Any:
    """Returns the model next to the base model that fits the shard's rows exactly."""
    rows = Benchmark.of(model, shard.features, shard.labels)
    x, t = rows.features / 127.0, rows.targets / (127.0 * (1 << model.fraction_bits))
    return base + np.linalg.pinv(x) @ (t - x @ base)


def own_policy(**changes: Any) -> RoundPolicy:
    """Returns a small policy whose statement is S1, and that pins nobody yet."""
    statement = Improvement(MODEL, DRAWN, at_least="1%", registration=Registration(REGISTERED, class_rows_max=14))
    values = {"clip_norm": 1.0, "epsilon": 2.0, "delta": 1e-6, "min_clients": 2, "epsilon_max": 100.0, **changes}
    return RoundPolicy(statement=statement, **values)


@functools.cache
def own_keys() -> tuple[ProvingKey, ...]:
    """Returns development keys of S1, N and the registration, made once a process."""
    return make_keys(own_policy())


@functools.cache
def own_provers() -> tuple[Prover, Prover, Prover]:
    statement, noise, registration = own_keys()
    policy = own_policy().pinned(adder_key=bytes(32), holder_key=b"k" * 32)
    return (
        Prover(statement, circuit_of(policy.statement)),
        Prover(noise, noise_circuit(MODEL.parameters)),
        Prover(registration, registration_terms(policy).circuit()),
    )


class OwnCohort(Cohort):
    """All parties of a federation about registered rows, with all their keys and rows.

    Attributes:
        rows: What each device registered, None for a device that did not.
        reveals: The openings of this round's beacon.
    """

    def __init__(
        self,
        policy: RoundPolicy | None = None,
        devices: int = 3,
        *,
        kinds: Sequence[type[Device]] = (),
        unregistered: Sequence[int] = (),
    ) -> None:
        policy = policy or own_policy()
        self.adder_key, self.holder_key = SigningKey.generate(), SigningKey.generate()
        self.policy = policy.pinned(adder_key=self.adder_key.public, holder_key=self.holder_key.public)
        self.device_keys = sorted((SigningKey.generate() for _ in range(devices)), key=lambda k: k.public)
        self.shards: list[Shard] = own_shards(devices)
        self.rows: list[PrivateRows | None] = [None] * devices
        self.registry = self.new_registry()
        for index in range(devices):
            if index not in unregistered:
                self.registry.receive(self.register(index))
        self.registry.close()
        statement, noise, _ = own_provers()
        self.agreement = Agreement(
            self.policy, Benchmark.none(policy.model), tuple(k.public for k in self.device_keys),
            statement.key.verifying, noise.key.verifying, self.registry,
        )  # fmt: skip
        self.base = np.zeros(policy.model.shape, np.int64)
        self.journal = None
        self.adder = Adder(self.agreement, self.adder_key, noise, base=self.base)
        self.holder = self.new_holder()
        self.devices = [
            (kinds[i] if i < len(kinds) else Device)(self.agreement, key, statement, rows=self.rows[i])
            for i, key in enumerate(self.device_keys)
            if self.rows[i] is not None
        ]
        self.transcript = Transcript(self.agreement, self.base)
        self.previous, self.round = bytes(32), 1
        self.first = b""
        self.commits: dict[bytes, bytes] = {}
        self.reveals: tuple[bytes, ...] = ()

    def update(self, index: int) -> ModelUpdate:
        scale = float(1 << MODEL.fraction_bits)
        return self.devices[index].quantise(
            self.base, interpolating(MODEL, self.base / scale, self.shards[index], self.round)
        )

    def new_holder(self) -> KeyHolder:
        return KeyHolder(self.agreement, self.holder_key, own_provers()[1], base=self.base)

    def new_registry(self) -> Registry:
        return Registry(self.policy, (k.public for k in self.device_keys), own_provers()[2].key.verifying)

    def quantised(self, index: int) -> PrivateRows:
        own = self.shards[index]
        return registration_terms(self.policy).quantise(own.features, own.labels, own_provers()[2].backend.curve.order)

    def register(self, index: int, rows: PrivateRows | None = None) -> bytes:
        """Returns a device's signed record of its rows, or of others."""
        self.rows[index] = rows or self.quantised(index)
        return register_rows(self.policy, self.device_keys[index], own_provers()[2], self.rows[index])

    # -- a round ------------------------------------------------------------------------------

    def committed(self) -> Opened:
        """Announces attempt 1 and collects everybody's commit; the beacon is still closed."""
        opened = self.announce()
        self.reveals = ()
        for index in range(len(self.devices)):
            self.send_commit(index, opened)
        return opened

    def open_beacon(self) -> tuple[bytes, ...]:
        """G and K open their nonces; nobody has looked at the rows yet."""
        first = self.adder.reveal()
        self.reveals = (first, self.holder.reveal(first, self.adder.commits))
        self.adder.accept_beacon(self.reveals[1])
        return self.reveals

    def start(self) -> Opened:
        opened = self.committed()
        self.open_beacon()
        for device in self.devices:
            device.accept_beacon(self.reveals)
        return opened
