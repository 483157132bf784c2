"""Shows that random programs of protocol operations give the same bytes on every backend.

`test_agreement` compares each operation alone, on fresh points. Here points come out of earlier
operations: identities, equal and opposite points, and vectors cut, joined, encoded and read again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.algebra.conftest import made, of_curve
from tests.algebra.test_group import scalar_classes
from zkfed.algebra.backend import Backend, Points
from zkfed.algebra.curve import BLS12_381, BN254, CURVES
from zkfed.algebra.field import to_limbs

OPERATIONS = ("add", "cancel", "concat", "msm", "negate", "read", "scale", "scale by one", "take")
LONGEST = 6  # the reference takes milliseconds for each point


@st.composite
def programs(draw: st.DrawFn, curve: str) -> tuple[list[int], list[tuple[str, int, int, list[int]]]]:
    """Returns the logarithms of the first vector, and steps: operation, two operands, scalars."""
    scalars = scalar_classes(CURVES[curve].order)
    first = draw(st.lists(scalars, min_size=1, max_size=3))
    place = st.integers(0, 7)
    step = st.tuples(st.sampled_from(OPERATIONS), place, place, st.lists(scalars, min_size=LONGEST, max_size=LONGEST))
    return first, draw(st.lists(step, min_size=1, max_size=5))


def step(backend: Backend, kind: str, left: Points, right: Points, scalars: list[int]) -> Points:
    own = to_limbs(scalars[: len(left)])
    if kind == "add":
        return backend.add(left, backend.take(right, np.arange(len(left)) % len(right)))
    if kind == "cancel":
        return backend.add(left, backend.negate(left))
    if kind == "concat":
        return backend.take(both := backend.concat(left.group, [left, right]), np.arange(min(len(both), LONGEST)))
    if kind == "msm":
        return backend.msm(left, own)
    if kind == "negate":
        return backend.negate(left)
    if kind == "read":
        kept = np.flatnonzero(~backend.is_identity(left))
        data = backend.encode(backend.take(left, kept))
        return backend.decode(left.group, data, len(kept)) if len(kept) else left
    if kind == "take":
        return backend.take(left, np.array([s % len(left) for s in scalars[:3]]))
    return backend.scale(left, own if kind == "scale" else own[:1])


def trace(backend: Backend, group: Any, first: list[int], steps: list[Any]) -> list[bytes]:
    """Runs a program, whose steps take any two vectors made before, and returns what came out."""
    vectors = [backend.generator(group, to_limbs(first))]
    out = []
    for kind, i, j, scalars in steps:
        left, right = vectors[i % len(vectors)], vectors[j % len(vectors)]
        vectors.append(step(backend, kind, left, right, scalars))
        equal = backend.is_equal(left, backend.take(right, np.arange(len(left)) % len(right)))
        out += [backend.encode(vectors[-1]), backend.is_identity(vectors[-1]).tobytes(), equal.tobytes()]
    return out


@pytest.mark.parametrize("curve", [BLS12_381.name, BN254.name])
@pytest.mark.parametrize("group", ["G1", "G2"])
@settings(max_examples=25)
@given(data=st.data())
def test_a_random_program_gives_the_same_bytes(curve: str, group: str, data: st.DataObject) -> None:
    first, steps = data.draw(programs(curve))
    every = [trace(made(name), group, first, steps) for name in of_curve(curve)]
    assert all(other == every[0] for other in every)
    assert len(every[0]) == 3 * len(steps)
