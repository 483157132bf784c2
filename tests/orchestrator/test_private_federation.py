"""Shows that a federation about registered rows runs to the end, whoever stops, fails or sends rubbish.

A party that does not open the beacon costs the round and is named; a client whose registration is
refused is missing from the rounds, and nobody else is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.layers.own_rows import REGISTERED, own_keys, own_policy
from tests.layers.parties import signed
from zkfed.errors import BudgetExceeded, PolicyError, UnsatisfiedConstraint
from zkfed.layers.agreement import Announced
from zkfed.layers.beacon import fault_of_beacon
from zkfed.layers.bridge import check_release
from zkfed.layers.heart import Device
from zkfed.local import LocalFederation
from zkfed.orchestrator.client import Client, Shard
from zkfed.orchestrator.cohort import synthetic_cohort
from zkfed.orchestrator.events import Event, Refused, RegistrationClosed, Released, RoundAbandoned
from zkfed.orchestrator.options import Options
from zkfed.orchestrator.parties import Registrant
from zkfed.policy import RoundPolicy
from zkfed.updates.messages import Reveal


def federation(policy: RoundPolicy | None = None, devices: Any = 3, **options: Any) -> LocalFederation:
    return LocalFederation(policy or own_policy(), devices, options=Options(keys=own_keys(), **options))


@functools.cache
def shards() -> tuple[Shard, ...]:
    policy = own_policy()
    return tuple(synthetic_cohort(policy.model, 4, policy.statement.rows, registered=REGISTERED)[0])


def events_of(run: LocalFederation, rounds: int = 1) -> list[Event]:
    return list(run.run(rounds))


def of_kind(events: list[Event], kind: type[Event]) -> list[Any]:
    return [e for e in events if isinstance(e, kind)]


def test_rounds_about_own_rows_release_and_are_counted() -> None:
    run = federation()
    events = events_of(run, 2)
    assert of_kind(events, RegistrationClosed) == [RegistrationClosed(0, 3, 0)]
    assert [e.accepted for e in of_kind(events, Released)] == [3, 3]
    assert run.spending.bits == 2
    assert "2 of 16 un-noised acceptance bits" in run.guarantee()
    check_release(run.transcript)


def test_shards_register_their_own_rows_or_the_ones_set_apart() -> None:
    own = [Shard(s.registered.features, s.registered.labels) for s in shards() if s.registered]
    events = events_of(federation(devices=own))
    assert of_kind(events, RegistrationClosed) == [RegistrationClosed(0, 4, 0)]
    assert of_kind(events, Released)


def test_no_more_rounds_than_the_policy_has_answers() -> None:
    run = federation(own_policy(acceptance_bits_max=1))
    events_of(run)
    base = run.base.copy()
    with pytest.raises(BudgetExceeded, match="acceptance bits"):
        events_of(run)
    assert (run.base == base).all()
    check_release(run.transcript)


def fails(text: str) -> Callable[..., bytes]:
    def call(*_: Any) -> bytes:
        raise PolicyError(text)

    return call


def other_nonce(run: LocalFederation) -> Callable[..., bytes]:
    honest = run._holder.reveal

    def call(adder_reveal: bytes, commits: tuple[bytes, ...]) -> bytes:
        body = Reveal.decode(signed(honest(adder_reveal, commits)).body)
        return run._holder._key.sign("reveal", replace(body, nonce=bytes(32)).encode()).encode()

    return call


@pytest.mark.parametrize(
    ("party", "text"),
    [
        ("adder", "the adders did not open the beacon nonce"),
        ("holder", "the key holder did not open the beacon nonce"),
        ("nonce", "the key holder opened another beacon nonce than the announced one"),
    ],
)
def test_who_stops_a_round_is_named_and_the_next_one_runs(party: str, text: str) -> None:
    run = federation()
    target = run._adder if party == "adder" else run._holder
    honest = target.reveal
    target.reveal = other_nonce(run) if party == "nonce" else fails("no")  # type: ignore[method-assign]
    events = events_of(run)
    (abandoned,) = of_kind(events, RoundAbandoned)
    assert text in abandoned.reason
    assert not of_kind(events, Refused)
    assert (run.base == 0).all()
    record = run.transcript.rounds[0]
    first = Announced.decode(record.attempts[0].announced)
    assert text in fault_of_beacon(run.agreement.policy, first, record.reveals)
    assert len(record.attempts) == 1
    assert not record.attempts[0].aggregation
    check_release(run.transcript)
    target.reveal = honest  # type: ignore[method-assign]
    assert of_kind(events_of(run), Released)
    assert run.spending.bits == 2  # the stopped round has its bit, too
    check_release(run.transcript)


class SitsOut(Client):
    def accept_beacon(self, reveals: tuple[bytes, ...]) -> None:
        self.device.accept_beacon(reveals)
        raise UnsatisfiedConstraint("the update does not improve the drawn rows by the claimed share")


def test_who_has_nothing_to_prove_sits_out() -> None:
    def build(index: int, device: Device, shard: Shard) -> Client:
        return SitsOut(device, shard) if index == 0 else Client(device, shard)

    run = federation(make_client=build)
    events = events_of(run)
    (refused,) = of_kind(events, Refused)
    assert (refused.verdict.code, refused.verdict.reason[:9]) == ("unsatisfied-constraint", "sat out: ")
    assert [e.accepted for e in of_kind(events, Released)] == [2]
    check_release(run.transcript)


# -- what is refused while registering ---------------------------------------------------------------


def with_rows(change: Callable[[Any, Any], tuple[Any, Any]]) -> list[Shard]:
    """Returns the shards, the first with other rows to register."""
    first, *others = shards()
    own = first.registered or first
    return [replace(first, registered=Shard(*change(own.features, own.labels))), *others]


BAD_ROWS: dict[str, tuple[Callable[[Any, Any], tuple[Any, Any]], str]] = {
    "fewer than M": (lambda x, y: (x[1:], y[1:]), "policy"),
    "more than M": (lambda x, y: (np.vstack([x, x[:1]]), np.append(y, y[:1])), "policy"),
    "none": (lambda x, y: (x[:0], y[:0]), "decode"),
    "other features": (lambda x, y: (x[:, 1:], y), "policy"),
    "NaN": (lambda x, y: (np.where(np.arange(len(x))[:, None] == 3, np.nan, x), y), "decode"),
    "too large": (lambda x, y: (x * 1000 + 2, y), "decode"),
    "label out of range": (lambda x, y: (x, y * 0 + 3), "decode"),
    "negative label": (lambda x, y: (x, y - 5), "decode"),
    "labels missing": (lambda x, y: (x, y[1:]), "decode"),
    "one class": (lambda x, y: (x, y * 0), "unsatisfied-constraint"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_rows_that_the_policy_does_not_allow_are_refused_before_proving(name: str) -> None:
    change, code = BAD_ROWS[name]
    run = federation(devices=with_rows(change))
    assert [v.code for v in run.registrations] == [code, "accepted", "accepted", "accepted"]
    assert len(run.clients) == 3
    reason = run.registrations[0].reason
    assert "device raised" not in reason
    assert len(reason) < 300


class Rubbish(Registrant):
    def register(self) -> bytes:
        self.rows = self.quantise(self.shard.registered.features, self.shard.registered.labels)
        return b"no record"


class Broken(Registrant):
    def register(self) -> bytes:
        raise KeyError("row 7: 0.25 0.5")


@pytest.mark.parametrize(("kind", "code"), [(Rubbish, "limit-exceeded"), (Broken, "device-failed")])
def test_a_client_that_fails_does_not_stop_the_others(kind: type[Registrant], code: str) -> None:
    def build(index: int, honest: Registrant) -> Registrant:
        return kind(honest.policy, honest.key, honest.prover, honest.shard) if index == 1 else honest

    run = federation(devices=list(shards()), make_registrant=build)
    assert [v.code for v in run.registrations] == ["accepted", code, "accepted", "accepted"]
    assert "0.25" not in run.registrations[1].reason
    events = events_of(run)
    assert of_kind(events, RegistrationClosed) == [RegistrationClosed(0, 3, 1)]
    assert [e.verdict.code for e in of_kind(events, Refused)] == [code]
    assert [e.accepted for e in of_kind(events, Released)] == [3]


def test_too_few_registrations_are_no_federation() -> None:
    with pytest.raises(PolicyError, match="3 devices, the policy needs 4"):
        federation(own_policy(min_clients=4), with_rows(BAD_ROWS["NaN"][0]))


def test_own_rows_and_a_benchmark_do_not_go_together() -> None:
    policy = own_policy()
    with pytest.raises(PolicyError, match="S1 has none"):
        LocalFederation(policy, list(shards()), benchmark=(shards()[0].features, shards()[0].labels))
    with pytest.raises(PolicyError, match="a third key"):
        LocalFederation(policy, 3, options=Options(keys=own_keys()[:2]))
