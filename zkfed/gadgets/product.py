"""Matrix products with a public matrix, checked by a sketch that the verifier computes.

    V = G D + N,   G (m, n) and N (m, c) public; D (n, c) and V (m, c) committed wires

With independent challenges rho and tau drawn after V and D are committed, and
s = (1, rho, ..., rho^(m-1)), t = (1, tau, ..., tau^(c-1)):

    s V t = (s G) (D t) + s N t

The verifier computes u = s G (n scalars) and z = s N t (one scalar): G and N never enter
the circuit. If V is wrong, the two sides are different polynomials of degree below m in
rho and c in tau, equal with probability at most (m + c)/r. Cost:
(m + n)(c - 1) + (m - 1) + n rows, plus one isolated row for each public input.

rho and tau must be independent outputs of the hash: with tau = rho^m or the like errors on
a diagonal cancel (protocol-review M3).

Source: Freivalds 1977; the bilinear form in Thaler, "Proofs, Arguments, and
Zero-Knowledge", section 2.2 and 4.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zkfed.algebra.field import Ints, integer_product, powers
from zkfed.r1cs.builder import Builder
from zkfed.r1cs.linear import Linear

__all__ = ["Sketch", "horner", "public_product", "sketch"]


@dataclass(frozen=True, slots=True)
class Sketch:
    """What the verifier computes of (G, N): u = s G and z = s N t."""

    left: Ints
    offset: int


def sketch(matrix: Ints, offset: Ints, rho: int, tau: int, order: int) -> Sketch:
    """Returns u = s G and z = s N t modulo `order`.

    Args:
        matrix: G, integers, shape (m, n).
        offset: N, integers, shape (m, c).
        rho: Challenge of the rows.
        tau: Challenge of the columns.
        order: r.
    """
    s, t = powers(rho, matrix.shape[0], order), powers(tau, offset.shape[1], order)
    left = np.asarray(integer_product(s.reshape(1, -1), matrix)[0] % order, dtype=object)
    return Sketch(left, int(s @ (offset @ t % order) % order))


def horner(builder: Builder, name: str, coefficients: Linear, point: Linear) -> Linear:
    """Returns sum_k point^k coefficients[..., k]: one row for each k >= 1 and entry."""
    count = coefficients.shape[-1]
    total = coefficients[..., count - 1]
    for k in range(count - 2, -1, -1):
        # The challenge stands in B: B is the only side that costs a G2 multiplication.
        total = coefficients[..., k] + builder.product(f"{name}/{k}", total, point)
    return total


def public_product(
    builder: Builder, name: str, product: Linear, factor: Linear, *, challenges: tuple[Linear, Linear]
) -> None:
    """Enforces V = G D + N for matrices that only the verifier's sketch knows.

    Declares the derived inputs "{name}/left" (u) and "{name}/offset" (z).

    Args:
        builder: At the stage of the challenges.
        name: Of the constraints.
        product: V, shape (m, c), committed before.
        factor: D, shape (n, c), committed before.
        challenges: (rho, tau).
    """
    rho, tau = challenges
    v, d = builder.operand(product), builder.operand(factor)
    left = builder.input(f"{name}/left", (d.shape[0],))
    offset = builder.input(f"{name}/offset")
    rows_v = horner(builder, f"{name}/columns-of-product", v, tau)
    rows_d = horner(builder, f"{name}/columns-of-factor", d, tau)
    total = horner(builder, f"{name}/rows-of-product", rows_v, rho) - offset
    count = d.shape[0]
    if count > 1:
        total = total - builder.product(f"{name}/left-times-factor", rows_d[:-1], left.reshape(count)[:-1]).sum()
    builder.settle(product.wires.tobytes())
    builder.enforce(f"{name}/equal", rows_d[count - 1], left.reshape(count)[count - 1], total)
