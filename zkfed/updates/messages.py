"""The bodies that are signed in a round (protocol.md section 7), each in canonical bytes.

Offer         K           encryption key of one attempt, C_K and its proof of N
Announcement  G, then K   everything that an attempt is about
Commit        client      C_D, before anything is revealed
Receipt       G           answers a commit
Reveal        G, then K   the beacon's nonces, once the commit list is fixed (S1)
Seal          client      proof and ciphertext digest, for one attempt
Aggregate   G           the list I and the digest of the summed ciphertext
Release       K           S and R, after the opening equation held
Failure       K           the word "failed" and a nonce for the next attempt's groups
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from zkfed.encoding import Reader, Writer
from zkfed.errors import DecodeError

__all__ = ["Aggregate", "Announcement", "Commit", "Failure", "Offer", "Receipt", "Release", "Reveal", "Seal"]

MESSAGE_BYTES_MAX = 1 << 26
ATTEMPTS_MAX = 8
MEMBERS_MAX = 1 << 14


class Message:
    """A body with a tag, named fields, and one encoding.

    Subclasses list `fields`: (attribute, kind), kind one of "digest" (32 bytes), "bytes",
    "digests" (a list of 32 bytes), "number" or "text".
    """

    tag: ClassVar[str]
    fields: ClassVar[tuple[tuple[str, str], ...]]

    def encode(self) -> bytes:
        w = Writer(self.tag)
        for name, kind in self.fields:
            value = getattr(self, name)
            if kind in ("digest", "bytes"):
                w.bytes(value)
            elif kind == "digests":
                w.list(value)
            elif kind == "number":
                w.u64(value)
            else:
                w.text(value)
        return w.finish()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads a body.

        Raises:
            DecodeError: Not the canonical encoding of this kind.
        """
        r = Reader(data, cls.tag, MESSAGE_BYTES_MAX)
        values: dict[str, object] = {}
        for name, kind in cls.fields:
            if kind == "digest":
                values[name] = r.bytes(exact=32)
            elif kind == "bytes":
                values[name] = r.bytes(limit=MESSAGE_BYTES_MAX)
            elif kind == "digests":
                values[name] = tuple(r.list(MEMBERS_MAX, exact=32))
            elif kind == "number":
                values[name] = r.u64()
            else:
                values[name] = r.text(limit=64)
        r.finish()
        message = cls(**values)
        message.check()
        return message

    def check(self) -> None:
        """Checks what the field kinds do not say; raises DecodeError."""


