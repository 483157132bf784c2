"""Checking, adding and proving through executors: one process, two, and a local Dask cluster of two workers.

1,000 sealed updates of a softmax model 3 x 16 (64 parameters), or ZKFED_BENCH_UPDATES of them; the
costs of one update are printed and stand in the JSON as `us_per_update`. On two cores, two workers
share them with the process that sends.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.layers.parties import Cohort, make_policy
from zkfed.adapters.processes import ProcessExecutor, SerialExecutor
from zkfed.groth16.verify import verify_batch
from zkfed.he.aggregate import add
from zkfed.layers.round_state import Proving, RoundState, prove_round
from zkfed.local import LocalFederation
from zkfed.orchestrator.fan_out import FanOut
from zkfed.orchestrator.kit import write_kit
from zkfed.orchestrator.options import Options, make_keys
from zkfed.orchestrator.proving import proving_in
from zkfed.orchestrator.synthetic import synthetic_cohort
from zkfed.policy import Improvement, LinearModel, RoundPolicy
from zkfed.ports import Executor

UPDATES = int(os.environ.get("ZKFED_BENCH_UPDATES", "1000"))
WHERE = ["here", "processes-1", "processes-2", "dask-2"]


@dataclass
class Sealed:
    cohort: Cohort
    messages: list[bytes]
    candidates: list[Any]


@pytest.fixture(scope="module")
def sealed() -> Sealed:
    cohort = Cohort(make_policy(16), devices=UPDATES)
    opened = cohort.start()
    messages = [d.seal(opened.announcement, opened.key) for d in cohort.devices]
    read = [cohort.adder._read(i, m, {}) for i, m in enumerate(messages)]
    return Sealed(cohort, messages, [c for c in read if c is not None])


@contextlib.contextmanager
def started(where: str) -> Iterator[Executor]:
    if where == "here":
        yield SerialExecutor()
    elif where.startswith("processes"):
        with ProcessExecutor(int(where[-1])) as executor:
            yield executor
    else:
        import distributed

        from zkfed.adapters.dask import DaskExecutor

        options = {"threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
        with distributed.LocalCluster(n_workers=2, **options) as local, distributed.Client(local) as client:
            yield DaskExecutor(client)


def measure(benchmark: Any, name: str, call: Any) -> None:
    benchmark.pedantic(call, rounds=2, warmup_rounds=1)
    microseconds = benchmark.stats.stats.min / UPDATES * 1e6
    benchmark.extra_info["us_per_update"] = microseconds
    print(f"\n{name}: {microseconds:.0f} us an update, {UPDATES} updates")


def test_read(benchmark: Any, sealed: Sealed) -> None:
    """What stays with the adders: signature, place, HPKE, framing, decoding of the proof."""
    adder = sealed.cohort.adder
    measure(benchmark, "read", lambda: [adder._read(i, m, {}) for i, m in enumerate(sealed.messages)])


def test_check_alone(benchmark: Any, sealed: Sealed) -> None:
    """The proofs without an executor, in batches of 128, as an adder does by default."""
    key, found = sealed.cohort.agreement.improvement, sealed.candidates

    def check() -> None:
        for i in range(0, len(found), 128):
            verify_batch(key, [c.instance for c in found[i : i + 128]], [c.proof for c in found[i : i + 128]])

    measure(benchmark, "check alone", check)


def test_add_alone(benchmark: Any, sealed: Sealed) -> None:
    """The ciphertexts without an executor, in one sandbox."""
    cohort, ciphertexts = sealed.cohort, [c.ciphertext for c in sealed.candidates]
    (attempt,) = cohort.adder._attempts.values()
    measure(benchmark, "add alone", lambda: add(attempt.encryption_key, ciphertexts, cohort.agreement.slots))


@pytest.mark.parametrize("where", WHERE)
def test_check(benchmark: Any, sealed: Sealed, where: str) -> None:
    """The proofs, in batches of 128."""
    instances, proofs = [c.instance for c in sealed.candidates], [c.proof for c in sealed.candidates]
    with started(where) as executor:
        fan_out, key = FanOut(executor), sealed.cohort.agreement.improvement
        measure(benchmark, f"check {where}", lambda: fan_out.verify(key, instances, proofs))


@pytest.mark.parametrize("where", WHERE)
def test_add(benchmark: Any, sealed: Sealed, where: str) -> None:
    """The ciphertexts, as a tree of up to 127."""
    cohort, ciphertexts = sealed.cohort, [c.ciphertext for c in sealed.candidates]
    (attempt,) = cohort.adder._attempts.values()
    with started(where) as executor:
        fan_out, slots = FanOut(executor), cohort.agreement.slots
        measure(benchmark, f"add {where}", lambda: fan_out.add(attempt.encryption_key, ciphertexts, slots))


PROOFS = 64


@pytest.fixture(scope="module")
def proofs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, list[tuple[bytes, RoundState]]]:
    """A softmax model 64 x 10 on 200 rows, as in bench_round.py, and the states of devices that have committed."""
    statement = Improvement(model=LinearModel(features=64, classes=10), rows=200, at_least="1%")
    policy = RoundPolicy(statement=statement, clip_norm=1.0, epsilon=2.0, delta=1e-6, min_clients=2, epsilon_max=1e3)
    shards, rows = synthetic_cohort(policy.model, PROOFS, 200)
    keys, folder = make_keys(policy), tmp_path_factory.mktemp("keys")
    write_kit(folder, policy, keys, benchmark=rows)
    states, seen = [], Proving(lambda _, client, state: states.append((client, state)) or b"", lambda *_: b"")
    federation = LocalFederation(policy, shards, benchmark=rows, options=Options(keys=keys, proving=seen))
    list(federation.run(1))  # every device asks for its proof, gets none, and is refused
    return federation, folder, states


@pytest.mark.parametrize("where", ["none", *WHERE])
def test_prove(benchmark: Any, proofs: Any, where: str) -> None:
    """64 proofs of devices, asked for by two threads; "none" proves in these threads."""
    federation, folder, states = proofs
    agreement = federation.agreement
    prover = federation.clients[0].device._prover

    def measured(prove: Any) -> None:
        with ThreadPoolExecutor(2) as pool:
            benchmark.pedantic(
                lambda: list(pool.map(lambda s: prove(agreement, *s), states)), rounds=2, warmup_rounds=1
            )
        milliseconds = benchmark.stats.stats.min / PROOFS * 1e3
        benchmark.extra_info["ms_per_proof"] = milliseconds
        print(f"\nprove {where}: {milliseconds:.1f} ms a proof, {PROOFS} proofs")

    if where == "none":
        measured(lambda agreement, client, state: prove_round(prover, agreement, client, state))
        return
    with started(where) as executor:
        measured(proving_in(executor, folder).rounds)
