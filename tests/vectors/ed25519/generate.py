"""Makes edge_cases.json: `python -m tests.vectors.ed25519.generate`, from the root.

Each key A = a B + T and each R = r B + T' is made from known scalars (0, or one fixed by a
seed) and known points T, T' of the torsion subgroup, in each of its encodings. Then S = r + k a
holds up to torsion, and what is left of S B = R + k A is -(T' + k T): the message is counted up
until k leaves the wanted rest. Flags say what a verifier must put up with to accept a vector.

Method: C2SP/CCTV `ed25519` (Filippo Valsorda), after "Taming the many EdDSAs", eprint 2020/1244.
Nothing here imports zkfed or a library, and no number is taken from another set of vectors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)
TRIES = 100  # 500 find nothing more: the last set of needs comes with message 42.

FLAGS = (
    "key_small",  # 8 A = 0
    "r_small",  # 8 R = 0
    "key_torsion",  # L A != 0
    "r_torsion",  # L R != 0
    "key_noncanonical",  # y >= p, or x = 0 with the sign bit
    "r_noncanonical",  # the same for R
    "s_unreduced",  # S >= L
    "k_reencoded",  # k must be hashed over A and R in canonical form
    "cofactored_only",  # the equation must be multiplied by 8
)
Point = tuple[int, int]
Row = tuple[str, str, str, int]


class Half(NamedTuple):
    """A point `scalar * B + torsion * T8` and one encoding of it."""

    scalar: int
    torsion: int
    encoded: bytes
    canonical: bytes


def add(a: Point, b: Point) -> Point:
    """Returns a + b on -x^2 + y^2 = 1 + d x^2 y^2."""
    t = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + t, -1, P) % P
    return x, (a[1] * b[1] + a[0] * b[0]) * pow(1 - t, -1, P) % P


def multiply(n: int, point: Point) -> Point:
    """Returns n * point."""
    total = (0, 1)
    while n:
        if n & 1:
            total = add(total, point)
        point, n = add(point, point), n >> 1
    return total


def lift(y: int) -> Point | None:
    """Returns the point with this y and an even x, or None if there is none."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT_OF_MINUS_1 % P
    if x * x % P != square:
        return None
    return (P - x if x % 2 else x), y


def base() -> Point:
    """Returns B, the point with y = 4/5."""
    point = lift(4 * pow(5, -1, P) % P)
    if point is None:
        raise ValueError("no point at y = 4/5: the constants of the curve are wrong")
    return point


def torsion_generator() -> Point:
    """Returns T8, the first point of order 8 that L makes of the points y = 2, 3, ..."""
    for y in range(2, 100):
        point = lift(y)
        torsion = multiply(L, point) if point else (0, 1)
        if multiply(4, torsion) != (0, 1):
            return torsion
    raise ValueError("no point of order 8 below y = 100: the constants of the curve are wrong")


def encodings(point: Point) -> list[bytes]:
    """Returns each 32 bytes that a lax decoder reads as the point, the canonical ones first."""
    x, y = point
    signs = (0, 1) if x == 0 else (x & 1,)
    ys = (y, y + P) if y + P < 2**255 else (y,)
    return [(v | sign << 255).to_bytes(32, "little") for v in ys for sign in signs]


def halves(seed: str) -> list[Half]:
    """Returns 14 encodings of the small-order points, then 8 points with a scalar from the seed."""
    t8 = torsion_generator()
    scalar = int.from_bytes(hashlib.sha512(seed.encode("ascii")).digest(), "little") % L
    made = []
    for n in (0, scalar):
        start = multiply(n, base())
        for torsion in range(8):
            forms = encodings(add(start, multiply(torsion, t8)))
            made += [Half(n, torsion, form, forms[0]) for form in forms]
    return made


def k_of(r: bytes, key: bytes, message: str) -> int:
    """Returns k = SHA-512(R | A | M) mod L, as RFC 8032 reduces it."""
    return int.from_bytes(hashlib.sha512(r + key + message.encode("ascii")).digest(), "little") % L


def needs(key: Half, r: Half, s: int, message: str) -> set[str] | None:
    """Returns which of `k_reencoded` and `cofactored_only` the equation needs, None if it never holds."""
    ks = {"sent": k_of(r.encoded, key.encoded, message), "again": k_of(r.canonical, key.canonical, message)}
    holds = {name: (s - r.scalar - k * key.scalar) % L == 0 for name, k in ks.items()}
    exact = {name: holds[name] and (r.torsion + k * key.torsion) % 8 == 0 for name, k in ks.items()}
    if exact["sent"]:
        return set()
    if exact["again"]:
        return {"k_reencoded"}
    if holds["sent"]:
        return {"cofactored_only"}
    return {"k_reencoded", "cofactored_only"} if holds["again"] else None


def cases(key: Half, r: Half) -> dict[frozenset[str], tuple[int, str]]:
    """Returns the first (S, message) for each set of needs that this pair can have."""
    found: dict[frozenset[str], tuple[int, str]] = {}
    for number in range(TRIES):
        message = f"zkfed edge case {number}"
        for k in (k_of(r.encoded, key.encoded, message), k_of(r.canonical, key.canonical, message)):
            s = (r.scalar + k * key.scalar) % L
            what = needs(key, r, s, message)
            if what is not None:
                found.setdefault(frozenset(what), (s, message))
    return found


def point_flags(key: Half, r: Half) -> set[str]:
    """Returns the flags that the two points have by themselves."""
    return {
        name
        for half, who in ((key, "key"), (r, "r"))
        for name, set_ in (
            (f"{who}_small", half.scalar == 0),
            (f"{who}_torsion", half.torsion != 0),
            (f"{who}_noncanonical", half.encoded != half.canonical),
        )
        if set_
    }


def rows() -> Iterator[Row]:
    """Yields each vector: pairs in order, and after each one that is beyond reproach its S + L."""
    for key, r in product(halves("zkfed/v1/test/ed25519/key"), halves("zkfed/v1/test/ed25519/r")):
        for what, (s, message) in sorted(cases(key, r).items(), key=lambda item: sorted(item[0])):
            flags = point_flags(key, r) | what
            yield _row(key, r, (s, message), flags)
            if key.scalar and r.scalar and not what:
                yield _row(key, r, (s + L, message), flags | {"s_unreduced"})


def _row(key: Half, r: Half, signed: tuple[int, str], flags: set[str]) -> Row:
    s, message = signed
    bits = sum(1 << FLAGS.index(flag) for flag in flags)
    return key.encoded.hex(), (r.encoded + s.to_bytes(32, "little")).hex(), message, bits


def text() -> str:
    """Returns the contents of edge_cases.json, one vector a line."""
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows())
    return f'{{"flags":{json.dumps(FLAGS)},\n"vectors":[\n{lines}\n]}}\n'


if __name__ == "__main__":
    Path(__file__).with_name("edge_cases.json").write_text(text(), "ascii")
