"""The proof alone: softmax 64 x 10 on 200 public rows, BLS12-381."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
from typing import Any

import numpy as np

import zkfed
from benches.conftest import MODEL, STATEMENT, Digits
from zkfed.algebra.backend import use
from zkfed.algebra.field import to_limbs
from zkfed.errors import DecodeError, ProofInvalid
from zkfed.groth16.proof import Instance, proof_bytes
from zkfed.groth16.setup import development_keys
from zkfed.r1cs.witness import Assignment
from zkfed.statements.improvement import PublicTerms, improvement_circuit


def test_setup(benchmark: Any) -> None:
    circuit = improvement_circuit(MODEL, 200)
    benchmark.extra_info["constraints"] = circuit.constraint_count
    benchmark.pedantic(lambda: development_keys(circuit), rounds=5, warmup_rounds=1)


def test_build_circuit(benchmark: Any) -> None:
    benchmark.pedantic(lambda: improvement_circuit.__wrapped__(MODEL, 200).digest, rounds=10, warmup_rounds=1)


def test_witness(benchmark: Any, digits: Digits, keys: zkfed.Keys) -> None:
    """All wires of one proof, at fixed challenges."""
    system, order = improvement_circuit(MODEL, 200), MODEL and use().curve.order
    rows = zkfed.Benchmark.of(MODEL, *digits.benchmark)
    update = np.rint(digits.after * 2**15).astype(np.int64)
    terms = PublicTerms.of(MODEL, 200, np.zeros_like(update), rows)
    static = {"squared-norm-max": 650 << 30, "loss-change-max": terms.loss_change_max(50_000, 1), "ctx": 1}
    instance: Instance = terms.instance(
        bytes(32), use().generator("G1", to_limbs([1])), squared_norm_max=650 << 30,
        loss_change_max=static["loss-change-max"], curve=use().curve,
    )  # fmt: skip
    private = {"update": update.ravel(), "gram": terms.gram, "gradient": terms.gradient}

    def solve() -> None:
        assignment = Assignment(system, system.layout.check_static(static), private)
        assignment.run(0)
        chi: dict[str, int] = {"gamma": 12345 % order}
        assignment.set_inputs(1, chi)
        assignment.run(1)
        chi |= {"alpha": 2**200 + 1, "rho": 2**201 + 3, "tau": 2**202 + 5}
        assignment.set_inputs(2, {k: chi[k] for k in ("alpha", "rho", "tau")} | instance.derive(2, chi))
        assignment.run(2)
        assignment.final()

    benchmark.pedantic(solve, rounds=20, warmup_rounds=2)


def test_prove(benchmark: Any, digits: Digits, keys: zkfed.Keys) -> None:
    system = improvement_circuit(MODEL, 200)
    benchmark.extra_info.update(
        constraints=system.constraint_count, proof_bytes=proof_bytes(system.layout), rows=STATEMENT.rows
    )
    benchmark.pedantic(
        lambda: keys.prove(before=digits.before, after=digits.after, benchmark=digits.benchmark),
        rounds=10, warmup_rounds=1,
    )  # fmt: skip


def test_verify(benchmark: Any, digits: Digits, keys: zkfed.Keys) -> None:
    claim, proof = keys.prove(before=digits.before, after=digits.after, benchmark=digits.benchmark)
    benchmark.pedantic(lambda: keys.verifier.verify(claim, proof), rounds=30, warmup_rounds=2)


def test_verify_after_a_thousand_garbage_proofs(benchmark: Any, digits: Digits, keys: zkfed.Keys) -> None:
    """Beside `test_verify`: half of the garbage is no proof, half is another statement's."""
    claim, proof = keys.prove(before=digits.before, after=digits.after, benchmark=digits.benchmark)
    other, _ = keys.prove(before=digits.before, after=digits.after / 2, benchmark=digits.benchmark)
    for i in range(1000):
        with contextlib.suppress(ProofInvalid, DecodeError):
            keys.verifier.verify(*((claim, secrets.token_bytes(len(proof))) if i % 2 else (other, proof)))
    benchmark.pedantic(lambda: keys.verifier.verify(claim, proof), rounds=30, warmup_rounds=2)


def test_verify_batch_of_20(benchmark: Any, digits: Digits, keys: zkfed.Keys) -> None:
    pairs = [keys.prove(before=digits.before, after=digits.after, benchmark=digits.benchmark) for _ in range(20)]
    claims, proofs = [c for c, _ in pairs], [p for _, p in pairs]
    benchmark.pedantic(lambda: keys.verifier.verify_batch(claims, proofs), rounds=5, warmup_rounds=1)


def test_import(benchmark: Any) -> None:
    """`import zkfed` in a fresh interpreter, less an empty interpreter: see build/bench.json."""
    code = "import time; t = time.perf_counter(); import zkfed; print(time.perf_counter() - t)"
    seconds: list[float] = []

    def once() -> None:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        seconds.append(float(done.stdout))

    benchmark.pedantic(once, rounds=7, warmup_rounds=1)
    benchmark.extra_info["import_s"] = sorted(seconds)[len(seconds) // 2]
