"""What the demo writes down about a run: numbers that the run itself produced."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from examples.cohort import Cohort, Preset, accuracy, benchmark_only, centralised
from zkfed.algebra.backend import backends
from zkfed.groth16.proof import proof_bytes
from zkfed.layers.transcript import apply_releases, outcome_of
from zkfed.orchestrator.client import Client
from zkfed.orchestrator.events import Event, Refused, Released, RoundAbandoned, RoundStarted
from zkfed.orchestrator.federation import Federation
from zkfed.policy import RoundPolicy
from zkfed.statements.terms import circuit_of
from zkfed.updates.messages import MESSAGE_BYTES_MAX, Aggregate, Commit, Release
from zkfed.updates.signing import Signed
from zkfed.updates.update import decode_ints

__all__ = ["Account"]


@dataclass
class Account:
    """Collects events, and the devices' own updates so that noise can be told from signal.

    A real deployment cannot do the latter: only this process holds every device.
    """

    policy: RoundPolicy
    cohort: Cohort
    preset: Preset
    seconds: dict[str, float] = field(default_factory=dict)
    names: dict[str, tuple[int, str]] = field(default_factory=dict)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    accuracies: list[dict[str, float]] = field(default_factory=list)
    honest_refused: int = 0
    honest_total: int = 0
    ciphertext_bytes: int = 0
    epsilon: float = 0.0
    default_epsilon: str = ""
    members: list[set[int]] = field(default_factory=list)
    unregistered: set[int] = field(default_factory=set)
    _refused: list[dict[str, Any]] = field(default_factory=list)
    _clients: dict[str, Client] = field(default_factory=dict, repr=False)
    _base: npt.NDArray[np.int64] | None = None

    def watch(self, client: Client) -> Client:
        """Remembers a participant so that its true update can be read after a round."""
        self._clients[client.device.public_key.hex()] = client
        return client

    def note(self, event: Event, federation: Federation) -> None:
        """Takes one event into the account."""
        if isinstance(event, RoundStarted):
            self._refused, self._base = [], federation.base
        elif isinstance(event, Refused):
            self._note_refusal(event, federation)
        elif isinstance(event, (Released, RoundAbandoned)):
            self._note_round(event, federation)

    def _note_refusal(self, event: Refused, federation: Federation) -> None:
        verdict = event.verdict
        index, cheat = self.names.get(verdict.client, (federation.index_of(verdict.client), None))
        if cheat is None or not self._cheats_in(index, event.round):
            self.honest_refused += 1
            cheat = None
        self._refused.append({"client": index, "cheat": cheat, "code": verdict.code, "reason": verdict.reason})

    def _cheats_in(self, index: int | None, round_number: int) -> bool:
        first = self.preset.devices - len(self.preset.cheat_rounds)
        if index is None or index < first:
            return False
        rounds = self.preset.cheat_rounds[index - first]
        return not rounds or round_number in rounds

    def _note_round(self, event: Released | RoundAbandoned, federation: Federation) -> None:
        honest = sum(not self._cheats_in(i, event.round) for i in range(self.preset.devices))
        self.honest_total += honest
        released = isinstance(event, Released)
        observed, exact_model = self._against_truth(federation)
        base = self._base if self._base is not None else federation.base
        scale = float(1 << self.policy.model.fraction_bits)
        self.accuracies.append({
            "base": accuracy(base / scale, self.cohort),
            "released": accuracy(federation.model, self.cohort),
            "exact": accuracy(exact_model / scale, self.cohort),
        })  # fmt: skip
        self.rounds.append({
            "accepted": event.accepted if released else 0,
            "refused": list(self._refused),
            "attempts": event.attempts if released else self.policy.attempts,
            "noise_signal_predicted": event.noise_signal if released else None,
            "noise_signal_observed": observed,
            "at_least": self.policy.millionths(event.round) / 1e6,
        })  # fmt: skip
        if released:
            self.epsilon = event.epsilon
            for stage, seconds in event.seconds.items():
                self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def _against_truth(self, federation: Federation) -> tuple[float | None, npt.NDArray[np.int64]]:
        """Returns the observed noise/signal and the model that the un-noised sums would give."""
        record = federation.transcript.rounds[-1]
        by_commit = {Signed.decode(c, "commit", limit=4096) for c in record.commits}
        update_of = {}
        for signed in by_commit:
            current = self._clients[signed.signer.hex()].device._round
            if current is not None and Commit.decode(signed.body).commitment:
                update_of[signed.digest] = current.update.integers
        error, clients, exact, released = 0.0, 0, [], set[int]()
        signer_of = {s.digest: s.signer.hex() for s in by_commit}
        for attempt in record.attempts:
            kind, outcome = outcome_of(attempt)
            if kind != "release" or outcome is None:
                continue
            signed = Signed.decode(attempt.aggregation, "aggregation", limit=MESSAGE_BYTES_MAX)
            members = Aggregate.decode(signed.body).members
            truth = np.sum([update_of[m] for m in members], axis=0)
            error += float(np.sum((decode_ints(Release.decode(outcome.body).sums) - truth).astype(float) ** 2))
            clients += len(members)
            released |= {i for m in members if (i := federation.index_of(signer_of[m])) is not None}
            exact.append((truth, len(members)))
        self.members.append(released)
        base = self._base if self._base is not None else federation.base
        model = apply_releases(self.policy, base, exact)
        if not clients:
            return None, model
        clip = self.policy.clip_norm * (1 << self.policy.model.fraction_bits)
        return error**0.5 / (clients * clip), model

    def report(self, federation: Federation) -> dict[str, Any]:
        """Returns build/demo/report.json."""
        statement = self.policy.statement
        circuit = circuit_of(statement, self.policy.curve)
        first, last = self.accuracies[0], self.accuracies[-1]
        return {
            "backend": next(b.name for b in backends() if b.is_chosen),
            "python": platform.python_version(),
            "preset": self.preset.name,
            "devices": self.preset.devices,
            "parameters": statement.model.parameters,
            "seconds": {k: round(v, 3) for k, v in self.seconds.items()},
            "constraints": circuit.constraint_count,
            "proof_bytes": proof_bytes(circuit.layout),
            "ciphertext_bytes": federation.sealed_bytes,
            "epsilon_total": self.epsilon,
            "delta": federation.spending.total()[1],
            "epsilon_per_round": self.policy.epsilon,
            "guarantee": federation.guarantee(),
            "default_epsilon": self.default_epsilon,
            "accuracy": {
                "base": first["base"],
                "released": last["released"],
                "exact": last["exact"],
                "centralised": centralised(self.cohort),
                "benchmark_only": benchmark_only(self.cohort),
            },
            "accuracy_by_round": self.accuracies,
            "honest_refused": self.honest_refused,
            "honest_total": self.honest_total,
            "rounds": self.rounds,
        }
