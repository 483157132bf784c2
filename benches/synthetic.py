"""Plain circuits of any size, made as arrays: no Python object for each wire or row.

    dense   x_(i+1) = x_i^2: every wire is full-size
    mixed   blocks of 20 rows: 18 bits, one product of two 9-bit numbers made of them, one
            full-size step; nine rows of ten are bits, as in fixed-point circuits

Wires: 1 | the public result | private.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zkfed.algebra.curve import Curve
from zkfed.algebra.field import Limbs, to_limbs
from zkfed.groth16.proof import Instance
from zkfed.r1cs.system import Input, Label, SparseMatrix, System
from zkfed.r1cs.wires import FULL_SIZE

__all__ = ["KINDS", "Plain", "dense", "mixed"]

BITS = 9
BLOCK = 2 * BITS + 2
"""Rows of one block of `mixed`, and as many wires."""

Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Plain:
    """A circuit with a true instance and all its wires."""

    system: System
    instance: Instance
    assignment: Limbs


def _matrix(rows: Index, columns: Index, coefficients: Index, count: int) -> SparseMatrix:
    """Sorts entries by row and column; coefficients are small and non-negative."""
    order = np.lexsort((columns, rows))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=count))]).astype(np.int64)
    return SparseMatrix(indptr, columns[order], coefficients[order].astype(object))


def _plain(
    name: str, curve: Curve, matrices: list[SparseMatrix], magnitudes: npt.NDArray[np.uint8], z: list[int]
) -> Plain:
    rows, wires = len(matrices[0].indptr) - 1, len(z)
    system = System(
        name, 1, curve, (Input("result", (), 1, 0, False, None),), (), (), wires,
        matrices[0], matrices[1], matrices[2], (Label(name, (rows,), 0),), (), np.arange(wires), magnitudes,
    )  # fmt: skip
    return Plain(system, Instance(b"", {"result": z[1]}), to_limbs(z))


def dense(constraints: int, curve: Curve) -> Plain:
    """Returns a chain of `constraints` - 1 squarings and the row of the public result."""
    steps = constraints - 1
    value, chain = 3, [3]
    for _ in range(steps):
        value = value * value % curve.order
        chain.append(value)
    # x_i is wire 2 + i; the last one is public, wire 1.
    wire = np.concatenate([np.arange(2, 2 + steps), [1]])

    def side(columns: Index, last: int) -> SparseMatrix:
        # The last row is result * 1 = result: no public wire, 1 included, may be in no row.
        column, count = np.append(columns, last), constraints
        return _matrix(np.arange(count), column, np.ones(count, np.int64), count)

    a, b, c = side(wire[:-1], 1), side(wire[:-1], 0), side(wire[1:], 1)
    magnitudes = np.full(2 + steps, FULL_SIZE, np.uint8)
    magnitudes[0] = 1
    return _plain(f"dense-{constraints}", curve, [a, b, c], magnitudes, [1, chain[-1], *chain[:-1]])


def mixed(constraints: int, curve: Curve) -> Plain:
    """Returns as many blocks as fit, and the row of the public result."""
    blocks = (constraints - 1) // BLOCK
    rows, wires = blocks * BLOCK + 1, 2 + blocks * BLOCK
    bits = np.random.default_rng(1).integers(0, 2, (blocks, 2 * BITS))
    weights = 1 << np.arange(BITS)
    products = (bits[:, :BITS] @ weights) * (bits[:, BITS:] @ weights)
    value, steps = 3, [3]
    for product in products.tolist():
        value = (value * value + product) % curve.order
        steps.append(value)
    # Wires of block k: its bits, the product, the state before its step; the last state is public.
    base = 2 + BLOCK * np.arange(blocks)
    bit, product = base[:, None] + np.arange(2 * BITS), base + 2 * BITS
    before = base + 2 * BITS + 1
    after = np.concatenate([before[1:], [1]])
    row = BLOCK * np.arange(blocks)
    bit_row, product_row, step_row = row[:, None] + np.arange(2 * BITS), row + 2 * BITS, row + 2 * BITS + 1
    ones, weight = np.ones(blocks * 2 * BITS, np.int64), np.tile(weights, blocks)
    one = np.ones(blocks, np.int64)

    def operand(half: int) -> tuple[Index, Index, Index]:
        chosen = bit[:, half * BITS : (half + 1) * BITS].ravel()
        return np.repeat(product_row, BITS), chosen, weight

    def stacked(*parts: tuple[Index, Index, Index]) -> SparseMatrix:
        return _matrix(*(np.concatenate(column) for column in zip(*parts, strict=True)), rows)

    boolean, step = (bit_row.ravel(), bit.ravel(), ones), (step_row, before, one)

    def final(wire: int) -> tuple[Index, Index, Index]:
        # result * 1 = result: no public wire, 1 included, may be in no row.
        return np.array([rows - 1]), np.array([wire]), np.array([1])

    a = stacked(boolean, operand(0), step, final(1))
    b = stacked(boolean, operand(1), step, final(0))
    # b b = b;  p = x y;  after = before^2 + p, so C holds after - p.
    c = stacked(boolean, (product_row, product, one), (step_row, after, one), (step_row, product, -one), final(1))
    c.coefficients[c.coefficients == -1] = curve.order - 1
    magnitudes = np.full(wires, FULL_SIZE, np.uint8)
    magnitudes[0], magnitudes[bit.ravel()], magnitudes[product] = 1, 1, 2 * BITS
    z = np.empty(wires, dtype=object)
    z[0], z[1], z[bit], z[product], z[before] = 1, steps[-1], bits, products, steps[:-1]
    return _plain(f"mixed-{rows}", curve, [a, b, c], magnitudes, [int(v) for v in z])


KINDS = {"dense": dense, "mixed": mixed}
