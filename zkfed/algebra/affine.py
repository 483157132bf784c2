"""Groups of affine points over Python integers: one addition for many pairs at once.

An affine addition needs one division, and n divisions cost one inversion and 3 n products
(Montgomery's trick). So everything here is built of `add_pairs`, which adds vectors of points:

    slope = (y2 - y1) / (x2 - x1), or 3 x1^2 / (2 y1) if the points are equal
    x3 = slope^2 - x1 - x2,   y3 = slope (x1 - x3) - y1

About 3 us a pair in G1 of BLS12-381, against 13 us with the field objects of py_ecc. Nothing
runs in constant time. py_ecc gives the constants, and is the oracle in the tests.

Source: Hankerson, Menezes and Vanstone, "Guide to Elliptic Curve Cryptography", section 3.1.2.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from zkfed.algebra.curve import Curve
from zkfed.algebra.points import Coordinate, is_larger_root

__all__ = ["AffineGroup", "FirstGroup", "Point", "SecondGroup"]

Point = tuple[int, ...] | None
"""(x, y) in G1, (x.c0, x.c1, y.c0, y.c1) in G2, or None for the identity."""

_COMB_BITS = 8


class AffineGroup(ABC):
    """The points of one curve over one field; not only those of order r."""

    def __init__(self, curve: Curve, generator: Point) -> None:
        self.curve, self.generator = curve, generator

    @abstractmethod
    def add_pairs(self, left: Sequence[Point], right: Sequence[Point]) -> list[Point]:
        """Returns P_i + Q_i for each i; every case is handled, also P = Q, P = -Q and 0."""

    @abstractmethod
    def negate(self, point: Point) -> Point:
        """Returns -P."""

    @abstractmethod
    def lift(self, x: Coordinate, *, larger: bool) -> Point:
        """Returns the point with this x and the larger or smaller y; None if there is none."""

    def multiply(self, points: Sequence[Point], factors: Sequence[int]) -> list[Point]:
        """Returns k_i P_i for each i; the factors may be negative or above r."""
        digits = [_signed_bits(k) for k in factors]
        total: list[Point] = [None] * len(points)
        for position in range(max(map(len, digits), default=0) - 1, -1, -1):
            total = self.add_pairs(total, total)
            active = [i for i, d in enumerate(digits) if position < len(d) and d[position]]
            terms = [points[i] if digits[i][position] > 0 else self.negate(points[i]) for i in active]
            for i, point in zip(active, self.add_pairs([total[i] for i in active], terms), strict=True):
                total[i] = point
        return total

    def multiply_generator(self, factors: Sequence[int]) -> list[Point]:
        """Returns k_i times the generator, 0 <= k_i < 2^256: one table entry for each byte."""
        total: list[Point] = [None] * len(factors)
        rows = [k.to_bytes(32, "little") for k in factors]
        for window, table in enumerate(self._comb):
            total = self.add_pairs(total, [table[row[window]] for row in rows])
        return total

    @functools.cached_property
    def _comb(self) -> list[list[Point]]:
        """Returns d * 2^(8 w) * generator for every byte d of every window w."""
        bases = [self.generator]
        for _ in range(256 // _COMB_BITS - 1):
            bases += self.multiply([bases[-1]], [1 << _COMB_BITS])
        columns: list[list[Point]] = [[None] * len(bases)]
        for _ in range((1 << _COMB_BITS) - 1):
            columns.append(self.add_pairs(columns[-1], bases))
        return [list(row) for row in zip(*columns, strict=True)]

    def multi_multiply(self, points: Sequence[Point], factors: Sequence[int]) -> Point:
        """Returns sum_i k_i P_i; a factor of few bits costs little, whatever its sign.

        Source: Pippenger's bucket method with signed digits.
        """
        terms = [(p, k) for p, k in zip(points, factors, strict=True) if p is not None and k]
        if not terms:
            return None
        length = max(abs(k).bit_length() for _, k in terms) + 1
        width = min(range(1, 16), key=lambda c: -(-length // c) * (len(terms) + (1 << c)))
        windows = -(-length // width)
        buckets: dict[tuple[int, int], list[Point]] = {}
        for point, factor in terms:
            signed = {1: point, -1: self.negate(point)}
            for window, digit in enumerate(_signed_digits(factor, width)):
                if digit:
                    buckets.setdefault((window, abs(digit)), []).append(signed[1 if digit > 0 else -1])
        sums = self._sum_each(buckets)
        # sum_d d B_d = sum of the running sums from the top, for all windows at once.
        running: list[Point] = [None] * windows
        total: list[Point] = [None] * windows
        for digit in range(1 << (width - 1), 0, -1):
            running = self.add_pairs(running, [sums.get((w, digit)) for w in range(windows)])
            total = self.add_pairs(total, running)
        result: Point = None
        for part in reversed(total):
            for _ in range(width):
                result = self.add_pairs([result], [result])[0]
            result = self.add_pairs([result], [part])[0]
        return result

    def _sum_each(self, buckets: dict[tuple[int, int], list[Point]]) -> dict[tuple[int, int], Point]:
        """Returns the sum of each bucket: in each round all neighbours are added at once."""
        while max(map(len, buckets.values()), default=1) > 1:
            left = [p for points in buckets.values() for p in points[: len(points) // 2 * 2 : 2]]
            right = [p for points in buckets.values() for p in points[1::2]]
            added = iter(self.add_pairs(left, right))
            buckets = {
                key: [next(added) for _ in range(len(points) // 2)] + points[len(points) // 2 * 2 :]
                for key, points in buckets.items()
            }
        return {key: points[0] for key, points in buckets.items()}


class FirstGroup(AffineGroup):
    """y^2 = x^3 + b over the base field."""

    def __init__(self, curve: Curve, library: Any) -> None:
        x, y, _ = library.G1
        super().__init__(curve, (int(x), int(y)))
        self._b = int(library.b)

    def add_pairs(self, left: Sequence[Point], right: Sequence[Point]) -> list[Point]:
        q, running = self.curve.base_modulus, 1
        out: list[Point] = [None] * len(left)
        jobs = []
        for i, (p, o) in enumerate(zip(left, right, strict=True)):
            if p is None or o is None:
                out[i] = o if p is None else p
                continue
            (x1, y1), (x2, y2) = p, o
            if x1 != x2:
                top, bottom = y2 - y1, x2 - x1
            elif y1 == y2 and y1:
                top, bottom = 3 * x1 * x1, 2 * y1
            else:
                continue
            jobs.append((i, x1, y1, x2, top, bottom, running))
            running = running * bottom % q
        inverse = pow(running, -1, q)
        for i, x1, y1, x2, top, bottom, prefix in reversed(jobs):
            slope = inverse * prefix % q * top % q
            inverse = inverse * bottom % q
            x3 = (slope * slope - x1 - x2) % q
            out[i] = (x3, (slope * (x1 - x3) - y1) % q)
        return out

    def negate(self, point: Point) -> Point:
        return None if point is None else (point[0], -point[1] % self.curve.base_modulus)

    def lift(self, x: Coordinate, *, larger: bool) -> Point:
        q = self.curve.base_modulus
        y = _root((x[0] ** 3 + self._b) % q, q)
        if y is None:
            return None
        return (x[0], y if is_larger_root(self.curve, (y,)) == larger else -y % q)


class SecondGroup(AffineGroup):
    """y^2 = x^3 + b' over the quadratic extension with u^2 = -1 (both curves)."""

    def __init__(self, curve: Curve, library: Any) -> None:
        x, y, _ = library.G2
        super().__init__(curve, (*map(int, x.coeffs), *map(int, y.coeffs)))
        self._b = tuple(map(int, library.b2.coeffs))

    def add_pairs(self, left: Sequence[Point], right: Sequence[Point]) -> list[Point]:
        q, running = self.curve.base_modulus, 1
        out: list[Point] = [None] * len(left)
        jobs = []
        for i, (p, o) in enumerate(zip(left, right, strict=True)):
            if p is None or o is None:
                out[i] = o if p is None else p
                continue
            x0, x1, y0, y1 = p
            if (x0, x1) != o[:2]:
                top0, top1 = o[2] - y0, o[3] - y1
                d0, d1 = o[0] - x0, o[1] - x1
            elif (y0, y1) == o[2:] and (y0 or y1):
                top0, top1 = 3 * (x0 + x1) * (x0 - x1) % q, 6 * x0 * x1 % q
                d0, d1 = 2 * y0, 2 * y1
            else:
                continue
            # top / d = top * conj(d) / norm(d), so that the inversion is in the base field.
            norm = (d0 * d0 + d1 * d1) % q
            jobs.append((i, p, o, (top0 * d0 + top1 * d1) % q, (top1 * d0 - top0 * d1) % q, norm, running))
            running = running * norm % q
        inverse = pow(running, -1, q)
        for i, p, o, top0, top1, norm, prefix in reversed(jobs):
            x0, x1, y0, y1 = p
            factor = inverse * prefix % q
            inverse = inverse * norm % q
            s0, s1 = top0 * factor % q, top1 * factor % q
            r0 = ((s0 + s1) * (s0 - s1) - x0 - o[0]) % q
            r1 = (2 * s0 * s1 - x1 - o[1]) % q
            t0, t1 = x0 - r0, x1 - r1
            out[i] = (r0, r1, (s0 * t0 - s1 * t1 - y0) % q, (s0 * t1 + s1 * t0 - y1) % q)
        return out

    def negate(self, point: Point) -> Point:
        q = self.curve.base_modulus
        return None if point is None else (point[0], point[1], -point[2] % q, -point[3] % q)

    def lift(self, x: Coordinate, *, larger: bool) -> Point:
        q = self.curve.base_modulus
        x0, x1 = x
        cube = (x0**3 - 3 * x0 * x1 * x1, 3 * x0 * x0 * x1 - x1**3)
        y = _quadratic_root((cube[0] + self._b[0]) % q, (cube[1] + self._b[1]) % q, q)
        if y is None:
            return None
        y = y if is_larger_root(self.curve, y) == larger else (-y[0] % q, -y[1] % q)
        return (x0, x1, *y)


