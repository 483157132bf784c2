"""Pedersen commitments with seven coordinates to a lane scalar.

Shows that they add up like their openings, that only integers in range open them, that the link's
columns are those of the commitment, and that generators of different uses have nothing in common.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zkfed.algebra.backend import Backend, Points, use
from zkfed.algebra.curve import BLS12_381, BN254
from zkfed.algebra.field import to_limbs
from zkfed.algebra.reference import ReferenceBackend
from zkfed.commitments.pedersen import COORDINATE_MAX, generators
from zkfed.errors import CommitmentMismatch

B = use(BLS12_381)
R = BLS12_381.order
COORDINATES = st.integers(-COORDINATE_MAX, COORDINATE_MAX - 1)
VECTORS = st.lists(COORDINATES, min_size=9, max_size=9)
BLINDERS = st.integers(0, R - 1)


def equal(left: Points, right: Points) -> bool:
    return bool(B.is_equal(left, right)[0])


@settings(max_examples=25)
@given(VECTORS, BLINDERS)
def test_a_commitment_opens_to_what_was_committed(values: list[int], blinder: int) -> None:
    g = generators(B, "test", 9)
    g.open(g.commit(values, blinder), values, blinder)


@settings(max_examples=25)
@given(VECTORS, BLINDERS, st.integers(0, 8), st.sampled_from([1, -1]), st.sampled_from([0, 1]))
def test_nothing_else_opens_it(values: list[int], blinder: int, at: int, step: int, which: int) -> None:
    g = generators(B, "test", 9)
    point = g.commit(values, blinder)
    other, rho = [*values], blinder
    if which:
        other[at] += step
    else:
        rho = (blinder + step) % R
    with pytest.raises(CommitmentMismatch):
        g.open(point, other, rho)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.lists(st.integers(-(2**28), 2**28 - 1), min_size=9, max_size=9), BLINDERS), max_size=7))
def test_commitments_add_up_like_their_openings(openings: list[tuple[list[int], int]]) -> None:
    g = generators(B, "test", 9)
    total = g.commit([0] * 9, 0)
    for values, blinder in openings:
        total = B.add(total, g.commit(values, blinder))
    sums = [sum(v[i] for v, _ in openings) for i in range(9)]
    g.open(total, sums, sum(b for _, b in openings) % R)


def test_the_formula_is_the_one_of_the_documentation() -> None:
    g = generators(B, "test", 9)
    values, blinder = [1, -2, 3, -4, 5, -6, 7, 8, -9], 77
    lanes = [sum(values[7 * j + lane] << (32 * lane) for lane in range(7) if 7 * j + lane < 9) for j in range(2)]
    expected = B.msm(B.concat("G1", [g.lanes, g.blinder]), to_limbs([v % R for v in [*lanes, blinder]]))
    assert equal(g.commit(values, blinder), expected)


@pytest.mark.parametrize("count", [1, 6, 7, 8, 14, 15])
def test_the_columns_of_the_link_are_those_of_the_commitment(count: int) -> None:
    g = generators(B, "test", count)
    assert len(g.lanes) == -(-count // 7)
    columns = B.concat("G1", [g.coordinates(), g.blinder])
    values = [(-1) ** i * (100 + i) for i in range(count)]
    assert equal(B.msm(columns, to_limbs([v % R for v in [*values, 5]])), g.commit(values, 5))


@pytest.mark.parametrize("value", [COORDINATE_MAX, -COORDINATE_MAX - 1, R, R + 1, 1 << 300])
def test_a_coordinate_out_of_range_is_no_opening(value: int) -> None:
    g = generators(B, "test", 9)
    for at in (0, 6, 8):
        values = [0] * 9
        values[at] = value
        with pytest.raises(ValueError, match="outside its range"):
            g.commit(values, 1)
        with pytest.raises(CommitmentMismatch, match="no canonical opening"):
            g.open(g.blinder, values, 1)


def test_a_carry_between_lanes_is_the_same_point_and_no_opening() -> None:
    """(v_0 + 2^32, v_1 - 1) packs to the same scalar: the range is what makes openings unique (review C5)."""
    g = generators(B, "test", 9)
    values = [5, 6, 7, 0, 0, 0, 0, 0, 0]
    point = g.commit(values, 3)
    carried = [5 + (1 << 32), 5, 7, 0, 0, 0, 0, 0, 0]
    assert sum(v << (32 * i) for i, v in enumerate(carried)) == sum(v << (32 * i) for i, v in enumerate(values))
    with pytest.raises(CommitmentMismatch, match="outside its range"):
        g.open(point, carried, 3)


@pytest.mark.parametrize("blinder", [-1, R, R + 3, 1 << 300])
def test_a_blinder_that_is_not_canonical_is_no_opening(blinder: int) -> None:
    g = generators(B, "test", 9)
    point = g.commit([1] * 9, blinder % R)
    with pytest.raises(CommitmentMismatch):
        g.open(point, [1] * 9, blinder)


@pytest.mark.parametrize("bad", [1.0, 1.5, True, "1", None, np.float64(2), np.int64(2), float("nan")])
def test_only_integers_are_committed(bad: Any) -> None:
    g = generators(B, "test", 9)
    with pytest.raises(ValueError):
        g.commit([bad, *[0] * 8], 1)
    with pytest.raises(ValueError):
        g.commit([0] * 9, bad)
    with pytest.raises(CommitmentMismatch):
        g.open(g.blinder, [bad, *[0] * 8], 1)


def test_arrays_of_machine_integers_are_integers() -> None:
    g = generators(B, "test", 9)
    assert equal(g.commit(np.arange(9), 1), g.commit(list(range(9)), 1))


@pytest.mark.parametrize("values", [[], [1] * 8, [1] * 10, [[1] * 9], np.zeros((3, 3), dtype=np.int64)])
def test_a_wrong_number_of_coordinates_is_refused(values: Any) -> None:
    g = generators(B, "test", 9)
    with pytest.raises(ValueError, match="the generators are for 9"):
        g.commit(values, 1)
    with pytest.raises(CommitmentMismatch):
        g.open(g.blinder, values, 1)


def test_errors_show_no_value() -> None:
    g = generators(B, "test", 9)
    secret = [31337, *[0] * 8]
    with pytest.raises(CommitmentMismatch) as caught:
        g.open(g.commit(secret, 271828), [31338, *[0] * 8], 314159)
    for text in (str(caught.value), repr(g)):
        assert not any(number in text for number in ("31337", "31338", "271828", "314159"))


def test_equal_vectors_with_other_blinders_are_other_points() -> None:
    g = generators(B, "test", 9)
    points = {B.encode(g.commit([1] * 9, rho)) for rho in range(10)}
    assert len(points) == 10


def test_generators_of_all_uses_differ_and_have_one_prefix() -> None:
    """A longer vector has the generators of a shorter one, and more; H never is a lane's generator."""
    long, short = generators(B, "update", 30), generators(B, "update", 8)
    assert B.encode(long.lanes)[: len(B.encode(short.lanes))] == B.encode(short.lanes)
    assert equal(long.blinder, short.blinder)
    every = []
    for use_name in ("update", "row", "label", "update2"):
        g = generators(B, use_name, 30)
        encoded = B.encode(B.concat("G1", [g.lanes, g.blinder]))
        every += [encoded[i : i + 48] for i in range(0, len(encoded), 48)]
    assert len(set(every)) == len(every) == 4 * (5 + 1)


def test_a_use_whose_lane_would_be_anothers_blinder_is_refused() -> None:
    """The domain of H is that of the use H-update: its lane 0 would be the H of "update"."""
    domain = b"zkfed/v1/generator/H-update"
    assert equal(B.hash_to_g1([bytes(8)], domain), generators(B, "update", 9).blinder)
    with pytest.raises(ValueError, match="H-"):
        generators(B, "H-update", 9)


@pytest.mark.parametrize("backend", [ReferenceBackend(BLS12_381), ReferenceBackend(BN254)], ids=["bls12-381", "bn254"])
def test_the_reference_backend_commits_too(backend: Backend) -> None:
    g = generators(backend, "test", 9)
    values = [1, -2, 3, 4, 5, 6, -7, 8, 9]
    point = g.commit(values, 123)
    g.open(point, values, 123)
    if backend.curve == BLS12_381:
        assert backend.encode(point) == B.encode(generators(B, "test", 9).commit(values, 123))
