"""What most federations leave as it is, and the development keys that they start with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from zkfed.dp.accounting import RoundAccount
from zkfed.dp.ledger import Ledger
from zkfed.encoding import digest
from zkfed.errors import PolicyError
from zkfed.groth16.keys import ProvingKey
from zkfed.groth16.setup import development_keys
from zkfed.layers.heart import Device
from zkfed.layers.intake import Work
from zkfed.layers.registry import registration_terms
from zkfed.layers.round_state import Proving
from zkfed.orchestrator.client import Client, Shard
from zkfed.orchestrator.fan_out import FanOut
from zkfed.policy import RoundPolicy
from zkfed.ports import Executor
from zkfed.statements.terms import circuit_of
from zkfed.statements.update_bound import noise_circuit

if TYPE_CHECKING:
    from zkfed.orchestrator.parties import Registrant

__all__ = ["Options", "make_keys"]


def _honest(index: int, registrant: Registrant) -> Registrant:
    return registrant


@dataclass(frozen=True)
class Options:
    """What most federations leave as it is.

    Attributes:
        make_client: Builds the participant with a number; None makes honest ones.
        make_registrant: Replaces the client with a number in the registration epoch (S1).
        keys: Proving keys of the statement, of N and, for S1, of the registration; None makes
            development keys.
        base: W0 of round 1, public, integers at scale 2^f in the model's shape; None is all zeros,
            from which a perceptron does not learn and accuracy has nothing to improve.
        ledger: Charges every round durably, with all statistics about the same people; None forgets with the process.
        people: Who is behind each device, in order; None takes each device's public key.
        exchanges: 1 has devices commit and prove in one answer a round, for hosts that ask once (S2, S4); 2 apart.
        workers: Threads for devices; the compiled backends release the interpreter's lock.
        executor: Where the adders check proofs and add ciphertexts; None is this process.
        proving: Where all devices of this process prove (`proving_in`); None is this process.
    """

    make_client: Callable[[int, Device, Shard], Client] | None = None
    make_registrant: Callable[[int, Registrant], Registrant] = _honest
    keys: tuple[ProvingKey, ...] | None = None
    base: npt.NDArray[np.int64] | None = None
    ledger: Ledger | None = None
    people: Sequence[str] | None = None
    exchanges: int = 2
    workers: int = 2
    executor: Executor | None = None
    proving: Proving | None = None

    def __post_init__(self) -> None:
        if self.exchanges not in (1, 2):
            raise PolicyError(f"exchanges is {self.exchanges!r}, expected 1 or 2")

    @property
    def work(self) -> Work:
        """Who checks and adds for the adders."""
        return Work() if self.executor is None else FanOut(self.executor).work

    def account(self, policy: RoundPolicy, keys: Sequence[bytes], clock: Callable[[], float]) -> RoundAccount | None:
        """Returns where the rounds of a federation are charged; None without a ledger.

        Raises:
            PolicyError: Not as many people as devices.
        """
        if self.ledger is None:
            return None
        if self.people is not None and len(self.people) != len(keys):
            raise PolicyError(f"{len(self.people)} people behind {len(keys)} devices")
        question = digest("zkfed/v1/rounds", replace(policy, adder_key=b"", holder_key=b"").digest)
        return RoundAccount(self.ledger, self.ledger.people(self.people or keys), question, clock)


def make_keys(policy: RoundPolicy) -> tuple[ProvingKey, ...]:
    """Returns development keys for a policy: of its statement, of N and, for S1, of the registration.

    Raises:
        PolicyError: The policy is for production.
    """
    if policy.setup == "production":
        raise PolicyError("a production policy needs keys from a ceremony; pass keys=(improvement, noise)")
    circuits = [circuit_of(policy.statement, policy.curve), noise_circuit(policy.model.parameters, policy.curve)]
    if policy.statement.kind == "S1":
        circuits.append(registration_terms(policy).circuit(policy.curve))
    return tuple(development_keys(circuit) for circuit in circuits)