@dataclass(frozen=True, slots=True)
class Offer(Message):
    """K's part of an announcement. `beacon` is the hash of its nonce, in attempt 1 of a round that draws rows."""

    policy: bytes
    round: int
    attempt: int
    group: int
    previous: bytes
    encryption_key: bytes
    commitment: bytes
    noise_proof: bytes
    beacon: bytes
    tag: ClassVar[str] = "zkfed/v1/offer"
    fields: ClassVar[tuple[tuple[str, str], ...]] = (
        ("policy", "digest"), ("round", "number"), ("attempt", "number"), ("group", "number"),
        ("previous", "digest"), ("encryption_key", "digest"), ("commitment", "bytes"), ("noise_proof", "bytes"),
        ("beacon", "bytes"),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Announcement(Message):
    """One attempt, signed by G and then by K.

    Attributes:
        first: Digest of attempt 1's announcement; 32 zero bytes in attempt 1 itself.
        previous: Digest of the previous round's transcript; 32 zero bytes in round 1.
        base: Digest of the base model.
        benchmark: Digest of the benchmark.
        enrolment: Digest of the enrolled clients' keys.
        members: Commit digests that may take part; empty in attempt 1: everybody enrolled.
        encryption_key: Digest of this attempt's encryption key.
        sealing_key: The adders' HPKE key, 32 bytes.
        holder_commitment: C_K, and `holder_proof` its proof of N; likewise C_G.
        improvement_key: Digest of the verifying key of S2; `noise_key` that of N.
        holder_beacon: Hash of K's beacon nonce, and `adder_beacon` that of G's; both empty in a
            repeated attempt, for a round draws rows once, and where no statement draws rows.
        deadline_s: Seconds since the epoch after which commits are refused.
    """

    policy: bytes
    round: int
    attempt: int
    group: int
    first: bytes
    previous: bytes
    base: bytes
    benchmark: bytes
    enrolment: bytes
    members: tuple[bytes, ...]
    encryption_key: bytes
    sealing_key: bytes
    holder_commitment: bytes
    holder_proof: bytes
    adder_commitment: bytes
    adder_proof: bytes
    improvement_key: bytes
    noise_key: bytes
    holder_beacon: bytes
    adder_beacon: bytes
    deadline_s: int
    tag: ClassVar[str] = "zkfed/v1/announcement"
    fields: ClassVar[tuple[tuple[str, str], ...]] = (
        ("policy", "digest"), ("round", "number"), ("attempt", "number"), ("group", "number"),
        ("first", "digest"), ("previous", "digest"), ("base", "digest"), ("benchmark", "digest"),
        ("enrolment", "digest"), ("members", "digests"), ("encryption_key", "digest"), ("sealing_key", "digest"),
        ("holder_commitment", "bytes"), ("holder_proof", "bytes"), ("adder_commitment", "bytes"),
        ("adder_proof", "bytes"), ("improvement_key", "digest"), ("noise_key", "digest"),
        ("holder_beacon", "bytes"), ("adder_beacon", "bytes"), ("deadline_s", "number"),
    )  # fmt: skip

    def check(self) -> None:
        if not 1 <= self.attempt <= ATTEMPTS_MAX or self.round < 1:
            raise DecodeError(f"announcement of round {self.round}, attempt {self.attempt}")
        if (self.attempt == 1) != (self.first == bytes(32)) or (self.attempt == 1) != (not self.members):
            raise DecodeError("announcement: only a repeated attempt names its first announcement and its members")
        if list(self.members) != sorted(set(self.members)):
            raise DecodeError("announcement: members are not in order or not distinct")


@dataclass(frozen=True, slots=True)
class Commit(Message):
    """A client's commitment C_D, the same in all attempts of the round."""

    announcement: bytes
    commitment: bytes
    kinds: str
    tag: ClassVar[str] = "zkfed/v1/commit"
    fields: ClassVar[tuple[tuple[str, str], ...]] = (
        ("announcement", "digest"), ("commitment", "bytes"), ("kinds", "text"),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Receipt(Message):
    """The adders have a commit; a valid update that is missing from I later is evidence."""

    commit: bytes
    tag: ClassVar[str] = "zkfed/v1/receipt"
    fields: ClassVar[tuple[tuple[str, str], ...]] = (("commit", "digest"),)


@dataclass(frozen=True, slots=True)
class Reveal(Message):
    """One party opens its beacon nonce over the round's commit list, which is fixed by then.

    Attributes:
        announcement: Digest of attempt 1's announcement.
        commits: Digests of all commits of the round, ascending.
        nonce: 32 bytes, whose hash stands in the announcement.
    """

    announcement: bytes
    commits: tuple[bytes, ...]
    nonce: bytes
    tag: ClassVar[str] = "zkfed/v1/reveal"
    fields: ClassVar[tuple[tuple[str, str], ...]] = (
        ("announcement", "digest"), ("commits", "digests"), ("nonce", "digest"),
    )  # fmt: skip

    def check(self) -> None:
        if list(self.commits) != sorted(set(self.commits)):
            raise DecodeError("reveal: commits are not in order or not distinct")


@dataclass(frozen=True, slots=True)
class Seal(Message):
    """The public half of a sealed update: everything but the ciphertext."""

    commit: bytes
    announcement: bytes
    encryption_key: bytes
    ciphertext: bytes
    proof: bytes
    tag: ClassVar[str] = "zkfed/v1/seal"
    fields: ClassVar[tuple[tuple[str, str], ...]] = (
        ("commit", "digest"), ("announcement", "digest"), ("encryption_key", "digest"),
        ("ciphertext", "digest"), ("proof", "bytes"),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Aggregate(Message):
    """The adders' list I, as commit digests in ascending order, and the sum's digest."""

    announcement: bytes
    members: tuple[bytes, ...]
    ciphertext: bytes
    tag: ClassVar[str] = "zkfed/v1/aggregation"
    fields: ClassVar[tuple[tuple[str, str], ...]] = (
        ("announcement", "digest"), ("members", "digests"), ("ciphertext", "digest"),
    )  # fmt: skip

    def check(self) -> None:
        if list(self.members) != sorted(set(self.members)):
            raise DecodeError("aggregation: members are not in order or not distinct")


@dataclass(frozen=True, slots=True)
class Release(Message):
    """The noised sum S (8 bytes a coordinate, signed) and the sum of blinders R."""

    announcement: bytes
    aggregation: bytes
    sums: bytes
    blinder: bytes
    tag: ClassVar[str] = "zkfed/v1/release"
    fields: ClassVar[tuple[tuple[str, str], ...]] = (
        ("announcement", "digest"), ("aggregation", "digest"), ("sums", "bytes"), ("blinder", "digest"),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Failure(Message):
    """An attempt failed. Nothing more is said; the nonce draws the next attempt's groups."""

    announcement: bytes
    nonce: bytes
    tag: ClassVar[str] = "zkfed/v1/failure"
    fields: ClassVar[tuple[tuple[str, str], ...]] = (("announcement", "digest"), ("nonce", "digest"))
