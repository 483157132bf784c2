"""Row commitments: each opens to its row, their weighted sum to the weighted sum of the rows.

Shows also that the encoding has one form, that equal commitments are refused, that fresh blinders
hide equal rows, and that nothing prints what is secret.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from zkfed.algebra.backend import Points, use
from zkfed.algebra.curve import BLS12_381, BN254
from zkfed.algebra.field import as_ints, to_limbs
from zkfed.commitments.pedersen import generators
from zkfed.commitments.rows import PrivateRows, decode_rows, row_weights, sketch
from zkfed.errors import DecodeError

B = use(BLS12_381)
R = BLS12_381.order
FEATURES = np.array([[-127, 0, 127], [5, -6, 7], [5, -6, 7], [0, 0, 0]])
TARGETS = np.array([[1, 0], [0, 1], [0, 1], [1, 0]])
BLINDERS = (11, R - 1, 1 << 200, 13)


def rows(**changes: Any) -> PrivateRows:
    return PrivateRows(**{"features": FEATURES, "targets": TARGETS, "blinders": BLINDERS, **changes})


def single(points: Points, at: int) -> Points:
    return B.take(points, np.array([at]))


@pytest.mark.parametrize("curve", [BLS12_381, BN254])
def test_each_commitment_opens_to_its_row(curve: Any) -> None:
    backend = use(curve)
    secret = rows(blinders=(11, 0, 1 << 200, 13))
    g, points = generators(backend, "row", 5, 1), secret.commit(backend)
    for i, row in enumerate(secret.table):
        assert backend.is_equal(g.commit(row, secret.blinders[i]), backend.take(points, np.array([i]))).all()


def test_a_sketch_commits_to_the_weighted_sum_of_the_rows() -> None:
    secret = rows()
    weights = row_weights(1 << 130, 4, R)
    assert weights.tolist() == [pow(1 << 130, i + 1, R) for i in range(4)]
    left = sketch(B, secret.commit(B), weights)
    g = generators(B, "row", 5, 1)
    values = weights @ as_ints(secret.table) % R
    scalars = to_limbs([*values.tolist(), secret.blinder(weights, R)])
    assert B.is_equal(left, B.msm(B.concat("G1", [g.lanes, g.blinder]), scalars)).all()


def test_a_sketch_of_drawn_rows_is_that_of_their_commitments() -> None:
    drawn = (3, 1)
    secret = rows()
    assert B.encode(secret.take(drawn).commit(B)) == B.encode(B.take(secret.commit(B), np.array(drawn)))


def test_the_encoding_has_one_form() -> None:
    points = rows().commit(B)
    data = B.encode(points)
    assert B.encode(decode_rows(B, data, 4)) == data
    size = len(data) // 4
    identity = bytes([0xC0]) + bytes(size - 1)
    for bad in (b"", data[:-1], data + data[:size], bytes(size) + data[size:], identity + data[size:]):
        with pytest.raises(DecodeError):
            decode_rows(B, bad, 4)


def test_two_equal_commitments_are_refused() -> None:
    points = rows().commit(B)
    data = B.encode(B.concat("G1", [B.take(points, np.arange(3)), single(points, 1)]))
    with pytest.raises(DecodeError, match="two of 4 row commitments are equal"):
        decode_rows(B, data, 4)


def test_fresh_blinders_hide_equal_rows() -> None:
    first, second = (PrivateRows.blind(FEATURES, TARGETS, R) for _ in range(2))
    assert len({*first.blinders, *second.blinders}) == 8
    assert all(0 <= r < R for r in first.blinders)
    points = first.commit(B)
    assert not B.is_equal(single(points, 1), single(points, 2)).any()


@pytest.mark.parametrize(
    "changes",
    [
        {"features": FEATURES.astype(float)},
        {"features": FEATURES.astype(np.int8)},
        {"features": FEATURES[:3]},
        {"targets": TARGETS[:, 0]},
        {"blinders": (1, 2)},
        {"features": np.where(FEATURES == 127, 128, FEATURES)},
        {"features": np.where(FEATURES == -127, -129, FEATURES)},
        {"features": np.where(FEATURES == 127, -(2**63), FEATURES)},
        {"targets": TARGETS * 128},
    ],
    ids=["floats", "int8", "a row short", "flat targets", "two blinders", "128", "-129", "-2^63", "target 128"],
)
def test_rows_of_another_form_are_misuse(changes: Any) -> None:
    with pytest.raises(ValueError, match="row"):
        rows(**changes)


def test_nothing_is_printed() -> None:
    assert repr(rows()) == "PrivateRows(4 rows, values hidden)"
