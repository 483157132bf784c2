"""Shows which Ed25519 signatures zkfed accepts, on vectors that were made for it.

The rule of protocol version 1 (zkfed/updates/signing.py), in the words of the edge cases' flags:

- refused: A or R of small order, in any of their 14 encodings (`key_small`, `r_small`);
- refused: A or R not canonical, S not below the group order (`*_noncanonical`, `s_unreduced`);
- refused: what holds only after multiplying by the cofactor (`cofactored_only`), or only if
  k is computed over a re-encoded point (`k_reencoded`);
- accepted: A or R with a small-order component besides a prime-order one, if the equation
  without the cofactor holds (`key_torsion`, `r_torsion` alone).

The list of small-order points and each flag are computed here anew, with nothing but integers.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from zkfed.errors import SignatureInvalid
from zkfed.updates import signing
from zkfed.updates.signing import SigningKey, check_raw

VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "ed25519"
EDGE_CASES = json.loads((VECTORS / "edge_cases.json").read_text("ascii"))
WYCHEPROOF = json.loads((VECTORS / "wycheproof.json").read_text("ascii"))["vectors"]
HARMLESS = {"key_torsion", "r_torsion"}

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493
BASE_Y = 4 * pow(5, -1, P) % P
Point = tuple[int, int]
Extended = tuple[int, int, int, int]
IDENTITY: Point = (0, 1)


# -- the curve -x^2 + y^2 = 1 + d x^2 y^2 in integers ------------------------------------------------


def add(a: Point, b: Point) -> Point:
    t = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + t, -1, P) % P
    return x, (a[1] * b[1] + a[0] * b[0]) * pow(1 - t, -1, P) % P


def add_extended(a: Extended, b: Extended) -> Extended:
    """Returns a + b without a division: x = X/Z, y = Y/Z, T = XY/Z."""
    xx, yy, zz, tt = (u * v % P for u, v in zip(a, b, strict=True))
    e, f, g, h = (a[0] + a[1]) * (b[0] + b[1]) - xx - yy, zz - D * tt, zz + D * tt, yy + xx
    return e * f % P, g * h % P, f * g % P, e * h % P


@cache
def doublings(point: Point) -> list[Extended]:
    x, y = point
    made = [(x, y, 1, x * y % P)]
    for _ in range(255):
        made.append(add_extended(made[-1], made[-1]))
    return made


@cache
def multiply(n: int, point: Point) -> Point:
    total: Extended = (0, 1, 1, 0)
    for bit, power in zip(reversed(f"{n:b}"), doublings(point), strict=False):
        if bit == "1":
            total = add_extended(total, power)
    inverse = pow(total[2], -1, P)
    return total[0] * inverse % P, total[1] * inverse % P


def x_of(y: int) -> int | None:
    """Returns one root x of the curve's equation, or None if y belongs to no point."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    for x in (root, root * pow(2, (P - 1) // 4, P) % P):
        if x * x % P == square:
            return x
    return None


@cache
def small_order_points() -> set[Point]:
    """Returns the torsion subgroup: ORDER kills the rest, and a point of order 8 spans it."""
    for y in range(2, 100):
        x = x_of(y)
        if x is None:
            continue
        torsion = multiply(ORDER, (x, y))
        if multiply(4, torsion) != IDENTITY:
            return {multiply(k, torsion) for k in range(8)}
    raise ValueError("no point of order 8 found")


def encode(y: int, sign: int) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


def verdict(key: bytes, signature: bytes, message: bytes) -> str:
    try:
        check_raw(key, signature, message)
    except SignatureInvalid as error:
        return str(error)
    return "accepted"


# -- the list of small-order points --------------------------------------------------------------


def test_the_list_holds_exactly_the_points_of_small_order() -> None:
    points = small_order_points()
    assert len(points) == 8
    assert all(multiply(8, p) == IDENTITY for p in points)
    assert {y for _, y in points} == signing._SMALL_ORDER_Y


def test_constants_are_those_of_the_curve() -> None:
    x = x_of(BASE_Y)
    assert x is not None
    assert (signing._P, signing._ORDER) == (P, ORDER)
    assert multiply(ORDER, (x, BASE_Y)) == IDENTITY


def test_each_encoding_of_a_small_order_point_is_refused_as_key_and_as_r() -> None:
    honest = SigningKey(bytes(32)).public
    lifted = {y + lift for _, y in small_order_points() for lift in (0, P) if y + lift < 2**255}
    encodings = {encode(y, sign) for y in lifted for sign in (0, 1)}
    assert len(encodings) == 14
    for point in encodings:
        assert verdict(point, honest + bytes(32), b"") in (
            "the signature's public key is of small order",
            "the signature's public key is not canonical",
        )
        assert verdict(honest, point + bytes(32), b"") in (
            "the signature's R is of small order",
            "the signature's R is not canonical",
        )


