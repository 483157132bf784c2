"""Shows that limbs hold integers exactly, and the vector functions of the scalar field."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkfed.algebra import field
from zkfed.algebra.curve import BLS12_381, BN254
from zkfed.errors import DecodeError

ORDERS = [BLS12_381.order, BN254.order, 17]
WORDS = st.lists(st.integers(0, (1 << 256) - 1), max_size=8)


@given(WORDS)
def test_limbs_round_trip(values: list[int]) -> None:
    limbs = field.to_limbs(values)
    assert limbs.shape == (len(values), 4)
    assert limbs.dtype == np.uint64
    assert field.from_limbs(limbs).tolist() == values
    assert [sum(int(w) << (64 * i) for i, w in enumerate(row)) for row in limbs] == values


@pytest.mark.parametrize("value", [-1, 1 << 256])
def test_limbs_refuse_what_does_not_fit(value: int) -> None:
    with pytest.raises(OverflowError):
        field.to_limbs([value])


@pytest.mark.parametrize("order", ORDERS[:2])
@given(values=WORDS)
def test_canonical_limbs(order: int, values: list[int]) -> None:
    field.check_limbs(field.to_limbs([v % order for v in values]), order)
    if all(v < order for v in values):
        field.check_limbs(field.to_limbs(values), order)
    else:
        with pytest.raises(ValueError, match="not below r"):
            field.check_limbs(field.to_limbs(values), order)


@pytest.mark.parametrize("order", ORDERS[:2])
def test_limbs_around_the_order(order: int) -> None:
    field.check_limbs(field.to_limbs([order - 1]), order)
    # One above in any single limb, with the lower limbs zero, is above the order.
    for i in range(4):
        above = ((order >> (64 * i)) + 1) << (64 * i)
        with pytest.raises(ValueError):
            field.check_limbs(field.to_limbs([1, above]), order)
        field.check_limbs(field.to_limbs([((order >> (64 * i)) - 1) << (64 * i)]), order)
    with pytest.raises(ValueError, match="scalar 1 of 2"):
        field.check_limbs(field.to_limbs([0, order]), order)


@pytest.mark.parametrize("value", [True, 1.0, "5", None, -1, BLS12_381.order, np.int64(3)])
def test_only_an_int_in_range_is_a_scalar(value: object) -> None:
    field.check_scalars([0, 1, BLS12_381.order - 1], BLS12_381.order)
    with pytest.raises(DecodeError, match="scalar 1"):
        field.check_scalars([0, value], BLS12_381.order)  # type: ignore[list-item]


@pytest.mark.parametrize("order", ORDERS)
@given(data=st.data())
def test_batch_inverse(order: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.integers(0, order - 1), max_size=9))
    got = field.batch_inverse(field.as_ints(values), order).tolist()
    assert got == [pow(v, -1, order) if v else 0 for v in values]


def test_batch_inverse_keeps_the_shape() -> None:
    table = field.as_ints([[1, 2], [0, 4]])
    assert field.batch_inverse(table, 17).tolist() == [[1, 9], [0, 13]]


@pytest.mark.parametrize("order", ORDERS)
def test_centred(order: int) -> None:
    half = order // 2
    values = field.as_ints([0, 1, half, half + 1, order - 1])
    assert field.centred(values, order).tolist() == [0, 1, half, half + 1 - order, -1]


def test_powers() -> None:
    assert field.powers(3, 5, 17).tolist() == [1, 3, 9, 10, 13]
    assert field.powers(3, 0, 17).tolist() == []
    assert field.powers(0, 3, 17).tolist() == [1, 0, 0]


def test_as_ints_makes_python_integers_and_reduces() -> None:
    got = field.as_ints(np.array([[-1, 5]], dtype=np.int64), 17)
    assert got.tolist() == [[16, 5]]
    assert all(type(v) is int for v in got.ravel().tolist())
    big = field.as_ints([1 << 200, -3])
    assert big.dtype == object
    assert big.tolist() == [1 << 200, -3]


@given(st.data())
def test_the_integer_product_is_exact(data: st.DataObject) -> None:
    m, n, c = (data.draw(st.integers(1, 5)) for _ in range(3))
    bits = [data.draw(st.sampled_from([0, 1, 15, 21, 25, 26, 52, 53, 63, 64, 255])) for _ in range(2)]

    def drawn(shape: tuple[int, int], size: int) -> np.ndarray:
        edges = st.sampled_from([(1 << size) - 1, -(1 << size), -1, 0])
        entries = st.one_of(edges, st.integers(-(1 << size), (1 << size) - 1))
        count = shape[0] * shape[1]
        return np.array(data.draw(st.lists(entries, min_size=count, max_size=count)), dtype=object).reshape(shape)

    left, right = drawn((m, n), bits[0]), drawn((n, c), bits[1])
    expected = (left @ right).tolist()
    assert field.integer_product(left, right).tolist() == expected
    if max(bits) <= 63:
        machine = [side.astype(np.int64) for side in (left, right)]
        assert field.integer_product(*machine).tolist() == expected


def test_the_integer_product_is_exact_where_every_bit_is_used() -> None:
    n = (1 << 11) - 1
    for bits in (20, 21, 22, 42, 63):
        top = np.full((1, n), (1 << bits) - 1, dtype=np.int64)
        low = np.full((n, 1), -(1 << bits), dtype=np.int64)
        assert field.integer_product(top, low).tolist() == [[-n * ((1 << bits) - 1) << bits]]
        assert field.integer_product(low.T, low).tolist() == [[n << 2 * bits]]


def test_the_integer_product_of_nothing() -> None:
    assert (
        field.integer_product(np.zeros((2, 0), dtype=object), np.zeros((0, 3), dtype=object)).tolist() == [[0] * 3] * 2
    )
    with pytest.raises(ValueError, match="does not fit"):
        field.integer_product(np.zeros((2, 3), dtype=object), np.zeros((2, 3), dtype=object))
