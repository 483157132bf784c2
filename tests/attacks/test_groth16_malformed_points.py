"""Points that are no points, in every position of a proof and of C_D, are a DecodeError.

Source: protocol.md section 4, review H9. A point outside the r-torsion passes the pairing (its small
part vanishes in the final exponentiation) and breaks the sum of the commitments, without anybody to
blame; the control does that with an unchecked decoder. What stops it: `decode` is the only door.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import pytest

from tests.groth16.samples import CASES, Case, Forger, improvement, s0, scalar_source
from zkfed.algebra.arkworks import ArkworksBackend
from zkfed.algebra.backend import Points, use
from zkfed.algebra.curve import BLS12_381
from zkfed.algebra.field import to_limbs
from zkfed.algebra.points import encode_identity, encode_point
from zkfed.commitments.pedersen import generators
from zkfed.errors import CommitmentMismatch, DecodeError
from zkfed.groth16.proof import Proof, proof_bytes
from zkfed.groth16.verify import verify
from zkfed.statements.update_bound import USE

Q = BLS12_381.base_modulus
WHEEL = ArkworksBackend()
"""The only backend with a door that checks nothing."""
THREE_TORSION = encode_point(BLS12_381, (0,), (2,))
"""(0, 2) lies on y^2 = x^3 + 4 and has order 3."""


def positions(case: Case) -> list[tuple[str, int, str]]:
    """Returns (name, offset, group) of each point of a proof."""
    names = ["C", *(f"D_{s.name}" for s in case.vk.layout.segments), "PoK", "pi"]
    return [("A", 0, "G1"), ("B", 48, "G2"), *((n, 144 + 48 * i, "G1") for i, n in enumerate(names))]


@functools.cache
def outside_the_subgroup(group: str) -> bytes:
    """Returns a random point of the curve; it is in the r-torsion with probability 2^-125."""
    from py_ecc.bls.point_compression import decompress_G1, decompress_G2
    from py_ecc.bls.typing import G1Compressed, G2Compressed

    for x in range(5, 200):
        body = x | 1 << 383
        try:
            if group == "G1":
                decompress_G1(G1Compressed(body))
                return body.to_bytes(48, "big")
            decompress_G2(G2Compressed((body, 7)))
        except ValueError:
            continue
        return body.to_bytes(48, "big") + (7).to_bytes(48, "big")
    raise AssertionError("no point")


@functools.cache
def off_the_curve(group: str) -> bytes:
    from py_ecc.bls.point_compression import decompress_G1, decompress_G2
    from py_ecc.bls.typing import G1Compressed, G2Compressed

    for x in range(5, 200):
        body = x | 1 << 383
        try:
            decompress_G1(G1Compressed(body)) if group == "G1" else decompress_G2(G2Compressed((body, 7)))
        except ValueError:
            return body.to_bytes(48, "big") + ((7).to_bytes(48, "big") if group == "G2" else b"")
    raise AssertionError("no such x")


def high(group: str, x: int) -> bytes:
    """Returns an encoding whose first coordinate is x, canonical or not."""
    return (x | 1 << 383).to_bytes(48, "big") + (bytes(48) if group == "G2" else b"")


BAD = {
    "identity": lambda group, old: encode_identity(BLS12_381, group),
    "identity with its sign": lambda group, old: bytes([0xE0]) + bytes(len(old) - 1),
    "identity with a tail": lambda group, old: encode_identity(BLS12_381, group)[:-1] + b"\1",
    "infinity flag on a point": lambda group, old: bytes([old[0] | 0x40]) + old[1:],
    "not compressed": lambda group, old: bytes([old[0] & 0x7F]) + old[1:],
    "all zero": lambda group, old: bytes(len(old)),
    "all ones": lambda group, old: b"\xff" * len(old),
    "x = q": lambda group, old: high(group, Q),
    "x = q + 1": lambda group, old: high(group, Q + 1),
    "x = 2^381 - 1": lambda group, old: high(group, (1 << 381) - 1),
    "off the curve": lambda group, old: off_the_curve(group),
    "outside the subgroup": lambda group, old: outside_the_subgroup(group),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", ["improvement/classes", "S0"])
def test_in_every_position_of_a_proof(name: str, bad: str) -> None:
    case = CASES[name]()
    data = case.proof.encode(case.backend)
    for _, at, group in positions(case):
        size = 48 if group == "G1" else 96
        changed = BAD[bad](group, data[at : at + size])
        assert len(changed) == size
        with pytest.raises(DecodeError):
            Proof.decode(case.backend, case.vk.layout, data[:at] + changed + data[at + size :])


@pytest.mark.parametrize("bad", BAD)
def test_as_an_external_commitment(bad: str) -> None:
    case = s0()
    good = case.backend.encode(case.instance.commitments[0])
    with pytest.raises(DecodeError):
        case.backend.decode("G1", BAD[bad]("G1", good), 1)


def test_a_non_canonical_x_of_a_valid_point_is_refused() -> None:
    """One point in four has an x with x + q below 2^381: the same point to a decoder that reduces."""
    backend, found = s0().backend, 0
    points = backend.encode(backend.generator("G1", to_limbs(range(1, 33))))
    for at in range(0, len(points), 48):
        number = int.from_bytes(points[at : at + 48], "big")
        flags, x = number >> 381, number & ((1 << 381) - 1)
        if x + Q < 1 << 381:
            found += 1
            backend.decode("G1", points[at : at + 48], 1)
            with pytest.raises(DecodeError, match="not below q"):
                backend.decode("G1", (flags << 381 | x + Q).to_bytes(48, "big"), 1)
    assert found >= 4


def test_proofs_of_another_size_are_refused() -> None:
    case = improvement()
    data = case.proof.encode(case.backend)
    size = proof_bytes(case.vk.layout)
    for other in (b"", data[:-1], data[:48], data + b"\0", data + data, data[1:]):
        with pytest.raises(DecodeError, match=f"expected {size}"):
            Proof.decode(case.backend, case.vk.layout, other)


@pytest.mark.parametrize("other", [None, "text", 10**15, bytearray(432), memoryview(bytes(432)), [1]])
def test_other_things_than_bytes_are_refused(other: Any) -> None:
    case = improvement()
    with pytest.raises(DecodeError, match="expected bytes"):
        Proof.decode(case.backend, case.vk.layout, other)


# -- small-order commitments -----------------------------------------------------------------------


def plus_three_torsion(encoded: bytes) -> bytes:
    """Returns the encoding of P + (0, 2), computed by py_ecc."""
    from py_ecc.bls.point_compression import decompress_G1
    from py_ecc.bls.typing import G1Compressed
    from py_ecc.optimized_bls12_381 import FQ, add, normalize

    total = add(decompress_G1(G1Compressed(int.from_bytes(encoded, "big"))), (FQ(0), FQ(2), FQ(1)))
    x, y = normalize(total)
    return encode_point(BLS12_381, (int(x),), (int(y),))


def unchecked(encoded: bytes) -> Points:
    from py_arkworks_bls12381 import G1Point

    return Points("G1", [G1Point.from_compressed_bytes_unchecked(encoded)])


def test_the_point_of_order_three_is_refused_alone() -> None:
    with pytest.raises(DecodeError, match="outside the subgroup"):
        s0().backend.decode("G1", THREE_TORSION, 1)


@pytest.mark.parametrize("name", CASES)
def test_a_commitment_plus_a_point_of_order_three_is_refused(name: str) -> None:
    case = CASES[name](WHEEL)
    honest = case.instance.commitments[0]
    crooked = plus_three_torsion(case.backend.encode(honest))
    for backend in (WHEEL, use(BLS12_381)):
        with pytest.raises(DecodeError, match="outside the subgroup"):
            backend.decode("G1", crooked, 1)
    # Control: without the check the proof verifies, and the commitment does not open.
    point = unchecked(crooked)
    instance = replace(case.instance, commitments=(point,))
    verify(case.vk, instance, Forger(case, instance, case.private).proof())
    case.generators.open(honest, case.private["update"].ravel(), case.blinder)
    with pytest.raises(CommitmentMismatch):
        case.generators.open(point, case.private["update"].ravel(), case.blinder)


def test_a_random_point_times_r_has_small_order_and_is_refused() -> None:
    from py_ecc.bls.point_compression import compress_G1, decompress_G1
    from py_ecc.bls.typing import G1Compressed
    from py_ecc.optimized_bls12_381 import is_inf, multiply

    start = decompress_G1(G1Compressed(int.from_bytes(outside_the_subgroup("G1"), "big")))
    small = multiply(start, BLS12_381.order)
    assert not is_inf(small)
    with pytest.raises(DecodeError, match="outside the subgroup"):
        s0().backend.decode("G1", int(compress_G1(small)).to_bytes(48, "big"), 1)


def test_control_a_small_order_part_breaks_a_sum_of_commitments() -> None:
    """Eight honest clients and one crooked: nobody's proof fails, the sum does not open."""
    case, order = s0(backend=WHEEL), BLS12_381.order
    rand = scalar_source(1, order)
    g = generators(case.backend, USE, 8)
    blinders = [rand() for _ in range(8)]
    points = [g.commit([i] * 8, rho) for i, rho in enumerate(blinders)]
    crooked = unchecked(plus_three_torsion(case.backend.encode(points[3])))
    total = functools.reduce(case.backend.add, points)
    g.open(total, [28] * 8, sum(blinders) % order)
    broken = functools.reduce(case.backend.add, [*points[:3], crooked, *points[4:]])
    with pytest.raises(CommitmentMismatch):
        g.open(broken, [28] * 8, sum(blinders) % order)
