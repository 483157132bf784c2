"""The beacon of a round: two nonces, committed before the clients and opened after them.

    announcement   H(role, nonce_K) and H(role, nonce_G), under both signatures
    commits        until the adders close the list
    reveals        G, then K: each signs (announcement, ordered commit digests, nonce)
    b              statements/draw.py; the rows of a client: n of M from H(b, client key, C_D)

G opens first and K only over the one list that G signed, so neither, with any number of clients,
chooses the rows as long as the other is honest. Who opens last can stop the round; `fault_of_beacon`
says who it was, from the record. Rows are drawn once a round: a repeated attempt keeps them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zkfed.encoding import digest
from zkfed.errors import CommitmentMismatch, DecodeError, NotAuthorised, Replay, ZkfedError
from zkfed.layers.agreement import Announced
from zkfed.policy import RoundPolicy
from zkfed.statements.draw import beacon_output
from zkfed.updates.messages import MESSAGE_BYTES_MAX, Reveal
from zkfed.updates.signing import Signed

__all__ = ["ADDER", "HOLDER", "Beacon", "fault_of_beacon", "nonce_hash", "open_beacon", "open_reveal"]

ADDER, HOLDER = "adder", "holder"
_NAMES = {ADDER: "the adders", HOLDER: "the key holder"}


def nonce_hash(role: str, nonce: bytes) -> bytes:
    """Returns what an announcement holds of a nonce; the role keeps G from repeating K's."""
    return digest("zkfed/v1/beacon-nonce", role.encode("ascii"), nonce)


@dataclass(frozen=True)
class Beacon:
    """An opened beacon.

    Attributes:
        value: b, 32 bytes; draws every client's rows.
        commits: The commit list that it was opened over; nobody else takes part in the round.
    """

    value: bytes
    commits: tuple[bytes, ...]


def open_reveal(policy: RoundPolicy, first: Announced, data: bytes, *, role: str) -> Reveal:
    """Reads one party's opening of its nonce.

    Args:
        policy: Pins both parties' keys.
        first: The round's first announcement.
        data: The signed `Reveal`.
        role: `ADDER` or `HOLDER`.

    Raises:
        DecodeError, SignatureInvalid: Not a reveal, or its signature does not hold.
        NotAuthorised: Another party signed it.
        Replay: It belongs to another round.
        CommitmentMismatch: The nonce is not the one whose hash was announced.
    """
    signed = Signed.decode(data, "reveal", limit=MESSAGE_BYTES_MAX)
    pinned, announced = {
        ADDER: (policy.adder_key, first.body.adder_beacon),
        HOLDER: (policy.holder_key, first.body.holder_beacon),
    }[role]
    if signed.signer != pinned:
        raise NotAuthorised(f"the beacon is not opened by {_NAMES[role]}")
    body = Reveal.decode(signed.body)
    if body.announcement != first.digest:
        raise Replay(f"{_NAMES[role]} opened the beacon of another round")
    if nonce_hash(role, body.nonce) != announced:
        raise CommitmentMismatch(f"{_NAMES[role]} opened another beacon nonce than the announced one")
    return body


def open_beacon(policy: RoundPolicy, first: Announced, reveals: Sequence[bytes]) -> Beacon:
    """Reads both openings, G's and then K's, and returns the beacon.

    Raises:
        NotAuthorised: A party has not opened its nonce, or another one signed for it.
        DecodeError: Not canonical, or the two opened over different commit lists.
        SignatureInvalid, Replay, CommitmentMismatch: See `open_reveal`.
    """
    if len(reveals) < 2:
        raise NotAuthorised(f"{_NAMES[(ADDER, HOLDER)[len(reveals)]]} did not open the beacon nonce")
    if len(reveals) > 2:
        raise DecodeError(f"{len(reveals)} openings of a beacon of two")
    adder = open_reveal(policy, first, reveals[0], role=ADDER)
    holder = open_reveal(policy, first, reveals[1], role=HOLDER)
    if adder.commits != holder.commits:
        raise DecodeError("the adders and the key holder opened the beacon over different commit lists")
    value = beacon_output(first.digest, adder.commits, nonce_adders=adder.nonce, nonce_holder=holder.nonce)
    return Beacon(value, adder.commits)


def fault_of_beacon(policy: RoundPolicy, first: Announced, reveals: Sequence[bytes]) -> str:
    """Returns who kept a round from having a beacon and how, "" if it has one.

    The record that the adders signed says it: they may blame the key holder falsely only for
    silence, and it can show its opening then.
    """
    try:
        open_beacon(policy, first, reveals)
    except ZkfedError as error:
        return str(error)
    return ""
