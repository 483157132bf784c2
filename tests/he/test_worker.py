"""Shows that the worker process is a sandbox: what goes wrong in it is a typed error here.

A twin of the worker (`raw_worker`) crashes, loops, sleeps, floods, lies and reaches out. After each,
this process lives and the next honest sum succeeds.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from zkfed.encoding import Writer
from zkfed.errors import CiphertextRefused, DecodeError, LimitExceeded, SandboxUnavailable, SandboxViolation
from zkfed.he.aggregate import add
from zkfed.he.encrypt import encrypt
from zkfed.he.framing import join_ciphertext, split_ciphertext
from zkfed.he.keys import SecretKey
from zkfed.he.params import EncryptionParams, Scheme
from zkfed.he.worker import Limits, run

LIMITS = Limits(memory_bytes=2 << 30, cpu_s=20, wall_s=60.0)
MODULE = "tests.he.raw_worker"


def deed(name: str, *messages: bytes, limits: Limits = LIMITS) -> bytes:
    return run([name.encode(), *messages], reply_bytes_max=1000, limits=limits, module=MODULE)


@pytest.fixture(autouse=True)
def _the_next_honest_sum_succeeds() -> Iterator[None]:
    yield
    secret = SecretKey.generate(EncryptionParams.of(Scheme.CKKS))
    total = add(secret.public, [encrypt(secret.public, np.arange(5)) for _ in range(2)], 5)
    assert secret.decrypt(total).tolist() == [0, 2, 4, 6, 8]


def test_an_answer_comes_back() -> None:
    assert deed("nothing") == b"done"


def test_what_the_library_prints_does_not_reach_anybody(capfd: pytest.CaptureFixture[str]) -> None:
    assert deed("print") == b"done"
    assert capfd.readouterr() == ("", "")


def test_too_much_memory() -> None:
    with pytest.raises(SandboxViolation, match="memory"):
        deed("allocate")


def test_too_much_processor_time() -> None:
    with pytest.raises(SandboxViolation, match="died by signal"):
        deed("spin", limits=Limits(2 << 30, 1, 60.0))


def test_too_long() -> None:
    start = time.monotonic()
    with pytest.raises(SandboxViolation, match=r"longer than 0\.7 s"):
        deed("sleep", limits=Limits(2 << 30, 20, 0.7))
    assert time.monotonic() - start < 10


def test_too_long_while_it_does_not_read() -> None:
    # The parent is then blocked in writing, not in reading.
    with pytest.raises(SandboxViolation, match=r"longer than 1 s"):
        deed("sleep", bytes(1 << 24), limits=Limits(2 << 30, 20, 1.0))


def test_too_long_an_answer() -> None:
    with pytest.raises(SandboxViolation, match="something else"):
        deed("flood")


def test_an_answer_that_is_none() -> None:
    with pytest.raises(SandboxViolation, match="something else"):
        deed("lie")


def test_an_unknown_failure_says_nothing() -> None:
    with pytest.raises(SandboxViolation) as caught:
        deed("raise")
    assert "secret" not in str(caught.value)


def test_a_refusal_keeps_its_type() -> None:
    params = EncryptionParams.of(Scheme.CKKS)
    key = SecretKey.generate(params).public
    head = Writer("zkfed/v1/worker-add").bytes(params.encode()).u64(5).u64(2).finish()
    good = encrypt(key, np.arange(5)).data
    words = split_ciphertext(params, 5, good)
    opposite = join_ciphertext(params, 5, np.where(words == 0, words, np.uint64(params.primes[0]) - words))
    for batch, error in (
        ([b"no batch at all"], LimitExceeded),
        ([head, key.to_bytes(), good], DecodeError),
        ([head, key.to_bytes(), good, good[:-1]], DecodeError),
        ([head, key.to_bytes(), good, opposite], CiphertextRefused),
    ):
        with pytest.raises(error) as caught:
            run(batch, reply_bytes_max=100_000, limits=LIMITS)
        assert type(caught.value) is error


def test_it_can_open_nothing() -> None:
    assert deed("reach") == b""


def test_it_knows_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "secret")
    names = set(deed("environment").decode().split(","))
    assert "SOME_TOKEN" not in names
    assert names <= {"PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LC_CTYPE"}


def test_a_worker_that_does_not_start() -> None:
    with pytest.raises(SandboxUnavailable, match="did not start"):
        run([b""], reply_bytes_max=100, limits=LIMITS, module="tests.he.no_such_module")


def test_an_interpreter_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", os.path.join(os.path.dirname(__file__), "nowhere"))
    with pytest.raises(SandboxUnavailable, match="could not be started"):
        run([b""], reply_bytes_max=100, limits=LIMITS)
    monkeypatch.undo()


def children() -> set[int]:
    """Returns the processes, dead ones included, that this process has to wait for."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid():
                found.add(int(path.parent.name))
    return found


def test_nothing_is_left_behind() -> None:
    before, files = children(), len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        deed("nothing")
        with pytest.raises(SandboxViolation):
            deed("lie")
    assert len(os.listdir("/proc/self/fd")) == files
    assert children() <= before


def test_limits_grow_with_the_batch() -> None:
    small, large = Limits.for_batch(10, 65_666), Limits.for_batch(100, 32 << 20)
    assert small.memory_bytes < large.memory_bytes
    assert small.cpu_s < large.cpu_s
    assert small.wall_s < large.wall_s
