"""What most federations leave as it is, and the development keys that they start with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from zkfed.errors import PolicyError
from zkfed.groth16.keys import ProvingKey
from zkfed.groth16.setup import development_keys
from zkfed.layers.heart import Device
from zkfed.orchestrator.client import Client, Shard
from zkfed.policy import RoundPolicy
from zkfed.statements.terms import circuit_of
from zkfed.statements.update_bound import noise_circuit

__all__ = ["Options", "make_keys"]


@dataclass(frozen=True)
class Options:
    """What most federations leave as it is.

    Attributes:
        make_client: Builds the participant with a number; None makes honest ones.
        keys: Proving keys of S2 and N; None makes development keys.
        workers: Threads for devices; the compiled backends release the interpreter's lock.
    """

    make_client: Callable[[int, Device, Shard], Client] | None = None
    keys: tuple[ProvingKey, ProvingKey] | None = None
    workers: int = 2


def make_keys(policy: RoundPolicy) -> tuple[ProvingKey, ProvingKey]:
    """Returns development keys of S2 and N for a policy.

    Raises:
        PolicyError: The policy is for production.
    """
    if policy.setup == "production":
        raise PolicyError("a production policy needs keys from a ceremony; pass keys=(improvement, noise)")
    return (
        development_keys(circuit_of(policy.statement, policy.curve)),
        development_keys(noise_circuit(policy.model.parameters, policy.curve)),
    )
