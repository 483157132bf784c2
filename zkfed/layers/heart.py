"""A device: it proves, commits, encrypts and signs. Only sealed updates leave it."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.commitments.rows import PrivateRows
from zkfed.encoding import digest
from zkfed.errors import (
    BudgetExceeded,
    DecodeError,
    IntegrityError,
    NotAuthorised,
    PolicyError,
    ProofInvalid,
    Replay,
    UnsatisfiedConstraint,
)
from zkfed.fixedpoint import quantise_update
from zkfed.groth16.proof import Proof
from zkfed.groth16.prove import Prover
from zkfed.groth16.verify import verify
from zkfed.he.encrypt import encrypt
from zkfed.he.keys import PublicKey
from zkfed.he.sealing import SealingPublicKey, seal
from zkfed.layers.agreement import Agreement, Announced
from zkfed.layers.beacon import open_beacon
from zkfed.layers.registry import registration_terms
from zkfed.layers.round_state import Proving, RoundState, prove_round
from zkfed.policy import UPDATE_BITS, RoundPolicy
from zkfed.statements.improvement import check_norm
from zkfed.statements.one_hot import CountTerms
from zkfed.statements.own_data import OwnTerms
from zkfed.statements.registration import RegistrationRecord, check_registration, register
from zkfed.statements.terms import Terms
from zkfed.updates.messages import Commit, Receipt, Seal
from zkfed.updates.sealed import SealedUpdate
from zkfed.updates.signing import Signed, SigningKey
from zkfed.updates.update import ModelUpdate, model_digest

__all__ = ["Device", "register_rows"]


def register_rows(
    policy: RoundPolicy, key: SigningKey, prover: Prover, rows: PrivateRows, *, proving: Proving | None = None
) -> bytes:
    """Commits to a client's own rows and proves that they are valid, before the first round.

    Args:
        policy: With both parties' keys pinned; its statement is S1.
        key: The client's signing key.
        prover: Of the registration's circuit.
        rows: M rows with fresh blinders (`RegistrationTerms.quantise`); the device keeps them.
        proving: Who makes the proof, if not this process; it sees the rows.

    Returns:
        The signed record, for the adders.

    Raises:
        PolicyError: The policy asks for no registration, or for another number or shape of rows.
        UnsatisfiedConstraint: Targets of no class, or too few or too many rows of one.
        KeyRefused: The prover is for another circuit.
        ProofInvalid: Whoever made the proof made another one.
    """
    terms = registration_terms(policy)
    if proving is None:
        record = register(prover, terms, rows=rows, signer=key.public)
    else:
        record = RegistrationRecord.decode(proving.registration(policy, key.public, rows))
        check_registration(prover.key.verifying, terms, record)
        if record.signer != key.public:
            raise ProofInvalid("the record that was made elsewhere is another client's")
    return key.sign("registration", record.encode()).encode()


class Device:
    """One enrolled client.

    A round is `commit` once and `seal` once for each attempt that the announcement allows; for S1
    `accept_beacon` stands between them. C_D, the drawn rows and the proof stay the same in all
    attempts; the ciphertext is fresh.

    Args:
        agreement: The public facts.
        key: The device's signing key; must be enrolled.
        prover: Of the policy's statement, under the agreement's verifying key.
        rows: What this device registered, for S1; None for S2.
        proving: Who makes the proofs, if not this process; it sees the update.

    Raises:
        PolicyError: The key is not enrolled, the prover is for another key, or rows are missing.
        NotAuthorised: The registry does not hold a record of this device.
    """

    def __init__(
        self, agreement: Agreement, key: SigningKey, prover: Prover, *, rows: PrivateRows | None = None,
        proving: Proving | None = None,
    ) -> None:  # fmt: skip
        if key.public not in agreement.enrolled:
            raise PolicyError("this device's key is not enrolled")
        if prover.key.verifying.digest != agreement.improvement.digest:
            raise PolicyError("the prover's key is not the one of the agreement")
        if agreement.registry is not None:
            agreement.registry.record(key.public)
            if rows is None:
                raise PolicyError("this policy is about registered rows: Device(..., rows=...)")
            agreement.registry.terms.check_shape(rows)
        self.agreement, self._key, self._prover = agreement, key, prover
        self._rows, self._proving = rows, proving
        self._round: RoundState | None = None

    def __repr__(self) -> str:
        return f"Device({self._key.public.hex()[:16]}..., secrets hidden)"

    @property
    def public_key(self) -> bytes:
        return self._key.public

    @property
    def first(self) -> Announced:
        """The first announcement of the round that this device has committed to; raises PolicyError without one."""
        return self._current().first

    def committed(self, announcement: bytes) -> bytes:
        """Returns this device's commit under the announcement with a digest, b"" if it has made none."""
        if self._round is None or self._round.first.digest != announcement:
            return b""
        return self._round.commit.encode()

    def save(self) -> bytes:
        """Returns what this device must not forget of its current round, b"" before the first. Secret.

        Store it before an answer leaves the device; `restore` takes it back.
        """
        return b"" if self._round is None else self._round.encode()

    def restore(self, state: bytes) -> None:
        """Takes back what `save` returned, after a restart.

        Raises:
            DecodeError, SignatureInvalid, NotAuthorised, ProofInvalid, IntegrityError: See `RoundState.decode`.
            PolicyError: Likewise, or this device is in a round already.
        """
        if self._round is not None:
            raise PolicyError("this device is in a round: restore it before anything else")
        if state:
            self._round = RoundState.decode(state, self.agreement, self.public_key)
            if self._round.reveals:
                with contextlib.suppress(UnsatisfiedConstraint):  # it sat out then, and does again
                    self.accept_beacon(self._round.reveals)

    def quantise(self, before: npt.NDArray[np.int64], after: npt.NDArray[Any]) -> ModelUpdate:
        """Returns the clipped fixed-point update from a base model to trained weights.

        Args:
            before: W0, integers at scale 2^f, shape (inputs, outputs).
            after: Trained weights, floats of the same shape.

        Raises:
            ValueError: Weights are NaN or infinite, or of another shape.
        """
        policy = self.agreement.policy
        scale = float(1 << policy.model.fraction_bits)
        trained = np.asarray(after, dtype=np.float64)
        if trained.shape != before.shape:
            raise ValueError(f"trained weights of shape {trained.shape}, the base model has {before.shape}")
        integers = quantise_update(
            (trained - before / scale).ravel(),
            clip_norm=policy.clip_norm,
            fraction_bits=policy.model.fraction_bits,
        )
        return ModelUpdate(integers, model_digest(before))

    def commit(
        self, announcement: bytes, update: ModelUpdate, *, base: npt.NDArray[np.int64], previous: bytes
    ) -> bytes:
        """Commits to an update for the announced round.

        Args:
            announcement: Of attempt 1.
            update: From `quantise`.
            base: W0 as the device itself knows it.
            previous: Digest of the previous round's transcript; 32 zero bytes in round 1.

        Returns:
            A signed `Commit`.

        Raises:
            PolicyError, NotAuthorised, DecodeError, SignatureInvalid, ProofInvalid: The
                announcement is not the one that this device expects.
            IntegrityError: The update is for another base model.
            DecodeError: Or the update is not of the policy's shape, int64, or inside [-2^15, 2^15).
            Replay: This device has committed to another update of this round, or to a later one.
            UnsatisfiedConstraint: The update does not satisfy the statement; of S1 only its norm is
                known now, the rest when the rows are drawn (`accept_beacon`).
            BudgetExceeded: As many rounds have asked about registered rows as the policy allows.
        """
        agreement = self.agreement
        announced = agreement.open_announcement(announcement, base=base, previous=previous)
        if announced.body.attempt != 1:
            raise PolicyError("a device commits to the first attempt of a round")
        if update.base != model_digest(base):
            raise IntegrityError("the update changes another base model than the announced one")
        before = self._round
        if before is not None and announced.body.round <= before.first.body.round:
            # A lost message is sent again as it was; a second update would get a second sum.
            if announced.digest == before.first.digest and np.array_equal(update.integers, before.update.integers):
                return before.commit.encode()
            raise Replay(f"this device has committed to an update of round {before.first.body.round} already")
        kind = agreement.policy.statement.kind
        terms = agreement.terms(base) if kind != "S1" else None
        # By the number of the round, as the record is checked: a count of one's own would die with the process.
        if terms is None and announced.body.round > agreement.policy.acceptance_bits_max:
            raise BudgetExceeded(
                f"{announced.body.round - 1} rounds have asked about registered rows, as often as the policy allows: "
                f"each answer is a bit without noise"
            )
        self._check_form(update)
        self._check(terms, update, announced.body.round)
        blinder = secrets.randbits(384) % agreement.order
        point = agreement.generators.commit(update.integers, blinder)
        body = Commit(announced.digest, agreement.backend.encode(point), kind)
        signed = self._key.sign("commit", body.encode())
        self._round = RoundState(announced, np.asarray(base, dtype=np.int64), terms, update, blinder, point, signed)
        return signed.encode()

    def accept_receipt(self, receipt: bytes) -> None:
        """Checks the adders' receipt for this round's commit.

        Raises:
            DecodeError, SignatureInvalid: Not a receipt, or its signature does not hold.
            IntegrityError: It is for another commit, or by another signer.
        """
        signed = Signed.decode(receipt, "receipt", limit=4096)
        if signed.signer != self.agreement.policy.adder_key:
            raise IntegrityError("the receipt is not signed by the pinned adders")
        if Receipt.decode(signed.body).commit != self._current().commit.digest:
            raise IntegrityError("the receipt is for another commit")

    def accept_beacon(self, reveals: Sequence[bytes]) -> None:
        """Takes the beacon's openings and checks the update on the rows that they draw (S1).

        Args:
            reveals: The adders' and then the key holder's.

        Raises:
            PolicyError: The statement draws no rows, or this device has not committed.
            NotAuthorised: A party has not opened its nonce, or this device's commit is not in the list.
            SignatureInvalid, DecodeError, Replay, CommitmentMismatch: See `open_beacon`.
            UnsatisfiedConstraint: The update does not improve the drawn rows by the round's share:
                the device sits out. Others learn that much of its rows, and no more.
        """
        agreement, current = self.agreement, self._current()
        beacon = open_beacon(agreement.policy, current.first, reveals)
        if current.commit.digest not in beacon.commits:
            raise NotAuthorised("the beacon was opened over a list without this device's commit")
        if self._rows is None:
            raise PolicyError("this policy's statement draws no rows")
        terms = agreement.own_terms(
            current.base, beacon.value, client=self.public_key, commitment=agreement.backend.encode(current.point)
        )
        if isinstance(current.terms, OwnTerms) and current.terms.drawn.beacon != beacon.value:
            raise Replay("the beacon of this round was opened before, over another commit list")
        current.terms, current.rows, current.reveals = terms, self._rows.take(terms.drawn.indices), tuple(reveals)
        terms.check(
            current.private(), squared_norm_max=agreement.squared_norm_max,
            millionths=agreement.policy.millionths(current.first.body.round),
        )  # fmt: skip

    def seal(self, announcement: bytes, encryption_key: bytes) -> bytes:
        """Proves (once a round), encrypts and signs the committed update for one attempt.

        Args:
            announcement: Of this attempt.
            encryption_key: K's public key of this attempt, as bytes.

        Returns:
            A sealed update: a signed `Seal` and the ciphertext under HPKE to the adders.

        Raises:
            Replay: The announcement is of another round.
            PolicyError: The key is not the announced one, this device is not a member, or the beacon
                has not drawn its rows.
            DecodeError, CiphertextRefused: The key is malformed.
        """
        agreement, current = self.agreement, self._current()
        announced = agreement.open_announcement(
            announcement,
            base=current.base,
            previous=current.first.body.previous,
        )
        body = announced.body
        if body.round != current.first.body.round:
            raise Replay(f"this device committed to round {current.first.body.round}, not {body.round}")
        if body.attempt == 1 and announced.digest != current.first.digest:
            raise Replay("the announcement is another one than this device committed to")
        if body.attempt > 1 and (body.first != current.first.digest or current.commit.digest not in body.members):
            raise PolicyError("this device is no member of the announced attempt")
        if body.attempt in current.sealed:
            # A lost message is sent again as it was; a second group of one attempt would get a second sum.
            digest_before, message = current.sealed[body.attempt]
            if digest_before != announced.digest:
                raise Replay(f"this device has sealed attempt {body.attempt} for another group")
            return message
        key = PublicKey.from_bytes(encryption_key, agreement.encryption)
        if key.digest != body.encryption_key:
            raise PolicyError("the encryption key is not the announced one")
        if not current.proof:
            current.proof = self._prove(current)
        ciphertext = self._encrypt(key, current)
        sealed = Seal(
            current.commit.digest,
            announced.digest,
            key.digest,
            digest("zkfed/v1/ciphertext", ciphertext),
            current.proof,
        )
        signed = self._key.sign("seal", sealed.encode())
        outer = seal(
            SealingPublicKey.from_bytes(body.sealing_key),
            ciphertext,
            info=announced.digest,
            aad=current.commit.digest,
        )
        message = SealedUpdate(signed, outer).encode()
        current.sealed[body.attempt] = (announced.digest, message)
        return message

    def _prove(self, current: RoundState) -> bytes:
        agreement = self.agreement
        if self._proving is None:
            return prove_round(self._prover, agreement, self.public_key, current)
        # Nothing is sealed with a proof that does not hold, whoever made it.
        instance = current.instance(agreement, self.public_key)
        made = self._proving.rounds(agreement, self.public_key, current)
        verify(agreement.improvement, instance, Proof.decode(agreement.backend, agreement.improvement.layout, made))
        return made

    def _encrypt(self, key: PublicKey, current: RoundState) -> bytes:
        return encrypt(key, self.agreement.plaintext.pack(current.update.integers, current.blinder)).to_bytes()

    def _check_form(self, update: ModelUpdate) -> None:
        """Raises DecodeError unless an update has the policy's shape, type and range."""
        d, half = update.integers, 1 << (UPDATE_BITS - 1)
        expected = (self.agreement.policy.model.parameters,)
        if d.shape != expected or d.dtype != np.int64:
            raise DecodeError(f"an update of {d.dtype} and shape {d.shape}, expected int64 and {expected}")
        if int(d.min()) < -half or int(d.max()) >= half:
            raise DecodeError(f"a coordinate of the update is outside [-{half}, {half})")

    def _check(self, terms: Terms | CountTerms | None, update: ModelUpdate, round_number: int) -> None:
        """Says early, and by name, what proving would refuse; of S1 that is the norm alone."""
        policy = self.agreement.policy
        if terms is None:
            check_norm(update.integers, self.agreement.squared_norm_max)
            return
        if isinstance(terms, CountTerms):
            terms.check(update.integers)
            return
        maximum = terms.loss_change_max(policy.millionths(round_number), policy.improvement.base_loss_min)
        terms.check_update(update.integers, squared_norm_max=self.agreement.squared_norm_max, loss_change_max=maximum)

    def _current(self) -> RoundState:
        if self._round is None:
            raise PolicyError("this device has not committed to a round")
        return self._round
