"""Spending: rho adds exactly, refusals come first, and each party's view is charged.

Also the printed guarantee, which must carry everything that a reader needs to judge it.
"""

from __future__ import annotations

import math
import threading
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zkfed.dp.accounting import Spending, guarantee_line, predicted_noise_signal
from zkfed.dp.loss import epsilon_of
from zkfed.dp.noise import calibrate
from zkfed.errors import BudgetExceeded, PolicyError
from zkfed.policy import Improvement, LinearModel, RoundPolicy

DELTA = 1e-6
SCALE = calibrate(0.1, DELTA, 1000)
RHO = Fraction(SCALE.rho)


def run_round(spending: Spending, *, reserved: int = 2, failed: int = 0, released: bool = True) -> None:
    spending.reserve(reserved)
    for number in range(1, failed + 1):
        spending.charge_attempt(number)
        spending.fail_attempt(number)
    if released:
        spending.charge_attempt(failed + 1)
    spending.settle()


# -- conversion ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("rounds", "epsilon"), [(1, 0.1), (10, 0.340), (100, 1.160), (1000, 4.071)])
def test_known_answers_of_composition(rounds: int, epsilon: float) -> None:
    assert epsilon_of(RHO * rounds, DELTA) == pytest.approx(epsilon, abs=0.001)


@given(st.fractions(Fraction(1, 10**6), 50), st.fractions(Fraction(1, 10**6), 50))
@settings(max_examples=40)
def test_more_charge_is_more_epsilon_and_never_below_the_exact_value(a: Fraction, b: Fraction) -> None:
    low, high = epsilon_of(min(a, b), DELTA), epsilon_of(a + b, DELTA)
    assert low <= high
    # Any zCDP conversion gives at least rho, and OpenDP's at most the classic one.
    rho = float(min(a, b))
    assert rho <= low <= rho + 2 * math.sqrt(rho * math.log(1 / DELTA)) + 1e-12


def test_composition_equals_the_library_s_own() -> None:
    import opendp.prelude as dp

    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64")
    mechanism = dp.m.make_gaussian(*space, scale=SCALE.sigma)
    composed = dp.c.make_fix_delta(dp.c.make_zCDP_to_approxDP(dp.c.make_composition([mechanism] * 7)), DELTA)
    assert epsilon_of(7 * RHO, DELTA) == pytest.approx(composed.map(float(SCALE.sensitivity))[0], rel=1e-9)


def test_nothing_spent_is_nothing() -> None:
    assert Spending(SCALE, delta=DELTA).total() == (0.0, DELTA)


# -- reserve, charge, settle ---------------------------------------------------------------------


def test_unused_attempts_come_back() -> None:
    spending = Spending(SCALE, delta=DELTA)
    run_round(spending)
    assert spending.view("holder").rho == RHO
    assert spending.total()[0] == pytest.approx(0.1, abs=1e-4)
    assert spending.rounds == 1


def test_failed_attempts_are_charged_to_the_key_holder_only() -> None:
    spending = Spending(SCALE, delta=DELTA)
    run_round(spending, failed=1)
    run_round(spending, reserved=2, failed=2, released=False)
    assert [spending.view(p).attempts for p in ("holder", "adder", "public")] == [4, 1, 1]
    assert spending.total()[0] == spending.view("holder").epsilon > spending.view("adder").epsilon
    with pytest.raises(ValueError):
        spending.view("auditor")


def test_an_attempt_that_nobody_called_failed_counts_for_everybody() -> None:
    spending = Spending(SCALE, delta=DELTA)
    spending.reserve(2)
    spending.charge_attempt()
    spending.charge_attempt()
    spending.settle()
    assert spending.view("adder").attempts == 2


def test_groups_of_one_attempt_are_charged_once() -> None:
    spending = Spending(SCALE, delta=DELTA)
    spending.reserve(2)
    spending.charge_attempt(1)
    for _ in range(3):
        spending.charge_attempt(2)
    assert spending.view("holder").attempts == 2
    spending.settle()
    assert spending.view("holder").attempts == 2


def test_open_round_shows_what_was_begun() -> None:
    spending = Spending(SCALE, delta=DELTA)
    spending.reserve(2)
    assert spending.view("holder").attempts == 0
    spending.charge_attempt()
    assert spending.view("holder").attempts == 1


@pytest.mark.parametrize("number", [0, -1, 3, True, 1.0, "1"])
def test_what_was_not_reserved_cannot_be_charged(number: Any) -> None:
    spending = Spending(SCALE, delta=DELTA)
    with pytest.raises(BudgetExceeded):
        spending.charge_attempt()
    spending.reserve(2)
    with pytest.raises(BudgetExceeded):
        spending.charge_attempt(number)
    assert spending.view("holder").attempts == 0
    spending.charge_attempt(2)


