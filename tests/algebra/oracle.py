"""What the tests compare with: py_ecc's points, and encodings written again from their formats.

A point here is a pair (x, y) of tuples of integers, (c0,) in G1 and (c0, c1) in G2, or None.
"""

from __future__ import annotations

import functools
from typing import Any

import py_ecc.optimized_bls12_381
import py_ecc.optimized_bn128

from zkfed.algebra.curve import BLS12_381, Curve

__all__ = ["add", "compress", "generator", "library", "lift", "multiply", "scan_x"]

XY = tuple[tuple[int, ...], tuple[int, ...]] | None


def library(curve: Curve) -> Any:
    return py_ecc.optimized_bls12_381 if curve == BLS12_381 else py_ecc.optimized_bn128


def generator(curve: Curve, group: str) -> XY:
    return _from_ecc(curve, group, library(curve).G1 if group == "G1" else library(curve).G2)


def multiply(curve: Curve, group: str, point: XY, factor: int) -> XY:
    return _from_ecc(curve, group, library(curve).multiply(to_ecc(curve, group, point), factor))


def add(curve: Curve, group: str, left: XY, right: XY) -> XY:
    return _from_ecc(curve, group, library(curve).add(to_ecc(curve, group, left), to_ecc(curve, group, right)))


def to_ecc(curve: Curve, group: str, point: XY) -> Any:
    ecc = library(curve)
    if point is None:
        return ecc.Z1 if group == "G1" else ecc.Z2
    if group == "G1":
        return ecc.FQ(point[0][0]), ecc.FQ(point[1][0]), ecc.FQ(1)
    return ecc.FQ2(point[0]), ecc.FQ2(point[1]), ecc.FQ2.one()


def _from_ecc(curve: Curve, group: str, point: Any) -> XY:
    if library(curve).is_inf(point):
        return None
    x, y = library(curve).normalize(point)
    if group == "G1":
        return (int(x),), (int(y),)
    return tuple(map(int, x.coeffs)), tuple(map(int, y.coeffs))


def compress(curve: Curve, group: str, point: XY) -> bytes:
    """The formats once more, from their descriptions: the whole point as one big integer."""
    bits = 8 * curve.coordinate_bytes
    words = 1 if group == "G1" else 2
    top = words * bits
    is_bls = curve == BLS12_381
    if point is None:
        return ((0b110 << (top - 3)) if is_bls else (0b01 << (top - 2))).to_bytes(top // 8, "big")
    (x, y), q = point, curve.base_modulus
    minus = tuple((q - c) % q for c in y)
    is_larger = y[::-1] > minus[::-1]
    value = x[0] if group == "G1" else (x[1] << bits) | x[0]
    value |= 1 << (top - 1)
    value |= int(is_larger) << (top - 3 if is_bls else top - 2)
    return value.to_bytes(top // 8, "big")


@functools.cache
def lift(curve: Curve, group: str, x: tuple[int, ...]) -> XY:
    """A point of the curve with this x, by py_ecc's arithmetic and brute exponents; or None."""
    ecc, q = library(curve), curve.base_modulus
    if group == "G1":
        right = ecc.FQ(x[0]) ** 3 + ecc.b
        y = right ** ((q + 1) // 4)
        return (x, (int(y),)) if y * y == right else None
    right = ecc.FQ2(x) ** 3 + ecc.b2
    # q^2 - 1 = 2^s t: a^((t + 1) / 2) is a root up to a root of unity of order 2^s.
    odd = q * q - 1
    while odd % 2 == 0:
        odd //= 2
    candidate, unity = right ** ((odd + 1) // 2), _non_square(curve) ** odd
    for _ in range((q * q - 1) // odd):
        if candidate * candidate == right:
            return x, tuple(map(int, candidate.coeffs))
        candidate *= unity
    return None


@functools.cache
def _non_square(curve: Curve) -> Any:
    ecc, q = library(curve), curve.base_modulus
    for k in range(1, 20):
        value = ecc.FQ2([k, 1])
        if value ** ((q * q - 1) // 2) != ecc.FQ2.one():
            return value
    raise ArithmeticError("half of all elements are no squares")


def scan_x(group: str) -> list[tuple[int, ...]]:
    return [(k,) if group == "G1" else (k, 1) for k in range(1, 40)]
