"""S1 and S3 outside a round: register rows, commit to an update, draw, prove, verify.

    keys = own_data_setup(statement)                                  statement.registration is set
    record, rows = keys.register(features, labels, signer=key)        once; rows stay with the client
    update = keys.commit(before=w0, after=w1)                         C_D is fixed ...
    beacon = ...                                                      ... before anybody knows this
    claim, proof = keys.prove(update, rows, record, beacon=beacon)
    keys.verifier.verify(claim, proof, record)

Within a federation the layers do the same with a policy, an announcement and signatures.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.algebra.backend import Points, use
from zkfed.commitments.pedersen import generators
from zkfed.commitments.rows import PrivateRows, row_weights
from zkfed.encoding import DIGEST_BYTES, digest
from zkfed.errors import DecodeError, PolicyError
from zkfed.groth16.assembly import Report
from zkfed.groth16.keys import ProvingKey, VerifyingKey
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.prove import Prover
from zkfed.groth16.setup import development_keys
from zkfed.groth16.verify import verify
from zkfed.policy import UPDATE_BITS, Improvement
from zkfed.statements.draw import draw_rows
from zkfed.statements.evaluation import evaluation_circuit
from zkfed.statements.keys import check_key, fixed_update, fixed_weights
from zkfed.statements.own_data import DrawnRows, OwnTerms
from zkfed.statements.registration import RegistrationRecord, RegistrationTerms, check_registration, register
from zkfed.statements.update_bound import USE, squared_norm_max

__all__ = ["CommittedUpdate", "OwnClaim", "OwnKeys", "OwnVerifier", "own_data_setup"]


def own_data_setup(statement: Improvement, *, kind: str = "S1", curve: str = "bls12-381") -> OwnKeys:
    """Makes development keys for a statement about registered rows, and for their registration.

    Args:
        statement: With `registration`.
        kind: "S1" for an update, "S3" for a published model.
        curve: "bls12-381" or "bn254".

    Raises:
        PolicyError: The statement is about a benchmark (`development_setup` is for those).
    """
    if kind not in ("S1", "S3"):
        raise PolicyError(f"own data is for S1 and S3, got {kind!r}")
    terms, backend = _terms(statement), use(curve)
    registration = development_keys(terms.circuit(curve), backend)
    return OwnKeys(statement, kind, development_keys(evaluation_circuit(statement, kind, curve), backend), registration)


def _terms(statement: Improvement) -> RegistrationTerms:
    return RegistrationTerms.of(statement, policy=digest("zkfed/v1/statement", statement.encode()), epoch=0)


@dataclass(frozen=True)
class CommittedUpdate:
    """An update that can no longer be changed. Secret, but for `commitment`.

    Attributes:
        base: W0, public.
        commitment: C_D, encoded; publish it before the beacon.
    """

    base: npt.NDArray[np.int64] = field(repr=False)
    commitment: bytes
    integers: npt.NDArray[np.int64] = field(repr=False)
    blinder: int = field(repr=False)


@dataclass(frozen=True)
class OwnClaim:
    """What a proof says, all of it public.

    Attributes:
        kind: "S1" or "S3".
        statement: With the share that is claimed.
        base: W0, integers at scale 2^f.
        beacon: Compare it with the one that you know: it drew the rows.
        commitment: C_D; empty for S3.
        published: W1 of S3.
    """

    kind: str
    statement: Improvement
    base: npt.NDArray[np.int64] = field(repr=False)
    beacon: bytes = field(repr=False)
    commitment: bytes = field(repr=False)
    published: npt.NDArray[np.int64] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        s = self.statement
        rows = s.registration.rows if s.registration is not None else 0
        return (
            f"the {s.loss} loss on {s.rows} rows, drawn from {rows} registered ones, falls by at least "
            f"{float(s.at_least) * 100:g} %"
        )


class OwnVerifier:
    """Checks registrations and claims; holds the verifying keys and no secret.

    Raises:
        KeyRefused: A key is for another circuit: of another loss, say, with the same public inputs.
    """

    def __init__(self, statement: Improvement, kind: str, key: VerifyingKey, registration: VerifyingKey) -> None:
        curve = key.layout.curve.name
        check_key(key, evaluation_circuit(statement, kind, curve))
        check_key(registration, _terms(statement).circuit(curve))
        self.statement, self.kind, self.key, self.registration = statement, kind, key, registration
        self._registered: dict[bytes, Points] = {}

    def __repr__(self) -> str:
        return f"OwnVerifier({self.key.layout.name}, {self.key.origin})"

    def accept(self, record: RegistrationRecord) -> Points:
        """Checks a record, once, and returns the row commitments.

        Raises:
            ProofInvalid: The record is for another statement, or its proof does not hold.
            DecodeError: Malformed, or not M distinct commitments.
        """
        name = digest("zkfed/v1/accepted", record.digest, record.proof)
        if name not in self._registered:
            self._registered[name] = check_registration(self.registration, _terms(self.statement), record)
        return self._registered[name]

    def verify(self, claim: OwnClaim, proof: bytes, record: RegistrationRecord) -> None:
        """Checks one proof. Returns nothing; a wrong one raises.

        That base model and beacon are the ones you mean, and that the commitment was fixed before
        the beacon, is yours to compare: a claim outside a round has no signature and no deadline.

        Raises:
            ProofInvalid: The record or the proof does not hold for this claim.
            DecodeError: Claim, record or proof is malformed, or for another statement.
        """
        if claim.kind != self.kind or claim.statement.encode() != self.statement.encode():
            raise DecodeError("the claim is about another statement than this verifier's")
        instance = self.instance(claim, record)
        verify(self.key, instance, Proof.decode(self.key.backend, self.key.layout, proof))

    def terms(self, claim: OwnClaim, record: RegistrationRecord) -> OwnTerms:
        """Returns the drawn rows and models that a claim is about."""
        if type(claim.beacon) is not bytes or len(claim.beacon) != DIGEST_BYTES:
            raise DecodeError(f"a beacon has {DIGEST_BYTES} bytes")
        points, statement = self.accept(record), self.statement
        drawn = draw_rows(
            claim.beacon, record.signer, commitment=claim.commitment, count=statement.rows,
            registered=len(points),
        )  # fmt: skip
        rows = DrawnRows(record.digest, drawn, claim.beacon, self.key.backend.take(points, np.array(drawn)))
        return OwnTerms.of(statement, claim.base, rows, claim.published)

    def instance(self, claim: OwnClaim, record: RegistrationRecord) -> Instance:
        """Returns the statement: no round, norm by range only."""
        terms, backend = self.terms(claim, record), self.key.backend
        if (claim.published is None) != (self.kind == "S1") or bool(claim.commitment) != (self.kind == "S1"):
            raise DecodeError("S1 has a commitment, S3 a published model")
        context = terms.context(
            policy=digest("zkfed/v1/statement", self.statement.encode()), announcement=bytes(32),
            signer=record.signer, commitment=claim.commitment,
        )  # fmt: skip
        return terms.instance(
            context.digest(self.key), backend.decode("G1", claim.commitment, 1) if claim.commitment else None,
            squared_norm_max=squared_norm_max(self.statement.model.parameters, UPDATE_BITS),
            millionths=self.statement.millionths, backend=backend,
        )  # fmt: skip


class OwnKeys:
    """Proving and verifying keys of one statement about registered rows.

    Attributes:
        proving: Of S1 or S3.
        registration: Of R.
        verifier: What everybody else needs.
    """

    def __init__(self, statement: Improvement, kind: str, proving: ProvingKey, registration: ProvingKey) -> None:
        self.statement, self.kind, self.proving, self.registration = statement, kind, proving, registration
        self.verifier = OwnVerifier(statement, kind, proving.verifying, registration.verifying)

    def __repr__(self) -> str:
        return f"OwnKeys({self.proving.verifying.layout.name}, {self.proving.verifying.origin})"

    @cached_property
    def prover(self) -> Prover:
        """The prover of the claim, whose key is checked at first use."""
        curve = self.proving.verifying.layout.curve.name
        return Prover(self.proving, evaluation_circuit(self.statement, self.kind, curve))

    @cached_property
    def registrar(self) -> Prover:
        """The prover of registrations, whose key is checked at first use."""
        return Prover(self.registration, _terms(self.statement).circuit(self.proving.verifying.layout.curve.name))

    def register(
        self, features: npt.NDArray[Any], labels: npt.NDArray[Any], *, signer: bytes, report: Report | None = None
    ) -> tuple[RegistrationRecord, PrivateRows]:
        """Quantises, commits to and proves rows; publish the record, keep the rows.

        Args:
            features: In [-1, 1], shape (M, d).
            labels: Class numbers, or floats in [-1, 1] for regression.
            signer: The client's Ed25519 key, 32 bytes.
            report: As of `Prover.prove`.

        Raises:
            DecodeError: NaN, infinity, or a value or label outside its range.
            PolicyError: There are not M rows of d features.
            UnsatisfiedConstraint: Too few or too many rows of one class.
        """
        terms = _terms(self.statement)
        rows = terms.quantise(features, labels, self.proving.verifying.layout.curve.order)
        return register(self.registrar, terms, rows=rows, signer=signer, report=report), rows

    def commit(self, *, before: npt.NDArray[Any], after: npt.NDArray[Any]) -> CommittedUpdate:
        """Quantises and commits to an update.

        Args:
            before: W0, floats of the model's shape; public.
            after: Trained weights of the same shape.

        Raises:
            ValueError: NaN, infinity, another shape, or a weight that moved too far.
        """
        model, backend = self.statement.model, self.proving.verifying.backend
        base = fixed_weights(model, before, "before")
        update = fixed_update(model, base, fixed_weights(model, after, "after"))
        blinder = secrets.randbits(384) % backend.curve.order
        point = generators(backend, USE, model.parameters).commit(update, blinder)
        return CommittedUpdate(base, backend.encode(point), update, blinder)

    def prove(
        self, update: CommittedUpdate, rows: PrivateRows, record: RegistrationRecord, *, beacon: bytes,
        report: Report | None = None,
    ) -> tuple[OwnClaim, bytes]:  # fmt: skip
        """Proves S1 on the rows that the beacon draws.

        Raises:
            UnsatisfiedConstraint: The update does not improve them by the statement's share.
            PolicyError: These keys are for S3.
        """
        if self.kind != "S1":
            raise PolicyError("these keys prove S3; use `prove_published`")
        claim = OwnClaim("S1", self.statement, update.base, beacon, update.commitment)
        return claim, self._prove(claim, rows, record, update, report)

    def prove_published(
        self, base: npt.NDArray[np.int64], published: npt.NDArray[np.int64], rows: PrivateRows,
        record: RegistrationRecord, *, beacon: bytes,
    ) -> tuple[OwnClaim, bytes]:  # fmt: skip
        """Proves S3: the published model is better than the one before it on the rows that the beacon draws.

        Args:
            base: W0, integers at scale 2^f.
            published: W1, integers at scale 2^f.
            rows: As registered.
            record: Of these rows.
            beacon: 32 bytes that nobody knew when the model was published.

        Raises:
            UnsatisfiedConstraint: It is not, by the statement's share.
            PolicyError: These keys are for S1.
        """
        if self.kind != "S3":
            raise PolicyError("these keys prove S1; use `prove`")
        claim = OwnClaim("S3", self.statement, base, beacon, b"", published)
        return claim, self._prove(claim, rows, record, None, None)

    def _prove(
        self, claim: OwnClaim, rows: PrivateRows, record: RegistrationRecord, update: CommittedUpdate | None,
        report: Report | None,
    ) -> bytes:  # fmt: skip
        terms, order = self.verifier.terms(claim, record), self.proving.verifying.layout.curve.order
        _terms(self.statement).check_shape(rows)
        own = rows.take(terms.drawn.indices)
        private = terms.private(None if update is None else update.integers, own.features, own.targets)
        limit = squared_norm_max(self.statement.model.parameters, UPDATE_BITS)
        terms.check(private, squared_norm_max=limit, millionths=self.statement.millionths)

        def blinder(challenges: dict[str, int]) -> int:
            return own.blinder(row_weights(challenges["rho"], len(own), order), order)

        blinders = (blinder,) if update is None else (update.blinder, blinder)
        proof = self.prover.prove(self.verifier.instance(claim, record), private, blinders, report)
        return proof.encode(self.proving.verifying.backend)
