"""Files that are there whole or not at all, and that are read where they lie."""

from __future__ import annotations

import hashlib
import mmap
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from zkfed.errors import LimitExceeded, StoreFault

__all__ = ["NoFolder", "WrittenElsewhere", "alone", "map_file", "open_below", "replace_file"]


class NoFolder(Exception):
    """A folder on the way is not there."""


class WrittenElsewhere:
    """Notices that somebody else has written a file since this object last read or wrote it.

    Two objects that each keep a file's content would otherwise write over each other. It is no lock: a
    write at the very same time is not noticed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.note()

    def note(self) -> None:
        """Takes the file as it is now for the one that is known."""
        self._seen = self._content()

    def check(self) -> None:
        """Raises StoreFault unless the file is the one that is known."""
        if self._content() != self._seen:
            raise StoreFault(f"{self._path.name} was written by another object or process: open it anew")

    def _content(self) -> bytes:
        try:
            return hashlib.sha256(self._path.read_bytes()).digest() if self._path.exists() else b""
        except OSError as error:
            raise StoreFault(f"{self._path.name} cannot be read: {error.strerror}") from None


def replace_file(path: Path, parts: Iterable[bytes | memoryview], mode: int = 0o666) -> None:
    """Writes a file beside `path` and renames it onto `path`, durably.

    A process that is killed meanwhile leaves nothing on Linux, where the new file has no name
    before it is whole; elsewhere it leaves a hidden file that nothing reads.

    Args:
        path: The file.
        parts: Its bytes.
        mode: Its permissions, less the umask.

    Raises:
        StoreFault: It cannot be written; what stood there before stands there still.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        try:
            with _new_file(temporary, mode) as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        if os.name == "posix":
            # A name is durable once its folder is.
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise StoreFault(f"{path.name} cannot be written: {error.strerror}") from None


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Holds a file of which one process at a time makes use, such as a signing key, until the context ends.

    It is a hint between processes of one owner: a copy of the file is another file, and where the system or
    the disk has no `flock`, nobody is kept out.

    Raises:
        StoreFault: Another process holds it, or it cannot be read.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise StoreFault(f"{path.name} cannot be read: {error.strerror}") from None
    with file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreFault(
                f"{path.name} is in use by another process: one file, one party; end the other, or take another file"
            ) from None
        except (ImportError, OSError):
            pass  # no such locks here
        yield


@contextmanager
def _new_file(path: Path, mode: int) -> Iterator[BinaryIO]:
    """Opens a file that gets its name, `path`, at the end of the context, if the system can do so."""
    try:
        # Linux, on most file systems.
        descriptor = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY, mode)
        link = f"/proc/self/fd/{descriptor}"
    except (AttributeError, OSError):
        descriptor, link = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), ""
    with open(descriptor, "wb") as file:
        yield file
        if link:
            # With a descriptor, even one that an absolute path does not need, Python follows the link.
            os.link(link, path, src_dir_fd=descriptor, follow_symlinks=True)


def map_file(path: Path, limit: int) -> memoryview:
    """Returns the bytes of a file as they lie on the disk, read-only and not yet in memory.

    They stay what they are if the file is replaced or removed. Whoever writes into the file
    itself changes them; whoever cuts it off ends this process when it reads on (SIGBUS).

    Args:
        path: The file.
        limit: The most bytes that it may have.

    Raises:
        StoreFault: It cannot be read, or is no file.
        LimitExceeded: It is larger.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a named pipe would never end
            raise StoreFault(f"{path.name} cannot be read: it is no file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise LimitExceeded(f"{path.name} has {size} bytes, at most {limit} are accepted")
            # An empty file cannot be mapped.
            return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b"")
    except OSError as error:
        raise StoreFault(f"{path.name} cannot be read: {error.strerror}") from None


@contextmanager
def open_below(root: Path, segments: tuple[str, ...], *, create: bool) -> Iterator[int]:
    """Opens root/segments one by one, never through a link, and yields the last; POSIX only.

    Args:
        root: A folder; it may be a link.
        segments: Names of folders, each in the one before.
        create: Makes those that are not there.

    Raises:
        NoFolder: One is not there, and none is to be made.
        OSError: One cannot be opened or made.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY
    folder = os.open(root, flags)
    try:
        for segment in segments:
            if create:
                with suppress(FileExistsError):
                    os.mkdir(segment, dir_fd=folder)
                    os.fsync(folder)
            try:
                below = os.open(segment, flags | os.O_NOFOLLOW, dir_fd=folder)
            except FileNotFoundError:
                if create:  # removed again by somebody else
                    raise
                raise NoFolder from None
            os.close(folder)
            folder = below
        yield folder
    finally:
        os.close(folder)
