"""Devices that prove through an executor: the same rounds, whoever is killed, and no proof taken on trust."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.adapters.dask_cluster import cluster, worker_pids
from tests.adapters.test_executors import Wrapped
from tests.layers.own_rows import OwnCohort, interpolating, own_provers
from tests.layers.parties import Cohort, provers
from tests.orchestrator.hosting import carry, ingredients
from zkfed.adapters.processes import ProcessExecutor, SerialExecutor
from zkfed.encoding import Reader, Writer
from zkfed.errors import IntegrityError, KeyRefused, ProofInvalid, StoreFault, TransportError, UnsatisfiedConstraint
from zkfed.layers.heart import Device, register_rows
from zkfed.layers.round_state import Proving, decode_task, encode_rows, encode_task, prove_round
from zkfed.local import LocalFederation
from zkfed.orchestrator.client import Client
from zkfed.orchestrator.events import Refused, Released
from zkfed.orchestrator.fan_out import answers
from zkfed.orchestrator.kit import open_provers, write_kit
from zkfed.orchestrator.member import Member
from zkfed.orchestrator.node import Node
from zkfed.orchestrator.options import Options
from zkfed.orchestrator.proving import proving_in
from zkfed.orchestrator.works import ANSWER, REGISTER, perform
from zkfed.ports import Executor
from zkfed.statements.registration import RegistrationRecord
from zkfed.updates.signing import SigningKey


class Noted(SerialExecutor):
    """Does the works here and notes them with their payloads and answers."""

    def __init__(self) -> None:
        self.works, self.payloads = list[str](), list[bytes]()

    def map(self, work: str, payloads: Iterable[bytes]) -> Iterator[bytes]:
        for payload in payloads:
            self.works.append(work)
            self.payloads.append(payload)
            yield perform(work, payload)


def kit(folder: Path, kind: str, devices: int = 3) -> tuple[Any, Any, list[Any], Any]:
    """Returns policy, benchmark, shards and keys of a small federation, and writes its kit."""
    policy, keys, shards, benchmark, _ = ingredients(kind, devices)
    write_kit(folder, policy, keys, benchmark=benchmark)
    return policy, benchmark, shards, keys


def run(policy: Any, benchmark: Any, shards: list[Any], options: Options) -> list[Any]:
    return list(LocalFederation(policy, shards, benchmark=benchmark, options=options).run(1))


def own_client(_: int, device: Device, shard: Any) -> Client:
    return Client(device, shard, interpolating)


@pytest.mark.parametrize("kind", ["S1", "S2", "S4"])
def test_a_federation_proves_through_an_executor(kind: str, tmp_path: Path) -> None:
    """Each device's proof is asked for once, the registrations of S1 too, and all are accepted."""
    policy, benchmark, shards, keys = kit(tmp_path, kind)
    noted = Noted()
    options = Options(keys=keys, proving=proving_in(noted, tmp_path))
    options = replace(options, make_client=own_client) if kind == "S1" else options
    events = run(policy, benchmark, shards, options)
    assert sum(isinstance(e, Released) for e in events) == 1
    assert sorted(noted.works) == ["prove"] * 3 + ["register"] * (3 if kind == "S1" else 0)


def test_members_prove_through_an_executor(tmp_path: Path) -> None:
    """`open_provers(..., executor=...)`: the same through a node and its members."""
    policy, benchmark, shards, keys = kit(tmp_path, "S2")
    node, noted = Node(policy, benchmark, options=Options(keys=keys)), Noted()
    provers = open_provers(tmp_path, executor=noted)
    members = [Member(provers, shard, key=SigningKey.generate()) for shard in shards]
    events = [*carry(node.enrol(), members), *carry(node.run(1), members)]
    assert sum(isinstance(e, Released) for e in events) == 1
    assert noted.works == ["prove"] * 3


def killed_once(pids: Callable[[], list[int]], kills: list[int]) -> Callable[[Iterator[bytes]], Iterator[bytes]]:
    one_at_a_time = threading.Lock()  # devices ask from several threads

    def change(answers: Iterator[bytes]) -> Iterator[bytes]:
        with one_at_a_time:
            if not kills:
                kills.append(pids()[0])
                os.kill(kills[0], signal.SIGKILL)
        yield from answers

    return change


def test_a_killed_process_loses_no_proof(tmp_path: Path) -> None:
    """Four devices prove in three threads on two processes, one of which dies: every update is accepted."""
    policy, benchmark, shards, keys = kit(tmp_path, "S2", devices=4)
    kills: list[int] = []
    with ProcessExecutor(2) as inner:
        list(inner.map("check", [b"wake", b"up"]))
        executor = Wrapped(inner, killed_once(lambda: list(inner._started()._processes), kills))
        events = run(policy, benchmark, shards, Options(keys=keys, proving=proving_in(executor, tmp_path), workers=3))
    assert kills
    assert not [e for e in events if isinstance(e, Refused)]
    assert [(e.accepted, e.refused) for e in events if isinstance(e, Released)] == [(4, 0)]


