"""Shows that the backends of one curve give the same bytes for every operation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.algebra.conftest import made, of_curve
from tests.algebra.test_group import scalar_classes
from zkfed.algebra.backend import Backend
from zkfed.algebra.curve import BLS12_381, BN254, CURVES
from zkfed.algebra.field import to_limbs

SCALARS = {curve.name: st.lists(scalar_classes(curve.order), min_size=4, max_size=4) for curve in (BLS12_381, BN254)}
each_curve = pytest.mark.parametrize("curve", sorted(SCALARS))


def equal(values: list[Any]) -> bool:
    return all(v == values[0] for v in values)


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


@each_curve
@settings(max_examples=8)
@given(group=st.sampled_from(["G1", "G2"]), data=st.data())
def test_the_same_bytes(curve: str, group: str, data: st.DataObject) -> None:
    first, second = data.draw(SCALARS[curve]), data.draw(SCALARS[curve])
    assert equal([results(made(name), group, first, second) for name in of_curve(curve)])


@each_curve
@settings(max_examples=10)
@given(message=st.binary(max_size=60), domain=st.binary(min_size=1, max_size=255))
def test_the_same_hash(curve: str, message: bytes, domain: bytes) -> None:
    every = [made(name) for name in of_curve(curve)]
    assert equal([b.encode(b.hash_to_g1([message, message + b"x"], domain)) for b in every])


@each_curve
def test_the_same_sum_of_many(curve: str) -> None:
    rng, order = np.random.default_rng(5), CURVES[curve].order
    bases = [int(v) for v in rng.integers(1, 1 << 60, 300)]
    factors = [
        (int.from_bytes(rng.bytes(40), "big"), int(rng.integers(-50, 50)))[i % 3 > 0] % order for i in range(300)
    ]
    every = [made(name) for name in of_curve(curve)]
    assert equal([b.encode(b.msm(b.generator("G1", to_limbs(bases)), to_limbs(factors))) for b in every])


@each_curve
def test_the_same_quotient_of_many(curve: str) -> None:
    rng, order = np.random.default_rng(6), CURVES[curve].order
    sides = [to_limbs([int.from_bytes(rng.bytes(40), "big") % order for _ in range(4096)]) for _ in "abc"]
    assert equal([made(name).quotient(*sides).tobytes() for name in of_curve(curve)])
