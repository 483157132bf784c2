"""Whole federations in one process, over both transports: they run, they can be checked, they read well."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

import zkfed
from tests.layers.parties import make_policy, proving_keys
from zkfed.adapters.filesystem import FilesystemTransport
from zkfed.adapters.memory import MemoryTransport
from zkfed.errors import BudgetExceeded, KeyRefused, PolicyError, TransportError, ZkfedError
from zkfed.layers.bridge import check_release
from zkfed.layers.transcript import Transcript, released_sums
from zkfed.orchestrator.client import Client, Shard, proximal_least_squares
from zkfed.orchestrator.events import Progress, Refused, Released, RoundAbandoned, RoundStarted
from zkfed.orchestrator.federation import Federation, Options, make_keys
from zkfed.orchestrator.synthetic import synthetic_cohort
from zkfed.ports import Transport


def options(classes: int = 3, **changes: object) -> Options:
    return Options(keys=proving_keys(classes), **changes)  # type: ignore[arg-type]


class Spy:
    """A memory transport that remembers what went through it."""

    def __init__(self) -> None:
        self.inner, self.seen = MemoryTransport(), list[tuple[str, object]]()

    def publish(self, channel: str, message: bytes) -> str:
        self.seen.append((channel, message))
        return self.inner.publish(channel, message)

    def fetch(self, channel: str) -> tuple[bytes, ...]:
        return self.inner.fetch(channel)


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_two_rounds_over_a_transport(kind: str, tmp_path: Path) -> None:
    transport: Transport = MemoryTransport() if kind == "memory" else FilesystemTransport(tmp_path / "drop")
    federation = Federation(make_policy(), 4, transport=transport, options=options())
    events = list(federation.run(rounds=2))
    releases = [e for e in events if isinstance(e, Released)]
    assert [(e.round, e.accepted, e.refused, e.attempts) for e in releases] == [(1, 4, 0, 1), (2, 4, 0, 1)]
    assert not [e for e in events if isinstance(e, (Refused, RoundAbandoned))]
    check_release(federation.transcript)
    federation.transcript.save(tmp_path / "transcript")
    check_release(Transcript.load(tmp_path / "transcript"))
    # The model that anybody computes from the record is the federation's.
    assert (list(federation.transcript.models())[-1] == federation.base).all()
    assert (federation.model == federation.base / 2.0**15).all()
    assert [n for r in federation.transcript.rounds for _, n in released_sums(r)] == [4, 4]


def test_every_commit_is_answered_by_a_receipt_that_its_device_has_checked() -> None:
    spy, answered = Spy(), list[int]()

    class Careful(Client):
        def accept_receipt(self, receipt: bytes) -> None:
            super().accept_receipt(receipt)
            answered.append(id(self))

    make = options(make_client=lambda index, device, shard: Careful(device, shard))
    federation = Federation(make_policy(), 4, transport=spy, options=make)
    list(federation.run(rounds=1))
    assert sorted(answered) == sorted(id(c) for c in federation.clients)
    assert sum(channel.endswith("/receipts") for channel, _ in spy.seen) == 4


@pytest.mark.parametrize(("scheme", "classes"), [("bfv", 3), ("ckks", 1), ("ckks", 2)])
def test_schemes_and_tasks(scheme: str, classes: int) -> None:
    federation = zkfed.LocalFederation(make_policy(classes, scheme=scheme), devices=3, options=options(classes))
    released = [e for e in federation.run(rounds=1) if isinstance(e, Released)]
    assert [e.accepted for e in released] == [3]
    check_release(federation.transcript)
    assert federation.model.shape == (4, 3 if classes == 3 else 1)


def test_only_bytes_cross_the_transport_and_each_under_its_channel() -> None:
    spy = Spy()
    federation = Federation(make_policy(), 3, transport=spy, options=options())
    list(federation.run(rounds=1))
    assert {type(m) for _, m in spy.seen} == {bytes}
    prefix = f"{federation.agreement.policy.digest.hex()[:16]}/round-1/"
    assert all(channel.startswith(prefix) for channel, _ in spy.seen)
    counts = {name: sum(c.endswith(f"/{name}") for c, _ in spy.seen) for name in ("commits", "sealed", "outcome")}
    assert counts == {"commits": 3, "sealed": 3, "outcome": 1}
    # A client's ciphertext stays under its second encryption: nothing of it is on the transport in the clear.
    ciphertexts = [c.to_bytes() for a in federation._adder._attempts.values() for c in a.ciphertexts.values()]
    everything = b"".join(m for _, m in spy.seen if isinstance(m, bytes))
    assert not [c for c in ciphertexts if c[2000:2100] in everything]


def test_what_a_transport_loses_stops_the_round() -> None:
    class Lossy(Spy):
        def fetch(self, channel: str) -> tuple[bytes, ...]:
            return ()

    federation = Federation(make_policy(), 3, transport=Lossy(), options=options())
    with pytest.raises(TransportError, match="did not arrive"):
        list(federation.run(rounds=1))
    assert not federation.transcript.rounds


@pytest.mark.parametrize("lost", ["/key", "/offer", "/draft", "/announcement"])
def test_a_round_whose_announcement_was_lost_runs_when_it_is_tried_again(lost: str) -> None:
    class LosesOnce(Spy):
        is_broken = True

        def fetch(self, channel: str) -> tuple[bytes, ...]:
            if channel.endswith(lost) and self.is_broken:
                self.is_broken = False
                return ()
            return self.inner.fetch(channel)

    federation = Federation(make_policy(), 3, transport=LosesOnce(), options=options())
    with pytest.raises(TransportError, match="did not arrive"):
        list(federation.run(rounds=1))
    assert [e.accepted for e in federation.run(rounds=1) if isinstance(e, Released)] == [3]
    check_release(federation.transcript)


def test_what_a_transport_adds_is_refused_and_the_round_goes_on() -> None:
    class Noisy(Spy):
        def fetch(self, channel: str) -> tuple[bytes, ...]:
            return (b"\0\0\0\1x", *self.inner.fetch(channel), b"", bytes(5000))

    federation = Federation(make_policy(), 3, transport=Noisy(), options=options())
    events = list(federation.run(rounds=1))
    refused = [e.verdict for e in events if isinstance(e, Refused)]
    assert {v.client for v in refused} == {"unknown"}
    assert len(refused) == 6  # three in the commits, three in the sealed updates
    assert [e.accepted for e in events if isinstance(e, Released)] == [3]
    check_release(federation.transcript)


def test_events_read_well_and_progress_counts_up_to_its_total() -> None:
    federation = zkfed.LocalFederation(make_policy(), devices=3, options=options())
    events = list(federation.run(rounds=1))
    assert isinstance(events[0], RoundStarted)
    assert isinstance(events[-1], Released)
    stages: dict[str, list[Progress]] = {}
    for event in events:
        assert "\n" not in str(event)
        assert str(event).startswith("round 1")
        assert "object at" not in str(event)
        if isinstance(event, Progress):
            stages.setdefault(event.stage, []).append(event)
    assert set(stages) == {"commit", "seal", "check"}
    for progress in stages.values():
        done = [p.done for p in progress]
        assert done == sorted(set(done))
        assert done[-1] == progress[0].total
        assert {p.total for p in progress} == {3}
    assert {"announce", "commit", "seal", "check", "add", "open"} == set(events[-1].seconds)
    assert all(s >= 0 for s in events[-1].seconds.values())
    assert events[-1].epsilon == pytest.approx(2.0, rel=0.02)
    assert "user-level" in federation.guarantee()


def test_devices_with_their_own_rows() -> None:
    policy = make_policy()
    shards, benchmark = synthetic_cohort(policy.model, 3, policy.statement.rows)
    federation = zkfed.LocalFederation(policy, shards, benchmark=benchmark, options=options())
    assert [e.accepted for e in federation.run(rounds=1) if isinstance(e, Released)] == [3]
    for index, client in enumerate(federation.clients):
        assert federation.index_of(client.device.public_key.hex()) == index
    assert federation.index_of("00" * 32) is None
    with pytest.raises(PolicyError, match="need a benchmark"):
        zkfed.LocalFederation(policy, shards, options=options())
    with pytest.raises(PolicyError, match="1 devices, the policy needs 2"):
        zkfed.LocalFederation(policy, shards[:1], benchmark=benchmark, options=options())


def test_a_device_that_has_nothing_to_prove_sits_out() -> None:
    policy = make_policy()
    shards, benchmark = synthetic_cohort(policy.model, 4, policy.statement.rows)

    def train(model: object, base: object, shard: Shard, number: int) -> object:
        trained = proximal_least_squares(policy.model, base, shard, number)  # type: ignore[arg-type]
        return -trained if shard is shards[0] else trained

    def make(index: int, device: zkfed.Device, shard: Shard) -> Client:
        return Client(device, shard, train)  # type: ignore[arg-type]

    federation = zkfed.LocalFederation(policy, shards, benchmark=benchmark, options=options(make_client=make))
    events = list(federation.run(rounds=1))
    verdicts = [e.verdict for e in events if isinstance(e, Refused)]
    assert [v.code for v in verdicts] == ["unsatisfied-constraint"]
    assert federation.index_of(verdicts[0].client) == 0
    assert "sat out" in verdicts[0].reason
    assert [(e.accepted, e.refused) for e in events if isinstance(e, Released)] == [(3, 1)]
    check_release(federation.transcript)


def test_a_production_policy_gets_no_development_keys() -> None:
    policy = make_policy(setup="production")
    with pytest.raises(PolicyError, match="ceremony"):
        make_keys(policy)
    with pytest.raises(KeyRefused, match="development key"):
        zkfed.LocalFederation(policy, devices=3, options=options())


def test_no_round_beyond_the_privacy_budget() -> None:
    federation = zkfed.LocalFederation(make_policy(epsilon_max=3.5), devices=3, options=options())
    with pytest.raises(BudgetExceeded):
        list(federation.run(rounds=5))
    # Two attempts of a round are reserved before it starts; what was released stays checkable.
    assert 1 <= len(federation.transcript.rounds) < 5
    check_release(federation.transcript)
    before = federation.base.copy()
    with pytest.raises(BudgetExceeded):
        next(federation.run(rounds=1))
    assert (federation.base == before).all()


def test_the_schedule_of_shares_is_followed() -> None:
    federation = zkfed.LocalFederation(make_policy(schedule=("2%", "0.5%")), devices=3, options=options())
    started = [e for e in federation.run(rounds=3) if isinstance(e, RoundStarted)]
    assert [e.at_least for e in started] == [0.02, 0.005, 0.005]
    check_release(federation.transcript)


def test_a_record_of_one_federation_is_none_of_another() -> None:
    one, other = (zkfed.LocalFederation(make_policy(), devices=3, options=options()) for _ in range(2))
    for federation in (one, other):
        list(federation.run(rounds=1))
    mixed = Transcript(one.agreement, one.transcript.base, other.transcript.rounds)
    with pytest.raises(ZkfedError):
        check_release(mixed)


def test_synthetic_rows_are_the_same_every_time() -> None:
    model = make_policy().model
    digests = set()
    for _ in range(2):
        shards, (x, y) = synthetic_cohort(model, 3, 20)
        data = b"".join(np.asarray(a).tobytes() for s in shards for a in (s.features, s.labels)) + x.tobytes()
        digests.add(hashlib.sha256(data + y.tobytes()).hexdigest())
    assert len(digests) == 1
