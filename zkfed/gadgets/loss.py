"""Norm and squared loss of a linear model as quadratic forms in the update.

For data X (n, d), targets T (n, c), a base model W0 and W1 = W0 + D, over the integers:

    L(W1) = |X W1 - T|^2 = L(W0) + <D, G D + N>,   G = X^T X,   N = 2 X^T (X W0 - T)

Everything about the data is in G (d, d) and N (d, c), whatever n is. The norm <D, D> is a
second form of the same D, so both are checked by one inner product at a challenge gamma:

    <D, V> = change + gamma norm,   V = (G + gamma I) D + N

`change` and `norm` are committed before gamma, V after it and before the challenges that
check it against the public (G, N) (gadgets/product.py). Cost: one row a parameter and one
more, where the residuals would cost n c rows and their own matrix product, and the norm
another row a parameter.

Soundness: if V is right, both sides are polynomials of degree 1 in gamma, equal for more
than one gamma only if change = <D, G D + N> and norm = <D, D>. Error 1/r.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zkfed.algebra.field import Ints, as_ints, integer_product
from zkfed.r1cs.builder import Builder, Values
from zkfed.r1cs.linear import Linear

__all__ = ["QuadraticForms", "declare_forms", "squared_norm"]


def squared_norm(builder: Builder, name: str, update: Linear) -> Linear:
    """Returns sum_k D_k^2. Cost: one row an entry."""
    return builder.product(name, update, update).sum()


@dataclass(frozen=True)
class QuadraticForms:
    """The committed values <D, G D + N> and <D, D>, unproven until `prove`."""

    builder: Builder
    update: Linear
    change: Linear
    norm: Linear
    change_max: int
    norm_max: int

    def prove(self, gamma: Linear, segment: str) -> Linear:
        """Adds V and the inner product at gamma; returns V, still to be proven.

        Args:
            gamma: The challenge of the current stage.
            segment: Of the current stage; V must be committed before it is checked.

        Returns:
            V of the update's shape. The caller enforces V = (G + gamma I) D + N by
            `public_product` at a later challenge.
        """
        builder, update, order = self.builder, self.update, self.builder.curve.order
        for operand in (update, self.change, self.norm):
            builder.operand(operand)

        def hint(values: Values) -> Ints:
            d, g = values(update), int(values(gamma))
            exact = integer_product(values.private["gram"], values.private["update"].reshape(update.shape))
            return np.asarray((as_ints(exact + values.private["gradient"]) + g * d) % order, dtype=object)

        v = builder.witness("forms/gradient", update.shape, hint, segment=segment)
        builder.owe(v.wires.tobytes(), "forms/gradient (public_product at a later challenge)")
        products = builder.product("forms/products", v, update)
        builder.enforce("forms/sum", self.norm, gamma, products.sum() - self.change)
        # The identity fixes both values modulo r to integers within the bounds below.
        builder.justify(self.norm, (0, self.norm_max))
        builder.justify(self.change, (-self.change_max, self.change_max))
        return v


def declare_forms(builder: Builder, update: Linear, *, segment: str, norm_max: int, change_max: int) -> QuadraticForms:
    """Declares committed wires for the two forms.

    The hint reads the private inputs "update" (D), "gram" (G) and "gradient" (N) as integer arrays.

    Args:
        builder: At stage 0.
        update: D, shape (d, c).
        segment: Of stage 0.
        norm_max: The largest <D, D> that the range of D allows.
        change_max: The largest |<D, G D + N>| that the ranges of D, G and N allow.
    """

    def norm(values: Values) -> Ints:
        d = values(update)
        return np.asarray((d * d).sum(), dtype=object)

    def change(values: Values) -> Ints:
        exact = integer_product(values.private["gram"], values.private["update"].reshape(update.shape))
        return np.asarray((values(update) * as_ints(exact + values.private["gradient"])).sum(), dtype=object)

    return QuadraticForms(
        builder,
        update,
        builder.witness("forms/change", (), change, segment=segment, bounds=(-change_max, change_max)),
        builder.witness("forms/norm", (), norm, segment=segment, bounds=(0, norm_max)),
        change_max,
        norm_max,
    )
