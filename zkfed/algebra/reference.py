"""Both curves in Python: the fallback where no wheel is, and the oracle for all other backends.

    pairings        py_ecc, with one final exponentiation for a whole product
    hash to G1      py_ecc (BLS12-381), our own suite (BN254)
    group law       affine.py on Python integers, four times as fast as py_ecc's objects;
                    the tests compare it with py_ecc
    subgroups       r P = 0, by multiplication: the definition
    polynomials     polynomial.py; galois is the oracle in the tests, since its own transform
                    first searches for a root of unity for more than a minute

Nothing here runs in constant time: an attacker who can time the prover learns about the witness.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.algebra.affine import AffineGroup, FirstGroup, Point, SecondGroup
from zkfed.algebra.backend import Group, Matrix, Points
from zkfed.algebra.curve import BLS12_381, BN254, Curve
from zkfed.algebra.field import Limbs, check_limbs, from_limbs, to_limbs
from zkfed.algebra.hash_to_curve import check_domain, hash_to_two_points
from zkfed.algebra.points import (
    check_pairing_input,
    check_same_group,
    encode_affine,
    encode_identity,
    encode_point,
    is_larger_root,
    parse_affine,
    parse_point,
    split_points,
)
from zkfed.algebra.polynomial import coset_quotient
from zkfed.errors import DecodeError

__all__ = ["ReferenceBackend"]


def _library(curve: Curve) -> Any:
    names = {BLS12_381: "py_ecc.optimized_bls12_381", BN254: "py_ecc.optimized_bn128"}
    if curve not in names:
        raise ValueError(f"curve {curve.name}: the reference backend has {BLS12_381.name} and {BN254.name}")
    return importlib.import_module(names[curve])


class ReferenceBackend:
    """The `Backend` protocol on py_ecc and Python integers; see the module."""

    name = "reference"

    def __init__(self, curve: Curve = BLS12_381) -> None:
        self._curve = curve
        self._ecc = _library(curve)

    @property
    def curve(self) -> Curve:
        return self._curve

    def __repr__(self) -> str:
        return f"ReferenceBackend({self._curve.name})"

    @functools.cached_property
    def _groups(self) -> dict[Group, AffineGroup]:
        return {"G1": FirstGroup(self._curve, self._ecc), "G2": SecondGroup(self._curve, self._ecc)}

    def decode(self, group: Group, data: bytes, count: int) -> Points:
        law = self._groups[group]
        out: list[Point] = []
        for encoded in split_points(self._curve, group, data, count):
            x, larger = parse_point(self._curve, group, encoded)
            point = law.lift(x, larger=larger)
            if point is None:
                raise DecodeError(f"a {group} point is off the curve")
            out.append(point)
        return self._checked(group, out)

    def _checked(self, group: Group, points: list[Point]) -> Points:
        # G1 of BN254 has prime order: every point of the curve is in it.
        is_whole_curve = self._curve == BN254 and group == "G1"
        law, order = self._groups[group], self._curve.order
        if not is_whole_curve and any(p is not None for p in law.multiply(points, [order] * len(points))):
            raise DecodeError(f"a {group} point is outside the subgroup")
        return Points(group, points)

    def decode_affine(self, group: Group, data: bytes | memoryview, count: int) -> Points:
        law = self._groups[group]
        out: list[Point] = []
        for point in parse_affine(self._curve, group, data, count):
            x, y = point[: len(point) // 2], point[len(point) // 2 :]
            if law.lift(x, larger=is_larger_root(self._curve, y)) != point:
                raise DecodeError(f"a {group} point is off the curve")
            out.append(point)
        return self._checked(group, out)

    def encode_affine(self, points: Points) -> bytes:
        zero = (0,) * (2 if points.group == "G1" else 4)
        return b"".join([encode_affine(self._curve, p or zero) for p in points.raw])

    def encode(self, points: Points) -> bytes:
        return b"".join([self._encode(points.group, p) for p in points.raw])

    def _encode(self, group: Group, point: Point) -> bytes:
        if point is None:
            return encode_identity(self._curve, group)
        half = len(point) // 2
        return encode_point(self._curve, point[:half], point[half:])

    def generator(self, group: Group, scalars: Limbs) -> Points:
        return Points(group, self._groups[group].multiply_generator(self._integers(scalars)))

    def scale(self, points: Points, scalars: Limbs) -> Points:
        factors = self._signed(scalars)
        if len(factors) == 1:
            factors *= len(points)
        if len(factors) != len(points):
            raise ValueError(f"{len(points)} points and {len(factors)} scalars")
        return Points(points.group, self._groups[points.group].multiply(points.raw, factors))

    def add(self, left: Points, right: Points) -> Points:
        check_same_group(left, right)
        return Points(left.group, self._groups[left.group].add_pairs(left.raw, right.raw))

    def negate(self, points: Points) -> Points:
        law = self._groups[points.group]
        return Points(points.group, [law.negate(p) for p in points.raw])

    def msm(self, points: Points, scalars: Limbs) -> Points:
        if len(points) != len(scalars):
            raise ValueError(f"{len(points)} points and {len(scalars)} scalars")
        law = self._groups[points.group]
        return Points(points.group, [law.multi_multiply(points.raw, self._signed(scalars))])

    def take(self, points: Points, index: npt.NDArray[np.intp]) -> Points:
        return Points(points.group, [points.raw[i] for i in index.tolist()])

    def concat(self, group: Group, parts: Sequence[Points]) -> Points:
        if any(p.group != group for p in parts):
            raise ValueError(f"points of different groups cannot be one vector of {group}")
        return Points(group, [p for part in parts for p in part.raw])

    def is_identity(self, points: Points) -> npt.NDArray[np.bool_]:
        return np.array([p is None for p in points.raw], dtype=bool)

    def is_equal(self, left: Points, right: Points) -> npt.NDArray[np.bool_]:
        check_same_group(left, right)
        return np.array([p == q for p, q in zip(left.raw, right.raw, strict=True)], dtype=bool)

    def is_pairing_product_one(self, left: Points, right: Points) -> bool:
        check_pairing_input(left, right)
        ecc, product = self._ecc, self._ecc.FQ12.one()
        for p, q in zip(left.raw, right.raw, strict=True):
            if p is not None and q is not None:
                second = (ecc.FQ2(q[:2]), ecc.FQ2(q[2:]), ecc.FQ2.one())
                first = (ecc.FQ(p[0]), ecc.FQ(p[1]), ecc.FQ.one())
                product *= ecc.pairing(second, first, final_exponentiate=False)
        return bool(ecc.final_exponentiate(product) == ecc.FQ12.one())

    def hash_to_g1(self, messages: Sequence[bytes], domain: bytes) -> Points:
        check_domain(domain)
        if self._curve == BLS12_381:
            from py_ecc.bls.hash_to_curve import hash_to_G1

            sha256: Any = hashlib.sha256  # py_ecc's annotation names the type of the object that it returns
            points = [self._ecc.normalize(hash_to_G1(m, domain, sha256)) for m in messages]
            return Points("G1", [(int(x), int(y)) for x, y in points])
        halves = [hash_to_two_points(m, domain) for m in messages]
        return Points("G1", self._groups["G1"].add_pairs([a for a, _ in halves], [b for _, b in halves]))

    def compiled(self, wires: int, matrices: Sequence[Matrix]) -> None:
        return None

    def quotient(self, a: Limbs, b: Limbs, c: Limbs) -> Limbs:
        sides = [from_limbs(v) for v in (a, b, c)]
        return to_limbs(coset_quotient(sides[0], sides[1], sides[2], self._curve).tolist())

    def _integers(self, scalars: Limbs) -> list[int]:
        check_limbs(scalars, self._curve.order)
        return list(from_limbs(scalars).tolist())

    def _signed(self, scalars: Limbs) -> list[int]:
        """Returns the representatives in (-r/2, r/2]: a small negative stays small."""
        order = self._curve.order
        return [s - order if s > order // 2 else s for s in self._integers(scalars)]
