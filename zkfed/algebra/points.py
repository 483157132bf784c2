"""Strict compressed encodings: one point, one encoding, and never the identity.

BLS12-381: big-endian x, for G2 x.c1 before x.c0, with three flag bits on top: compressed (1),
infinity (0), sign of y. Source: draft-irtf-cfrg-pairing-friendly-curves-11, appendix C.
"""

from __future__ import annotations

from collections.abc import Iterator

from zkfed.algebra.backend import Group
from zkfed.algebra.curve import BLS12_381, Curve
from zkfed.errors import DecodeError

__all__ = ["check_bls12_381", "split_points"]


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


def check_bls12_381(group: Group, encoded: bytes) -> None:
    """Checks flags and that every coordinate is below q.

    Raises:
        DecodeError: Not compressed, the identity, or a coordinate that is not canonical.
    """
    flags = encoded[0] >> 5
    if flags & 0b100 == 0:
        raise DecodeError(f"a {group} point is not in compressed form")
    if flags & 0b010:
        raise DecodeError(f"a {group} point is the identity, or has its flag set")
    first = int.from_bytes(bytes([encoded[0] & 0x1F]) + encoded[1:48], "big")
    rest = [int.from_bytes(encoded[48:96], "big")] if group == "G2" else []
    if any(x >= BLS12_381.base_modulus for x in (first, *rest)):
        raise DecodeError(f"a coordinate of a {group} point is not below q")
