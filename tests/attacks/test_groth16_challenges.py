"""Challenges come after everything that they must not be chosen for.

Source: [LogUp] section 3, [BSB22] section 4; protocol.md section 5, Challenges; review H1. Whoever
knows alpha before the multiplicities are fixed closes the LogUp sum over values that are out of
range. What stops it: the verifier recomputes alpha from D, which fixes the multiplicities; and it
hashes every commitment and input, in one order.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.groth16.samples import CASES, Case, Forger, challenger_of, equations, holds, improvement, s0, scalar_source
from zkfed.algebra.backend import Points
from zkfed.algebra.field import to_limbs
from zkfed.errors import ProofInvalid
from zkfed.groth16.challenge import Challenger
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.verify import verify

FAR = 40_000
"""Out of [-2^15, 2^15)."""


def out_of_range() -> tuple[Case, Instance, dict[str, Any]]:
    """Returns S0 for an update with one coordinate out of range, opened by C_D."""
    case = s0()
    update = case.private["update"].copy()
    update[0] = FAR
    commitment = case.generators.commit(update, case.blinder)
    static = {"squared-norm-max": 8 << 30}
    return case, replace(case.instance, static=static, commitments=(commitment,)), {"update": update}


def close_the_sum(case: Case, z: Any) -> None:
    """Chooses m_0 after alpha so that sum 1/(alpha - x_i) = sum m_t/(alpha - t)."""
    system, order = case.system, case.order
    rows = {label.name: label.start for label in system.labels}
    entry = rows["table/entries"]

    def wire(matrix: Any, row: int) -> int:
        (column,) = matrix.columns[matrix.indptr[row] : matrix.indptr[row + 1]].tolist()
        return int(column)

    quotient, multiplicity = wire(system.a, entry), wire(system.c, entry)
    assert system.segment("stage-0").start <= multiplicity < system.segment("stage-0").stop
    az, bz, _ = system.evaluate(z)
    missing = int(az[rows["table/sum"]])
    assert missing != 0
    # The sum's row is sum of inverses - sum of quotients; the row of t = 0 is quotient (alpha - 0) = m_0.
    z[quotient] = (z[quotient] + missing) % order
    z[multiplicity] = z[quotient] * int(bz[entry]) % order
    system.check(*system.evaluate(z))


def late_proof(case: Case, instance: Instance, private: dict[str, Any]) -> tuple[Challenger, Proof]:
    """Returns challenges drawn from one D, and a proof for another D that suits them."""
    rand = scalar_source(7, case.order)
    challenger, z, d, segments = Forger(case, instance, private).commit(rand)
    close_the_sum(case, z)
    segments = [to_limbs(z[s.start : s.stop].tolist()) for s in case.system.segments]
    d = tuple(case.backend.msm(basis, values) for basis, values in zip(case.key.bases, segments, strict=True))
    committed = (challenger, d, segments)
    proof = case.prover._assemble(committed, z, (case.blinder,), rand)
    return challenger, proof


def test_without_the_lie_the_value_out_of_range_is_refused() -> None:
    case, instance, private = out_of_range()
    with pytest.raises(ProofInvalid):
        verify(case.vk, instance, Forger(case, instance, private).proof())


def test_multiplicities_chosen_after_alpha_do_not_fit_the_commitment_before_it() -> None:
    case, instance, private = out_of_range()
    proof = Forger(case, instance, private).proof(edit=lambda z: close_the_sum(case, z))
    with pytest.raises(ProofInvalid):
        verify(case.vk, instance, proof)


def test_multiplicities_committed_after_alpha_change_alpha() -> None:
    case, instance, private = out_of_range()
    challenger, proof = late_proof(case, instance, private)
    # Control: a verifier that takes alpha from the prover accepts a coordinate out of range.
    assert all(holds(case.backend, equation) for equation in equations(case.vk, challenger, proof))
    assert challenger_of(case.vk, instance, proof).challenges != challenger.challenges
    with pytest.raises(ProofInvalid):
        verify(case.vk, instance, proof)


# -- other ways to hash ----------------------------------------------------------------------------


class WithoutCommitments(Challenger):
    """Forgets D: challenges are known before anything is committed."""

    def _commitments(self, d: tuple[Points, ...], stage: int) -> list[bytes]:
        return []


class InReverse(Challenger):
    """Hashes D_n .. D_1."""

    def _commitments(self, d: tuple[Points, ...], stage: int) -> list[bytes]:
        return super()._commitments(d, stage)[::-1]


class WithoutTheLastSegment(Challenger):
    """Hashes one commitment too few."""

    def _commitments(self, d: tuple[Points, ...], stage: int) -> list[bytes]:
        return super()._commitments(d, stage)[:-1]


class FromZero(Challenger):
    """Forgets ctx, the static inputs and C_D."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.seed = bytes(32)


