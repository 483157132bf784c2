"""A proof of knowledge speaks about each segment at its own place and about no other.

Source: protocol.md section 5; review H2 (re-balancing) and P2 (the fold). With one sigma for two
segments, and without the fold f, wires move between segments of different stages. What stops it:
sigma_k differ (equal ones are a refused key) and the folded sum weighs each D_k by its own f^k.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.groth16.samples import (
    Case,
    Forger,
    challenger_of,
    equations,
    holds,
    improvement,
    scalar_source,
    times,
    total,
    verdicts,
)
from zkfed.algebra.backend import Points
from zkfed.algebra.field import to_limbs
from zkfed.errors import KeyRefused, ProofInvalid
from zkfed.groth16.keys import refuse
from zkfed.groth16.proof import Proof
from zkfed.groth16.verify import verify


def parts(case: Case) -> tuple[Proof, list[Points]]:
    """Returns an honest proof and the summands sigma_k D_k of its PoK, which the prover knows."""
    forger = Forger(case, case.instance, case.private)
    _, _, _, segments = forger.commit(scalar_source(7, case.order))
    unlinked = [s for s, g in zip(segments, case.system.segments, strict=True) if not g.is_linked]
    summands = [case.backend.msm(p, s) for p, s in zip(case.key.pok, unlinked, strict=True)]
    return forger.proof(), summands


def refused(case: Case, proof: Proof, expected: tuple[bool, bool, bool]) -> None:
    assert verdicts(case.vk, case.instance, proof) == expected
    with pytest.raises(ProofInvalid):
        verify(case.vk, case.instance, proof)


def test_the_honest_fold_of_the_summands_is_the_pok() -> None:
    case = improvement()
    proof, (first, second) = parts(case)
    f = challenger_of(case.vk, case.instance, proof).fold(proof.d)
    folded = total(case.backend, first, times(case.backend, second, f))
    verify(case.vk, case.instance, replace(proof, pok=folded))


def test_the_pok_of_one_segment_is_no_pok_of_two() -> None:
    case = improvement()
    proof, summands = parts(case)
    for alone in summands:
        refused(case, replace(proof, pok=alone), (True, False, True))


def test_the_pok_of_the_segments_in_the_other_order_is_refused() -> None:
    case = improvement()
    proof, (first, second) = parts(case)
    f = challenger_of(case.vk, case.instance, proof).fold(proof.d)
    folded = total(case.backend, second, times(case.backend, first, f))
    refused(case, replace(proof, pok=folded), (True, False, True))


def test_the_pok_without_the_fold_is_refused() -> None:
    case = improvement()
    proof, (first, second) = parts(case)
    refused(case, replace(proof, pok=total(case.backend, first, second)), (True, False, True))


def test_the_pok_of_another_proof_is_refused() -> None:
    case = improvement()
    refused(case, replace(case.prove(1), pok=case.prove(2).pok), (True, False, True))


@pytest.mark.parametrize("order", [(0, 2, 1), (1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_segments_in_another_order_are_refused(order: tuple[int, int, int]) -> None:
    case = improvement()
    swapped = replace(case.proof, d=tuple(case.proof.d[i] for i in order))
    with pytest.raises(ProofInvalid):
        verify(case.vk, case.instance, swapped)


def test_the_link_of_another_proof_is_refused() -> None:
    case = improvement()
    refused(case, replace(case.prove(1), link=case.prove(2).link), (True, True, False))


def test_the_pok_in_the_place_of_the_link_and_back_is_refused() -> None:
    case = improvement()
    assert case.proof.pok is not None
    refused(case, replace(case.proof, pok=case.proof.link, link=case.proof.pok), (True, False, False))


@pytest.mark.parametrize("sign", [1, -1])
def test_with_one_sigma_wires_move_between_segments_and_the_key_is_refused(sign: int) -> None:
    """The control: a key with sigma_2 = +-sigma_1, a verifier without the fold, X out of segment 1."""
    case = improvement()
    b, key, trapdoors = case.backend, case.key, case.trapdoors
    sigma = trapdoors.sigma(case.vk.layout)[0]
    one = b.generator("G2", to_limbs([sigma, sign * sigma % case.order]))
    shared = replace(case.vk, sigma=one)
    proof = case.prove(3)
    x = b.take(key.bases[1], np.array([0]))
    moved = replace(proof, d=(proof.d[0], b.add(proof.d[1], x), b.add(proof.d[2], b.negate(x))))

    def without_fold(d: tuple[Points, ...], pok: Points) -> bool:
        pairs = [(pok, b.generator("G2", to_limbs([1])))]
        pairs += [(b.negate(d[i + 1]), b.take(one, np.array([i]))) for i in range(2)]
        return holds(b, pairs)

    pok = total(b, times(b, proof.d[1], sigma), times(b, proof.d[2], sign * sigma))
    assert without_fold(proof.d, pok)
    # From the old PoK and the published sigma basis: with equal sigmas nothing changes at all.
    published = b.take(key.pok[0], np.array([0]))
    assert without_fold(moved.d, pok if sign == 1 else total(b, pok, times(b, published, 2)))
    # Equation 1 cannot tell, for the challenges that stand: only the sum of all D_k enters it.
    challenger = challenger_of(case.vk, case.instance, proof)
    assert holds(b, equations(case.vk, challenger, moved)[0])
    with pytest.raises(KeyRefused, match=r"sigma\[1\] equals sigma\[0\] up to sign"):
        refuse(shared)
    with pytest.raises(KeyRefused):
        verify(shared, case.instance, moved)
    # Under the real key, with two sigmas, the same move fails.
    with pytest.raises(ProofInvalid):
        verify(case.vk, case.instance, moved)