def test_order_of_calls_is_enforced() -> None:
    spending = Spending(SCALE, delta=DELTA)
    with pytest.raises(PolicyError):
        spending.settle()
    spending.reserve(1)
    with pytest.raises(PolicyError):
        spending.reserve(1)
    with pytest.raises(PolicyError):
        spending.fail_attempt(1)
    spending.charge_attempt()
    spending.settle()
    with pytest.raises(PolicyError):
        spending.settle()


@pytest.mark.parametrize("attempts", [0, -1, True, 1.5, "2"])
def test_bad_numbers_of_attempts_are_refused(attempts: Any) -> None:
    with pytest.raises(ValueError):
        Spending(SCALE, delta=DELTA).reserve(attempts)


# -- budget --------------------------------------------------------------------------------------


@given(st.integers(1, 60), st.lists(st.integers(1, 3), min_size=80, max_size=80))
@settings(max_examples=6)
def test_budget_for_n_attempts_serves_n_and_not_one_more(budget: int, sizes: list[int]) -> None:
    spending = Spending(SCALE, delta=DELTA, epsilon_max=epsilon_of(RHO * budget, DELTA))
    spent = 0
    for size in sizes:
        if spent + size > budget:
            before = spending.view("holder")
            with pytest.raises(BudgetExceeded):
                spending.reserve(size)
            assert spending.view("holder") == before
            continue
        spending.reserve(size)
        for number in range(1, size + 1):
            spending.charge_attempt(number)
        spending.settle()
        spent += size
    assert spending.view("holder").attempts == spent == budget


def test_refusal_counts_every_attempt_that_may_be_needed_and_leaves_a_smaller_round_possible() -> None:
    spending = Spending(SCALE, delta=DELTA, epsilon_max=epsilon_of(3 * RHO, DELTA))
    run_round(spending)
    run_round(spending)
    with pytest.raises(BudgetExceeded, match="nothing was released"):
        spending.reserve(2)
    run_round(spending, reserved=1)
    with pytest.raises(BudgetExceeded):
        spending.reserve(1)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_bad_budgets_are_refused(bad: float) -> None:
    with pytest.raises(ValueError):
        Spending(SCALE, delta=DELTA, epsilon_max=bad)


def test_threads_never_get_more_than_was_reserved() -> None:
    spending = Spending(SCALE, delta=DELTA)
    spending.reserve(8)
    granted: list[int] = []

    def spend() -> None:
        for _ in range(10):
            try:
                spending.charge_attempt()
                granted.append(1)
            except BudgetExceeded:
                pass

    threads = [threading.Thread(target=spend) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == spending.view("holder").attempts == 8


# -- what is printed -----------------------------------------------------------------------------


def test_predicted_ratio() -> None:
    assert predicted_noise_signal(2.0, 50, 10, 4.0) == pytest.approx(2 * 10 / 40)


def test_guarantee_carries_everything() -> None:
    model = LinearModel(features=16, classes=10)
    policy = RoundPolicy(Improvement(model, 200), clip_norm=0.5, epsilon=0.1, delta=DELTA, min_clients=16)
    scale = calibrate(policy.epsilon, policy.delta, 16391)
    spending = Spending(scale, delta=policy.delta)
    run_round(spending, failed=1)
    line = guarantee_line(policy, spending, scale)
    assert "\n" not in line
    for part in (
        "user-level (one enrolled key)",
        "zero-out adjacency",
        "(0.1, 1e-06)",
        "all 2 attempts of 1 rounds",
        f"({epsilon_of(2 * Fraction(scale.rho), DELTA):.4g}, 1e-06) towards the key holder",
        "(0.1, 1e-06) towards everybody else",
        "take part in every round",
        "clip C = 0.5, charged with rounding as 1.0004 C",
        "the adders and the key holder each drew",
        "not against the key holder together with the adders",
        "towards adders that add what they were sent",
        "conditional on the accepted set",
        "computational",
    ):
        assert part in line


def test_acceptance_bits_stand_on_a_line_of_their_own() -> None:
    spending = Spending(SCALE, delta=DELTA, bits_max=2)
    spent = []
    for _ in range(2):
        spending.reserve(1, bits=1)
        spending.charge_attempt()
        spending.settle()
        spent.append(spending.total()[0])
    assert spending.bits == 2
    before = (spending.rounds, spending.total())
    with pytest.raises(BudgetExceeded, match="the policy allows 2"):
        spending.reserve(1, bits=1)
    assert (spending.bits, spending.rounds, spending.total()) == (2, *before)
    spending.reserve(1)  # a round about a benchmark gives none
    assert spending.bits == 2
    plain = Spending(SCALE, delta=DELTA)
    plain.reserve(2)
    assert plain.bits == 0
    assert spent[0] < spent[1]  # epsilon does not know of the bits
