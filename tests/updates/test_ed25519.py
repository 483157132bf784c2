"""Shows which Ed25519 signatures zkfed accepts, on the public vectors that were made for it.

The rule of protocol version 1 (zkfed/updates/signing.py), in the words of the vectors' flags:

- refused: A or R of small order, in any of their 14 encodings (`low_order_A`, `low_order_R`);
- refused: A or R not canonical, S not below the group order (`non_canonical_*`, malleability);
- refused: what holds only after multiplying by the cofactor (`low_order_residue`), or only if
  k is computed over a re-encoded point (`reencoded_k`);
- accepted: A or R with a small-order component besides a prime-order one, if the equation
  without the cofactor holds (`low_order_component_*` alone).

The list of small-order points is computed here anew, with nothing but integers.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from zkfed.errors import SignatureInvalid
from zkfed.updates import signing
from zkfed.updates.signing import SigningKey, check_raw

VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "ed25519"
CCTV = json.loads((VECTORS / "cctv.json").read_text("ascii"))
WYCHEPROOF = json.loads((VECTORS / "wycheproof.json").read_text("ascii"))["vectors"]
HARMLESS = {"low_order_component_A", "low_order_component_R"}

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493
BASE_Y = 4 * pow(5, -1, P) % P
Point = tuple[int, int]
IDENTITY: Point = (0, 1)


# -- the curve -x^2 + y^2 = 1 + d x^2 y^2 in integers ------------------------------------------------


def add(a: Point, b: Point) -> Point:
    t = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + t, -1, P) % P
    return x, (a[1] * b[1] + a[0] * b[0]) * pow(1 - t, -1, P) % P


def multiply(n: int, point: Point) -> Point:
    total = IDENTITY
    for bit in f"{n:b}":
        total = add(total, total)
        if bit == "1":
            total = add(total, point)
    return total


def x_of(y: int) -> int | None:
    """Returns one root x of the curve's equation, or None if y belongs to no point."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    for x in (root, root * pow(2, (P - 1) // 4, P) % P):
        if x * x % P == square:
            return x
    return None


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


# -- public vectors ------------------------------------------------------------------------------


def cctv() -> list[tuple[set[str], str]]:
    """Returns (flags, verdict) of each vector."""
    names = CCTV["flags"]
    return [
        (
            {name for bit, name in enumerate(names) if flags >> bit & 1},
            verdict(bytes.fromhex(key), bytes.fromhex(signature), message.encode("ascii")),
        )
        for key, signature, message, flags in CCTV["vectors"]
    ]


def test_cctv_accepts_exactly_the_vectors_without_a_forbidden_flag() -> None:
    results = cctv()
    assert len(results) == 914
    for flags, got in results:
        assert (got == "accepted") == (flags <= HARMLESS), (flags, got)
    assert sum(got == "accepted" for _, got in results) == 43


# Flag: (vectors that carry it, those of them that are accepted).
CCTV_CLASSES = {
    "low_order_A": (526, 0),
    "low_order_R": (586, 0),
    "low_order_component_A": (774, 42),
    "low_order_component_R": (665, 35),
    "low_order_residue": (583, 0),
    "non_canonical_A": (226, 0),
    "non_canonical_R": (316, 0),
    "reencoded_k": (146, 0),
}


@pytest.mark.parametrize("flag", CCTV_CLASSES)
def test_cctv_by_flag(flag: str) -> None:
    got = [result for flags, result in cctv() if flag in flags]
    assert (len(got), got.count("accepted")) == CCTV_CLASSES[flag]


def test_cctv_names_the_reason_of_a_refusal() -> None:
    """A bad point is refused by name before the equation; a residue is left to the equation."""
    for flags, got in cctv():
        if flags & {"low_order_A", "non_canonical_A"}:
            assert got.startswith("the signature's public key is ")
        elif flags & {"low_order_R", "non_canonical_R"}:
            assert got.startswith("the signature's R is ")
        elif "low_order_residue" in flags:
            assert got.startswith("the signature does not hold under the key ")


# Flag: (result that the vectors ask for, texts of our verdict and how often).
WYCHEPROOF_CLASSES = {
    "CompressedSignature": ("invalid", {"a public key has 32 bytes and a signature 64": 4}),
    "InvalidEncoding": ("invalid", {"the equation": 19, "R is not canonical": 1, "R is of small order": 2}),
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
    assert len(WYCHEPROOF) == 151
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
