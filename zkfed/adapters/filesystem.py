"""A drop folder that several processes share, on one machine or on a shared disk.

    root/round/7/commits/0000000000000003-<SHA-256>.msg

One file is one message. Its name is its place in the order of arrival and its address, so that a
reader needs no index and a file that was cut, changed or renamed is noticed. A writer fills a
temporary file beside it, flushes it to the disk and renames it: a reader sees all of a message or
nothing. Renaming happens under a lock on the folder, which the system releases when a writer dies.
Files with other names (a writer's remains, an editor's copy) are not looked at.

Whoever may write into the folder may also delete from it, or hold its lock: its permissions decide
who can stop a federation. Nobody can make a reader take wrong bytes or follow a link out of it.

POSIX only: it rests on `openat` with O_NOFOLLOW, and on `flock`. Where a network disk ignores the
lock, two writers may get one place; nothing is lost, but the order may change once.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from zkfed.errors import IntegrityError, LimitExceeded, TransportError, ZkfedError
from zkfed.files import NoFolder, open_below
from zkfed.ports import CHANNEL_BYTES_MAX, MESSAGE_BYTES_MAX, check_channel, check_start, message_digest

__all__ = ["FilesystemTransport"]

_LOCK_S_MAX = 10.0
_PLACES = 10**16
_NAME = re.compile(r"([0-9]{16})-([0-9a-f]{64})\.msg")


class FilesystemTransport:
    """Implements `zkfed.ports.Transport` in a folder.

    Args:
        root: The folder; it is created. It may be a link, what is below it may not.
        message_bytes_max: The limit of one message.
        channel_bytes_max: The limit of all messages of one channel.

    Raises:
        TransportError: The folder cannot be created or read, or the system is not POSIX.
    """

    __slots__ = ("channel_bytes_max", "message_bytes_max", "root")

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        message_bytes_max: int = MESSAGE_BYTES_MAX,
        channel_bytes_max: int = CHANNEL_BYTES_MAX,
    ) -> None:
        if os.name != "posix":
            raise TransportError("the drop folder needs a POSIX system; use another transport there")
        self.message_bytes_max, self.channel_bytes_max = message_bytes_max, channel_bytes_max
        with _faults_as_errors("create", os.fspath(root)):
            Path(root).mkdir(parents=True, exist_ok=True)
            self.root = Path(root).resolve(strict=True)

    def publish(self, channel: str, message: bytes) -> str:
        """Puts one message into a channel and returns its address; see `Transport.publish`."""
        segments = check_channel(channel)
        address = message_digest(message, self.message_bytes_max)
        with _faults_as_errors("publish on", channel), open_below(self.root, segments, create=True) as folder:
            temporary = f".{secrets.token_hex(16)}.tmp"
            try:
                _write(folder, temporary, message)
                with _locked(folder):
                    name = self._free_name(folder, address, len(message))
                    if name is not None:
                        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
                        os.fsync(folder)
            finally:
                with contextlib.suppress(FileNotFoundError):  # renamed, or never written
                    os.unlink(temporary, dir_fd=folder)
        return address

    def fetch(self, channel: str, *, start: int = 0) -> tuple[bytes, ...]:
        """Returns the messages of a channel in the order of arrival; see `Transport.fetch`."""
        return self.page(channel, start=start, bytes_max=None)

    def page(self, channel: str, *, start: int, bytes_max: int | None) -> tuple[bytes, ...]:
        """Returns the first of them, up to `bytes_max` bytes, and reads no others; see `Paged.page`."""
        segments = check_channel(channel)
        check_start(start)
        messages: dict[str, bytes] = {}
        room = self.channel_bytes_max
        with _faults_as_errors("fetch from", channel):
            try:
                with open_below(self.root, segments, create=False) as folder:
                    with _locked(folder):  # a listing beside a rename may miss the earlier of two files
                        entries = _entries(folder)
                    for entry in entries:
                        if entry.address in messages:
                            continue
                        if len(messages) < start:
                            messages[entry.address] = b""  # read before: only its place counts
                        else:
                            message = _read(folder, entry, self.message_bytes_max)
                            room -= len(message)
                            if room < 0:
                                raise LimitExceeded(
                                    f"channel {channel!r} holds more than {self.channel_bytes_max} bytes"
                                )
                            messages[entry.address] = message
                            if bytes_max is not None and self.channel_bytes_max - room >= bytes_max:
                                break
            except NoFolder:
                return ()
        return tuple(messages.values())[start:]

    def count(self, channel: str) -> int:
        """Returns how many messages a channel has, by their names alone; see `Counted.count`."""
        segments = check_channel(channel)
        try:
            with _faults_as_errors("look at", channel), open_below(self.root, segments, create=False) as f, _locked(f):
                return len({entry.address for entry in _entries(f)})
        except NoFolder:
            return 0

    def _free_name(self, folder: int, address: str, size: int) -> str | None:
        """Returns the name to rename a new message to, or None if it is there and intact."""
        entries = _entries(folder)
        for entry in entries:
            if entry.address == address:
                try:
                    _read(folder, entry, self.message_bytes_max)
                except ZkfedError:
                    return entry.name  # cut or changed since: publishing again repairs it in place
                return None
        if (total := size + sum(os.lstat(e.name, dir_fd=folder).st_size for e in entries)) > self.channel_bytes_max:
            raise LimitExceeded(f"the channel would hold {total} bytes, at most {self.channel_bytes_max} are kept")
        place = entries[-1].place + 1 if entries else 0
        if place >= _PLACES:
            raise TransportError(f"no place is left after {entries[-1].name}; remove that file")
        return _Entry(place, address).name


class _Entry(NamedTuple):
    """A file that is named like a message; sorts in the order of arrival."""

    place: int
    address: str

    @property
    def name(self) -> str:
        return f"{self.place:016d}-{self.address}.msg"


@contextlib.contextmanager
def _faults_as_errors(action: str, where: str) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        raise TransportError(f"cannot {action} {where!r}: {fault.strerror}") from fault


@contextlib.contextmanager
def _locked(folder: int) -> Iterator[None]:
    """Excludes other writers; the system releases the lock of a process that dies."""
    import fcntl  # not on every system; see __init__

    give_up_s = time.monotonic() + _LOCK_S_MAX
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > give_up_s:
                raise TransportError(f"another process holds the lock for {_LOCK_S_MAX} s") from None
            time.sleep(0.005)
    try:
        yield
    finally:
        fcntl.flock(folder, fcntl.LOCK_UN)


def _entries(folder: int) -> list[_Entry]:
    matches = (_NAME.fullmatch(name) for name in os.listdir(folder))
    return sorted(_Entry(int(match[1]), match[2]) for match in matches if match is not None)


def _write(folder: int, name: str, message: bytes) -> None:
    handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=folder)
    with os.fdopen(handle, "wb") as file:
        file.write(message)
        file.flush()
        os.fsync(file.fileno())


def _read(folder: int, entry: _Entry, maximum: int) -> bytes:
    """Returns what a file holds if it is what its name says."""
    # O_NONBLOCK: a named pipe in place of the file must not make us wait for a writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        handle = os.open(entry.name, flags, dir_fd=folder)
    except FileNotFoundError:
        raise TransportError(f"{entry.name} vanished while it was read; fetch again") from None
    except OSError as fault:
        if fault.errno in {errno.ELOOP, errno.EMLINK, errno.ENXIO}:  # a link or a socket
            raise IntegrityError(f"{entry.name} is no regular file; remove it") from None
        raise
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise IntegrityError(f"{entry.name} is no regular file; remove it")
        if status.st_size > maximum:
            raise LimitExceeded(f"{entry.name} has {status.st_size} bytes, at most {maximum} are carried")
        with os.fdopen(handle, "rb", closefd=False) as file:
            message = file.read(status.st_size + 1)
    finally:
        os.close(handle)
    if hashlib.sha256(message).hexdigest() != entry.address:
        raise IntegrityError(
            f"{entry.name} holds {len(message)} bytes that do not match its address; "
            "publish the message again, or remove the file"
        )
    return message
