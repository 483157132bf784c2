"""Shows that circom and snarkjs themselves, from npm, take what zkfed writes and give what it reads.

Skipped where node or npm is missing, or npm cannot install; the vectors stand in for them there.
"""

from __future__ import annotations

import functools
import json
import subprocess
from pathlib import Path

import pytest

from tests.interop.with_snarkjs import Tools, missing
from tests.statements.circuit_samples import sample
from tests.vectors.circom.generate import HERE as VECTORS
from tests.vectors.circom.generate import INPUTS
from zkfed.algebra.curve import BLS12_381, BN254, Curve
from zkfed.algebra.field import Limbs, from_limbs, to_limbs
from zkfed.commitments.pedersen import generators
from zkfed.groth16.proof import Instance
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
    write_r1cs,
    write_verification_key,
    write_wtns,
)
from zkfed.policy import LinearModel
from zkfed.r1cs.builder import Builder
from zkfed.statements.update_bound import USE

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing() or "there")]
FOLDER = Path(__file__).resolve().parents[2] / "build" / "snarkjs"


@pytest.fixture(scope="module")
def tools() -> Tools:
    try:
        return Tools(FOLDER)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"npm cannot install circom2 and snarkjs: {str(error)[-300:]}")


@functools.cache
def dense_square(curve: Curve) -> tuple[Prover, Instance, Limbs]:
    """A circuit of Builder without segments, its statement and its whole assignment."""
    builder = Builder("square", curve=curve)
    y = builder.input("y", (3,))
    x = builder.witness("x", (3,), lambda values: values.private["x"])
    builder.enforce("square", x, x - 7, y + 1)
    system = builder.finish()
    prover = Prover(development_keys(system), system)
    values = [5, 1 << 200, curve.order - 2]
    instance = Instance(bytes(range(32)), {"y": [(v * (v - 7) - 1) % curve.order for v in values]})
    return prover, instance, prover.assignment(instance, {"x": values})


@pytest.mark.parametrize("name", INPUTS)
def test_circom_makes_the_vectors_again(tools: Tools, name: str) -> None:
    assert tools.compile(VECTORS / f"{name}.circom").read_bytes() == (VECTORS / f"{name}.r1cs").read_bytes()
    assert tools.witness(name, INPUTS[name]).read_bytes() == (VECTORS / f"{name}.wtns").read_bytes()


@pytest.mark.parametrize("prime", ["bn128", "bls12381"])
@pytest.mark.parametrize("name", INPUTS)
def test_snarkjs_verifies_our_proof_of_a_circom_circuit(tools: Tools, name: str, prime: str) -> None:
    system = read_r1cs(tools.compile(VECTORS / f"{name}.circom", prime))
    assert system.curve == (BN254 if prime == "bn128" else BLS12_381)
    prover, z = Prover(development_keys(system), system), read_wtns(tools.witness(name, INPUTS[name]), system)
    instance = instance_of(system, z)
    write_verification_key(prover.key.verifying, tools.folder / "our_key.json")
    write_proof(prover.prove_assignment(instance, z), prover.backend, tools.folder / "our_proof.json")
    write_public(prover.key.verifying, instance, tools.folder / "our_public.json")
    assert tools.verify("our_key.json", "our_public.json", "our_proof.json")
    changed = json.loads((tools.folder / "our_public.json").read_text())
    changed[0] = str(int(changed[0]) + 1)
    (tools.folder / "changed.json").write_text(json.dumps(changed))
    assert not tools.verify("our_key.json", "changed.json", "our_proof.json")


@pytest.mark.parametrize("curve", [BN254, BLS12_381], ids=lambda curve: curve.name)
def test_snarkjs_verifies_our_proof_of_our_circuit(tools: Tools, curve: Curve) -> None:
    prover, instance, z = dense_square(curve)
    write_verification_key(prover.key.verifying, tools.folder / "square_key.json")
    write_proof(prover.prove_assignment(instance, z), prover.backend, tools.folder / "square_proof.json")
    write_public(prover.key.verifying, instance, tools.folder / "square_public.json")
    assert tools.verify("square_key.json", "square_public.json", "square_proof.json")


def test_snarkjs_sets_up_and_proves_our_circuit_and_we_verify_it(tools: Tools) -> None:
    prover, _, z = dense_square(BN254)
    write_r1cs(prover.system, tools.folder / "square.r1cs")
    write_wtns(z, prover.system, tools.folder / "square.wtns")
    tools.prove("square", power=5)
    key = read_verification_key(tools.folder / "verification_key.json")
    proof = read_proof(tools.folder / "proof.json", key)
    assert read_public(tools.folder / "public.json", key).static["public"] == from_limbs(z[1:5]).tolist()
    verify(key, read_public(tools.folder / "public.json", key), proof)


def test_snarkjs_takes_our_improvement_circuit_and_its_witness(tools: Tools) -> None:
    """With committed segments, sketches and lookups: its relation is an R1CS like any other."""
    s = sample(LinearModel(3, 2), 20, curve=BN254)
    prover = Prover(development_keys(s.system), s.system)
    d, backend = s.update, prover.backend
    limits = {"squared_norm_max": int((d * d).sum()) + 9, "loss_change_max": s.terms.loss_change(d) * 7 // 10}
    commitment = generators(backend, USE, d.size).commit(d.ravel(), 12345)
    instance = s.terms.instance(bytes(32), commitment, curve=BN254, **limits)
    z = prover.assignment(instance, {"update": d.ravel(), "gram": s.terms.gram, "gradient": s.terms.gradient})
    write_r1cs(s.system, tools.folder / "ours.r1cs")
    write_wtns(z, s.system, tools.folder / "ours.wtns")
    info = tools.snarkjs("r1cs", "info", "ours.r1cs")
    system = read_r1cs(tools.folder / "ours.r1cs")
    assert "Curve: bn-128" in info
    assert f"# of Wires: {system.wire_count}" in info
    assert f"# of Public Inputs: {system.public_count - 1}" in info
    assert "WITNESS IS CORRECT" in tools.snarkjs("wtns", "check", "ours.r1cs", "ours.wtns")
    wrong = from_limbs(z)
    wrong[system.private_start] = (wrong[system.private_start] + 1) % BN254.order
    write_wtns(to_limbs(wrong), s.system, tools.folder / "wrong.wtns")
    assert "WITNESS IS NOT CORRECT" in tools.snarkjs("wtns", "check", "ours.r1cs", "wrong.wtns", is_checked=False)
