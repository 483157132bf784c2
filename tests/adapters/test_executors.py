"""Checking and adding on other processes ends as in this one, byte for byte, whoever is killed in the middle."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.dask_cluster import cluster, worker_pids
from tests.layers.adder_messages import rewritten
from tests.layers.counts import CountCohort
from tests.layers.own_rows import OwnCohort
from tests.layers.parties import ROWS, Cohort, Opened, make_policy, proving_keys, signed
from zkfed.adapters.processes import ProcessExecutor, SerialExecutor
from zkfed.encoding import Reader, Writer
from zkfed.errors import CiphertextRefused, IntegrityError, PolicyError, ProofInvalid, TransportError
from zkfed.he.aggregate import add
from zkfed.he.ciphertext import Ciphertext
from zkfed.he.keys import PublicKey
from zkfed.layers.intake import Work
from zkfed.local import LocalFederation
from zkfed.orchestrator import works
from zkfed.orchestrator.events import Released
from zkfed.orchestrator.fan_out import FanOut
from zkfed.orchestrator.options import Options
from zkfed.orchestrator.synthetic import synthetic_cohort
from zkfed.orchestrator.works import ADD, ANSWER, perform
from zkfed.ports import Executor
from zkfed.updates.sealed import SealedUpdate

DEVICES = 12
MAKE = [
    pytest.param(lambda: Cohort(devices=DEVICES), id="updates"),
    pytest.param(lambda: CountCohort(answers=[[0, 1, 0, 0, 0], [0] * 5] * (DEVICES // 2)), id="counts"),
    pytest.param(lambda: OwnCohort(devices=5), id="own-rows"),  # with commitments that follow from challenges
]


class Wrapped:
    """An executor that does something to the answers of another, or between them."""

    def __init__(self, inner: Executor, change: Callable[[Iterator[bytes]], Iterator[bytes]]) -> None:
        self._inner, self._change = inner, change

    def map(self, work: str, payloads: Iterable[bytes]) -> Iterator[bytes]:
        return self._change(self._inner.map(work, payloads))


def killing(pids: Callable[[], list[int]], kills: list[int]) -> Callable[[Iterator[bytes]], Iterator[bytes]]:
    """Kills one worker process after the first answer of each call, and notes it."""

    def change(answers: Iterator[bytes]) -> Iterator[bytes]:
        for number, answer in enumerate(answers):
            if number == 0:
                kills.append(pids()[0])
                os.kill(kills[-1], signal.SIGKILL)
            yield answer

    return change


def sealed(cohort: Cohort) -> tuple[Opened, list[bytes]]:
    opened = cohort.start()
    return opened, [d.seal(opened.announcement, opened.key) for d in cohort.devices]


def check_same(cohort: Cohort, executor: Executor, *, batch: int, fan_in: int) -> None:
    """Shows that verdicts and sum through an executor are those of this process, and are released."""
    opened, good = sealed(cohort)
    bad = {1: rewritten(cohort, good[1], proof=SealedUpdate.decode(good[0]).seal.proof), 3: b"x"}
    messages = [*(bad.get(i, m) for i, m in enumerate(good)), good[0]]
    adder = cohort.adder
    here = adder.receive_sealed_all(messages)
    assert [v.code for v in here].count("accepted") == len(good) - 2
    (attempt,) = adder._attempts.values()
    taken = dict(attempt.ciphertexts)
    for held in (attempt.seals, attempt.sent, attempt.ciphertexts, adder._nullifiers):
        held.clear()
    fan_out = FanOut(executor, batch=batch, fan_in=fan_in)
    adder._work = fan_out.work
    assert adder.receive_sealed_all(messages) == here
    assert attempt.ciphertexts == taken
    members = [taken[m] for m in sorted(taken)]
    slots = cohort.agreement.slots
    total = fan_out.add(attempt.encryption_key, members, slots)
    assert total.to_bytes() == add(attempt.encryption_key, members, slots).to_bytes()
    cohort.add(opened)
    assert len(opened.members) == len(good) - 2
    assert signed(cohort.open(opened)).kind == "release"


@pytest.mark.parametrize("make", MAKE)
def test_batches_and_a_tree_end_as_one_batch_and_one_sum(make: Callable[[], Cohort]) -> None:
    check_same(make(), SerialExecutor(), batch=5, fan_in=3)


def test_a_killed_process_loses_and_doubles_nothing() -> None:
    kills: list[int] = []
    with ProcessExecutor(2) as inner:

        def pids() -> list[int]:
            return list(inner._started()._processes)

        check_same(Cohort(devices=DEVICES), Wrapped(inner, killing(pids, kills)), batch=2, fan_in=3)
    assert len(kills) >= 3


def test_a_process_that_dies_each_time_ends_in_a_typed_error_and_refuses_nobody() -> None:
    cohort = Cohort(devices=4)
    _, good = sealed(cohort)
    kills: list[int] = []
    with ProcessExecutor(1, retries=0) as inner:
        executor = Wrapped(inner, killing(lambda: list(inner._started()._processes), kills))
        cohort.adder._work = FanOut(executor, batch=1).work
        with pytest.raises(TransportError, match="lost 1 times"):
            cohort.adder.receive_sealed_all(good)
    cohort.adder._work = Work()
    assert all(v.is_accepted for v in cohort.adder.receive_sealed_all(good))


def _swapped(answers: Iterator[bytes]) -> Iterator[bytes]:
    return reversed(list(answers))


def _twice(answers: Iterator[bytes]) -> Iterator[bytes]:
    return (copy for answer in answers for copy in (answer, answer))


def _short(answers: Iterator[bytes]) -> Iterator[bytes]:
    return iter(list(answers)[:-1])


def _garbage(answers: Iterator[bytes]) -> Iterator[bytes]:
    return (b"<html>" for _ in answers)


@pytest.mark.parametrize("change", [_swapped, _twice, _short, _garbage], ids=lambda f: f.__name__)
def test_answers_lost_doubled_swapped_or_spoiled_are_noticed(change: Callable[..., Iterator[bytes]]) -> None:
    cohort = Cohort(devices=4)
    _, good = sealed(cohort)
    cohort.adder._work = FanOut(Wrapped(SerialExecutor(), change), batch=2).work
    with pytest.raises(TransportError):
        cohort.adder.receive_sealed_all(good)
    (attempt,) = cohort.adder._attempts.values()
    assert not attempt.seals
    cohort.adder._work = Work()
    cohort.adder.receive_sealed_all(good)
    fan_out = FanOut(Wrapped(SerialExecutor(), change), fan_in=2)
    with pytest.raises(TransportError):
        fan_out.add(attempt.encryption_key, list(attempt.ciphertexts.values()), cohort.agreement.slots)


def retold(change: Callable[[bytes], bytes], **said: str) -> Callable[[Iterator[bytes]], Iterator[bytes]]:
    """A worker that answers about the right batch, but something else."""

    def of(answers: Iterator[bytes]) -> Iterator[bytes]:
        for answer in answers:
            r = Reader(answer, ANSWER)
            name, code, reason, result = r.bytes(), r.text(), r.text(), r.bytes()
            code, reason = said.get("code", code), said.get("reason", reason)
            yield Writer(ANSWER).bytes(name).text(code).text(reason).bytes(change(result)).finish()

    return of


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (bytes(7), "7 bytes about 2 proofs"),
        (bytes(800), "800 bytes about 2 proofs"),
        ((2).to_bytes(8, "big"), "beyond the 2 of its batch"),
        (b"\xff" * 8, "beyond the 2 of its batch"),
    ],
    ids=["cut", "long", "next", "far"],
)
def test_a_worker_names_proofs_of_its_batch_only(found: bytes, text: str) -> None:
    """Else it could refuse the clients of another worker's batch."""
    cohort = Cohort(devices=4)
    _, good = sealed(cohort)
    cohort.adder._work = FanOut(Wrapped(SerialExecutor(), retold(lambda _: found)), batch=2).work
    with pytest.raises(TransportError, match=text):
        cohort.adder.receive_sealed_all(good)
    cohort.adder._work = Work()
    assert all(v.is_accepted for v in cohort.adder.receive_sealed_all(good))


