"""Participants that cheat, for the demo: each breaks one promise of the protocol.

They speak the same bytes as everybody else; the other parties do not know who they are.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.groth16.proof import Blinder, Instance, Proof
from zkfed.groth16.prove import Prover
from zkfed.he.encrypt import encrypt
from zkfed.he.keys import PublicKey
from zkfed.layers.agreement import Announced
from zkfed.layers.heart import Device
from zkfed.layers.round_state import RoundState
from zkfed.orchestrator.client import Client
from zkfed.ports import Transport
from zkfed.statements.terms import Terms
from zkfed.updates.messages import Announcement
from zkfed.updates.sealed import SealedUpdate
from zkfed.updates.update import ModelUpdate, model_digest

__all__ = ["CHEATS", "Cheat", "forced_proof", "forging"]


def forced_proof(prover: Prover, instance: Instance, private: dict[str, Any], blinders: tuple[Blinder, ...]) -> Proof:
    """Assembles a proof from a witness that does not satisfy the circuit, checking nothing."""
    order = prover.system.curve.order
    challenger, assignment, d, segments = prover._commit(
        instance, private, lambda: secrets.randbelow(order), is_strict=False
    )
    committed = (challenger, d, segments)
    return prover._assemble(committed, assignment.final(), blinders, lambda: secrets.randbelow(order))


class _CheatingDevice(Device):
    """A device whose own checks are switched off and whose prover proves anything."""

    def _check(self, terms: Terms | None, update: ModelUpdate, round_number: int) -> None:
        """Checks nothing."""

    def _prove(self, current: RoundState) -> bytes:
        agreement = self.agreement
        instance, blinders = current.instance(agreement, self.public_key), current.blinders(agreement.order)
        return forced_proof(self._prover, instance, current.private(), blinders).encode(agreement.backend)


def forging(device: Device) -> None:
    """Switches a device's own checks off; its key and rows stay."""
    device.__class__ = _CheatingDevice


class _OtherPlaintext(Device):
    """Proves its honest update and encrypts the opposite of it, ten times."""

    def _encrypt(self, key: PublicKey, current: RoundState) -> bytes:
        other = np.clip(-10 * current.update.integers, -(1 << 15), (1 << 15) - 1)
        return encrypt(key, self.agreement.plaintext.pack(other, current.blinder)).to_bytes()


class Cheat(Client, ABC):
    """A participant with a name for what it does.

    Attributes:
        name: For the account of the demo.
        rounds: In which it cheats; in the others it is honest. Empty means all.
    """

    name = "none"

    def __init__(self, honest: Client, transport: Transport, rounds: tuple[int, ...] = ()) -> None:
        super().__init__(honest.device, honest.shard, honest.train)
        self.rounds, self.transport, self._is_cheating = rounds, transport, False

    def _become(self, kind: type[Device]) -> None:
        # The same enrolled key under another behaviour.
        self.device.__class__ = kind

    def join(self, announcement: bytes, *, base: npt.NDArray[np.int64], previous: bytes, round_number: int) -> bytes:
        self._is_cheating = not self.rounds or round_number in self.rounds
        if not self._is_cheating:
            self._become(Device)
            return super().join(announcement, base=base, previous=previous, round_number=round_number)
        return self.cheat(announcement, base=base, previous=previous, round_number=round_number)

    @abstractmethod
    def cheat(self, announcement: bytes, *, base: npt.NDArray[np.int64], previous: bytes, round_number: int) -> bytes:
        """Commits to what the cheat wants others to believe."""


class FalseClaim(Cheat):
    """Sends noise of full norm and claims that it improves the benchmark."""

    name = "claims an improvement that it does not have"

    def cheat(self, announcement: bytes, *, base: npt.NDArray[np.int64], previous: bytes, round_number: int) -> bytes:
        self._become(_CheatingDevice)
        policy = self.device.agreement.policy
        noise = np.random.default_rng(secrets.randbits(64)).normal(size=policy.model.parameters)
        noise *= 0.99 * policy.clip_norm * 2**policy.model.fraction_bits / np.linalg.norm(noise)
        integers = np.rint(noise).astype(np.int64)
        if self.device.agreement.terms(base).loss_change(integers) < 0:
            # Chance may improve a model, and then the claim would be true: the opposite never does both.
            integers = -integers
        update = ModelUpdate(integers, model_digest(base))
        return self.device.commit(announcement, update, base=base, previous=previous)


class NormTooLarge(Cheat):
    """Sends its honest direction at four times the clip."""

    name = "norm too large"

    def cheat(self, announcement: bytes, *, base: npt.NDArray[np.int64], previous: bytes, round_number: int) -> bytes:
        self._become(_CheatingDevice)
        policy = self.device.agreement.policy
        scale = float(1 << policy.model.fraction_bits)
        step = self.train(policy.model, base / scale, self.shard, round_number) - base / scale
        step *= 4 * policy.clip_norm / max(float(np.linalg.norm(step)), 1e-9)
        integers = np.clip(np.rint(step * scale), -(1 << 15), (1 << 15) - 1).astype(np.int64).ravel()
        return self.device.commit(announcement, ModelUpdate(integers, model_digest(base)), base=base, previous=previous)


class ReplayedProof(Cheat):
    """Commits to its own update and sends another client's proof for it."""

    name = "replays another client's proof"

    def cheat(self, announcement: bytes, *, base: npt.NDArray[np.int64], previous: bytes, round_number: int) -> bytes:
        self._become(_CheatingDevice)
        update = ModelUpdate(np.zeros(self.device.agreement.policy.model.parameters, np.int64), model_digest(base))
        return self.device.commit(announcement, update, base=base, previous=previous)

    def seal(self, announcement: bytes, encryption_key: bytes) -> bytes:
        if self._is_cheating:
            stolen = self._somebody_elses_proof(Announced.decode(announcement).body)
            if stolen:
                self.device._current().proof = stolen
        return super().seal(announcement, encryption_key)

    def _somebody_elses_proof(self, body: Announcement) -> bytes:
        """Reads a sealed update that is on the transport already and takes its proof."""
        policy = self.device.agreement.policy.digest.hex()[:16]
        channel = f"{policy}/round-{body.round}/attempt-{body.attempt}-{body.group}/sealed"
        for message in self.transport.fetch(channel):
            update = SealedUpdate.decode(message)
            if update.signed.signer != self.device.public_key:
                return update.seal.proof
        return b""


class OtherCiphertext(Cheat):
    """Proves one update and encrypts another: nobody can tell without decrypting it."""

    name = "proves one update and encrypts another"

    def cheat(self, announcement: bytes, *, base: npt.NDArray[np.int64], previous: bytes, round_number: int) -> bytes:
        self._become(_OtherPlaintext)
        return Client.join(self, announcement, base=base, previous=previous, round_number=round_number)


CHEATS = (FalseClaim, NormTooLarge, ReplayedProof, OtherCiphertext)
