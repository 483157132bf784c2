"""Shows that the circuit of S1, S2 and S3 accepts what is true of a model's loss, and nothing else.

Every shape of model on a benchmark, on drawn rows and published. Every wire of small instances is
tampered with. Each part of the claim, made false alone, fails at the constraint that is named for it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.statements.evaluation_samples import ROWS, SHAPES, Subject, subject
from tests.witness_runner import Run, free_wires, names_of
from zkfed.algebra.curve import BN254
from zkfed.errors import DecodeError, ProofInvalid, UnsatisfiedConstraint
from zkfed.inference import forward
from zkfed.policy import SHARE_SCALE
from zkfed.statements.evaluation import evaluation_circuit, target_unit
from zkfed.statements.improvement import Benchmark
from zkfed.statements.terms import BenchmarkTerms, loss_bound

KINDS = ["S1", "S2", "S3"]
SIDES = ("low", "high")
CASES = [(shape, "squared") for shape in SHAPES] + [
    ("binary", "hinge"), ("two hidden layers, binary", "hinge"), ("binary", "logistic"),
    ("two hidden layers, binary", "logistic"), ("linear", "cross-entropy"), ("one hidden layer", "cross-entropy"),
    ("linear", "accuracy"), ("binary", "accuracy"),
]  # fmt: skip


@cache
def made(shape: str, kind: str, loss: str = "squared") -> Subject:
    return subject(shape, kind, loss=loss)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("shape", "loss"), CASES)
def test_a_true_claim_satisfies_for_every_challenge(shape: str, loss: str, kind: str) -> None:
    for seed in range(3):
        made(shape, kind, loss).run(seed=seed).check()


@pytest.mark.parametrize("kind", KINDS)
def test_both_curves_have_one_circuit(kind: str) -> None:
    other = replace(made("one hidden layer", kind), curve=BN254)
    other.run().check()
    assert other.system.constraint_count == made("one hidden layer", kind).system.constraint_count


# Public inputs are bound by the proof system (their isolated rows); masks hide their segments.
FREE = {"input/ctx", "mask/update", "mask/stage-0", "mask/rows"}
# A public number times a sketch that is zero: the unit is silent on every row of this instance.
SILENT = {f"input/{owner}/layer-{layer}" for owner in ("base", "old", "new") for layer in (2, 3)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("shape", "loss"),
    [("linear", "squared"), ("two hidden layers, binary", "squared"), ("binary", "hinge"), ("linear", "accuracy")],
)
def test_no_other_value_of_any_wire_is_accepted(shape: str, loss: str, kind: str) -> None:
    one = made(shape, kind, loss)
    free = names_of(one.system, free_wires(one.system, one.run().check()))
    masks = {f"mask/{s.name}" for s in one.system.segments}
    assert {"input/ctx"} | masks <= free <= FREE | (SILENT if one.statement.model.hidden else set())


# -- the parts of the claim -----------------------------------------------------------------------


def refusal(one: Subject, **changes: Any) -> str:
    """Returns the constraint that an honest prover is told of; "" if the claim is true.

    A prover that goes on all the same must fail too.
    """
    try:
        one.run(**changes).check()
    except UnsatisfiedConstraint as error:
        assert one.run(is_strict=False, **changes).failing()
        return error.constraint
    return ""


@pytest.mark.parametrize(("shape", "loss"), CASES)
def test_the_loss_of_a_benchmark_is_the_stated_bound(shape: str, loss: str) -> None:
    """One less than the bound that an honest prover reaches fails at the comparison."""
    one = made(shape, "S2", loss)
    assert one.benchmark()[0]["loss-max"] == losses(one)[1]
    assert not refusal(one)
    if losses(one)[1]:
        assert refusal(one, **{"loss-max": losses(one)[1] - 1}).startswith("improvement/")


def losses(one: Subject) -> tuple[int, int]:
    """Returns the old model's loss from below and the new one's from above."""
    x = np.concatenate([one.features, np.full((ROWS, 1), 127)], axis=1)
    new = (one.base.ravel() + one.update).reshape(one.base.shape)
    logits = [forward(one.statement.model, weights, x).logits for weights in (one.base, new)]
    low, high = (
        loss_bound(one.statement, one.kind, side, z, one.targets)
        for side, z in zip(("low", "high"), logits, strict=True)
    )
    return low, high


@pytest.mark.parametrize("kind", ["S1", "S3"])
@pytest.mark.parametrize(("shape", "loss"), CASES)
def test_the_share_on_own_rows_is_exact_to_a_millionth(shape: str, loss: str, kind: str) -> None:
    one = made(shape, kind, loss)
    old, new = losses(one)
    best = (old - new) * SHARE_SCALE // old
    assert 0 < best <= SHARE_SCALE
    assert not refusal(one, share=best)
    if best < SHARE_SCALE:
        assert refusal(one, share=best + 1).startswith("improvement/")


@pytest.mark.parametrize("kind", ["S1", "S3"])
def test_the_base_loss_is_at_least_the_smallest_accepted_one(kind: str) -> None:
    one = made("one hidden layer", kind)
    old, _ = losses(one)
    assert not refusal(one, **{"base-loss-min": old})
    assert refusal(one, **{"base-loss-min": old + 1}).startswith("base-loss/least/")


@pytest.mark.parametrize("kind", ["S1", "S3"])
@pytest.mark.parametrize(("shape", "loss"), CASES)
def test_the_base_loss_is_at_most_the_cap(shape: str, loss: str, kind: str) -> None:
    """The cap holds for a bound from above, so the real loss is below it."""
    plain = made(shape, kind, loss)
    x = np.concatenate([plain.features, np.full((ROWS, 1), 127)], axis=1)
    logits = forward(plain.statement.model, plain.base, x).logits
    high = loss_bound(plain.statement, kind, "high", logits, plain.targets)
    one = replace(plain, statement=replace(plain.statement, base_loss_max=high))
    assert not refusal(one, **{"base-loss-max": high})
    assert refusal(one, **{"base-loss-max": high - 1}).startswith("base-loss/most/")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", [0, 1])
def test_a_wrong_product_fails_at_its_layer(kind: str, layer: int) -> None:
    """The prover claims other pre-activations for one unit, and everything after it follows from them."""
    one = made("one hidden layer", kind)
    private = one.run().private
    private["new"].pre[layer][1, 2] += 1
    assert f"new/layer-{layer + 1}/equal" in one.run(is_strict=False, new=private["new"]).failing()
    if kind != "S2":
        private["old"].pre[layer][1, 2] -= 1
        assert f"old/layer-{layer + 1}/equal" in one.run(is_strict=False, old=private["old"]).failing()


def ends(work: Run, end: str) -> set[str]:
    return {name for name in work.failing() if name.endswith(end)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", ["linear", "one hidden layer"])
def test_other_labels_fail(shape: str, kind: str) -> None:
    one = made(shape, kind)
    assert not ends(one.run(is_strict=False), "/equal")
    work = one.run(is_strict=False)
    work.private["targets"] = np.roll(one.targets, 1, axis=1)
    assert ends(work, "/equal")


@pytest.mark.parametrize("kind", ["S1", "S3"])
@pytest.mark.parametrize("column", [0, 3])
def test_other_rows_than_the_drawn_ones_fail(kind: str, column: int) -> None:
    """The link fixes the sketch; a forward pass over other features or labels does not fit it."""
    one = made("linear", kind)
    work = one.run(is_strict=False)
    rows = work.private["rows"].copy()
    rows[2, column] += 1
    work.private["rows"] = rows
    assert ends(work, "/equal")


@pytest.mark.parametrize("kind", ["S1", "S2"])
def test_an_update_outside_its_range_or_norm_fails(kind: str) -> None:
    one = made("one hidden layer", kind)
    update = one.update.copy()
    norm = int((update**2).sum())
    assert not refusal(one, **{"squared-norm-max": norm})
    assert refusal(one, **{"squared-norm-max": norm - 1}).startswith("update/norm-slack/")
    for value in (1 << 15, -(1 << 15) - 1):
        update[0] = value
        assert refusal(one, update=update).startswith("update/range/")


def test_an_activation_outside_its_range_fails() -> None:
    one = made("one hidden layer", "S2")
    work = one.run(is_strict=False)
    work.private["new"].pre[0][0, 0] = 1 << 31
    assert {"table/sum", "new/layer-1/equal"} <= work.failing()


def test_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="no statement 'bn254' about losses"):
        evaluation_circuit(made("linear", "S2").statement, "bn254")


# -- the public terms -----------------------------------------------------------------------------


def test_terms_refuse_what_the_circuit_is_not_built_for() -> None:
    one = made("one hidden layer", "S2")
    x = np.concatenate([one.features, np.full((ROWS, 1), 127)], axis=1)
    benchmark = Benchmark(x, one.targets * target_unit(one.statement))
    for base in (one.base[1:], one.base.reshape(1, -1), one.base * 1000, one.base * 1.0):
        with pytest.raises(DecodeError, match="base model"):
            BenchmarkTerms.of(one.statement, base, benchmark)
    large = np.full_like(one.base, (1 << 20) - 1)
    assert BenchmarkTerms.of(one.statement, large, benchmark).loss > 0
    terms = BenchmarkTerms.of(one.statement, one.base, benchmark)
    with pytest.raises(ProofInvalid, match="smallest one"):
        terms.loss_change_max(10_000, terms.loss + 1)
    with pytest.raises(UnsatisfiedConstraint, match="norm"):
        terms.check_update(one.update, squared_norm_max=0, loss_change_max=0)
    with pytest.raises(UnsatisfiedConstraint, match="claimed share"):
        terms.check_update(one.update, squared_norm_max=1 << 60, loss_change_max=terms.loss_change(one.update) - 1)


@pytest.mark.parametrize("shape", ["linear", "binary"])
@pytest.mark.parametrize("change", [lambda t: t * 2, lambda t: t * 0, lambda t: t + 1, lambda t: -t, lambda t: t // 2])
def test_targets_that_are_no_labels_are_refused(shape: str, change: Any) -> None:
    """The circuit takes the sketch of a benchmark's targets for one of labels."""
    one = made(shape, "S2", "accuracy")
    x = np.concatenate([one.features, np.full((ROWS, 1), 127)], axis=1)
    targets = one.targets * target_unit(one.statement)
    BenchmarkTerms.of(one.statement, one.base, Benchmark(x, targets))
    bad = targets.copy()
    bad[1] = change(bad[1])
    if not (shape == "binary" and (bad == -targets)[1].all()):
        with pytest.raises(DecodeError, match="benchmark"):
            BenchmarkTerms.of(one.statement, one.base, Benchmark(x, bad))
