"""One layer of a model: Z = A W for n rows, checked by a sketch of the rows, and the norm of the update.

    Z = A (V + D),   A (n, m),  V (m, c) public,  D (m, c) the committed update

With challenges rho and tau drawn after A, D and Z are committed, and

    s_i = rho^(i+1),   t_k = tau^k,   u = s A      (m scalars)

the circuit checks s Z t = <u, V t> + <u, D t>. The verifier computes V t; where A is public it
computes u and <u, V t> too. For u D, each coordinate is needed against a coefficient that is a
wire, and so is its square for the norm. One row a coordinate gives both:

    sum_j (D_jk + u_j)^2 = |D_k|^2 + 2 (u D)_k + |u|^2

with the column norms |D_k|^2 committed before rho. No power of rho in u or s has the exponent 0:
the terms without rho say that each committed norm is right, the others that Z is. Both sides
are polynomials of degree at most n in rho and below c in tau, so a wrong Z or norm passes with
probability at most (n + c)/r. Cost: m c rows for D, n c for Z, 2 m for private A.

Source: Freivalds 1977; bilinear form as in gadgets/product.py. The shared squares are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zkfed.algebra.field import Ints
from zkfed.gadgets.product import horner
from zkfed.r1cs.builder import Builder, Hint, Values
from zkfed.r1cs.linear import Linear, concatenate, stack

__all__ = [
    "Challenges",
    "Product",
    "Sketch",
    "Update",
    "declare_product",
    "declare_update",
    "inner_product",
    "prove_product",
    "settle_norms",
    "sketch_columns",
    "update_product",
]


@dataclass(frozen=True)
class Challenges:
    """rho of the rows, tau of the columns: independent outputs of the hash."""

    rho: Linear
    tau: Linear


@dataclass(frozen=True)
class Sketch:
    """The sketch u = s A of a left matrix.

    Attributes:
        left: u, shape (m,).
        square: |u|^2; None where no update is multiplied by it.
    """

    left: Linear
    square: Linear | None = None


@dataclass(frozen=True)
class Update:
    """D of one layer with its committed column norms, unproven until `prove_product`.

    Attributes:
        wires: D, shape (m, c).
        norms: |D_k|^2, shape (c,).
        norm_max: The largest column norm that the range of D allows.
    """

    wires: Linear
    norms: Linear
    norm_max: int


@dataclass(frozen=True)
class Product:
    """Committed wires that claim to be Z, unproven until `prove_product`.

    Attributes:
        wires: Z, shape (n, c).
        maximum: The largest |Z_ik| that the ranges of A and W allow.
    """

    wires: Linear
    maximum: int


def declare_update(builder: Builder, name: str, wires: Linear, *, half: int, segment: str) -> Update:
    """Commits the column norms of D at stage 0.

    Args:
        builder: At stage 0.
        name: Of the layer.
        wires: D, shape (m, c), committed, in [-half, half).
        half: Of the range of D.
        segment: Of stage 0.
    """
    norm_max = wires.shape[0] * half * half

    def hint(values: Values) -> Ints:
        d = values(wires)
        return np.asarray((d * d).sum(axis=0), dtype=object)

    norms = builder.witness(f"{name}/norms", (wires.shape[1],), hint, segment=segment, bounds=(0, norm_max))
    builder.owe(norms.wires.tobytes(), f"{name}/norms (prove_product)")
    return Update(wires, norms, norm_max)


def declare_product(builder: Builder, name: str, shape: tuple[int, int], hint: Hint, *, maximum: int) -> Product:
    """Commits Z at stage 0, in the segment "stage-0"; `hint` computes it."""
    wires = builder.witness(name, shape, hint, segment="stage-0", bounds=(-maximum, maximum))
    builder.owe(wires.wires.tobytes(), f"{name} (prove_product)")
    # Only once `prove_product` is called; but gadgets of this stage rely on Z being integers.
    builder.justify(wires.reshape(wires.size), (-maximum, maximum))
    return Product(wires, maximum)


def sketch_columns(builder: Builder, name: str, matrix: Linear, bias: Linear, rho: Linear) -> Linear:
    """Returns u = s A for committed wires A (n, m - 1) and a constant last column.

    Args:
        builder: At the stage of the challenges.
        name: Of the constraints.
        matrix: The columns but the last, committed before.
        bias: The last entry of u, a derived input.
        rho: The challenge of the rows.
    """
    columns = horner(builder, f"{name}/rows", builder.operand(matrix).transpose(), rho)
    shifted = builder.product(f"{name}/shift", columns, rho)
    return concatenate([shifted, bias.reshape(1)])


def inner_product(builder: Builder, name: str, left: Linear, right: Linear) -> Linear:
    """Returns <left, right>, a scalar. Cost: one row an entry."""
    return builder.product(name, left, right).sum()


def update_product(builder: Builder, name: str, update: Update, sketch: Sketch, tau: Linear) -> Linear:
    """Returns <u, D t> + <e, t> for the errors e of the committed column norms; see the module.

    Raises:
        ValueError: The sketch has no square.
    """
    if sketch.square is None:
        raise ValueError(f"{name}: the square of the sketch is missing")
    operand = builder.operand(update.wires) + sketch.left.reshape(-1, 1)
    squares = builder.product(f"{name}/squares", operand, operand)
    # Entries of one column one after another, so that a column is one slice.
    by_column = squares.transpose()
    sums = stack([by_column[k].sum() for k in range(update.wires.shape[1])])
    twice = sums - builder.operand(update.norms) - sketch.square
    return horner(builder, f"{name}/columns", twice, tau) * pow(2, -1, builder.curve.order)


def prove_product(builder: Builder, name: str, product: Product, right: Linear, challenges: Challenges) -> None:
    """Enforces s Z t = right, where `right` is <u, V t> and, for the updated model, `update_product`.

    Args:
        builder: At the stage of the challenges.
        name: Of the constraints.
        product: Z, committed before.
        right: A scalar, less what is folded into Z.
        challenges: rho and tau.
    """
    columns = horner(builder, f"{name}/columns", builder.operand(product.wires), challenges.tau)
    total = horner(builder, f"{name}/rows", columns, challenges.rho)
    builder.enforce(f"{name}/equal", total, challenges.rho, right)
    builder.settle(product.wires.wires.tobytes())


def settle_norms(builder: Builder, update: Update) -> None:
    """Records that `prove_product` with `update_product` has proven the column norms."""
    builder.justify(update.norms, (0, update.norm_max))
    builder.settle(update.norms.wires.tobytes())
