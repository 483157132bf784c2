"""Groth16 proofs are malleable: anyone makes another proof of the same statement. That is all.

Source: [Groth16] section 3.2; protocol.md section 5, Claims. (A/q, q B, C) and (A, B + q delta,
C + q A) verify, so bytes of a proof identify nothing: replay protection keys on the nullifier. What
a third party cannot do is to change the statement or anything that is hashed.
"""

from __future__ import annotations

import inspect
from dataclasses import replace

import numpy as np
import pytest

from tests.groth16.samples import CASES, Case, times, total
from zkfed.errors import ProofInvalid
from zkfed.groth16.proof import Proof
from zkfed.groth16.verify import verify, verify_batch

Q = 0x1234567890ABCDEF


def scaled(case: Case, proof: Proof, q: int) -> Proof:
    b = case.backend
    return replace(proof, a=times(b, proof.a, pow(q, -1, case.order)), b=times(b, proof.b, q))


def shifted(case: Case, proof: Proof, q: int) -> Proof:
    b = case.backend
    return replace(proof, b=total(b, proof.b, times(b, case.vk.delta, q)), c=total(b, proof.c, times(b, proof.a, q)))


@pytest.fixture(params=CASES, scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]()


@pytest.mark.parametrize("change", [scaled, shifted])
def test_a_rerandomised_proof_holds_and_has_other_bytes(case: Case, change: object) -> None:
    """Documented, not prevented."""
    assert callable(change)
    again = change(case, case.proof, Q)
    assert again.encode(case.backend) != case.proof.encode(case.backend)
    verify(case.vk, case.instance, again)
    verify_batch(case.vk, [case.instance] * 3, [case.proof, again, change(case, again, Q)])


@pytest.mark.parametrize("change", [scaled, shifted])
def test_a_rerandomised_proof_is_bound_to_the_same_statement(case: Case, change: object) -> None:
    assert callable(change)
    again = change(case, case.proof, Q)
    for other in (
        replace(case.instance, context=bytes(32)),
        case.with_static(squared_norm_max=case.instance.static["squared-norm-max"] - 1),
        replace(case.instance, commitments=(case.generators.blinder,)),
    ):
        with pytest.raises(ProofInvalid):
            verify(case.vk, other, again)


@pytest.mark.parametrize("part", ["a", "b", "c"])
def test_half_a_rerandomisation_is_refused(case: Case, part: str) -> None:
    for change in (scaled, shifted):
        again = change(case, case.proof, Q)
        if getattr(again, part) is getattr(case.proof, part):
            continue
        with pytest.raises(ProofInvalid):
            verify(case.vk, case.instance, replace(again, **{part: getattr(case.proof, part)}))


def test_a_negated_pair_is_the_same_proof_and_a_single_sign_is_not(case: Case) -> None:
    b = case.backend
    verify(case.vk, case.instance, replace(case.proof, a=b.negate(case.proof.a), b=b.negate(case.proof.b)))
    with pytest.raises(ProofInvalid):
        verify(case.vk, case.instance, replace(case.proof, a=b.negate(case.proof.a)))


def test_masks_and_points_that_are_hashed_cannot_be_rerandomised(case: Case) -> None:
    """D_k enters the challenges: moving a mask from D_k into C or PoK needs the witness again."""
    b = case.backend
    at = next(i for i, s in enumerate(case.vk.layout.segments) if not s.is_linked)
    basis, pok = case.key.bases[at], case.key.pok[0]
    mask, sigma_mask = (b.take(p, np.array([len(p) - 1])) for p in (basis, pok))
    # The mask's row is empty in B and C, so no h and no C makes up for it: K_mask has no K/delta.
    d = tuple(total(b, p, times(b, mask, Q)) if i == at else p for i, p in enumerate(case.proof.d))
    assert case.proof.pok is not None
    forged = replace(case.proof, d=d, pok=total(b, case.proof.pok, times(b, sigma_mask, Q)))
    with pytest.raises(ProofInvalid):
        verify(case.vk, case.instance, forged)


def test_the_nullifier_does_not_see_the_proof() -> None:
    """It keys on policy, round, kind and client; so the same update cannot count twice."""
    from zkfed.layers.polis import Adder

    assert list(inspect.signature(Adder._nullifier).parameters) == ["self", "client"]
    assert "proof" not in inspect.getsource(Adder._nullifier)
