"""Shows that tensors of linear combinations obey the linear algebra of plain numpy arrays.

Every operation on `Linear` is done twice: on wires, then evaluated on integers, and on the
integers themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkfed.algebra.field import Ints, as_ints
from zkfed.r1cs.builder import Values
from zkfed.r1cs.linear import Linear, concatenate, constant, stack

SHAPES = [(), (1,), (4,), (2, 3), (3, 1), (1, 3), (2, 1, 3)]
NUMBERS = st.integers(-(1 << 200), 1 << 200)


def wires(shape: tuple[int, ...], first: int) -> Linear:
    return Linear.of_wires(np.arange(first, first + int(np.prod(shape)), dtype=np.int64).reshape(shape))


def evaluate(linear: Linear, z: Ints) -> Ints:
    return Values(z, {}, 1 << 255)(linear)


def numbers(data: st.DataObject, shape: tuple[int, ...]) -> Ints:
    size = int(np.prod(shape))
    return as_ints(data.draw(st.lists(NUMBERS, min_size=size, max_size=size))).reshape(shape)


def assignment(data: st.DataObject, count: int = 30) -> Ints:
    z = as_ints(data.draw(st.lists(st.integers(-1000, 1000), min_size=count, max_size=count)))
    z[0] = 1
    return z


def mixed(data: st.DataObject, shape: tuple[int, ...]) -> Linear:
    """Draws a tensor whose entries have several terms, repeated wires and constants."""
    terms = [wires(shape, data.draw(st.integers(1, 20))) * numbers(data, shape) for _ in range(2)]
    return terms[0] + terms[1] + numbers(data, shape)


def broadcastable() -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    pairs = []
    for x in SHAPES:
        for y in SHAPES:
            try:
                np.broadcast_shapes(x, y)
            except ValueError:
                continue
            pairs.append((x, y))
    return pairs


@given(data=st.data(), shapes=st.sampled_from(broadcastable()))
def test_sums_differences_and_multiples(data: st.DataObject, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    z, a, b, k = assignment(data), mixed(data, shapes[0]), mixed(data, shapes[1]), numbers(data, shapes[1])
    x, y = evaluate(a, z), evaluate(b, z)
    cases = [(a + b, x + y), (a - b, x - y), (-a, -x), (a * k, x * k), (k * a, k * x), (a + k, x + k), (k + a, k + x)]
    cases += [(a - k, x - k), (k - a, k - x), (a * 0, x * 0), (3 - a, 3 - x)]
    for got, expected in cases:
        assert got.shape == np.shape(expected)
        assert (evaluate(got, z) == expected).all()


@given(data=st.data(), shape=st.sampled_from(SHAPES))
def test_shapes_and_sums(data: st.DataObject, shape: tuple[int, ...]) -> None:
    z, a = assignment(data), mixed(data, shape)
    x = evaluate(a, z)
    assert evaluate(a.sum(), z) == x.sum()
    assert (evaluate(a.transpose(), z) == x.T).all()
    assert (evaluate(a.reshape(a.size), z) == x.ravel()).all()
    assert (evaluate(a.broadcast_to((2, *shape)), z) == np.broadcast_to(x, (2, *shape))).all()
    assert (evaluate(stack([a, -a]), z) == np.stack([x, -x])).all()
    assert (evaluate(concatenate([a, a * 2]), z) == np.concatenate([x.ravel(), 2 * x.ravel()])).all()


@given(data=st.data(), key=st.sampled_from([0, -1, slice(1, None), (slice(None), 1), (1, 2), (..., 0)]))
def test_indexing(data: st.DataObject, key: Any) -> None:
    z, a = assignment(data), mixed(data, (2, 3))
    x = evaluate(a, z)
    assert a[key].shape == np.shape(x[key])
    assert (evaluate(a[key], z) == x[key]).all()


@given(data=st.data(), m=st.integers(1, 4), n=st.integers(1, 3), c=st.integers(1, 3))
def test_constant_matrix_times_wires(data: st.DataObject, m: int, n: int, c: int) -> None:
    z, a, k = assignment(data), mixed(data, (n, c)), numbers(data, (m, n))
    assert (evaluate(k @ a, z) == k @ evaluate(a, z)).all()


@given(data=st.data(), shape=st.sampled_from(SHAPES))
def test_constants(data: st.DataObject, shape: tuple[int, ...]) -> None:
    k = numbers(data, shape)
    assert (evaluate(constant(k), assignment(data)) == k).all()


def test_what_is_not_linear_is_refused() -> None:
    a = wires((2,), 1)
    with pytest.raises(TypeError, match=r"Builder\.product"):
        a * a
    with pytest.raises(ValueError, match="does not fit"):
        np.ones((2, 3), dtype=object) @ wires((2, 2), 1)
    with pytest.raises(ValueError, match="broadcast"):
        wires((2,), 1) + wires((3,), 1)


@pytest.mark.parametrize("two", [np.int64(1 << 40), np.uint64(1 << 40), np.array(1 << 40), 1 << 40])
def test_machine_integers_do_not_wrap_in_coefficients(two: Any) -> None:
    x, z = wires((), 1), as_ints([1, 3])
    assert evaluate(x * two * two, z) == 3 << 80
    assert evaluate(two * (two * x), z) == 3 << 80
    assert evaluate((constant(two) + 1 - two) * two + (x + two) * two, z) == (1 << 40) + (3 << 40) + (1 << 80)


def test_repr_holds_no_coefficients() -> None:
    assert repr(wires((2,), 1) * 123456789) == "Linear(shape=(2,), terms=2)"
