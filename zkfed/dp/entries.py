"""The entries of a ledger: canonical, hash-chained, and what a checkpoint says about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from zkfed.dp.loss import PrivacyLoss
from zkfed.dp.people import People
from zkfed.encoding import DIGEST_BYTES, Reader, Writer, digest
from zkfed.errors import DecodeError, LedgerCorrupt, PolicyError, ZkfedError, shown

__all__ = [
    "KINDS",
    "PERIODS",
    "Checkpoint",
    "Entry",
    "ReleaseKey",
    "Request",
    "Spent",
    "answered",
    "period_of",
    "whole_seconds",
]

KINDS = ("charge", "answer", "reserve", "settle")
ENTRY_BYTES_MAX = 1 << 14
PERIODS = ("day", "week", "month", "quarter", "year", "lifetime")
TIME_MAX = 1 << 36
"""Seconds since the epoch; the year 4147."""


def whole_seconds(now_s: Any) -> int:
    """Returns a time in whole seconds.

    Raises:
        TypeError, ValueError: Not a number of seconds in [0, 2^36).
    """
    if isinstance(now_s, bool) or not isinstance(now_s, (int, float)):
        raise TypeError(f"now_s is a {type(now_s).__name__}, expected seconds since the epoch")
    if not 0 <= now_s < TIME_MAX:  # refuses NaN too
        raise ValueError(f"now_s is {shown(now_s)}, expected seconds in [0, 2^36)")
    return int(now_s)


def period_of(kind: str, now_s: int) -> str:
    """Returns the name of the period that holds a time, such as "2026-Q4"; names of a kind sort by time.

    Raises:
        PolicyError: No such kind.
    """
    at = datetime.fromtimestamp(now_s, UTC)
    names = {
        "day": f"{at:%Y-%m-%d}",
        "week": "{}-W{:02d}".format(*at.isocalendar()),
        "month": f"{at:%Y-%m}",
        "quarter": f"{at.year:04d}-Q{(at.month + 2) // 3}",
        "year": f"{at.year:04d}",
        "lifetime": "lifetime",
    }
    if kind not in names:
        raise PolicyError(f"the period is {shown(kind)}, expected one of {PERIODS}")
    return names[kind]


def _fraction(text: str) -> Fraction:
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise DecodeError("ledger entry: a loss is no rational") from None
    if str(value) != text:
        raise DecodeError("ledger entry: a loss is not canonical")
    return value


@dataclass(frozen=True, slots=True)
class Entry:
    """One fact of a ledger.

    Attributes:
        index: From 0.
        previous: Digest of the entry before; of the ledger's header for the first.
        time_s: When, as the host's clock said; never before the entry before.
        period: The budget period that it counts in.
        kind: One of `KINDS`.
        what: For people.
        question: Names what was asked.
        cohort: Digest of the people who are charged.
        loss: What it costs each of them.
        body: Of an answer: its digest; of a settlement: what it settles.
    """

    index: int
    previous: bytes = field(repr=False)
    time_s: int
    period: str
    kind: str
    what: str
    question: bytes = field(repr=False)
    cohort: bytes = field(repr=False)
    loss: PrivacyLoss
    body: bytes = field(default=b"", repr=False)

    def encode(self) -> bytes:
        w = Writer("zkfed/v1/ledger-entry").u64(self.index).bytes(self.previous).u64(self.time_s)
        w.text(self.period).text(self.kind).text(self.what).bytes(self.question).bytes(self.cohort)
        epsilon = "" if self.loss.epsilon is None else str(self.loss.epsilon)
        return w.text(str(self.loss.rho)).text(epsilon).text(str(self.loss.delta)).bytes(self.body).finish()

    @classmethod
    def decode(cls, data: bytes) -> Entry:
        """Reads an entry; raises DecodeError or LimitExceeded."""
        r = Reader(data, "zkfed/v1/ledger-entry", ENTRY_BYTES_MAX)
        index, previous, time_s = r.u64(), r.bytes(exact=DIGEST_BYTES), r.u64(TIME_MAX)
        period, kind, what = r.text(limit=32), r.text(limit=16), r.text(limit=1024)
        question, cohort = r.bytes(exact=DIGEST_BYTES), r.bytes(exact=DIGEST_BYTES)
        rho, epsilon, delta, body = r.text(), r.text(), r.text(), r.bytes(limit=4096)
        r.finish()
        if kind not in KINDS:
            raise DecodeError(f"ledger entry: the kind is {shown(kind)}, expected one of {KINDS}")
        try:
            loss = PrivacyLoss(_fraction(rho), _fraction(epsilon) if epsilon else None, _fraction(delta))
        except ValueError:
            raise DecodeError("ledger entry: a loss is below 0") from None
        return cls(index, previous, time_s, period, kind, what, question, cohort, loss, body)

    @property
    def digest(self) -> bytes:
        """Names the entry and, through `previous`, all before it."""
        return digest("zkfed/v1/ledger-entry-digest", self.encode())


def answered(entry: Entry) -> tuple[int, bytes]:
    """Returns the charge that an entry answers and the answer's digest; raises LedgerCorrupt."""
    try:
        r = Reader(entry.body, "zkfed/v1/answered", 256)
        out = r.u64(), r.bytes(exact=32)
        r.finish()
    except ZkfedError as error:
        raise LedgerCorrupt(f"the ledger's entry {entry.index} is malformed: {error}") from None
    return out


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a ledger stood; keep it where whoever can write the ledger cannot.

    Attributes:
        ledger: Digest of the ledger's header, 32 bytes.
        index: How many entries it had.
        digest: Of the last one, or of the header.
    """

    ledger: bytes
    index: int
    digest: bytes

    def encode(self) -> bytes:
        return Writer("zkfed/v1/ledger-checkpoint").bytes(self.ledger).u64(self.index).bytes(self.digest).finish()

    @classmethod
    def decode(cls, data: bytes) -> Checkpoint:
        """Reads a checkpoint; raises DecodeError or LimitExceeded."""
        r = Reader(data, "zkfed/v1/ledger-checkpoint", 256)
        out = cls(r.bytes(exact=DIGEST_BYTES), r.u64(), r.bytes(exact=DIGEST_BYTES))
        r.finish()
        return out

    def check(self, ledger: bytes, digests: Sequence[bytes]) -> None:
        """Checks that a ledger continues from here.

        Args:
            ledger: Digest of its header.
            digests: Of the header and of every entry.

        Raises:
            LedgerCorrupt: It is another ledger, an old copy, or an edited one.
        """
        if self.ledger != ledger:
            raise LedgerCorrupt("the checkpoint is of another ledger")
        if self.index >= len(digests):
            raise LedgerCorrupt(
                f"the ledger has {len(digests) - 1} entries, the checkpoint knows {self.index}: it is an old copy"
            )
        if digests[self.index] != self.digest:
            raise LedgerCorrupt(f"the first {self.index} entries are not those of the checkpoint")

    def __str__(self) -> str:
        return f"ledger {self.ledger.hex()[:16]} at {self.index} entries: {self.digest.hex()}"


ReleaseKey = tuple[bytes, bytes, PrivacyLoss, str]
"""Question, cohort, loss and period: what makes a repeat a repeat."""


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody wants to release. Requests with equal question, people and loss are equal.

    Attributes:
        what: For people; at most 200 characters.
        question: Names what is asked, 32 bytes.
        people: Who is charged.
        loss: What it costs each of them.
    """

    what: str
    question: bytes
    people: People
    loss: PrivacyLoss

    def key(self, period: str) -> ReleaseKey:
        """Returns what an equal request in the same period has too."""
        return self.question, self.people.digest, self.loss, period


@dataclass(frozen=True, slots=True)
class Spent:
    """What the person of a cohort that has spent most has spent.

    Attributes:
        period: The budget period, such as "2026-Q4".
        epsilon: In it, at the ledger's delta.
        lifetime_epsilon: Over all periods, at the ledger's delta.
        mu: In it as Gaussian differential privacy, sqrt(2 rho): exact for *continuous* Gaussian noise
            alone; a comparison, which nothing is charged by.
    """

    period: str
    epsilon: float
    lifetime_epsilon: float
    mu: float
