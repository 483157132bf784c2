"""Registration: a client commits to M private rows once an epoch, and proves that they are valid.

    record = (policy, epoch, client key, C_1 .. C_M, proof of R)

What R says and how stands in row_validity.py; ctx holds the policy, the key and the digest of the
ordered C_i, so that theta comes after them. In a round the beacon draws n of the rows (draw.py),
and S1 opens the sketch of those alone.

Not claimed: that rows are real, fresh or labelled rightly, that they differ (two commitments to
one row look like any two), or that the client did not train on them. S1 earns nothing without S2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.algebra.backend import Backend, Points
from zkfed.commitments.rows import PrivateRows, decode_rows, row_weights, sketch
from zkfed.encoding import DIGEST_BYTES, Reader, Writer, digest
from zkfed.errors import DecodeError, KeyRefused, PolicyError, ProofInvalid, Replay, UnsatisfiedConstraint
from zkfed.fixedpoint import FEATURE_ONE, quantise_features, quantise_targets
from zkfed.groth16.assembly import Report
from zkfed.groth16.keys import VerifyingKey
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.prove import Prover
from zkfed.groth16.verify import verify
from zkfed.policy import Improvement, Registration
from zkfed.r1cs.system import System
from zkfed.statements.context import Context
from zkfed.statements.row_validity import class_values, registration_circuit

__all__ = ["RegistrationRecord", "RegistrationTerms", "check_epoch", "check_registration", "register"]

_RECORD_BYTES_MAX = 1 << 23
"""2^16 rows of 96 bytes, and the rest."""


@dataclass(frozen=True, slots=True)
class RegistrationTerms:
    """What a policy asks of every client in an epoch; public.

    Attributes:
        policy: Digest of the policy, or of the statement outside a round.
        epoch: Its number; a record is for one.
        features: d.
        classes: As a model's.
        registration: M and the bounds on the rows of each class.
    """

    policy: bytes
    epoch: int
    features: int
    classes: int
    registration: Registration

    @classmethod
    def of(cls, statement: Improvement, *, policy: bytes, epoch: int) -> RegistrationTerms:
        """Returns the terms of a statement about registered rows.

        Raises:
            PolicyError: The statement is about a benchmark.
        """
        if statement.registration is None:
            raise PolicyError("the statement is about a benchmark: there is nothing to register")
        return cls(policy, epoch, statement.model.features, statement.model.classes, statement.registration)

    @property
    def rows(self) -> int:
        """M."""
        return self.registration.rows

    @property
    def outputs(self) -> int:
        """The target columns of a row."""
        return self.classes if self.classes > 2 else 1

    def circuit(self, curve: str = "bls12-381") -> System:
        """Returns R for these rows; the class bounds are its static inputs."""
        return registration_circuit(self.features, self.classes, self.rows, curve)

    def quantise(self, features: npt.NDArray[Any], labels: npt.NDArray[Any], order: int) -> PrivateRows:
        """Returns the rows as integers, with fresh blinders.

        Args:
            features: Floats in [-1, 1], or integers in [-127, 127]; shape (M, d).
            labels: Class numbers in [0, classes); for regression floats in [-1, 1]. Shape (M,).
            order: r.

        Raises:
            DecodeError: A shape, NaN, infinity, or a value or label outside its range.
            PolicyError: There are not M rows of d features.
        """
        try:
            x, y = quantise_features(np.asarray(features))[:, :-1], np.asarray(labels)
            if y.shape != (len(x),):
                raise ValueError(f"labels of shape {y.shape} for {len(x)} rows")
            # At scale 127, without fraction bits; classes count 0, 1 or -1, 1.
            targets = quantise_targets(y, classes=self.classes, fraction_bits=0)
        except (ValueError, TypeError) as error:
            raise DecodeError(f"rows to register: {error}") from None
        rows = PrivateRows.blind(x, targets if self.classes == 1 else targets // FEATURE_ONE, order)
        self.check_shape(rows)
        return rows

    def check_shape(self, rows: PrivateRows) -> None:
        """Raises PolicyError unless there are M rows of d features and the target columns."""
        found, expected = rows.table.shape, (self.rows, self.features + self.outputs)
        if found != expected or rows.targets.shape[1] != self.outputs:
            raise PolicyError(
                f"{found[0]} rows of {found[1]} columns to register, the policy asks for exactly {expected[0]} of "
                f"{self.features} features and {self.outputs} targets"
            )

    def check_rows(self, rows: PrivateRows) -> None:
        """Says before proving whether rows satisfy R.

        Raises:
            PolicyError: There are not M rows of the policy's shape.
            UnsatisfiedConstraint: Targets of no class, or too few or too many rows of one.
        """
        self.check_shape(rows)
        if self.classes == 1:
            return
        table = np.array(class_values(self.classes))
        valid = np.identity(self.classes, dtype=np.int64) if self.classes > 2 else table[:, None]
        is_of = (rows.targets[:, None, :] == valid[None]).all(axis=2)
        wrong = np.flatnonzero(~is_of.any(axis=1))
        if len(wrong):
            raise UnsatisfiedConstraint("a row to register has the target of no class", "labels", (int(wrong[0]),))
        counts = is_of.sum(axis=0)
        for name, is_bad in (
            ("class-rows-min", counts < self.registration.class_rows_min),
            ("class-rows-max", counts > self.registration.most),
        ):
            if is_bad.any():
                raise UnsatisfiedConstraint(
                    f"the rows to register are outside the policy's bound {name}", name, (int(np.argmax(is_bad)),)
                )

    def instance(self, key: VerifyingKey, record: RegistrationRecord, points: Points) -> Instance:
        """Returns the statement of one record, whose commitments are `points`."""
        backend, order = key.backend, key.layout.curve.order

        def derive(stage: int, challenges: dict[str, int]) -> tuple[Points, ...]:
            weights = row_weights(challenges["theta"], self.rows, order)
            return (sketch(backend, points, weights),) if stage == 1 else ()

        context = Context("R", self.policy, bytes(DIGEST_BYTES), record.signer, b"", record.digest)
        bounds = {"class-rows-min": self.registration.class_rows_min, "class-rows-max": self.registration.most}
        static = bounds if self.classes > 1 else {}
        return Instance(context.digest(key), static, derive_commitments=derive)


@dataclass(frozen=True, slots=True)
class RegistrationRecord:
    """What a client publishes; nothing in it is secret.

    Attributes:
        policy: As the terms'.
        epoch: As the terms'.
        signer: The client's Ed25519 key.
        commitments: C_1 .. C_M, compressed.
        proof: Of R.
    """

    policy: bytes
    epoch: int
    signer: bytes
    commitments: bytes = field(repr=False)
    proof: bytes = field(repr=False)

    def encode(self) -> bytes:
        w = Writer("zkfed/v1/registration-record").bytes(self.policy).u64(self.epoch).bytes(self.signer)
        return w.bytes(self.commitments).bytes(self.proof).finish()

    @classmethod
    def decode(cls, data: bytes) -> RegistrationRecord:
        """Reads a record; its points are decoded by `check_registration`.

        Raises:
            DecodeError: Not the canonical encoding of one.
            LimitExceeded: It is larger than any record.
        """
        r = Reader(data, "zkfed/v1/registration-record", limit=_RECORD_BYTES_MAX)
        out = cls(r.bytes(exact=DIGEST_BYTES), r.u64(), r.bytes(exact=32), r.bytes(), r.bytes(limit=4096))
        r.finish()
        return out

    @property
    def digest(self) -> bytes:
        """Names policy, epoch, client and rows, 32 bytes; not the proof, which is malleable."""
        epoch = self.epoch.to_bytes(8, "big")
        return digest("zkfed/v1/registration-digest", self.policy, epoch, self.signer, self.commitments)


def register(
    prover: Prover, terms: RegistrationTerms, *, rows: PrivateRows, signer: bytes, report: Report | None = None
) -> RegistrationRecord:
    """Commits to rows and proves that they are valid. Keep `rows`: rounds need the blinders.

    Args:
        prover: Of `terms.circuit`.
        terms: What the policy asks for.
        rows: M rows with fresh blinders (`RegistrationTerms.quantise`).
        signer: The client's Ed25519 key, 32 bytes.
        report: As in `Prover.prove`.

    Raises:
        PolicyError: There are not M rows of the policy's shape.
        UnsatisfiedConstraint: Targets of no class, or too few or too many rows of one.
        KeyRefused: The prover is for another circuit.
    """
    backend, order = prover.backend, prover.backend.curve.order
    if prover.system.digest != terms.circuit(backend.curve.name).digest:
        raise KeyRefused(f"the key is for {prover.system.name}, not for the policy's registration")
    terms.check_rows(rows)
    points = rows.commit(backend)
    record = RegistrationRecord(terms.policy, terms.epoch, signer, backend.encode(points), b"")
    _read(backend, terms, record)
    instance = terms.instance(prover.key.verifying, record, points)

    def blinder(challenges: dict[str, int]) -> int:
        return rows.blinder(row_weights(challenges["theta"], len(rows), order), order)

    proof = prover.prove(instance, {"rows": rows.table}, (blinder,), report).encode(backend)
    return RegistrationRecord(record.policy, record.epoch, record.signer, record.commitments, proof)


def _read(backend: Backend, terms: RegistrationTerms, record: RegistrationRecord) -> Points:
    if (record.policy, record.epoch) != (terms.policy, terms.epoch):
        raise ProofInvalid("the record was made for another policy or epoch")
    if len(record.signer) != 32:
        raise DecodeError(f"a client key of {len(record.signer)} bytes, expected 32")
    return decode_rows(backend, record.commitments, terms.rows)


def check_registration(key: VerifyingKey, terms: RegistrationTerms, record: RegistrationRecord) -> Points:
    """Checks a record. That it comes from its `signer` is what a signature on it says.

    Args:
        key: Of `terms.circuit`.
        terms: What the policy asks for.
        record: What the client published.

    Returns:
        The row commitments C_1 .. C_M.

    Raises:
        DecodeError: Not M distinct canonical commitments, or a malformed proof.
        ProofInvalid: It is for another policy or epoch, or its proof does not hold.
        KeyRefused: The key is for another circuit.
    """
    if key.layout.circuit_digest != terms.circuit(key.layout.curve.name).digest:
        raise KeyRefused(f"the key is for {key.layout.name}, not for the policy's registration")
    points = _read(key.backend, terms, record)
    verify(key, terms.instance(key, record, points), Proof.decode(key.backend, key.layout, record.proof))
    return points


def check_epoch(records: Iterable[RegistrationRecord], point_bytes: int) -> None:
    """Refuses an epoch in which a client registered twice, or two registered one commitment.

    A copied commitment cannot be proven without its opening, so equal ones mean that two keys
    have one holder, or that one client gave its rows away.

    Args:
        records: Checked ones.
        point_bytes: The size of a commitment, `curve.point_bytes("G1")`.

    Raises:
        Replay: Names the client.
    """
    signers: set[bytes] = set()
    seen: set[bytes] = set()
    for record in records:
        data = record.commitments
        own = {data[i : i + point_bytes] for i in range(0, len(data), point_bytes)}
        if record.signer in signers or not own.isdisjoint(seen):
            raise Replay(f"client {record.signer.hex()[:16]} registered twice, or rows that are registered already")
        signers.add(record.signer)
        seen |= own