def test_a_key_of_order_8_signs_nothing() -> None:
    """Without the list, R = S B would be a signature by these keys for one message in eight."""
    keys = [encode(p[1], p[0] & 1) for p in small_order_points() if multiply(4, p) != IDENTITY]
    assert len(keys) == 4
    for scalar in range(1, 65):
        r = multiply(scalar, (_base_x(), BASE_Y))
        signature = encode(r[1], r[0] & 1) + scalar.to_bytes(32, "little")
        for key in keys:
            assert verdict(key, signature, b"message") == "the signature's public key is of small order"


def _base_x() -> int:
    x = x_of(BASE_Y)
    if x is None:
        raise ValueError("the base point is off the curve")
    return x if x % 2 == 0 else P - x


@pytest.mark.parametrize("what", ["public key", "R"])
@pytest.mark.parametrize("y", [P, P + 1, P + 2, P + 18, 2**255 - 1])
def test_a_y_from_p_on_is_not_canonical(what: str, y: int) -> None:
    honest = SigningKey(bytes(32)).public
    for sign in (0, 1):
        point = encode(y, sign)
        key, r = (point, honest) if what == "public key" else (honest, point)
        assert verdict(key, r + bytes(32), b"") == f"the signature's {what} is not canonical"


def test_s_from_the_order_on_is_refused() -> None:
    key = SigningKey(bytes(range(32)))
    signature = key._key.sign(b"message")
    s = int.from_bytes(signature[32:], "little")
    assert verdict(key.public, signature, b"message") == "accepted"
    for k in range(1, 16):
        malleable = signature[:32] + (s + k * ORDER).to_bytes(32, "little")
        assert verdict(key.public, malleable, b"message") == "the signature's S is not canonical"
    for bad in (ORDER, 2**256 - 1):
        assert "S is not canonical" in verdict(key.public, signature[:32] + bad.to_bytes(32, "little"), b"message")


# -- our edge cases ------------------------------------------------------------------------------


def edge_cases() -> list[tuple[set[str], bytes, bytes, bytes]]:
    """Returns (flags, key, signature, message) of each vector."""
    names = EDGE_CASES["flags"]
    return [
        (
            {name for bit, name in enumerate(names) if flags >> bit & 1},
            bytes.fromhex(key),
            bytes.fromhex(signature),
            message.encode("ascii"),
        )
        for key, signature, message, flags in EDGE_CASES["vectors"]
    ]


@cache
def decode_laxly(encoded: bytes) -> Point:
    """Returns the point, with y reduced mod p and the sign of x = 0 ignored."""
    number = int.from_bytes(encoded, "little")
    y = number % 2**255 % P
    x = x_of(y)
    if x is None:
        raise ValueError(f"{encoded.hex()} is no point")
    return (x if x % 2 == number >> 255 else -x % P), y


