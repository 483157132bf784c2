"""Claims that are false over the integers, however the witness is bent.

Source: the table of protocol.md section 6 and review M3-M5. Each cheat is tried twice: the honest
prover refuses to prove it, and a forger who skips every check of his own makes a proof that the
verifier refuses. Controls show that the arithmetic of the cheat works modulo r.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.groth16.samples import CONTEXT, Case, Forger, improvement, noise, s0, verdicts
from tests.statements.circuit_samples import HALF, reducing, root_of_two, sample
from zkfed.algebra.field import as_ints, to_limbs
from zkfed.errors import DecodeError, ProofInvalid, UnsatisfiedConstraint
from zkfed.fixedpoint import LANE_BITS, LANES
from zkfed.groth16.proof import Instance
from zkfed.groth16.verify import verify
from zkfed.policy import LinearModel
from zkfed.statements.improvement import Benchmark, PublicTerms


def commitment_to(case: Case, values: Any) -> Any:
    """Returns Com(values; rho) for any scalars, in range or not, as an attacker computes it."""
    flat = [int(v) for v in as_ints(values).ravel().tolist()]
    lanes = [
        sum(v << (LANE_BITS * i) for i, v in enumerate(flat[at : at + LANES])) % case.order
        for at in range(0, len(flat), LANES)
    ]
    b = case.backend
    return b.msm(b.concat("G1", [case.generators.lanes, case.generators.blinder]), to_limbs([*lanes, case.blinder]))


def refused(case: Case, update: Any, *, constraint: str | tuple[str, ...] = "", **static: int) -> None:
    """Tries to prove an update as prover, as forger, and as forger who computes modulo r."""
    flat = as_ints(np.asarray(update, dtype=object)).ravel()
    instance = replace(case.with_static(**static), commitments=(commitment_to(case, flat),))
    private = {**case.private, "update": flat}
    with pytest.raises(UnsatisfiedConstraint) as caught:
        case.prover.prove(instance, private, (case.blinder,))
    assert caught.value.constraint.startswith(constraint)
    for system in (None, reducing(case.system)):
        proof = Forger(case, instance, private, system=system).proof()
        # The commitments are those of one vector: it is the circuit that says no.
        assert verdicts(case.vk, instance, proof) == (False, True, True)
        with pytest.raises(ProofInvalid):
            verify(case.vk, instance, proof)


def limits(case: Case) -> dict[str, int]:
    """Returns the loosest norm that the circuit allows."""
    bounds = next(i.bounds for i in case.system.inputs if i.name == "squared-norm-max")
    assert bounds is not None
    return {"squared_norm_max": bounds[1]}


# -- norms that wrap around ------------------------------------------------------------------------


def test_control_a_large_vector_can_have_a_small_norm_modulo_r() -> None:
    order = s0().order
    assert sum(v * v for v in [99, 0, 7]) == 9850
    assert 9850 % 23 == 6
    root = root_of_two(s0().system.curve)
    assert root * root % order == 2
    assert 250 < min(root, order - root).bit_length() <= 255


@pytest.mark.parametrize("make", [s0, noise])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_coordinate_whose_square_wraps_to_two_is_refused(make: Any, sign: int) -> None:
    case = make()
    root = sign * root_of_two(case.system.curve)
    refused(case, [root] + [0] * 7, squared_norm_max=2, constraint="update/range")


def test_in_s2_too() -> None:
    case = improvement()
    update = case.private["update"].copy()
    update[4] = root_of_two(case.system.curve)
    refused(case, update, **limits(case), constraint="update/range")


@pytest.mark.parametrize(
    "value", [HALF, -HALF - 1, 1 << 16, 1 << 31, (1 << 32) + 5, 1 << 128, s0().order - 1 - HALF, s0().order // 2]
)
def test_coordinates_out_of_range_are_refused(value: int) -> None:
    refused(s0(), [value] + [1] * 7, **limits(s0()), constraint="update/range")


@pytest.mark.parametrize("value", [HALF - 1, -HALF])
def test_control_the_ends_of_the_range_are_proven(value: int) -> None:
    case = s0()
    update = as_ints([value] * 8)
    instance = replace(case.with_static(**limits(case)), commitments=(case.generators.commit(update, case.blinder),))
    verify(case.vk, instance, case.prover.prove(instance, {"update": update}, (case.blinder,)))


@pytest.mark.parametrize("make", [s0, noise, improvement])
def test_a_norm_that_is_one_too_large_is_refused(make: Any) -> None:
    case = make()
    update = case.private["update"].ravel()
    norm = int((update * update).sum())
    exact = case.with_static(squared_norm_max=norm)
    verify(case.vk, exact, case.prover.prove(exact, case.private, (case.blinder,)))
    refused(case, update, squared_norm_max=norm - 1, constraint="update/norm-slack")


def test_a_noise_as_large_as_an_attack_is_refused() -> None:
    case = noise()
    for value in (1 << 28, -(1 << 28) - 1):
        refused(case, [value] + [0] * 7, **limits(case), constraint="update/range")


# -- improvements that are none --------------------------------------------------------------------


def worse(case: Case) -> list[tuple[str, Any]]:
    update = case.private["update"]
    return [
        ("D = 0", update * 0),
        ("the update turned around", -update),
        ("one step too short", update * 6 // 10),
        ("random", as_ints([(-1) ** (i * i % 3) * 20_000 for i in range(len(update))])),
    ]


@pytest.mark.parametrize("classes", [1, 2, 3])
@pytest.mark.parametrize("which", range(4), ids=["zero", "sign flip", "too short", "random"])
def test_an_update_that_does_not_improve_enough_is_refused(classes: int, which: int) -> None:
    case = improvement(3, classes)
    _, update = worse(case)[which]
    refused(case, update, **limits(case), constraint=("improvement", "forms"))


def test_a_change_that_is_one_too_large_is_refused() -> None:
    case = improvement()
    s = sample(LinearModel(3, 3), 20)
    change = s.terms.loss_change(s.update)
    exact = case.with_static(loss_change_max=change)
    verify(case.vk, exact, case.prover.prove(exact, case.private, (case.blinder,)))
    refused(case, s.update, loss_change_max=change - 1, constraint="improvement")


def test_a_claim_of_no_improvement_is_outside_the_range_of_claims() -> None:
    """M < 0 always: D = 0 has change 0 and proves nothing."""
    case = improvement()
    for claimed in (0, 1, 10**6):
        with pytest.raises(ProofInvalid, match="loss-change-max is outside its range"):
            verify(case.vk, case.with_static(loss_change_max=claimed), case.proof)


def test_another_benchmark_or_base_model_has_another_sketch() -> None:
    """The verifier derives the sketch itself: a proof about other rows does not hold."""
    case = improvement()
    for seed in (2, 3):
        s = sample(LinearModel(3, 3), 20, seed=seed)
        static = dict(case.instance.static)
        other = s.terms.instance(
            CONTEXT, case.instance.commitments[0], curve=case.system.curve,
            squared_norm_max=static["squared-norm-max"], loss_change_max=static["loss-change-max"],
        )  # fmt: skip
        with pytest.raises(ProofInvalid):
            verify(case.vk, other, case.proof)


def test_a_prover_who_invents_gram_and_gradient_is_refused() -> None:
    """Hints read G and N from the prover; the rows compare them with the verifier's sketch."""
    case = improvement()
    private = {**case.private, "gradient": case.private["gradient"] * 100}
    proof = Forger(case, case.instance, private).proof()
    assert verdicts(case.vk, case.instance, proof) == (False, True, True)
    with pytest.raises(ProofInvalid):
        verify(case.vk, case.instance, proof)
    with pytest.raises(UnsatisfiedConstraint):
        case.prover.prove(case.instance, private, (case.blinder,))


