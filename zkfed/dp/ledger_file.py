"""The file of a ledger: SQLite, WAL, full synchronous; and the gate that one at a time passes.

It keeps facts and knows nothing of budgets. A transaction is on the disk when `append` returns. The
gate is an exclusive lock on a second, empty database: the system frees it when its holder dies.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from zkfed.encoding import digest
from zkfed.errors import LedgerCorrupt, StoreFault

__all__ = ["LedgerFile", "answer_digest"]

WAIT_S = 600
"""How long one waits for the others' critical sections; an encrypted question takes tens of seconds."""
_SCHEMA = """
CREATE TABLE header (body BLOB NOT NULL) STRICT;
CREATE TABLE cohort (digest BLOB PRIMARY KEY, members BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE entry (idx INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE answer (digest BLOB PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID;
"""


def answer_digest(answer: bytes) -> bytes:
    """Names an answer."""
    return digest("zkfed/v1/ledger-answer", answer)


class LedgerFile:
    """An open ledger file.

    Args:
        path: Created where there is none; None keeps it in memory.

    Raises:
        StoreFault: It cannot be opened.
        LedgerCorrupt: It is no database.
    """

    def __init__(self, path: Path | None) -> None:
        self.path, self._pid, self._depth, self._is_closed = path, os.getpid(), 0, False
        self._thread = threading.RLock()
        # One file under two names has one gate; and ":memory:" is a file like any other.
        name = ":memory:" if path is None else os.path.realpath(path)
        with self._faults():
            self._gate = None if path is None else self._connect(f"{name}-lock")
            self._db = self._connect(name)
            if path is not None:
                self._db.execute("PRAGMA journal_mode = WAL")
                # FULL: a transaction is on the disk when COMMIT returns.
                self._db.execute("PRAGMA synchronous = FULL")

    @staticmethod
    def _connect(name: str) -> sqlite3.Connection:
        return sqlite3.connect(name, timeout=WAIT_S, isolation_level=None, check_same_thread=False)

    def close(self) -> None:
        """Closes the file."""
        self._is_closed = True
        for db in (self._db, self._gate):
            if db is not None:
                db.close()

    @contextlib.contextmanager
    def critical(self) -> Iterator[None]:
        """Lets one thread of one process in.

        Raises:
            StoreFault: The gate stays closed, or this is a fork of the process that opened the file.
        """
        if os.getpid() != self._pid:
            raise StoreFault("the ledger was opened in another process: open it anew in this one")
        if self._is_closed:
            raise StoreFault("the ledger is closed")
        with self._thread:
            self._depth += 1
            try:
                if self._depth == 1 and self._gate is not None:
                    with self._faults():
                        self._gate.execute("BEGIN EXCLUSIVE")
                yield
            finally:
                self._depth -= 1
                if self._depth == 0 and self._gate is not None:
                    with contextlib.suppress(sqlite3.Error):  # closed meanwhile: then nobody is in
                        self._gate.execute("ROLLBACK")

    def header(self, new: bytes) -> bytes:
        """Returns the header; a file without any gets the one given."""
        with self._faults():
            if not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                with self._transaction():
                    for statement in _SCHEMA.split(";"):
                        self._db.execute(statement)
                    self._db.execute("INSERT INTO header VALUES (?)", (new,))
            # A trigger would take a charge out again; another table is another program's.
            found = self._db.execute("SELECT sql || ';' FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
            if sorted(sql for (sql,) in found) != sorted(_SCHEMA.split("\n")[1:-1]):
                raise LedgerCorrupt("the file is no ledger: it holds other tables or triggers than one")
            rows = self._db.execute("SELECT body FROM header").fetchall()
        if len(rows) != 1:
            raise LedgerCorrupt(f"the ledger has {len(rows)} headers, expected one")
        return bytes(rows[0][0])

    def append(self, index: int, entry: bytes, *, cohort: tuple[bytes, bytes] | None, answer: bytes | None) -> None:
        """Writes one entry and what it names in one transaction, durably.

        Raises:
            StoreFault: It cannot be written; nothing is.
        """
        with self._faults(), self._transaction():
            if cohort is not None:
                self._db.execute("INSERT OR IGNORE INTO cohort VALUES (?, ?)", cohort)
            if answer is not None:
                self._db.execute("INSERT OR IGNORE INTO answer VALUES (?, ?)", (answer_digest(answer), answer))
            self._db.execute("INSERT INTO entry VALUES (?, ?)", (index, entry))

    def entries(self, start: int) -> list[bytes]:
        """Returns the entries from a number on; raises LedgerCorrupt if one is missing."""
        with self._faults():
            rows = self._db.execute("SELECT idx, body FROM entry WHERE idx >= ? ORDER BY idx", (start,)).fetchall()
        if [index for index, _ in rows] != list(range(start, start + len(rows))):
            raise LedgerCorrupt(f"an entry after the ledger's entry {start} is missing")
        return [bytes(body) for _, body in rows]

    def cohort(self, name: bytes) -> bytes | None:
        """Returns the pseudonyms of a cohort."""
        return self._one("SELECT members FROM cohort WHERE digest = ?", name)

    def answer(self, name: bytes) -> bytes:
        """Returns an answer; raises LedgerCorrupt unless it is the one of that name."""
        body = self._one("SELECT body FROM answer WHERE digest = ?", name)
        if body is None or answer_digest(body) != name:
            raise LedgerCorrupt("an answer in the ledger is missing, or not the one that was given")
        return body

    def _one(self, query: str, name: bytes) -> bytes | None:
        with self._faults():
            row = self._db.execute(query, (name,)).fetchone()
        return None if row is None else bytes(row[0])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """Turns what SQLite says into our errors."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StoreFault(f"the ledger cannot be read or written: {error}") from None
        except sqlite3.Error as error:
            raise LedgerCorrupt(f"the ledger is no ledger: {error}") from None