def k_of(r: bytes, key: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % ORDER


def flags_by_integers(key: bytes, signature: bytes, message: bytes) -> set[str]:
    """Returns the flags of a vector, from its bytes alone."""
    flags = set()
    points, canonical = {}, {}
    for who, encoded in (("key", key), ("r", signature[:32])):
        point = points[who] = decode_laxly(encoded)
        canonical[who] = encode(point[1], point[0] & 1)
        flags |= {f"{who}_small"} if multiply(8, point) == IDENTITY else set()
        flags |= {f"{who}_torsion"} if multiply(ORDER, point) != IDENTITY else set()
        flags |= {f"{who}_noncanonical"} if encoded != canonical[who] else set()
    s = int.from_bytes(signature[32:], "little")
    flags |= {"s_unreduced"} if s >= ORDER else set()
    rests = []
    for k in (k_of(signature[:32], key, message), k_of(canonical["r"], canonical["key"], message)):
        right = add(points["r"], multiply(k, points["key"]))
        rests.append(add(multiply(s, (_base_x(), BASE_Y)), (-right[0] % P, right[1])))
    for zero, reason in (({IDENTITY}, set()), (small_order_points(), {"cofactored_only"})):
        for rest, more in zip(rests, (set(), {"k_reencoded"}), strict=True):
            if rest in zero:
                return flags | reason | more
    raise ValueError("the equation does not hold in any form")


def test_edge_cases_are_what_their_generator_makes() -> None:
    from tests.vectors.ed25519 import generate

    assert generate.text() == (VECTORS / "edge_cases.json").read_text("ascii")


def test_each_edge_case_has_the_flags_that_its_bytes_say() -> None:
    for flags, key, signature, message in edge_cases():
        assert flags_by_integers(key, signature, message) == flags, (key.hex(), signature.hex(), message)


def test_openssl_alone_accepts_each_edge_case_that_it_can_reach() -> None:
    """OpenSSL knows neither cofactor nor re-encoding, and it compares R as bytes, never decoding it.

    So these four flags are out of its reach, and all else it takes: small and non-canonical keys too.
    """
    out_of_reach = {"cofactored_only", "k_reencoded", "r_noncanonical", "s_unreduced"}
    accepted = 0
    for flags, key, signature, message in edge_cases():
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        except InvalidSignature:
            assert flags & out_of_reach, (flags, key.hex(), signature.hex(), message)
        else:
            assert not flags & out_of_reach, (flags, key.hex(), signature.hex(), message)
            accepted += 1
    assert accepted == 198


def test_exactly_the_edge_cases_without_a_forbidden_flag_are_accepted() -> None:
    results = [(flags, verdict(*vector)) for flags, *vector in edge_cases()]
    assert len(results) == 975
    for flags, got in results:
        assert (got == "accepted") == (flags <= HARMLESS), (flags, got)
    assert sum(got == "accepted" for _, got in results) == 43


# Flag: (vectors that carry it, those of them that are accepted).
EDGE_CLASSES = {
    "key_small": (544, 0),
    "r_small": (652, 0),
    "key_torsion": (858, 42),
    "r_torsion": (691, 35),
    "key_noncanonical": (204, 0),
    "r_noncanonical": (372, 0),
    "s_unreduced": (43, 0),
    "k_reencoded": (164, 0),
    "cofactored_only": (504, 0),
}


@pytest.mark.parametrize("flag", EDGE_CLASSES)
def test_edge_cases_by_flag(flag: str) -> None:
    got = [verdict(*vector) for flags, *vector in edge_cases() if flag in flags]
    assert (len(got), got.count("accepted")) == EDGE_CLASSES[flag]


def test_every_flag_of_the_edge_cases_is_in_the_table() -> None:
    assert EDGE_CASES["flags"] == list(EDGE_CLASSES)


def test_the_edge_cases_hold_each_encoding_of_a_small_order_point() -> None:
    assert len({key for flags, key, _, _ in edge_cases() if "key_small" in flags}) == 14
    assert len({signature[:32] for flags, _, signature, _ in edge_cases() if "r_small" in flags}) == 14


def test_the_reason_of_a_refusal_is_named() -> None:
    """A bad point or S is refused by name before the equation; the other two are left to it."""
    for flags, *vector in edge_cases():
        got = verdict(*vector)
        if "key_small" in flags:
            assert got.startswith("the signature's public key is ")
        elif "r_small" in flags:
            assert got.startswith("the signature's R is ")
        elif "s_unreduced" in flags:
            assert got == "the signature's S is not canonical"
        elif "cofactored_only" in flags:
            assert got.startswith("the signature does not hold under the key ")
        else:
            assert got == "accepted"


# -- Wycheproof ----------------------------------------------------------------------------------

# Flag: (result that the vectors ask for, texts of our verdict and how often).
WYCHEPROOF_CLASSES = {
    "CompressedSignature": ("invalid", {"a public key has 32 bytes and a signature 64": 4}),
    "InvalidEncoding": ("invalid", {"the equation": 19, "R is not canonical": 1, "R is of small order": 1}),
    "InvalidKtv": ("invalid", {"S is not canonical": 1}),
    "InvalidSignature": (
        "invalid",
        {"the equation": 3, "R is not canonical": 5, "R is of small order": 10, "S is not canonical": 2},
    ),
    "Ktv": ("valid", {"accepted": 38}),
    "SignatureMalleability": ("invalid", {"S is not canonical": 8}),
    "SignatureWithGarbage": ("invalid", {"a public key has 32 bytes and a signature 64": 5}),
    "TinkOverflow": ("valid", {"accepted": 32}),
    "TruncatedSignature": ("invalid", {"a public key has 32 bytes and a signature 64": 3}),
    "Valid": ("valid", {"accepted": 18}),
}


def test_wycheproof_is_followed_to_the_letter() -> None:
    assert len(WYCHEPROOF) == 150
    for number, _, key, message, signature, result in WYCHEPROOF:
        got = verdict(bytes.fromhex(key), bytes.fromhex(signature), bytes.fromhex(message))
        assert (got == "accepted") == (result == "valid"), (number, got)


@pytest.mark.parametrize("flag", WYCHEPROOF_CLASSES)
def test_wycheproof_by_flag(flag: str) -> None:
    rows = [row for row in WYCHEPROOF if row[1] == flag]
    got = Counter(
        "the equation" if "does not hold" in text else text.removeprefix("the signature's ")
        for _, _, key, message, signature, _ in rows
        for text in [verdict(bytes.fromhex(key), bytes.fromhex(signature), bytes.fromhex(message))]
    )
    assert ({row[5] for row in rows}, got) == ({WYCHEPROOF_CLASSES[flag][0]}, WYCHEPROOF_CLASSES[flag][1])


def test_every_flag_of_wycheproof_is_in_the_table() -> None:
    assert {row[1] for row in WYCHEPROOF} == set(WYCHEPROOF_CLASSES)


@pytest.mark.parametrize(("key", "signature"), [(31, 64), (33, 64), (0, 64), (32, 63), (32, 65), (32, 0), (32, 128)])
def test_other_lengths_are_refused(key: int, signature: int) -> None:
    assert verdict(bytes(key), bytes(signature), b"") == "a public key has 32 bytes and a signature 64"
