"""Shows that circuits nobody designed are proven through their files, on both curves.

Rows, coefficients and wires are drawn; a true assignment is made by solving each row for a wire
of its own. The proof goes through proof.json, verification_key.json and public.json.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.interop.iden3_files import Circuit, Row
from zkfed.algebra.curve import BLS12_381, BN254, Curve
from zkfed.algebra.field import to_limbs
from zkfed.errors import UnsatisfiedConstraint
from zkfed.groth16.prove import Prover
from zkfed.groth16.setup import development_keys
from zkfed.groth16.verify import verify
from zkfed.interop import (
    instance_of,
    read_proof,
    read_public,
    read_r1cs,
    read_verification_key,
    read_wtns,
    write_proof,
    write_public,
    write_verification_key,
    write_wtns,
)


def random_circuit(seed: int, curve: Curve) -> tuple[Circuit, list[int]]:
    """Returns a circuit and one assignment that satisfies it."""
    rand, r = random.Random(seed), curve.order
    given, count = rand.randrange(1, 6), rand.randrange(1, 12)
    z = [1, *(rand.choice([0, 1, r - 1, rand.randrange(r)]) for _ in range(given))]
    rows: list[Row] = []

    def side() -> dict[int, int]:
        wires = rand.sample(range(len(z)), rand.randrange(min(4, len(z)) + 1))
        return {w: rand.choice([1, r - 1, rand.randrange(1, r)]) for w in wires}

    def value(terms: dict[int, int]) -> int:
        return sum(c * z[w] for w, c in terms.items())

    for _ in range(count):
        a, b, c = side(), side(), side()
        factor = rand.randrange(1, r)
        c[len(z)] = factor
        z.append((value(a) * value(b) - value({w: v for w, v in c.items() if w < len(z)})) * pow(factor, -1, r) % r)
        rows.append((a, b, c))
    outputs = rand.randrange(given + 1)
    return Circuit(r, len(z), rows, outputs=outputs, inputs=given - outputs), z


@pytest.mark.parametrize("curve", [BN254, BLS12_381], ids=lambda curve: curve.name)
@pytest.mark.parametrize("seed", range(3))
def test_a_random_circuit_is_proven_through_its_files(tmp_path: Path, curve: Curve, seed: int) -> None:
    circuit, z = random_circuit(seed, curve)
    (tmp_path / "any.r1cs").write_bytes(circuit.encode())
    system = read_r1cs(tmp_path / "any.r1cs")
    write_wtns(to_limbs(z), system, tmp_path / "any.wtns")
    assignment = read_wtns(tmp_path / "any.wtns", system)
    prover, instance = Prover(development_keys(system), system), instance_of(system, assignment)
    proof = prover.prove_assignment(instance, assignment)
    write_verification_key(prover.key.verifying, tmp_path / "key.json")
    write_proof(proof, prover.backend, tmp_path / "proof.json")
    write_public(prover.key.verifying, instance, tmp_path / "public.json")
    key = read_verification_key(tmp_path / "key.json", system.layout)
    verify(key, read_public(tmp_path / "public.json", key), read_proof(tmp_path / "proof.json", key))
    wrong = [*z[:-1], (z[-1] + 1) % curve.order]
    with pytest.raises(UnsatisfiedConstraint, match=rf"row\[{len(circuit.rows) - 1}\]"):
        prover.prove_assignment(instance, to_limbs(wrong))


def test_the_cost_of_a_circuit_that_was_read_is_estimated(tmp_path: Path) -> None:
    circuit, _ = random_circuit(1, BN254)
    (tmp_path / "any.r1cs").write_bytes(circuit.encode())
    system = read_r1cs(tmp_path / "any.r1cs")
    assert system.estimate(backend="reference").constraints == system.constraint_count > len(circuit.rows)
