"""Shows that the two backends of BLS12-381 give the same bytes for every operation."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.algebra.conftest import made
from tests.algebra.test_group import scalar_classes
from zkfed.algebra.backend import Backend
from zkfed.algebra.curve import BLS12_381
from zkfed.algebra.field import to_limbs

SCALARS = st.lists(scalar_classes(BLS12_381.order), min_size=4, max_size=4)


def results(backend: Backend, group: Any, first: list[int], second: list[int]) -> list[bytes]:
    a, b = to_limbs(first), to_limbs(second)
    points = backend.generator(group, a)
    made_points = [
        points,
        backend.scale(points, b),
        backend.scale(points, b[:1]),
        backend.add(points, backend.generator(group, b)),
        backend.negate(points),
        backend.msm(points, b),
        backend.concat(group, [points, backend.take(points, np.array([3, 1]))]),
    ]
    other = backend.generator("G2" if group == "G1" else "G1", b)
    pair = (points, other) if group == "G1" else (other, points)
    return [
        *[backend.encode(p) for p in made_points],
        backend.is_identity(points).tobytes(),
        backend.is_equal(points, backend.generator(group, b)).tobytes(),
        bytes([backend.is_pairing_product_one(*pair)]),
        backend.quotient(a, b, a).tobytes(),
    ]


@settings(max_examples=8)
@given(group=st.sampled_from(["G1", "G2"]), first=SCALARS, second=SCALARS)
def test_the_same_bytes(group: str, first: list[int], second: list[int]) -> None:
    reference, arkworks = made("reference/bls12-381"), made("arkworks/bls12-381")
    assert results(reference, group, first, second) == results(arkworks, group, first, second)


@settings(max_examples=10)
@given(st.binary(max_size=60), st.binary(min_size=1, max_size=255))
def test_the_same_hash(message: bytes, domain: bytes) -> None:
    encoded = [
        b.encode(b.hash_to_g1([message, message + b"x"], domain))
        for b in (made("reference/bls12-381"), made("arkworks/bls12-381"))
    ]
    assert encoded[0] == encoded[1]


def test_the_same_sum_of_many(reference: Backend, arkworks: Backend) -> None:
    rng, order = np.random.default_rng(5), BLS12_381.order
    bases = [int(v) for v in rng.integers(1, 1 << 60, 300)]
    factors = [
        (int.from_bytes(rng.bytes(40), "big"), int(rng.integers(-50, 50)))[i % 3 > 0] % order for i in range(300)
    ]
    encoded = [b.encode(b.msm(b.generator("G1", to_limbs(bases)), to_limbs(factors))) for b in (reference, arkworks)]
    assert encoded[0] == encoded[1]
