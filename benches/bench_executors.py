"""Checking and adding through executors: one process, two, and a local Dask cluster of two workers.

1,000 sealed updates of a softmax model 3 x 16 (64 parameters), or ZKFED_BENCH_UPDATES of them; the
costs of one update are printed and stand in the JSON as `us_per_update`. On two cores, two workers
share them with the process that sends.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.layers.parties import Cohort, make_policy
from zkfed.adapters.processes import ProcessExecutor, SerialExecutor
from zkfed.groth16.verify import verify_batch
from zkfed.he.aggregate import add
from zkfed.orchestrator.fan_out import FanOut
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
