"""What a device has observed about its person, sanitised, and encrypted at rest.

    file   = magic | store id (32) | nonce (12) | AES-256-GCM(observations), the head as associated data
    subkey = HKDF-SHA256(key of the host, salt = store id, info = "zkfed/v1/device-store")

One ciphertext holds all observations and is replaced whole: records cannot be swapped, cut out or taken
from another store, and forgetting rewrites everything. It is written once a batch, so it suits thousands
of observations and not millions.

Not protected: against whoever has the key (the host, its memory, its backups); against an old copy of the
whole file, unless `generation` is kept elsewhere; what a disk keeps of files that were replaced.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from zkfed.dp.entries import TIME_MAX, whole_seconds
from zkfed.dp.query import CohortQuery, Report
from zkfed.encoding import DIGEST_BYTES, Reader, Writer
from zkfed.errors import DecodeError, IntegrityError, LimitExceeded, StoreFault, ZkfedError
from zkfed.files import WrittenElsewhere, replace_file

__all__ = ["LocalStore", "Observation"]

MAGIC = b"zkfed device store 1\n"
KEY_BYTES = 32
NONCE_BYTES = 12
OBSERVATIONS_MAX = 1 << 18
FILE_BYTES_MAX = 1 << 27
HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Observation:
    """One sanitised fact: a category of a question, in some hour. It has no room for text of the person.

    Attributes:
        question: `CohortQuery.digest`.
        index: The number of the category; of the bucket for WHO.
        key: For WHO the label of the cluster, else "".
        hour_s: When, in whole hours since the epoch, as seconds.
    """

    question: bytes = field(repr=False)
    index: int = field(repr=False)
    key: str = field(repr=False)
    hour_s: int

    @classmethod
    def of(cls, query: CohortQuery, report: Report, *, now_s: float) -> list[Observation]:
        """Returns what a bounded report says, as observations.

        Raises:
            DecodeError: The report is for another question.
        """
        if report.question != query.digest:
            raise DecodeError(f"a report is for another question than {query}")
        hour = whole_seconds(now_s) // HOUR_S * HOUR_S
        if report.keys:
            return [cls(query.digest, 0, key, hour) for key in report.keys]
        return [cls(query.digest, index, "", hour) for index in report.indices]

    def encode(self) -> bytes:
        w = Writer("zkfed/v1/observation").bytes(self.question).u64(self.index).text(self.key)
        return w.u64(self.hour_s).finish()

    @classmethod
    def decode(cls, data: bytes) -> Observation:
        """Reads an observation; raises DecodeError or LimitExceeded."""
        r = Reader(data, "zkfed/v1/observation", 1024)
        out = cls(r.bytes(exact=DIGEST_BYTES), r.u64(1 << 16), r.text(512), r.u64(TIME_MAX))
        r.finish()
        return out


class LocalStore:
    """The observations of one device.

    Args:
        path: A file of one process, created where there is none.
        key: 32 bytes from the host's key store; never written anywhere.

    Raises:
        TypeError, ValueError: The key is not 32 bytes.
        IntegrityError: The file is of another key, or was changed or cut.
        StoreFault: It cannot be read.
    """

    def __init__(self, path: Path, *, key: bytes) -> None:
        _check_key(key)
        self.path, self._lock = path, threading.Lock()
        self._observations: list[Observation] = []
        self._id, self.generation = secrets.token_bytes(DIGEST_BYTES), 0
        self._others = WrittenElsewhere(path)
        data = _read(path)
        if data is not None:
            self._load(data, key)
        self._cipher = _cipher(key, self._id)

    def __repr__(self) -> str:
        return f"LocalStore({self.path.name}, {len(self._observations)} observations, key hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a store holds a key: it is not copied or pickled")

    def __len__(self) -> int:
        return len(self._observations)

    def add(self, observations: Iterable[Observation]) -> None:
        """Keeps observations, durably.

        Raises:
            TypeError: Something else than observations: raw text is not stored.
            LimitExceeded: More than 2^18 in all; forget some.
            StoreFault: It cannot be written; nothing is kept.
        """
        new = list(observations)
        if any(type(one) is not Observation for one in new):
            raise TypeError("raw text is not stored: Respondent.observe makes observations of it")
        with self._lock:
            if len(self._observations) + len(new) > OBSERVATIONS_MAX:
                raise LimitExceeded(f"a store holds at most {OBSERVATIONS_MAX} observations: forget some")
            self._write([*self._observations, *new], self._id, self._cipher)

    def of(self, query: CohortQuery, *, since_s: float = 0) -> list[Observation]:
        """Returns the observations about one question since a time."""
        since = whole_seconds(since_s)
        return [o for o in self._observations if o.question == query.digest and o.hour_s >= since]

    def forget(self, *, before_s: float | None = None, query: CohortQuery | None = None) -> int:
        """Forgets observations, before a time or about one question or both; all without arguments.

        Returns:
            How many.

        Raises:
            StoreFault: It cannot be written; nothing is forgotten.
        """
        before = TIME_MAX if before_s is None else whole_seconds(before_s)
        with self._lock:
            kept = [
                o
                for o in self._observations
                if o.hour_s >= before or (query is not None and o.question != query.digest)
            ]
            gone = len(self._observations) - len(kept)
            if gone:
                self._write(kept, self._id, self._cipher)
            return gone

    def rotate(self, key: bytes) -> None:
        """Encrypts everything under another key and another store id.

        Raises:
            TypeError, ValueError: The key is not 32 bytes.
            StoreFault: It cannot be written; the old key stays.
        """
        _check_key(key)
        with self._lock:
            name = secrets.token_bytes(DIGEST_BYTES)
            self._write(self._observations, name, _cipher(key, name))

    def _write(self, observations: list[Observation], name: bytes, cipher: AESGCM) -> None:
        body = Writer("zkfed/v1/device-store").u64(self.generation + 1).list([o.encode() for o in observations])
        nonce, head = secrets.token_bytes(NONCE_BYTES), MAGIC + name
        # Otherwise what another object has forgotten would be written back.
        self._others.check()
        replace_file(self.path, [head, nonce, cipher.encrypt(nonce, body.finish(), head)], mode=0o600)
        self._others.note()
        self._observations, self.generation = observations, self.generation + 1
        self._id, self._cipher = name, cipher

    def _load(self, data: bytes, key: bytes) -> None:
        at = len(MAGIC) + DIGEST_BYTES
        head, nonce, sealed = data[:at], data[at : at + NONCE_BYTES], data[at + NONCE_BYTES :]
        if not head.startswith(MAGIC) or len(head) != at:
            raise IntegrityError("this file is no device store")
        self._id = head[len(MAGIC) :]
        try:
            body = _cipher(key, self._id).decrypt(nonce, sealed, head)
        except (InvalidTag, ValueError):
            raise IntegrityError("the device store does not open: another key, or it was changed or cut") from None
        try:
            r = Reader(body, "zkfed/v1/device-store", FILE_BYTES_MAX)
            self.generation = r.u64()
            self._observations = [Observation.decode(o) for o in r.list(OBSERVATIONS_MAX)]
            r.finish()
        except ZkfedError:
            raise IntegrityError("the device store is of another version") from None


def _check_key(key: bytes) -> None:
    if not isinstance(key, bytes):
        raise TypeError(f"a store's key is bytes, got {type(key).__name__}")
    if len(key) != KEY_BYTES:
        raise ValueError(f"a store's key has {len(key)} bytes, expected {KEY_BYTES}")


def _cipher(key: bytes, name: bytes) -> AESGCM:
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=name, info=b"zkfed/v1/device-store").derive(key))


def _read(path: Path) -> bytes | None:
    try:
        if not path.exists():
            return None
        if path.stat().st_size > FILE_BYTES_MAX:
            raise LimitExceeded(f"the device store is above {FILE_BYTES_MAX} bytes")
        return path.read_bytes()
    except OSError as error:
        raise StoreFault(f"the device store cannot be read: {error.strerror}") from None
