"""Statements that a host writes itself: `Statement`, its keys and its verifier.

    class ReadingTime(Statement):
        name, version = "reading-time", 1

        def define(self, c):
            limit = c.public("limit", 0, 10_000)
            minutes = c.secret("minutes", (30,), 0, 1440)
            c.at_most("within the limit", minutes.sum(), limit)

    keys = development_setup(ReadingTime())
    proven = keys.prove({"limit": 600}, {"minutes": [20] * 30}, context=b"round 3, device 7")
    keys.verifier.verify(proven.proof, {"limit": 600}, context=b"round 3, device 7")

ctx has the kind "custom:<name>", the digest of the circuit and of its key, the host's context and
the commitments of the secrets that are tied to one. Public values and context come from the
verifier, never from the proof.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from zkfed.algebra.backend import Points, use
from zkfed.algebra.curve import CURVES
from zkfed.algebra.field import Ints, as_ints
from zkfed.commitments.pedersen import generators
from zkfed.encoding import DIGEST_BYTES, Writer, digest
from zkfed.errors import DecodeError, KeyRefused, UnsatisfiedConstraint, shown
from zkfed.groth16.assembly import Report
from zkfed.groth16.keys import ProvingKey, VerifyingKey
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.prove import Prover
from zkfed.groth16.setup import development_keys
from zkfed.groth16.verify import verify
from zkfed.r1cs.system import System
from zkfed.statements.context import Context
from zkfed.statements.definition import NAME, Definition, Variable, build

__all__ = ["Definition", "Keys", "Proven", "Statement", "Verifier", "development_setup"]


class Statement(ABC):
    """Subclass it, name it, and write `define`.

    Keys belong to one circuit: another definition is another circuit, also if parameters of the
    object make it one. Raise `version` with each change that means something else.

    Attributes:
        name: Lower-case letters, digits and "-"; enters every proof.
        version: A positive integer.
    """

    name: str
    version: int = 1

    @abstractmethod
    def define(self, c: Definition) -> None:
        """Declares values and relations; has to do the same each time that it is called."""

    def circuit(self, curve: str = "bls12-381") -> tuple[System, Definition]:
        """Returns the circuit, and what `define` declared.

        Raises:
            ValueError: A value could wrap around the field, or a name is wrong.
            TypeError: A bound, shape or constant is no integer.
        """
        name, version = getattr(self, "name", None), self.version
        if not isinstance(name, str) or not NAME.fullmatch(name) or type(version) is not int or version < 1:
            raise ValueError(
                f"{type(self).__name__} needs a name of the form {NAME.pattern} and a positive version, "
                f"got {shown(name)} and {shown(version)}"
            )
        return build(f"custom:{name}", version, self.define, CURVES[curve])


def development_setup(statement: Statement, *, curve: str = "bls12-381") -> Keys:
    """Makes keys for a statement, marked "development": this process could forge.

    Raises:
        ValueError, TypeError: The definition is refused; see `Statement.circuit`.
    """
    return Keys(statement, development_keys(statement.circuit(curve)[0], use(curve)))


@dataclass(frozen=True, slots=True)
class Proven:
    """What `prove` returns.

    Attributes:
        proof: For the verifier.
        commitments: Of each secret that is tied to one, encoded, by name; public.
        blinders: Their blinders: secret.
    """

    proof: bytes = field(repr=False)
    commitments: dict[str, bytes] = field(repr=False)
    blinders: dict[str, int] = field(repr=False)


class Verifier:
    """Checks proofs of a statement; holds the verifying key and no secret.

    Raises:
        KeyRefused: The key is for another circuit.
    """

    def __init__(self, statement: Statement, key: VerifyingKey) -> None:
        self.statement, self.key = statement, key
        self.system, self.definition = statement.circuit(key.layout.curve.name)
        if key.layout.encode() != self.system.layout.encode():
            raise KeyRefused(f"the key is for another circuit than {self.system.name} version {self.system.version}")

    def __repr__(self) -> str:
        return f"Verifier({self.key.layout.name}, {self.key.origin})"

    @property
    def committed(self) -> list[Variable]:
        """The secrets that are tied to a commitment, in order."""
        return [v for v in self.definition.secrets if v.use is not None]

    def verify(
        self,
        proof: bytes,
        public: Mapping[str, Any],
        *,
        context: bytes,
        commitments: Mapping[str, bytes] | None = None,
    ) -> None:
        """Checks one proof. Returns nothing; a wrong one raises.

        Args:
            proof: From the prover.
            public: The public values, as the verifier knows them.
            context: What the proof has to be about: task, round, signer.
            commitments: Of the secrets that are tied to one, as the verifier knows them.

        Raises:
            ProofInvalid: The proof does not hold, or a public value is outside its bounds.
            DecodeError: Something is missing, unknown, malformed or of another shape.
        """
        given, backend = commitments or {}, self.key.backend
        _check_names(f"{self.system.name}: commitments", self.committed, given)
        points = {v.name: backend.decode("G1", given[v.name], 1) for v in self.committed}
        verify(self.key, self.instance(public, context, points), Proof.decode(backend, self.key.layout, proof))

    def instance(self, public: Mapping[str, Any], context: bytes, points: Mapping[str, Points]) -> Instance:
        """Returns what prover and verifier both compute.

        Raises:
            DecodeError: A public value is missing, unknown or of another shape; the context is empty.
        """
        if type(context) is not bytes or not context:
            raise DecodeError(
                f"{self.system.name}: the context is empty or no bytes: a proof has to be about something"
            )
        static = _values(f"{self.system.name}: public", self.definition.publics, public)
        encoded = [self.key.backend.encode(points[v.name]) for v in self.committed]
        bound = Context(
            f"custom:{self.statement.name}",
            digest("zkfed/v1/custom-statement", self.key.layout.circuit_digest),
            bytes(DIGEST_BYTES),
            b"",
            Writer("zkfed/v1/custom-commitments").list(encoded).finish(),
            digest("zkfed/v1/custom-context", context),
        )
        return Instance(bound.digest(self.key), static, tuple(points[v.name] for v in self.committed))


class Keys:
    """Proving and verifying key of one statement.

    Attributes:
        proving: The proving key; `proving.save(path)` writes it to a strict file.
        verifier: What everybody else needs.
    """

    def __init__(self, statement: Statement, proving: ProvingKey) -> None:
        self.statement, self.proving = statement, proving
        self.verifier = Verifier(statement, proving.verifying)

    def __repr__(self) -> str:
        return f"Keys({self.proving.verifying.layout.name}, {self.proving.verifying.origin})"

    @cached_property
    def prover(self) -> Prover:
        """The prover, whose key is checked at first use."""
        return Prover(self.proving, self.verifier.system)

    def prove(
        self,
        public: Mapping[str, Any],
        secret: Mapping[str, Any],
        *,
        context: bytes,
        blinders: Mapping[str, int] | None = None,
        report: Report | None = None,
    ) -> Proven:
        """Proves that the secret values satisfy the statement.

        Args:
            public: By name.
            secret: By name; stays hidden.
            context: What the proof is about; it holds nowhere else.
            blinders: Of commitments that were made before; fresh ones where it says nothing.
            report: As in `Prover.prove`.

        Raises:
            DecodeError: A value is missing, unknown, no integer or of another shape.
            UnsatisfiedConstraint: Names the secret or relation that does not hold, never a value.
            ProofInvalid: A public value is outside its bounds.
        """
        verifier, backend, name = self.verifier, self.prover.backend, self.verifier.system.name
        private = _values(f"{name}: secret", verifier.definition.secrets, secret)
        for v in verifier.definition.secrets:
            outside = np.flatnonzero((private[v.name] < v.low) | (private[v.name] > v.high))
            if len(outside):
                place = tuple(int(i) for i in np.unravel_index(int(outside[0]), v.shape or (1,)))
                raise UnsatisfiedConstraint(f"{name}: the secret {v.name} is outside its bounds", v.name, place)
        given, committed = dict(blinders or {}), verifier.committed
        unknown = set(given) - {v.name for v in committed}
        if unknown:
            raise DecodeError(f"{name}: blinders for {sorted(unknown)}, which are not committed")
        rhos = {v.name: given.get(v.name, secrets.randbits(384) % backend.curve.order) for v in committed}
        points = {
            v.name: generators(backend, str(v.use), len(private[v.name])).commit(private[v.name], rhos[v.name])
            for v in committed
        }
        instance = verifier.instance(public, context, points)
        try:
            proof = self.prover.prove(instance, private, tuple(rhos.values()), report)
        except UnsatisfiedConstraint as error:
            relation = error.constraint.split("/")[0]
            raise UnsatisfiedConstraint(f"{name}: {relation!r} does not hold", relation, error.position) from None
        encoded = {at: backend.encode(point) for at, point in points.items()}
        return Proven(proof.encode(backend), encoded, rhos)


def _check_names(what: str, expected: list[Variable], given: Mapping[str, Any]) -> None:
    names = {v.name for v in expected}
    missing, unknown = sorted(names - set(given)), sorted(map(shown, set(given) - names))
    if missing or unknown:
        raise DecodeError(f"{what}: missing {missing}, unknown {unknown}")


def _values(what: str, declared: list[Variable], given: Mapping[str, Any]) -> dict[str, Ints]:
    """Returns the values by name, flat, as Python integers.

    Raises:
        DecodeError: A value is missing, unknown, no integer or of another shape.
    """
    _check_names(what, declared, given)
    out = {}
    for v in declared:
        try:
            # As objects: numpy would read [-1, 2**63] as floats.
            array = np.asarray(given[v.name], dtype=object)
        except ValueError:
            raise DecodeError(f"{what} {v.name} is no tensor of shape {v.shape}") from None
        if array.shape != v.shape:
            raise DecodeError(f"{what} {v.name} has the shape {array.shape}, expected {v.shape}")
        flat = array.ravel().tolist()
        wrong = [n for n in flat if not isinstance(n, int | np.integer | np.bool_)]
        if wrong:
            raise DecodeError(f"{what} {v.name} holds a {type(wrong[0]).__name__}, expected integers")
        out[v.name] = as_ints([int(n) for n in flat])
    return out
