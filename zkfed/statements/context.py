"""ctx: what a proof is bound to.

    ctx = H("zkfed/v1/ctx", version, curve, kind, policy, circuit, vk, announcement,
            signer, commitment, data, beacon)

Every item is length-prefixed; one changed bit anywhere gives another ctx, and a proof for
one ctx is a proof for no other (protocol.md section 6).
"""

from __future__ import annotations

from dataclasses import dataclass

from zkfed.encoding import digest
from zkfed.groth16.keys import VerifyingKey

__all__ = ["PROTOCOL_VERSION", "Context"]

PROTOCOL_VERSION = 1


@dataclass(frozen=True, slots=True)
class Context:
    """The items of ctx that differ from proof to proof.

    Attributes:
        kind: "S0", "S1", "S2", "S3", "S4", "N", "R" or "custom:<name>".
        policy: Digest of the policy, or of the statement for a proof outside a round.
        announcement: Digest of the round's first announcement; 32 zero bytes outside a round.
        signer: The client's or party's Ed25519 key; empty outside a round.
        commitment: C_D, encoded.
        data: Digest of benchmark and base model (S2) or role, round and attempt (N); empty for S0.
        beacon: Beacon output; empty where the rows are fixed.
    """

    kind: str
    policy: bytes
    announcement: bytes
    signer: bytes
    commitment: bytes
    data: bytes = b""
    beacon: bytes = b""

    def digest(self, key: VerifyingKey) -> bytes:
        """Returns ctx under a verifying key, 32 bytes."""
        return digest(
            "zkfed/v1/ctx",
            PROTOCOL_VERSION.to_bytes(8, "big"),
            key.layout.curve.name.encode(),
            self.kind.encode(),
            self.policy,
            key.layout.circuit_digest,
            key.digest,
            self.announcement,
            self.signer,
            self.commitment,
            self.data,
            self.beacon,
        )
