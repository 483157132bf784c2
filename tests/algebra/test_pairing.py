"""Shows that the pairing check is bilinear, not degenerate, and sees every factor."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.algebra.conftest import BACKENDS, made
from zkfed.algebra.backend import Backend
from zkfed.algebra.field import to_limbs


def is_one(backend: Backend, *pairs: tuple[int, int]) -> bool:
    order = backend.curve.order
    left = backend.generator("G1", to_limbs([a % order for a, _ in pairs]))
    right = backend.generator("G2", to_limbs([b % order for _, b in pairs]))
    return backend.is_pairing_product_one(left, right)


@pytest.mark.parametrize("name", sorted(BACKENDS))
@settings(max_examples=3)
@given(a=st.integers(1, 1 << 250), b=st.integers(1, 1 << 250))
def test_bilinear(name: str, a: int, b: int) -> None:
    backend = made(name)
    assert is_one(backend, (a, b), (-a * b, 1))
    assert is_one(backend, (a, 1), (b, 1), (1, -a - b))


def test_the_check_is_exactly_a_sum_in_the_exponent(backend: Backend) -> None:
    assert is_one(backend, (2, 3), (4, 5), (-26, 1))
    assert not is_one(backend, (2, 3), (4, 5), (-25, 1))
    assert not is_one(backend, (1, 1))
    assert not is_one(backend, (1, 1), (1, 1))


def test_the_identity_changes_nothing(backend: Backend) -> None:
    assert is_one(backend)
    assert is_one(backend, (0, 5))
    assert is_one(backend, (5, 0), (0, 0))
    assert is_one(backend, (0, 5), (2, 3), (-3, 2))
    assert not is_one(backend, (0, 5), (2, 3))