def taken(cohort: Cohort) -> tuple[PublicKey, list[Ciphertext]]:
    _, good = sealed(cohort)
    cohort.adder.receive_sealed_all(good)
    (attempt,) = cohort.adder._attempts.values()
    return attempt.encryption_key, list(attempt.ciphertexts.values())


def test_a_worker_that_leaves_a_ciphertext_out_is_noticed() -> None:
    cohort = Cohort(devices=4)
    key, ciphertexts = taken(cohort)
    slots = cohort.agreement.slots
    head = Writer(ADD).bytes(key.params.encode()).u64(slots).bytes(key.to_bytes())
    less = Reader(perform("add", head.list([ciphertexts[0].data]).finish()), ANSWER)
    short = [less.bytes(), less.bytes(), less.bytes(), less.bytes()][3]
    fan_out = FanOut(Wrapped(SerialExecutor(), retold(lambda _: short)), fan_in=2)
    with pytest.raises(IntegrityError, match="another number of ciphertexts"):
        fan_out.add(key, ciphertexts, slots)


def test_one_ciphertext_twice_is_refused_in_a_tree_as_in_a_sum() -> None:
    """Each of its workers sees it once."""
    cohort = Cohort(devices=3)
    key, ciphertexts = taken(cohort)
    with pytest.raises(CiphertextRefused):
        FanOut(SerialExecutor(), fan_in=2).add(key, [*ciphertexts, ciphertexts[0]], cohort.agreement.slots)


