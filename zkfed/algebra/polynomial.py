"""Number-theoretic transforms over the scalar field, vectorised with numpy.

    ntt:  (c_0 .. c_{n-1}) -> (p(w^0) .. p(w^{n-1})),   p(x) = sum_j c_j x^j

Each layer is one vector operation over Python integers. Sums are not reduced inside a
transform: thirteen layers add thirteen bits, while a reduction costs as much as a product.

Source: Cooley and Tukey 1965; the layout of Stockham, which needs no bit reversal.
"""

from __future__ import annotations

import functools

import numpy as np

from zkfed.algebra.curve import Curve
from zkfed.algebra.field import Ints, powers

__all__ = ["coset_quotient", "intt", "ntt"]


@functools.lru_cache(maxsize=64)
def _twiddles(curve: Curve, size: int, is_inverse: bool) -> tuple[Ints, ...]:  # noqa: FBT001
    root = curve.root_of_unity(size)
    root = pow(root, -1, curve.order) if is_inverse else root
    every = powers(root, max(size // 2, 1), curve.order)
    # Layer with blocks of half-length m uses the powers of the (2 m)-th root.
    return tuple(every[:: size // (2 * m)][:m] for m in (1 << k for k in range(size.bit_length() - 1)))


@functools.lru_cache(maxsize=64)
def _coset_factors(curve: Curve, size: int) -> Ints:
    """Returns g^j / n: the powers that move to the coset, with the scale of the inverse transform."""
    scale = pow(size, -1, curve.order)
    return np.asarray(powers(curve.generator, size, curve.order) * scale % curve.order, dtype=object)


def _transform(values: Ints, curve: Curve, *, is_inverse: bool) -> Ints:
    n, r = len(values), curve.order
    # x[k, j] is the k-th value of the m-point transform of the entries j, j + n/m, j + 2 n/m, ...
    x = values.reshape(1, n)
    for w in _twiddles(curve, n, is_inverse):
        half = x.shape[1] // 2
        even, odd = x[:, :half], x[:, half:]
        product = odd * w[:, None] % r
        x = np.concatenate([even + product, even - product])
    return np.asarray(x.reshape(n) % r, dtype=object)


def ntt(values: Ints, curve: Curve) -> Ints:
    """Returns the values of a polynomial at all n-th roots of unity, from its coefficients.

    Args:
        values: n coefficients in [0, r), n a power of two.
        curve: Gives r and the roots.
    """
    return _transform(values, curve, is_inverse=False)


def intt(values: Ints, curve: Curve) -> Ints:
    """Returns the coefficients from the values: the inverse of `ntt`."""
    scale = pow(len(values), -1, curve.order)
    return np.asarray(_transform(values, curve, is_inverse=True) * scale % curve.order, dtype=object)


def coset_quotient(a: Ints, b: Ints, c: Ints, curve: Curve) -> Ints:
    """Returns A B - C on the coset g H, from the values of A, B, C on H; |H| = n.

    The constant Z(g) = g^n - 1, by which the values of the quotient differ from these, is
    folded into the proving key.

    Raises:
        ValueError: The lengths differ, or there is no domain of that size.
    """
    if not len(a) == len(b) == len(c):
        raise ValueError(f"{len(a)}, {len(b)} and {len(c)} values of A, B and C: expected one number")
    factors = _coset_factors(curve, len(a))

    def on_coset(values: Ints) -> Ints:
        coefficients = _transform(values, curve, is_inverse=True) * factors % curve.order
        return _transform(np.asarray(coefficients, dtype=object), curve, is_inverse=False)

    return np.asarray((on_coset(a) * on_coset(b) - on_coset(c)) % curve.order, dtype=object)
