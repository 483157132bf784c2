"""Tensors of linear combinations of wires.

A `Linear` of shape s holds, for each of its entries, sum_i c_i * w_i over wires w_i with
integer coefficients c_i; the constant is a multiple of wire 0, which is always 1. It is
stored as one sparse matrix in compressed rows (indptr, wires, coefficients): no Python
object per wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.algebra.field import Ints, as_ints

__all__ = ["ONE", "Linear", "concatenate", "constant", "row_sums", "stack"]

ONE = 0
"""The wire that is always 1."""

IntVector = npt.NDArray[np.int64]


def row_sums(terms: Ints, indptr: IntVector) -> Ints:
    """Returns the sum of each compressed row of `terms`; an empty row is 0."""
    count = len(indptr) - 1
    lengths = np.diff(indptr)
    if count and len(terms) == count and bool((lengths == 1).all()):
        return terms
    out = np.zeros(count, dtype=object)
    filled = lengths > 0
    if filled.any():
        out[filled] = np.add.reduceat(terms, indptr[:-1][filled])
    return out


def _gather(indptr: IntVector, rows: IntVector) -> tuple[IntVector, IntVector]:
    """Returns the new indptr and the positions of the entries of `rows`, in order."""
    lengths = np.diff(indptr)[rows]
    new = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    positions = np.arange(new[-1]) - np.repeat(new[:-1], lengths) + np.repeat(indptr[:-1][rows], lengths)
    return new, positions


class Linear:
    """A tensor of linear combinations; see the module. Immutable."""

    __slots__ = ("coefficients", "indptr", "shape", "wires")
    __array_ufunc__ = None  # so that numpy_array * linear comes to __rmul__

    def __init__(self, shape: tuple[int, ...], indptr: IntVector, wires: IntVector, coefficients: Ints) -> None:
        self.shape, self.indptr, self.wires, self.coefficients = shape, indptr, wires, coefficients

    @classmethod
    def of_wires(cls, wires: IntVector) -> Linear:
        """Returns the tensor whose entries are single wires; `wires` gives the shape."""
        flat = wires.ravel().astype(np.int64)
        ones = np.empty(len(flat), dtype=object)
        ones[:] = 1
        return cls(wires.shape, np.arange(len(flat) + 1, dtype=np.int64), flat, ones)

    def __repr__(self) -> str:
        return f"Linear(shape={self.shape}, terms={len(self.wires)})"

    @property
    def size(self) -> int:
        return len(self.indptr) - 1

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Linear:
        index = np.arange(self.size).reshape(self.shape)[key]
        return self._rows(np.asarray(index))

    def _rows(self, index: npt.NDArray[Any]) -> Linear:
        indptr, positions = _gather(self.indptr, index.ravel())
        return Linear(index.shape, indptr, self.wires[positions], self.coefficients[positions])

    def reshape(self, *shape: int) -> Linear:
        return self._rows(np.arange(self.size).reshape(shape))

    def transpose(self) -> Linear:
        return self._rows(np.arange(self.size).reshape(self.shape).T)

    def broadcast_to(self, shape: tuple[int, ...]) -> Linear:
        if shape == self.shape:
            return self
        return self._rows(np.broadcast_to(np.arange(self.size).reshape(self.shape), shape))

    def sum(self) -> Linear:
        """Returns the scalar sum over all entries."""
        return Linear((), np.array([0, len(self.wires)], np.int64), self.wires, self.coefficients)

    def sum_rows(self) -> Linear:
        """Returns the sums over the last axis."""
        return Linear(self.shape[:-1], self.indptr[:: self.shape[-1]], self.wires, self.coefficients)

    def __add__(self, other: Any) -> Linear:
        other = constant(other) if not isinstance(other, Linear) else other
        shape = np.broadcast_shapes(self.shape, other.shape)
        left, right = self.broadcast_to(shape), other.broadcast_to(shape)
        row_of = np.concatenate(
            [np.repeat(np.arange(x.size), np.diff(x.indptr)) for x in (left, right)],
        )
        order = np.argsort(row_of, kind="stable")
        wires = np.concatenate([left.wires, right.wires])[order]
        coefficients = np.concatenate([left.coefficients, right.coefficients])[order]
        return Linear(shape, left.indptr + right.indptr, wires, coefficients)

    def __mul__(self, factor: Any) -> Linear:
        """Multiplies by constants: an integer or an array that broadcasts."""
        if isinstance(factor, Linear):
            raise TypeError("wires are multiplied by Builder.product, not by *")
        values = as_ints(_objects(factor))
        shape = np.broadcast_shapes(self.shape, values.shape)
        left = self.broadcast_to(shape)
        repeated = np.repeat(np.broadcast_to(values, shape).ravel(), np.diff(left.indptr))
        return Linear(shape, left.indptr, left.wires, left.coefficients * repeated)

    def __neg__(self) -> Linear:
        return Linear(self.shape, self.indptr, self.wires, -self.coefficients)

    def __sub__(self, other: Any) -> Linear:
        return self + (-other if isinstance(other, Linear) else constant(-_objects(other)))

    def __rsub__(self, other: Any) -> Linear:
        return (-self).__add__(other)

    __radd__ = __add__
    __rmul__ = __mul__

    def __rmatmul__(self, matrix: npt.NDArray[Any]) -> Linear:
        """Returns matrix @ self for a constant matrix (m, n) and self of shape (n, c)."""
        values = as_ints(np.asarray(matrix, dtype=object))
        rows, inner = values.shape
        if len(self.shape) != 2 or self.shape[0] != inner:
            raise ValueError(f"a constant {values.shape} times wires {self.shape} does not fit")
        columns = self.shape[1]
        index = np.arange(self.size).reshape(self.shape).T[None].repeat(rows, axis=0).reshape(rows * columns, inner)
        terms = self._rows(index) * values.repeat(columns, axis=0)
        return Linear((rows, columns), terms.indptr[::inner], terms.wires, terms.coefficients)


def _objects(values: Any) -> Ints:
    # A numpy scalar would stay what it is, and coefficients would wrap at 64 bits.
    return np.asarray(values.item() if isinstance(values, np.generic) else values, dtype=object)


def constant(values: Any) -> Linear:
    """Returns constants as multiples of the wire that is 1."""
    array = as_ints(_objects(values))
    count = array.size
    return Linear(array.shape, np.arange(count + 1, dtype=np.int64), np.full(count, ONE, np.int64), array.reshape(-1))


def concatenate(parts: Sequence[Linear]) -> Linear:
    """Returns the entries of all parts, flattened, one after another."""
    offsets = np.cumsum([0] + [len(p.wires) for p in parts])
    indptr = np.concatenate(
        [np.zeros(1, np.int64)] + [p.indptr[1:] + o for p, o in zip(parts, offsets[:-1], strict=True)]
    )
    wires = np.concatenate([p.wires for p in parts]) if parts else np.zeros(0, np.int64)
    coefficients = np.concatenate([p.coefficients for p in parts]) if parts else np.zeros(0, dtype=object)
    return Linear((len(indptr) - 1,), indptr, wires, coefficients)


def stack(parts: Sequence[Linear]) -> Linear:
    """Returns parts of equal shape along a new first axis."""
    return concatenate(parts).reshape(len(parts), *parts[0].shape)
