"""Exact linear algebra modulo r over sparse rows: {column: coefficient}."""

from __future__ import annotations

from collections.abc import Callable, Iterable

__all__ = ["Echelon", "solve"]

Row = dict[int, int]


class Echelon:
    """Rows in echelon form; columns for which `is_first` holds are eliminated before the others.

    Attributes:
        pivots: The row of each column that is eliminated first.
        rest: The other rows, by a column each; only columns that are not first stand in them.
    """

    def __init__(self, order: int, is_first: Callable[[int], bool] = lambda _column: True) -> None:
        self.order, self.is_first = order, is_first
        self.pivots: dict[int, Row] = {}
        self.rest: dict[int, Row] = {}

    def _minus(self, row: Row, factor: int, pivot: Row) -> None:
        for column, value in pivot.items():
            new = (row.get(column, 0) - factor * value) % self.order
            if new:
                row[column] = new
            else:
                row.pop(column, None)

    def reduce(self, row: Row) -> Row:
        """Returns the row without the pivots' columns."""
        row = {column: value % self.order for column, value in row.items() if value % self.order}
        pending = [*row]
        while pending:
            column = pending.pop()
            pivot = self.pivots.get(column) or self.rest.get(column)
            if pivot is not None and column in row:
                self._minus(row, row[column], pivot)
                pending = [*row]
        return row

    def add(self, row: Row) -> None:
        """Adds a row, unless it depends on the others."""
        row = self.reduce(row)
        if not row:
            return
        first = [column for column in row if self.is_first(column)]
        # The newest wire: a row defines it, most often, and few rows hold it.
        pivot = max(first or row)
        inverse = pow(row[pivot], -1, self.order)
        held = self.pivots if first else self.rest
        held[pivot] = {column: value * inverse % self.order for column, value in row.items()}

    def extend(self, rows: Iterable[Row]) -> None:
        for row in sorted(rows, key=len):
            self.add(row)


def solve(rows: list[Row], order: int) -> Row | None:
    """Solves sum_j row_j x_j = row_{-1} for each row: column -1 is the right side.

    Returns:
        One solution, with every open unknown 0, or None if there is none.
    """
    echelon = Echelon(order, lambda column: column >= 0)
    echelon.extend(rows)
    if echelon.rest:
        return None
    solution: Row = {}

    # A pivot's row holds only pivots that came later: go back from the last one.
    for pivot, row in reversed(echelon.pivots.items()):
        value = row.get(-1, 0) - sum(c * solution.get(j, 0) for j, c in row.items() if j not in (-1, pivot))
        solution[pivot] = value % order
    return solution
