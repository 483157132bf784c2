"""What the orchestrator writes down about a round: public things only."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from zkfed.errors import DecodeError, ZkfedError
from zkfed.layers.agreement import Announced
from zkfed.layers.transcript import Attempt
from zkfed.updates.sealed import SealedUpdate
from zkfed.updates.signing import Signed, kind_of
from zkfed.updates.update import Verdict

__all__ = ["SITS_OUT", "RoundNotes", "fault_of", "sat_out_by", "sealed_by", "signer_of"]

UNKNOWN = "unknown"
SITS_OUT = "sits-out"
"""The kind under which a device signs an announcement's digest when it has nothing to prove."""


@dataclass
class RoundNotes:
    """The orchestrator's own notes of a round.

    Attributes:
        messages: (announcement, encryption key) by the announcement's digest, in order.
        attempts: Those that came to an end.
        opening: The one that the key holder was asked to open and has not answered.
        named: Whom the refusals name.
        receipts: The adders' answer to each client's commit.
        sealed: Updates that came along with their commits.
        sitting: Clients that said that they have nothing to prove.
        reveals: The openings of the beacon (S1), as they came.
        sat_out: Commits whose devices found that they have nothing to prove on the drawn rows.
        fault: Who kept the round from having a beacon, and how; "" if nobody did.
        reason: Why no sum was released, for people.
    """

    number: int
    first: Announced | None = None
    attempts: list[Attempt] = field(default_factory=list)
    opening: Attempt | None = None
    refused: list[Verdict] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    released: list[int] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    commits: dict[bytes, tuple[str, bytes]] = field(default_factory=dict)
    receipts: dict[str, bytes] = field(default_factory=dict)
    sealed: list[bytes] = field(default_factory=list)
    sitting: list[str] = field(default_factory=list)
    reveals: tuple[bytes, ...] = ()
    sat_out: set[bytes] = field(default_factory=set)
    fault: str = ""
    tries: int = 0
    reason: str = "no sum was released"
    messages: dict[bytes, tuple[bytes, bytes]] = field(default_factory=dict)

    @property
    def committers(self) -> set[str]:
        """The clients whose commits were taken."""
        return {client for client, _ in self.commits.values()}

    def refuse(self, verdict: Verdict, holding: Collection[str]) -> bool:
        """Notes a refusal and returns whether it is one: who holds a place, or was refused before, is not refused.

        A device has one place in an attempt. What is signed with its key may come more than once, changed on its
        way, or from somebody who has seen it.

        Args:
            verdict: Names the device; several messages may be of "unknown" senders.
            holding: Clients that have a place.
        """
        if verdict.client != UNKNOWN and (verdict.client in holding or verdict.client in self.named):
            return False
        self.named.add(verdict.client)
        self.refused.append(verdict)
        return True

    def end_opening(self, outcome: bytes) -> None:
        """Puts the attempt that the key holder was asked to open on record, with its answer; b"" if it gave none."""
        if self.opening is not None and outcome:
            self.attempts.append(replace(self.opening, outcome=outcome))
        self.opening = None

    def all_attempts(self) -> tuple[Attempt, ...]:
        """Returns every announced attempt in order; one that has no end broke off."""
        ended = {a.announced: a for a in self.attempts}
        return tuple(ended.get(announced, Attempt(announced)) for announced, _ in self.messages.values())


def fault_of(error: Exception) -> tuple[str, str]:
    """Returns (code, reason) of a device's failure.

    The text of a foreign exception may hold rows of the device's data: only its type is told.
    """
    if isinstance(error, ZkfedError):
        return error.code, str(error)
    return "device-failed", f"the device raised {type(error).__name__}; call its `join` or `seal` alone to see why"


def signer_of(message: bytes, *kinds: str) -> str:
    """Returns the key (hex) that signed a message of one of some kinds, "unknown" if none did."""
    for kind in kinds:
        with contextlib.suppress(ZkfedError):
            return Signed.decode(message, kind, limit=1 << 16).signer.hex()
    return UNKNOWN


def sealed_by(message: bytes) -> str:
    """Returns the key (hex) that signed a sealed update, "unknown" if none did."""
    try:
        return SealedUpdate.decode(message).signed.signer.hex()
    except ZkfedError:
        return UNKNOWN


def sat_out_by(message: bytes, announced: Announced | None) -> str:
    """Returns the key (hex) of a device that says of this round that it has nothing to prove; "" for other messages.

    Raises:
        DecodeError, SignatureInvalid: It says so of another round, or its signature does not hold.
    """
    try:
        if kind_of(message) != SITS_OUT:
            return ""
    except DecodeError:
        return ""
    signed = Signed.decode(message, SITS_OUT, limit=4096)
    if announced is None or signed.body != announced.digest:
        raise DecodeError("a device sits out of another round")
    return signed.signer.hex()
