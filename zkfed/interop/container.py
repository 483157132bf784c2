"""The iden3 binary container: sections with a number and a size, little-endian.

    magic (4 bytes), version (u32), sections (u32), then for each: type (u32), size (u64), payload

Sections stand in any order; those with unknown numbers are skipped, as the format demands. A
size is compared with the bytes that are there before anything is allocated.

Source: iden3/r1csfile, doc/r1cs_bin_format.md; iden3/binfileutils.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

from zkfed.algebra.curve import CURVES, Curve
from zkfed.errors import DecodeError, LimitExceeded
from zkfed.files import map_file, replace_file

__all__ = ["FIELD_BYTES", "Payload", "curve_of_prime", "read_sections", "write_sections"]

FIELD_BYTES = 32
"""Bytes of a scalar of either curve in these files (fs, n8)."""
FILE_BYTES_MAX = 1 << 32
SECTIONS_MAX = 64
Payload = bytes | memoryview


def read_sections(path: Path, kind: tuple[bytes, int], needed: Iterable[int]) -> dict[int, memoryview]:
    """Returns the sections of a file of a kind (magic, version); those in `needed` are there.

    Raises:
        DecodeError: Another kind of file, truncated, longer than its sections, or a section
            that stands twice or is missing.
        LimitExceeded: More than 64 sections are announced, or the file is too large.
        StoreFault: The file cannot be read.
    """
    # Copied: a foreign file may be changed or cut off between check and use.
    (magic, version), data = kind, memoryview(bytes(map_file(path, FILE_BYTES_MAX)))
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
