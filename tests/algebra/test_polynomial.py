"""Shows that transforms and the quotient equal polynomial arithmetic done by galois.

galois knows nothing of roots of unity or cosets here: it multiplies, evaluates and divides
polynomials. Sizes from 1; both scalar fields, and a field of 17 elements for every input.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import galois
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.algebra.conftest import BACKENDS, made
from zkfed.algebra.curve import BLS12_381, BN254, Curve
from zkfed.algebra.field import as_ints, from_limbs, powers, to_limbs
from zkfed.algebra.polynomial import coset_quotient, intt, ntt

CURVES = [BLS12_381, BN254]
TINY = Curve("tiny", order=17, base_modulus=17, coordinate_bytes=1, two_adicity=4, generator=3, security_bits=0)


@functools.cache
def field(curve: Curve) -> Any:
    # Without these two arguments galois searches for a minute.
    return galois.GF(curve.order, primitive_element=curve.generator, verify=False)


def polynomial(curve: Curve, coefficients: Any) -> galois.Poly:
    return galois.Poly(field(curve)([int(c) for c in coefficients]), order="asc")


def values_at(poly: galois.Poly, points: Any) -> list[int]:
    return [int(v) for v in poly(type(poly.coeffs)([int(p) for p in points]))]


def vectors(curve: Curve, log_max: int = 4) -> st.SearchStrategy[list[int]]:
    element = st.integers(0, curve.order - 1) | st.sampled_from([0, 1, curve.order - 1])
    return st.integers(0, log_max).flatmap(lambda k: st.lists(element, min_size=1 << k, max_size=1 << k))


@pytest.mark.parametrize("curve", CURVES, ids=lambda c: c.name)
@settings(max_examples=25)
@given(data=st.data())
def test_transform_evaluates_at_the_roots_of_unity(curve: Curve, data: st.DataObject) -> None:
    coefficients = as_ints(data.draw(vectors(curve)))
    roots = powers(curve.root_of_unity(len(coefficients)), len(coefficients), curve.order)
    got = ntt(coefficients, curve)
    assert got.tolist() == values_at(polynomial(curve, coefficients), roots)
    assert intt(got, curve).tolist() == coefficients.tolist()
    assert ntt(intt(coefficients, curve), curve).tolist() == coefficients.tolist()


def test_transform_of_every_vector_over_17_elements() -> None:
    for coefficients in itertools.product(range(17), repeat=2):
        roots = powers(TINY.root_of_unity(2), 2, 17)
        got = ntt(as_ints(coefficients), TINY).tolist()
        assert got == [(coefficients[0] + coefficients[1] * int(x)) % 17 for x in roots]
    for coefficients in itertools.product(range(0, 17, 4), repeat=4):
        values = ntt(as_ints(coefficients), TINY)
        assert values.tolist() == values_at(polynomial(TINY, coefficients), powers(TINY.root_of_unity(4), 4, 17))
        assert intt(values, TINY).tolist() == list(coefficients)


def test_a_large_transform_stays_exact() -> None:
    curve, n = BLS12_381, 1 << 13  # sums are reduced at the end only
    worst = as_ints([curve.order - 1] * n)
    assert ntt(worst, curve).tolist() == [-n % curve.order] + [0] * (n - 1)
    delta = as_ints([0] * (n - 1) + [curve.order - 1])
    w = pow(curve.root_of_unity(n), n - 1, curve.order)
    assert ntt(delta, curve).tolist() == (-powers(w, n, curve.order) % curve.order).tolist()
    assert intt(ntt(worst, curve), curve).tolist() == worst.tolist()


@pytest.mark.parametrize("curve", CURVES, ids=lambda c: c.name)
@settings(max_examples=15)
@given(data=st.data())
def test_quotient_equals_galois(curve: Curve, data: st.DataObject) -> None:
    a = data.draw(vectors(curve, log_max=3))
    n, r = len(a), curve.order
    element = st.integers(0, r - 1)
    b, c = (data.draw(st.lists(element, min_size=n, max_size=n)) for _ in "bc")
    sides = [polynomial(curve, intt(as_ints(v), curve)) for v in (a, b, c)]
    coset = curve.generator * powers(curve.root_of_unity(n), n, r) % r
    expected = values_at(sides[0] * sides[1] - sides[2], coset)
    assert coset_quotient(*[as_ints(v) for v in (a, b, c)], curve).tolist() == expected


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_backends_divide_by_the_vanishing_polynomial(name: str) -> None:
    backend = made(name)
    curve, n = backend.curve, 16
    r, rng = curve.order, np.random.default_rng(7)
    a, b = ([int.from_bytes(rng.bytes(40), "big") % r for _ in range(n)] for _ in "ab")
    c = [x * y % r for x, y in zip(a, b, strict=True)]
    got = from_limbs(backend.quotient(to_limbs(a), to_limbs(b), to_limbs(c)))
    gf = field(curve)
    sides = [polynomial(curve, intt(as_ints(v), curve)) for v in (a, b, c)]
    vanishing = polynomial(curve, [r - 1] + [0] * (n - 1) + [1])
    exact, rest = divmod(sides[0] * sides[1] - sides[2], vanishing)
    assert rest == galois.Poly.Zero(gf)
    assert exact.degree == n - 2
    coset = curve.generator * powers(curve.root_of_unity(n), n, r) % r
    z = (pow(curve.generator, n, r) - 1) % r
    assert got.tolist() == [v * z % r for v in values_at(exact, coset)]
    # One product that is wrong leaves a remainder: the quotient is no polynomial of degree n - 2.
    c[3] = (c[3] + 1) % r
    wrong = from_limbs(backend.quotient(to_limbs(a), to_limbs(b), to_limbs(c))).tolist()
    assert wrong != got.tolist()


@pytest.mark.parametrize("size", [0, 3, 1 << 33])
def test_a_domain_that_does_not_exist_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        BLS12_381.root_of_unity(size)


@pytest.mark.parametrize("curve", CURVES, ids=lambda c: c.name)
def test_constants_of_the_scalar_field(curve: Curve) -> None:
    r, s = curve.order, curve.two_adicity
    assert (r - 1) % (1 << s) == 0
    assert (r - 1) >> s & 1
    assert pow(curve.generator, (r - 1) // 2, r) == r - 1
    root = curve.root_of_unity(1 << s)
    assert pow(root, 1 << (s - 1), r) == r - 1


def test_quotient_refuses_lengths_that_differ_or_fit_no_domain() -> None:
    backend = made("reference/bls12-381")
    one, three, four = (to_limbs(list(range(n))) for n in (1, 3, 4))
    for sides in ((three, three, three), (one, four, four), (four, one, four), (four, four, one), (to_limbs([]),) * 3):
        with pytest.raises(ValueError):
            backend.quotient(*sides)
