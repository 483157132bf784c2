"""Brings the parties of a federation together: keys, registrations of own rows (S1), agreement, roles."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.commitments.rows import PrivateRows
from zkfed.counts import Counts
from zkfed.errors import DecodeError, PolicyError
from zkfed.groth16.prove import Prover
from zkfed.layers.agreement import Agreement
from zkfed.layers.heart import Device, register_rows
from zkfed.layers.holder import KeyHolder
from zkfed.layers.polis import Adder
from zkfed.layers.registry import Registry, registration_terms
from zkfed.layers.round_state import Proving
from zkfed.orchestrator.client import Client, CountClient, Shard
from zkfed.orchestrator.exchange import send
from zkfed.orchestrator.notes import fault_of
from zkfed.orchestrator.options import Options, make_keys
from zkfed.orchestrator.synthetic import synthetic_cohort
from zkfed.policy import RoundPolicy
from zkfed.ports import Transport
from zkfed.statements.improvement import Benchmark
from zkfed.statements.terms import checked_base, circuit_of
from zkfed.statements.update_bound import noise_circuit
from zkfed.updates.signing import SigningKey
from zkfed.updates.update import Verdict

__all__ = ["Parties", "Registrant", "gather"]


def gather(
    policy: RoundPolicy,
    devices: int | Sequence[Any],
    benchmark: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None,
) -> tuple[list[Any], Benchmark]:
    """Returns what each device holds, and the benchmark (without rows for S1 and S4).

    Raises:
        PolicyError: Too few devices; no benchmark for S2, or one where none belongs.
    """
    if isinstance(policy.statement, Counts):
        if isinstance(devices, int) or benchmark is not None:
            raise PolicyError("counts (S4) take one vector a device, and no benchmark")
        shards, public = list(devices), Benchmark.none(policy.model)
    else:
        model, registration = policy.statement.model, policy.statement.registration
        if isinstance(devices, int):
            registered = 0 if registration is None else registration.rows
            shards, rows = synthetic_cohort(model, devices, policy.statement.rows, registered=registered)
            benchmark = benchmark or (rows if registration is None else None)
        else:
            shards = list(devices)
        if (benchmark is None) == (registration is None):
            raise PolicyError(
                "shards need a benchmark for S2: LocalFederation(policy, shards, benchmark=(X, y)); S1 has none"
            )
        public = Benchmark.none(model) if benchmark is None else Benchmark.of(model, *benchmark)
    if len(shards) < policy.min_clients:
        raise PolicyError(f"{len(shards)} devices, the policy needs {policy.min_clients}")
    return shards, public


class Registrant:
    """One client before the first round: it registers its own rows and keeps their blinders.

    A subclass that overrides `register` does something else; the adders see only bytes.

    Attributes:
        rows: What was registered; None before. Secret.
    """

    def __init__(
        self, policy: RoundPolicy, key: SigningKey, prover: Prover, shard: Shard, *, proving: Proving | None = None
    ) -> None:
        self.policy, self.key, self.prover, self.shard, self.proving = policy, key, prover, shard, proving
        self.rows: PrivateRows | None = None

    def quantise(self, features: npt.NDArray[np.float64], labels: npt.NDArray[np.float64]) -> PrivateRows:
        """Returns rows as integers with fresh blinders; raises as `RegistrationTerms.quantise`."""
        return registration_terms(self.policy).quantise(features, labels, self.prover.backend.curve.order)

    def register(self) -> bytes:
        """Returns the signed record of the shard's rows.

        Raises:
            DecodeError, PolicyError, UnsatisfiedConstraint: The rows are not what the policy asks for.
        """
        own = self.shard.registered or self.shard
        self.rows = self.quantise(own.features, own.labels)
        return register_rows(self.policy, self.key, self.prover, self.rows, proving=self.proving)


@dataclass
class Parties:
    """Everybody, after the registrations have closed.

    Attributes:
        base: W0 of round 1.
        clients: Those that take part in rounds: for S1 only who has registered.
        registrations: What became of each client's registration; empty for S2.
        seconds: What the set-up took: "register" and "registry" (their checks).
    """

    agreement: Agreement
    base: npt.NDArray[np.int64]
    adder: Adder
    holder: KeyHolder
    clients: list[Client]
    registrations: list[Verdict] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, policy: RoundPolicy, shards: Sequence[Any], benchmark: Benchmark, *, transport: Transport,
        options: Options,
    ) -> Parties:  # fmt: skip
        """Makes fresh signing keys, pins them, has rows registered and builds every role.

        Raises:
            PolicyError: Fewer clients registered than the policy's min_clients.
            DecodeError: The first base model is not of the policy's shape, or no integers in its range.
        """
        keys = options.keys or make_keys(policy)
        prover = Prover(keys[0], circuit_of(policy.statement, policy.curve))
        noise = Prover(keys[1], noise_circuit(policy.model.parameters, policy.curve))
        signing = [SigningKey.generate() for _ in shards]
        adder_key, holder_key = SigningKey.generate(), SigningKey.generate()
        policy = policy.pinned(adder_key=adder_key.public, holder_key=holder_key.public)
        enrolled = tuple(sorted(k.public for k in signing))
        epoch = _Epoch(policy, transport, options)
        rows: list[PrivateRows | None] = [None] * len(shards)
        if policy.statement.kind == "S1":
            if len(keys) < 3:
                raise PolicyError("registered rows need a third key: Options(keys=(statement, noise, registration))")
            registration = Prover(keys[2], registration_terms(policy).circuit(policy.curve))
            epoch.registry = Registry(policy, enrolled, registration.key.verifying)
            rows = epoch.run(
                [
                    options.make_registrant(i, Registrant(policy, key, registration, shard, proving=options.proving))
                    for i, (key, shard) in enumerate(zip(signing, shards, strict=True))
                ]
            )
        agreement = Agreement(
            policy, benchmark, enrolled, prover.key.verifying, noise.key.verifying, epoch.registry
        )  # fmt: skip
        start = np.zeros(policy.model.shape, np.int64) if options.base is None else options.base
        base = checked_base(policy.model, start)
        usual: Callable[[Device, Any], Client] = CountClient if isinstance(policy.statement, Counts) else Client
        build = options.make_client or (lambda index, device, shard: usual(device, shard))
        clients = [
            build(i, Device(agreement, key, prover, rows=own, proving=options.proving), shard)
            for i, (key, shard, own) in enumerate(zip(signing, shards, rows, strict=True))
            if epoch.registry is None or own is not None
        ]
        if len(clients) < policy.min_clients:
            raise PolicyError(f"{len(clients)} devices, the policy needs {policy.min_clients}")
        adder = Adder(agreement, adder_key, noise, base=base, work=options.work)
        holder = KeyHolder(agreement, holder_key, noise, base=base)
        return cls(agreement, base, adder, holder, clients, epoch.verdicts, epoch.seconds)


class _Epoch:
    """The registration epoch: every client's record crosses the transport and is checked."""

    def __init__(self, policy: RoundPolicy, transport: Transport, options: Options) -> None:
        self.transport, self.workers = transport, options.workers
        self.channel = f"{policy.digest.hex()[:16]}/registrations"
        self.registry: Registry | None = None
        self.verdicts: list[Verdict] = []
        self.seconds: dict[str, float] = {}

    def run(self, registrants: Sequence[Registrant]) -> list[PrivateRows | None]:
        """Returns each client's rows, None for who is not registered, and closes the epoch."""
        start = time.perf_counter()
        with ThreadPoolExecutor(self.workers) as pool:
            answers = list(pool.map(self._ask, registrants))
        self.seconds["register"] = time.perf_counter() - start
        start = time.perf_counter()
        rows = [self._take(one, answer) for one, answer in zip(registrants, answers, strict=True)]
        if self.registry is not None:
            self.registry.close()
        self.seconds["registry"] = time.perf_counter() - start
        return rows

    def _ask(self, registrant: Registrant) -> bytes | Exception:
        try:
            return registrant.register()
        except Exception as error:  # noqa: BLE001 - one client that fails does not stop the others
            return error

    def _take(self, registrant: Registrant, answer: bytes | Exception) -> PrivateRows | None:
        client, rows = registrant.key.public.hex(), registrant.rows
        try:
            if isinstance(answer, Exception):
                raise answer
            if self.registry is None or rows is None:
                raise DecodeError("no rows were registered")
            self.registry.receive(send(self.transport, self.channel, answer))
        except Exception as error:  # noqa: BLE001 - a client runs other people's code
            code, reason = fault_of(error)
            self.verdicts.append(Verdict(client, False, code, reason))
            return None
        self.verdicts.append(Verdict(client, True, "accepted", "signature, commitments and proof hold"))
        return rows