def test_what_a_worker_says_of_its_failure_is_cut_and_escaped() -> None:
    cohort = Cohort(devices=2)
    _, good = sealed(cohort)
    loud = retold(lambda result: result, code="storage", reason="\x1b[31m" * 500)
    cohort.adder._work = FanOut(Wrapped(SerialExecutor(), loud)).work
    with pytest.raises(TransportError, match="a worker failed") as caught:
        cohort.adder.receive_sealed_all(good)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_proofs_that_fail_without_names_are_all_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is not named is not acquitted."""

    def nameless(*_: Any) -> None:
        raise ProofInvalid("the batch does not hold", ())

    cohort = Cohort(devices=3)
    _, good = sealed(cohort)
    cohort.adder._work = FanOut(SerialExecutor(), batch=2).work
    monkeypatch.setattr(works, "verify_batch", nameless)
    assert [v.code for v in cohort.adder.receive_sealed_all(good)] == ["proof-invalid"] * 3


def test_a_federation_runs_over_an_executor() -> None:
    """`Options(executor=...)` is all that a host sets: the round is released, and what was asked is seen."""
    asked = list[str]()

    class Noted(SerialExecutor):
        def map(self, work: str, payloads: Iterable[bytes]) -> Iterator[bytes]:
            asked.append(work)
            return super().map(work, payloads)

    policy = make_policy()
    shards, rows = synthetic_cohort(policy.model, 3, ROWS)
    options = Options(keys=proving_keys(), executor=Noted())
    federation = LocalFederation(policy, shards, benchmark=rows, options=options)
    assert any(isinstance(event, Released) for event in federation.run(1))
    assert asked == ["check", "add"]


def test_works_go_by_name_only() -> None:
    """A worker runs what zkfed names, and answers bytes that are no payload with a code."""
    with pytest.raises(PolicyError, match="there is no work"):
        perform("os.system", b"true")
    assert b"decode" in perform("check", b"\x80\x04.")
    assert isinstance(SerialExecutor(), Executor)


# -- Dask: a scheduler and workers as processes -------------------------------------------------------


def on_dask(cohort: Cohort, folder: Path, *, batch: int, fan_in: int) -> None:
    from zkfed.adapters.dask import DaskExecutor

    kills: list[int] = []
    with cluster(2, folder) as client:
        executor = Wrapped(DaskExecutor(client), killing(lambda: worker_pids(client, 2), kills))
        check_same(cohort, executor, batch=batch, fan_in=fan_in)
    assert len(kills) >= 3


def test_a_killed_dask_worker_loses_and_doubles_nothing(tmp_path: Path) -> None:
    on_dask(Cohort(devices=DEVICES), tmp_path, batch=2, fan_in=3)


@pytest.mark.slow
def test_a_thousand_updates_on_dask_with_killed_workers(tmp_path: Path) -> None:
    """1,000 sealed updates of 64 parameters, a worker killed in each call: the same verdicts and bytes."""
    on_dask(Cohort(make_policy(16, max_clients=1000), devices=1000), tmp_path, batch=64, fan_in=32)
