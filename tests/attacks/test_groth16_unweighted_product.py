"""A proof made from the public key alone passes the product of the three equations.

Source: review C3. A = alpha, B = beta + t delta, C = t alpha satisfy e(A, B) = e(alpha, beta)
e(C, delta), so equation 1 is off by e(K_0 + sum x_j K_j + sum D_k, G2); PoK stands against the
same G2 in equation 2 and absorbs exactly that. What stops it: each equation has its own weight.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.groth16.samples import CASES, Case, challenger_of, equations, holds, times, total, verdicts
from zkfed.algebra.backend import Points
from zkfed.algebra.field import to_limbs
from zkfed.errors import ProofInvalid
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.verify import _weights, verify, verify_batch

T, M = 0xABCDEF << 70, 0x1234567 << 90


def forged(case: Case, instance: Instance) -> Proof:
    """Makes a proof of any statement from published points; no witness exists anywhere."""
    b, key, layout = case.backend, case.key, case.vk.layout
    d, pok_parts, unlinked = [], [], 0
    for segment, basis in zip(layout.segments, key.bases, strict=True):
        mask = b.take(basis, np.array([len(basis) - 1]))
        # The linked segment opens C_D = M H: a commitment to zero, whatever is claimed of it.
        d.append(times(b, mask, M))
        if not segment.is_linked:
            pok_parts.append(times(b, b.take(key.pok[unlinked], np.array([len(basis) - 1])), M))
            unlinked += 1
    (columns,) = key.link
    mask, blinder = b.take(columns, np.array([len(columns) - 2])), b.take(columns, np.array([len(columns) - 1]))
    link = times(b, total(b, mask, blinder), M)
    proof = Proof(
        key.verifying.alpha,
        b.add(case.vk.beta, times(b, case.vk.delta, T)),
        times(b, case.vk.alpha, T),
        tuple(d),
        pok_parts[0],
        link,
    )
    challenger = challenger_of(case.vk, instance, proof)
    f = challenger.fold(proof.d)
    parts = [times(b, p, pow(f, i, case.order)) for i, p in enumerate(pok_parts)]
    public = b.msm(case.vk.ic, to_limbs([1, *challenger.inputs]))
    pok = total(b, *parts, public, *proof.d)
    return Proof(proof.a, proof.b, proof.c, proof.d, pok, link)


def empty_commitment(case: Case) -> Points:
    return times(case.backend, case.generators.blinder, M)


@pytest.fixture(params=CASES)
def attack(request: pytest.FixtureRequest) -> tuple[Case, Instance, Proof]:
    case = CASES[request.param]()
    instance = replace(case.instance, commitments=(empty_commitment(case),))
    return case, instance, forged(case, instance)


def test_control_the_product_without_weights_accepts_it(attack: tuple[Case, Instance, Proof]) -> None:
    case, instance, proof = attack
    assert holds(case.backend, *equations(case.vk, challenger_of(case.vk, instance, proof), proof))
    # Two of the three equations are false, and their errors cancel.
    assert verdicts(case.vk, instance, proof) == (False, False, True)


def test_the_verifier_refuses_it(attack: tuple[Case, Instance, Proof]) -> None:
    case, instance, proof = attack
    with pytest.raises(ProofInvalid):
        verify(case.vk, instance, proof)
    with pytest.raises(ProofInvalid) as caught:
        verify_batch(case.vk, [case.instance, instance], [case.proof, proof])
    assert caught.value.culprits == (1,)


def test_weights_that_were_known_before_the_proof_are_worth_nothing(attack: tuple[Case, Instance, Proof]) -> None:
    """Who knows w_1 and w_2 scales what PoK absorbs by w_1/w_2: so every element of the proof fixes them."""
    case, instance, proof = attack
    b = case.backend
    challenger = challenger_of(case.vk, instance, proof)
    ((w1, w2, _),) = _weights(case.vk, [(0, challenger, proof)])
    public = total(b, b.msm(case.vk.ic, to_limbs([1, *challenger.inputs])), *proof.d)
    assert proof.pok is not None
    ratio = w1 * pow(w2, -1, case.order)
    suited = replace(proof, pok=total(b, proof.pok, times(b, public, ratio - 1)))
    first, second, third = equations(case.vk, challenger, suited)

    def raised(pairs: list[tuple[Points, Points]], weight: int) -> list[tuple[Points, Points]]:
        return [(times(b, left, weight), right) for left, right in pairs]

    # Control: with the weights of the draft the forgery holds.
    assert holds(b, raised(first, w1), raised(second, w2), third)
    assert (w1, w2) != _weights(case.vk, [(0, challenger, suited)])[0][:2]
    with pytest.raises(ProofInvalid):
        verify(case.vk, instance, suited)


@pytest.mark.parametrize("part", ["a", "b", "c", "d", "pok", "link"])
def test_every_element_of_every_proof_fixes_all_weights(part: str) -> None:
    case = CASES["S0"]()
    other = case.prove(99)
    changed = replace(case.proof, **{part: getattr(other, part)})
    challenger = challenger_of(case.vk, case.instance, case.proof)
    batch = [(i, challenger, case.proof) for i in range(3)]
    before = _weights(case.vk, batch)
    after = _weights(case.vk, [*batch[:2], (2, challenger, changed)])
    assert len({w for triple in before + after for w in triple}) == 18
    assert all(0 < w < 1 << 128 for triple in before for w in triple)
