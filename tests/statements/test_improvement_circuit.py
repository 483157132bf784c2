"""Shows that S2, as a circuit, accepts exactly the updates in range that reach norm and loss.

The loss change that it bounds is the exact difference of the squared losses of real-valued
models. Edges are exact, and no wire but masks and ctx has a second value. No proofs are
made here.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.statements.circuit_samples import HALF, Sample, reducing, root_of_two, sample
from tests.witness_runner import free_wires, names_of
from zkfed.algebra.curve import BLS12_381, BN254, Curve
from zkfed.algebra.curve import CURVES as CURVES_BY_NAME
from zkfed.algebra.field import Ints, as_ints
from zkfed.errors import DecodeError, ProofInvalid, UnsatisfiedConstraint
from zkfed.policy import SHARE_SCALE, LinearModel
from zkfed.statements.improvement import Benchmark, PublicTerms, _Bounds, improvement_circuit
from zkfed.statements.update_bound import squared_norm_max

CURVES = pytest.mark.parametrize("curve", [BLS12_381, BN254], ids=lambda c: c.name)
SHAPES = [(1, 1, 1), (3, 1, 20), (1, 2, 5), (30, 2, 100), (3, 3, 20), (2, 5, 7), (16, 10, 200), (64, 10, 200)]


def is_accepted(case: Sample, update: Any = None, **static: int) -> bool:
    """Asks honest code, and a prover who computes on."""
    try:
        case.run(update, **static).check()
    except UnsatisfiedConstraint:
        for forging in (case.system, reducing(case.system)):
            with pytest.raises(UnsatisfiedConstraint):
                case.run(update, system=forging, is_strict=False, **static).check()
        return False
    return True


@CURVES
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_honest_updates_satisfy(shape: tuple[int, int, int], curve: Curve) -> None:
    features, classes, rows = shape
    case = sample(LinearModel(features, classes), rows, curve=curve)
    assert case.terms.loss_change(case.update) < 0
    case.run().check()
    case.run(squared_norm_max=squared_norm_max(case.model.parameters, 16), loss_change_max=-1).check()


@pytest.mark.parametrize(("fraction_bits", "weight_bits"), [(1, 1), (8, 12), (15, 30)])
def test_other_scales(fraction_bits: int, weight_bits: int) -> None:
    model = LinearModel(2, 3, fraction_bits, weight_bits)
    rand = np.random.default_rng(3)
    benchmark = Benchmark.of(model, rand.integers(-127, 128, (9, 2)), rand.integers(0, 3, 9))
    limit = (1 << weight_bits) - 1
    for base in (np.full((3, 3), limit), np.full((3, 3), -limit), np.zeros((3, 3), dtype=np.int64)):
        terms = PublicTerms.of(model, 9, base, benchmark)
        update = as_ints(np.clip(-np.sign(terms.gradient.astype(float)), -1, 1).astype(np.int64))
        if terms.loss_change(update) < 0:
            Sample(model, 9, terms, update).run().check()


# -- edges ---------------------------------------------------------------------------------------


@CURVES
@pytest.mark.parametrize("shape", [(3, 1, 20), (4, 2, 9), (3, 3, 20)], ids=str)
def test_norm_and_improvement_are_exact(shape: tuple[int, int, int], curve: Curve) -> None:
    case = sample(LinearModel(*shape[:2]), shape[2], curve=curve)
    norm, change = int((case.update**2).sum()), case.terms.loss_change(case.update)
    for step in (0, 1):
        assert is_accepted(case, squared_norm_max=norm + step)
        assert is_accepted(case, loss_change_max=change + step)
    assert not is_accepted(case, squared_norm_max=norm - 1)
    assert not is_accepted(case, loss_change_max=change - 1)


def edge_case(coordinate: int, curve: Curve) -> tuple[Sample, Ints]:
    """Builds rows (127, 127) and targets that the update (coordinate, 0) fits best."""
    model = LinearModel(1, 1)
    sign = 1 if coordinate > 0 else -1
    benchmark = Benchmark.of(model, np.full((4, 1), 127), np.full(4, float(sign)))
    terms = PublicTerms.of(model, 4, np.zeros((2, 1), dtype=np.int64), benchmark)
    update = as_ints(np.array([[coordinate], [0]]))
    return Sample(model, 4, terms, update, curve), update


@CURVES
@pytest.mark.parametrize(
    ("coordinate", "expected"), [(-HALF, True), (HALF - 1, True), (-HALF - 1, False), (HALF, False)]
)
def test_the_edges_of_the_range_are_exact(coordinate: int, expected: bool, curve: Curve) -> None:
    case, update = edge_case(coordinate, curve)
    assert case.terms.loss_change(update) < 0
    limits = {"squared_norm_max": squared_norm_max(2, 16)}
    assert is_accepted(case, **limits) == expected
    if not expected:
        # The range alone is what refuses it.
        assert case.run(is_strict=False, **limits).failing() == {"table/sum"}


def test_refusals_name_the_constraint() -> None:
    case = sample(LinearModel(3, 3), 20)
    norm, change = int((case.update**2).sum()), case.terms.loss_change(case.update)
    wide = case.update.copy()
    wide[1, 2] = HALF
    for update, static, expected in (
        (None, {"squared_norm_max": norm - 1}, "update/norm-slack"),
        (None, {"loss_change_max": change - 1}, "improvement"),
        (wide, {"squared_norm_max": squared_norm_max(12, 16), "loss_change_max": -1}, "update/range"),
    ):
        with pytest.raises(UnsatisfiedConstraint) as caught:
            case.run(update, **static).check()
        assert caught.value.constraint.rsplit("/", 1)[0] == expected


@CURVES
def test_no_update_at_all_is_no_improvement(curve: Curve) -> None:
    case = sample(LinearModel(3, 3), 20, curve=curve)
    zero = case.update * 0
    limit = case.terms.loss_change_max(1, 1)  # the smallest share there is, one millionth
    assert limit < 0
    assert not is_accepted(case, zero, squared_norm_max=1, loss_change_max=limit)
    with pytest.raises(ProofInvalid, match="loss-change-max is outside its range"):
        case.run(zero, squared_norm_max=1, loss_change_max=0).check()


@CURVES
def test_a_coordinate_whose_square_wraps_is_no_small_update(curve: Curve) -> None:
    case, _ = edge_case(HALF - 1, curve)
    forged = as_ints([root_of_two(curve), 0])
    # Norm, its slack and the forms hold; limbs in the one shared table do not.
    forging = case.run(forged, system=reducing(case.system), is_strict=False, squared_norm_max=2, loss_change_max=-1)
    assert forging.failing() == {"table/sum"}


def test_a_claimed_change_or_norm_must_be_the_real_one() -> None:
    """A prover who commits a better change, or a smaller norm, fails the forms' identity."""
    case = sample(LinearModel(3, 3), 20)
    system, change = case.system, case.terms.loss_change(case.update)
    for skipped, lie, static in ((3, change * 2, {"loss_change_max": change * 2}), (4, 1, {"squared_norm_max": 1})):
        steps = list(system.steps)
        scalars = [i for i, (stage, wires, _) in enumerate(steps) if stage == 0 and len(wires) == 1]
        at = scalars[skipped - 3]
        steps[at] = (0, steps[at][1], lambda _v, number=lie: np.array(number, dtype=object))
        lying = replace(system, steps=tuple(steps))
        assert case.run(system=lying, is_strict=False, **static).failing() == {"forms/sum"}


