"""The iden3 binary container: sections with a number and a size, little-endian.

    magic (4 bytes), version (u32), sections (u32), then for each: type (u32), size (u64), payload

Sections stand in any order; those with unknown numbers are skipped, as the format demands. A
size is compared with the bytes that are there before anything is allocated.

Source: iden3/r1csfile, doc/r1cs_bin_format.md; iden3/binfileutils.
"""

from __future__ import annotations

import os
import secrets
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

from zkfed.algebra.curve import CURVES, Curve
from zkfed.errors import DecodeError, LimitExceeded, StoreFault

__all__ = ["FIELD_BYTES", "Payload", "curve_of_prime", "read_file", "read_sections", "replace_file", "write_sections"]

FIELD_BYTES = 32
"""Bytes of a scalar of either curve in these files (fs, n8)."""
FILE_BYTES_MAX = 1 << 32
SECTIONS_MAX = 64
Payload = bytes | memoryview


def read_file(path: Path, limit: int = FILE_BYTES_MAX) -> bytes:
    """Returns a file's bytes.

    Raises:
        LimitExceeded: It has more than `limit` bytes.
        StoreFault: It cannot be read.
    """
    try:
        size = path.stat().st_size
        if size > limit:
            raise LimitExceeded(f"{path.name}: {size} bytes, at most {limit} are accepted")
        return path.read_bytes()
    except OSError as error:
        raise StoreFault(f"{path.name} cannot be read: {error.strerror}") from None


def read_sections(path: Path, kind: tuple[bytes, int], needed: Iterable[int]) -> dict[int, memoryview]:
    """Returns the sections of a file of a kind (magic, version); those in `needed` are there.

    Raises:
        DecodeError: Another kind of file, truncated, longer than its sections, or a section
            that stands twice or is missing.
        LimitExceeded: More than 64 sections are announced, or the file is too large.
        StoreFault: The file cannot be read.
    """
    (magic, version), data = kind, memoryview(read_file(path))
    if len(data) < 12 or data[:4] != magic:
        raise DecodeError(f"{path.name}: no {magic.decode()} file")
    found, count = struct.unpack_from("<II", data, 4)
    if found != version:
        raise DecodeError(f"{path.name}: version {found} of the {magic.decode()} format, expected {version}")
    if count > SECTIONS_MAX:
        raise LimitExceeded(f"{path.name}: {count} sections, at most {SECTIONS_MAX} are accepted")
    sections: dict[int, memoryview] = {}
    at = 12
    for _ in range(count):
        if len(data) - at < 12:
            raise DecodeError(f"{path.name}: ends at byte {len(data)} before section {len(sections) + 1} of {count}")
        number, size = struct.unpack_from("<IQ", data, at)
        at += 12
        if size > len(data) - at:
            raise DecodeError(f"{path.name}: section {number} of {size} bytes, {len(data) - at} are left")
        if number in sections:
            raise DecodeError(f"{path.name}: section {number} stands twice")
        sections[number] = data[at : at + size]
        at += size
    if at != len(data):
        raise DecodeError(f"{path.name}: {len(data) - at} bytes too many")
    missing = sorted(set(needed) - sections.keys())
    if missing:
        raise DecodeError(f"{path.name}: section {missing[0]} is missing")
    return sections


def write_sections(path: Path, kind: tuple[bytes, int], sections: Mapping[int, Payload], mode: int = 0o666) -> None:
    """Writes a file of a kind (magic, version) with these sections, all or nothing.

    Raises:
        StoreFault: It cannot be written; what stood there before stands there still.
    """
    magic, version = kind
    parts: list[Payload] = [magic + struct.pack("<II", version, len(sections))]
    for number, payload in sections.items():
        parts += [struct.pack("<IQ", number, len(payload)), payload]
    replace_file(path, parts, mode)


def replace_file(path: Path, parts: Iterable[Payload], mode: int = 0o666) -> None:
    """Writes `parts` into a temporary file beside `path` and renames it onto `path`.

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
            with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StoreFault(f"{path.name} cannot be written: {error.strerror}") from None


def curve_of_prime(prime: bytes, name: str) -> Curve:
    """Returns the curve whose scalar field has this order (little-endian).

    Raises:
        DecodeError: It is the order of neither curve.
    """
    order = int.from_bytes(prime, "little")
    for curve in CURVES.values():
        if curve.order == order:
            return curve
    raise DecodeError(f"{name}: the prime is the order of none of {', '.join(CURVES)}")
