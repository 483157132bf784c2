"""Shows that a witness is locally the only one: the constraints' Jacobian has full column rank.

What this shows: at the witnesses tried, no private wire can be moved, and no committed wire can
be moved in a way that is right for all later challenges, not even to first order; only the listed
operands of gadgets can. What it does not show: that no other witness lies far away. That is what
the deleted constraints and the exhaustive tests speak about.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.evidence.deletions import holds_for_all_values
from tests.evidence.forger import Forger
from tests.evidence.rank import kernel
from tests.evidence.reviewed import OPERANDS
from tests.evidence.subjects import SUBJECTS, marked
from tests.witness_runner import Run
from zkfed.errors import ZkfedError

EVERY = pytest.mark.parametrize("name", marked(SUBJECTS))


def _drawn_anew(values: dict[str, Any], rand: random.Random) -> dict[str, Any]:
    """Draws some of the arrays of integers anew, and leaves everything else as it is."""
    out = dict(values)
    for name, value in values.items():
        array = np.asarray(value)
        flat = array.ravel().tolist()
        if all(type(v) is int for v in flat) and rand.random() < 0.5:
            new = [rand.randint(min(flat), max(flat)) for _ in flat]
            out[name] = np.array(new, dtype=array.dtype).reshape(array.shape)
    return out


def witnesses(name: str) -> Iterator[Run]:
    """Yields the honest run, and up to two with numbers drawn between its least and its greatest."""
    work, rand, found = SUBJECTS[name].run(), random.Random(name), 0
    yield work
    for _ in range(40):
        if found < 2:
            static, private = _drawn_anew(work.static, rand), _drawn_anew(work.private, rand)
            before, after = {**work.static, **work.private}, {**static, **private}
            if all(before[k] is after[k] for k in before):
                continue
            other = replace(work, static=static, private=private, challenges={})
            try:
                other.check()
            except ZkfedError:
                continue
            found += 1
            yield other


@EVERY
def test_no_wire_but_an_operand_can_be_moved(name: str) -> None:
    expected, _reason = OPERANDS.get(name, (0, ""))
    for work in witnesses(name):
        open_wires = kernel(Forger(SUBJECTS[name], work))
        assert open_wires.private == set()
        assert sum(len(wires) for wires in open_wires.committed.values()) == expected


def test_gadgets_listed_with_operands_are_subjects() -> None:
    assert set(OPERANDS) <= set(SUBJECTS)


@pytest.mark.parametrize("name", ["bits", "horner", "public-product", "squared-norm"])
def test_any_row_less_leaves_more_open(name: str) -> None:
    forger = Forger(SUBJECTS[name])
    whole = len(kernel(forger).wires)
    rows = [row for row in range(len(forger.rows)) if not holds_for_all_values(forger, row)]
    assert all(len(kernel(forger, without=row).wires) > whole for row in rows)
