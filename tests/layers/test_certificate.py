"""The certificate of a round's sum: the theorem on random instances, each condition, and true records.

Every condition has a counterexample, two integer models with which the conclusion is false.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest

from tests.layers.forge import HONEST, REPEATED, Forge
from tests.layers.own_rows import OwnCohort
from tests.layers.parties import Cohort, OtherPlaintext, make_policy, signed
from zkfed.errors import CommitmentMismatch, PolicyError
from zkfed.inference import forward
from zkfed.layers.certificate import Certificate, NoCertificate, certificates, expected_excess, refusals
from zkfed.layers.transcript import Transcript, released_sums
from zkfed.local import LocalFederation
from zkfed.losses import Loss
from zkfed.orchestrator.events import Released
from zkfed.policy import MLP, SHARE_SCALE, Improvement, LinearModel, Registration, RoundPolicy

ROWS = b"the benchmark"
Ints = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


def policy_of(statement: Improvement, rate: float = 1.0) -> RoundPolicy:
    return replace(make_policy(), statement=statement, server_rate=rate)


LINEAR = Improvement(LinearModel(features=3, classes=3), rows=20)


# -- the theorem -----------------------------------------------------------------------------


ONE = 127 << 15


def squared(weights: Ints, features: Ints, targets: Ints) -> int:
    residual = (features @ weights - targets).astype(object)
    return int((residual * residual).sum())


def descent(loss: str, logits: Reals, targets: Reals) -> Reals:
    """Returns minus the gradient of a loss in the logits."""
    if loss == "squared":
        return targets - logits
    if loss == "cross-entropy":
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return targets - weights / weights.sum(axis=1, keepdims=True)
    margins = targets * logits
    return targets * (margins < 1 if loss == "hinge" else 1 / (1 + np.exp(margins)))


def drawn_targets(loss: str, rng: np.random.Generator) -> Ints:
    if loss in ("hinge", "logistic"):
        return rng.choice([-1, 1], (9, 1))
    return np.eye(3, dtype=np.int64)[rng.integers(0, 3, 9)]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("rate", [Fraction(1), Fraction(3, 4), Fraction(1, 8)])
@pytest.mark.parametrize("loss", ["squared", "hinge", "logistic", "cross-entropy"])
def test_updates_that_improve_have_a_mean_that_does(seed: int, rate: Fraction, loss: str) -> None:
    rng, n = np.random.default_rng(seed), 4
    step = n * rate.denominator  # so that the mean is an integer model, and its loss is bounded exactly
    targets = drawn_targets(loss, rng)
    features = np.hstack([rng.integers(-127, 128, (9, 3)), np.full((9, 1), 127)])
    base = rng.integers(-500, 501, (4, targets.shape[1])) * step
    bounds = Loss(loss, max(2, targets.shape[1]), ONE, 4 * 127 << 20)
    way = (features / 127).T @ descent(loss, features @ base / ONE, targets.astype(float))
    # Each client a step of its own length, and with an error of its own.
    lengths = rng.uniform(0.01, 0.1, (n, 1, 1)) * (1 + rng.normal(0, 0.3, (n, *base.shape)))
    updates = np.rint(way * lengths * (1 << 15) / step).astype(np.int64) * step
    before, most = bounds.lower(features @ base, targets), bounds.upper(features @ base, targets)
    improvement = min(1 - Fraction(bounds.upper(features @ (base + d), targets), before) for d in updates)
    assert improvement > 0  # or the last line would say nothing
    mean = base + updates.sum(axis=0) // step * rate.numerator
    assert (n * rate.denominator * (mean - base) == rate.numerator * updates.sum(axis=0)).all()
    after = bounds.lower(features @ mean, targets)
    assert after <= (1 - rate) * most + rate * (1 - improvement) * before <= (1 - rate * improvement) * most


# -- each condition --------------------------------------------------------------------------


def test_all_conditions_together_are_met() -> None:
    assert refusals(policy_of(LINEAR), [ROWS]) == ()
    assert refusals(policy_of(LINEAR, 0.25), [ROWS, ROWS]) == ()


@pytest.mark.parametrize(
    ("policy", "benchmarks", "reason"),
    [
        (policy_of(replace(LINEAR, loss="accuracy")), [ROWS], "accuracy is not convex"),
        (policy_of(replace(LINEAR, model=MLP(3, (2,), 3))), [ROWS], "not linear"),
        (policy_of(replace(LINEAR, registration=Registration(80))), [ROWS], "S1: each client proves it on rows"),
        (policy_of(LINEAR, 1.5), [ROWS], "1.5 times the mean"),
        (policy_of(LINEAR, 1.0000001), [ROWS], "more than the mean"),
        (policy_of(LINEAR), [ROWS, b"another"], "different benchmarks"),
        (policy_of(LINEAR), [], "nothing was released"),
    ],
)
def test_one_condition_less_is_no_certificate(policy: RoundPolicy, benchmarks: list[bytes], reason: str) -> None:
    found = refusals(policy, benchmarks)
    assert len(found) == 1
    assert reason in found[0]
    assert "improve" not in str(NoCertificate(1, found))


def test_every_broken_condition_is_named() -> None:
    statement = replace(LINEAR, model=MLP(3, (2,), 3), loss="accuracy", registration=Registration(80))
    assert len(refusals(policy_of(statement, 2.0), [ROWS, b"another"])) == 5


def test_a_longer_step_than_the_mean_overshoots() -> None:
    features, targets, base, update = (np.array([[v]]) for v in (1, 0, 100, -180))
    before = squared(base, features, targets)
    assert squared(base + update, features, targets) < before
    assert squared(base + update * 3 // 2, features, targets) > before


def test_different_rows_do_not_compose() -> None:
    base = np.zeros((1, 1), np.int64)
    rows = [(np.array([[1]]), np.array([[100]])), (np.array([[1]]), np.array([[-300]]))]
    updates = [np.array([[100]]), np.array([[-300]])]
    for (x, t), update in zip(rows, updates, strict=True):
        assert squared(base + update, x, t) < squared(base, x, t)
    assert squared(base + sum(updates) // 2, *rows[0]) > squared(base, *rows[0])


def test_hidden_layers_do_not_compose() -> None:
    """Two clients that found the same function with the units swapped: their mean is another one."""
    model, one = MLP(2, (2,), 1), 1 << 15
    x = np.array([[127, 0, 127], [0, 127, 127]])
    swapped = np.array([[0, 1], [1, 0], [0, 0]]), np.array([[-1], [1], [0]])
    straight = np.array([[1, 0], [0, 1], [0, 0]]), np.array([[1], [-1], [0]])
    flat = [np.concatenate([m.ravel() for m in layers]) * one for layers in (straight, swapped)]
    targets = np.array([[127 * one], [-127 * one]])
    logits = [forward(model, w, x).logits for w in (*flat, sum(flat) // 2, flat[0] * 0)]
    losses = [int(((z - targets).astype(object) ** 2).sum()) for z in logits]
    assert losses[:2] == [0, 0]
    assert losses[2] == losses[3]  # no better than a model of zeros


def test_correct_answers_do_not_compose() -> None:
    """Three clients each improve from one right row of three to two; the mean has none at all."""
    targets = np.array([1, 1, 1])
    base = np.array([1, -1, -1])
    updates = [np.array(v) - base for v in ([-9, 1, 1], [1, -9, 1], [1, 1, -9])]
    right = [int((targets * (base + d) > 0).sum()) for d in updates]
    assert right == [2, 2, 2]
    assert int((targets * base > 0).sum()) == 1
    mean = base + sum(updates) / 3
    assert int((targets * mean > 0).sum()) == 0


# -- the noise -------------------------------------------------------------------------------


def real_loss(loss: str, logits: Reals, targets: Ints) -> float:
    own = (logits * targets).sum(axis=1)
    return float({
        "squared": lambda: (logits - targets) ** 2,
        "hinge": lambda: np.maximum(1 - own, 0),
        "logistic": lambda: np.logaddexp(0, -own),
        "cross-entropy": lambda: np.log(np.exp(logits).sum(axis=1)) - own,
    }[loss]().sum())  # fmt: skip


@pytest.mark.parametrize("deviation", [0.01, 0.5, 20.0])
@pytest.mark.parametrize("size", [0, 1])  # of the weights: log losses curve most at 0
@pytest.mark.parametrize("loss", ["squared", "hinge", "logistic", "cross-entropy"])
def test_noise_costs_no_more_than_expected(loss: str, size: int, deviation: float) -> None:
    """Over all signs of a noise, which is symmetric and subgaussian, the mean excess is within the bound."""
    rng = np.random.default_rng(5)
    targets = drawn_targets(loss, rng)
    columns = targets.shape[1]
    statement = Improvement(LinearModel(features=2, classes=max(2, columns)), rows=9, loss=loss)
    features = np.hstack([rng.integers(-127, 128, (9, 2)), np.full((9, 1), 127)])
    weights, x = size * rng.normal(0, 1, (3, columns)), features / 127
    noises = [deviation * np.array(s).reshape(weights.shape) for s in product((-1, 1), repeat=weights.size)]
    before = real_loss(loss, x @ weights, targets)
    excess = float(np.mean([real_loss(loss, x @ (weights + noise), targets) for noise in noises])) - before
    bound = expected_excess(statement, features, deviation**2)
    assert 0 <= excess <= bound * (1 + 1e-9)
    if loss == "squared":
        assert excess == pytest.approx(bound, rel=1e-9)
    assert deviation < 1 or bound < 5 * excess + 1  # not so wide that it says nothing


# -- records ---------------------------------------------------------------------------------


def test_true_records_have_one(forge: Forge) -> None:
    agreement = forge.transcript.agreement
    found = certificates(forge.transcript)
    models, unit = list(forge.transcript.models()), 127 << agreement.policy.model.fraction_bits
    rows = agreement.benchmark
    for number, groups in ((HONEST, 1), (REPEATED, 2)):
        one, record = found[number], forge.transcript.rounds[number]
        assert isinstance(one, Certificate)
        assert one.updates == sum(n for _, n in released_sums(record))
        assert one.at_least == Fraction(agreement.policy.millionths(number + 1), SHARE_SCALE)
        before, after = (squared(w, rows.features, rows.targets) for w in models[number : number + 2])
        assert one.published_change == Fraction(after - before, before)
        variance = 2 * groups * (agreement.noise_scale.sigma / one.updates / (unit // 127)) ** 2
        excess = variance * 3 * float((rows.features**2).sum()) / 127**2
        assert one.expected_excess == pytest.approx(excess / (before / unit**2))
        assert f"{one.updates} updates" in str(one)
        assert "at least 1 %" in str(one)


@pytest.mark.parametrize("loss", ["hinge", "logistic", "cross-entropy"])
def test_a_true_record_of_each_loss_has_one(loss: str) -> None:
    model = LinearModel(features=3, classes=3 if loss == "cross-entropy" else 2)
    statement = Improvement(model, rows=20, at_least="3%", loss=loss)
    federation = LocalFederation(policy_of(statement, 0.5), devices=2)
    assert [e.accepted for e in federation.run(rounds=1) if isinstance(e, Released)] == [2]
    (found,) = certificates(federation.transcript)
    assert isinstance(found, Certificate)
    assert (found.updates, found.loss, found.at_least) == (2, loss, Fraction(3, 200))
    rows, (before, after) = federation.agreement.benchmark, federation.transcript.models()
    losses = [real_loss(loss, rows.features @ w / ONE, rows.targets // ONE) for w in (before, after)]
    # An upper bound of the published loss over a lower bound of the base loss: close, and on the safe side.
    change = losses[1] / losses[0] - 1
    assert change - 1e-9 <= float(found.published_change) <= change + 0.01 * (1 + abs(change))
    noise = 2 * (federation.agreement.noise_scale.sigma * 0.5 / 2 / 2**15) ** 2
    assert found.expected_excess == pytest.approx(expected_excess(statement, rows.features, noise) / losses[0], 0.01)


def test_the_claim_is_never_rounded_up() -> None:
    text = str(Certificate(1, 2, "squared", Fraction(29_999_999, 10**9), 0.1, Fraction(1, 3)))
    assert "at least 2.9999 %" in text
    assert "changed by +33.33%" in text


def test_a_false_record_has_none(forge: Forge) -> None:
    forge.sums(lambda s: s + 1)
    with pytest.raises(CommitmentMismatch):
        certificates(forge.transcript)


def test_other_rows_than_the_proven_ones_are_no_record(forge: Forge) -> None:
    agreement = forge.transcript.agreement
    rows = replace(agreement.benchmark, targets=-agreement.benchmark.targets)
    with pytest.raises(PolicyError, match="benchmark"):
        certificates(Transcript(replace(agreement, benchmark=rows), forge.transcript.base, forge.transcript.rounds))


def test_a_round_with_a_longer_step_has_none() -> None:
    cohort = Cohort(make_policy(server_rate=1.5))
    cohort.honest_round()
    (found,) = certificates(cohort.transcript)
    assert isinstance(found, NoCertificate)
    assert found.reasons == ("the server's step is 1.5 times the mean, more than the mean",)


def test_a_round_without_a_release_has_none_and_the_next_one_has_its_own_share() -> None:
    cohort = Cohort(make_policy(schedule=("1%", "2%")), devices=2, kinds=[OtherPlaintext])
    failed = cohort.ready()
    assert signed(cohort.open(failed)).kind == "failure"
    cohort.close([failed])
    cohort.devices[0].is_honest = True
    cohort.honest_round()
    first, second = certificates(cohort.transcript)
    assert isinstance(first, NoCertificate)
    assert first.reasons == ("nothing was released",)
    assert isinstance(second, Certificate)
    assert (second.round, second.at_least) == (2, Fraction(1, 50))


def test_a_round_about_registered_rows_has_none() -> None:
    cohort = OwnCohort()
    opened = cohort.ready()
    cohort.open(opened)
    cohort.close([opened])
    (found,) = certificates(cohort.transcript)
    assert isinstance(found, NoCertificate)
    assert found.reasons == ("S1: each client proves it on rows of its own",)


def test_a_shorter_step_claims_its_share() -> None:
    cohort = Cohort(make_policy(server_rate=0.5))
    cohort.honest_round()
    (found,) = certificates(cohort.transcript)
    assert isinstance(found, Certificate)
    assert found.at_least == Fraction(1, 200)
