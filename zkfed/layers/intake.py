"""What the adders hold of one attempt: the updates that were taken, and those that wait for their proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from zkfed.groth16.keys import VerifyingKey
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.verify import verify_batch
from zkfed.he.aggregate import add
from zkfed.he.encrypt import Ciphertext
from zkfed.he.keys import PublicKey
from zkfed.layers.agreement import Announced
from zkfed.layers.noise import NoiseVector
from zkfed.updates.messages import Announcement, Offer, Seal
from zkfed.updates.signing import Signed

__all__ = ["Candidate", "OpenAttempt", "Work", "answers"]


@dataclass(frozen=True)
class Work:
    """The two works of the adders that may be done elsewhere; whoever does them is trusted as the adders are.

    Attributes:
        verify: As `verify_batch`; a `TransportError` is nobody's fault and refuses nobody.
        add: As `zkfed.he.aggregate.add`, to the same bytes.
    """

    verify: Callable[[VerifyingKey, Sequence[Instance], Sequence[Proof]], None] = verify_batch
    add: Callable[[PublicKey, Sequence[Ciphertext], int], Ciphertext] = add


@dataclass
class OpenAttempt:
    """One announced attempt and the updates that were accepted for it."""

    announced: Announced
    encryption_key: PublicKey
    noise: NoiseVector = field(repr=False)
    seals: dict[bytes, Signed] = field(default_factory=dict)
    ciphertexts: dict[bytes, Ciphertext] = field(default_factory=dict, repr=False)
    sent: set[bytes] = field(default_factory=set)
    closed: bool = False


@dataclass
class Candidate:
    """One sealed update of which everything but the proof holds."""

    position: int
    signed: Signed
    sealed: Seal
    ciphertext: Ciphertext = field(repr=False)
    proof: Proof
    instance: Instance

    @property
    def client(self) -> str:
        return self.signed.signer.hex()


def answers(announcement: Announcement, offer: Offer) -> bool:
    """Returns whether an announcement repeats every word of an offer."""
    a = announcement
    same = (a.policy, a.round, a.attempt, a.group, a.previous, a.encryption_key, a.holder_commitment, a.holder_proof)
    o = offer
    asked = (o.policy, o.round, o.attempt, o.group, o.previous, o.encryption_key, o.commitment, o.noise_proof)
    return (*same, a.holder_beacon) == (*asked, o.beacon)
