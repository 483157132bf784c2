"""Hashing to G1 of BN254, for which RFC 9380 has no suite: BN254G1_XMD:SHA-256_SVDW_RO_.

    u0, u1 = hash_to_field(msg, 2) modulo q, parts of 48 bytes, expand_message_xmd with SHA-256
    P = map(u0) + map(u1), map = Shallue-van de Woestijne with Z = 1; the cofactor is 1

The parameters follow the RFC's rules, so this is the suite that gnark-crypto has too: its
vectors are in the tests. BLS12-381 has a suite of the RFC, which py_ecc and the wheel implement.

Source: RFC 9380 sections 6.6.1, 8.10, appendices F.1 and H.1.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from zkfed.algebra.curve import BN254
from zkfed.algebra.hash_to_field import hash_to_field

__all__ = ["SUITE_BN254", "check_domain", "find_z_svdw", "hash_to_two_points", "map_to_curve_svdw"]

SUITE_BN254 = "BN254G1_XMD:SHA-256_SVDW_RO_"
_B = 3


@dataclass(frozen=True, slots=True)
class _Constants:
    """c1 = g(Z), c2 = -Z / 2, c3 = sqrt(-g(Z) (3 Z^2)) with sign 0, c4 = -4 g(Z) / (3 Z^2)."""

    z: int
    c1: int
    c2: int
    c3: int
    c4: int


def check_domain(domain: bytes) -> None:
    """Raises ValueError unless the domain has 1 to 255 bytes, the same for every backend."""
    if not 1 <= len(domain) <= 255:
        raise ValueError(f"a domain of {len(domain)} bytes: expected 1 to 255")


def hash_to_two_points(message: bytes, domain: bytes) -> tuple[tuple[int, int], tuple[int, int]]:
    """Returns two points of BN254's G1 whose sum is the hash of the message.

    Args:
        message: What is hashed.
        domain: 1 to 255 bytes; used as it is, the suite's name is not added.

    Raises:
        ValueError: The domain is empty or too long.
    """
    check_domain(domain)
    first, second = hash_to_field(domain, message, 2, BN254.base_modulus)
    return map_to_curve_svdw(first), map_to_curve_svdw(second)


def map_to_curve_svdw(u: int) -> tuple[int, int]:
    """Returns the point of y^2 = x^3 + 3 to which u is mapped.

    Source: RFC 9380 appendix F.1, straight line, with branches in place of CMOV.
    """
    q, c = BN254.base_modulus, _constants()
    t = u * u * c.c1 % q
    plus, minus = (1 + t) % q, (1 - t) % q
    # 0 where a factor is 0, as inv0 of the RFC.
    inverse = pow(plus * minus, q - 2, q)
    shift = u * minus * inverse * c.c3 % q
    candidates = ((c.c2 - shift) % q, (c.c2 + shift) % q)
    x = next((x for x in candidates if _is_square(_right_side(x))), None)
    if x is None:
        x = (pow(plus * plus * inverse, 2, q) * c.c4 + c.z) % q
    y = pow(_right_side(x), (q + 1) // 4, q)
    return x, y if y & 1 == u & 1 else -y % q


def find_z_svdw() -> int:
    """Returns the Z of the RFC's rule for y^2 = x^3 + 3: the smallest in absolute value.

    g(Z) != 0, h(Z) = -(3 Z^2) / (4 g(Z)) is a square other than 0, and g(Z) or g(-Z / 2) is
    a square.

    Source: RFC 9380 appendix H.1.
    """
    q = BN254.base_modulus
    for z in (sign * size for size in range(1, 100) for sign in (1, -1)):
        g, g_half = _right_side(z), _right_side(-z * pow(2, -1, q))
        h = -3 * z * z * pow(4 * g, q - 2, q) % q
        if g and h and _is_square(h) and (_is_square(g) or _is_square(g_half)):
            return z % q
    raise ArithmeticError("no Z was found; the constants of the curve are wrong")


@functools.cache
def _constants() -> _Constants:
    q, z = BN254.base_modulus, find_z_svdw()
    g = _right_side(z)
    c3 = pow(-g * 3 * z * z, (q + 1) // 4, q)
    return _Constants(
        z=z,
        c1=g,
        c2=-z * pow(2, -1, q) % q,
        c3=c3 if c3 & 1 == 0 else q - c3,
        c4=-4 * g * pow(3 * z * z, -1, q) % q,
    )


def _right_side(x: int) -> int:
    return (x**3 + _B) % BN254.base_modulus


def _is_square(value: int) -> bool:
    q = BN254.base_modulus
    return pow(value, (q - 1) // 2, q) in (0, 1)
