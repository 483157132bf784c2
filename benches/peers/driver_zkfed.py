"""Drives zkfed for the peer bench; process.py has the protocol.

python -m benches.peers.driver_zkfed setup CIRCUIT.r1cs KEYS
python -m benches.peers.driver_zkfed serve CIRCUIT.r1cs CIRCUIT.wtns KEYS

ZKFED_BACKEND chooses the algebra. A proof includes the check of the witness and of the proof.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zkfed.algebra.backend import use
from zkfed.groth16.keys import ProvingKey, VerifyingKey
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.prove import Prover
from zkfed.groth16.setup import development_keys
from zkfed.groth16.verify import verify, verify_batch
from zkfed.interop import instance_of, read_r1cs, read_wtns

BATCH = 100


def say(**answer: Any) -> None:
    """Answers the bench with one line."""
    print(json.dumps(answer), flush=True)


def seconds(work: Callable[[], Any]) -> float:
    """Returns how long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def setup(r1cs: Path, keys: Path) -> None:
    """Runs the development setup."""
    system = read_r1cs(r1cs)
    use(system.curve)
    start = time.perf_counter()
    key = development_keys(system)
    taken = time.perf_counter() - start
    key.save(keys / "pk")
    key.verifying.save(keys / "vk")
    say(setup_s=taken)


def verification(key: VerifyingKey, instance: Instance, proofs: list[Proof]) -> dict[str, float]:
    """Times one verification, and one of a batch of 100."""
    batch = [proofs[i % len(proofs)] for i in range(BATCH)]
    one = [seconds(lambda: verify(key, instance, proofs[-1])) for _ in range(21)]
    many = [seconds(lambda: verify_batch(key, [instance] * BATCH, batch)) for _ in range(5)]
    return {"verify_ms": 1000 * statistics.median(one), "verify_batch_100_ms": 1000 * statistics.median(many)}


def serve(r1cs: Path, wtns: Path, keys: Path) -> None:
    """Proves and verifies as told."""
    say()
    sys.stdin.readline()  # "load"
    system = read_r1cs(r1cs)
    z = read_wtns(wtns, system)
    instance = instance_of(system, z)
    key = ProvingKey.load(keys / "pk")
    prover = Prover(key, system)

    proof = prover.prove_assignment(instance, z)
    backend = key.verifying.backend
    say(
        key_bytes=(keys / "pk").stat().st_size, vk_bytes=(keys / "vk").stat().st_size,
        proof_bytes=len(proof.encode(backend)), backend=backend.name,
    )  # fmt: skip
    proofs = [proof]
    for line in sys.stdin:
        if line.strip() == "prove":
            taken = seconds(lambda: proofs.append(prover.prove_assignment(instance, z)))
            say(prove_s=taken)
        else:
            say(**verification(key.verifying, instance, proofs))


if __name__ == "__main__":
    if sys.argv[1] == "setup":
        setup(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        serve(Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
