"""Scaling a link key is no contribution to it: the old ratio k_1 : k_2 still forges.

Source: review C4. P' = s P and kappa' = s kappa look like a new key. Whoever knew the ratio before
makes pi for a witness v and shows it with the D_u of a witness w and C = Com(v) + (k_1/k_2) (V - W):
equation 3 holds, and nobody can open C. What stops it: a contribution *adds* a secret share to each
row, P_c += sum_i u_i M_ic. There is no ceremony in this version; this is why its contract reads so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.groth16.samples import Case, Forger, s0, scalar_source, times, total, verdicts
from zkfed.algebra.field import as_ints, to_limbs
from zkfed.errors import CommitmentMismatch, ProofInvalid
from zkfed.groth16.keys import ProvingKey
from zkfed.groth16.prove import Prover
from zkfed.groth16.verify import verify

SHARE, SHARES = 0xFEDCBA << 150, (0x1111 << 160, 0x2222 << 170)


def scaled(case: Case) -> ProvingKey:
    """Returns the key after a "contribution" that multiplies by a secret s."""
    b, key = case.backend, case.key
    link = (b.scale(key.link[0], to_limbs([SHARE])),)
    verifying = replace(key.verifying, kappa=times(b, key.verifying.kappa, SHARE))
    return replace(key, link=link, verifying=verifying)


def shared(case: Case) -> ProvingKey:
    """Returns the key after a contribution that adds a secret share to each row."""
    b, key, g = case.backend, case.key, case.generators
    basis = key.bases[0]
    count = len(basis) - 1
    head, mask = np.arange(count), np.array([count])
    row_1 = times(b, basis, SHARES[0])
    row_2 = times(b, b.concat("G1", [g.coordinates(), g.blinder]), SHARES[1])
    more = b.concat("G1", [b.add(b.take(row_1, head), b.take(row_2, head)), b.take(row_1, mask), b.take(row_2, mask)])
    kappa = b.add(key.verifying.kappa, b.generator("G2", to_limbs(SHARES)))
    return replace(key, link=(b.add(key.link[0], more),), verifying=replace(key.verifying, kappa=kappa))


def forged(case: Case, key: ProvingKey) -> tuple[Case, Any, Any]:
    """Proves a small w and links a large v, with the ratio of the key *before* the contribution."""
    k_1, k_2 = case.trapdoors.k(case.vk.layout)
    b, order = case.backend, case.order
    now = replace(case, key=key, prover=Prover(key, case.system))
    w = case.private["update"]
    v = as_ints([30_000] * len(w))
    basis = b.take(case.basis("update"), np.arange(len(w)))
    difference = b.msm(basis, to_limbs([int(d) % order for d in (v - w).tolist()]))
    ratio = k_1 * pow(k_2, -1, order) % order
    # k_1 D(w) + k_2 C = k_1 D(v) + k_2 Com(v): the pi of v.
    commitment = total(b, case.generators.commit(v, case.blinder), times(b, difference, ratio))
    instance = replace(case.instance, commitments=(commitment,))
    forger = Forger(now, instance, case.private)
    mask = int.from_bytes(forger.commit(scalar_source(7, order))[3][0][-1].tobytes(), "little")
    pi = b.msm(key.link[0], to_limbs([int(x) % order for x in v.tolist()] + [mask, case.blinder]))
    return now, instance, replace(forger.proof(), link=pi)


def test_control_after_a_scaling_the_old_ratio_still_forges() -> None:
    case = s0()
    now, instance, proof = forged(case, scaled(case))
    assert verdicts(now.vk, instance, proof) == (True, True, True)
    verify(now.vk, instance, proof)
    # What was accepted is no commitment to the vector that was proven.
    with pytest.raises(CommitmentMismatch):
        case.generators.open(instance.commitments[0], case.private["update"], case.blinder)


def test_after_an_added_share_the_old_ratio_is_worth_nothing() -> None:
    case = s0()
    now, instance, proof = forged(case, shared(case))
    assert verdicts(now.vk, instance, proof) == (True, True, False)
    with pytest.raises(ProofInvalid):
        verify(now.vk, instance, proof)


@pytest.mark.parametrize("contribution", [scaled, shared])
def test_honest_proofs_hold_after_either(contribution: Any) -> None:
    """So a scaled key looks like a good one: no equation between its parts tells them apart."""
    case = s0()
    key = contribution(case)
    proof = Prover(key, case.system).prove(case.instance, case.private, (case.blinder,))
    verify(key.verifying, case.instance, proof)
    with pytest.raises(ProofInvalid):
        verify(case.vk, case.instance, proof)