# -- the loss ------------------------------------------------------------------------------------


def real_loss(case: Sample, benchmark: Benchmark, weights: Ints) -> Fraction:
    """Returns the squared loss of the model with weights W/2^f on features X/127, on fractions."""
    scale = 1 << case.model.fraction_bits
    total = Fraction(0)
    for x, t in zip(benchmark.features.tolist(), benchmark.targets.tolist(), strict=True):
        for c in range(case.model.outputs):
            logit = sum(Fraction(v, 127) * Fraction(int(w), scale) for v, w in zip(x, weights[:, c], strict=True))
            total += (logit - Fraction(t[c], 127 * scale)) ** 2
    return total


def test_the_loss_is_the_loss_of_the_real_valued_model() -> None:
    """1,000 random cases; the change that the circuit committed is the exact difference."""
    rand, committed = np.random.default_rng(11), 0
    for _ in range(1000):
        features, classes, rows = int(rand.integers(1, 4)), int(rand.integers(1, 4)), int(rand.integers(1, 4))
        model = LinearModel(features, classes, int(rand.integers(1, 16)), int(rand.integers(1, 31)))
        x = rand.integers(-127, 128, (rows, features))
        labels = rand.uniform(-1, 1, rows) if classes == 1 else rand.integers(0, classes, rows)
        benchmark = Benchmark.of(model, x, labels)
        limit = 1 << model.weight_bits
        base = rand.integers(-limit + 1, limit, (model.inputs, model.outputs))
        update = as_ints(rand.integers(-HALF, HALF, base.shape))
        case = Sample(model, rows, PublicTerms.of(model, rows, base, benchmark), update)
        unit = Fraction(127 << model.fraction_bits) ** 2
        before, after = (real_loss(case, benchmark, as_ints(base) + d) for d in (0 * update, update))
        assert case.terms.loss == before * unit
        assert case.terms.loss_change(update) == (after - before) * unit
        if after < before:
            committed += 1
            z = case.run().check()
            (wire,) = next(w for s, w, _ in case.system.steps if s == 0 and len(w) == 1)
            assert int(z[case.system.final_of[wire]]) - case.curve.order == (after - before) * unit
    assert committed > 100


