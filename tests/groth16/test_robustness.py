"""Shows that a prover and a verifier stand crowds and garbage: many threads at once, and proofs that are none.

Garbage that is not canonical is refused before any pairing, and garbage that is canonical costs the
one pairing product that an honest proof costs: nothing is remembered, so nothing grows and the
honest proof that comes next costs what it cost before. `benches/bench_proof.py` has the times.
"""

from __future__ import annotations

import gc
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tests.groth16.samples import Case, noise, s0
from zkfed.errors import DecodeError, ProofInvalid
from zkfed.groth16.proof import Proof
from zkfed.groth16.prove import Prover
from zkfed.groth16.verify import verify

GARBAGE = 1000
THREADS = 16


@pytest.fixture
def pairings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the pairing products of the verifier, and the pairs of each."""
    counted: list[int] = []
    kind = type(s0().backend)
    compute = kind.is_pairing_product_one

    def count(self: Any, left: Any, right: Any) -> bool:
        counted.append(len(left))
        return bool(compute(self, left, right))

    monkeypatch.setattr(kind, "is_pairing_product_one", count)
    return counted


def cost_of(case: Case, pairings: list[int]) -> list[int]:
    """Returns the pairing products of one honest verification."""
    proof = case.proof
    pairings.clear()
    verify(case.vk, case.instance, proof)
    cost = list(pairings)
    pairings.clear()
    return cost


def test_sixteen_threads_prove_and_verify_on_one_prover() -> None:
    case = s0()

    def work(_: int) -> bytes:
        proof = case.prover.prove(case.instance, case.private, (case.blinder,))
        verify(case.vk, case.instance, proof)
        return proof.encode(case.backend)

    with ThreadPoolExecutor(THREADS) as pool:
        proofs = list(pool.map(work, range(4 * THREADS)))
    assert len(set(proofs)) == 4 * THREADS  # each has randomness of its own
    for data in proofs:
        verify(case.vk, case.instance, Proof.decode(case.backend, case.vk.layout, data))


def test_sixteen_threads_with_provers_of_two_circuits() -> None:
    cases: list[Case] = [s0(), noise()]

    def work(i: int) -> None:
        case = cases[i % 2]
        proof = Prover(case.key, case.system).prove(case.instance, case.private, (case.blinder,))
        verify(case.vk, case.instance, proof)
        other = cases[1 - i % 2]
        with pytest.raises((ProofInvalid, DecodeError)):
            verify(other.vk, other.instance, proof)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(2 * THREADS)))


def test_equal_randomness_gives_equal_proofs_in_a_crowd() -> None:
    case = s0()
    expected = {seed: case.prove(seed).encode(case.backend) for seed in (1, 2)}
    with ThreadPoolExecutor(THREADS) as pool:
        got = list(pool.map(lambda i: case.prove(1 + i % 2).encode(case.backend), range(2 * THREADS)))
    assert got == [expected[1 + i % 2] for i in range(2 * THREADS)]


def test_a_thousand_malformed_proofs_reach_no_pairing(pairings: list[int]) -> None:
    case, chance = s0(), random.Random(7)
    honest = case.proof.encode(case.backend)
    cost = cost_of(case, pairings)
    for i in range(GARBAGE):
        data = bytearray(honest)
        if i % 4 == 0:
            data = bytearray(chance.randbytes(len(honest)))
        elif i % 4 == 1:
            data = data[: chance.randrange(len(data))]
        elif i % 4 == 2:
            data += chance.randbytes(1 + i)
        else:
            data[0] &= 0x1F  # no flag of a compressed point
        with pytest.raises(DecodeError):
            Proof.decode(case.backend, case.vk.layout, bytes(data))
    assert pairings == []
    assert cost_of(case, pairings) == cost


def test_a_thousand_wrong_proofs_cost_no_more_than_honest_ones(pairings: list[int]) -> None:
    case = s0()
    cost = cost_of(case, pairings)
    # The honest proof, moved: every point is canonical and in its group.
    wrong = replace(case.proof, a=case.proof.c, c=case.proof.a)
    held = []
    for i in range(GARBAGE):
        with pytest.raises(ProofInvalid):
            verify(case.vk, case.instance, wrong)
        if i in (GARBAGE // 10, GARBAGE - 1):
            gc.collect()
            held.append(len(gc.get_objects()))
    assert pairings == cost * GARBAGE
    assert held[1] - held[0] < 100  # objects; the pairings that are counted here are numbers
    assert cost_of(case, pairings) == cost
