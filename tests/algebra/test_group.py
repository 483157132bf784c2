"""Shows that every backend computes in the groups: laws, multiples and sums equal py_ecc's.

Scalars of every size class meet in one sum, since backends treat them apart: zero, small,
small negative, the borders of the classes, and full size. What does not fit is refused.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.algebra import oracle
from tests.algebra.conftest import BACKENDS, made
from zkfed.algebra.affine import FirstGroup, SecondGroup
from zkfed.algebra.backend import Backend, Points
from zkfed.algebra.curve import BLS12_381, BN254, Curve
from zkfed.algebra.field import from_limbs, to_limbs

NAMES = sorted(BACKENDS)


def multiples(backend: Backend, group: str, *scalars: int) -> Points:
    """The generator's multiples, made on the slow and independent way."""
    order = backend.curve.order
    encoded = [
        oracle.compress(
            backend.curve,
            group,
            oracle.multiply(backend.curve, group, oracle.generator(backend.curve, group), s % order),
        )
        for s in scalars
    ]
    return backend.decode(group, b"".join(encoded), len(encoded))


def limbs(backend: Backend, *scalars: int) -> np.ndarray:
    return to_limbs([s % backend.curve.order for s in scalars])


def scalar_classes(order: int) -> st.SearchStrategy[int]:
    borders = [0, 1, 2, 1 << 16, (1 << 62) - 1, 1 << 62, (1 << 64) - 1, 1 << 64, order // 2, order // 2 + 1]
    near = [x for b in borders for x in (b, (order - b) % order)]
    return st.one_of(
        st.sampled_from(near),
        st.integers(0, (1 << 64) - 1),
        st.integers(1, 1 << 32).map(lambda v: order - v),
        st.integers(0, order - 1),
    )


# -- multiples of the generator ----------------------------------------------------------------------


def test_generator_equals_py_ecc(backend: Backend, group: str) -> None:
    order = backend.curve.order
    scalars = [1, 2, 255, 256, 257, (1 << 128) + 3, order - 1, order // 3, 0]
    got = backend.generator(group, to_limbs(scalars))
    base = oracle.generator(backend.curve, group)
    expected = [oracle.compress(backend.curve, group, oracle.multiply(backend.curve, group, base, s)) for s in scalars]
    assert backend.encode(got) == b"".join(expected)
    assert backend.is_identity(got).tolist() == [False] * 8 + [True]


def test_no_scalars_give_no_points(backend: Backend, group: str) -> None:
    assert len(backend.generator(group, to_limbs([]))) == 0
    assert backend.encode(backend.generator(group, to_limbs([]))) == b""


# -- laws --------------------------------------------------------------------------------------------


def test_addition_equals_py_ecc_in_every_case(backend: Backend, group: str) -> None:
    curve = backend.curve
    left = multiples(backend, group, 3, 3, 3, 5)
    right = multiples(backend, group, 7, 3, -3, 11)
    got = backend.add(left, right)
    assert backend.is_equal(got, backend.generator(group, limbs(backend, 10, 6, 0, 16))).all()
    zero = backend.generator(group, to_limbs([0] * 4))
    assert backend.is_equal(backend.add(left, zero), left).all()
    assert backend.is_equal(backend.add(zero, left), left).all()
    assert backend.is_identity(backend.add(zero, zero)).all()
    base = oracle.generator(curve, group)
    sum_16 = oracle.add(curve, group, oracle.multiply(curve, group, base, 5), oracle.multiply(curve, group, base, 11))
    assert backend.encode(backend.take(got, np.array([3]))) == oracle.compress(curve, group, sum_16)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("group", ["G1", "G2"])
@settings(max_examples=10)
@given(data=st.data())
def test_group_laws(name: str, group: str, data: st.DataObject) -> None:
    backend = made(name)
    scalar = scalar_classes(backend.curve.order)
    a, b, c = data.draw(scalar), data.draw(scalar), data.draw(scalar)
    p, q, r = (backend.generator(group, to_limbs([s])) for s in (a, b, c))
    add, equal = backend.add, backend.is_equal
    assert equal(add(p, q), add(q, p)).all()
    assert equal(add(add(p, q), r), add(p, add(q, r))).all()
    assert backend.is_identity(add(p, backend.negate(p))).all()
    assert equal(add(p, q), backend.generator(group, limbs(backend, a + b))).all()
    assert equal(backend.scale(p, to_limbs([b])), backend.generator(group, limbs(backend, a * b))).all()
    assert equal(p, q).tolist() == [a == b]


def test_the_negative_of_the_identity_is_the_identity(backend: Backend, group: str) -> None:
    assert backend.is_identity(backend.negate(backend.generator(group, to_limbs([0])))).all()


# -- scale -------------------------------------------------------------------------------------------


def test_scale_by_one_scalar_or_by_one_each(backend: Backend, group: str) -> None:
    points = backend.generator(group, limbs(backend, 2, 3, 0))
    for factor in (0, 1, 5, -4, 1 << 200):
        got = backend.scale(points, limbs(backend, factor))
        assert backend.is_equal(got, backend.generator(group, limbs(backend, 2 * factor, 3 * factor, 0))).all()
    each = backend.scale(points, limbs(backend, -1, 1 << 130, 9))
    assert backend.is_equal(each, backend.generator(group, limbs(backend, -2, 3 << 130, 0))).all()


# -- sums --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("group", ["G1", "G2"])
@settings(max_examples=15)
@given(data=st.data())
def test_msm_equals_the_naive_sum(name: str, group: str, data: st.DataObject) -> None:
    backend = made(name)
    scalar = scalar_classes(backend.curve.order)
    bases = data.draw(st.lists(scalar, min_size=1, max_size=9))
    factors = data.draw(st.lists(scalar, min_size=len(bases), max_size=len(bases)))
    points = backend.generator(group, to_limbs(bases))
    total = backend.generator(group, to_limbs([0]))
    for i, factor in enumerate(factors):
        term = backend.scale(backend.take(points, np.array([i])), to_limbs([factor]))
        total = backend.add(total, term)
    got = backend.msm(points, to_limbs(factors))
    assert len(got) == 1
    assert backend.is_equal(got, total).all()
    assert backend.is_equal(
        got, backend.generator(group, limbs(backend, sum(a * b for a, b in zip(bases, factors, strict=True))))
    ).all()


@pytest.mark.parametrize("kind", ["zero", "one", "small", "negative", "full", "mixed", "equal points", "identities"])
def test_msm_of_many_terms(backend: Backend, kind: str) -> None:
    order, rng = backend.curve.order, np.random.default_rng(1)
    bases = [int(v) for v in rng.integers(0, 1 << 60, 150)]
    full = [int.from_bytes(rng.bytes(48), "big") % order for _ in range(150)]
    small = [int(v) for v in rng.integers(0, 1 << 16, 150)]
    factors = {
        "zero": [0] * 150,
        "one": [1] * 150,
        "small": small,
        "negative": [-v for v in small],
        "full": full,
        "mixed": [(0, v, -v, f, -f)[i % 5] for i, (v, f) in enumerate(zip(small, full, strict=True))],
        "equal points": full,
        "identities": full,
    }[kind]
    bases = {"equal points": [7] * 150, "identities": [0] * 150}.get(kind, bases)
    got = backend.msm(backend.generator("G1", to_limbs(bases)), limbs(backend, *factors))
    expected = sum(a * b for a, b in zip(bases, factors, strict=True))
    assert backend.is_equal(got, backend.generator("G1", limbs(backend, expected))).all()


def test_the_empty_sum_is_the_identity(backend: Backend, group: str) -> None:
    empty = backend.generator(group, to_limbs([]))
    assert backend.is_identity(backend.msm(empty, to_limbs([]))).tolist() == [True]


# -- vectors -----------------------------------------------------------------------------------------


def test_take_and_concat_keep_order(backend: Backend, group: str) -> None:
    points = backend.generator(group, limbs(backend, 1, 2, 3))
    picked = backend.take(points, np.array([2, 0, 0], dtype=np.intp))
    assert backend.is_equal(picked, backend.generator(group, limbs(backend, 3, 1, 1))).all()
    joined = backend.concat(group, [picked, points, backend.take(points, np.array([], dtype=np.intp))])
    assert backend.is_equal(joined, backend.generator(group, limbs(backend, 3, 1, 1, 1, 2, 3))).all()
    assert len(backend.concat(group, [])) == 0


def test_what_does_not_fit_is_refused(backend: Backend) -> None:
    one, two = backend.generator("G1", limbs(backend, 1)), backend.generator("G1", limbs(backend, 1, 2))
    other = backend.generator("G2", limbs(backend, 1))
    three = limbs(backend, 1, 2, 3)
    for attempt in (
        lambda: backend.add(one, two),
        lambda: backend.add(one, other),
        lambda: backend.is_equal(one, two),
        lambda: backend.is_equal(one, other),
        lambda: backend.msm(two, three),
        lambda: backend.scale(two, three),
        lambda: backend.concat("G1", [one, other]),
        lambda: backend.is_pairing_product_one(two, other),
        lambda: backend.is_pairing_product_one(other, one),
    ):
        with pytest.raises(ValueError):
            attempt()


@pytest.mark.parametrize("excess", [0, 1, "all ones"])
def test_a_scalar_that_is_not_below_the_order_is_refused(backend: Backend, excess: int | str) -> None:
    value = (1 << 256) - 1 if excess == "all ones" else backend.curve.order + int(excess)
    points = backend.generator("G1", limbs(backend, 1, 2))
    bad = to_limbs([5, value])
    for attempt in (
        lambda: backend.generator("G1", bad),
        lambda: backend.scale(points, bad),
        lambda: backend.msm(points, bad),
    ):
        with pytest.raises(ValueError):
            attempt()


def test_a_vector_of_points_shows_no_point(backend: Backend) -> None:
    assert repr(backend.generator("G1", limbs(backend, 5, 6))) == "Points(G1, 2)"


# -- the affine group of the reference backend ---------------------------------------------------------


@pytest.mark.parametrize("curve", [BLS12_381, BN254], ids=lambda c: c.name)
@pytest.mark.parametrize("group", ["G1", "G2"])
def test_affine_addition_equals_py_ecc_outside_the_subgroup(curve: Curve, group: str) -> None:
    law = (FirstGroup if group == "G1" else SecondGroup)(curve, oracle.library(curve))
    points = [p for x in oracle.scan_x(group) if (p := oracle.lift(curve, group, x))][:6]
    assert len(points) == 6
    pairs = [(p, q) for p in points for q in points]
    flat = [(p[0] + p[1], q[0] + q[1]) for p, q in pairs]
    got = law.add_pairs([p for p, _ in flat], [q for _, q in flat])
    expected = [oracle.add(curve, group, p, q) for p, q in pairs]
    assert got == [None if e is None else e[0] + e[1] for e in expected]
    assert law.multiply([p[0] + p[1] for p in points[:2]], [12345, -3]) == [
        sum(oracle.multiply(curve, group, points[0], 12345), ()),
        law.negate(sum(oracle.multiply(curve, group, points[1], 3), ())),
    ]


def test_affine_doubling_of_a_point_of_order_two() -> None:
    first, second = (kind(BN254, oracle.library(BN254)) for kind in (FirstGroup, SecondGroup))
    assert first.add_pairs([(5, 0)], [(5, 0)]) == [None]
    assert second.add_pairs([(5, 1, 0, 0)], [(5, 1, 0, 0)]) == [None]


@pytest.mark.parametrize("y", [(0, 7), (7, 0), (3, 4)])
def test_affine_doubling_of_points_with_a_zero_in_y(y: tuple[int, int]) -> None:
    law, ecc = SecondGroup(BN254, oracle.library(BN254)), oracle.library(BN254)
    doubled = ecc.normalize(ecc.double((ecc.FQ2([5, 1]), ecc.FQ2(y), ecc.FQ2.one())))
    assert law.add_pairs([(5, 1, *y)], [(5, 1, *y)]) == [tuple(int(c) for xy in doubled for c in xy.coeffs)]


# -- the size classes of the wheel's backend -----------------------------------------------------------


@given(st.lists(scalar_classes(BLS12_381.order), max_size=6))
def test_the_order_minus_scalars_limb_by_limb(scalars: list[int]) -> None:
    from zkfed.algebra.arkworks import _subtract_from_order

    order, mask = BLS12_381.order, (1 << 64) - 1
    # One limb equal to the order's, and a larger one below it, so that a borrow passes through.
    passed_on = [(order & mask << 64 * i) | mask << 64 * (i - 1) for i in (1, 2)]
    scalars = [*scalars, 0, order - 1, *passed_on]
    assert from_limbs(_subtract_from_order(to_limbs(scalars))).tolist() == [order - s for s in scalars]