def test_proofs_on_dask_with_a_killed_worker(tmp_path: Path) -> None:
    from zkfed.adapters.dask import DaskExecutor

    policy, benchmark, shards, keys = kit(tmp_path, "S2")
    kills: list[int] = []
    with cluster(2, tmp_path / "dask") as client:
        executor = Wrapped(DaskExecutor(client), killed_once(lambda: worker_pids(client, 2), kills))
        events = run(policy, benchmark, shards, Options(keys=keys, proving=proving_in(executor, tmp_path)))
    assert kills
    assert any(isinstance(e, Released) and e.accepted == 3 for e in events)


def proving_cohort(folder: Path, executor: Executor) -> tuple[Cohort, Any]:
    cohort = Cohort()
    provers(3)[0].key.save(folder / "statement.key")
    cohort.devices[0]._proving = proving_in(executor, folder)
    return cohort, cohort.start()


def reframed(change: Callable[[bytes], bytes]) -> Callable[[Iterator[bytes]], Iterator[bytes]]:
    """Changes what a worker found, under the right name."""

    def of(answers: Iterator[bytes]) -> Iterator[bytes]:
        for answer in answers:
            r = Reader(answer, ANSWER)
            name, code, reason, result = r.bytes(), r.text(), r.text(), r.bytes()
            yield Writer(ANSWER).bytes(name).text(code).text(reason).bytes(change(result)).finish()

    return of


def test_a_device_seals_with_no_proof_that_does_not_hold(tmp_path: Path) -> None:
    """A worker answers with the proof of another device; the device notices, and the next honest call works."""
    cohort, opened = proving_cohort(tmp_path, SerialExecutor())
    other = cohort.devices[1]
    wrong = prove_round(other._prover, cohort.agreement, other.public_key, other._current())
    device, honest = cohort.devices[0], cohort.devices[0]._proving
    device._proving = proving_in(Wrapped(SerialExecutor(), reframed(lambda _: wrong)), tmp_path)
    with pytest.raises(ProofInvalid):
        device.seal(opened.announcement, opened.key)
    assert not device._current().proof
    assert not device._current().sealed
    device._proving = honest
    assert cohort.adder.receive_sealed(device.seal(opened.announcement, opened.key)).is_accepted


def test_an_answer_about_another_proof_is_noticed(tmp_path: Path) -> None:
    noted = Noted()
    cohort, opened = proving_cohort(tmp_path, noted)
    cohort.devices[0].seal(opened.announcement, opened.key)
    stale = perform("prove", noted.payloads[0])
    device = cohort.devices[1]
    device._proving = proving_in(Wrapped(SerialExecutor(), lambda answers: (stale for _ in answers)), tmp_path)
    with pytest.raises(TransportError, match="another batch"):
        device.seal(opened.announcement, opened.key)


def test_a_false_statement_is_refused_by_name(tmp_path: Path) -> None:
    """A device without checks of its own learns from the worker that its update improves nothing."""

    class Unchecked(Device):
        def _check(self, *_: Any) -> None:
            """Checks nothing."""

    cohort = Cohort(kinds=[Unchecked])
    provers(3)[0].key.save(tmp_path / "statement.key")
    device = cohort.devices[0]
    device._proving = proving_in(SerialExecutor(), tmp_path)
    opened = cohort.announce()
    update = cohort.update(0)
    cohort.commit(0, opened, replace(update, integers=-update.integers))
    with pytest.raises(UnsatisfiedConstraint, match="a worker failed"):
        device.seal(opened.announcement, opened.key)


def test_keys_of_another_circuit_or_setup_are_refused(tmp_path: Path) -> None:
    """Before anything is sent where the key is wrong here, by the worker where it is wrong there."""
    with pytest.raises(StoreFault):
        proving_in(SerialExecutor(), tmp_path)
    noted = Noted()
    cohort, opened = proving_cohort(tmp_path, noted)
    provers(3)[1].key.save(tmp_path / "statement.key")
    with pytest.raises(KeyRefused, match="another key here"):
        cohort.devices[0].seal(opened.announcement, opened.key)
    cohort.devices[1]._proving = proving_in(noted, tmp_path)
    sent = len(noted.works)
    with pytest.raises(KeyRefused, match="not the key of this agreement"):
        cohort.devices[1].seal(opened.announcement, opened.key)
    assert len(noted.works) == sent


