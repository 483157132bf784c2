"""A privacy loss adds up exactly, and each of its two bounds is a bound."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkfed.dp.loss import PrivacyLoss, epsilon_of

DELTA = 1e-6


def test_a_tenth_fits_ten_times_into_one_and_not_eleven() -> None:
    loss, budget = PrivacyLoss.zero(), Fraction(1)
    for _ in range(10):
        loss += PrivacyLoss.pure(0.1)
        assert loss.is_within(budget, DELTA)
    assert not (loss + PrivacyLoss.pure(0.1)).is_within(budget, DELTA)
    assert loss.at(DELTA) == 1.0


def test_one_gaussian_release_ends_the_pure_bound() -> None:
    both = PrivacyLoss.pure(0.5) + PrivacyLoss.gaussian(0.01)
    assert both.epsilon is None
    assert both.rho == Fraction(1, 8) + Fraction(0.01)
    assert both.at(DELTA) == epsilon_of(both.rho, DELTA)


def test_many_small_pure_releases_cost_less_by_zcdp() -> None:
    loss = PrivacyLoss.pure(0.01).times(10_000)
    assert loss.epsilon == 100
    assert loss.at(DELTA) == epsilon_of(Fraction(1, 2), DELTA) < 6


def test_the_delta_of_thresholds_is_taken_from_the_whole() -> None:
    loss = PrivacyLoss.gaussian(0.01, delta=Fraction(1, 2_000_000))
    assert loss.at(DELTA) > epsilon_of(Fraction(0.01), DELTA)
    assert loss.at(DELTA) == pytest.approx(epsilon_of(Fraction(0.01), DELTA / 2), rel=1e-9)
    assert loss.times(2).at(DELTA) == math.inf
    assert not loss.times(2).is_within(Fraction(1000), DELTA)


@given(st.floats(1e-6, 2), st.floats(1e-6, 2))
def test_addition_is_exact_and_never_lowers_epsilon(a: float, b: float) -> None:
    one, two = PrivacyLoss.gaussian(a), PrivacyLoss.gaussian(b)
    both = one + two
    assert both.rho == Fraction(a) + Fraction(b)
    assert both.at(DELTA) >= max(one.at(DELTA), two.at(DELTA))


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, -math.inf, 101])
def test_no_loss_of_a_useless_epsilon(value: float) -> None:
    with pytest.raises(ValueError):
        PrivacyLoss.pure(value)


@pytest.mark.parametrize("value", [True, "0.5", None, 1j, b"1"])
def test_only_numbers_are_an_epsilon(value: object) -> None:
    with pytest.raises(TypeError):
        PrivacyLoss.pure(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("rho", [0, -0.5, math.nan, math.inf])
def test_no_gaussian_loss_without_noise(rho: float) -> None:
    with pytest.raises(ValueError):
        PrivacyLoss.gaussian(rho)


@given(st.floats(0.01, 5), st.floats(1e-9, 1e-3))
def test_what_fits_a_budget_converts_to_it(epsilon: float, rho: float) -> None:
    loss, budget = PrivacyLoss.gaussian(rho), Fraction(epsilon)
    assert loss.is_within(budget, DELTA) == (Fraction(loss.at(DELTA)) <= budget)
