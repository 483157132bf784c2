"""A sealed update: the only thing about an update that leaves a device."""

from __future__ import annotations

from dataclasses import dataclass, field

from zkfed.encoding import Reader, Writer
from zkfed.updates.messages import MESSAGE_BYTES_MAX, Seal
from zkfed.updates.signing import Signed

__all__ = ["SealedUpdate"]

PUBLIC_BYTES_MAX = 1 << 16


@dataclass(frozen=True)
class SealedUpdate:
    """A signed `Seal`, which is public, and the ciphertext under HPKE to the adders.

    Attributes:
        signed: The public half: commit, attempt, key, ciphertext digest, proof.
        outer: Goes to the adders and nobody else; a transcript holds only its plaintext's digest.
    """

    signed: Signed
    outer: bytes = field(repr=False)

    @property
    def seal(self) -> Seal:
        """The signed body; raises DecodeError if it is no `Seal`."""
        return Seal.decode(self.signed.body)

    def encode(self) -> bytes:
        return Writer("zkfed/v1/sealed-update").bytes(self.signed.encode()).bytes(self.outer).finish()

    @classmethod
    def decode(cls, data: bytes) -> SealedUpdate:
        """Reads a sealed update and checks its signature.

        Raises:
            DecodeError, LimitExceeded: Not canonical.
            SignatureInvalid: The signature does not hold.
        """
        r = Reader(data, "zkfed/v1/sealed-update", MESSAGE_BYTES_MAX)
        public, outer = r.bytes(limit=PUBLIC_BYTES_MAX), r.bytes(limit=MESSAGE_BYTES_MAX)
        r.finish()
        return cls(Signed.decode(public, "seal", limit=PUBLIC_BYTES_MAX), outer)
