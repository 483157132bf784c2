"""The registrations of one epoch: which rows each client may be asked about, before any round.

    epoch     each enrolled client sends one signed `RegistrationRecord`
    close     no record is taken any more; the root of all of them enters every announcement

The first announcement is signed after the epoch has closed, so the base model of a round is
released later than the rows were fixed. An adder that takes records checks each proof; anyone
who builds the registry from a transcript checks them again (protocol.md section 6).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from zkfed.encoding import digest
from zkfed.errors import KeyRefused, NotAuthorised, PolicyError, Replay
from zkfed.groth16.keys import DEVELOPMENT, VerifyingKey
from zkfed.policy import RoundPolicy
from zkfed.statements.own_data import DrawnRows
from zkfed.statements.registration import RegistrationRecord, RegistrationTerms, check_registration
from zkfed.updates.messages import MESSAGE_BYTES_MAX
from zkfed.updates.signing import Signed

__all__ = ["EPOCH", "Registry", "registration_terms"]

EPOCH = 1
"""A policy has one epoch, before its first round; another epoch is another policy."""


def registration_terms(policy: RoundPolicy) -> RegistrationTerms:
    """Returns what a pinned policy asks every client to register.

    Raises:
        PolicyError: Its statement is not about registered rows.
    """
    statement = policy.improvement
    if statement.registration is None:
        raise PolicyError(f"the statement {statement.kind} is not about registered rows")
    model = statement.model
    return RegistrationTerms(policy.digest, EPOCH, model.features, model.classes, statement.registration)


class Registry:
    """Every record that was accepted in the epoch.

    Args:
        policy: With both parties' keys pinned.
        enrolled: The clients' keys.
        key: Verifying key of the registration.

    Raises:
        PolicyError: The policy's statement is not about registered rows.
        KeyRefused: The key is for another circuit, or of an origin that the policy refuses.
    """

    def __init__(self, policy: RoundPolicy, enrolled: Iterable[bytes], key: VerifyingKey) -> None:
        self.terms, self.key, self._enrolled = registration_terms(policy), key, frozenset(enrolled)
        if key.layout.encode() != self.terms.circuit(policy.curve).layout.encode():
            raise KeyRefused("the verifying key is for another circuit than the policy's registration")
        if policy.setup == "production" and key.origin == DEVELOPMENT:
            raise KeyRefused("registration: a development key: whoever made it can forge proofs")
        self._records: dict[bytes, tuple[Signed, RegistrationRecord]] = {}
        self._rows: dict[bytes, bytes] = {}
        self.is_closed = False

    def __repr__(self) -> str:
        return f"Registry({len(self._records)} clients, {'closed' if self.is_closed else 'open'})"

    @classmethod
    def of(
        cls, policy: RoundPolicy, enrolled: Iterable[bytes], key: VerifyingKey, records: Iterable[bytes]
    ) -> Registry:
        """Returns the closed registry of a list of signed records, each checked; raises as `receive`."""
        out = cls(policy, enrolled, key)
        for data in records:
            out.receive(data)
        out.close()
        return out

    def receive(self, data: bytes) -> bytes:
        """Checks one client's record, takes it, and returns its digest; sending it again changes nothing.

        Raises:
            DecodeError, SignatureInvalid: Not a signed record, or its signature does not hold.
            NotAuthorised: The client is not enrolled, or signed another client's record.
            PolicyError: The epoch has closed.
            Replay: The client has registered other rows, or a row commitment is registered already.
            ProofInvalid: The record is for another policy or epoch, or its proof does not hold.
        """
        signed = Signed.decode(data, "registration", limit=MESSAGE_BYTES_MAX)
        name = f"the client {signed.signer.hex()[:16]}..."
        if signed.signer not in self._enrolled:
            raise NotAuthorised(f"{name} is not enrolled")
        record = RegistrationRecord.decode(signed.body)
        if record.signer != signed.signer:
            raise NotAuthorised(f"{name} signed another client's registration")
        if self.is_closed:
            raise PolicyError("the registration epoch has closed")
        before = self._records.get(signed.signer)
        if before is not None:
            if before[1].digest != record.digest:
                raise Replay(f"{name} has registered other rows in this epoch")
            return record.digest
        check_registration(self.key, self.terms, record)
        rows = self._split(record.commitments)
        if any(self._rows.get(row, signed.signer) != signed.signer for row in rows):
            raise Replay(f"{name} registered a row commitment of another client")
        self._records[signed.signer] = signed, record
        self._rows.update(dict.fromkeys(rows, signed.signer))
        return record.digest

    def close(self) -> None:
        """Ends the epoch: what is registered now is what every round draws from."""
        self.is_closed = True

    def _split(self, commitments: bytes) -> list[bytes]:
        size = self.key.layout.curve.point_bytes("G1")
        return [commitments[i : i + size] for i in range(0, len(commitments), size)]

    @property
    def records(self) -> tuple[bytes, ...]:
        """All signed records, in ascending order of the clients' keys."""
        return tuple(self._records[k][0].encode() for k in self)

    @property
    def root(self) -> bytes:
        """The digest of all records; each names policy, epoch, client and rows."""
        return digest("zkfed/v1/registry", *(self._records[k][1].digest for k in self))

    def __iter__(self) -> Iterator[bytes]:
        """Yields the keys of the clients that registered, ascending."""
        return iter(sorted(self._records))

    def record(self, client: bytes) -> RegistrationRecord:
        """Returns a client's record.

        Raises:
            NotAuthorised: It has not registered.
        """
        if client not in self._records:
            raise NotAuthorised(f"the client {client.hex()[:16]}... has not registered rows in this epoch")
        return self._records[client][1]

    def drawn(self, client: bytes, indices: tuple[int, ...], beacon: bytes) -> DrawnRows:
        """Returns what is public of a client's drawn rows.

        Raises:
            NotAuthorised: It has not registered.
        """
        record = self.record(client)
        rows = self._split(record.commitments)
        points = self.key.backend.decode("G1", b"".join(rows[i] for i in indices), len(indices))
        return DrawnRows(record.digest, indices, beacon, points)