def judged(variant: type[Challenger], case: Case, proof: Proof) -> Challenger:
    challenger = variant(case.backend, case.vk.layout, case.vk.digest, case.instance)
    for stage in range(1, case.vk.layout.stage_count + 1):
        challenger.draw(stage, proof.d)
    return challenger


@pytest.mark.parametrize("variant", [WithoutCommitments, InReverse, WithoutTheLastSegment, FromZero])
@pytest.mark.parametrize("name", ["improvement/classes", "S0"])
def test_challenges_that_are_hashed_otherwise_are_refused(variant: type[Challenger], name: str) -> None:
    case = CASES[name]()
    proof = Forger(case, case.instance, case.private, challenger=variant).proof()
    # Control: a verifier that hashes in the same wrong way accepts.
    assert all(holds(case.backend, equation) for equation in equations(case.vk, judged(variant, case, proof), proof))
    with pytest.raises(ProofInvalid):
        verify(case.vk, case.instance, proof)


def test_control_a_verifier_that_forgets_the_commitments_accepts_a_value_out_of_range() -> None:
    case, instance, private = out_of_range()
    rand = scalar_source(7, case.order)
    forger = Forger(case, instance, private, challenger=WithoutCommitments)
    challenger, z, _, _ = forger.commit(rand)
    close_the_sum(case, z)
    segments = [to_limbs(z[s.start : s.stop].tolist()) for s in case.system.segments]
    d = tuple(case.backend.msm(basis, values) for basis, values in zip(case.key.bases, segments, strict=True))
    proof = case.prover._assemble((challenger, d, segments), z, (case.blinder,), rand)
    weak = WithoutCommitments(case.backend, case.vk.layout, case.vk.digest, instance)
    weak.draw(1, proof.d)
    assert all(holds(case.backend, equation) for equation in equations(case.vk, weak, proof))
    with pytest.raises(ProofInvalid):
        verify(case.vk, instance, proof)


def changed_everywhere(case: Case) -> dict[str, tuple[Instance, bytes, tuple[Points, ...]]]:
    other = s0().generators.blinder
    digest, d = case.vk.digest, case.proof.d
    return {
        "key": (case.instance, bytes(32), d),
        "ctx": (replace(case.instance, context=bytes(32)), digest, d),
        "static": (case.with_static(squared_norm_max=1), digest, d),
        "C_D": (replace(case.instance, commitments=(other,)), digest, d),
        "D_0": (case.instance, digest, (other, *d[1:])),
        "D_1": (case.instance, digest, (d[0], other, *d[2:])),
    }


@pytest.mark.parametrize("what", ["key", "ctx", "static", "C_D", "D_0", "D_1"])
def test_every_item_before_a_challenge_changes_all_challenges_after_it(what: str) -> None:
    case = improvement()
    honest = challenger_of(case.vk, case.instance, case.proof)
    instance, digest, d = changed_everywhere(case)[what]
    other = Challenger(case.backend, case.vk.layout, digest, instance)
    for stage in (1, 2):
        other.draw(stage, d)
    assert set(honest.challenges) == {"gamma", "alpha", "rho", "tau"}
    assert not set(honest.challenges.values()) & set(other.challenges.values())
    assert honest.fold(case.proof.d) != other.fold(d)


def test_the_commitment_of_stage_one_changes_the_challenges_of_stage_two_only() -> None:
    case = improvement()
    honest = challenger_of(case.vk, case.instance, case.proof)
    d = (*case.proof.d[:2], s0().generators.blinder)
    other = challenger_of(case.vk, case.instance, replace(case.proof, d=d))
    changed = {name for name, value in honest.challenges.items() if other.challenges[name] != value}
    assert changed == {"alpha", "rho", "tau"}


def test_challenges_are_independent_outputs_and_no_powers_of_each_other() -> None:
    case = improvement()
    values = list(challenger_of(case.vk, case.instance, case.proof).challenges.values())
    powers = {pow(v, e, case.order) for v in values for e in (-2, -1, 2, 3)}
    assert len(set(values)) == 4
    assert not powers & set(values)
    assert np.all([0 < v < case.order for v in values])
