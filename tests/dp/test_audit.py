"""The auditor's bounds are valid, close, and refute a claim that is false; what it cannot see is shown too.

Each statistical test says how often it fails by chance: at most once in 10^7 runs.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from zkfed.dp.audit import audit, audit_samples, binomial_bounds
from zkfed.dp.loss import PrivacyLoss
from zkfed.dp.mechanism import NOISES, CountNoise
from zkfed.errors import PolicyError

SURE = 1 - 1e-7
RUNS = 40_000
RNG = np.random.default_rng(20261125)


def coins(p: float, runs: int = RUNS) -> npt.NDArray[np.float64]:
    return (RNG.random(runs) < p).astype(np.float64)


def noised(kind: str, claim: float, value: int, runs: int = RUNS) -> npt.NDArray[np.int64]:
    return CountNoise.calibrate(kind, claim, 1e-6, 1).add(np.full(runs, value, np.int64))


# -- intervals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "runs"),
    [(0, 1), (1, 1), (0, 100), (1, 100), (50, 100), (99, 100), (100, 100), (7, 5000), (33_333, 50_000)],
)
@pytest.mark.parametrize("chance", [0.05, 1e-7])
def test_intervals_are_those_of_clopper_and_pearson(hits: int, runs: int, chance: float) -> None:
    low, high = binomial_bounds(hits, runs, chance)
    exact_low = stats.beta.ppf(chance / 2, hits, runs - hits + 1) if hits else 0.0
    exact_high = stats.beta.ppf(1 - chance / 2, hits + 1, runs - hits) if hits < runs else 1.0
    assert low == pytest.approx(exact_low, rel=1e-6)
    assert 1 - high == pytest.approx(1 - exact_high, rel=1e-6)
    assert low <= exact_low * (1 + 1e-12)
    assert high >= exact_high * (1 - 1e-12)


# -- valid and close -------------------------------------------------------------------------------


def test_the_bound_is_wrong_as_seldom_as_it_says() -> None:
    """Coins of epsilon ln 2: at a confidence of 80 % at most 20 % of audits may claim more. Chance: 10^-7."""
    wrong = sum(
        audit_samples(coins(0.5, 400), coins(0.25, 400), confidence=0.8).epsilon_lower > math.log(2) for _ in range(400)
    )
    assert stats.binomtest(wrong, 400, 0.2, alternative="greater").pvalue > 1e-7


def test_choosing_and_bounding_on_the_same_runs_would_not_be_valid() -> None:
    """Why the runs are halved. 40 coordinates of equal noise lose nothing; the best looking one looks bad."""
    seen = [RNG.normal(size=(2, 100, 40)) for _ in range(60)]
    honest = [audit_samples(*RNG.normal(size=(2, 200, 40)), confidence=0.5).epsilon_lower > 0 for _ in range(60)]
    same = [audit_samples(*np.concatenate([x, x], axis=1), confidence=0.5).epsilon_lower > 0 for x in seen]
    assert sum(honest) <= 50  # of 60 at 1/2: 10^-7
    assert sum(same) > 50


# The bound keeps seven standard deviations from 0.8: an epsilon of 0.5 needs more runs for that.
@pytest.mark.parametrize(("epsilon", "runs"), [(0.5, 4 * RUNS), (1, RUNS), (3, RUNS)])
def test_pure_noise_shows_nearly_all_of_its_epsilon(epsilon: float, runs: int) -> None:
    found = audit_samples(noised("laplace", epsilon, 1, runs), noised("laplace", epsilon, 0, runs), confidence=SURE)
    found.require_at_most(PrivacyLoss.pure(epsilon))
    assert found.epsilon_lower > 0.8 * epsilon


@pytest.mark.parametrize("epsilon", [1, 3])
def test_gaussian_noise_shows_a_good_part_of_its_rho(epsilon: float) -> None:
    claim = CountNoise.calibrate("gaussian", epsilon, 1e-6, 1).loss
    outputs = (noised("gaussian", epsilon, value, 2 * RUNS) for value in (1, 0))
    found = audit_samples(*outputs, delta=1e-6, confidence=SURE)
    found.require_at_most(claim)
    found.require_at_most(epsilon)
    # 2/pi of it is what two halves of a line show at best; the rest is what 10^-7 costs.
    assert found.rho_lower > 0.1 * float(claim.rho)


@pytest.mark.parametrize("kind", NOISES)
@pytest.mark.parametrize("change", [2, 3])
def test_a_person_who_counts_more_than_once_is_found(kind: str, change: int) -> None:
    claim = CountNoise.calibrate(kind, 1, 1e-6, 1).loss
    found = audit_samples(noised(kind, 1, change), noised(kind, 1, 0), delta=1e-6, confidence=SURE)
    with pytest.raises(PolicyError, match="loses more than the claimed"):
        found.require_at_most(claim)


def test_either_order_of_the_inputs_shows_the_same() -> None:
    a, b = coins(0.5), coins(0.05)
    for one, other in ((a, b), (b, a)):
        assert 2.0 < audit_samples(one, other, confidence=SURE).epsilon_lower <= math.log(10)


def test_many_coordinates_add_up() -> None:
    """Twenty coins that each lose a little: no single one shows what their likelihood ratio shows."""
    a, b = (np.stack([coins(p) for _ in range(20)], axis=1) for p in (0.55, 0.45))
    one = audit_samples(a[:, 0], b[:, 0], confidence=SURE).epsilon_lower
    assert audit_samples(a, b, confidence=SURE).epsilon_lower > 5 * one


def test_an_outcome_in_the_middle_is_an_event() -> None:
    """A label that one input gives often lies between two others: neither tail shows it."""
    a, b = (RNG.choice(3, RUNS, p=p) for p in ([0.1, 0.8, 0.1], [0.45, 0.1, 0.45]))
    found = audit_samples(a, b, confidence=SURE)
    assert 1.9 < found.epsilon_lower <= math.log(8)


# -- what mechanisms return --------------------------------------------------------------------------


def flip(released: Any, absent: Any) -> Any:
    """Returns a mechanism of epsilon ln 9 that answers a bit in the given words."""
    return lambda bit: released if (RNG.random() < 0.9) == bit else absent


@pytest.mark.parametrize(
    ("released", "absent"),
    [
        (1, 0),
        (1.5, math.nan),
        (math.inf, -math.inf),
        ("yes", "no"),
        ({"a", "b"}, {"a"}),
        ({"a": 5, "b": 1}, {"a": 5}),
        ({"a": 5}, {"a": 7}),
        (frozenset({3}), frozenset()),
        ([0, 0, 1], [0, 0, 0]),
        (np.array([1.0, math.nan]), np.array([1.0, 2.0])),
    ],
    ids=lambda x: str(sorted(x)) if isinstance(x, set) else str(x),  # a set has no order of its own
)
def test_numbers_vectors_labels_and_released_keys_are_audited(released: Any, absent: Any) -> None:
    found = audit(flip(released, absent), (True, False), runs=4000, confidence=SURE)
    assert 1.5 < found.epsilon_lower <= math.log(9)


def test_delta_is_taken_off() -> None:
    """A key that shows with probability 0.01 for one input and never for the other: (0, 0.01), not (5, 0.005)."""
    a, b = coins(0.01, 200_000), coins(0, 200_000)
    assert audit_samples(a, b, delta=0.0101, confidence=SURE).epsilon_lower == 0
    with pytest.raises(PolicyError):
        audit_samples(a, b, delta=0.001, confidence=SURE).require_at_most(3)
    assert audit_samples(a, b, delta=0.0101, confidence=SURE).rho_lower == 0
    assert audit_samples(a, b, delta=0.001, confidence=SURE).rho_lower > 0


def test_what_happens_too_seldom_stays_hidden() -> None:
    """No claim is made that an audit proves anything: it cannot see an event of probability 10^-6."""
    everything = audit_samples(np.append(np.zeros(RUNS - 1), 1), np.zeros(RUNS), confidence=SURE)
    assert everything.epsilon_lower == 0


# -- reading and refusing ----------------------------------------------------------------------------


def test_an_audit_reads_as_one_line() -> None:
    text = str(audit_samples(coins(0.5), coins(0.25), delta=1e-6))
    assert text.startswith("epsilon >= 0.6")
    assert "of 20000 runs" in text
    assert "delta 1e-06, confidence 1 - 0.01" in text


def test_a_claim_of_a_larger_delta_needs_an_audit_at_that_delta() -> None:
    found = audit_samples(coins(0.5), coins(0.5), delta=1e-6)
    found.require_at_most(PrivacyLoss(Fraction(1), None, Fraction("1e-6")))
    with pytest.raises(ValueError, match="the audit was made for"):
        found.require_at_most(PrivacyLoss(Fraction(1), None, Fraction("1e-5")))


def test_nan_is_no_claim() -> None:
    with pytest.raises(PolicyError):
        audit_samples(coins(0.5), coins(0.5)).require_at_most(math.nan)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.zeros(99), np.zeros(99)),
        (np.zeros(200), np.zeros(201)),
        (np.zeros((200, 2)), np.zeros((200, 3))),
        (np.zeros((200, 0)), np.zeros((200, 0))),
        (np.zeros((200, 2, 2)), np.zeros((200, 2, 2))),
        ([], []),
    ],
)
def test_outputs_that_do_not_fit_are_refused(first: Any, second: Any) -> None:
    with pytest.raises(ValueError):
        audit_samples(first, second)


def test_outputs_of_mixed_kinds_are_refused() -> None:
    with pytest.raises(TypeError):
        audit_samples([{"a"}] * 100 + [1] * 100, [{"a"}] * 200)


@pytest.mark.parametrize(
    "wrong", [{"runs": 99}, {"runs": 1e4}, {"runs": True}, {"delta": -1}, {"delta": 1}, {"delta": math.nan},
              {"confidence": 0}, {"confidence": 1}, {"confidence": math.nan}]
)  # fmt: skip
def test_useless_numbers_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        audit(float, (0, 1), **{"runs": 100, **wrong})
