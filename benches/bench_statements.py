"""Every statement at the sizes of the issue "Every statement": registration, and S1 from logistic to MLP.

benches/summary.py puts medians, memory and constraints beside their targets.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from benches import memory
from benches.own_data import OwnClaim, drawn_rows
from zkfed.algebra.backend import use
from zkfed.groth16.prove import Prover
from zkfed.groth16.setup import development_keys
from zkfed.model import MLP, LinearModel
from zkfed.policy import Improvement, Registration
from zkfed.statements.evaluation import evaluation_circuit
from zkfed.statements.registration import RegistrationTerms, check_registration, register

STATEMENTS = {
    "logistic d=30 n=100, log-loss": Improvement(
        LinearModel(30, 2), 100, "1%", loss="logistic", registration=Registration(400)
    ),
    "softmax 64x10 n=200, squared": Improvement(LinearModel(64, 10), 200, "1%", registration=Registration(1000)),
    "softmax 64x10 n=200, cross-entropy": Improvement(
        LinearModel(64, 10), 200, "1%", loss="cross-entropy", registration=Registration(1000)
    ),
    "softmax 64x10 n=200, accuracy": Improvement(
        LinearModel(64, 10), 200, "0.1%", loss="accuracy", registration=Registration(1000)
    ),
    "MLP 64-32-10 n=200, squared": Improvement(MLP(64, (32,), 10), 200, "1%", registration=Registration(1000)),
    "MLP 784-128-10 n=100, squared": Improvement(MLP(784, (128,), 10), 100, "1%", registration=Registration(400)),
}
LARGE = "MLP 784-128-10 n=100, squared"


@cache
def claim(name: str) -> OwnClaim:
    statement = STATEMENTS[name]
    return OwnClaim(statement, development_keys(evaluation_circuit(statement, "S1"), use()), use())


@pytest.mark.parametrize("name", STATEMENTS)
def test_prove_own(benchmark: Any, name: str) -> None:
    one = claim(name)
    before = memory.now()
    memory.reset_peak()
    benchmark.pedantic(one.prove, rounds=3 if name == LARGE else 7, warmup_rounds=1)
    benchmark.extra_info.update(
        constraints=one.system.constraint_count, peak_bytes=memory.peak(), grown_bytes=memory.peak() - before
    )


@pytest.mark.parametrize("name", STATEMENTS)
def test_verify_own(benchmark: Any, name: str) -> None:
    one = claim(name)
    proof = one.prove()
    benchmark.extra_info["proof_bytes"] = len(proof)
    benchmark.pedantic(lambda: one.verify(proof), rounds=20, warmup_rounds=2)


@pytest.mark.parametrize("name", STATEMENTS)
def test_build_own_circuit(benchmark: Any, name: str) -> None:
    build = evaluation_circuit.__wrapped__
    benchmark.pedantic(lambda: build(STATEMENTS[name], "S1").digest, rounds=3, warmup_rounds=1)


def test_register_1000_rows_of_64_features(benchmark: Any) -> None:
    statement = STATEMENTS["softmax 64x10 n=200, squared"]
    terms, backend = RegistrationTerms.of(statement, policy=bytes(32), epoch=0), use()
    prover = Prover(development_keys(terms.circuit(), backend), terms.circuit())
    rows = drawn_rows(statement, backend.curve.order, count=1000)
    benchmark.extra_info["constraints"] = prover.system.constraint_count
    record = benchmark.pedantic(lambda: register(prover, terms, rows=rows, signer=bytes(32)), rounds=5, warmup_rounds=1)
    check_registration(prover.key.verifying, terms, record)
