"""A proof shows nothing but that its statement is true (review P4).

The simulator knows the trapdoors and no witness: it draws A, B, D_k at random, solves for C, PoK and
pi, and its proofs verify. Honest proofs are blinded by the same freedom: r, s and a mask for each
segment, all fresh. `Prover` checks that its key gives that freedom (test_keys.py).
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.groth16.samples import CASES, Case, challenger_of, scalar_source, times, total
from zkfed.algebra.field import to_limbs
from zkfed.errors import ProofInvalid
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.verify import verify


@pytest.fixture(params=CASES, scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]()


def simulated(case: Case, instance: Instance, seed: int) -> Proof:
    """Returns a proof of any statement, made from the trapdoors."""
    b, order, t, layout = case.backend, case.order, case.trapdoors, case.vk.layout
    rand = scalar_source(seed, order)
    mu, nu = rand(), rand()
    d_scalars = [rand() for _ in layout.segments]
    d = tuple(b.generator("G1", to_limbs([v])) for v in d_scalars)
    a, b_point = b.generator("G1", to_limbs([mu])), b.generator("G2", to_limbs([nu]))
    draft = Proof(a, b_point, a, d, a, a)
    challenger = challenger_of(case.vk, instance, draft)
    f = challenger.fold(d)
    public = b.msm(case.vk.ic, to_limbs([1, *challenger.inputs]))
    known = (mu * nu - t.alpha * t.beta - sum(d_scalars)) % order
    c = times(b, total(b, b.generator("G1", to_limbs([known])), b.negate(public)), pow(t.delta, -1, order))
    unlinked = [v for v, s in zip(d_scalars, layout.segments, strict=True) if not s.is_linked]
    pok = sum(pow(f, i, order) * s * v for i, (s, v) in enumerate(zip(t.sigma(layout), unlinked, strict=True)))
    k_1, k_2 = t.k(layout)
    linked = next(v for v, s in zip(d_scalars, layout.segments, strict=True) if s.is_linked)
    link = total(b, b.generator("G1", to_limbs([k_1 * linked % order])), times(b, instance.commitments[0], k_2))
    return Proof(a, b_point, c, d, b.generator("G1", to_limbs([pok % order])), link)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_simulators_proofs_verify_without_a_witness(case: Case, seed: int) -> None:
    proof = simulated(case, case.instance, seed)
    verify(case.vk, case.instance, proof)
    # So whoever ran the setup can also prove what is false: that is what "development" means.
    false = replace(case.with_static(squared_norm_max=0), commitments=(case.generators.blinder,))
    verify(case.vk, false, simulated(case, false, seed))
    with pytest.raises(ProofInvalid):
        verify(case.vk, false, proof)


def test_r_and_s_blind_a_b_and_c(case: Case) -> None:
    """The same witness with the same masks: A, B and C still differ, D, PoK and pi do not."""
    challenger, assignment, d, segments = case.prover._commit(case.instance, case.private, scalar_source(1, case.order))
    z = assignment.final()
    proofs = [
        case.prover._assemble((challenger, d, segments), z, (case.blinder,), scalar_source(seed, case.order))
        for seed in (2, 3)
    ]
    for proof in proofs:
        verify(case.vk, case.instance, proof)
    differing = {
        name
        for name in ("a", "b", "c", "pok", "link")
        if case.backend.encode(getattr(proofs[0], name)) != case.backend.encode(getattr(proofs[1], name))
    }
    assert differing == {"a", "b", "c"}


def test_masks_blind_every_commitment(case: Case) -> None:
    """The same witness with other masks: every D_k differs."""
    first, second = (
        case.prover._commit(case.instance, case.private, scalar_source(seed, case.order))[2] for seed in (1, 2)
    )
    assert all(case.backend.encode(p) != case.backend.encode(q) for p, q in zip(first, second, strict=True))
    assert len({case.backend.encode(p) for p in (*first, *second)}) == 2 * len(case.system.segments)


def test_a_proof_uses_fresh_randomness_for_each_mask_and_for_r_and_s(case: Case) -> None:
    drawn = []
    source = scalar_source(4, case.order)

    def rand() -> int:
        drawn.append(source())
        return drawn[-1]

    case.prover._prove(case.instance, case.private, (case.blinder,), rand)
    assert len(drawn) == len(case.system.segments) + 2