# -- terms that mean nothing -----------------------------------------------------------------------


def perfect() -> PublicTerms:
    """Returns the terms of a base model whose loss is exactly 0."""
    model = LinearModel(1, 1, fraction_bits=15)
    x = np.array([[0.0], [0.0]])
    benchmark = Benchmark.of(model, x, np.array([0.5, 0.5]))
    base = np.array([[0], [benchmark.targets[0, 0] // 127]])
    return PublicTerms.of(model, 2, base, benchmark)


def test_a_zero_base_loss_is_refused() -> None:
    terms = perfect()
    assert terms.loss == 0
    for least in (1, 10**6):
        with pytest.raises(ProofInvalid, match="below the smallest one"):
            terms.loss_change_max(50_000, least)


def test_a_base_loss_below_the_smallest_one_is_refused() -> None:
    terms = sample(LinearModel(3, 3), 20).terms
    assert terms.loss_change_max(50_000, terms.loss) < 0
    with pytest.raises(ProofInvalid) as caught:
        terms.loss_change_max(50_000, terms.loss + 1)
    assert str(terms.loss) not in str(caught.value)


@pytest.mark.parametrize("least", [0, -1])
def test_a_smallest_base_loss_of_nothing_is_refused(least: int) -> None:
    with pytest.raises(ProofInvalid):
        sample(LinearModel(3, 3), 20).terms.loss_change_max(50_000, least)


@pytest.mark.parametrize("share", [1, 49_999, 50_000, 333_333, 1_000_000])
def test_the_limit_rounds_against_the_prover(share: int) -> None:
    terms = sample(LinearModel(3, 3), 20).terms
    maximum = terms.loss_change_max(share, 1)
    # L1 = L0 + M satisfies S L1 <= (S - X) L0, and L1 + 1 does not.
    assert (terms.loss + maximum) * 10**6 <= (10**6 - share) * terms.loss < (terms.loss + maximum + 1) * 10**6
    assert maximum < 0


def edited(part: str, value: int, at: tuple[int, int] = (1, 1)) -> Benchmark:
    model = LinearModel(3, 3)
    rng = np.random.default_rng(1)
    rows = Benchmark.of(model, rng.uniform(-1, 1, (20, 3)), rng.integers(0, 3, 20))
    array = getattr(rows, part).copy()
    array[at] = value
    return replace(rows, **{part: array})


@pytest.mark.parametrize(
    ("part", "value", "at"),
    [
        ("features", 128, (1, 1)),
        ("features", -128, (1, 1)),
        ("features", np.iinfo(np.int64).max, (1, 1)),
        # |-2^63| is -2^63 for numpy: it must not pass as small.
        ("features", np.iinfo(np.int64).min, (1, 1)),
        ("targets", np.iinfo(np.int64).min, (1, 1)),
        ("targets", (127 << 15) + 1, (1, 1)),
        ("features", 126, (5, 3)),
        ("features", -127, (5, 3)),
    ],
)
def test_rows_outside_the_bit_budget_are_refused(part: str, value: int, at: tuple[int, int]) -> None:
    model = LinearModel(3, 3)
    with pytest.raises(DecodeError, match="outside its range"):
        PublicTerms.of(model, 20, np.zeros((4, 3), dtype=np.int64), edited(part, value, at))


@pytest.mark.parametrize("weight", [1 << 20, -(1 << 20), np.iinfo(np.int64).min, np.iinfo(np.int64).max])
def test_base_models_outside_the_bit_budget_are_refused(weight: int) -> None:
    base = np.zeros((4, 3), dtype=np.int64)
    base[2, 1] = weight
    with pytest.raises(DecodeError, match="base model"):
        PublicTerms.of(LinearModel(3, 3), 20, base, edited("features", 1))


def test_an_instance_without_the_range_of_the_circuit_is_refused() -> None:
    case = s0()
    top = limits(case)["squared_norm_max"]
    instance = Instance(CONTEXT, {"squared-norm-max": top + 1}, case.instance.commitments)
    with pytest.raises(ProofInvalid, match="outside its range"):
        verify(case.vk, instance, case.proof)
