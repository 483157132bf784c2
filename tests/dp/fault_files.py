"""A file layer below SQLite that counts every write, sync, truncation and deletion, and fails at the n-th.

    kill    the process ends before it, as by kill -9
    torn    half of it is written, then the process ends
    power   the process ends, and whatever was not synced is gone
    full    the disk is full from there on

SQLite's own file layer (its VFS) is what apsw lets Python stand in for; the ledger runs on it unchanged.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

import apsw

MODES = ("kill", "torn", "power")


class Faults:
    """Where a fault strikes, and how many operations there were."""

    def __init__(self, mode: str, at: int) -> None:
        self.mode, self.at, self.count = mode, at, 0
        self.synced: dict[str, bytes | None] = {}

    def step(self, path: str, data: bytes = b"", offset: int = 0) -> None:
        self.count += 1
        if self.count < self.at or (self.mode != "full" and self.count > self.at):
            return
        if self.mode == "full":
            if data:  # a full disk still deletes and truncates
                raise apsw.FullError("the disk is full")
            return
        if self.mode == "torn" and data:
            with open(path, "r+b") as file:
                file.seek(offset)
                file.write(data[: len(data) // 2])
        if self.mode == "power":
            for name, content in self.synced.items():
                if content is None:
                    Path(name).unlink(missing_ok=True)
                else:
                    Path(name).write_bytes(content)
        os.kill(os.getpid(), signal.SIGKILL)


class FaultFiles(apsw.VFS):
    """The file layer."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        super().__init__(f"faults-{id(self)}", "", maxpathname=1024)

    @property
    def name(self) -> str:
        return f"faults-{id(self)}"

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        return FaultFile(self.faults, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self.faults.step(filename)
        super().xDelete(filename, syncdir)
        self.faults.synced[filename] = None


class FaultFile(apsw.VFSFile):
    """One open file."""

    def __init__(self, faults: Faults, name: Any, flags: list[int]) -> None:
        self.faults = faults
        self.path = name if isinstance(name, str) else name.filename()
        exists = self.path and Path(self.path).exists()
        faults.synced.setdefault(self.path, Path(self.path).read_bytes() if exists else None)
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        self.faults.step(self.path, data, offset)
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self.faults.step(self.path)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        self.faults.step(self.path)
        super().xSync(flags)
        self.faults.synced[self.path] = Path(self.path).read_bytes()


class FaultConnection:
    """What the ledger uses of `sqlite3.Connection`, over the file layer."""

    def __init__(self, name: str, files: FaultFiles) -> None:
        self._db = apsw.Connection(name, vfs=files.name)
        self._db.set_busy_timeout(10_000)

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> Any:
        try:
            return _Rows(self._db.cursor().execute(statement, values).fetchall())
        except (apsw.NotADBError, apsw.CorruptError) as error:
            raise sqlite3.DatabaseError(str(error)) from None
        except apsw.Error as error:
            raise sqlite3.OperationalError(str(error)) from None

    def close(self) -> None:
        self._db.close()


class _Rows:
    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def fetchall(self) -> list[Any]:
        return self._rows

    def fetchone(self) -> Any:
        return self._rows[0] if self._rows else None
