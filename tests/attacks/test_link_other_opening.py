"""Proving about one update and committing to another: the link refuses every difference.

Source: protocol.md section 5, Link; review P1. The circuit speaks about D_u, the sum of a round is
opened against C_D. Without equation 3 they would have nothing to do with each other (control in
each test). What stops it: pi opens both with one witness.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.groth16.samples import (
    CASES,
    Case,
    Forger,
    challenger_of,
    equations,
    holds,
    s0,
    scalar_source,
    times,
    total,
    verdicts,
)
from zkfed.algebra.backend import Points
from zkfed.algebra.field import as_ints, to_limbs
from zkfed.commitments.pedersen import generators
from zkfed.errors import ProofInvalid
from zkfed.groth16.proof import Proof
from zkfed.groth16.verify import verify


def committing_to(case: Case, values: Any, blinder: int) -> Any:
    return replace(case.instance, commitments=(case.generators.commit(values, blinder),))


def link_of(case: Case, values: Any, mask: int, blinder: int) -> Points:
    """Returns pi for a vector, a mask and a blinder of the attacker's choice."""
    scalars = [int(v) % case.order for v in as_ints(values).tolist()] + [mask, blinder]
    return case.backend.msm(case.key.link[0], to_limbs(scalars))


def refused(case: Case, instance: Any, proof: Proof) -> None:
    assert verdicts(case.vk, instance, proof) == (True, True, False)
    with pytest.raises(ProofInvalid):
        verify(case.vk, instance, proof)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("coordinate", [0, -1])
@pytest.mark.parametrize("step", [1, -1])
def test_one_coordinate_that_is_off_by_one_is_refused(name: str, coordinate: int, step: int) -> None:
    case = CASES[name]()
    other = case.private["update"].ravel().copy()
    other[coordinate] += step
    instance = committing_to(case, other, case.blinder)
    forger = Forger(case, instance, case.private)
    refused(case, instance, forger.proof())
    # Nor with pi for the committed vector: then it does not fit D_u.
    proof = forger.proof()
    mask = mask_of(forger)
    refused(case, instance, replace(proof, link=link_of(case, other, mask, case.blinder)))


def mask_of(forger: Forger) -> int:
    case = forger.case
    segments = forger.commit(scalar_source(7, case.order))[3]
    return int.from_bytes(segments[0][-1].tobytes(), "little")


def test_coordinates_that_swapped_their_lanes_are_refused() -> None:
    case = s0()
    values = case.private["update"].copy()
    for a, b in ((0, 1), (0, 7), (3, 6)):
        other = values.copy()
        other[[a, b]] = other[[b, a]]
        instance = committing_to(case, other, case.blinder)
        refused(case, instance, Forger(case, instance, case.private).proof())


def test_a_carry_between_lanes_is_refused() -> None:
    """(D_0 + 2^32, D_1 - 1) is the same C_D; as a witness it opens the link, and the ranges refuse it."""
    case = s0()
    carried = case.private["update"].copy()
    carried[0] += 1 << 32
    carried[1] -= 1
    limit = case.with_static(squared_norm_max=8 << 30)
    proof = Forger(case, limit, {"update": carried}).proof()
    assert verdicts(case.vk, limit, proof) == (False, True, True)
    with pytest.raises(ProofInvalid):
        verify(case.vk, limit, proof)


@pytest.mark.parametrize("name", CASES)
def test_another_blinder_is_refused(name: str) -> None:
    case = CASES[name]()
    proof = Forger(case, case.instance, case.private).proof(case.blinder + 1)
    refused(case, case.instance, proof)


def test_a_commitment_for_another_use_is_refused() -> None:
    case = s0()
    foreign = generators(case.backend, "other", 8).commit(case.private["update"], case.blinder)
    instance = replace(case.instance, commitments=(foreign,))
    refused(case, instance, Forger(case, instance, case.private).proof())


def test_a_negated_pair_is_refused() -> None:
    """-pi opens (-D_u, -C_D): the circuit speaks about D_u, so equation 1 fails."""
    case = s0()
    b = case.backend
    instance = replace(case.instance, commitments=(b.negate(case.instance.commitments[0]),))
    proof = Forger(case, instance, case.private).proof()
    assert proof.link is not None
    forged = replace(proof, d=(b.negate(proof.d[0]), *proof.d[1:]), link=b.negate(proof.link))
    assert verdicts(case.vk, instance, forged)[2]
    assert not verdicts(case.vk, instance, forged)[0]
    with pytest.raises(ProofInvalid):
        verify(case.vk, instance, forged)


def test_a_rerandomised_commitment_is_refused_although_its_link_holds() -> None:
    """(C_D + t H, pi + t P_blinder) satisfies equation 3: that C_D is hashed is what stops it."""
    case, t = s0(), 12345
    b = case.backend
    (columns,) = case.key.link
    commitment = total(b, case.instance.commitments[0], times(b, case.generators.blinder, t))
    instance = replace(case.instance, commitments=(commitment,))
    assert case.proof.link is not None
    link = total(b, case.proof.link, times(b, b.take(columns, np.array([len(columns) - 1])), t))
    forged = replace(case.proof, link=link)
    old = challenger_of(case.vk, case.instance, case.proof)
    old.commitments = instance.commitments
    # Control: under the challenges of the old commitment all three equations hold.
    assert all(holds(b, equation) for equation in equations(case.vk, old, forged))
    with pytest.raises(ProofInvalid):
        verify(case.vk, instance, forged)
