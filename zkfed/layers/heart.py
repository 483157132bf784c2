"""A device: it proves, commits, encrypts and signs. Only sealed updates leave it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.algebra.backend import Points
from zkfed.encoding import digest
from zkfed.errors import IntegrityError, PolicyError, Replay
from zkfed.fixedpoint import quantise_update
from zkfed.groth16.prove import Prover
from zkfed.he.encrypt import encrypt
from zkfed.he.keys import PublicKey
from zkfed.he.sealing import SealingPublicKey, seal
from zkfed.layers.agreement import Agreement, Announced
from zkfed.statements.terms import Terms
from zkfed.updates.messages import Commit, Receipt, Seal
from zkfed.updates.sealed import SealedUpdate
from zkfed.updates.signing import Signed, SigningKey
from zkfed.updates.update import ModelUpdate, model_digest

__all__ = ["Device"]


@dataclass
class _Round:
    """What a device keeps of one round; secret."""

    first: Announced
    terms: Terms
    update: ModelUpdate = field(repr=False)
    blinder: int = field(repr=False)
    point: Points = field(repr=False)
    commit: Signed = field(repr=False)
    proof: bytes = field(default=b"", repr=False)
    sealed: dict[int, tuple[bytes, bytes]] = field(default_factory=dict, repr=False)


class Device:
    """One enrolled client.

    A round is `commit` once and `seal` once for each attempt that the announcement allows.
    C_D and the proof stay the same in all attempts; the ciphertext is fresh.

    Args:
        agreement: The public facts.
        key: The device's signing key; must be enrolled.
        prover: Of statement S2, under the agreement's verifying key.
    """

    def __init__(self, agreement: Agreement, key: SigningKey, prover: Prover) -> None:
        if key.public not in agreement.enrolled:
            raise PolicyError("this device's key is not enrolled")
        if prover.key.verifying.digest != agreement.improvement.digest:
            raise PolicyError("the prover's key is not the one of the agreement")
        self.agreement, self._key, self._prover = agreement, key, prover
        self._round: _Round | None = None

    def __repr__(self) -> str:
        return f"Device({self._key.public.hex()[:16]}..., secrets hidden)"

    @property
    def public_key(self) -> bytes:
        return self._key.public

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
            Replay: This device has committed to another update of this round, or to a later one.
            UnsatisfiedConstraint: The update does not satisfy the statement.
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
        terms = agreement.terms(base)
        self._check(terms, update, announced.body.round)
        blinder = secrets.randbits(384) % agreement.order
        point = agreement.generators.commit(update.integers, blinder)
        body = Commit(announced.digest, agreement.backend.encode(point), "S2")
        signed = self._key.sign("commit", body.encode())
        self._round = _Round(announced, terms, update, blinder, point, signed)
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

    def seal(self, announcement: bytes, encryption_key: bytes) -> bytes:
        """Proves (once a round), encrypts and signs the committed update for one attempt.

        Args:
            announcement: Of this attempt.
            encryption_key: K's public key of this attempt, as bytes.

        Returns:
            A sealed update: a signed `Seal` and the ciphertext under HPKE to the adders.

        Raises:
            Replay: The announcement is of another round.
            PolicyError: The key is not the announced one, or this device is not a member.
            DecodeError, CiphertextRefused: The key is malformed.
        """
        agreement, current = self.agreement, self._current()
        announced = agreement.open_announcement(
            announcement,
            base=np.asarray(current.terms.base, dtype=np.int64),
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

    def _prove(self, current: _Round) -> bytes:
        agreement, terms = self.agreement, current.terms
        instance = agreement.improvement_instance(terms, current.first, self.public_key, current.point)
        private = terms.private(current.update.integers)
        return self._prover.prove(instance, private, (current.blinder,)).encode(agreement.backend)

    def _encrypt(self, key: PublicKey, current: _Round) -> bytes:
        return encrypt(key, self.agreement.plaintext.pack(current.update.integers, current.blinder)).to_bytes()

    def _check(self, terms: Terms, update: ModelUpdate, round_number: int) -> None:
        """Says early, and by name, what proving would refuse."""
        policy = self.agreement.policy
        maximum = terms.loss_change_max(policy.millionths(round_number), policy.statement.base_loss_min)
        terms.check_update(update.integers, squared_norm_max=self.agreement.squared_norm_max, loss_change_max=maximum)

    def _current(self) -> _Round:
        if self._round is None:
            raise PolicyError("this device has not committed to a round")
        return self._round
