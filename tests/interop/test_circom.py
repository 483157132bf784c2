"""Shows that circuits compiled by circom are proven here, and that snarkjs' proofs hold here.

The files are vectors: tests/vectors/circom/README.md says how they were made.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from zkfed.algebra.field import from_limbs, to_limbs
from zkfed.errors import DecodeError, KeyRefused, ProofInvalid, UnsatisfiedConstraint
from zkfed.groth16.proof import Instance
from zkfed.groth16.prove import Prover
from zkfed.groth16.setup import development_keys
from zkfed.groth16.verify import verify, verify_batch
from zkfed.interop import (
    instance_of,
    read_proof,
    read_public,
    read_r1cs,
    read_verification_key,
    read_wtns,
    write_proof,
    write_public,
    write_r1cs,
    write_verification_key,
    write_wtns,
)

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "circom"
CIRCUITS = ["range_dot", "mimc"]


@functools.cache
def prover_of(name: str) -> Prover:
    system = read_r1cs(VECTORS / f"{name}.r1cs", name=name)
    return Prover(development_keys(system), system)


@pytest.mark.parametrize("name", CIRCUITS)
def test_a_circom_circuit_is_proven_with_the_witness_of_its_own_generator(name: str) -> None:
    prover = prover_of(name)
    z = read_wtns(VECTORS / f"{name}.wtns", prover.system)
    instance = instance_of(prover.system, z)
    proof = prover.prove_assignment(instance, z)
    verify(prover.key.verifying, instance, proof)
    x = instance.static["public"]
    with pytest.raises(ProofInvalid):
        verify(prover.key.verifying, Instance(b"", {"public": [x[0] + 1, *x[1:]]}), proof)


@pytest.mark.parametrize("name", CIRCUITS)
def test_a_circuit_from_a_file_has_no_hints_and_says_so(name: str) -> None:
    prover = prover_of(name)
    with pytest.raises(ValueError, match="prove_assignment"):
        prover.prove(instance_of(prover.system, read_wtns(VECTORS / f"{name}.wtns", prover.system)), {})


def test_the_dot_product_is_what_it_says() -> None:
    system = prover_of("range_dot").system
    z = read_wtns(VECTORS / "range_dot.wtns", system)
    x, w = np.array([1, 2, 3, 4]), np.array([255, 0, 7, 9])
    assert instance_of(system, z).static == {"public": [int(x @ w), *x.tolist()]}


def mimc(message: int, key: int, rounds: int, r: int) -> int:
    """The plain function of mimc.circom."""
    state, constant = message, 5
    for i in range(rounds):
        state = pow(state + key + constant, 7, r)
        constant = (constant**3 + i) % r
    return (state + key) % r


def test_the_hash_is_its_plain_function() -> None:
    system = prover_of("mimc").system
    z = read_wtns(VECTORS / "mimc.wtns", system)
    assert instance_of(system, z).static == {"public": [mimc(1234567890, 42, 24, system.curve.order)]}


@pytest.mark.parametrize("name", CIRCUITS)
def test_every_changed_wire_is_refused(name: str) -> None:
    """Nothing of the constraints was lost on reading: each wire is pinned by some row."""
    prover = prover_of(name)
    z = from_limbs(read_wtns(VECTORS / f"{name}.wtns", prover.system))
    for wire in range(prover.system.public_count, len(z)):
        wrong = z.copy()
        wrong[wire] = (wrong[wire] + 1) % prover.system.curve.order
        with pytest.raises(UnsatisfiedConstraint, match="row"):
            prover.system.check(*prover.system.evaluate(wrong))
    z[-1] += 1
    with pytest.raises(UnsatisfiedConstraint, match=r"constraint row\[\d+\]"):
        prover.prove_assignment(instance_of(prover.system, to_limbs(z)), to_limbs(z))


@pytest.mark.parametrize("name", CIRCUITS)
def test_what_circom_wrote_is_written_again(name: str, tmp_path: Path) -> None:
    system = prover_of(name).system
    write_wtns(read_wtns(VECTORS / f"{name}.wtns", system), system, tmp_path / "again.wtns")
    assert (tmp_path / "again.wtns").read_bytes() == (VECTORS / f"{name}.wtns").read_bytes()
    write_r1cs(system, tmp_path / "again.r1cs")
    again = read_r1cs(tmp_path / "again.r1cs", name=name)
    assert (again.digest, again.inputs) == (system.digest, system.inputs)


def test_a_proof_of_snarkjs_holds_under_its_key_and_no_other() -> None:
    system = prover_of("range_dot").system
    key = read_verification_key(VECTORS / "verification_key.json", system.layout)
    instance, proof = read_public(VECTORS / "public.json", key), read_proof(VECTORS / "proof.json", key)
    verify_batch(key, [instance] * 2, [proof] * 2)
    assert key.layout.circuit_digest == system.digest
    unknown = read_verification_key(VECTORS / "verification_key.json")
    verify(unknown, instance, proof)
    assert unknown.layout.circuit_digest == bytes(32)
    assert unknown.digest != key.digest
    for other in (Instance(b"", {"public": [313, 1, 2, 3, 4]}), Instance(b"", {"public": [312, 2, 1, 3, 4]})):
        with pytest.raises(ProofInvalid):
            verify(key, other, proof)
    with pytest.raises(ProofInvalid):
        verify(prover_of("range_dot").key.verifying, instance, proof)


def test_a_key_without_a_contribution_is_refused() -> None:
    """Under gamma = delta, A = alpha, B = beta, C = -IC(x) holds for every x (groth16-provers 3.3)."""
    with pytest.raises(KeyRefused, match="delta equals the generator"):
        read_verification_key(VECTORS / "verification_key_0.json")


@pytest.mark.parametrize("name", CIRCUITS)
def test_our_key_proof_and_inputs_survive_their_files(name: str, tmp_path: Path) -> None:
    prover = prover_of(name)
    z = read_wtns(VECTORS / f"{name}.wtns", prover.system)
    instance = instance_of(prover.system, z)
    proof, key = prover.prove_assignment(instance, z), prover.key.verifying
    write_verification_key(key, tmp_path / "key.json")
    write_proof(proof, prover.backend, tmp_path / "proof.json")
    write_public(key, instance, tmp_path / "public.json")
    again = read_verification_key(tmp_path / "key.json", key.layout)
    assert again.encode() == key.encode()
    read = read_proof(tmp_path / "proof.json", again)
    assert read.encode(prover.backend) == proof.encode(prover.backend)
    assert read_public(tmp_path / "public.json", again).static == instance.static
    verify(again, read_public(tmp_path / "public.json", again), read)


def test_the_witness_of_another_circuit_is_refused() -> None:
    with pytest.raises(DecodeError, match="wires of mimc"):
        read_wtns(VECTORS / "range_dot.wtns", prover_of("mimc").system)
