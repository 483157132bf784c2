"""Circuits, witnesses, keys and proofs of circom and snarkjs, in both directions.

A circuit that circom compiled is proven here, and what is proven here snarkjs verifies:

    from zkfed.groth16.prove import Prover
    from zkfed.groth16.setup import development_keys
    from zkfed.groth16.verify import verify
    from zkfed.interop import *

    system = read_r1cs("dot.r1cs")
    prover = Prover(development_keys(system), system)
    z = read_wtns("dot.wtns", system)
    instance = instance_of(system, z)
    proof = prover.prove_assignment(instance, z)
    verify(prover.key.verifying, instance, proof)

    write_verification_key(prover.key.verifying, "verification_key.json")
    write_proof(proof, prover.backend, "proof.json")
    write_public(prover.key.verifying, instance, "public.json")

What such a proof is bound to, and what not: docs/interop.md.
"""

from __future__ import annotations

from zkfed.interop.r1cs import read_r1cs, write_r1cs
from zkfed.interop.snarkjs import (
    read_proof,
    read_public,
    read_verification_key,
    write_proof,
    write_public,
    write_verification_key,
)
from zkfed.interop.wtns import instance_of, read_wtns, write_wtns

__all__ = [
    "instance_of",
    "read_proof",
    "read_public",
    "read_r1cs",
    "read_verification_key",
    "read_wtns",
    "write_proof",
    "write_public",
    "write_r1cs",
    "write_verification_key",
    "write_wtns",
]
