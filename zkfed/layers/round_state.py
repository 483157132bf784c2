"""What a device keeps of one round, and its bytes: a device that restarts in the middle goes on where it was.

A device that forgot a round could be asked for a second update of it, and two sums that differ by
one client are that client's update. So a host stores these bytes before an answer leaves the device.
They are secret: whoever reads them reads the update.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from zkfed.algebra.backend import Points
from zkfed.commitments.rows import PrivateRows
from zkfed.encoding import Reader, Writer
from zkfed.errors import DecodeError, IntegrityError
from zkfed.layers.agreement import Agreement, Announced
from zkfed.statements.one_hot import CountTerms
from zkfed.statements.own_data import OwnTerms
from zkfed.statements.terms import Terms
from zkfed.updates.messages import ATTEMPTS_MAX, MESSAGE_BYTES_MAX, Commit
from zkfed.updates.signing import Signed
from zkfed.updates.update import ModelUpdate, decode_ints, encode_ints, model_digest

__all__ = ["RoundState"]

_TAG = "zkfed/v1/device-round"


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
