"""Constraint systems over tiny fields, evaluated on all assignments at once with galois.

`ToySystem` is an oracle of its own: it reads the finished matrices and shares no code with
the witness program or with `System.check`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from zkfed.algebra.curve import Curve
from zkfed.r1cs.linear import Linear
from zkfed.r1cs.system import SparseMatrix, System

__all__ = ["ToySystem", "toy_curve"]

Table = npt.NDArray[np.int64]


@cache
def field(order: int) -> Any:
    import galois

    return galois.GF(order)


def toy_curve(order: int) -> Curve:
    """Returns a "curve" whose scalar field has `order` elements; only the field is used."""
    return Curve(f"toy-{order}", order, order, 1, 1, int(field(order).primitive_element), 0)


class ToySystem:
    """Assignments as columns: a table has one row a wire, in final order."""

    def __init__(self, system: System) -> None:
        self.system, self.order = system, system.curve.order
        self.field = field(self.order)
        self.sides = [self._dense(matrix) for matrix in (system.a, system.b, system.c)]

    def _dense(self, matrix: SparseMatrix) -> Any:
        out = np.zeros((self.system.constraint_count, self.system.wire_count), dtype=np.int64)
        out[matrix.rows_of_entries(), matrix.columns] = matrix.coefficients.astype(np.int64)
        return self.field(out)

    def wires(self, linear: Linear) -> Table:
        """Returns the final numbers of single wires."""
        return np.asarray(self.system.final_of[linear.wires], dtype=np.int64)

    def table(self, **values: Any) -> Table:
        """Returns the table of all combinations of values; names are wires as "w<number>"."""
        axes = [np.asarray(v, dtype=np.int64) for v in values.values()]
        grids = np.meshgrid(*axes, indexing="ij")
        out = np.zeros((self.system.wire_count, grids[0].size), dtype=np.int64)
        out[0] = 1
        for name, grid in zip(values, grids, strict=True):
            out[int(name[1:])] = grid.ravel() % self.order
        return out

    def solve(self, table: Table, known: set[int]) -> None:
        """Fills wires that one row determines, row by row, in place.

        A row with one unknown wire on side A or C gives it, if the rest is known; where a
        division by zero leaves it open it stays 0, and the row decides whether that holds.
        """
        known |= {0}
        for row in range(self.system.constraint_count):
            parts = [side[row] for side in self.sides]
            unknown = [set(np.flatnonzero(part).tolist()) - known for part in parts]
            if [len(u) for u in unknown] not in ([1, 0, 0], [0, 0, 1]):
                continue
            (wire,) = unknown[0] | unknown[2]
            table[wire] = 0
            a, b, c = (part @ self.field(table) for part in parts)
            side, target = (0, _divide(c, b)) if unknown[0] else (2, a * b)
            rest = a if side == 0 else c
            table[wire] = np.asarray((target - rest) / parts[side][wire])
            known.add(wire)

    def accepted(self, table: Table) -> npt.NDArray[np.bool_]:
        """Returns which columns satisfy every constraint."""
        z = self.field(table)
        a, b, c = (side @ z for side in self.sides)
        return np.asarray((np.asarray(a * b) == np.asarray(c)).all(axis=0))

    def looked_up(self, table: Table, limb_bits: int) -> npt.NDArray[np.bool_]:
        """Returns which columns satisfy every constraint that has no challenge, and look up table entries only.

        Reads the rows "table/lookups": B is scale alpha - y with y / scale looked up. That
        the LogUp identity forces what it is about is shown by a test of its own.
        """
        system, z = self.system, self.field(table)
        a, b, c = (side @ z for side in self.sides)
        holds = np.asarray(a * b) == np.asarray(c)
        alpha = next(i.start for i in system.inputs if i.name == "alpha")
        good = np.ones(table.shape[1], dtype=bool)
        for label in system.labels:
            rows = slice(label.start, label.start + label.size)
            if label.name == "table/lookups":
                entry = -b[rows] / self.sides[1][rows, alpha][:, None]
                good &= np.asarray(np.asarray(entry) < 1 << limb_bits).all(axis=0)
            elif not label.name.startswith("table/"):
                good &= holds[rows].all(axis=0)
        return good


def _divide(c: Any, b: Any) -> Any:
    safe = b.copy()
    safe[np.asarray(b) == 0] = 1
    out = c / safe
    out[np.asarray(b) == 0] = 0
    return out
