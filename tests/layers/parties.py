"""A federation taken apart, for tests: every party, every key, and each message by itself.

Nothing here stands in for a part of zkfed; it only calls the parties in order, so that a test can
change one message, or sign a false one with a key that the attacker is supposed to hold.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zkfed.groth16.keys import ProvingKey
from zkfed.groth16.prove import Prover
from zkfed.he.encrypt import encrypt
from zkfed.he.keys import PublicKey, SecretKey
from zkfed.he.sealing import SealingKey
from zkfed.layers.agreement import Agreement, Announced
from zkfed.layers.heart import Device
from zkfed.layers.holder import KeyHolder
from zkfed.layers.polis import Adder
from zkfed.layers.transcript import Attempt, RoundRecord, Transcript, apply_releases, released_sums
from zkfed.orchestrator.client import Shard, proximal_least_squares
from zkfed.orchestrator.federation import make_keys
from zkfed.orchestrator.synthetic import synthetic_cohort
from zkfed.policy import Improvement, LinearModel, RoundPolicy
from zkfed.statements.improvement import Benchmark, improvement_circuit
from zkfed.statements.update_bound import noise_circuit
from zkfed.updates.messages import Aggregate
from zkfed.updates.signing import Signed, SigningKey
from zkfed.updates.update import ModelUpdate

ROWS = 20
DEADLINE_S = 1000
NOW_S = 900
MEGABYTE = 1 << 20


def make_policy(classes: int = 3, **changes: Any) -> RoundPolicy:
    """Returns a small policy that pins nobody yet."""
    statement = Improvement(model=LinearModel(features=3, classes=classes), rows=ROWS, at_least="1%")
    values = {"clip_norm": 1.0, "epsilon": 2.0, "delta": 1e-6, "min_clients": 2, "epsilon_max": 100.0, **changes}
    return RoundPolicy(statement=statement, **values)


@functools.cache
def proving_keys(classes: int = 3) -> tuple[ProvingKey, ProvingKey]:
    """Returns development keys of S2 and N, made once a process."""
    return make_keys(make_policy(classes))


@functools.cache
def provers(classes: int = 3) -> tuple[Prover, Prover]:
    model = make_policy(classes).model
    improvement, noise = proving_keys(classes)
    return Prover(improvement, improvement_circuit(model, ROWS)), Prover(noise, noise_circuit(model.parameters))


class OtherPlaintext(Device):
    """Proves its update and encrypts another one; nobody can tell without decrypting it."""

    is_honest = False

    def _encrypt(self, key: PublicKey, current: Any) -> bytes:
        if self.is_honest:
            return super()._encrypt(key, current)
        return encrypt(key, self.agreement.plaintext.pack(-current.update.integers, current.blinder)).to_bytes()


@dataclass
class Opened:
    """What one attempt came to, as bytes."""

    announcement: bytes
    key: bytes
    sealed: list[bytes] = field(default_factory=list)
    seals: tuple[bytes, ...] = ()
    aggregation: bytes = b""
    ciphertext: bytes = b""
    outcome: bytes = b""

    @property
    def announced(self) -> Announced:
        return Announced.decode(self.announcement)

    @property
    def attempt(self) -> Attempt:
        return Attempt(self.announcement, self.seals, self.aggregation, self.outcome)

    @property
    def members(self) -> tuple[bytes, ...]:
        return Aggregate.decode(signed(self.aggregation).body).members


def signed(data: bytes) -> Signed:
    """Reads a signed message of whatever kind it says it is."""
    from zkfed.updates.signing import kind_of

    return Signed.decode(data, kind_of(data), limit=MEGABYTE)


class Cohort:
    """All parties of one federation, with all their keys."""

    reveals: tuple[bytes, ...] = ()  # of a beacon: own_rows.py

    def __init__(
        self,
        policy: RoundPolicy | None = None,
        devices: int = 3,
        *,
        kinds: Sequence[type[Device]] = (),
        journal: Path | None = None,
    ) -> None:
        policy = policy or make_policy()
        classes = policy.model.classes
        shards, rows = synthetic_cohort(policy.model, devices, ROWS)
        self.adder_key, self.holder_key = SigningKey.generate(), SigningKey.generate()
        self.device_keys = sorted((SigningKey.generate() for _ in range(devices)), key=lambda k: k.public)
        improvement, noise = proving_keys(classes)
        self.agreement = Agreement(
            policy.pinned(adder_key=self.adder_key.public, holder_key=self.holder_key.public),
            Benchmark.of(policy.model, *rows),
            tuple(k.public for k in self.device_keys),
            improvement.verifying,
            noise.verifying,
        )
        self.base = np.zeros((policy.model.inputs, policy.model.outputs), np.int64)
        self.shards: list[Shard] = shards
        self.journal = journal
        self.adder = Adder(self.agreement, self.adder_key, provers(classes)[1], base=self.base)
        self.holder = self.new_holder()
        self.devices = [
            (kinds[i] if i < len(kinds) else Device)(self.agreement, key, provers(classes)[0])
            for i, key in enumerate(self.device_keys)
        ]
        self.transcript = Transcript(self.agreement, self.base)
        self.previous, self.round = bytes(32), 1
        self.first = b""
        self.commits: dict[bytes, bytes] = {}

    def new_holder(self) -> KeyHolder:
        """Returns a key holder as it is after a restart: the journal is all it remembers."""
        prover = provers(self.agreement.policy.model.classes)[1]
        return KeyHolder(self.agreement, self.holder_key, prover, base=self.base, journal=self.journal)

    # -- one message at a time ----------------------------------------------------------------

    def offer_and_draft(self, attempt: int = 1, group: int = 0, members: tuple[bytes, ...] = ()) -> tuple[bytes, bytes]:
        """Returns the adders' draft of an announcement and the encryption key."""
        offer, key = self.holder.offer(self.round, attempt, group)
        return self.adder.announce(offer, key, members=members, deadline_s=DEADLINE_S), key

    def announce(self, attempt: int = 1, group: int = 0, members: tuple[bytes, ...] = ()) -> Opened:
        draft, key = self.offer_and_draft(attempt, group, members)
        opened = Opened(self.holder.countersign(draft), key)
        self.adder.open_attempt(opened.announcement)
        if attempt == 1:
            self.first, self.commits = opened.announced.digest, {}
        return opened

    def update(self, index: int) -> ModelUpdate:
        """Returns the update that a device's own rows ask for."""
        policy = self.agreement.policy
        scale = float(1 << policy.model.fraction_bits)
        trained = proximal_least_squares(policy.model, self.base / scale, self.shards[index], self.round)
        return self.devices[index].quantise(self.base, trained)

    def commit(self, index: int, opened: Opened, update: ModelUpdate | None = None) -> bytes:
        return self.devices[index].commit(
            opened.announcement, update or self.update(index), base=self.base, previous=self.previous
        )

    def send_commit(self, index: int, opened: Opened) -> bytes:
        """Commits, has the commit receipted, and returns its digest."""
        message = self.commit(index, opened)
        self.devices[index].accept_receipt(self.adder.receive_commit(message, now_s=NOW_S))
        name = signed(message).digest
        self.commits[name] = message
        return name

    def start(self) -> Opened:
        """Announces attempt 1 and collects everybody's commit."""
        opened = self.announce()
        for index in range(len(self.devices)):
            self.send_commit(index, opened)
        return opened

    def seal_all(self, opened: Opened) -> None:
        """Everybody who may take part seals, and the adders accept it."""
        allowed = opened.announced.body.members
        for device in self.devices:
            if allowed and device._current().commit.digest not in allowed:
                continue
            opened.sealed.append(device.seal(opened.announcement, opened.key))
            verdict = self.adder.receive_sealed(opened.sealed[-1])
            if not verdict.is_accepted:
                raise RuntimeError(str(verdict))

    def add(self, opened: Opened) -> None:
        opened.aggregation, opened.ciphertext, opened.seals = self.adder.aggregate(opened.announced.digest)

    def ready(self) -> Opened:
        """Runs a round up to the message that the key holder is asked to open."""
        opened = self.start()
        self.seal_all(opened)
        self.add(opened)
        return opened

    def open(self, opened: Opened) -> bytes:
        commits = tuple(self.commits[m] for m in opened.members)
        opened.outcome = self.holder.open(opened.aggregation, opened.ciphertext, commits, first=self.first)
        return opened.outcome

    def close(self, attempts: Sequence[Opened]) -> RoundRecord:
        """Signs the round's record, appends it to the transcript and goes on."""
        record = RoundRecord(self.adder.commits, tuple(o.attempt for o in attempts), reveals=self.reveals)
        base = apply_releases(self.agreement.policy, self.base, list(released_sums(record)))
        closing = self.adder.close_round(record.digest, base)
        self.holder.settle(record)
        record = replace(record, closing=closing)
        self.transcript.rounds.append(record)
        self.base, self.previous, self.round = base, record.digest, self.round + 1
        return record

    def honest_round(self) -> Opened:
        opened = self.ready()
        self.open(opened)
        self.close([opened])
        return opened


# -- what a party remembers -----------------------------------------------------------------------

_OPAQUE = (Agreement, Prover, SigningKey, SealingKey, SecretKey, PublicKey)


def fingerprint(value: Any) -> Any:
    """Returns everything that an object holds, comparable: equal before and after means unchanged."""
    if value is None or isinstance(value, (bytes, str, int, float, Path)):
        return value
    if isinstance(value, np.ndarray):
        return (value.shape, value.tobytes() if value.dtype != object else tuple(value.ravel().tolist()))
    if isinstance(value, _OPAQUE):
        return id(value), getattr(value, "_context", None) is None  # whether a secret key was erased
    if isinstance(value, dict):
        return [(fingerprint(k), fingerprint(v)) for k, v in value.items()]
    if isinstance(value, (list, tuple)):
        return [fingerprint(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(repr, value))
    if is_dataclass(value):
        return [(f.name, fingerprint(getattr(value, f.name))) for f in fields(value)]
    if hasattr(value, "__dict__"):
        return [(k, fingerprint(v)) for k, v in sorted(vars(value).items())]
    if hasattr(value, "__slots__"):
        return [(k, fingerprint(getattr(value, k))) for k in value.__slots__]
    return id(value)  # a point of a compiled backend: immutable
