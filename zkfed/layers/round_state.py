"""What a device keeps and proves of one round, and its bytes: one that restarts in the middle goes on where it was.

A device that forgot a round could be asked for a second update of it, and two sums that differ by
one client are that client's update. So a host stores these bytes before an answer leaves the device.
They are secret: whoever reads them reads the update.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.algebra.backend import Points
from zkfed.commitments.rows import PrivateRows, row_weights
from zkfed.encoding import Reader, Writer
from zkfed.errors import DecodeError, IntegrityError, PolicyError
from zkfed.groth16.proof import Blinder, Instance
from zkfed.groth16.prove import Prover
from zkfed.layers.agreement import Agreement, Announced
from zkfed.layers.beacon import open_beacon
from zkfed.policy import RoundPolicy
from zkfed.statements.one_hot import CountTerms
from zkfed.statements.own_data import OwnTerms
from zkfed.statements.terms import Terms
from zkfed.updates.messages import ATTEMPTS_MAX, MESSAGE_BYTES_MAX, Commit
from zkfed.updates.signing import Signed
from zkfed.updates.update import ModelUpdate, decode_ints, encode_ints, model_digest

__all__ = ["Proving", "RoundState", "decode_rows", "decode_task", "encode_rows", "encode_task", "prove_round"]

_TAG, _TASK = "zkfed/v1/device-round", "zkfed/v1/proof-task"


@dataclass
class RoundState:
    """What a device keeps of one round; secret.

    Attributes:
        terms: What it has to prove; of S1 None until the beacon has drawn the rows.
        reveals: The beacon's openings, once they came (S1).
        sealed: (announcement, message) by attempt.
    """

    first: Announced
    base: npt.NDArray[np.int64]
    terms: Terms | OwnTerms | CountTerms | None
    update: ModelUpdate = field(repr=False)
    blinder: int = field(repr=False)
    point: Points = field(repr=False)
    commit: Signed = field(repr=False)
    rows: PrivateRows | None = field(default=None, repr=False)
    reveals: tuple[bytes, ...] = ()
    proof: bytes = field(default=b"", repr=False)
    sealed: dict[int, tuple[bytes, bytes]] = field(default_factory=dict, repr=False)

    def encode(self) -> bytes:
        """Returns the round as bytes. Secret."""
        w = Writer(_TAG).bytes(self.first.encode()).bytes(encode_ints(self.base.ravel()))
        w.bytes(encode_ints(self.update.integers)).integer(self.blinder).bytes(self.commit.encode())
        w.list(self.reveals).bytes(self.proof)
        w.list([number.to_bytes(8, "big") for number in self.sealed])
        return w.list([part for pair in self.sealed.values() for part in pair]).finish()

    @classmethod
    def decode(cls, data: bytes, agreement: Agreement, client: bytes) -> RoundState:
        """Reads what `encode` wrote; the beacon's rows are drawn again by `Device.accept_beacon`.

        Args:
            data: From the device's own store.
            agreement: Of the same federation.
            client: The device's public key.

        Raises:
            DecodeError, SignatureInvalid, NotAuthorised, PolicyError, ProofInvalid: Not this, or of elsewhere.
            IntegrityError: Of another device, or the parts do not belong together.
        """
        model = agreement.policy.model
        r = Reader(data, _TAG, 16 * MESSAGE_BYTES_MAX)
        announced = r.bytes(limit=MESSAGE_BYTES_MAX)
        base = decode_ints(r.bytes(exact=8 * model.parameters)).reshape(model.shape)
        integers = decode_ints(r.bytes(exact=8 * model.parameters))
        blinder, commit = r.integer(), Signed.decode(r.bytes(limit=4096), "commit", limit=4096)
        reveals, proof = tuple(r.list(2)), r.bytes(limit=1 << 16)
        numbers = [int.from_bytes(n, "big") for n in r.list(ATTEMPTS_MAX, exact=8)]
        sealed = r.list(2 * ATTEMPTS_MAX)
        r.finish()
        if not 0 <= blinder < agreement.order:
            raise DecodeError("device round: a blinder outside the field")
        if len(sealed) != 2 * len(numbers) or numbers != sorted(set(numbers)):
            raise DecodeError("device round: attempts and messages do not fit together")
        first = agreement.open_announcement(announced, base=base, previous=Announced.decode(announced).body.previous)
        body = Commit.decode(commit.body)
        point = agreement.generators.commit(integers, blinder)
        if commit.signer != client or body.announcement != first.digest:
            raise IntegrityError("device round: the commit is another device's, or of another round")
        if agreement.backend.encode(point) != body.commitment:
            raise IntegrityError("device round: the update is not the committed one")
        terms = agreement.terms(base) if agreement.policy.statement.kind != "S1" else None
        return cls(
            first, base, terms, ModelUpdate(integers, model_digest(base)), blinder, point, commit, None, reveals, proof,
            dict(zip(numbers, zip(sealed[::2], sealed[1::2], strict=True), strict=True)),
        )  # fmt: skip

    def instance(self, agreement: Agreement, client: bytes) -> Instance:
        """Returns the statement of a client in this round; raises PolicyError before the beacon is open (S1)."""
        if self.terms is None:
            raise PolicyError("the round's beacon is not open: no rows are drawn yet")
        return agreement.improvement_instance(self.terms, self.first, client, self.point)

    def private(self) -> dict[str, Any]:
        """Returns what the statement's circuit reads: update and, for S1, the drawn rows. Secret."""
        terms, rows = self.terms, self.rows
        if isinstance(terms, OwnTerms) and rows is not None:
            return terms.private(self.update.integers, rows.features, rows.targets)
        if terms is None or isinstance(terms, OwnTerms):
            raise PolicyError("the round's beacon is not open: no rows are drawn yet")
        return terms.private(self.update.integers)

    def blinders(self, order: int) -> tuple[Blinder, ...]:
        """Returns the openings of C_D and, for S1, of the sketch of the drawn rows. Secret."""
        rows = self.rows
        if rows is None:
            return (self.blinder,)

        def of_sketch(challenges: dict[str, int]) -> int:
            return rows.blinder(row_weights(challenges["rho"], len(rows), order), order)

        return self.blinder, of_sketch


