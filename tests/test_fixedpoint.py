"""Fixed point: an update never exceeds the bound that is proven and charged, in exact integers.

Also: the bound equals its definition (computed here with 120 decimal digits), rows and lanes
have the protocol's scales, and packing is undone exactly.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from zkfed import fixedpoint as fp

FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=64)
SMALL = st.floats(-2, 2)
CLIPS = st.floats(1e-3, 100.0)


def squared_norm(values: Any) -> int:
    return sum(int(v) ** 2 for v in np.asarray(values).ravel().tolist())


# -- updates -------------------------------------------------------------------------------------


@given(arrays(np.float64, st.integers(1, 40), elements=FLOATS | SMALL), CLIPS, st.integers(1, 15))
def test_update_stays_within_norm_and_range(delta: Any, clip: float, bits: int) -> None:
    integers = fp.quantise_update(delta, clip_norm=clip, fraction_bits=bits)
    assert integers.dtype == np.int64
    assert integers.shape == delta.shape
    assert squared_norm(integers) <= fp.norm_bound(clip, len(delta), bits)
    assert max(abs(int(v)) for v in integers) < 1 << 15


@given(arrays(np.float64, (3, 4), elements=st.floats(-0.01, 0.01)))
def test_small_update_is_rounded_and_nothing_else(delta: Any) -> None:
    # Python's round is half to even; Fraction makes the product exact.
    expected = [[round(Fraction(v) * 2**15) for v in row] for row in delta.tolist()]
    assert fp.quantise_update(delta, clip_norm=1.0).tolist() == expected


def test_ties_go_to_even() -> None:
    half = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5]) / 2**15
    assert fp.quantise_update(half, clip_norm=1.0).tolist() == [0, 2, 2, 0, -2, -2]


def test_long_update_keeps_its_direction_and_gets_the_clip_norm() -> None:
    delta = np.random.default_rng(1).normal(size=170) * 1e200
    integers = fp.quantise_update(delta, clip_norm=0.75)
    norm = math.sqrt(squared_norm(integers)) / 2**15
    assert norm == pytest.approx(0.75, rel=1e-3)
    cosine = float(integers @ (delta / 1e200)) / (norm * 2**15 * float(np.linalg.norm(delta / 1e200)))
    assert cosine > 0.99999


def test_coordinates_are_cut_where_the_norm_alone_would_allow_more() -> None:
    assert fp.quantise_update(np.array([3.0, -3.0]), clip_norm=10.0).tolist() == [32767, -32767]


def test_shrinks_until_the_integers_fit() -> None:
    # With the real bound this is float error only; a tighter bound shows that the loop does its work.
    scaled = np.random.default_rng(2).normal(size=64) * 100
    free = squared_norm(np.rint(scaled))
    for limit in (free, free - 1, free // 2, 10, 0):
        assert squared_norm(fp._round_within(scaled, limit)) <= limit
    assert squared_norm(fp._round_within(scaled, free)) == free


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_diverged_training_is_refused_without_showing_values(bad: float) -> None:
    with pytest.raises(ValueError, match="1 NaN or infinite of 3 values") as caught:
        fp.quantise_update(np.array([0.123456, bad, 0.5]), clip_norm=1.0)
    assert "0.123456" not in str(caught.value)


def test_zero_stays_zero() -> None:
    assert not fp.quantise_update(np.zeros((2, 3)), clip_norm=1.0).any()


# -- the bound -----------------------------------------------------------------------------------


@given(CLIPS, st.integers(1, 10**6), st.integers(1, 15))
def test_bound_is_the_ceiling_of_its_definition(clip: float, parameters: int, bits: int) -> None:
    with localcontext() as context:
        context.prec = 120
        value = (Decimal(clip) * 2**bits + Decimal(parameters).sqrt() / 2) ** 2
        assert fp.norm_bound(clip, parameters, bits) - 1 < value <= fp.norm_bound(clip, parameters, bits)


def test_known_bounds() -> None:
    assert fp.norm_bound(1.0, 4, 1) == 9  # (2 + 1)^2, no rounding up of an exact square
    assert fp.norm_bound(1.0, 170, 15) == 1074169109  # 2^30 + 42.5 + 2^15 sqrt(170)
    assert fp.ceil_with_root(Fraction(-1, 3), Fraction(4, 9)) == 1  # -1/3 + 2/3, up
    assert fp.ceil_with_root(Fraction(-2, 3), Fraction(4, 9)) == 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((0.0, 4, 15), ValueError),
        ((-1.0, 4, 15), ValueError),
        ((math.nan, 4, 15), ValueError),
        ((math.inf, 4, 15), ValueError),
        ((True, 4, 15), TypeError),
        (("1", 4, 15), TypeError),
        ((1.0, 0, 15), ValueError),
        ((1.0, 4.0, 15), TypeError),
        ((1.0, 4, 0), ValueError),
        ((1.0, 4, 16), ValueError),
        ((1.0, True, 15), TypeError),
    ],
)
def test_bad_bounds_are_refused(arguments: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        fp.norm_bound(*arguments)


# -- rows ----------------------------------------------------------------------------------------


def test_features_count_in_127ths_and_end_in_the_bias() -> None:
    x = np.array([[1.0, -1.0, 0.0], [0.5, -0.004, 0.004]])
    assert fp.quantise_features(x).tolist() == [[127, -127, 0, 127], [64, -1, 1, 127]]
    assert fp.quantise_features(np.array([[-127, 5]])).tolist() == [[-127, 5, 127]]


def test_targets_are_at_the_scale_of_the_logits() -> None:
    one = 127 * 2**15
    assert fp.quantise_targets(np.array([0, 1]), classes=2).tolist() == [[-one], [one]]
    assert fp.quantise_targets(np.array([2, 0]), classes=3).tolist() == [[0, 0, one], [one, 0, 0]]
    assert fp.quantise_targets(np.array([-1.0, 0.25]), classes=1).tolist() == [[-one], [one // 4]]
    assert fp.quantise_targets(np.array([0.25]), classes=1, fraction_bits=2).tolist() == [[127]]


def test_squared_loss_is_exact_where_floats_and_int64_are_not() -> None:
    x, w, t = np.full((3, 2), 127), np.array([[2**40], [1]]), np.zeros((3, 1), dtype=np.int64)
    assert fp.squared_loss(x, w, t) == 3 * (127 * (2**40 + 1)) ** 2
    with pytest.raises(TypeError, match="weights are float64"):
        fp.squared_loss(x, w.astype(float), t)


def test_loss_of_the_perfect_model_is_zero() -> None:
    x = fp.quantise_features(np.eye(3))
    weights = np.eye(4, 3, dtype=np.int64) * 2**15
    assert fp.squared_loss(x, weights, fp.quantise_targets(np.arange(3), classes=3)) == 0


@pytest.mark.parametrize(
    "x",
    [
        np.array([[1.01]]),
        np.array([[math.nan]]),
        np.array([[128]]),
        np.array([[-128]]),
        np.array([["a"]]),
        np.zeros(3),
        np.zeros((0, 3)),
    ],
)
def test_bad_features_are_refused(x: Any) -> None:
    with pytest.raises(ValueError):
        fp.quantise_features(x)


@pytest.mark.parametrize(
    ("y", "classes"),
    [(np.array([1.5]), 1), (np.array([math.nan]), 1), (np.array([2]), 2), (np.array([-1]), 3), (np.array([1.0]), 3)],
)
def test_bad_labels_are_refused(y: Any, classes: int) -> None:
    with pytest.raises(ValueError):
        fp.quantise_targets(y, classes=classes)


# -- packing -------------------------------------------------------------------------------------


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=30))
def test_lanes_unpack_to_what_was_packed(values: list[int]) -> None:
    assert fp.unpack_lanes(fp.pack_lanes(values), len(values)) == values


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=30))
def test_lanes_are_the_sums_of_the_protocol(values: list[int]) -> None:
    padded = values + [0] * (-len(values) % 7)
    scalars = fp.pack_lanes(values)
    for j, scalar in enumerate(scalars):
        assert scalar == sum(padded[7 * j + lane] * 2 ** (32 * lane) for lane in range(7))
    assert len(scalars) == len(padded) // 7


def test_lanes_add_up_like_vectors() -> None:
    random = np.random.default_rng(4)
    vectors = random.integers(-(2**15), 2**15, (1000, 10))
    sums = [sum(column) for column in zip(*[fp.pack_lanes(v) for v in vectors], strict=True)]
    assert fp.unpack_lanes(sums, 10) == vectors.sum(axis=0).tolist()


def test_lanes_refuse_what_is_not_unique() -> None:
    for value in (2**31, -(2**31) - 1):
        with pytest.raises(ValueError):
            fp.pack_lanes([value])
    with pytest.raises(ValueError):
        fp.unpack_lanes([1 << (7 * 32)], 7)
    with pytest.raises(ValueError):
        fp.unpack_lanes([1 << 32], 1)  # an unused lane is not 0
    with pytest.raises(ValueError):
        fp.unpack_lanes([1, 2], 7)


@given(st.lists(st.integers(0, 2**256 - 1), min_size=1, max_size=20))
def test_limb_sums_give_the_sum_of_blinders(blinders: list[int]) -> None:
    order = 2**255 - 19
    sums = [sum(column) for column in zip(*[fp.blinder_limbs(b) for b in blinders], strict=True)]
    assert fp.blinder_from_limbs(sums, order) == sum(blinders) % order


def test_limbs_refuse_what_does_not_fit() -> None:
    for blinder in (-1, 2**256):
        with pytest.raises(ValueError):
            fp.blinder_limbs(blinder)
    with pytest.raises(ValueError):
        fp.blinder_from_limbs([0] * 15, 7)


@pytest.mark.parametrize("labels", [np.array([0.5 + 1j]), np.array(["0.5"]), np.array([True])])
def test_regression_targets_are_real_numbers(labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected real numbers"):
        fp.quantise_targets(labels, classes=1)
