"""Strict compressed encodings: one point, one encoding, and never the identity.

Big-endian x, for G2 x.c1 before x.c0, under flag bits that say which of the two roots y is:
the larger one has y > (q - 1) / 2, for G2 compared by y.c1 and, where that is 0, by y.c0.

    BLS12-381   3 bits: compressed (1), infinity (0), y is the larger root
                draft-irtf-cfrg-pairing-friendly-curves-11, appendix C (the ZCash format)
    BN254       2 bits: 10 the smaller root, 11 the larger root, 01 infinity, 00 uncompressed
                the format of gnark-crypto; arkworks and the Solana system calls use another

Uncompressed points are for files that stay on one machine, where a square root for each point
takes too long: x | y, for G2 c0 before c1; a coefficient c is c R mod q, little-endian, in as
many bytes as in a compressed point, R = 2^(8 bytes). On the native backend that is the memory
of a point. (0, 0) is the identity, which is refused here too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from zkfed.algebra.backend import Group, Points
from zkfed.algebra.curve import BLS12_381, BN254, Curve
from zkfed.errors import DecodeError

__all__ = [
    "Coordinate",
    "check_pairing_input",
    "check_same_group",
    "encode_affine",
    "encode_identity",
    "encode_point",
    "is_larger_root",
    "parse_affine",
    "parse_point",
    "split_points",
]

Coordinate = tuple[int, ...]
"""One coordinate: (c0,) in G1, (c0, c1) in G2."""


@dataclass(frozen=True, slots=True)
class _Flags:
    """The flag bits of one format, as values of the top `bits` bits of the first byte."""

    bits: int
    smaller: int
    larger: int
    infinity: int


_FLAGS = {BLS12_381.name: _Flags(3, 0b100, 0b101, 0b110), BN254.name: _Flags(2, 0b10, 0b11, 0b01)}


def split_points(curve: Curve, group: Group, data: bytes, count: int) -> Iterator[bytes]:
    """Yields the encodings of `count` points.

    Raises:
        DecodeError: The length is not exactly that of `count` points.
    """
    size = curve.point_bytes(group)
    if len(data) != count * size:
        raise DecodeError(f"{len(data)} bytes for {count} {group} points, expected {count * size}")
    for start in range(0, len(data), size):
        yield data[start : start + size]


def parse_point(curve: Curve, group: Group, encoded: bytes) -> tuple[Coordinate, bool]:
    """Returns x and whether y is the larger root; says nothing about the curve equation.

    Args:
        curve: Names the format.
        group: "G1" or "G2".
        encoded: As many bytes as one compressed point has.

    Raises:
        DecodeError: Not compressed, the identity, or a coordinate that is not canonical.
    """
    flags = _FLAGS[curve.name]
    shift = 8 - flags.bits
    found = encoded[0] >> shift
    if found not in (flags.smaller, flags.larger):
        kind = "the identity, or has its flag set" if found & flags.infinity == flags.infinity else "not compressed"
        raise DecodeError(f"a {group} point is {kind}; expected a compressed point other than the identity")
    size = curve.coordinate_bytes
    cleared = bytes([encoded[0] & ((1 << shift) - 1)]) + encoded[1:]
    x = tuple(int.from_bytes(cleared[i : i + size], "big") for i in range(len(cleared) - size, -1, -size))
    if any(c >= curve.base_modulus for c in x):
        raise DecodeError(f"a coordinate of a {group} point is not below q")
    return x, found == flags.larger


def encode_point(curve: Curve, x: Coordinate, y: Coordinate) -> bytes:
    """Returns the compressed encoding of (x, y), which is not the identity."""
    flags = _FLAGS[curve.name]
    body = b"".join(c.to_bytes(curve.coordinate_bytes, "big") for c in reversed(x))
    flag = flags.larger if is_larger_root(curve, y) else flags.smaller
    return bytes([body[0] | flag << (8 - flags.bits)]) + body[1:]


def encode_identity(curve: Curve, group: Group) -> bytes:
    """Returns the encoding of the identity, which `decode` refuses."""
    flags = _FLAGS[curve.name]
    return bytes([flags.infinity << (8 - flags.bits)]) + bytes(curve.point_bytes(group) - 1)


def parse_affine(curve: Curve, group: Group, data: bytes | memoryview, count: int) -> Iterator[Coordinate]:
    """Yields x | y of `count` uncompressed points; says nothing about the curve equation.

    Raises:
        DecodeError: A wrong length, a coordinate that is not canonical, or the identity.
    """
    size, q = curve.coordinate_bytes, curve.base_modulus
    point_size = 2 * curve.point_bytes(group)
    if len(data) != count * point_size:
        raise DecodeError(f"{len(data)} bytes for {count} affine {group} points, expected {count * point_size}")
    inverse = pow(1 << 8 * size, -1, q)
    for start in range(0, len(data), point_size):
        parts = range(start, start + point_size, size)
        raw = [int.from_bytes(data[i : i + size], "little") for i in parts]
        if any(c >= q for c in raw):
            raise DecodeError(f"a coordinate of a {group} point is not below q")
        if not any(raw):
            raise DecodeError(f"a {group} point is the identity")
        yield tuple(c * inverse % q for c in raw)


def encode_affine(curve: Curve, coefficients: Iterable[int]) -> bytes:
    """Returns the uncompressed encoding of x | y, all 0 for the identity."""
    size, q = curve.coordinate_bytes, curve.base_modulus
    return b"".join([((c << 8 * size) % q).to_bytes(size, "little") for c in coefficients])


def is_larger_root(curve: Curve, y: Coordinate) -> bool:
    """Returns whether y is larger than -y, by its last coefficient that is not 0."""
    return next((c for c in reversed(y) if c), 0) > curve.base_modulus // 2


def check_same_group(left: Points, right: Points) -> None:
    """Raises ValueError unless both vectors have one group and one length."""
    if left.group != right.group or len(left) != len(right):
        raise ValueError(f"{left!r} and {right!r}: expected one group and one length")


def check_pairing_input(left: Points, right: Points) -> None:
    """Raises ValueError unless `left` is in G1, `right` in G2, of one length."""
    if left.group != "G1" or right.group != "G2" or len(left) != len(right):
        raise ValueError(f"{left!r} and {right!r}: expected G1 and G2 of one length")
