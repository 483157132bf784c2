"""False claims about private rows and benchmarks: S1, S2 and S3 of every model and loss.

As test_statement_false_claims.py for the other circuits: a forger who checks nothing makes a proof,
and the verifier's equations say who notices. The witness is bent so that one check stands against it.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from circuits.evaluations import Case, _honest, build, case_of
from circuits.keys import Honest
from tests.groth16.samples import keys_of, scalar_source, verdicts
from tests.statements.circuit_samples import reducing, root_of_two
from zkfed.algebra.backend import Points
from zkfed.algebra.field import to_limbs
from zkfed.commitments.pedersen import generators
from zkfed.errors import ProofInvalid
from zkfed.fixedpoint import LANE_BITS, LANES
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.prove import Prover
from zkfed.groth16.verify import verify
from zkfed.statements.update_bound import USE

SHAPES = {"S1": "squared 3-3 n=4 capped", "S2": "squared 3-4-3 n=4", "S3": "squared 3-3 n=4 capped"}


@functools.cache
def prover_of(kind: str) -> Prover:
    system = build(kind)(SHAPES[kind], "bls12-381")
    return Prover(keys_of(system)[0], system)


def honest_of(case: Case) -> Honest:
    return _honest(case)(prover_of(case.kind).backend)


def commitment_to(kind: str, values: Any, blinder: int = 7) -> Points:
    """Returns Com(values; blinder) for any scalars, in range or not."""
    b = prover_of(kind).backend
    flat = [int(v) for v in values]
    lanes = [
        sum(v << (LANE_BITS * i) for i, v in enumerate(flat[at : at + LANES])) % b.curve.order
        for at in range(0, len(flat), LANES)
    ]
    g = generators(b, USE, len(flat))
    return b.msm(b.concat("G1", [g.lanes, g.blinder]), to_limbs([*lanes, blinder]))


def forge(kind: str, instance: Instance, honest: Honest, **private: Any) -> Proof:
    """Assembles a proof of `instance`, true or not, from a changed witness that is computed modulo r."""
    prover = Prover(prover_of(kind).key, reducing(prover_of(kind).system))
    rand = scalar_source(5, prover.backend.curve.order)
    challenger, z, d, segments = prover._commit(instance, {**honest.private, **private}, rand, is_strict=False)
    return prover._assemble((challenger, d, segments), z.final(), honest.blinders, rand)


def with_static(instance: Instance, **changes: int) -> Instance:
    return replace(instance, static={**instance.static, **{k.replace("_", "-"): v for k, v in changes.items()}})


def refused(kind: str, instance: Instance, proof: Proof, which: tuple[bool, bool, bool]) -> None:
    """Shows that exactly the named equations fail: circuit, segments, link."""
    key = prover_of(kind).key.verifying
    with pytest.raises(ProofInvalid):
        verify(key, instance, proof)
    assert verdicts(key, instance, proof) == which


@pytest.mark.parametrize("kind", SHAPES)
def test_control_the_forger_with_a_true_claim_is_accepted(kind: str) -> None:
    honest = honest_of(case_of(kind, SHAPES[kind]))
    verify(prover_of(kind).key.verifying, honest.instance, forge(kind, honest.instance, honest))


@pytest.mark.parametrize("kind", ["S1", "S2"])
def test_no_change_is_no_improvement(kind: str) -> None:
    case = case_of(kind, SHAPES[kind])
    honest, still = honest_of(case), 0 * case.update
    private = {"update": still, "new": case.terms._after(still)}
    instance = replace(honest.instance, commitments=(commitment_to(kind, still),))
    refused(kind, instance, forge(kind, instance, honest, **private), (False, True, True))


def test_a_published_model_that_is_the_old_one_is_no_improvement() -> None:
    case = case_of("S3", SHAPES["S3"])
    static, still = dict(honest_of(case).instance.static), replace(case, update=0 * case.update)
    honest = honest_of(still)
    instance = replace(honest.instance, static=static)
    refused("S3", instance, forge("S3", instance, honest), (False, True, True))


def test_a_share_of_nothing_is_refused() -> None:
    case = case_of("S1", SHAPES["S1"])
    honest, still = honest_of(case), 0 * case.update
    private = {"update": still, "new": case.terms._after(still)}
    instance = with_static(replace(honest.instance, commitments=(commitment_to("S1", still),)), share=0)
    with pytest.raises(ProofInvalid, match="share is outside its range"):
        verify(prover_of("S1").key.verifying, instance, forge("S1", instance, honest, **private))
    # Nor by a verifier to whom the proof of another share is shown.
    with pytest.raises(ProofInvalid, match="share is outside its range"):
        verify(prover_of("S1").key.verifying, instance, forge("S1", honest.instance, honest))


@pytest.mark.parametrize("kind", ["S1", "S2"])
def test_a_coordinate_whose_square_wraps_is_refused(kind: str) -> None:
    """A column of zeros in the rows: its weight changes no logit, and 2 is its square modulo r."""
    case = case_of(kind, SHAPES[kind])
    features = case.features.copy()
    features[:, 0] = 0
    update = case.update.astype(object)
    update[: case.base.shape[1] if case.base.ndim > 1 else 4] = 0
    case = replace(case, features=features, update=update.astype(np.int64))
    honest = honest_of(case)
    update[0] = root_of_two(prover_of(kind).backend.curve)
    limit = honest.instance.static["squared-norm-max"] + 2
    instance = replace(honest.instance, commitments=(commitment_to(kind, update),))
    instance = with_static(instance, squared_norm_max=limit)
    refused(kind, instance, forge(kind, instance, honest, update=update), (False, True, True))


@pytest.mark.parametrize("kind", ["S1", "S2"])
def test_a_commitment_that_the_prover_cannot_open_is_refused(kind: str) -> None:
    """Another's C_D, under one's own ctx: the circuit holds for one's own update, the link does not."""
    case = case_of(kind, SHAPES[kind])
    honest = honest_of(case)
    stolen = replace(honest.instance, commitments=(commitment_to(kind, case.update, 8),))
    refused(kind, stolen, forge(kind, stolen, honest), (True, True, False))


@pytest.mark.parametrize("kind", ["S1", "S3"])
@pytest.mark.parametrize("part", ["features", "targets"])
def test_other_rows_than_the_committed_ones_are_refused(kind: str, part: str) -> None:
    """A true claim about the rows in another order of features, or with other labels."""
    case = case_of(kind, SHAPES[kind])
    honest = honest_of(case)
    shown = replace(case, **{part: np.roll(getattr(case, part), 1, axis=1)})
    limits = {i.name: i.bounds for i in prover_of(kind).system.inputs}
    most = limits["base-loss-max"]
    assert most is not None
    instance = with_static(honest.instance, share=1, base_loss_min=1, base_loss_max=most[1])
    private = honest_of(shown).private
    refused(kind, instance, forge(kind, instance, honest, **private), (True, True, False))


def test_a_small_base_loss_of_a_benchmark_is_refused() -> None:
    terms = case_of("S2", SHAPES["S2"]).terms
    assert terms.loss_change_max(1, terms.loss) < 0
    for least in (terms.loss + 1, 0, -1):
        with pytest.raises(ProofInvalid, match="below the smallest one"):
            terms.loss_change_max(1, least)
