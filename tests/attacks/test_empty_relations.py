"""Attack: a statement of a host's own whose relation is written down and proves nothing.

A slice beyond the end of a tensor is empty, as everywhere in numpy, and a single value stretches to
the shape of an empty one: a relation of no entries holds for every secret. And `define` runs twice:
what it says the first time only would be in no circuit. All are refused while the statement is defined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from zkfed.statements.definition import Definition
from zkfed.statements.statement import Statement

RELATIONS: dict[str, Callable[[Definition, Any], Any]] = {
    "a slice beyond the end": lambda c, x: c.at_most("r", x[3:], 5),
    "a slice of nothing": lambda c, x: c.equal("r", x[:0], 5),
    "no bound": lambda c, x: c.at_most("r", x[:1], []),
    "equal to nothing": lambda c, x: c.equal("r", x[0], np.zeros(0, dtype=int)),
    "a product with nothing": lambda c, x: c.product("r", [], x[:1]),
    "one of": lambda c, x: c.one_of("r", x[3:], [1]),
    "lookup": lambda c, x: c.lookup("r", x[3:], {1: 1}),
    "shift": lambda c, x: c.shift_right("r", x[3:], 1),
    "one hot": lambda c, x: c.one_hot("r", x[3:]),
}


class Written(Statement):
    """One relation of three secrets in [0, 100]."""

    name = "written"

    def __init__(self, relation: Callable[[Definition, Any], Any]) -> None:
        self.relation = relation

    def define(self, c: Definition) -> None:
        self.relation(c, c.secret("x", (3,), 0, 100))


def test_control_a_relation_of_something_is_a_circuit() -> None:
    assert Written(lambda c, x: c.at_most("r", x[2:], [5])).circuit()[1].relations == ["r"]


@pytest.mark.parametrize("relation", RELATIONS.values(), ids=RELATIONS)
def test_a_relation_of_nothing_is_refused(relation: Callable[[Definition, Any], Any]) -> None:
    with pytest.raises(ValueError, match="r: an empty tensor"):
        Written(relation).circuit()


def test_a_relation_that_is_said_once_only_is_refused() -> None:
    runs: list[None] = []

    def relation(c: Definition, x: Any) -> None:
        runs.append(None)
        if len(runs) == 1:
            c.at_most("r", x, 5)

    with pytest.raises(ValueError, match="a relation could be missing"):
        Written(relation).circuit()
