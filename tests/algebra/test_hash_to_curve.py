"""Shows that hashing to the field and to G1 gives what the published vectors say.

RFC 9380 for SHA-256 and BLS12-381; for BN254 the vectors of gnark-crypto and our own, which a
second implementation written from the RFC's text made and remakes here (rfc9380.py).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.algebra import oracle, rfc9380
from tests.algebra.conftest import made, of_curve
from zkfed.algebra import hash_to_curve
from zkfed.algebra.backend import Backend
from zkfed.algebra.curve import BLS12_381, BN254
from zkfed.algebra.hash_to_field import expand_message_xmd, hash_to_field

VECTORS = Path(__file__).parent.parent / "vectors"


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


def point(case: dict[str, str]) -> tuple[tuple[int], tuple[int]]:
    return (int(case["x"], 16),), (int(case["y"], 16),)


# -- to the field ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", load("rfc9380/expand_message_xmd_sha256.json"))
def test_expand_message_xmd(case: dict[str, Any]) -> None:
    got = expand_message_xmd(case["message"].encode(), case["domain"].encode(), case["length"])
    assert got.hex() == case["uniform"]


def test_challenges_are_parts_of_48_bytes_reduced() -> None:
    raw = expand_message_xmd(b"message", b"domain", 144)
    assert hash_to_field(b"domain", b"message", 3, BLS12_381.order) == [
        int.from_bytes(raw[i : i + 48], "big") % BLS12_381.order for i in (0, 48, 96)
    ]


@given(st.binary(max_size=80), st.binary(min_size=1, max_size=300), st.integers(1, 6))
def test_challenges_are_scalars_and_depend_on_everything(message: bytes, domain: bytes, count: int) -> None:
    order = BN254.order
    values = hash_to_field(domain, message, count, order)
    assert len(values) == count
    assert all(0 <= v < order for v in values)
    assert len(set(values)) == count
    assert values != hash_to_field(domain, message + b"\0", count, order)
    assert values != hash_to_field(domain + b"\0", message, count, order)
    assert values[0] != hash_to_field(domain, message, count + 1, order)[0]


def test_what_cannot_be_expanded_is_refused() -> None:
    assert len(expand_message_xmd(b"", b"d", 255 * 32)) == 255 * 32
    for domain, length in ((b"d", 255 * 32 + 1), (b"", 32)):
        with pytest.raises(ValueError):
            expand_message_xmd(b"", domain, length)


# -- to G1 of BLS12-381 ------------------------------------------------------------------------------


@pytest.mark.parametrize("case", load("rfc9380/bls12381g1_xmd_sha256_sswu_ro.json")["cases"])
@pytest.mark.parametrize("name", of_curve("bls12-381"))
def test_rfc_vectors_of_bls12_381(name: str, case: dict[str, str]) -> None:
    domain = load("rfc9380/bls12381g1_xmd_sha256_sswu_ro.json")["domain"].encode()
    got = made(name).hash_to_g1([case["message"].encode()], domain)
    assert made(name).encode(got) == oracle.compress(BLS12_381, "G1", point(case))


# -- to G1 of BN254 ----------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["gnark_crypto", "zkfed"])
@pytest.mark.parametrize("name", of_curve("bn254"))
def test_vectors_of_bn254(name: str, file: str) -> None:
    backend, vectors = made(name), load(f"bn254_hash_to_g1/{file}.json")
    domain = vectors["domain"].encode()
    for case in vectors["cases"]:
        message = case["message"].encode()
        assert [f"{u:064x}" for u in hash_to_field(domain, message, 2, BN254.base_modulus)] == case["u"]
        halves = hash_to_curve.hash_to_two_points(message, domain)
        assert [[f"{c:064x}" for c in half] for half in halves] == [case["q0"], case["q1"]]
        got = backend.hash_to_g1([message], domain)
        assert backend.encode(got) == oracle.compress(BN254, "G1", point(case))


def test_our_vectors_are_what_their_generator_makes() -> None:
    from tests.vectors.bn254_hash_to_g1 import generate

    assert generate.vectors() == load("bn254_hash_to_g1/zkfed.json")


@pytest.mark.parametrize("name", of_curve("bn254"))
@given(message=st.binary(max_size=100), domain=st.binary(min_size=1, max_size=255))
def test_bn254_equals_the_second_implementation(name: str, message: bytes, domain: bytes) -> None:
    backend = made(name)
    x, y = rfc9380.hash_to_curve(message, domain)
    assert backend.encode(backend.hash_to_g1([message], domain)) == oracle.compress(BN254, "G1", ((x,), (y,)))


@given(st.integers(0, BN254.base_modulus - 1))
def test_the_map_reaches_the_curve(u: int) -> None:
    q = BN254.base_modulus
    x, y = hash_to_curve.map_to_curve_svdw(u)
    assert (y * y - x**3 - 3) % q == 0
    assert (x, y) == rfc9380.map_to_curve(u)
    assert y % 2 == u % 2


def test_the_map_where_its_formula_divides_by_zero() -> None:
    q = BN254.base_modulus
    # g(Z) = 4, so 1 - 4 u^2 = 0 for u = 1 / 2 and u = -1 / 2; 1 + 4 u^2 has no root, as -1 is no square.
    for u in (0, pow(2, -1, q), -pow(2, -1, q) % q):
        x, y = hash_to_curve.map_to_curve_svdw(u)
        assert (y * y - x**3 - 3) % q == 0
        assert (x, y) == rfc9380.map_to_curve(u)


def test_z_is_the_first_that_fits() -> None:
    assert hash_to_curve.find_z_svdw() == rfc9380.Z == 1


# -- every backend -----------------------------------------------------------------------------------


def test_hashes_are_in_the_group_and_depend_on_everything(backend: Backend) -> None:
    points = backend.hash_to_g1([b"a", b"b", b"a", b""], b"domain")
    encoded = backend.encode(points)
    size = backend.curve.point_bytes("G1")
    parts = [encoded[i : i + size] for i in range(0, len(encoded), size)]
    assert parts[0] == parts[2]
    assert len(set(parts)) == 3
    assert backend.is_equal(backend.decode("G1", encoded, 4), points).all()  # decode checks the subgroup
    assert backend.encode(backend.hash_to_g1([b"a"], b"domain2")) not in parts
    assert len(backend.hash_to_g1([], b"domain")) == 0


@pytest.mark.parametrize("size", [0, 256, 1000])
def test_a_domain_of_a_wrong_size_is_refused(backend: Backend, size: int) -> None:
    with pytest.raises(ValueError, match="domain"):
        backend.hash_to_g1([b"a"], bytes(size))


@pytest.mark.parametrize("curve", ["bls12-381", "bn254"])
def test_the_longest_domain_is_equal_everywhere(curve: str) -> None:
    domain = bytes(range(255))
    encoded = {made(name).encode(made(name).hash_to_g1([b"m"], domain)) for name in of_curve(curve)}
    assert len(encoded) == 1
