"""Every error that zkfed raises on purpose, as one tree.

ZkfedError
├── DecodeError             bytes are not the canonical encoding of the expected thing
│   └── LimitExceeded       a declared size is above the limit; nothing was allocated
├── ProofInvalid            a zero-knowledge proof does not hold
├── KeyRefused              a proving or verifying key is on the list of refused keys
├── CeremonyInvalid         a setup contribution does not follow from the one before
├── CommitmentMismatch      an opening does not fit the commitments
├── CiphertextRefused       a ciphertext or encryption key has the wrong shape
├── BudgetExceeded          a release would spend more privacy loss than is left
├── LedgerCorrupt           the privacy ledger contradicts itself
├── SignatureInvalid        a signature does not hold
├── NotAuthorised           the signer may not do this
├── Replay                  the same thing was already used
├── IntegrityError          stored content does not match its digest
├── StoreFault              the disk or database failed
├── ConsensusFault          replicas disagree
├── LogInconsistent         the audit log contradicts itself
├── GovernanceError         a decision does not follow the rules
├── RollbackRefused         a rollback target is not admissible
├── TransportError          a message could not be moved
├── ModelRefused            a trained model holds something that no circuit here computes
├── SandboxViolation        a worker process broke its limits
├── SandboxUnavailable      a worker process could not be started
├── BackendFault            the compiled backend failed inside: a bug
├── UnsatisfiedConstraint   the witness does not satisfy the circuit
└── PolicyError             a policy is inconsistent, or forbids what was asked

Misuse by the programmer is `TypeError` or `ValueError`. An update that is turned down
is not an error but a value, `Verdict`. Texts hold no witness, key, row or noise, and at
most 200 bytes of a sender's input, escaped (`excerpt`).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import ClassVar

__all__ = [
    "BackendFault",
    "BudgetExceeded",
    "CeremonyInvalid",
    "CiphertextRefused",
    "CommitmentMismatch",
    "ConsensusFault",
    "DecodeError",
    "GovernanceError",
    "IntegrityError",
    "KeyRefused",
    "LedgerCorrupt",
    "LimitExceeded",
    "LogInconsistent",
    "ModelRefused",
    "NotAuthorised",
    "PolicyError",
    "ProofInvalid",
    "Replay",
    "RollbackRefused",
    "SandboxUnavailable",
    "SandboxViolation",
    "SignatureInvalid",
    "StoreFault",
    "TransportError",
    "UnsatisfiedConstraint",
    "ZkfedError",
    "excerpt",
    "shown",
]


class ZkfedError(Exception):
    """The root. `code` is stable across versions; match on it or on the class."""

    code: ClassVar[str] = "zkfed"


class DecodeError(ZkfedError):
    """Bytes are not the canonical encoding of the expected thing."""

    code = "decode"


class LimitExceeded(DecodeError):
    """A declared size is above the limit; refused before anything was allocated."""

    code = "limit-exceeded"


class ProofInvalid(ZkfedError):
    """A zero-knowledge proof does not hold.

    Attributes:
        culprits: Positions of the bad proofs in the batch that was verified.
    """

    code = "proof-invalid"

    def __init__(self, message: str, culprits: Sequence[int] = (0,)) -> None:
        super().__init__(message)
        self.culprits = tuple(culprits)


class KeyRefused(ZkfedError):
    """A proving or verifying key is on the list of refused keys."""

    code = "key-refused"


class CeremonyInvalid(ZkfedError):
    """A setup contribution does not follow from the one before it."""

    code = "ceremony-invalid"


class CommitmentMismatch(ZkfedError):
    """An opening does not fit the commitments that it claims to open."""

    code = "commitment-mismatch"


class CiphertextRefused(ZkfedError):
    """A ciphertext or an encryption key does not have the shape that the policy fixes."""

    code = "ciphertext-refused"


class BudgetExceeded(ZkfedError):
    """A release would spend more privacy loss than is left; nothing was released."""

    code = "budget-exceeded"


class LedgerCorrupt(ZkfedError):
    """The privacy ledger contradicts itself or its checkpoint."""

    code = "ledger-corrupt"


class SignatureInvalid(ZkfedError):
    """A signature does not hold under the named key."""

    code = "signature-invalid"


class NotAuthorised(ZkfedError):
    """The signer is not enrolled for this action."""

    code = "not-authorised"


class Replay(ZkfedError):
    """The same message, nullifier or key was already used."""

    code = "replay"


class IntegrityError(ZkfedError):
    """Stored content does not match the digest under which it is stored."""

    code = "integrity"


class StoreFault(ZkfedError):
    """The disk or database failed; nothing that was recorded is lost."""

    code = "store-fault"


class ConsensusFault(ZkfedError):
    """Replicas disagree about one state."""

    code = "consensus-fault"


class LogInconsistent(ZkfedError):
    """The audit log contradicts itself."""

    code = "log-inconsistent"


class GovernanceError(ZkfedError):
    """A decision does not follow the governance rules."""

    code = "governance"


class RollbackRefused(ZkfedError):
    """The rollback target is not admissible."""

    code = "rollback-refused"


class TransportError(ZkfedError):
    """A message could not be moved."""

    code = "transport"


class ModelRefused(ZkfedError):
    """A trained model holds something that no circuit here computes; the text names the layer."""

    code = "model-refused"


class SandboxViolation(ZkfedError):
    """A worker process broke its memory, time or output limit and was ended."""

    code = "sandbox-violation"


class SandboxUnavailable(ZkfedError):
    """A worker process could not be started."""

    code = "sandbox-unavailable"


class BackendFault(ZkfedError):
    """The compiled backend failed inside: a bug, please report it. The next call works."""

    code = "backend-fault"


class UnsatisfiedConstraint(ZkfedError):
    """The witness does not satisfy the circuit.

    The text names the constraint, its position in its tensor and the sizes of the values
    in bits, never the values.

    Attributes:
        constraint: The constraint's name, such as "improvement/slack/limbs".
        position: Its index in the constraint's tensor.
    """

    code = "unsatisfied-constraint"

    def __init__(self, message: str, constraint: str = "", position: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.constraint = constraint
        self.position = position


class PolicyError(ZkfedError):
    """A policy is inconsistent, or forbids what was asked."""

    code = "policy"


def excerpt(data: bytes | str, limit: int = 200) -> str:
    r"""Returns at most `limit` characters of a sender's input, escaped, for an error text.

    Printable ASCII stays, a backslash is doubled, and every other byte or character becomes an
    escape such as \x1b, so no two inputs that fit look alike. A longer one ends in "...".
    """
    head = data[: limit + 1]
    text = (head if isinstance(head, str) else bytes(head).decode("latin-1")).encode("unicode_escape").decode("ascii")
    return text if len(text) <= limit else (text[: max(limit - 3, 0)] + "...")[:limit]


def shown(value: object) -> str:
    """Returns what came, short enough for an error text."""
    size = value.bit_length() if isinstance(value, int) else 0
    if isinstance(value, Fraction):
        size = max(value.numerator.bit_length(), value.denominator.bit_length())
    return excerpt(repr(value), 60) if size <= 128 else f"a number of {size} bits"
