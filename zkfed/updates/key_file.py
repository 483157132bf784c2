"""Signing keys on disk: one file each, readable by its owner only. Whoever has the file is the device."""

from __future__ import annotations

import os
from pathlib import Path

from zkfed.encoding import Reader, Writer
from zkfed.errors import LimitExceeded, StoreFault
from zkfed.files import map_file
from zkfed.updates.signing import SigningKey

__all__ = ["TAG", "KeyExists", "create_key", "load_key"]

TAG = "zkfed/v1/signing-key"


class KeyExists(StoreFault):
    """A key file is there already; none is ever written over."""


def create_key(path: Path) -> SigningKey:
    """Makes a fresh key and writes it to a new file with mode 0600.

    Raises:
        KeyExists: The file is there already.
        StoreFault: It cannot be written.
    """
    seed = os.urandom(32)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with open(descriptor, "wb") as file:
            file.write(Writer(TAG).bytes(seed).finish())
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise KeyExists(f"{path.name or path} is there already: a key is never written over") from None
    except OSError as error:
        raise StoreFault(f"{path.name} cannot be written: {error.strerror}") from None
    return SigningKey(seed)


def load_key(path: Path) -> SigningKey:
    """Reads a key file.

    Raises:
        StoreFault: It cannot be read, or others may read it.
        DecodeError, LimitExceeded: It holds something else.
    """
    try:
        data = bytes(map_file(path, 256))
    except LimitExceeded as error:
        raise LimitExceeded(f"{error}: expected a signing key, as `zkfed keys sign` makes it") from None
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise StoreFault(f"{path.name} may be read by others: chmod 600 it, or make a new key if they have")
    r = Reader(data, TAG, 256)
    seed = r.bytes(exact=32)
    r.finish()
    return SigningKey(seed)