@dataclass(frozen=True)
class Proving:
    """Where a device's proofs are made, if not in its own process: whoever makes them sees update and rows.

    Attributes:
        rounds: (agreement, client, state) -> proof, as `prove_round`.
        registration: (policy, client, rows) -> record, as `zkfed.statements.registration.register`.
    """

    rounds: Callable[[Agreement, bytes, RoundState], bytes]
    registration: Callable[[RoundPolicy, bytes, PrivateRows], bytes]


def prove_round(prover: Prover, agreement: Agreement, client: bytes, state: RoundState) -> bytes:
    """Returns the proof of a client's statement in one round.

    Raises:
        PolicyError: The beacon has not drawn the rows (S1).
        UnsatisfiedConstraint: The statement is not true.
    """
    instance = state.instance(agreement, client)
    proof = prover.prove(instance, state.private(), state.blinders(agreement.order))
    return proof.encode(agreement.backend)


def encode_task(client: bytes, state: RoundState) -> bytes:
    """Returns what a prover elsewhere needs beside the agreement. Secret."""
    return Writer(_TASK).bytes(client).bytes(replace(state, sealed={}).encode()).list(encode_rows(state.rows)).finish()


def decode_task(data: bytes, agreement: Agreement) -> tuple[bytes, RoundState]:
    """Reads what `encode_task` wrote; raises as `RoundState.decode` and `open_beacon`."""
    r = Reader(data, _TASK, 16 * MESSAGE_BYTES_MAX)
    client, encoded, rows = r.bytes(exact=32), r.bytes(), r.list(3)
    r.finish()
    state = RoundState.decode(encoded, agreement, client)
    state.rows = decode_rows(rows)
    if state.rows is not None:
        beacon = open_beacon(agreement.policy, state.first, state.reveals).value
        commitment = agreement.backend.encode(state.point)
        state.terms = agreement.own_terms(state.base, beacon, client=client, commitment=commitment)
    return client, state


def encode_rows(rows: PrivateRows | None) -> list[bytes]:
    """Returns rows and their blinders as bytes, nothing for None. Secret."""
    if rows is None:
        return []
    blinders = b"".join(b.to_bytes(32, "big") for b in rows.blinders)
    return [encode_ints(rows.features.ravel()), encode_ints(rows.targets.ravel()), blinders]


def decode_rows(parts: list[bytes]) -> PrivateRows | None:
    """Reads what `encode_rows` wrote.

    Raises:
        DecodeError: Not rows.
    """
    if not parts:
        return None
    if len(parts) != 3 or len(parts[2]) % 32:
        raise DecodeError("registered rows are features, targets and blinders")
    blinders = tuple(int.from_bytes(parts[2][i : i + 32], "big") for i in range(0, len(parts[2]), 32))
    count = len(blinders)
    try:
        features, targets = (decode_ints(p).reshape(count, -1).astype(np.int64) for p in parts[:2])
        return PrivateRows(features, targets, blinders)
    except ValueError:
        raise DecodeError(f"{count} registered rows whose values do not fit") from None
