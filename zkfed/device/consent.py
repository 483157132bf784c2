"""Consent, per purpose and dimension: granted, withdrawn, expired, versioned; and every use of it.

    granted in version v  ->  used ... used  ->  withdrawn        (or expired by time)

The book is append-only and hash-chained: an entry cannot be changed or taken out without breaking the
chain, and its head, kept elsewhere, shows a cut end. Time never goes back in it, so a clock that does
revives nothing. Withdrawal holds from the next use on; what was released before cannot be called back.
No answer is ever written here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zkfed.dp.entries import TIME_MAX, whole_seconds
from zkfed.encoding import DIGEST_BYTES, Reader, Writer, digest, item
from zkfed.errors import DecodeError, IntegrityError, NotAuthorised, PolicyError, StoreFault, ZkfedError, shown
from zkfed.files import WrittenElsewhere, replace_file

__all__ = ["DIMENSIONS", "PURPOSES", "ConsentBook", "ConsentEntry"]

PURPOSES = ("statistics", "training")
DIMENSIONS = ("WHO", "WHAT", "HOW", "WHEN", "model")
ACTIONS = ("granted", "withdrawn", "expired", "used")
DETAIL_BYTES_MAX = 256
ENTRY_BYTES_MAX = 4096
BOOK_BYTES_MAX = 1 << 28
EXPIRED = "it has expired"
_START = digest("zkfed/v1/consent-book")


@dataclass(frozen=True, slots=True)
class ConsentEntry:
    """One fact about one purpose and dimension.

    Attributes:
        previous: Digest of the entry before.
        action: "granted", "withdrawn", "expired" (noted when it was first seen) or "used".
        purpose: One of `PURPOSES`.
        dimension: One of `DIMENSIONS`.
        version: Of the text that the person agreed to.
        time_s: Seconds since the epoch; never before the entry before.
        expires_s: Of a grant: until when; 0 for ever.
        detail: Of a use: what left, in words, such as "HOW method, local".
        paid: Of a use: digest of the ledger's entry that paid for it; 32 zero bytes otherwise. Not of what
            left: the digest of one of a few answers tells the answer.
    """

    previous: bytes = field(repr=False)
    action: str
    purpose: str
    dimension: str
    version: int
    time_s: int
    expires_s: int = 0
    detail: str = ""
    paid: bytes = field(default=bytes(DIGEST_BYTES), repr=False)

    def encode(self) -> bytes:
        w = Writer("zkfed/v1/consent").bytes(self.previous).text(self.action).text(self.purpose).text(self.dimension)
        return w.u64(self.version).u64(self.time_s).u64(self.expires_s).text(self.detail).bytes(self.paid).finish()

    @classmethod
    def decode(cls, data: bytes) -> ConsentEntry:
        """Reads an entry; raises DecodeError or LimitExceeded."""
        r = Reader(data, "zkfed/v1/consent", ENTRY_BYTES_MAX)
        previous, action, purpose, dimension = r.bytes(exact=DIGEST_BYTES), r.text(16), r.text(16), r.text(16)
        out = cls(
            previous, action, purpose, dimension, r.u64(), r.u64(TIME_MAX), r.u64(TIME_MAX), r.text(DETAIL_BYTES_MAX),
            r.bytes(exact=DIGEST_BYTES),
        )  # fmt: skip
        r.finish()
        if action not in ACTIONS:
            raise DecodeError(f"consent: the action is {shown(action)}, expected one of {ACTIONS}")
        return out

    @property
    def digest(self) -> bytes:
        """Names the entry and all before it."""
        return digest("zkfed/v1/consent-digest", self.encode())


class ConsentBook:
    """What one person allowed, and what was done with it.

    Args:
        path: A file of one process, created where there is none; None keeps the book in memory.
        version: Of the text that people agree to now: a consent to an older text does not hold.
        head: Digest of an entry that the book must have, kept elsewhere; None checks the chain alone.

    Raises:
        PolicyError: The version is no int above 0.
        IntegrityError: The book does not hold together, or has no such entry.
        StoreFault: It cannot be read.
    """

    def __init__(self, path: Path | None = None, *, version: int, head: bytes | None = None) -> None:
        if type(version) is not int or version < 1:
            raise PolicyError(f"the version of the text is {shown(version)}, expected an int of at least 1")
        self.path, self.version = path, version
        self._lock = threading.RLock()
        self._entries: list[ConsentEntry] = []
        self._head, self._time = _START, 0
        self._others = None if path is None else WrittenElsewhere(path)
        for entry in [] if path is None else _read(path):
            self._take(entry)
        if head is not None and head not in {_START, *(e.digest for e in self._entries)}:
            raise IntegrityError("the book of consents has no entry of that digest: it is an old or another copy")

    def __repr__(self) -> str:
        return f"ConsentBook({len(self._entries)} entries, text version {self.version})"

    @property
    def head(self) -> bytes:
        """Digest of the last entry; keep it elsewhere."""
        return self._head

    def __iter__(self) -> Iterator[ConsentEntry]:
        """Iterates over all entries, oldest first: the audit trail."""
        return iter(tuple(self._entries))

    def grant(self, purpose: str, dimension: str, *, now_s: float, expires_s: float | None = None) -> None:
        """Notes that the person agrees to the present text, for ever or until a time.

        Raises:
            PolicyError: No such purpose or dimension, or it would be expired at once.
            StoreFault: It cannot be written; nothing is granted.
        """
        until = 0 if expires_s is None else whole_seconds(expires_s)
        with self._lock:
            now = self._now(now_s)
            if expires_s is not None and until <= now:
                raise PolicyError("a consent that expires has to expire later than now")
            self._append("granted", purpose, dimension, now, expires_s=until)

    def withdraw(self, purpose: str, dimension: str, *, now_s: float) -> None:
        """Notes that the person does not agree any more; holds from now on.

        Raises:
            PolicyError: No such purpose or dimension.
            StoreFault: It cannot be written; it holds for this process all the same.
        """
        with self._lock:
            self._append("withdrawn", purpose, dimension, self._now(now_s))

    def is_granted(self, purpose: str, dimension: str, *, now_s: float) -> bool:
        """Returns whether a consent holds now."""
        with self._lock:
            return self._fault(purpose, dimension, self._now(now_s)) is None

    def require(self, purpose: str, dimension: str, *, now_s: float) -> None:
        """Refuses unless a consent holds now.

        Raises:
            NotAuthorised: It was never granted, was withdrawn, is expired, or was to an older text.
            PolicyError: No such purpose or dimension.
            StoreFault: It is expired and that cannot be written; it holds for this process all the same.
        """
        with self._lock:
            fault = self._fault(purpose, dimension, self._now(now_s))
            last = self._last(purpose, dimension)
            if fault == EXPIRED and last is not None and last.action == "granted":
                # Noted, for a clock that goes back afterwards; at the time of expiry, for one that ran ahead.
                self._append("expired", purpose, dimension, max(self._time, last.expires_s))
        if fault is not None:
            raise NotAuthorised(
                f"no consent to {purpose} about {dimension}: {fault}; ask the person and call "
                f"grant({purpose!r}, {dimension!r}, now_s=...)"
            )

    def record(self, purpose: str, dimension: str, *, now_s: float, detail: str, paid: bytes) -> None:
        """Notes that something is about to leave under a consent; call it before it leaves.

        Args:
            purpose: One of `PURPOSES`.
            dimension: One of `DIMENSIONS`.
            now_s: Seconds since the epoch.
            detail: What leaves, in words and without any answer.
            paid: Digest of the ledger's entry that pays for it, 32 bytes.

        Raises:
            NotAuthorised: No consent holds.
            ValueError: `paid` is not 32 bytes.
            StoreFault: It cannot be written; nothing may leave.
        """
        if len(paid) != DIGEST_BYTES:
            raise ValueError(f"paid is the digest of a ledger's entry, {DIGEST_BYTES} bytes")
        # The name of a question is the host's: none may make the book unreadable.
        short = detail.encode("utf-8", "replace")[:DETAIL_BYTES_MAX].decode("utf-8", "ignore")
        with self._lock:
            self.require(purpose, dimension, now_s=now_s)
            self._append("used", purpose, dimension, self._now(now_s), detail=short, paid=paid)

    def _last(self, purpose: str, dimension: str) -> ConsentEntry | None:
        entries = (e for e in reversed(self._entries) if (e.purpose, e.dimension) == (purpose, dimension))
        return next((e for e in entries if e.action != "used"), None)

    def _fault(self, purpose: str, dimension: str, now: int) -> str | None:
        _check_names(purpose, dimension)
        last = self._last(purpose, dimension)
        if last is None:
            return "it was never granted"
        if last.action == "withdrawn":
            return "it was withdrawn"
        if last.version != self.version:
            return f"it was to version {last.version} of the text, now it is version {self.version}"
        if last.action == "expired" or (last.expires_s and now >= last.expires_s):
            return EXPIRED
        return None

    def _now(self, now_s: Any) -> int:
        """Returns the time, never before what the book has seen."""
        return max(whole_seconds(now_s), self._time)

    def _append(self, action: str, purpose: str, dimension: str, now: int, **more: Any) -> None:
        _check_names(purpose, dimension)
        entry = ConsentEntry(self._head, action, purpose, dimension, self.version, now, **more)
        if action in ("withdrawn", "expired"):
            self._take(entry)  # before it is on disk: a full disk must not keep a consent alive
            self._write(self._entries)
        else:
            self._write([*self._entries, entry])
            self._take(entry)

    def _write(self, entries: list[ConsentEntry]) -> None:
        if self.path is not None and self._others is not None:
            # Otherwise a withdrawal by another object would be written over.
            self._others.check()
            # Whole or not at all: half an entry would make the book unreadable.
            replace_file(self.path, [item(e.encode()) for e in entries], mode=0o600)
            self._others.note()

    def _take(self, entry: ConsentEntry) -> None:
        if entry.previous != self._head or entry.time_s < self._time:
            raise IntegrityError(f"entry {len(self._entries)} of the book of consents does not continue the one before")
        self._entries.append(entry)
        self._head, self._time = entry.digest, entry.time_s


def _check_names(purpose: str, dimension: str) -> None:
    if purpose not in PURPOSES or dimension not in DIMENSIONS:
        raise PolicyError(
            f"consent is for one of {PURPOSES} about one of {DIMENSIONS}, not {shown(purpose)} about {shown(dimension)}"
        )


def _read(path: Path) -> Iterator[ConsentEntry]:
    try:
        if not path.exists():
            return
        if path.stat().st_size > BOOK_BYTES_MAX:
            raise IntegrityError(f"the book of consents is above {BOOK_BYTES_MAX} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise StoreFault(f"the book of consents cannot be read: {error.strerror}") from None
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 4 + size]
        if size > ENTRY_BYTES_MAX or len(body) != size:
            raise IntegrityError("the book of consents ends inside an entry")
        at += 4 + size
        try:
            yield ConsentEntry.decode(body)
        except ZkfedError as error:
            raise IntegrityError(f"the book of consents holds something else: {error}") from None
