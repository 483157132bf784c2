"""RFC 9380 once more, step by step as printed there, to check the library's version.

Sections 4.1 (sgn0), 5.2 (hash_to_field), 5.3.1 (expand_message_xmd), 6.6.1 (Shallue-van de
Woestijne), with A = 0 and B = 3 of BN254. Nothing is imported from zkfed.
"""

from __future__ import annotations

from hashlib import sha256

__all__ = ["Q", "hash_to_curve", "map_to_curve"]

Q = 21888242871839275222246405745257275088696311157297823662689037894645226208583
A, B, Z = 0, 3, 1


def g(x: int) -> int:
    return (pow(x, 3, Q) + A * x + B) % Q


def is_square(x: int) -> bool:
    return pow(x, (Q - 1) // 2, Q) != Q - 1


def sqrt(x: int) -> int:
    root = pow(x, (Q + 1) // 4, Q)
    if root * root % Q != x % Q:
        raise ValueError("not a square")
    return root


def inv0(x: int) -> int:
    return pow(x, Q - 2, Q)


def sgn0(x: int) -> int:
    return x % Q % 2


def expand_message_xmd(msg: bytes, dst: bytes, len_in_bytes: int) -> bytes:
    ell = (len_in_bytes + 31) // 32
    dst_prime = dst + len(dst).to_bytes(1, "big")
    z_pad = bytes(64)
    msg_prime = z_pad + msg + len_in_bytes.to_bytes(2, "big") + bytes(1) + dst_prime
    b = [sha256(msg_prime).digest()]
    b.append(sha256(b[0] + (1).to_bytes(1, "big") + dst_prime).digest())
    for i in range(2, ell + 1):
        mixed = (int.from_bytes(b[0], "big") ^ int.from_bytes(b[i - 1], "big")).to_bytes(32, "big")
        b.append(sha256(mixed + i.to_bytes(1, "big") + dst_prime).digest())
    return b"".join(b[1:])[:len_in_bytes]


def hash_to_field(msg: bytes, dst: bytes, count: int) -> list[int]:
    length = 48
    uniform = expand_message_xmd(msg, dst, count * length)
    return [int.from_bytes(uniform[length * i : length * (i + 1)], "big") % Q for i in range(count)]


def map_to_curve(u: int) -> tuple[int, int]:
    tv1 = u * u % Q * g(Z) % Q
    tv2 = (1 + tv1) % Q
    tv1 = (1 - tv1) % Q
    tv3 = inv0(tv1 * tv2 % Q)
    tv4 = sqrt(-g(Z) * (3 * Z * Z + 4 * A) % Q)
    if sgn0(tv4) == 1:
        tv4 = (-tv4) % Q
    tv5 = u * tv1 % Q * tv3 % Q * tv4 % Q
    tv6 = -4 * g(Z) * pow(3 * Z * Z + 4 * A, -1, Q) % Q
    half = -Z * pow(2, -1, Q)
    x1, x2 = (half - tv5) % Q, (half + tv5) % Q
    x3 = (Z + tv6 * pow(pow(tv2, 2, Q) * tv3 % Q, 2, Q)) % Q
    if is_square(g(x1)):
        x = x1
    elif is_square(g(x2)):
        x = x2
    else:
        x = x3
    y = sqrt(g(x))
    if sgn0(u) != sgn0(y):
        y = (-y) % Q
    return x, y


def add(p: tuple[int, int], q: tuple[int, int]) -> tuple[int, int]:
    """The chord; two hashes have the same x with chance 2 / Q, and then this raises."""
    slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, Q)
    x = (slope * slope - p[0] - q[0]) % Q
    return x, (slope * (p[0] - x) - p[1]) % Q


def hash_to_curve(msg: bytes, dst: bytes) -> tuple[int, int]:
    u0, u1 = hash_to_field(msg, dst, 2)
    return add(map_to_curve(u0), map_to_curve(u1))