@given(st.integers(1, SHARE_SCALE), st.integers(1, 10**30), st.integers(0, 10**30))
def test_the_target_is_the_share_of_the_base_loss(millionths: int, loss: int, after: int) -> None:
    case = sample(LinearModel(1, 1), 1)
    terms = replace(case.terms, loss=loss)
    reached = after - loss <= terms.loss_change_max(millionths, 1)
    assert reached == (Fraction(after) <= (1 - Fraction(millionths, SHARE_SCALE)) * loss)


def test_a_base_loss_of_zero_or_below_the_minimum_is_refused() -> None:
    model = LinearModel(2, 1)
    perfect = Benchmark.of(model, np.array([[1, 2], [3, 4]]), np.zeros(2))
    terms = PublicTerms.of(model, 2, np.zeros((3, 1), dtype=np.int64), perfect)
    assert terms.loss == 0
    with pytest.raises(ProofInvalid, match="below the smallest one"):
        terms.loss_change_max(50_000, 1)
    case = sample(model, 2)
    case.terms.loss_change_max(50_000, case.terms.loss)
    for minimum in (case.terms.loss + 1, 0, -1):
        with pytest.raises(ProofInvalid, match="base loss"):
            case.terms.loss_change_max(50_000, minimum)


def test_terms_outside_the_budget_are_refused() -> None:
    model = LinearModel(2, 3, weight_bits=20)
    good = Benchmark.of(model, np.ones((4, 2)), np.array([0, 1, 2, 0]))
    zero = np.zeros((3, 3), dtype=np.int64)
    PublicTerms.of(model, 4, zero, good)
    for base in (zero + (1 << 20), zero - (1 << 20), zero[:2], zero + 0.5, zero.astype(float)):
        with pytest.raises(DecodeError, match="base model"):
            PublicTerms.of(model, 4, base, good)
    wide, no_bias, far = good.features.copy(), good.features.copy(), good.targets.copy()
    wide[0, 0], no_bias[1, -1], far[2, 2] = 128, 126, (127 << 15) + 1
    for x, t in (
        (wide, good.targets),
        (no_bias, good.targets),
        (good.features, far),
        (good.features[:3], good.targets),
    ):
        with pytest.raises(DecodeError, match="benchmark"):
            PublicTerms.of(model, 4, zero, Benchmark(x, t))


@CURVES
def test_the_widest_model_that_a_policy_can_name_stays_in_the_field(curve: Curve) -> None:
    bounds = _Bounds.of(LinearModel(1 << 16, 1 << 12, 15, 30), 1 << 20)
    assert 2 * max(bounds.change, bounds.loss) * 2 < curve.order


def test_a_shape_whose_sums_can_wrap_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(BLS12_381, name="61 bits", order=(1 << 61) - 1)
    monkeypatch.setitem(CURVES_BY_NAME, small.name, small)
    with pytest.raises(ValueError, match="can wrap around the field of 61 bits; use fewer rows"):
        improvement_circuit(LinearModel(64, 10), 200, small.name)
    improvement_circuit(LinearModel(1, 1, 1, 1), 1, small.name)


# -- every wire ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 2, 5), (2, 3, 5)], ids=str)
def test_only_masks_and_ctx_have_a_second_value(shape: tuple[int, int, int]) -> None:
    case = sample(LinearModel(*shape[:2]), shape[2])
    assert (case.update != 0).all()
    free = free_wires(case.system, case.run().check())
    # With one column there is nothing to combine: tau, which the verifier draws, multiplies nothing.
    one_column = {"input/tau"} if case.model.outputs == 1 else set()
    assert names_of(case.system, free) == {"input/ctx", "mask/update", "mask/stage-0", "mask/stage-1"} | one_column
    assert all(len(values) >= 4 for values in free.values())
