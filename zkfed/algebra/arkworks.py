"""BLS12-381 through the PyPI wheel py-arkworks-bls12381: what `pip install` brings.

The wheel's multi-scalar multiplication checks nothing and costs 8 times more for a scalar
r - small than for small; so scalars are sorted into signed size classes first. Its decoder
accepts non-canonical infinities; our own checks stand in front of it (points.py).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.algebra.backend import Group, Matrix, Points
from zkfed.algebra.curve import BLS12_381, Curve
from zkfed.algebra.field import Limbs, check_limbs, from_limbs, to_limbs
from zkfed.algebra.hash_to_curve import check_domain
from zkfed.algebra.points import (
    check_pairing_input,
    check_same_group,
    encode_affine,
    parse_affine,
    parse_point,
    split_points,
)
from zkfed.algebra.polynomial import coset_quotient
from zkfed.errors import DecodeError

__all__ = ["ArkworksBackend"]

_ORDER_LIMBS = to_limbs([BLS12_381.order])[0]
_WINDOW = 8


@functools.cache
def _wheel() -> Any:
    import py_arkworks_bls12381

    return py_arkworks_bls12381


def _point_type(group: Group) -> Any:
    return _wheel().G1Point if group == "G1" else _wheel().G2Point


def _scalars(limbs: Limbs) -> list[Any]:
    data = np.ascontiguousarray(limbs, dtype="<u8").tobytes()
    make = _wheel().Scalar.from_le_bytes
    return [make(data[i : i + 32]) for i in range(0, len(data), 32)]


class ArkworksBackend:
    """The `Backend` protocol on the wheel; see the module."""

    name = "arkworks"

    @property
    def curve(self) -> Curve:
        return BLS12_381

    def __repr__(self) -> str:
        return "ArkworksBackend(bls12-381)"

    def decode(self, group: Group, data: bytes, count: int) -> Points:
        kind, out = _point_type(group), []
        for encoded in split_points(BLS12_381, group, data, count):
            parse_point(BLS12_381, group, encoded)
            try:
                out.append(kind.from_compressed_bytes(encoded))
            except ValueError:
                raise DecodeError(f"a {group} point is off the curve or outside the subgroup") from None
        return Points(group, out)

    def encode(self, points: Points) -> bytes:
        return b"".join([p.to_compressed_bytes() for p in points.raw])

    def decode_affine(self, group: Group, data: bytes | memoryview, count: int) -> Points:
        kind, size, out = _point_type(group), BLS12_381.coordinate_bytes, []
        for point in parse_affine(BLS12_381, group, data, count):
            try:
                out.append(kind.from_xy_bytes_le(b"".join([c.to_bytes(size, "little") for c in point])))
            except ValueError:
                raise DecodeError(f"a {group} point is off the curve or outside the subgroup") from None
        return Points(group, out)

    def encode_affine(self, points: Points) -> bytes:
        size, identity = BLS12_381.coordinate_bytes, _point_type(points.group).identity()
        every = []
        for point in points.raw:
            # The wheel marks the identity by a flag.
            data = bytes(2 * BLS12_381.point_bytes(points.group)) if point == identity else point.to_xy_bytes_le()
            every += [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)]
        return encode_affine(BLS12_381, every)

    def generator(self, group: Group, scalars: Limbs) -> Points:
        check_limbs(scalars, BLS12_381.order)
        digits = np.ascontiguousarray(scalars, dtype="<u8").view(np.uint8).reshape(len(scalars), 32).tolist()
        table, identity = _comb(group), _point_type(group).identity()
        out = []
        for row in digits:
            total = identity
            for window, digit in zip(table, row, strict=True):
                if digit:
                    total = total + window[digit]
            out.append(total)
        return Points(group, out)

    def scale(self, points: Points, scalars: Limbs) -> Points:
        factors = _scalars(scalars)
        if len(factors) == 1:
            factors *= len(points)
        if len(factors) != len(points):
            raise ValueError(f"{len(points)} points and {len(factors)} scalars")
        return Points(points.group, [p * k for p, k in zip(points.raw, factors, strict=True)])

    def add(self, left: Points, right: Points) -> Points:
        check_same_group(left, right)
        return Points(left.group, [p + q for p, q in zip(left.raw, right.raw, strict=True)])

    def negate(self, points: Points) -> Points:
        return Points(points.group, [-p for p in points.raw])

    def msm(self, points: Points, scalars: Limbs) -> Points:
        if len(points) != len(scalars):
            raise ValueError(f"{len(points)} points and {len(scalars)} scalars")
        check_limbs(scalars, BLS12_381.order)
        kind, raw = _point_type(points.group), points.raw
        total = kind.identity()
        for index, values, is_negative in _size_classes(scalars):
            part = kind.multiexp_unchecked([raw[i] for i in index.tolist()], _scalars(values))
            total = total - part if is_negative else total + part
        return Points(points.group, [total])

    def take(self, points: Points, index: npt.NDArray[np.intp]) -> Points:
        return Points(points.group, [points.raw[i] for i in index.tolist()])

    def concat(self, group: Group, parts: Sequence[Points]) -> Points:
        if any(p.group != group for p in parts):
            raise ValueError(f"points of different groups cannot be one vector of {group}")
        return Points(group, [p for part in parts for p in part.raw])

    def is_identity(self, points: Points) -> npt.NDArray[np.bool_]:
        identity = _point_type(points.group).identity()
        return np.array([p == identity for p in points.raw], dtype=bool)

    def is_equal(self, left: Points, right: Points) -> npt.NDArray[np.bool_]:
        check_same_group(left, right)
        return np.array([p == q for p, q in zip(left.raw, right.raw, strict=True)], dtype=bool)

    def is_pairing_product_one(self, left: Points, right: Points) -> bool:
        check_pairing_input(left, right)
        return bool(_wheel().GT.pairing_check(left.raw, right.raw))

    def hash_to_g1(self, messages: Sequence[bytes], domain: bytes) -> Points:
        check_domain(domain)
        return Points("G1", [_wheel().G1Point.hash_to_curve(m, domain) for m in messages])

    def compiled(self, wires: int, matrices: Sequence[Matrix]) -> None:
        return None

    def quotient(self, a: Limbs, b: Limbs, c: Limbs) -> Limbs:
        sides = [from_limbs(v) for v in (a, b, c)]
        return to_limbs(coset_quotient(sides[0], sides[1], sides[2], BLS12_381).tolist())


@functools.cache
def _comb(group: Group) -> list[list[Any]]:
    """Returns d * 2^(8 w) * generator for every byte d of every window w."""
    point = _point_type(group)()
    table = []
    for _ in range(256 // _WINDOW):
        row = [_point_type(group).identity()]
        for _ in range((1 << _WINDOW) - 1):
            row.append(row[-1] + point)
        table.append(row)
        point = row[-1] + point
    return table


def _size_classes(scalars: Limbs) -> list[tuple[npt.NDArray[np.intp], Limbs, bool]]:
    """Splits scalars into small, full-size and small negative terms: (positions, |scalar|, is negative).

    Small is below 2^64; r - v with a small v is taken as -v; zeros are dropped. Alone, the few
    full-size terms of a witness cost less than windows of full width over everything: 9 ms
    instead of 14 ms for 100 among 4,096, and never measurably more.
    """
    limbs = np.ascontiguousarray(scalars, dtype=np.uint64)
    negated = _subtract_from_order(limbs)
    is_zero = (limbs == 0).all(axis=1)
    is_small = (limbs[:, 1:] == 0).all(axis=1) & ~is_zero
    is_small_negative = (negated[:, 1:] == 0).all(axis=1)
    is_full = ~(is_small | is_small_negative | is_zero)
    groups = [(is_small, limbs, False), (is_full, limbs, False), (is_small_negative, negated, True)]
    return [(np.flatnonzero(mask), values[mask], sign) for mask, values, sign in groups if mask.any()]


def _subtract_from_order(limbs: Limbs) -> Limbs:
    """Returns r - s for each s below r, limb by limb with borrow."""
    out = np.empty_like(limbs)
    borrow = np.zeros(len(limbs), dtype=np.uint64)
    for i, minuend in enumerate(_ORDER_LIMBS):
        out[:, i] = minuend - limbs[:, i] - borrow
        borrow = ((limbs[:, i] > minuend) | ((limbs[:, i] == minuend) & (borrow == 1))).astype(np.uint64)
    return out
