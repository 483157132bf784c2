"""Drives groth16py for the peer bench, in a virtual environment of its own; process.py has the protocol.

driver_groth16py.py setup CIRCUIT.r1cs KEYS
driver_groth16py.py serve CIRCUIT.r1cs CIRCUIT.wtns KEYS

Its prover reads the witness from the file each time; that is in its times (about 1 % of them).
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import groth16py


def say(**answer: Any) -> None:
    """Answers the bench with one line."""
    print(json.dumps(answer), flush=True)


def public_inputs(r1cs: Path, wtns: Path) -> list[int]:
    """Reads the public part of a witness; the numbers of wires stand in the circuit's header."""
    header, _ = r1cs.open("rb").read(200)[24:], None
    size = int.from_bytes(header[:4], "little")
    outputs, inputs = (int.from_bytes(header[4 + size + i : 8 + size + i], "little") for i in (4, 8))
    values = wtns.read_bytes()[12 + 12 + 4 + size + 4 + 12 :]
    return [int.from_bytes(values[size * i : size * (i + 1)], "little") for i in range(1, 1 + outputs + inputs)]


def setup(r1cs: str, keys: Path) -> None:
    """Runs the single-party setup."""
    start = time.perf_counter()
    pk, vk = groth16py.setup(r1cs)
    seconds = time.perf_counter() - start
    pk.save(str(keys / "pk"))
    vk.save(str(keys / "vk"))
    say(setup_s=seconds)


def serve(r1cs: str, wtns: str, keys: Path) -> None:
    """Proves and verifies as told."""
    say()
    sys.stdin.readline()  # "load"
    pk = groth16py.ProvingKey.load(str(keys / "pk"))
    verifier = groth16py.Verifier(groth16py.VerifyingKey.load(str(keys / "vk")))
    inputs = public_inputs(Path(r1cs), Path(wtns))

    def check(proof: bytes) -> None:
        if not verifier.verify(proof, inputs):
            raise SystemExit("groth16py: not accepted")

    proof = groth16py.prove_wtns(pk, wtns)
    check(proof)
    sizes = {f"{'vk' if name == 'vk' else 'key'}_bytes": (keys / name).stat().st_size for name in ("pk", "vk")}
    say(**sizes, proof_bytes=len(proof))
    for line in sys.stdin:
        if line.strip() == "prove":
            start = time.perf_counter()
            proof = groth16py.prove_wtns(pk, wtns)
            seconds = time.perf_counter() - start
            check(proof)
            say(prove_s=seconds)
        else:
            times = []
            for _ in range(21):
                start = time.perf_counter()
                check(proof)
                times.append(1000 * (time.perf_counter() - start))
            say(verify_ms=statistics.median(times))


if __name__ == "__main__":
    if sys.argv[1] == "setup":
        setup(sys.argv[2], Path(sys.argv[3]))
    else:
        serve(sys.argv[2], sys.argv[3], Path(sys.argv[4]))
