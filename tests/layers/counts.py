"""A statistic (S4) taken apart: `parties.Cohort` whose devices answer with bounded vectors, and devices that cheat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.groth16.samples import Case, Forger, Trapdoors
from tests.layers.parties import Cohort
from zkfed.counts import CountBounds, Counts
from zkfed.encoding import digest
from zkfed.groth16.keys import ProvingKey
from zkfed.groth16.prove import Prover
from zkfed.groth16.setup import development_keys
from zkfed.layers.agreement import Agreement
from zkfed.layers.heart import Device
from zkfed.layers.holder import KeyHolder
from zkfed.layers.polis import Adder
from zkfed.layers.transcript import Transcript
from zkfed.policy import RoundPolicy
from zkfed.r1cs.system import System
from zkfed.statements.improvement import Benchmark
from zkfed.statements.terms import circuit_of
from zkfed.statements.update_bound import noise_circuit
from zkfed.updates.signing import SigningKey
from zkfed.updates.update import ModelUpdate, model_digest

QUESTION = digest("zkfed/v1/test-question", b"which of five")
ONE_OF_FIVE, TWO_OF_FIVE, UP_TO_NINE = CountBounds(5, 1, 0, 1), CountBounds(5, 1, 0, 2), CountBounds(5, 3, 0, 9)


def count_policy(bounds: CountBounds = ONE_OF_FIVE, question: bytes = QUESTION, **changes: Any) -> RoundPolicy:
    """Returns a small policy of a statistic that pins nobody yet."""
    statement = Counts(bounds, question)
    values = {"epsilon": 2.0, "delta": 1e-6, "min_clients": 2, "epsilon_max": 100.0, **changes}
    return RoundPolicy(statement=statement, clip_norm=statement.clip_norm, **values)


_PROVERS = dict[bytes, Prover]()


def _prover_of(system: System) -> Prover:
    if system.digest not in _PROVERS:
        _PROVERS[system.digest] = Prover(development_keys(system), system)
    return _PROVERS[system.digest]


def count_provers(bounds: CountBounds = ONE_OF_FIVE, curve: str = "bls12-381") -> tuple[Prover, Prover]:
    """Returns provers of S4 and N with development keys: one for each circuit in a process, whatever its bounds."""
    statement = circuit_of(Counts(bounds), curve)
    return _prover_of(statement), _prover_of(noise_circuit(bounds.coordinates, curve))


def count_keys(bounds: CountBounds = ONE_OF_FIVE) -> tuple[ProvingKey, ProvingKey]:
    statement, noise = count_provers(bounds)
    return statement.key, noise.key


def agreed(bounds: CountBounds, keys: Sequence[ProvingKey], **changes: Any) -> Agreement:
    """Returns an agreement about counts that nobody has joined."""
    policy = count_policy(bounds, **changes).pinned(adder_key=b"a" * 32, holder_key=b"k" * 32)
    return Agreement(policy, Benchmark.none(policy.model), (), *(k.verifying for k in keys))


class Unchecked(Device):
    """Answers with any vector: it skips every check of its own and proves as well as that can be proven."""

    def _check(self, *_: Any) -> None:
        pass

    def _prove(self, current: Any) -> bytes:
        agreement, prover = self.agreement, self._prover
        instance = agreement.improvement_instance(current.terms, current.first, self.public_key, current.point)
        private = {"counts": current.update.integers.astype(object)}
        system = circuit_of(agreement.policy.statement, agreement.policy.curve)
        case = Case(
            system, prover.key, prover, Trapdoors(), agreement.generators, instance, private, current.blinder
        )  # fmt: skip
        return Forger(case, instance, private).proof().encode(agreement.backend)


class CountCohort(Cohort):
    """All parties of one statistic, with all their keys.

    Attributes:
        vectors: What each device answers with.
    """

    def __init__(
        self, policy: RoundPolicy | None = None, answers: Sequence[Sequence[int]] = (), *,
        kinds: Sequence[type[Device]] = (),
    ) -> None:  # fmt: skip
        policy = policy or count_policy()
        self.vectors = [np.array(a, dtype=np.int64) for a in answers or np.identity(5, dtype=np.int64)[[0, 2, 2]]]
        self.adder_key, self.holder_key = SigningKey.generate(), SigningKey.generate()
        self.device_keys = sorted((SigningKey.generate() for _ in self.vectors), key=lambda k: k.public)
        if not isinstance(policy.statement, Counts):
            raise TypeError("a policy of counts")
        statement, self.noise_prover = count_provers(policy.statement.bounds, policy.curve)
        self.agreement = Agreement(
            policy.pinned(adder_key=self.adder_key.public, holder_key=self.holder_key.public),
            Benchmark.none(policy.model),
            tuple(k.public for k in self.device_keys),
            statement.key.verifying,
            self.noise_prover.key.verifying,
        )
        self.base = np.zeros(policy.model.shape, np.int64)
        self.journal = None
        self.adder = Adder(self.agreement, self.adder_key, self.noise_prover, base=self.base)
        self.holder = self.new_holder()
        self.devices = [
            (kinds[i] if i < len(kinds) else Device)(self.agreement, key, statement)
            for i, key in enumerate(self.device_keys)
        ]
        self.transcript = Transcript(self.agreement, self.base)
        self.previous, self.round = bytes(32), 1
        self.first = b""
        self.commits: dict[bytes, bytes] = {}

    def new_holder(self) -> KeyHolder:
        return KeyHolder(self.agreement, self.holder_key, self.noise_prover, base=self.base, journal=self.journal)

    def update(self, index: int) -> ModelUpdate:
        return ModelUpdate(self.vectors[index], model_digest(self.base))
