"""Shows that the solver of the evidence solves what has a solution, and refuses what has none."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tests.evidence.elimination import Echelon, solve

P = 5
SYSTEMS = st.lists(st.lists(st.integers(0, P - 1), min_size=4, max_size=4), min_size=1, max_size=4)


@given(SYSTEMS)
def test_a_solution_is_found_exactly_if_there_is_one(system: list[list[int]]) -> None:
    found = solve([{-1: row[3], **dict(enumerate(row[:3]))} for row in system], P)

    def holds(x: tuple[int, ...]) -> bool:
        return all(sum(a * b for a, b in zip(row[:3], x, strict=True)) % P == row[3] for row in system)

    if found is None:
        assert not any(holds(x) for x in itertools.product(range(P), repeat=3))
    else:
        assert holds((found.get(0, 0), found.get(1, 0), found.get(2, 0)))


@given(SYSTEMS)
def test_the_rank_is_the_logarithm_of_the_image(system: list[list[int]]) -> None:
    echelon = Echelon(P)
    echelon.extend(dict(enumerate(row)) for row in system)
    image = {
        tuple(sum(a * b for a, b in zip(row, x, strict=True)) % P for row in system)
        for x in itertools.product(range(P), repeat=4)
    }
    assert len(image) == P ** len(echelon.pivots)