def test_a_record_made_elsewhere_is_checked(tmp_path: Path) -> None:
    """Of another client's record the signature would be the device's own: it is compared first."""
    cohort = OwnCohort(devices=2)
    own_provers()[2].key.save(tmp_path / "registration.key")
    own_provers()[0].key.save(tmp_path / "statement.key")
    honest = proving_in(SerialExecutor(), tmp_path)
    key, prover, rows = cohort.device_keys[0], own_provers()[2], cohort.rows[0]
    assert rows is not None
    assert register_rows(cohort.policy, key, prover, rows, proving=honest)
    other = cohort.device_keys[1].public
    lying = Proving(honest.rounds, lambda policy, client, own: honest.registration(policy, other, own))
    with pytest.raises(ProofInvalid, match="another client's"):
        register_rows(cohort.policy, key, prover, rows, proving=lying)


def test_a_record_whose_proof_does_not_hold_is_not_signed(tmp_path: Path) -> None:
    """It names this client, and was proven for another one."""
    cohort = OwnCohort(devices=2)
    own_provers()[2].key.save(tmp_path / "registration.key")
    own_provers()[0].key.save(tmp_path / "statement.key")
    honest = proving_in(SerialExecutor(), tmp_path)
    key, prover, rows = cohort.device_keys[0], own_provers()[2], cohort.rows[0]
    assert rows is not None
    other = cohort.device_keys[1].public

    def renamed(policy: Any, client: bytes, own: Any) -> bytes:
        record = RegistrationRecord.decode(honest.registration(policy, other, own))
        return replace(record, signer=client).encode()

    with pytest.raises(ProofInvalid):
        register_rows(cohort.policy, key, prover, rows, proving=Proving(honest.rounds, renamed))


@pytest.mark.parametrize("make", [Cohort, OwnCohort], ids=["S2", "S1"])
def test_a_task_is_read_as_it_was_written(make: type[Cohort]) -> None:
    """What a worker reads proves what the device's own state proves; bound to this round."""
    cohort = make()
    opened = cohort.start()
    device = cohort.devices[0]
    state = device._current()
    task = encode_task(device.public_key, state)
    client, read = decode_task(task, cohort.agreement)
    assert client == device.public_key
    assert np.array_equal(read.update.integers, state.update.integers)
    assert read.blinder == state.blinder
    proof = prove_round(device._prover, cohort.agreement, client, read)
    state.proof = proof
    assert cohort.adder.receive_sealed(device.seal(opened.announcement, opened.key)).is_accepted


def test_a_task_in_anothers_name_is_none() -> None:
    cohort = Cohort(devices=2)
    cohort.start()
    task = encode_task(cohort.devices[1].public_key, cohort.devices[0]._current())
    with pytest.raises(IntegrityError, match="another device's"):
        decode_task(task, cohort.agreement)


@pytest.mark.parametrize("work", ["prove", "register"])
def test_bytes_that_are_no_task_are_answered_with_a_code(work: str) -> None:
    for payload in (b"", b"\x80\x04.", Writer("zkfed/v1/work-prove").text("x").finish(), bytes(100)):
        r = Reader(perform(work, payload), ANSWER)
        assert (r.bytes(exact=32), r.text())[1] == "decode"


def test_no_rows_are_no_task(tmp_path: Path) -> None:
    """A worker answers with a code, and lives."""
    own_provers()[2].key.save(tmp_path / "registration.key")
    policy = OwnCohort(devices=2).policy
    task = Writer(REGISTER).text(str(tmp_path / "registration.key")).bytes(policy.encode()).bytes(bytes(32)).list([])
    r = Reader(perform("register", task.finish()), ANSWER)
    assert (r.bytes(exact=32), r.text())[1] == "decode"


def test_a_foreign_exception_tells_its_type_alone() -> None:
    """What left `perform` would be logged by a cluster's worker, with the rows that are in the payload."""
    policy, rows = OwnCohort(devices=2).policy, OwnCohort(devices=2).rows[0]
    assert rows is not None
    task = Writer(REGISTER).text("\0.key").bytes(policy.encode()).bytes(bytes(32)).list(encode_rows(rows)).finish()
    r = Reader(perform("register", task), ANSWER)
    assert (r.bytes(exact=32), r.text(), r.text())[1:] == (
        "worker-failed", "the worker raised ValueError in 'register'",
    )  # fmt: skip
    with pytest.raises(TransportError, match="a worker failed: the worker raised ValueError"):
        answers(SerialExecutor(), "register", [task], 1)


def test_a_closed_executor_starts_no_process_for_a_call_that_runs() -> None:
    with ProcessExecutor(1) as executor:
        running = executor.map("check", (b"x" * (i + 1) for i in range(8)))
        next(running)
        executor.close()
        with pytest.raises(TransportError, match="closed during 'check'"):
            list(running)
        assert executor._pool is None
        assert len(list(executor.map("check", [b"again"]))) == 1
