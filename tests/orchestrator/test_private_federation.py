"""Shows that a federation about registered rows runs to the end, whoever stops, fails or sends rubbish.

A party that does not open the beacon costs the round and is named; a client whose registration is
refused is missing from the rounds, and nobody else is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.layers.own_rows import REGISTERED, interpolating, own_keys, own_policy, own_shards
from tests.layers.parties import signed
from zkfed.errors import BudgetExceeded, DecodeError, PolicyError, UnsatisfiedConstraint
from zkfed.layers.agreement import Announced
from zkfed.layers.beacon import fault_of_beacon
from zkfed.layers.bridge import check_release
from zkfed.layers.heart import Device
from zkfed.local import LocalFederation
from zkfed.orchestrator.client import Client, Shard
from zkfed.orchestrator.events import Event, Refused, RegistrationClosed, Released, RoundAbandoned
from zkfed.orchestrator.options import Options
from zkfed.orchestrator.parties import Registrant
from zkfed.policy import MLP, Improvement, LinearModel, Model, Registration, RoundPolicy
from zkfed.updates.messages import Reveal


def honest(index: int, device: Device, shard: Shard) -> Client:
    return Client(device, shard, interpolating)


def federation(
    policy: RoundPolicy | None = None, devices: Sequence[Shard] | None = None, **options: Any
) -> LocalFederation:
    options = {"make_client": honest, "keys": own_keys(), **options}
    return LocalFederation(policy or own_policy(), devices or own_shards(3), options=Options(**options))


def shards() -> list[Shard]:
    """Returns four shards with rows to register beside rows to train on, which are equal here."""
    return [replace(s, registered=s) for s in own_shards(4)]


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
    for devices in (own_shards(4), shards()):
        events = events_of(federation(devices=devices))
        assert of_kind(events, RegistrationClosed) == [RegistrationClosed(0, 4, 0)]
        assert [e.accepted for e in of_kind(events, Released)] == [4]
    apart = [replace(s, registered=None) for s in own_shards(4)]
    apart[0] = replace(apart[0], features=apart[0].features[1:], labels=apart[0].labels[1:])
    with_rows_apart = [replace(apart[0], registered=own_shards(1)[0]), *apart[1:]]
    assert [v.code for v in federation(devices=apart).registrations] == ["policy", *["accepted"] * 3]
    assert [v.code for v in federation(devices=with_rows_apart).registrations] == ["accepted"] * 4


def test_a_synthetic_cohort_registers_rows_beside_its_own() -> None:
    run = LocalFederation(own_policy(), 3, options=Options(keys=own_keys()))
    assert [c.device._rows is not None and len(c.device._rows) for c in run.clients] == [REGISTERED] * 3
    assert all(c.shard.registered is not None for c in run.clients)


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
    true = run._holder.reveal

    def call(adder_reveal: bytes, commits: tuple[bytes, ...]) -> bytes:
        body = Reveal.decode(signed(true(adder_reveal, commits)).body)
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
    true = target.reveal
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
    target.reveal = true  # type: ignore[method-assign]
    assert of_kind(events_of(run), Released)
    assert run.spending.bits == 2  # the stopped round has its bit, too
    check_release(run.transcript)


class SitsOut(Client):
    def accept_beacon(self, reveals: tuple[bytes, ...]) -> None:
        self.device.accept_beacon(reveals)
        raise UnsatisfiedConstraint("the update does not improve the drawn rows by the claimed share")


def test_who_has_nothing_to_prove_sits_out() -> None:
    def build(index: int, device: Device, shard: Shard) -> Client:
        return SitsOut(device, shard, interpolating) if index == 0 else honest(index, device, shard)

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

    run = federation(devices=shards(), make_registrant=build)
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
        LocalFederation(policy, shards(), benchmark=(shards()[0].features, shards()[0].labels))
    with pytest.raises(PolicyError, match="a third key"):
        LocalFederation(policy, 3, options=Options(keys=own_keys()[:2]))


# -- other losses and models ---------------------------------------------------------------------------


def small(model: Model, loss: str) -> RoundPolicy:
    statement = Improvement(model, 4, at_least="1%", loss=loss, registration=Registration(16))
    return replace(own_policy(), statement=statement)


@pytest.mark.parametrize(("classes", "loss"), [(1, "squared"), (2, "hinge"), (2, "logistic"), (3, "cross-entropy")])
def test_rounds_of_other_losses(classes: int, loss: str) -> None:
    run = LocalFederation(small(LinearModel(3, classes), loss), 4)
    events = events_of(run)
    assert sum(e.accepted for e in of_kind(events, Released)) >= 2
    check_release(run.transcript)


PERCEPTRON = MLP(3, (4,), 3)


def last_layer(model: Model, base: Any, shard: Shard, _: int) -> Any:
    """Fits the last layer to the shard's rows and leaves the hidden one."""
    hidden, last = model.split(base)
    rows = np.hstack([shard.features, np.ones((len(shard.features), 1))])
    a = np.hstack([np.maximum(rows @ hidden, 0), np.ones((len(rows), 1))])
    fitted = np.linalg.solve(a.T @ a + np.eye(a.shape[1]), a.T @ np.eye(model.classes)[shard.labels] + last)
    return np.concatenate([hidden.ravel(), fitted.ravel()])


def test_a_perceptron_improves_from_a_base_model_of_its_own() -> None:
    start = np.random.default_rng(1).integers(-(1 << 14), 1 << 14, PERCEPTRON.shape)
    hidden, last = PERCEPTRON.split(start)
    start = np.concatenate([hidden.ravel(), 0 * last.ravel()])
    run = LocalFederation(
        small(PERCEPTRON, "squared"), 4,
        options=Options(base=start, make_client=lambda _, device, shard: Client(device, shard, last_layer)),
    )  # fmt: skip
    assert (run.transcript.base == start).all()
    events = events_of(run)
    assert sum(e.accepted for e in of_kind(events, Released)) >= 2
    assert not (run.base == start).all()
    check_release(run.transcript)


@pytest.mark.parametrize("base", [np.zeros(3, np.int64), np.full((4, 3), 1 << 20), np.full((4, 3), np.nan)])
def test_a_first_base_model_that_is_not_the_policys_is_refused(base: Any) -> None:
    with pytest.raises(DecodeError, match="base model"):
        federation(base=base)