def _root(value: int, q: int) -> int | None:
    """Returns a square root modulo q = 3 (mod 4), or None."""
    root = pow(value, (q + 1) // 4, q)
    return root if root * root % q == value else None


def _quadratic_root(a0: int, a1: int, q: int) -> tuple[int, int] | None:
    """Returns a square root of a0 + a1 u, u^2 = -1, or None.

    (r0 + r1 u)^2 = a0 + a1 u with r0^2 = (a0 +- sqrt(a0^2 + a1^2)) / 2, r1 = a1 / (2 r0)
    """
    if a1 == 0:
        # Either a0 or -a0 is a square, and sqrt(a0) = u sqrt(-a0).
        root = _root(a0, q)
        return (root, 0) if root is not None else (0, _root(-a0 % q, q) or 0)
    norm = _root((a0 * a0 + a1 * a1) % q, q)
    if norm is None:
        return None
    half = pow(2, -1, q)
    for candidate in ((a0 + norm) * half % q, (a0 - norm) * half % q):
        r0 = _root(candidate, q)
        if r0 is not None:
            return r0, a1 * pow(2 * r0, -1, q) % q
    return None


def _signed_bits(factor: int) -> list[int]:
    """Returns the non-adjacent form, digits -1, 0, 1, lowest first."""
    out = []
    while factor:
        digit = 2 - factor % 4 if factor & 1 else 0
        out.append(digit)
        factor = (factor - digit) >> 1
    return out


def _signed_digits(factor: int, width: int) -> list[int]:
    """Returns digits in [-2^(width-1), 2^(width-1)], lowest first, sum_i d_i 2^(width i) = factor."""
    base, out = 1 << width, []
    magnitude, sign = abs(factor), 1 if factor >= 0 else -1
    while magnitude:
        digit = magnitude % base
        if digit > base >> 1:
            digit -= base
        out.append(sign * digit)
        magnitude = (magnitude - digit) >> width
    return out
